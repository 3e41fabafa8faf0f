"""OCSP (RFC 6960): a question to a responder, and what it may say."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from extauthz.ca import CaCertificate

__all__ = ["Answer", "CertIdHash", "CertStatus", "Question", "encode_request"]


class CertIdHash(StrEnum):
    """With which hash a question names the issuer (RFC 6960 4.1.1)."""

    SHA1 = "sha1"
    """Every responder knows it. Nothing is signed over it, so that it is not weak here."""
    SHA256 = "sha256"

    @property
    def algorithm(self) -> hashes.SHA1 | hashes.SHA256:
        return hashes.SHA1() if self is CertIdHash.SHA1 else hashes.SHA256()  # noqa: S303


class CertStatus(StrEnum):
    """What a responder says of a certificate (RFC 6960 2.2)."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Question:
    """Is the certificate with this serial number, issued by that CA, revoked?"""

    issuer: CaCertificate = field(compare=False)
    serial: int
    authority: bytes = field(init=False, repr=False)
    """The name and the key of the CA, whichever of its certificates is at hand."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "authority", self.issuer.identity)

    def hashes_of_issuer(self, algorithm: str) -> tuple[bytes, bytes]:
        """IssuerNameHash and issuerKeyHash (RFC 6960 4.1.1)."""
        name = self.issuer.subject.public_bytes()
        return hashlib.new(algorithm, name).digest(), hashlib.new(
            algorithm, _key(self.issuer)
        ).digest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a responder says, and may be believed to have said."""

    status: CertStatus
    revoked_at: datetime | None
    reason: str | None
    this_update: datetime
    next_update: datetime | None
    """By when the responder knows more; None when it does at any time."""
    delegate: int | None
    """Serial number of the responder's own certificate, when it could be revoked itself: the CA
    did not sign the answer, nor say that nobody need check who did (RFC 6960 4.2.2.2.1)."""
    delegate_not_after: datetime | None
    """When the responder's own certificate ends."""

    @property
    def is_final(self) -> bool:
        """Whether it says "revoked" for good; a hold may be lifted (RFC 5280 5.3.1)."""
        on_hold = x509.ReasonFlags.certificate_hold.value
        return self.status is CertStatus.REVOKED and self.reason != on_hold


def encode_request(question: Question, algorithm: CertIdHash, nonce: bytes) -> bytes:
    """The DER of a request about one certificate, with a nonce (RFC 9654)."""
    name_hash, key_hash = question.hashes_of_issuer(algorithm)
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        name_hash, key_hash, question.serial, algorithm.algorithm
    )
    request = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
    return request.public_bytes(Encoding.DER)


def _key(ca: CaCertificate) -> bytes:
    """The subjectPublicKey without the algorithm and the count of unused bits."""
    key = ca.parsed.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)

"""CRLs and OCSP answers in memory, right ones and wrong ones."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from extauthz.ca import CaCertificate
from extauthz.demo.authority import Credential, Extension

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
NEXT = NOW + 24 * HOUR
"""When what is made here ends, unless told: long after the tests, which all begin at NOW."""


def ca(credential: Credential) -> CaCertificate:
    return CaCertificate.read(credential.der)


def entry(
    serial: int, reason: x509.ReasonFlags | None = None, *extensions: Extension
) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - HOUR)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.build()


def crl(
    issuer: Credential,
    entries: Iterable[x509.RevokedCertificate | int] = (),
    *extensions: Extension,
    number: int | None = 1,
    this_update: datetime = NOW - HOUR,
    next_update: datetime = NEXT,
    signed_by: Credential | None = None,
    hashed_with: hashes.SHA224 | hashes.SHA256 | None = None,
) -> bytes:
    """A list in DER."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(this_update)
        .next_update(next_update)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for each in entries:
        builder = builder.add_revoked_certificate(entry(each) if isinstance(each, int) else each)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = issuer if signed_by is None else signed_by
    made = builder.sign(signer.key, hashed_with or hashes.SHA256())
    return made.public_bytes(Encoding.DER)


def scope(**given: object) -> Extension:
    """An issuingDistributionPoint with what is given."""
    usual: dict[str, object] = {
        "full_name": None, "relative_name": None, "only_contains_user_certs": False,
        "only_contains_ca_certs": False, "only_some_reasons": None, "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }  # fmt: skip
    return x509.IssuingDistributionPoint(**(usual | given)), True  # type: ignore[arg-type]


def answer(
    issuer: Credential,
    serial: int,
    *,
    signer: Credential | None = None,
    about: Credential | None = None,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    algorithm: hashes.HashAlgorithm | None = None,
    this_update: datetime = NOW - HOUR,
    next_update: datetime | None = NEXT,
    by_name: bool = False,
    nonce: bytes | None = None,
    extensions: Sequence[Extension] = (),
    with_certificate: bool = True,
    hashed_with: hashes.HashAlgorithm | None = None,
) -> bytes:
    """An answer about a serial number of a CA, signed by it or by somebody else, in DER."""
    signer = issuer if signer is None else signer
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    about = issuer if about is None else about
    name = hashes.Hash(hash_of(algorithm))
    name.update(about.certificate.subject.public_bytes())
    builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
        issuer_name_hash=name.finalize(),
        issuer_key_hash=_key_hash(about, hash_of(algorithm)),
        serial_number=serial,
        algorithm=hash_of(algorithm),
        cert_status=status,
        this_update=this_update,
        next_update=next_update,
        revocation_time=NOW - HOUR if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )
    encoding = ocsp.OCSPResponderEncoding.NAME if by_name else ocsp.OCSPResponderEncoding.HASH
    builder = builder.responder_id(encoding, signer.certificate)
    if with_certificate and signer is not issuer:
        builder = builder.certificates([signer.certificate])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    made = builder.sign(signer.key, hashed_with or hashes.SHA256())
    return made.public_bytes(Encoding.DER)


def hash_of(algorithm: hashes.HashAlgorithm | None) -> hashes.HashAlgorithm:
    return hashes.SHA1() if algorithm is None else algorithm


def _key_hash(issuer: Credential, algorithm: hashes.HashAlgorithm) -> bytes:
    key = issuer.certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        octets = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    else:
        octets = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    digest = hashes.Hash(algorithm)
    digest.update(octets)
    return digest.finalize()

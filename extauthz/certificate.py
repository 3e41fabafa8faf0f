"""The peer certificate: DER octets in, facts out.

Everything that is read from a certificate is read here, once, into plain values; nobody else asks
an X.509 object for a name or an address. Nothing here trusts the certificate: whether it may be
believed is `trust`'s to say.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from extauthz.email import EmailAddress
from extauthz.findings import Finding, Reason

__all__ = ["CertificateFacts", "PeerCertificate", "key_weakness"]

MIN_RSA_BITS = 2048
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for a structure that it cannot read."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What the decision log says of a certificate. Text of the certificate is untrusted input."""

    fingerprint: str
    """SHA-256 of the DER, lower-case hex: the certificate's identity everywhere in extauthz."""
    serial: str
    """Serial number, hex without leading zeros; it says nothing without its issuer."""
    subject: str
    """RFC 4514 string, for people: names are never compared in this form."""
    issuer: str
    not_before: datetime
    """First instant of validity, UTC."""
    not_after: datetime
    """Last instant of validity, UTC, itself included (RFC 5280 4.1.2.5)."""

    @classmethod
    def of(cls, certificate: x509.Certificate, der: bytes) -> Self:
        return cls(
            fingerprint=hashlib.sha256(der).hexdigest(),
            serial=f"{certificate.serial_number:x}",
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The end-entity certificate of the TLS client, readable in every part that a check needs.

    Equal, and hashed, by what the client sent: the SHA-256 over the certificate and its chain.
    """

    identity: bytes
    size: int = field(compare=False)
    """Octets of the certificate and its chain."""
    facts: CertificateFacts = field(compare=False)
    parsed: x509.Certificate = field(compare=False)
    chain: tuple[bytes, ...] = field(compare=False)
    """DER of what the client sent above its certificate: unordered, unverified, perhaps empty."""
    emails: tuple[str, ...] = field(compare=False)
    """The email addresses as written; those that are no address are among them."""
    mailboxes: frozenset[EmailAddress] = field(compare=False)
    """The email addresses that are addresses."""
    authority_key_identifier: bytes | None = field(compare=False)
    faults: tuple[Finding, ...] = field(compare=False)
    """What makes the certificate unfit for client authentication, whoever signed it."""

    @classmethod
    def read(cls, der: bytes, chain: Sequence[bytes] = ()) -> "PeerCertificate | Finding":
        """Read one certificate; what cannot be read whole is `certificate_malformed`."""
        try:
            certificate = x509.load_der_x509_certificate(der)
            extensions = certificate.extensions
            emails = _emails(certificate.subject, extensions)
            digest = hashlib.sha256(der)
            for above in chain:
                digest.update(above)
            return cls(
                identity=digest.digest(),
                size=len(der) + sum(map(len, chain)),
                facts=CertificateFacts.of(certificate, der),
                parsed=certificate,
                chain=tuple(chain),
                emails=emails,
                mailboxes=frozenset(filter(None, map(EmailAddress.parse, emails))),
                authority_key_identifier=_authority_key_identifier(extensions),
                faults=tuple(_faults(certificate, extensions)),
            )
        except _UNREADABLE as error:
            return Finding(Reason.CERTIFICATE_MALFORMED, f"not a readable certificate: {error}")


def key_weakness(certificate: x509.Certificate) -> str | None:
    """What is too weak about the certificate's key or the signature on it; None when nothing is.

    RSA from 2,048 bits, the NIST curves that TLS uses and the Edwards curves pass; a signature
    over SHA-1 or MD5 does not (RFC 9155). Raises ValueError or UnsupportedAlgorithm for a key
    that cannot be read.
    """
    # An unknown signature algorithm has no hash either; path validation refuses that by itself.
    if isinstance(certificate.signature_hash_algorithm, (SHA1, MD5)):
        return f"it is signed over {certificate.signature_hash_algorithm.name}"
    key = certificate.public_key()
    match key:
        case rsa.RSAPublicKey():
            if key.key_size < MIN_RSA_BITS:
                return f"its RSA key has {key.key_size} bits, fewer than {MIN_RSA_BITS}"
        case ec.EllipticCurvePublicKey():
            if not isinstance(key.curve, CURVES):
                return f"its key is on the curve {key.curve.name}, not P-256, P-384 or P-521"
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return None
        case _:
            return f"its key is of the kind {type(key).__name__}, not RSA or elliptic curve"
    return None


def _emails(subject: x509.Name, extensions: x509.Extensions) -> tuple[str, ...]:
    """RFC 5280 4.1.2.6: addresses belong into the subjectAltName; the subject's are legacy.

    It is read only where no rfc822Name is given, so that a CA that states addresses the modern
    way is not contradicted by an older field.
    """
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found: list[str] = []
    else:
        found = names.get_values_for_type(x509.RFC822Name)
    if not found:
        found = [
            value.decode("latin-1") if isinstance(value, bytes) else value
            for attribute in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
            for value in [attribute.value]
        ]
    return tuple(found)


def _authority_key_identifier(extensions: x509.Extensions) -> bytes | None:
    try:
        extension = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return extension.value.key_identifier


def _faults(certificate: x509.Certificate, extensions: x509.Extensions) -> list[Finding]:
    unfit = [
        Finding(Reason.NOT_FOR_CLIENT_AUTH, detail)
        for detail in map(_unfitness, extensions)
        if detail is not None
    ]
    if (weakness := key_weakness(certificate)) is not None:
        unfit.append(Finding(Reason.WEAK_KEY, weakness))
    return unfit


def _unfitness(extension: x509.Extension[x509.ExtensionType]) -> str | None:
    """RFC 5280 4.2.1.3, 4.2.1.9, 4.2.1.12: what an extension, where present, forbids."""
    match extension.value:
        case x509.BasicConstraints(ca=True):
            return "it is a CA certificate"
        case x509.KeyUsage() as usage if not (usage.digital_signature or usage.key_agreement):
            return "its key usage has neither digitalSignature nor keyAgreement"
        case x509.ExtendedKeyUsage() as usage if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
            return "its extended key usage lacks clientAuth"
        case _:
            return None

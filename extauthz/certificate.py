"""The peer certificate: DER octets in, facts out.

Everything that is read from a certificate is read here, once, into plain values; nobody else asks
an X.509 object for a name or an address. Nothing here trusts the certificate: whether it may be
believed is `trust`'s to say.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

from extauthz.email import EmailAddress
from extauthz.findings import Finding, Reason
from extauthz.identity import DistinguishedName, Identity, IdentityKind, parse

__all__ = [
    "CLIENT_PURPOSES",
    "UNREADABLE",
    "CertificateFacts",
    "PeerCertificate",
    "extension",
    "key_weakness",
    "refuse_unused_bits",
    "responders",
    "subject_emails",
]

E = TypeVar("E", bound=x509.ExtensionType)

MIN_RSA_BITS = 2048
MAX_SERIAL_BITS = 159
"""RFC 5280 4.1.2.2: at most 20 octets of DER, whose first bit is the sign."""
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
ANY_PURPOSE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
CLIENT_PURPOSES = {CLIENT_AUTH, ANY_PURPOSE}
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

UNREADABLE = (
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
    principal_names: tuple[str, ...] = field(compare=False)
    """The userPrincipalNames, as written."""
    authority_key_identifier: bytes | None = field(compare=False)
    any_purpose: bool = field(compare=False)
    """Whether its extended key usage has anyExtendedKeyUsage in place of clientAuth."""
    faults: tuple[Finding, ...] = field(compare=False)
    """What makes the certificate unfit for client authentication, whoever signed it."""

    @classmethod
    def read(cls, der: bytes, chain: Sequence[bytes] = ()) -> "PeerCertificate | Finding":
        """Read one certificate; what cannot be read whole is `certificate_malformed`."""
        try:
            certificate = x509.load_der_x509_certificate(der)
            refuse_unused_bits(certificate.signature, der)
            extensions = certificate.extensions
            emails = _emails(certificate.subject, extensions)
            authority_key = extension(extensions, x509.AuthorityKeyIdentifier)
            purposes = extension(extensions, x509.ExtendedKeyUsage) or ()
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
                authority_key_identifier=None
                if authority_key is None
                else authority_key.key_identifier,
                principal_names=_principal_names(extensions),
                any_purpose=ANY_PURPOSE in purposes and CLIENT_AUTH not in purposes,
                faults=tuple(_faults(certificate, extensions)),
            )
        except UNREADABLE as error:
            return Finding(Reason.CERTIFICATE_MALFORMED, f"not a readable certificate: {error}")

    def names(self, kind: IdentityKind) -> tuple[str, ...]:
        """The names of that kind as written; those that are no such name are among them."""
        match kind:
            case IdentityKind.EMAIL:
                return self.emails
            case IdentityKind.UPN:
                return self.principal_names
            case IdentityKind.SUBJECT:
                return (self.facts.subject,) if self.facts.subject else ()
            case IdentityKind.SAN_URI:
                given = extension(self.parsed.extensions, x509.SubjectAlternativeName)
                uris = x509.UniformResourceIdentifier
                return () if given is None else tuple(given.get_values_for_type(uris))

    def identities(self, kind: IdentityKind) -> frozenset[Identity]:
        """The names of that kind that are such names, in the form in which they are compared."""
        if kind is IdentityKind.EMAIL:
            return self.mailboxes
        if kind is IdentityKind.SUBJECT:
            # As a name: a text of it would have to be taken apart again.
            own = DistinguishedName.of(self.parsed.subject)
            return frozenset() if own is None else frozenset([own])
        read = (parse(kind, name) for name in self.names(kind))
        return frozenset(identity for identity in read if identity is not None)


def refuse_unused_bits(signature: bytes, der: bytes) -> None:
    """Raise ValueError unless the signature of a certificate or CRL is a number of whole octets.

    The library does not look at the count of unused bits: one certificate could be written in
    several ways, with as many fingerprints. The signature is the last element of either.
    """
    if der[-len(signature) - 1] != 0:
        message = "its signature is not a whole number of octets"
        raise ValueError(message)


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


def extension(extensions: x509.Extensions, kind: type[E]) -> E | None:
    """The value of the extension of that kind; None when there is none."""
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def responders(certificate: x509.Certificate) -> tuple[str, ...]:
    """The URLs of OCSP responders in the authorityInfoAccess (RFC 5280 4.2.2.1)."""
    access = extension(certificate.extensions, x509.AuthorityInformationAccess) or ()
    return tuple(
        each.access_location.value
        for each in access
        if each.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(each.access_location, x509.UniformResourceIdentifier)
    )


def _emails(subject: x509.Name, extensions: x509.Extensions) -> tuple[str, ...]:
    """RFC 5280 4.1.2.6: addresses belong into the subjectAltName; the subject's are legacy.

    They stand there as rfc822Name or, with a local part beyond ASCII, as SmtpUTF8Mailbox
    (RFC 9598). The subject is read only where neither is given, so that a CA that states addresses
    the modern way is not contradicted by an older field.
    """
    names = extension(extensions, x509.SubjectAlternativeName)
    found: list[str] = []
    if names is not None:
        found += names.get_values_for_type(x509.RFC822Name)
        found += _other_names(names, SMTP_UTF8_MAILBOX)
    return tuple(found) or subject_emails(subject)


def subject_emails(subject: x509.Name) -> tuple[str, ...]:
    """The emailAddress attributes of a subject (RFC 5280 4.1.2.6), as written."""
    return tuple(
        value.decode("latin-1") if isinstance(value, bytes) else value
        for attribute in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
        for value in [attribute.value]
    )


def _principal_names(extensions: x509.Extensions) -> tuple[str, ...]:
    names = extension(extensions, x509.SubjectAlternativeName)
    return () if names is None else tuple(_other_names(names, UPN))


def _other_names(
    names: x509.SubjectAlternativeName, type_id: x509.ObjectIdentifier
) -> Iterator[str]:
    """The otherNames of one type, each a UTF8String. Raises ValueError for another string type."""
    for name in names.get_values_for_type(x509.OtherName):
        if name.type_id == type_id:
            yield asn1.decode_der(str, name.value)


def _faults(certificate: x509.Certificate, extensions: x509.Extensions) -> list[Finding]:
    unfit = [
        Finding(Reason.NOT_FOR_CLIENT_AUTH, detail)
        for detail in map(_unfitness, extensions)
        if detail is not None
    ]
    serial = certificate.serial_number
    if serial <= 0 or serial.bit_length() > MAX_SERIAL_BITS:
        detail = f"its serial number {serial:x} is not positive and of at most 20 octets"
        unfit.append(Finding(Reason.CHAIN_INVALID, detail))
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
        case x509.ExtendedKeyUsage() as usage if not CLIENT_PURPOSES & set(usage):
            return "its extended key usage lacks clientAuth"
        case _:
            return None

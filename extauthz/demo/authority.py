"""A certification authority in memory: makes the certificates of the demonstration and the tests.

Nothing here is for production: keys are made and written out in the clear.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Credential", "Extension", "Validity", "authority", "key_usage", "name", "user"]

Extension: TypeAlias = tuple[x509.ExtensionType, bool]
"""An extension and whether it is critical."""


@dataclass(frozen=True, slots=True)
class Validity:
    """A validity period, from and until (both aware, both included)."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def days(cls, first: float, last: float) -> Self:
        """From `first` to `last` days after now; negative ones are in the past."""
        now = datetime.now(UTC).replace(microsecond=0)
        return cls(now + timedelta(days=first), now + timedelta(days=last))


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate with its private key: a user's, a server's, or a CA's."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        encoded = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return encoded.decode()

    def pkcs12(self, password: str, issuer: "Credential | None" = None) -> bytes:
        """A PKCS#12 file (RFC 7292), as browsers and phones import them."""
        above = None if issuer is None else [issuer.certificate]
        encryption = BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(
            self.certificate.subject.rfc4514_string().encode(),
            self.key,  # type: ignore[arg-type]  # PKCS#12 is for fewer kinds of key
            self.certificate,
            above,
            encryption,
        )

    def write(self, directory: Path, stem: str) -> None:
        """Write `STEM.pem` and, readable by its owner alone, `STEM-key.pem`."""
        (directory / f"{stem}.pem").write_text(self.pem)
        key = directory / f"{stem}-key.pem"
        key.touch(mode=0o600)
        key.write_text(self.key_pem)

    def issue(
        self,
        subject: x509.Name,
        extensions: Sequence[Extension] = (),
        *,
        validity: Validity | None = None,
        key: CertificateIssuerPrivateKeyTypes | None = None,
    ) -> "Credential":
        """Sign a certificate with exactly these extensions, valid for 30 days unless told."""
        key = new_key() if key is None else key
        return Credential(
            _signed(
                self.certificate.subject,
                self.key,
                subject,
                key,
                extensions,
                validity or Validity.days(-1, 30),
            ),
            key,
        )


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name: str, organization: str | None = None, email: str | None = None) -> x509.Name:
    """A subject: CN, and O and the legacy emailAddress where given."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    if email is not None:
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, email))
    return x509.Name(attributes)


def key_usage(*usages: str) -> x509.KeyUsage:
    """The key usages named as `x509.KeyUsage` names them, and no other."""
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{usage: usage in usages for usage in every})


def authority(
    subject: x509.Name,
    extensions: Sequence[Extension] | None = None,
    *,
    validity: Validity | None = None,
    key: CertificateIssuerPrivateKeyTypes | None = None,
) -> Credential:
    """A self-signed CA, valid for ten years unless told; its extensions replace the usual ones."""
    key = new_key() if key is None else key
    if extensions is None:
        extensions = (
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (key_usage("key_cert_sign", "crl_sign"), True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        )
    validity = validity or Validity.days(-1, 3650)
    return Credential(_signed(subject, key, subject, key, extensions, validity), key)


def user(
    issuer: Credential,
    common_name: str,
    *emails: str,
    validity: Validity | None = None,
    key: CertificateIssuerPrivateKeyTypes | None = None,
) -> Credential:
    """A user's certificate as a company's CA makes it, with the email addresses as rfc822Names."""
    extensions: list[Extension] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False),
    ]
    if emails:
        addresses = [x509.RFC822Name(email) for email in emails]
        extensions.append((x509.SubjectAlternativeName(addresses), False))
    return issuer.issue(name(common_name), extensions, validity=validity, key=key)


def _signed(  # noqa: PLR0913, PLR0917 (the fields of a certificate)
    issuer: x509.Name,
    issuer_key: CertificateIssuerPrivateKeyTypes,
    subject: x509.Name,
    key: CertificateIssuerPrivateKeyTypes,
    extensions: Sequence[Extension],
    validity: Validity,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    # The Edwards curves fix the hash themselves.
    hashed = isinstance(issuer_key, ec.EllipticCurvePrivateKey) or hasattr(issuer_key, "key_size")
    return builder.sign(issuer_key, hashes.SHA256() if hashed else None)

"""A CA certificate: what path building, CRLs and OCSP need to know of an issuer.

Nothing here trusts the certificate. One that a subscription handed in is a trust anchor (`trust`);
one that a client sent, or that stands in a policy's `intermediates`, is a step on the way to one.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from extauthz.certificate import (
    UNREADABLE,
    CertificateFacts,
    extension,
    key_weakness,
    refuse_unused_bits,
)

__all__ = ["CaCertificate", "UnusableError", "issuer_identity"]

MAX_RSA_BITS = 8192
MAX_RSA_EXPONENT_BITS = 64
"""A larger modulus or exponent makes one signature check cost milliseconds, at a client's will."""


class UnusableError(ValueError):
    """A certificate can never work as an issuer of certificates; the message says why."""


@dataclass(frozen=True, slots=True)
class CaCertificate:
    """A certificate with which certificates may be signed. Equal means the same octets."""

    facts: CertificateFacts
    identity: bytes = field(repr=False, compare=False)
    """SHA-256 over its name and its key: the same for all certificates of one CA key. A CRL or an
    OCSP answer speaks for this, whichever certificate of the CA stands in the path."""
    key_identifier: bytes | None = field(compare=False)
    authority_key_identifier: bytes | None = field(repr=False, compare=False)
    signs_crls: bool = field(compare=False)
    """Whether its key usage, where there is one, has cRLSign (RFC 5280 4.2.1.3)."""
    parsed: x509.Certificate = field(repr=False, compare=False)

    @classmethod
    def read(cls, der: bytes) -> Self:
        """Read a CA certificate.

        Raises UnusableError for what can never sign a certificate that is accepted: a structure
        that cannot be read, no CA, a key usage without keyCertSign, a weak key. Its validity
        period is left to each check.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
            refuse_unused_bits(certificate.signature, der)
            extensions = certificate.extensions
            usage = extension(extensions, x509.KeyUsage)
            _refuse_unless_ca(certificate, extensions, usage)
            own = extension(extensions, x509.SubjectKeyIdentifier)
            above = extension(extensions, x509.AuthorityKeyIdentifier)
            return cls(
                facts=CertificateFacts.of(certificate, der),
                identity=issuer_identity(certificate),
                key_identifier=None if own is None else own.digest,
                authority_key_identifier=None if above is None else above.key_identifier,
                signs_crls=usage is None or usage.crl_sign,
                parsed=certificate,
            )
        except UnusableError:
            raise
        except UNREADABLE as error:
            message = f"it is not a readable certificate: {error}"
            raise UnusableError(message) from error

    @property
    def subject(self) -> x509.Name:
        return self.parsed.subject


def issuer_identity(certificate: x509.Certificate) -> bytes:
    """SHA-256 over the certificate's subject and public key: what makes one CA that CA."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    subject = certificate.subject.public_bytes()
    # The subject is a DER sequence and so says its own length: no other pair joins to the same.
    return hashlib.sha256(subject + key).digest()


def _refuse_unless_ca(
    certificate: x509.Certificate, extensions: x509.Extensions, usage: x509.KeyUsage | None
) -> None:
    constraints = extension(extensions, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        message = "it is not a CA certificate (its basicConstraints do not say CA:TRUE)"
        raise UnusableError(message)
    if usage is not None and not usage.key_cert_sign:
        message = "its key usage lacks keyCertSign"
        raise UnusableError(message)
    if (weakness := key_weakness(certificate)) is not None:
        raise UnusableError(weakness)
    key = certificate.public_key()
    # Not weak, but path validation knows no signature of theirs: nobody would ever pass.
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        message = "its key is Ed25519 or Ed448, and only RSA and NIST curves are supported"
        raise UnusableError(message)
    if isinstance(key, rsa.RSAPublicKey) and (
        key.key_size > MAX_RSA_BITS or key.public_numbers().e.bit_length() > MAX_RSA_EXPONENT_BITS
    ):
        message = f"its RSA key is larger than {MAX_RSA_BITS} bits, or has a huge exponent"
        raise UnusableError(message)

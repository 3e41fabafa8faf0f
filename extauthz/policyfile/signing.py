"""The files that hold CA certificates, and what is wrong with them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from cryptography import x509

from extauthz import pem
from extauthz.ca import CaCertificate, UnusableError
from extauthz.certificate import UNREADABLE, CertificateFacts
from extauthz.files import FileProblemError, read_text
from extauthz.pem import Block
from extauthz.policyfile.problems import quoted
from extauthz.trust import SigningCertificate

__all__ = [
    "EXPIRY_WARNING",
    "CertificateFile",
    "Fault",
    "date_fault",
    "is_valid",
    "read",
    "read_bundle",
    "read_intermediates",
]

C = TypeVar("C")

MAX_PEM_OCTETS = 1024 * 1024
EXPIRY_WARNING = timedelta(days=30)
"""How long before its end a CA certificate is warned about."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file or a certificate in it. The message goes on after its name."""

    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class CertificateFile(Generic[C]):
    """What a file of certificates holds. With a fault, nothing of it may be used."""

    certificates: tuple[C, ...]
    faults: tuple[Fault, ...]


def read(path: Path, label: str) -> CertificateFile[SigningCertificate]:
    """The signing certificates of a PEM file, and all that is wrong with it but their dates.

    Each is labelled with the name of the file; from the second on with its number, too.
    """
    remedy = "name the CA certificate that signs the users' certificates"

    def signing(der: bytes, number: int) -> SigningCertificate:
        return SigningCertificate.read(der, label if number == 1 else f"{label}#{number}")

    return _file(path, signing, "cannot sign users' certificates", remedy)


def read_intermediates(path: Path, _label: str) -> CertificateFile[CaCertificate]:
    """The intermediate CA certificates of a PEM file, and what is wrong but their dates."""
    remedy = "name certificates of CAs that issue users' certificates"
    return _file(path, lambda der, _: CaCertificate.read(der), "cannot issue certificates", remedy)


def read_bundle(path: Path) -> CertificateFile[x509.Certificate]:
    """The certificates of a PEM file against which servers are checked, and what is wrong."""

    def any_certificate(der: bytes, _number: int) -> x509.Certificate:
        try:
            return x509.load_der_x509_certificate(der)
        except UNREADABLE as error:
            raise UnusableError(str(error)) from error

    return _file(path, any_certificate, "cannot be read", "name a PEM file with CA certificates")


def date_fault(facts: CertificateFacts, now: datetime) -> Fault | None:
    """What is wrong, or will soon be, with a certificate's validity period as of `now` (aware)."""
    if now > facts.not_after:
        message = f"expired at {facts.not_after.isoformat()}"
        return Fault(message, "remove it, or name the one that replaces it")
    if now < facts.not_before:
        message = f"is not valid before {facts.not_before.isoformat()}"
        return Fault(message, "keep the one that it replaces until then")
    if now > facts.not_after - EXPIRY_WARNING:
        message = f"expires soon, at {facts.not_after.isoformat()}"
        return Fault(message, "name the one that replaces it beside it")
    return None


def is_valid(facts: CertificateFacts, now: datetime) -> bool:
    return facts.not_before <= now <= facts.not_after


def _file(
    path: Path, certificate: Callable[[bytes, int], C], what: str, remedy: str
) -> CertificateFile[C]:
    certificates: list[C] = []
    faults: list[Fault] = []
    blocks = _blocks(path)
    if isinstance(blocks, Fault):
        return CertificateFile((), (blocks,))
    for number, block in enumerate(blocks, 1):
        which = f" (block {number} of {len(blocks)})" if len(blocks) > 1 else ""
        if block.label != "CERTIFICATE":
            message = f"holds {quoted(block.label)}, not a certificate{which}"
            faults.append(Fault(message, "leave it out: the file is to hold CA certificates alone"))
            continue
        try:
            certificates.append(certificate(block.der, number))
        except UnusableError as error:
            message = f"holds a certificate that {what}{which}: {error}"
            faults.append(Fault(message, remedy))
    return CertificateFile(tuple(certificates), tuple(faults))


def _blocks(path: Path) -> list[Block] | Fault:
    try:
        text = read_text(path, MAX_PEM_OCTETS)
        # Looked for before the text is taken apart: an encrypted or damaged key is one, too.
        if "PRIVATE KEY-----" in text:
            remedy = "hand in the certificate alone; a signing key stays with the CA"
            return Fault("holds a private key", remedy)
        blocks = pem.in_file(text)
    except FileProblemError as error:
        return Fault(str(error), error.remedy)
    except pem.PemError as error:
        return Fault(f"is broken: {error}", "write the PEM file again")
    return blocks or Fault("holds no PEM block", "name a PEM file with CA certificates")

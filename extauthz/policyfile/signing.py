"""The files that hold signing certificates, and what is wrong with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from extauthz import pem
from extauthz.pem import Block
from extauthz.policyfile.files import FileProblemError, read_text
from extauthz.policyfile.problems import quoted
from extauthz.trust import SigningCertificate, UnusableError

__all__ = ["EXPIRY_WARNING", "Fault", "SigningFile", "date_fault", "is_valid", "read"]

MAX_PEM_OCTETS = 1024 * 1024
EXPIRY_WARNING = timedelta(days=30)
"""How long before its end a signing certificate is warned about."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file or a certificate in it. The message goes on after its name."""

    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class SigningFile:
    """What a file of signing certificates holds. With a fault, nothing of it may be used."""

    certificates: tuple[SigningCertificate, ...]
    faults: tuple[Fault, ...]


def read(path: Path) -> SigningFile:
    """The certificates of a PEM file, and everything that is wrong with it but their dates."""
    certificates: list[SigningCertificate] = []
    faults: list[Fault] = []
    for read_ in _read(path):
        if isinstance(read_, Fault):
            faults.append(read_)
        else:
            certificates.append(read_)
    return SigningFile(tuple(certificates), tuple(faults))


def date_fault(signing: SigningCertificate, now: datetime) -> Fault | None:
    """What is wrong, or will soon be, with a certificate's validity period as of `now` (aware)."""
    facts = signing.facts
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


def is_valid(signing: SigningCertificate, now: datetime) -> bool:
    return signing.facts.not_before <= now <= signing.facts.not_after


def _read(path: Path) -> Iterator[SigningCertificate | Fault]:
    try:
        text = read_text(path, MAX_PEM_OCTETS)
        # Looked for before the text is taken apart: an encrypted or damaged key is one, too.
        if "PRIVATE KEY-----" in text:
            remedy = "hand in the certificate alone; a signing key stays with the CA"
            yield Fault("holds a private key", remedy)
            return
        blocks = pem.in_file(text)
    except FileProblemError as error:
        yield Fault(str(error), error.remedy)
        return
    except pem.PemError as error:
        yield Fault(f"is broken: {error}", "write the PEM file again")
        return
    if not blocks:
        yield Fault("holds no PEM block", "name a PEM file with CA certificates")
    for number, block in enumerate(blocks, 1):
        yield _certificate(block, f" (block {number} of {len(blocks)})" if len(blocks) > 1 else "")


def _certificate(block: Block, which: str) -> SigningCertificate | Fault:
    if block.label != "CERTIFICATE":
        remedy = "leave it out: the file is to hold CA certificates alone"
        return Fault(f"holds {quoted(block.label)}, not a certificate{which}", remedy)
    try:
        return SigningCertificate.read(block.der)
    except UnusableError as error:
        message = f"holds a certificate that cannot sign users' certificates{which}: {error}"
        return Fault(message, "name the CA certificate that signs the users' certificates")

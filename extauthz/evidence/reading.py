"""CRL files to lists: what runs in a worker, so that checks go on meanwhile."""

from dataclasses import dataclass
from pathlib import Path

from extauthz import pem
from extauthz.ca import CaCertificate
from extauthz.crl import Crl, CrlError
from extauthz.files import FileProblemError, read_octets

__all__ = ["LIST_LABEL", "MAX_OCTETS", "Reading", "read_large", "read_lists"]

MAX_OCTETS = 256 * 1024 * 1024
"""Largest CRL: some 6,000,000 entries."""
MAX_PREAMBLE = 64 * 1024
"""Octets of explanatory text (RFC 7468 5.2) before the first block."""
LIST_LABEL = "X509 CRL"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds. A list that is wrong takes nothing from the others beside it."""

    lists: tuple[Crl, ...]
    problems: tuple[str, ...]


def read_lists(path: Path) -> Reading:
    """Read the CRLs of a file: one in DER, or any number in PEM."""
    return _read(path, None)


def read_large(path: Path, authorities: tuple[bytes, ...]) -> Reading:
    """Read the CRLs of a large file as far as these CAs, given in DER, have signed them."""
    return _read(path, [CaCertificate.read(der) for der in authorities])


def _read(path: Path, signers: list[CaCertificate] | None) -> Reading:
    lists: list[Crl] = []
    problems: list[str] = []
    try:
        octets = read_octets(path, MAX_OCTETS)
        for der in _ders(octets):
            try:
                lists.append(Crl.read(der, signers))
            except CrlError as error:
                problems.append(str(error))
    except (FileProblemError, pem.PemError) as error:
        problems.append(str(error))
    except UnicodeDecodeError:
        problems.append("it is neither DER nor PEM")
    return Reading(tuple(lists), tuple(problems))


def _ders(octets: bytes) -> list[bytes]:
    if b"-----BEGIN " not in octets[:MAX_PREAMBLE]:
        return [octets]
    blocks = pem.in_file(octets.decode("ascii"))
    if any(block.label != LIST_LABEL for block in blocks):
        message = "its PEM holds something else than CRLs"
        raise pem.PemError(message)
    return [block.der for block in blocks]

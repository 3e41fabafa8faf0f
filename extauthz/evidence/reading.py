"""CRL files to lists: what runs in a worker, so that checks go on meanwhile."""

from pathlib import Path

from extauthz import pem
from extauthz.crl import Crl, CrlError
from extauthz.files import FileProblemError, read_octets

__all__ = ["LIST_LABEL", "MAX_OCTETS", "read_lists"]

MAX_OCTETS = 256 * 1024 * 1024
"""Largest CRL: some 6,000,000 entries."""
LIST_LABEL = "X509 CRL"


def read_lists(path: Path) -> list[Crl]:
    """The CRLs of a file: one in DER, or any number in PEM.

    Raises CrlError for a file that cannot be read, or that holds anything else.
    """
    try:
        octets = read_octets(path, MAX_OCTETS)
        if b"-----BEGIN " not in octets[:MAX_PREAMBLE]:
            return [Crl.read(octets)]
        blocks = pem.in_file(octets.decode("ascii"))
    except FileProblemError as error:
        raise CrlError(str(error)) from error
    except UnicodeDecodeError as error:
        raise CrlError("it is neither DER nor PEM") from error
    except pem.PemError as error:
        raise CrlError(str(error)) from error
    if any(block.label != LIST_LABEL for block in blocks):
        raise CrlError("its PEM holds something else than CRLs")
    return [Crl.read(block.der) for block in blocks]


MAX_PREAMBLE = 64 * 1024
"""Octets of explanatory text (RFC 7468 5.2) before the first block."""

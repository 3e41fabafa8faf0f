"""Reading the files of a policy, without trusting what stands under their names."""

import os
import stat
from pathlib import Path
from typing import TypeAlias

__all__ = ["FileProblemError", "Stamp", "read_text", "stamp"]

Stamp: TypeAlias = tuple[int, int, int, int, int]


class FileProblemError(Exception):
    """A file cannot be read as text; the message says why, `remedy` what would be right."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def read_text(path: Path, limit: int) -> str:
    """The text of a regular file of at most `limit` octets, in UTF-8. Raises FileProblemError.

    A named pipe or a device under the name is refused and not waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "check the path, and that extauthz may read it"
        raise FileProblemError(f"cannot be read: {reason}", remedy) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileProblemError("is not a regular file", "name a file")
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise FileProblemError(f"cannot be read: {error.strerror}", "try again") from error
    if len(content) > limit:
        raise FileProblemError(f"is larger than {limit} octets", "check that it is the right file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        remedy = "write it as UTF-8; a DER certificate becomes PEM by `openssl x509 -inform DER`"
        raise FileProblemError(f"is not text: octet {error.start} is no UTF-8", remedy) from error


def stamp(path: Path) -> Stamp:
    """What tells a changed file from an unchanged one without reading it; zeros without a file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return 0, 0, 0, 0, 0
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

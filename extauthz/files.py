"""Reading files that an operator names, without trusting what stands under the names."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = ["FileProblemError", "Place", "Stamp", "read_octets", "read_text", "stamp"]

Stamp: TypeAlias = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file, both counted from 1."""

    line: int
    column: int


class FileProblemError(Exception):
    """A file cannot be read as it should be; the message says why, `remedy` what would be right."""

    def __init__(self, message: str, remedy: str, place: Place | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.place = place
        """Where in the file, when it is a place in it that is wrong."""


def read_text(path: Path, limit: int) -> str:
    """The text of a regular file of at most `limit` octets, in UTF-8. Raises FileProblemError.

    A named pipe or a device under the name is refused and not waited for.
    """
    content = read_octets(path, limit)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line_start = content.rfind(b"\n", 0, error.start) + 1
        line = content.count(b"\n", 0, error.start) + 1
        place = Place(line, len(content[line_start : error.start].decode("utf-8")) + 1)
        raise FileProblemError("is not text in UTF-8", _recode(content), place) from error


def read_octets(path: Path, limit: int) -> bytes:
    """The octets of a regular file of at most `limit`. Raises FileProblemError."""
    content = _read(path, limit)
    if len(content) > limit:
        raise FileProblemError(f"is larger than {limit} octets", "check that it is the right file")
    return content


def _read(path: Path, limit: int) -> bytes:
    """The first octets of a regular file, one more than `limit` when it has them."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "check the path, and that extauthz may read it"
        raise FileProblemError(f"cannot be read: {reason}", remedy) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            what = "is a directory" if stat.S_ISDIR(mode) else "is not a regular file"
            raise FileProblemError(what, "name a file")
        with open(descriptor, "rb", closefd=False) as file:
            # None is what a file of the kernel says that has nothing to read yet.
            return file.read(limit + 1) or b""
    except OSError as error:
        raise FileProblemError(f"cannot be read: {error.strerror}", "try again") from error
    finally:
        os.close(descriptor)


def _recode(content: bytes) -> str:
    """What to do about a file that is not UTF-8, by what it looks like."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16: save it as UTF-8"
    if content.startswith(b"\x30"):
        return "if it is DER, `openssl x509 -inform DER -in FILE` writes it as PEM"
    return "save it as UTF-8"


def stamp(path: Path) -> Stamp:
    """What tells a changed file from an unchanged one without reading it; zeros without a file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return 0, 0, 0, 0, 0
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

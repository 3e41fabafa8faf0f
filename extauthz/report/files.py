"""The files of a report: found, given harmless names, and made readable where they are damaged.

A name is whatever somebody wrote on the disk or on the command line, and could mean something to
the engine (a pattern, a compression); so each file reaches it by a symbolic link with a name of
our own. What is compressed is told by its first octets. Standard input and pipes are copied.
"""

import glob
import gzip
import os
import shutil
import stat
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "MAX_LINE", "STANDARD_INPUT", "LogFile", "UnreadableFileError", "found", "mended", "taken",
]  # fmt: skip

STANDARD_INPUT = "-"
MAX_LINE = 2 * 1024 * 1024
"""Longest line that is read of a damaged file, in octets; that of a certificate has some 350 KB."""
_GZIP = b"\x1f\x8b"
_GZIP_TRAILER = struct.Struct("<II")
"""CRC and length, modulo 2**32, of what is compressed."""


class UnreadableFileError(Exception):
    """A file, or a name on the command line, that leads to nothing that can be read."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file, as the engine gets it."""

    name: str
    """How the user knows it; untrusted text."""
    path: Path
    """Ours."""
    lost: int = 0
    """Lines that had to be left out: too long, or behind damage (which counts as one)."""


def found(names: Iterable[str]) -> list[str]:
    """The files that names, patterns and directories mean, in that order, each once.

    Of a directory, all but the hidden ones. A file that was compressed, and whose original is
    still there or just went away, is the compressed one. Raises UnreadableFileError.
    """
    files: dict[object, str] = {}
    for each in (file for name in names for file in _meant(name)):
        file = _packed(each) if _is_packed(each) else each
        files.setdefault(_identity(file), file)
    return list(files.values())


def _identity(file: str) -> object:
    """The same for all names of a file: links would make its checks count twice."""
    try:
        status = Path(file).stat()
    except (OSError, ValueError):
        return file
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else file


def _packed(name: str) -> str:
    return f"{name}.gz"


def _is_packed(name: str) -> bool:
    """Whether what a file has is in its compressed form, too, by length and CRC (RFC 1952).

    The server compresses beside the file, renames, and then deletes the original.
    """
    try:
        with Path(_packed(name)).open("rb") as packed, Path(name).open("rb") as plain:
            if not all(stat.S_ISREG(os.fstat(each.fileno()).st_mode) for each in (packed, plain)):
                return False
            length = os.fstat(plain.fileno()).st_size
            is_gzip = packed.read(len(_GZIP)) == _GZIP
            packed.seek(-_GZIP_TRAILER.size, os.SEEK_END)
            crc, low_length = _GZIP_TRAILER.unpack(packed.read(_GZIP_TRAILER.size))
            if not is_gzip or length % 2**32 != low_length:
                return False
            found_crc = 0
            while chunk := plain.read(1024 * 1024):
                found_crc = zlib.crc32(chunk, found_crc)
    except (OSError, ValueError):
        return False
    return bool(found_crc == crc)


def _meant(name: str) -> list[str]:
    if name == STANDARD_INPUT:
        return [name]
    if not os.path.lexists(name) and Path(_packed(name)).is_file():
        return [_packed(name)]
    # The name itself first: a file may be called `[a].log`.
    matches = [name] if os.path.lexists(name) else sorted(glob.glob(name))  # noqa: PTH207
    files: list[str] = []
    for match in matches:
        files += _of_directory(match) if Path(match).is_dir() else [match]
    if not files:
        raise UnreadableFileError(f"{name}: no such file, and none in it")
    return files


def _of_directory(name: str) -> list[str]:
    try:
        entries = sorted(os.scandir(name), key=lambda entry: entry.name)
    except OSError as error:
        raise UnreadableFileError(f"{name}: {error.strerror}") from error
    return [entry.path for entry in entries if entry.is_file() and not entry.name.startswith(".")]


def taken(name: str, number: int, directory: Path) -> LogFile:
    """A file, under a name of ours in `directory`. Raises UnreadableFileError."""
    try:
        if name == STANDARD_INPUT:
            return _copied(name, sys.stdin.buffer, directory / f"{number}-input")
        with Path(name).open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return _copied(name, file, directory / f"{number}-input")
            compressed = file.read(len(_GZIP)) == _GZIP
        link = directory / f"{number}.jsonl{'.gz' if compressed else ''}"
        link.symlink_to(Path(name).absolute())
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise UnreadableFileError(f"{name}: {_said(error)}") from error
    return LogFile(name, link)


def _copied(name: str, stream: BinaryIO, path: Path) -> LogFile:
    """What comes through a pipe, which can be read but once."""
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file, 1024 * 1024)
    with path.open("rb") as file:
        compressed = file.read(len(_GZIP)) == _GZIP
    named = path.with_name(f"{path.name}.jsonl{'.gz' if compressed else ''}")
    return LogFile(name, path.rename(named))


def mended(file: LogFile) -> LogFile:
    """A plain copy, beside it, of what can be read of it. Raises UnreadableFileError."""
    path = file.path.with_name(f"{file.path.name}.mended.jsonl")
    lost = 0
    try:
        with file.path.open("rb") as octets, path.open("wb") as copy:
            stream = gzip.GzipFile(fileobj=octets) if file.path.suffix == ".gz" else octets
            try:
                for line in _lines(stream):
                    if line is None:
                        lost += 1
                    else:
                        copy.write(line)
            except (EOFError, gzip.BadGzipFile, zlib.error):
                lost += 1
    except OSError as error:
        raise UnreadableFileError(f"{file.name}: {_said(error)}") from error
    return LogFile(file.name, path, lost)


def _lines(stream: BinaryIO | gzip.GzipFile) -> Iterator[bytes | None]:
    """Lines, each with a line feed; None in place of one that is too long."""
    while line := stream.readline(MAX_LINE):
        if line.endswith(b"\n") or len(line) < MAX_LINE:
            yield line if line.endswith(b"\n") else line + b"\n"
            continue
        while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass
        yield None


def _said(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

"""One finished file of a log: compressed by one process at a time, or deleted by any.

A finished file is `NAME`, or `NAME.gz`, or for a moment both, which hold the same. Here it goes by
`NAME`, in whatever form it is there. A compressed form takes its name only when it is whole and on
the disk; until then it is called `.NAME.gz.part`, and whoever has that locked has the file in hand.
"""

import errno
import fcntl
import gzip
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

__all__ = ["compress", "compressed", "delete", "is_at", "is_file", "octets_of", "sync_directory"]

_CHUNK = 1024 * 1024
_LEVEL = 6


def compressed(path: Path) -> Path:
    """The name of the compressed form."""
    return path.with_name(f"{path.name}.gz")


def octets_of(path: Path) -> int:
    """How much a file is on the disk, as far as can be seen."""
    total = 0
    for form in (path, compressed(path)):
        with suppress(OSError):
            facts = form.lstat()
            total += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return total


def is_file(path: Path) -> bool:
    """Whether it is there, and no link or pipe: we make none of them."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def compress(path: Path, stop: threading.Event) -> bool:
    """Replace a file by its compressed form; false if another does, or when told to stop.

    Raises OSError.
    """
    final, part = compressed(path), _part(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(part, flags, 0o600), "wb") as target:
        try:
            fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # Who had the lock before may have finished, and renamed what we opened.
        if not is_at(part, target.fileno()):
            return False
        try:
            if os.path.lexists(final):
                # A crash came between the last two steps.
                _must_hold(final, path)
            else:
                os.truncate(target.fileno(), 0)
                if not _copy(path, target, stop):
                    return False
                part.rename(final)
                sync_directory(path.parent)
            path.unlink()
        finally:
            if is_at(part, target.fileno()):
                part.unlink()
    return True


def delete(path: Path) -> bool:
    """Delete a file, also one that is being compressed; false if it was gone. Raises OSError."""
    part, is_deleted = _part(path), False
    # In this order, so that it does not come back: what another process compresses has no name to
    # be renamed from, or was renamed before.
    for form in (path, part, compressed(path)):
        if is_file(form):
            with suppress(FileNotFoundError):
                form.unlink()
                is_deleted = is_deleted or form != part
    return is_deleted


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.gz.part")


def _copy(path: Path, target: IO[bytes], stop: threading.Event) -> bool:
    """Write the compressed form of a file, safely on the disk; false when told to stop."""
    source_flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, source_flags), "rb") as source:
        facts = os.fstat(source.fileno())
        with gzip.GzipFile("", "wb", _LEVEL, target, mtime=0) as packed:
            while chunk := source.read(_CHUNK):
                if stop.is_set():
                    return False
                packed.write(chunk)
        target.flush()
        os.fchmod(target.fileno(), stat.S_IMODE(facts.st_mode))
        os.utime(target.fileno(), ns=(facts.st_atime_ns, facts.st_mtime_ns))
        os.fsync(target.fileno())
    return True


def _must_hold(final: Path, path: Path) -> None:
    """Raise an OSError unless the one file has the size of the other (RFC 1952, ISIZE)."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(final, flags), "rb") as packed:
        packed.seek(max(0, os.fstat(packed.fileno()).st_size - 4))
        size = int.from_bytes(packed.read(4), "little")
    if size != path.stat().st_size % 2**32:
        raise OSError(errno.EEXIST, f"{final.name} is there, and is not the same")


def is_at(path: Path, descriptor: int) -> bool:
    """Whether the file that is open still stands under the name."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return False


def sync_directory(directory: Path) -> None:
    """Have the names in a directory safe on the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Not every file system can.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)

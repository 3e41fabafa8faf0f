"""A new content for a file, all at once: whoever reads it finds the old one or the new one, whole.

The new content stands in a hidden file beside the old one until it has been read and found right;
then it takes the old one's name. Owner, permissions and access control lists stay as they were.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from extauthz.mending.outcome import FailedError

__all__ = ["beside", "sync_directory", "take_place"]

_ACCESS = "system.posix_acl_access"


@contextmanager
def beside(target: Path, octets: bytes, ending: str) -> Iterator[Path]:
    """Write what is to take the place of a file; it is removed when there is an error.

    Its name ends as its readers want it. There is one such name for a file: what a command left
    that was killed goes with the next one. Whoever calls holds the lock of the target, which it
    loses when the file takes its place. Raises FailedError.
    """
    path = target.with_name(f".{target.name}.mending{ending}")
    # A rename asks for the directory's permission alone, and never for the file's.
    if not os.access(target, os.W_OK, effective_ids=True):
        raise FailedError(f"{target} cannot be written: no permission to write it")
    try:
        _write(path, octets, target)
        yield path
    except BaseException as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            what = error.filename or path
            raise FailedError(f"{what} cannot be written: {error.strerror}") from error
        raise


def take_place(path: Path, target: Path) -> None:
    """Let a file that is written take the name of another. Raises FailedError."""
    try:
        path.replace(target)
    except OSError as error:
        raise FailedError(f"{target} cannot be replaced: {error.strerror}") from error
    with suppress(OSError):
        sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, octets: bytes, target: Path) -> None:
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(octets)
        file.flush()
        _make_alike(file.fileno(), target)
        os.fsync(file.fileno())


def _make_alike(descriptor: int, target: Path) -> None:
    """Give a file the owner, the extended attributes and the permissions of another."""
    wanted, given = target.stat(), os.fstat(descriptor)
    if (wanted.st_uid, wanted.st_gid) != (given.st_uid, given.st_gid):
        os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
    for name in os.listxattr(target):
        try:
            os.setxattr(descriptor, name, os.getxattr(target, name))
        except OSError:
            # Labels are the system's to set; who may read the file is not to change.
            if name == _ACCESS:
                raise
    os.fchmod(descriptor, stat.S_IMODE(wanted.st_mode))

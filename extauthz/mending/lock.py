"""One command at a time: a lock on a file that goes with the file's name, not with its inode.

flock(2) locks an inode. A file that is replaced by rename, or rotated away, leaves the lock with
what was there before: whoever has it looks whether the name still means the same file.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extauthz.mending.outcome import FailedError

__all__ = ["LOCK_SECONDS", "locked"]

LOCK_SECONDS = 10.0
"""How long a command waits for the others."""
_POLL_SECONDS = 0.02


@contextmanager
def locked(
    path: Path, flags: int, mode: int = 0, *, timeout: float = LOCK_SECONDS
) -> Iterator[int]:
    """Open a file, as open(2) does, and hold its lock: the descriptor. Raises FailedError."""
    deadline = time.monotonic() + timeout
    while True:
        descriptor = _opened(path, flags, mode)
        try:
            _wait(descriptor, path, deadline)
            if _is_still(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _opened(path: Path, flags: int, mode: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FailedError(f"{path} cannot be opened: {reason}") from error


def _wait(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = f"{path} is locked by another command for too long: try again later"
                raise FailedError(message) from None
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            raise FailedError(f"{path} cannot be locked: {error.strerror}") from error
        else:
            return


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False

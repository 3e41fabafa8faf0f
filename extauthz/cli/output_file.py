"""Files that a command writes besides what it prints: whole, and never over what others wrote.

A name is easily another one than was meant: of `--html decisions.jsonl*` with the name forgotten,
a shell makes `--html` with the first log. So a file that is there is replaced only if it is none of
the inputs, and if its first octets say that this program wrote it, or if it is empty.
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from extauthz.files import FileProblemError

__all__ = ["START", "IsOurs", "ensure_replaceable", "replace"]

START: Final = 4096
"""How many octets tell whether a file is ours."""
_MODE: Final = 0o640
"""As of the decision log, whose names it may hold; the umask takes away more."""
_NOT_BESIDE: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
"""Why nothing can be put beside a file or in its place, while the file can be written: it is
mounted alone into a container, or its directory is another user's."""

IsOurs: TypeAlias = Callable[[bytes], bool]
"""Whether a file is this command's own, by its first `START` octets; is not asked of empty ones."""


def ensure_replaceable(path: Path, inputs: Iterable[Path], is_ours: IsOurs) -> None:
    """Refuse what `replace` would refuse, before the work is done. Raises FileProblemError."""
    try:
        _replaced(path, inputs, is_ours)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def replace(path: Path, octets: bytes, inputs: Iterable[Path], is_ours: IsOurs) -> None:
    """Write a file: whoever reads it finds the old content or the new one, whole.

    A new one is for its owner and group alone; one that is there keeps its owner and permissions.
    What is no file, such as a pipe, is written into. Raises FileProblemError.
    """
    try:
        old = _replaced(path, inputs, is_ours)
        if old is not None and not stat.S_ISREG(old.st_mode):
            path.write_bytes(octets)
            return
        # A link stays, and leads to the new content.
        target = Path(os.path.realpath(path))
        try:
            _put_in_place(target, octets, old)
        except OSError as error:
            if old is None or error.errno not in _NOT_BESIDE:
                raise
            target.write_bytes(octets)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise _unwritable(path, error) from error


def _replaced(path: Path, inputs: Iterable[Path], is_ours: IsOurs) -> os.stat_result | None:
    """What is there, if it may go."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise FileProblemError(f"{path}: is a directory", "name a file")
    if not stat.S_ISREG(found.st_mode):
        return found
    if any(_is_same(each, found) for each in inputs):
        raise FileProblemError(
            f"{path}: is one of the files to read, and would be overwritten",
            "name another file to write to, straight after the option",
        )
    with path.open("rb") as file:
        start = file.read(START)
    if start and not is_ours(start):
        raise FileProblemError(
            f"{path}: is there, and this command did not write it",
            "name another file to write to, or move this one away",
        )
    # A rename asks for the directory's permission alone, and never for the file's.
    if not os.access(path, os.W_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return found


def _is_same(path: Path, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), found)
    except (OSError, ValueError):
        return False


def _put_in_place(target: Path, octets: bytes, old: os.stat_result | None) -> None:
    beside = target.with_name(f".extauthz-{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(beside, flags, _MODE), "wb") as file:
            if old is not None:
                _make_alike(file.fileno(), old)
            file.write(octets)
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _make_alike(descriptor: int, old: os.stat_result) -> None:
    """Give a file the owner and the permissions of another."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _unwritable(path: Path, error: OSError | ValueError) -> FileProblemError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return FileProblemError(
        f"{path}: cannot be written: {reason}", "check the path, and that you may write there"
    )

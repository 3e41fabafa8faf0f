"""The audit file: who changed what, or was refused, one JSON object a line, only ever appended to.

A line is written before what it tells of takes effect, and is on the disk by then: no change is
without its line. The lock on this file is what keeps commands apart.
"""

import json
import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from extauthz.mending.lock import locked
from extauthz.mending.outcome import FailedError
from extauthz.mending.replace import sync_directory

__all__ = ["Audit", "AuditError", "os_user"]

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
_MODE = 0o600


class AuditError(FailedError):
    """The audit file cannot be written, and so nothing is changed."""


class Audit:
    """An audit file that is open, and locked against other commands."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    @contextmanager
    def opened(cls, path: Path, edited: Path) -> Iterator["Audit"]:
        """Open the audit file of an edited one; it is made where there is none.

        Raises FailedError. A file with other content is never appended to.
        """
        is_new = not os.path.lexists(path)
        with locked(path, _FLAGS, _MODE) as descriptor:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or _is(found, edited):
                raise AuditError(f"{path} is not a file of its own for the audit")
            if os.pread(descriptor, 1, 0) not in (b"", b"{"):
                raise AuditError(f"{path} holds something else than an audit: name another file")
            if is_new:
                sync_directory(path.parent)
            yield cls(path, descriptor)

    def write(self, line: Mapping[str, object]) -> None:
        """Append a line, and wait until it is on the disk. Raises AuditError."""
        octets = json.dumps(line, ensure_ascii=True).encode("ascii") + b"\n"
        try:
            size = os.fstat(self._descriptor).st_size
            # What a full disk left of a line must not become the beginning of this one.
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                octets = b"\n" + octets
            done = os.write(self._descriptor, octets)
            os.fsync(self._descriptor)
        except OSError as error:
            raise AuditError(f"{self.path} cannot be written: {error.strerror}") from error
        if done < len(octets):
            raise AuditError(f"{self.path} cannot be written: no space is left")


def _is(found: os.stat_result, path: Path) -> bool:
    try:
        return os.path.samestat(found, path.stat())
    except FileNotFoundError:
        return False


def os_user() -> dict[str, object]:
    """Who runs this process, as the operating system knows it."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = None
    return {"uid": uid, "name": name, "sudo_user": os.environ.get("SUDO_USER")}

"""Decision logs in files: whole lines, one file for several processes, a new one in time.

A batch is written under a lock (flock) on the file itself. Whoever has the lock first looks
whether the file still stands under its name, and opens what does otherwise; so nothing is written
to a file that was rotated, by us or by somebody else, and a finished file never changes. A file
that cannot take a whole batch is cut back to where it ended, and what a crash left of a line is
cut off before the next one. Nothing but a log is written to: see `_refuse_another`.
"""

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from extauthz.observe.log_archive import LogArchive
from extauthz.observe.log_finished import is_at, sync_directory
from extauthz.observe.log_retention import Why
from extauthz.observe.log_troubles import Troubles

__all__ = ["Keeping", "LogFile"]

_HEAD = b'{"schema":'
"""How every line begins."""
_MODE = 0o640
_DIRECTORY_MODE = 0o750
_LOCK_SECONDS = 1.0
"""How long to wait for the lock. Others hold it while they write a batch."""
_LOCK_STEP_SECONDS = 0.002
_ATTEMPTS = 10
_TAIL = 1024 * 1024
"""Where a file without a line feed is no log, in octets from its end."""
_ROTATE_AGAIN_SECONDS = 60.0
_TEND_SECONDS = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a log is kept."""

    max_octets: int = 100_000_000
    """A file that would get larger is finished; 0 for never."""
    max_seconds: float = 86_400
    """Files end at every multiple of it since 1970 (UTC): at midnight for a day; 0 for never."""
    keep_days: int | None = None
    """When finished files are deleted; None for never."""
    keep_octets: int | None = None
    """How much finished files may be together before the oldest are deleted; None for no bound."""
    sync_seconds: float = 1.0
    """How long lines may be in the kernel's memory only; 0 for not at all."""


class LogFile:
    """A file, and the finished ones beside it. For one thread; see `Destination`."""

    def __init__(self, path: Path, keeping: Keeping) -> None:
        """Open it. Raises OSError, with a `strerror` for the operator."""
        self.name = "file:" + os.fsencode(path).decode("utf-8", "backslashreplace")
        self.beginnings = 0
        self.rotations = 0
        # Whoever changes the working directory later shall not move the log.
        self._path = path.absolute()
        self._keeping = keeping
        self._troubles = Troubles(self.name)
        self._archive = LogArchive(self._path, keeping.keep_days, keeping.keep_octets)
        self._end = 0
        """Where the file ended when this process left it, or began to use it."""
        self._unsynced_at: float | None = None
        """Since when something may be in the kernel's memory only."""
        self._rotate_at = 0.0
        """Before this, it is not tried again."""
        self._look_at = 0.0
        self._descriptor: int | None = _opened(self._path)
        self._written_at = os.fstat(self._descriptor).st_mtime
        """When the last line was written, as far as is known."""
        try:
            if keeping.max_octets or keeping.max_seconds:
                _must_be_writable(self._path.parent)
            self._lock()
        except BlockingIOError:
            # Somebody has it locked for long. That is no mistake of the operator, and may end.
            pass
        except OSError:
            self._leave()
            raise
        self._unlock()
        self._archive.start()

    @property
    def failures(self) -> int:
        """How often it could not be rotated, made safe, compressed or deleted."""
        return self._troubles.complaints + self._archive.failures

    @property
    def troubles(self) -> tuple[str, ...]:
        """What fails at present, a clause each; it is looked at from any thread."""
        trouble = self._archive.trouble
        return self._troubles.present if trouble is None else (*self._troubles.present, trouble)

    @property
    def deleted(self) -> Mapping[Why, int]:
        """How many finished files this process deleted."""
        return self._archive.deleted

    def write(self, batch: bytes) -> None:
        """See `Destination`."""
        try:
            descriptor, size = self._lock()
            if self._is_finished(size, len(batch)):
                descriptor, size = self._rotate(descriptor, size)
            self._append(descriptor, batch, size)
            self._troubles.ends("written")
        except OSError as error:
            self._troubles.begins("written", error)
            raise
        finally:
            self._unlock()

    def tend(self) -> float:
        """See `Destination`: what was written becomes safe, and a file of yesterday ends."""
        now = time.monotonic()
        if self._unsynced_at is not None and now >= self._unsynced_at + self._keeping.sync_seconds:
            self._sync()
        if now >= self._rotate_at and self._is_of_another_time():
            self._rotate_idle()
        if now >= self._look_at:
            # Somebody else may have finished the file, and its room is to become free.
            self._look_at = now + _TEND_SECONDS
            with suppress(OSError):
                if self._descriptor is not None and not is_at(self._path, self._descriptor):
                    self._leave()
        due = _TEND_SECONDS
        if self._unsynced_at is not None:
            due = min(due, self._unsynced_at + self._keeping.sync_seconds - now)
        if self._keeping.max_seconds:
            due = min(due, self._keeping.max_seconds - time.time() % self._keeping.max_seconds)
        return max(0.0, due)

    def close(self) -> None:
        """See `Destination`."""
        self._leave()
        self._archive.close()

    def _lock(self) -> tuple[int, int]:
        """Have what stands under the name open, locked and whole: its descriptor and size."""
        for _ in range(_ATTEMPTS):
            descriptor = self._reopened() if self._descriptor is None else self._descriptor
            _wait_for_lock(descriptor)
            if is_at(self._path, descriptor):
                return descriptor, self._whole(descriptor)
            self._leave()
        raise OSError(errno.EBUSY, "it is replaced again and again")

    def _unlock(self) -> None:
        if self._descriptor is not None:
            # A batch that was written is not to be written again because of this.
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _reopened(self) -> int:
        try:
            self._descriptor = _opened(self._path)
        except FileNotFoundError:
            self._path.parent.mkdir(_DIRECTORY_MODE, parents=True, exist_ok=True)
            text = "decision log %s: its directory was gone, with what was in it, and is made again"
            logger.warning(text, self.name)
            self._descriptor = _opened(self._path)
        self.beginnings += 1
        self._end = 0
        self._written_at = time.time()
        return self._descriptor

    def _leave(self) -> None:
        if self._descriptor is not None:
            self._sync()
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _whole(self, descriptor: int) -> int:
        """The size of the file, without what a crash left of a last line."""
        size = os.fstat(descriptor).st_size
        # Where another process was the last to write, it may have been killed while it did.
        if size != self._end and size and os.pread(descriptor, 1, size - 1) != b"\n":
            whole = _end_of_last_line(descriptor, size)
            os.ftruncate(descriptor, whole)
            torn = size - whole
            logger.warning("decision log %s: %d octets of a torn line are cut off", self.name, torn)
            size = whole
        self._end = size
        return size

    def _append(self, descriptor: int, batch: bytes, size: int) -> None:
        rest = memoryview(batch)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            # If this fails, too, the next one to write cuts off what is torn.
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
        self._end = size + len(batch)
        self._written_at = time.time()
        if self._unsynced_at is None:
            self._unsynced_at = time.monotonic()
        if not self._keeping.sync_seconds:
            self._sync()

    def _sync(self) -> None:
        """Have what was written safe on the disk."""
        if self._descriptor is None or self._unsynced_at is None:
            return
        self._unsynced_at = None
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._troubles.complain("made safe on the disk", error)
        else:
            self._troubles.ends("made safe on the disk")

    def _is_finished(self, size: int, more: int) -> bool:
        if time.monotonic() < self._rotate_at:
            return False
        is_full = self._keeping.max_octets and size + more > self._keeping.max_octets
        if size and (is_full or self._is_of_another_time()):
            return True
        # Somebody else did it.
        self._troubles.ends("rotated")
        return False

    def _is_of_another_time(self) -> bool:
        length = self._keeping.max_seconds
        return bool(length) and self._written_at // length < time.time() // length

    def _rotate(self, descriptor: int, size: int) -> tuple[int, int]:
        """Go on in a new file, locked like the old one; or in the old one, where that fails."""
        try:
            self._path.rename(self._archive.free_name())
        except OSError as error:
            self._troubles.complain("rotated", error)
            self._rotate_at = time.monotonic() + _ROTATE_AGAIN_SECONDS
            return descriptor, size
        self._troubles.ends("rotated")
        self.rotations += 1
        self._leave()
        self._archive.wake()
        return self._lock()

    def _rotate_idle(self) -> None:
        """Finish a file although no line comes, so that it is compressed and deleted in time."""
        try:
            descriptor, size = self._lock()
            if self._is_finished(size, 0):
                self._rotate(descriptor, size)
            else:
                self._written_at = time.time()
        except OSError as error:
            self._troubles.complain("rotated", error)
            self._rotate_at = time.monotonic() + _ROTATE_AGAIN_SECONDS
        finally:
            self._unlock()


def _opened(path: Path) -> int:
    """Open, or create, a log. Raises OSError where something else has the name."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    # Of others that may write to the directory, none shall choose what we write to, or wait for.
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, _MODE)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link: name the file itself") from error
        raise
    try:
        _refuse_another(descriptor)
        sync_directory(path.parent)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_another(descriptor: int) -> None:
    """Raise an OSError for what is no file, or one that is no log."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    head = os.pread(descriptor, len(_HEAD), 0)
    # Power cuts leave zeros.
    if not _HEAD.startswith(head.rstrip(b"\0")):
        raise OSError(errno.EINVAL, "it is there, and does not look like a decision log")


def _end_of_last_line(descriptor: int, size: int) -> int:
    """Where the last line feed ends, in a file that does not end with one. Raises OSError."""
    end = size
    while end:
        start = max(0, end - _TAIL)
        chunk = os.pread(descriptor, end - start, start)
        if (found := chunk.rfind(b"\n")) >= 0:
            return start + found + 1
        if start and chunk.strip(b"\0"):
            raise OSError(errno.EINVAL, "it does not end like a decision log")
        end = start
    return 0


def _wait_for_lock(descriptor: int) -> None:
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise OSError(errno.EAGAIN, "another process has it locked") from None
            time.sleep(_LOCK_STEP_SECONDS)
        else:
            return


def _must_be_writable(directory: Path) -> None:
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OSError(
            errno.EACCES, f"{directory} is not writable, as rotation needs (or switch that off)"
        )

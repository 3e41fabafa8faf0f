"""What becomes of the files of a log that are finished: compressed, and perhaps deleted in time.

They are found by name, not remembered: so what a crash left undone is done at the next start, and
several processes with one log can all do it. A compressed file takes its name only when it is
whole and on the disk, and only then the uncompressed one goes. Nothing is written to a finished
file (see `log_file`).
"""

import errno
import fcntl
import gzip
import logging
import os
import re
import stat
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

__all__ = ["LogArchive", "is_at", "sync_directory"]

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_TIDY_SECONDS = 3600.0
_CHUNK = 1024 * 1024
_LEVEL = 6
_NICENESS = 10
_STOP_SECONDS = 5.0

logger = logging.getLogger(__name__)


class LogArchive:
    """The finished files of the log at `path`: `PATH-STAMP`, or `PATH-STAMP.gz`.

    The stamp is the time, in UTC, when the file was finished. Until it is whole, a compressed
    file is called `.NAME-STAMP.gz.part`.
    """

    def __init__(self, path: Path, keep_days: int | None) -> None:
        self._path = path
        self._keep = None if keep_days is None else timedelta(days=keep_days)
        name, stamp = re.escape(path.name), r"\d{8}T\d{6}\.\d{6}Z"
        # We write no other digits, so whoever did, it was not us.
        self._finished = re.compile(rf"{name}-({stamp})(\.gz)?", re.ASCII)
        self._partial = re.compile(rf"\.({name}-{stamp})\.gz\.part", re.ASCII)
        self.failures = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision-log-archive", daemon=True)

    def start(self) -> None:
        """Begin with what is there, in a thread of its own."""
        self._thread.start()

    def wake(self) -> None:
        """There is another finished file."""
        self._wake.set()

    def close(self) -> None:
        """End; a file that is being compressed is compressed at the next start."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_STOP_SECONDS)

    def free_name(self) -> Path:
        """A name for the file that is finished now, under which there was none."""
        now = datetime.now(UTC)
        while True:
            name = self._path.with_name(f"{self._path.name}-{now.strftime(_STAMP)}")
            if not os.path.lexists(name) and not os.path.lexists(_compressed(name)):
                return name
            now += timedelta(microseconds=1)

    def _run(self) -> None:
        if sys.platform == "linux":
            # There, it is this thread's alone: checks go first.
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._closing.is_set():
            self.tidy()
            self._wake.wait(_TIDY_SECONDS)
            self._wake.clear()

    def tidy(self) -> None:
        """Compress, delete and clear away whatever is due; what fails is said, and left."""
        try:
            names = set(os.listdir(self._path.parent))  # noqa: PTH208 (names are what is matched)
        except OSError as error:
            self._say(self._path.parent, error)
            return
        is_said = False
        for name in sorted(names):
            if self._closing.is_set():
                return
            path = self._path.with_name(name)
            try:
                self._tidy_one(path, names)
            except FileNotFoundError:
                # Another process, or somebody, was quicker.
                continue
            except OSError as error:
                self.failures += 1
                if not is_said:
                    self._say(path, error)
                is_said = True

    def _tidy_one(self, path: Path, names: set[str]) -> None:
        is_ours = self._partial.fullmatch(path.name) or self._finished.fullmatch(path.name)
        if not is_ours or not stat.S_ISREG(path.lstat().st_mode):
            return
        if (partial := self._partial.fullmatch(path.name)) is not None:
            if partial[1] not in names:
                path.unlink()
        elif (finished := self._finished.fullmatch(path.name)) is not None:
            if self._is_expired(finished[1]):
                path.unlink()
            elif finished[2] is None:
                _compress(path, self._closing)

    def _is_expired(self, stamp: str) -> bool:
        if self._keep is None:
            return False
        try:
            finished = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            return False
        return datetime.now(UTC) - finished > self._keep

    def _say(self, path: Path, error: OSError) -> None:
        logger.error("decision log: %s is left as it is: %s", path, error.strerror or error)


def _compressed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _compress(path: Path, stop: threading.Event) -> None:
    """Replace a file by its compressed form, unless that is being done. Raises OSError."""
    final = _compressed(path)
    part = path.with_name(f".{final.name}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(part, flags, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        # Who had the lock before may have finished, and renamed what we opened.
        if not is_at(part, descriptor):
            return
        try:
            if os.path.lexists(final):
                # A crash came between the last two steps.
                _must_hold(final, path)
            else:
                os.truncate(descriptor, 0)
                if not _copy(path, target, stop):
                    return
                part.rename(final)
                sync_directory(path.parent)
            path.unlink()
        finally:
            if is_at(part, descriptor):
                part.unlink()


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


def _must_hold(compressed: Path, path: Path) -> None:
    """Raise an OSError unless the one file has the size of the other (RFC 1952, ISIZE)."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(compressed, flags), "rb") as packed:
        packed.seek(max(0, os.fstat(packed.fileno()).st_size - 4))
        size = int.from_bytes(packed.read(4), "little")
    if size != path.stat().st_size % 2**32:
        raise OSError(errno.EEXIST, f"{compressed.name} is there, and is not the same")


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

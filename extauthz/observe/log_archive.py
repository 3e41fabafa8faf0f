"""What becomes of the files of a log that are finished: compressed, and perhaps deleted in time.

They are found by name, not remembered: so what a crash left undone is done at the next start, and
several processes with one log can all do it. Nothing is written to a finished file (see
`log_file`). What is done to one of them is in `log_finished`, and which are deleted in
`log_retention`.

Files are compressed before it is counted how much there is, and one that another process has in
hand counts nothing: else older ones would go to make room that is not needed. It is counted when it
is compressed, soon after.
"""

import logging
import os
import re
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from extauthz.observe.log_finished import compress, compressed, delete, is_file, octets_of
from extauthz.observe.log_retention import Retention, Why

__all__ = ["LogArchive"]

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_TIDY_SECONDS = 3600.0
_AGAIN_SECONDS = 60.0
"""When to look again where another process had a file in hand. It may have been killed."""
_NICENESS = 10
_STOP_SECONDS = 5.0

logger = logging.getLogger(__name__)


class LogArchive:
    """The finished files of the log at `path`: `PATH-STAMP`, or `PATH-STAMP.gz`.

    The stamp is the time, in UTC, when the file was finished. Until it is whole, a compressed
    file is called `.NAME-STAMP.gz.part`.
    """

    def __init__(self, path: Path, keep_days: int | None, keep_octets: int | None = None) -> None:
        self._path = path
        self._retention = Retention(keep_days, keep_octets)
        name, stamp = re.escape(path.name), r"\d{8}T\d{6}\.\d{6}Z"
        # We write no other digits, so whoever did, it was not us.
        self._finished = re.compile(rf"({name}-({stamp}))(?:\.gz)?", re.ASCII)
        self._partial = re.compile(rf"\.({name}-{stamp})\.gz\.part", re.ASCII)
        self.failures = 0
        self.deleted = dict.fromkeys(Why, 0)
        """How many files this process deleted."""
        self.trouble: str | None = None
        """What failed when it was tried last, as a clause."""
        self._trouble: str | None = None
        """What failed this time, and was said."""
        self._is_other_at_work = False
        """Whether this time another process had a file in hand."""
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision-log-archive", daemon=True)

    def start(self) -> None:
        """Begin with what is there, in a thread of its own."""
        if bounds := self._retention.bounds:
            text = "decision log file:%s: finished files are deleted when they are %s"
            logger.info(text, self._path, ", or ".join(bounds.values()))
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
            if not os.path.lexists(name) and not os.path.lexists(compressed(name)):
                return name
            now += timedelta(microseconds=1)

    def _run(self) -> None:
        if sys.platform == "linux":
            # There, it is this thread's alone: checks go first.
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._closing.is_set():
            self.tidy()
            self._wake.wait(_AGAIN_SECONDS if self._is_other_at_work else _TIDY_SECONDS)
            self._wake.clear()

    def tidy(self) -> None:
        """Compress, delete and clear away whatever is due; what fails is said, and left."""
        self._trouble, self._is_other_at_work = None, False
        try:
            names = set(os.listdir(self._path.parent))  # noqa: PTH208 (names are what is matched)
        except OSError as error:
            self._say(self._path.parent, error)
        else:
            self._settle_all(names)
        self.trouble = self._trouble

    def _settle_all(self, names: set[str]) -> None:
        self._clear(names)
        files = self._files(names)
        now = datetime.now(UTC)
        expired = [each for each in files if self._retention.is_expired(files[each], now)]
        self._delete(expired, Why.AGE)
        newest_first = sorted(files.keys() - set(expired), reverse=True)
        self._delete(self._retention.surplus(newest_first, self._settle)[::-1], Why.SIZE)

    def _clear(self, names: set[str]) -> None:
        """Remove what was begun of compressed forms of files that are no more."""
        for name in names:
            partial = self._partial.fullmatch(name)
            if partial is None or os.path.lexists(self._path.with_name(partial[1])):
                continue
            path = self._path.with_name(name)
            try:
                if is_file(path):
                    path.unlink(missing_ok=True)
            except OSError as error:
                self._fail(path, error)

    def _files(self, names: set[str]) -> dict[Path, datetime]:
        """The finished files, oldest first, by their names without `.gz`; and since when."""
        files = {}
        for name in sorted(names):
            if (finished := self._finished.fullmatch(name)) is not None:
                with suppress(ValueError):
                    since = datetime.strptime(finished[2], _STAMP).replace(tzinfo=UTC)
                    files[self._path.with_name(finished[1])] = since
        return files

    def _settle(self, file: Path) -> int:
        """Compress a file, if it is not; how many octets it has on the disk then.

        One that is not compressed, because of another process or of the end, has none: what it will
        have is not known.
        """
        if self._closing.is_set():
            return 0
        try:
            if is_file(file) and not compress(file, self._closing):
                self._is_other_at_work = True
                return 0
        except FileNotFoundError:
            # Another process, or somebody, was quicker.
            pass
        except OSError as error:
            self._fail(file, error)
        return octets_of(file)

    def _delete(self, oldest_first: Sequence[Path], why: Why) -> None:
        deleted: list[Path] = []
        for file in oldest_first:
            try:
                if delete(file):
                    deleted.append(file)
            except OSError as error:
                self._fail(file, error)
        if deleted:
            self.deleted[why] += len(deleted)
            text = "decision log file:%s: finished files deleted: %d, up to %s: they were %s"
            bound = self._retention.bounds[why]
            logger.info(text, self._path, len(deleted), deleted[-1].name, bound)

    def _fail(self, path: Path, error: OSError) -> None:
        self.failures += 1
        if self._trouble is None:
            self._say(path, error)

    def _say(self, path: Path, error: OSError) -> None:
        self._trouble = f"{path} is left as it is: {error.strerror or error}"
        logger.error("decision log: %s", self._trouble)

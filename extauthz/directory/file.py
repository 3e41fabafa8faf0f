"""Accounts in a file of their own: the version in force, and its replacement while checks go on.

A look-up is answered at once, from memory. A file with a mistake, or none at all, changes nothing:
the last good version stays, and `problem` says what is wrong. Without one, nobody can say.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from extauthz.accounts import Account
from extauthz.cache import BoundedCache
from extauthz.directory.backend import ACCOUNT_OCTETS, octets
from extauthz.directory.index import Index
from extauthz.directory.mistakes import Problem
from extauthz.directory.reader import Reader
from extauthz.directory.reading import Reading
from extauthz.files import Stamp, stamp
from extauthz.lookup import AccountFile, ByLogin, Found, LookupKey, Unavailable
from extauthz.quoting import printable

__all__ = ["FileDirectory", "changed"]

MAX_READINGS = 3
"""How often a file is read that changes while it is read; then it is taken as it was read last."""
MAX_CACHE = 16 * 1024 * 1024
"""Octets of answers that are kept for one file; fewer, where fewer accounts are to be had."""

logger = logging.getLogger(__name__)


class FileDirectory:
    """The accounts of one file."""

    def __init__(self, settings: AccountFile, reader: Reader | None = None) -> None:
        """`reader` is for any number of directories, and its owner's to close."""
        self.settings = settings
        self.path = Path(settings.path)
        self.problem: str | None = None
        """What was wrong with the last reading, in one line."""
        self.problems: tuple[Problem, ...] = ()
        """The same, one by one, as far as they are kept."""
        self.readings: Counter[str] = Counter({"new": 0, "unchanged": 0, "failed": 0})
        self.files: Mapping[Path, Stamp] = {}
        """The file as it was before it was read last."""
        self._own_reader = Reader() if reader is None else None
        self._reader = reader or self._own_reader or Reader()
        self._version: _Version | None = None
        self._unavailable = Unavailable("the accounts have not been read yet")
        self._reading: asyncio.Task[None] | None = None

    @property
    def accounts(self) -> int:
        """How many accounts are in force."""
        return 0 if self._version is None else self._version.accounts

    def known(self, key: LookupKey) -> Found | Unavailable:
        """The answer of the version in force; the same object for the same question."""
        return self._unavailable if self._version is None else self._version.found(key)

    async def load(self) -> None:
        """Read the file, whether or not it has changed.

        What has begun goes on when the caller is cancelled: reading may take long.
        """
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._ended)
        await asyncio.shield(self._reading)

    async def reload(self) -> None:
        """Read the file if it is not as it was before it was read last."""
        if self._reading is not None or await asyncio.to_thread(self.is_changed):
            await self.load()

    def is_changed(self) -> bool:
        """Whether the file is not as it was. Looks at the file system, which may block."""
        return stamp(self.path) != self.files.get(self.path)

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._own_reader is not None:
            self._own_reader.close()
        if self._version is not None:
            self._version.close()
            self._version = None
            self._unavailable = Unavailable("the accounts are not read any more")

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read(self) -> None:
        known = b"" if self._version is None else self._version.digest
        for attempt in range(MAX_READINGS):
            before = await asyncio.to_thread(stamp, self.path)
            self.files = {self.path: before}
            reading, index = await self._outcome(known)
            if attempt == MAX_READINGS - 1 or await asyncio.to_thread(stamp, self.path) == before:
                break
            if index is not None:
                await asyncio.to_thread(index.close)
        replaced = self._version
        self._take(reading, index)
        # Giving back so much memory takes its time.
        if replaced is not None and replaced is not self._version:
            await asyncio.to_thread(replaced.close)

    async def _outcome(self, known: bytes) -> tuple[Reading, Index | None]:
        try:
            return await self._reader.read(self.path, self.settings.kind, known)
        except asyncio.CancelledError:
            raise
        # A bug in reading must not end the watching for what would mend it. A panic of a Rust
        # library is no Exception.
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            logger.critical("reading accounts failed by a bug", exc_info=True)
            message = f"extauthz failed to read it: {type(error).__name__}"
            return Reading(0, (Problem(message, "report this as a bug"),), 1), None

    def _take(self, reading: Reading, index: Index | None) -> None:
        if not reading.is_good:
            self._refuse(reading)
            return
        if self.problem is not None:
            logger.info("accounts %s: good again", printable(self.settings.path))
        self.problem, self.problems = None, ()
        if index is None:
            self.readings["unchanged"] += 1
            return
        self.readings["new"] += 1
        self._version = _Version(index, reading)
        logger.info("accounts %s: %d in force", printable(self.settings.path), reading.accounts)

    def _refuse(self, reading: Reading) -> None:
        self.readings["failed"] += 1
        problem = reading.why(self.path)
        if problem != self.problem:
            for each in reading.problems:
                logger.error("%s", each.of(self.path))
            kept = "no accounts are" if self._version is None else "the last good version stays"
            noun = "problem" if reading.count == 1 else "problems"
            logger.error("accounts %s: %d %s in all, %s in force",
                         printable(self.settings.path), reading.count, noun, kept)  # fmt: skip
        self.problem, self.problems = problem, reading.problems
        self._unavailable = Unavailable(f"the accounts cannot be read: {problem}")


def changed(directories: Iterable[FileDirectory]) -> list[FileDirectory]:
    """Those whose file is not as it was. Looks at the file system, which may block."""
    return [directory for directory in directories if directory.is_changed()]


class _Version:
    """The accounts as a file had them once, with the answers that were asked for."""

    def __init__(self, index: Index, reading: Reading) -> None:
        self.digest = reading.digest
        self.accounts = reading.accounts
        self._index = index
        self._answers: BoundedCache[LookupKey, Found] = BoundedCache(
            min(MAX_CACHE, 16 * 1024 + 10 * ACCOUNT_OCTETS * reading.accounts)
        )
        self._nobody = Found(())
        """One answer for everything that is not there: nobody can crowd out the others with it."""

    def found(self, key: LookupKey) -> Found:
        answer = self._answers.get(key)
        if answer is None:
            accounts = self._look_up(key)
            if not accounts:
                return self._nobody
            answer = Found(accounts)
            self._answers.put(key, answer, sum(map(octets, accounts)))
        return answer

    def close(self) -> None:
        self._index.close()

    def _look_up(self, key: LookupKey) -> tuple[Account, ...]:
        if isinstance(key, ByLogin):
            return self._index.by_login(key.login)
        return self._index.by_identity(key.identity)

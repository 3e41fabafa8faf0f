"""All directories of the policies that this process has had in force."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self, TypeAlias, assert_never

from extauthz.accounts import Accounts
from extauthz.directory.backend import Backend, DirectoryError
from extauthz.directory.cached import CachedDirectory
from extauthz.directory.file import FileDirectory, changed
from extauthz.directory.http import HttpBackend
from extauthz.directory.ldap import LdapBackend
from extauthz.directory.reader import Reader
from extauthz.directory.sql import SqlBackend
from extauthz.fetch.fetcher import Fetcher
from extauthz.files import Stamp
from extauthz.lookup import (
    AccountFile,
    Directory,
    Found,
    HttpDirectory,
    LdapDirectory,
    Lookup,
    LookupKey,
    SqlDirectory,
    Unavailable,
)
from extauthz.policy import Policy
from extauthz.watch import watch

__all__ = ["GatheredDirectories"]

PREPARE_SECONDS = 30.0
"""How long a new policy waits for its files of accounts before it takes effect."""

Remote: TypeAlias = SqlDirectory | LdapDirectory | HttpDirectory

logger = logging.getLogger(__name__)


class GatheredDirectories:
    """Knows and asks directories as long as its asynchronous context lasts.

    See `lookup.Directories` for what it offers the decision.
    """

    def __init__(self) -> None:
        self.files: dict[AccountFile, FileDirectory] = {}
        self.remote: dict[Remote, CachedDirectory] = {}
        self._fetcher = Fetcher()
        self._reader = Reader()
        self._stack = contextlib.AsyncExitStack()
        self._loading: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._fetcher)
        self._stack.callback(self._reader.close)
        self._stack.push_async_callback(self._close_all)
        watching = asyncio.create_task(watch(self._stamps, self._reread))
        self._stack.callback(watching.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def known(self, lookup: Lookup) -> Found | Unavailable | None:
        """What counts as the answer now. If it `is_open`, it has to be asked for first."""
        directory = self._directory(lookup.directory)
        if directory is None:
            return Unavailable("it is not in use any more")
        return directory.known(lookup.key)

    async def ask(self, lookups: Iterable[Lookup]) -> None:
        """Have directories asked, and wait for them as long as a check may."""
        by_directory: defaultdict[CachedDirectory, list[LookupKey]] = defaultdict(list)
        for lookup in lookups:
            directory = self._directory(lookup.directory)
            if isinstance(directory, CachedDirectory):
                by_directory[directory].append(lookup.key)
        await asyncio.gather(*(directory.ask(keys) for directory, keys in by_directory.items()))

    async def try_out(self, lookup: Lookup) -> DirectoryError | None:
        """Ask a directory whatever is known, and say why it does not answer; None when it does."""
        directory = self._directory(lookup.directory)
        if not isinstance(directory, CachedDirectory):
            return None
        return await directory.try_out(lookup.key)

    async def prepare(self, policy: Policy) -> None:
        """Make ready what a policy needs, before it takes effect."""
        fresh: list[asyncio.Task[None]] = []
        for directory in _wanted(policy):
            if isinstance(directory, AccountFile):
                if directory not in self.files:
                    file = self.files[directory] = FileDirectory(directory, self._reader)
                    fresh.append(self._begin(file))
            elif directory not in self.remote:
                name, backend = self._backend(directory)
                self.remote[directory] = CachedDirectory(name, backend, directory.caching)
        if fresh:
            # A file on a share that hangs must not hold up everybody's policy.
            await asyncio.wait(fresh, timeout=PREPARE_SECONDS)

    async def settle(self, policy: Policy) -> None:
        """Give back what no policy needs any more, once this one is in force."""
        wanted = _wanted(policy)
        for settings in self.files.keys() - wanted:
            await self.files.pop(settings).close()
        for directory in self.remote.keys() - wanted:
            await self.remote.pop(directory).close()

    def _directory(self, settings: Directory) -> FileDirectory | CachedDirectory | None:
        if isinstance(settings, AccountFile):
            return self.files.get(settings)
        return self.remote.get(settings)

    def _backend(self, settings: Remote) -> tuple[str, Backend]:
        """What is asked, and its name for the log."""
        match settings:
            case SqlDirectory():
                return settings.url, SqlBackend(settings)
            case LdapDirectory():
                return settings.url, LdapBackend(settings)
            case HttpDirectory():
                return settings.url, HttpBackend(settings, self._fetcher)
            case _:
                assert_never(settings)

    def _begin(self, file: FileDirectory) -> asyncio.Task[None]:
        """Read a file in a task of its own, which goes on whoever waits for it."""
        task = asyncio.create_task(file.load())
        self._loading.add(task)

        def ended(_: asyncio.Task[None]) -> None:
            self._loading.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.critical("reading a file of accounts failed by a bug", exc_info=error)

        task.add_done_callback(ended)
        return task

    def _stamps(self) -> Mapping[Path, Stamp]:
        return {path: seen for file in self.files.values() for path, seen in file.files.items()}

    async def _reread(self) -> None:
        """Begin to read every file again that has changed, each by itself."""
        for file in await asyncio.to_thread(changed, list(self.files.values())):
            self._begin(file)

    async def _close_all(self) -> None:
        for task in self._loading:
            task.cancel()
        await asyncio.gather(*self._loading, return_exceptions=True)
        for file in self.files.values():
            await file.close()
        for directory in self.remote.values():
            await directory.close()


def _wanted(policy: Policy) -> set[Directory]:
    return {
        subscription.accounts
        for subscription in policy.subscriptions.values()
        if not isinstance(subscription.accounts, Accounts)
    }

"""Accounts in an LDAP directory: the questions, and the threads that wait for the answers.

python-ldap blocks, so each question is one thread's work, in a pool of the backend's own, on a
connection that stays open for the next one. No thread works beyond the timeout of the question
that it works for: a directory that hangs delays what asks it, and nothing else.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from extauthz.accounts import Account
from extauthz.directory.backend import DirectoryError, UnreachableError
from extauthz.directory.ldap_connection import (
    Connection,
    ConnectionLostError,
    Deadline,
    library,
)
from extauthz.directory.ldap_entries import Entry, accounts, search_filter
from extauthz.directory.ldap_settings import problem_with
from extauthz.lookup import LdapDirectory, LookupKey

__all__ = ["LdapBackend"]

IDLE_SECONDS = 60.0
"""For how long a connection is kept unused. Firewalls forget connections without a word."""


class LdapBackend:
    """Asks one LDAP directory."""

    def __init__(self, settings: LdapDirectory) -> None:
        self._settings = settings
        self._problem = problem_with(settings)
        self._executor = ThreadPoolExecutor(settings.pool_size, thread_name_prefix="ldap")
        # Never more than there are threads. The one that was used last is used next, so that the
        # others grow old when there is less to do.
        self._idle: deque[tuple[Connection, float]] = deque()
        self._lock = threading.Lock()
        self._is_closed = False

    async def find(self, key: LookupKey) -> Sequence[Account]:
        """The accounts with that login or name, by the directory's own matching.

        Raises DirectoryError.
        """
        if self._problem is not None:
            raise DirectoryError(self._problem)
        if self._is_closed:
            raise DirectoryError("the directory is not used any more")
        seconds = self._settings.timeout.total_seconds()
        deadline = Deadline(seconds)
        work = self._executor.submit(self._find, key, deadline)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(work)
        except TimeoutError as error:
            raise UnreachableError(deadline.missed) from error

    async def close(self) -> None:
        """Give back every connection; what is on its way ends by itself, within its time."""
        with self._lock:
            self._is_closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._drop_idle)

    def _find(self, key: LookupKey, deadline: Deadline) -> tuple[Account, ...]:
        # It may have waited for a thread for longer than anybody waits for the answer.
        deadline.left()
        asked = search_filter(self._settings, key, library().filter.escape_filter_chars)
        if asked is None:
            return ()
        return accounts(self._settings, key, self._entries(asked, deadline))

    def _entries(self, asked: str, deadline: Deadline) -> list[Entry]:
        connection = self._take_idle()
        if connection is not None:
            try:
                return self._search(connection, asked, deadline)
            except ConnectionLostError:
                # Its server was restarted, say; then the others are gone as well. Where time is
                # up, the next step says so.
                self._drop_idle()
        return self._search(Connection(self._settings, deadline), asked, deadline)

    def _search(self, connection: Connection, asked: str, deadline: Deadline) -> list[Entry]:
        """Search, and keep the connection for the next question unless anything goes wrong."""
        try:
            entries = connection.search(asked, deadline)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._is_closed:
                self._idle.append((connection, time.monotonic()))
                return entries
        connection.close()
        return entries

    def _take_idle(self) -> Connection | None:
        with self._lock:
            if not self._idle:
                return None
            connection, since = self._idle.pop()
        if time.monotonic() - since <= IDLE_SECONDS:
            return connection
        # Whatever is left has been idle for longer still.
        connection.close()
        self._drop_idle()
        return None

    def _drop_idle(self) -> None:
        with self._lock:
            dropped = [connection for connection, _ in self._idle]
            self._idle.clear()
        for connection in dropped:
            connection.close()

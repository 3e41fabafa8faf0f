"""Accounts in a database: one query of the operator's, through SQLAlchemy's asyncio.

Values reach a database as parameters and by no other way. At most MAX_ROWS rows are read. Which
spellings of a login are one is the database's to say: under a collation without case (the usual
one of MySQL and MariaDB, which ignores spaces at the end too) `ALICE` finds the account that calls
itself `alice`. It is given back with its own login; of several accounts the caller takes none.

How a connection is made is `sql_engine`'s business, what rows say is `sql_rows`' and what errors
say `sql_errors`'. The drivers are an optional extra, so SQLAlchemy is imported only where a
database is really used.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from extauthz.accounts import Account
from extauthz.directory import sql_engine, sql_errors, sql_rows
from extauthz.directory.backend import DirectoryError, UnreachableError, UnusableAnswerError
from extauthz.lookup import ByLogin, LookupKey, SqlDirectory
from extauthz.quoting import quoted

if TYPE_CHECKING:
    from aiosqlite import Connection
    from sqlalchemy import TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ["MAX_ROWS", "SqlBackend", "problems_with"]

MAX_ROWS = 1000
"""How many rows an answer may have."""
CLOSE_SECONDS = 0.5
"""How long a farewell to the server may take, for each connection."""

Answer: TypeAlias = tuple[Sequence[str], Sequence[Sequence[object]]]
"""The names of the columns, and the rows."""
NOTHING: Answer = ((), ())

_PARAMETERS = frozenset({"login", "identity"})
# Comments and parentheses may stand before it.
_SELECT = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with)\b", re.IGNORECASE | re.DOTALL)


class SqlBackend:
    """Asks a database.

    Make it before requests are served: what is imported for it takes half a second.
    """

    def __init__(self, settings: SqlDirectory) -> None:
        self._settings = settings
        self._asking: set[asyncio.Task[Answer]] = set()
        self._querying_files: dict[asyncio.Task[Answer], Connection] = {}
        # SQLAlchemy's pool wakes nobody who waits for a connection when one could not be made.
        self._turns = asyncio.Semaphore(settings.pool_size)
        self._engine: AsyncEngine | None = None
        self._problem = ""
        try:
            self._statement = _statement(settings.query)
            self._engine = sql_engine.make(settings)
            self._is_of_files = self._engine.dialect.name == "sqlite"
        except DirectoryError as error:
            self._problem = str(error)

    async def find(self, key: LookupKey) -> Sequence[Account]:
        """The accounts with that login or that name, as the query finds them.

        Raises DirectoryError. No database holds text with NUL or half a surrogate pair, so for
        such a login none is asked.
        """
        if self._engine is None:
            raise DirectoryError(self._problem)
        if isinstance(key, ByLogin):
            value = key.login
            asked = {"login": value, "identity": None}
        else:
            value = str(key.identity)
            asked = {"login": None, "identity": value}
        if not _is_storable(value):
            return ()
        columns, rows = await self._in_time(self._engine, asked, value)
        if not columns:
            return ()
        if len(rows) > MAX_ROWS:
            raise UnusableAnswerError(f"the query finds more than {MAX_ROWS} rows")
        return sql_rows.accounts(self._settings.kind, columns, rows)

    async def close(self) -> None:
        """Give up whatever is still being asked, and every connection."""
        # A task that is cancelled bids the server farewell; when cancelled again, it does not wait.
        for _ in range(2):
            tasks = list(self._asking)
            for task in tasks:
                await self._give_up(task)
            if tasks:
                await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        if self._engine is None:
            return
        for _ in range(self._settings.pool_size):
            # A connection to a server that hangs is dropped when there has been no farewell in
            # time; the next round is for the others.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._engine.dispose()
                    return

    async def _in_time(
        self, engine: "AsyncEngine", asked: Mapping[str, str | None], value: str
    ) -> Answer:
        """What the database answers in time; a connection that is given up ends without us."""
        seconds = self._settings.timeout.total_seconds()
        task = asyncio.create_task(self._ask(engine, asked, value))
        self._asking.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait([task], timeout=seconds)
        finally:
            await self._give_up(task)
        if not task.done():
            raise UnreachableError(f"no answer within {seconds:g} s")
        if task.cancelled():
            raise DirectoryError("it has been closed")
        return task.result()

    async def _give_up(self, task: asyncio.Task[Answer]) -> None:
        """Let a task end, if it has not.

        A query of SQLite is interrupted: its thread would not hear that the task is cancelled. To
        cancel one that closes its file would stop the thread twice, which aiosqlite waits for in
        vain.
        """
        file = self._querying_files.get(task)
        if file is not None:
            # A file that is closed meanwhile has no query.
            with contextlib.suppress(ValueError):
                await file.interrupt()
        elif not (task.cancelling() and self._is_of_files):
            task.cancel()

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            # asyncio reports an error that nobody has looked at.
            task.exception()

    async def _ask(
        self, engine: "AsyncEngine", asked: Mapping[str, str | None], value: str
    ) -> Answer:
        what = "no connection"
        try:
            async with self._turns, engine.connect() as connection:
                what = "the query failed"
                async with self._interruptible(connection):
                    result = await connection.execute(self._statement, asked)
                return list(result.keys()), result.fetchall()
        except DirectoryError:
            raise
        # Drivers raise whatever they stumble over; all of it means that there is no answer.
        except Exception as error:
            origin = sql_errors.origin(error)
            if sql_errors.cannot_exist(origin, value):
                return NOTHING
            kind = UnreachableError if _is_silence(origin) else DirectoryError
            raise kind(f"{what}: {sql_errors.why(origin, value)}") from error

    @contextlib.asynccontextmanager
    async def _interruptible(self, connection: "AsyncConnection") -> AsyncIterator[None]:
        """Take note of the file that this task queries, as long as nobody else can."""
        task = asyncio.current_task()
        if task is None or not self._is_of_files:
            yield
            return
        file: Connection | None = (await connection.get_raw_connection()).driver_connection
        if file is not None:
            self._querying_files[task] = file
        try:
            yield
        finally:
            self._querying_files.pop(task, None)


def _is_silence(error: BaseException) -> bool:
    """Whether nobody is there. Of a server without TLS, which is, asyncpg has its own words."""
    is_of_network = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
    return is_of_network and type(error) is not ConnectionError


def problems_with(settings: SqlDirectory) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings, as far as can be told without the database.

    Each with the setting's key.
    """
    try:
        _statement(settings.query)
    except DirectoryError as error:
        if str(error) != sql_engine.MISSING:
            yield "query", str(error)
    yield from sql_engine.problems_with(settings)


def _statement(query: str) -> "TextClause":
    """The query, with a bound to its rows. Raises DirectoryError.

    Both parameters have to be there. A check without a login asks by the name, and a directory
    that fails whenever a client wants it to would be left alone, to everybody's harm.
    """
    try:
        from sqlalchemy import String, bindparam, text  # noqa: PLC0415 (an optional extra)
    except ImportError as error:
        raise DirectoryError(sql_engine.MISSING) from error
    query = query.strip().removesuffix(";")
    if ";" in query:
        raise DirectoryError("the query is not one statement: there is a semicolon in it")
    if not _SELECT.match(query):
        raise DirectoryError("the query does not begin with SELECT or WITH")
    names = text(query).compile().params.keys()
    for name in sorted(names - _PARAMETERS):
        raise DirectoryError(
            f"the query has an unknown parameter {quoted(':' + name)}: there are :login and"
            " :identity (a colon that begins none is written \\:)"
        )
    for name in sorted(_PARAMETERS - names):
        remedy = "WHERE login = :login OR email = :identity"
        if f":{name}::" in query:
            remedy = f"CAST(:{name} AS TYPE) is what it is written as"
        raise DirectoryError(f"the query has no parameter :{name}: {remedy}")
    # The query ends on a line of its own: it may end with a comment.
    bounded = text(f"SELECT * FROM (\n{query}\n) AS found LIMIT {MAX_ROWS + 1}")  # noqa: S608
    # PostgreSQL has to be told the type of a parameter that is NULL.
    return bounded.bindparams(*(bindparam(name, type_=String()) for name in _PARAMETERS))


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text

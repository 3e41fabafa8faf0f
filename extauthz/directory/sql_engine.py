"""Connections to databases: where to, who as, by what driver, and what a session may do.

A session reads and does nothing else, as far as a server can be told so: a file of SQLite is opened
for reading, PostgreSQL gets `default_transaction_read_only`, MySQL and MariaDB SET SESSION
TRANSACTION READ ONLY. No transaction outlives a query.

aiomysql sends statements whole, with the values in them. So that no escaping has to be right there,
whatever the server's sql_mode and character sets are, a value is written as a hexadecimal literal.

Passwords and CAs are read for each connection anew. Without `ca_file` it is the driver that decides
on TLS: asyncpg uses it when the server offers it, without checking whose certificate that is;
aiomysql does not use it. With it there is TLS, with a certificate of the host in `url` that one of
the CAs has signed, or no connection.
"""

import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from extauthz.directory.backend import DirectoryError, read_secret
from extauthz.lookup import SqlDirectory
from extauthz.quoting import printable, quoted

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["MISSING", "make", "problems_with"]

MISSING = "SQLAlchemy or the driver of the database is missing: pip install 'extauthz[sql]'"
RECYCLE_SECONDS = 300
"""An older connection is made anew before it is used: SQLite's file may have been replaced, the
password changed, and a firewall may have forgotten the connection."""

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+aiomysql",
    "mariadb": "mariadb+aiomysql",
}
_PARAMETERS = {
    "sqlite": frozenset[str](),
    "postgresql": frozenset({"host", "target_session_attrs"}),
    "mysql": frozenset({"unix_socket"}),
    "mariadb": frozenset({"unix_socket"}),
}
"""What may stand after `?`. The rest of what drivers take there could undo what is decided here."""


def make(settings: SqlDirectory) -> "AsyncEngine":
    """An engine with a pool that has no connection yet. Raises DirectoryError.

    Each use of a connection begins with a sign of life of it, so that the first look-up after a
    restart of the server finds a way.
    """
    try:
        from sqlalchemy import event  # noqa: PLC0415 (an optional extra)
        from sqlalchemy.engine.interfaces import Dialect  # noqa: PLC0415
        from sqlalchemy.exc import ArgumentError  # noqa: PLC0415
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
        from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry  # noqa: PLC0415

        url = _url(settings)
        engine = create_async_engine(
            url,
            connect_args=_session(settings, url),
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            max_overflow=0,
            pool_pre_ping=True,
            pool_recycle=RECYCLE_SECONDS,
            pool_reset_on_return=None,
            pool_size=settings.pool_size,
            pool_timeout=settings.timeout.total_seconds(),
            # What is more than needed grows old, and the rest stays in use.
            pool_use_lifo=True,
            poolclass=AsyncAdaptedQueuePool,
            skip_autocommit_rollback=True,
        )
    except ImportError as error:
        raise DirectoryError(MISSING) from error
    except (ArgumentError, ValueError):
        # What it says may repeat what it was given.
        raise DirectoryError("`url` has a value that the driver cannot read") from None

    @event.listens_for(engine.sync_engine, "do_connect")
    def connecting(
        _: Dialect, __: ConnectionPoolEntry, ___: list[object], arguments: dict[str, object]
    ) -> None:
        arguments.update(_secrets(settings, url))

    return engine


def problems_with(settings: SqlDirectory) -> Iterator[tuple[str, str]]:
    """What keeps an engine from being made, each with the setting's key; never with a password."""
    try:
        found = list(_problems_with(settings, _parsed(settings)))
        yield from found
        if not found:
            make(settings)
    except ImportError:
        yield "url", MISSING
    except DirectoryError as error:
        yield "url", str(error)


def _parsed(settings: SqlDirectory) -> "URL":
    """The URL, whatever it says. Raises DirectoryError."""
    from sqlalchemy import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        return make_url(settings.url)
    except (ArgumentError, ValueError):
        # What cannot be read may have a password anywhere.
        raise DirectoryError("`url` is no URL: postgresql://USER@HOST/DATABASE is one") from None


def _problems_with(settings: SqlDirectory, url: "URL") -> Iterator[tuple[str, str]]:
    secrets = {"password", "passwd"}
    if url.password is not None or secrets & url.query.keys():
        remedy = "give it as `password: {env: NAME}` or `password: {file: PATH}`"
        yield "url", f"`url` has a password: {remedy}"
    name = url.drivername.partition("+")[0]
    if url.drivername not in {name, _DRIVERS.get(name)} or name not in _DRIVERS:
        known = ", ".join(f"{name}://" for name in _DRIVERS)
        yield "url", f"`url` begins with {quoted(url.drivername)}; there are {known}"
        return
    for parameter in sorted(url.query.keys() - _PARAMETERS[name] - secrets):
        yield "url", f"`url` has an unknown parameter {quoted(parameter)}"
    if name != "sqlite":
        if settings.ca_file is not None and not url.host:
            yield "ca_file", "`ca_file` needs a host in `url`: its certificate is checked"
        return
    if url.username is not None or url.host or url.port is not None:
        yield "url", "`url` of SQLite is sqlite:///relative.db or sqlite:////absolute.db"
    elif not url.database or url.database == ":memory:":
        yield "url", "`url` has no file: sqlite:////var/lib/service.db has one"
    for key in ("password", "ca_file"):
        if getattr(settings, key) is not None:
            yield key, "SQLite takes neither `password` nor `ca_file`"


def _url(settings: SqlDirectory) -> "URL":
    """Where the database is, with its driver. Raises DirectoryError, never with a password."""
    url = _parsed(settings)
    for _, message in _problems_with(settings, url):
        raise DirectoryError(message)
    name = url.get_backend_name()
    return _file(url) if name == "sqlite" else url.set(drivername=_DRIVERS[name])


def _file(url: "URL") -> "URL":
    """A file of SQLite that is opened for reading. One that is missing is not made."""
    return url.set(
        drivername=_DRIVERS["sqlite"],
        database=f"file:{quote(os.path.abspath(url.database or ''))}",  # noqa: PTH100 (no resolving)
        query={"mode": "ro", "uri": "true"},
    )


def _session(settings: SqlDirectory, url: "URL") -> dict[str, object]:
    """How the driver connects, and what a session may do. Raises ImportError."""
    seconds = settings.timeout.total_seconds()
    milliseconds = max(1, round(seconds * 1000))
    if url.get_backend_name() == "sqlite":
        return {"timeout": seconds}
    if url.get_backend_name() == "postgresql":
        return {
            "server_settings": {
                "application_name": "extauthz",
                "default_transaction_read_only": "on",
                "statement_timeout": str(milliseconds),
            }
        }
    return {
        "async_creator_fn": _mysql_connection(),
        "autocommit": True,
        "charset": "utf8mb4",
        # A query that nobody waits for must not go on: of the comments MariaDB executes the first
        # one, MySQL the second.
        "init_command": (
            "SET NAMES utf8mb4"
            f" /*M!100101 , SESSION max_statement_time = {milliseconds / 1000} */"
            f" /*!50708 , SESSION max_execution_time = {milliseconds} */"
            "; SET SESSION TRANSACTION READ ONLY"
        ),
        "program_name": "extauthz",
    }


def _secrets(settings: SqlDirectory, url: "URL") -> dict[str, object]:
    """The password and the CAs as they are now. Raises DirectoryError."""
    if url.get_backend_name() == "sqlite":
        return {}
    # Without any, asyncpg would look for one in the environment and in the home directory.
    password = "" if settings.password is None else read_secret(settings.password)
    if url.get_backend_name() != "postgresql":
        # aiomysql encodes it as Latin-1, and servers keep it in UTF-8.
        password = password.encode().decode("latin-1")
    if settings.ca_file is None:
        return {"password": password}
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        path = printable(settings.ca_file)
        raise DirectoryError(f"ca_file {path} cannot be used: {error.strerror}") from error
    return {"password": password, "ssl": context}


def _mysql_connection() -> Callable[..., Awaitable[object]]:
    """What connects to MySQL and MariaDB. Raises ImportError."""
    from aiomysql import Connection, OperationalError  # type: ignore[import-untyped]  # noqa: PLC0415
    from pymysql.constants import CLIENT, CR  # type: ignore[import-untyped]  # noqa: PLC0415

    class CarefulConnection(Connection):  # type: ignore[misc]  # aiomysql has no types
        def escape(self, value: object) -> str:
            """A value as it stands in a statement."""
            if isinstance(value, str):
                return f"_utf8mb4 X'{value.encode().hex()}'"
            literal: str = super().escape(value)
            return literal

        def close(self) -> None:
            """Give the connection back at once, and not when the server has agreed to end TLS."""
            if self._writer:
                self._writer.transport.abort()
            super().close()

        async def _request_authentication(self) -> None:
            """Refuse to go on without TLS, as aiomysql does when none is offered."""
            if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
                raise OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS")
            await super()._request_authentication()

    async def connect(**arguments: object) -> CarefulConnection:
        connection = CarefulConnection(**arguments)
        # The first sign of life of a connection is that it is made.
        await connection.ping()
        return connection

    return connect

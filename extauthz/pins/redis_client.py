"""Talking to Redis: a few connections, half a second, and an error that says no more than it may.

Of redis-py only the connection is used. Its client and pool cost two to three times the time of a
whole check, and try again for longer than a check may wait. Here a question is given up after
`SECONDS`, and its connection with it, so that no answer is ever read for another question. A kept
connection that was closed meanwhile is no failure: everything that is asked may be asked twice.
"""

import asyncio
import os
import re
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol, TypeAlias, cast
from urllib.parse import urlsplit

import redis.asyncio
from redis import exceptions

from extauthz import secret
from extauthz.pins.trouble import MAX_FAILURES, Cause, Trouble
from extauthz.session import SessionPolicy

__all__ = ["CONNECTIONS", "SECONDS", "RedisClient"]

SECONDS = 0.5
"""For a connection and the question, together. Envoy waits for one second."""
CONNECTIONS = 16
PAUSE_SECONDS = 0.25
"""For so long nobody asks after `MAX_FAILURES` questions in a row without an answer."""
PORT = 6379

Command: TypeAlias = tuple[str | bytes | int, ...]

_CODE = re.compile(r"[A-Z]{2,20}\b", re.ASCII)


class _Connection(Protocol):
    """What is used of redis-py's connections."""

    async def connect(self) -> None: ...
    def pack_commands(self, commands: Iterable[Command]) -> list[bytes]: ...
    async def send_packed_command(self, command: Iterable[bytes]) -> None: ...
    async def read_response(self) -> object: ...
    async def disconnect(self, *, nowait: bool) -> None: ...


class _UnusableError(Exception):
    """A file of ours is not as it should be; the message says which and why."""


class RedisClient:
    """Asks the store of a policy whose settings have no problem."""

    def __init__(self, policy: SessionPolicy) -> None:
        self._policy = policy
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._failures = 0
        """In a row."""
        self._paused_until = 0.0
        """On the monotonic clock."""
        self._last_failure = Trouble("it was not asked yet", Cause.ERROR)

    async def ask(self, commands: Sequence[Command]) -> list[object] | Trouble:
        """Send commands in one go and return the reply to each. An error among them is all."""
        if self._is_paused():
            return replace(self._last_failure, is_news=False)
        try:
            async with asyncio.timeout(SECONDS), self._slots:
                # Whoever waited for those that have just failed does not open connections too.
                if self._is_paused():
                    return replace(self._last_failure, is_news=False)
                replies = await self._ask(commands)
        except TimeoutError:
            return self._failed(Trouble(f"no answer within {SECONDS:g} s", Cause.SILENT))
        except secret.SecretError as error:
            return self._failed(Trouble(str(error), Cause.SECRET))
        except _UnusableError as error:
            return self._failed(Trouble(str(error), Cause.CA_FILE))
        except _FAILURES as error:
            return self._failed(_trouble(error))
        self._failures = 0
        for reply in replies:
            for each in reply if isinstance(reply, list) else [reply]:
                if isinstance(each, Exception):
                    return _trouble(each)
        return replies

    async def close(self) -> None:
        """Close the connections, those in use when their question is through."""
        self._is_closed = True
        await self._drop_idle()

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _failed(self, trouble: Trouble) -> Trouble:
        self._failures += 1
        self._last_failure = trouble
        if self._failures >= MAX_FAILURES:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
        return trouble

    async def _ask(self, commands: Sequence[Command]) -> list[object]:
        if self._idle:
            try:
                return await self._converse(self._idle.pop(), commands)
            except (exceptions.ConnectionError, OSError, EOFError):
                # The others were open when this one was, and are as stale.
                await self._drop_idle()
        return await self._converse(await self._connect(), commands)

    async def _converse(self, connection: _Connection, commands: Sequence[Command]) -> list[object]:
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            replies = [await _reply(connection) for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if self._is_closed:
            await connection.disconnect(nowait=True)
        else:
            self._idle.append(connection)
        return replies

    async def _connect(self) -> _Connection:
        policy = self._policy
        url = urlsplit(policy.store or "")
        password = None if policy.password is None else secret.read(policy.password)
        kind = redis.asyncio.SSLConnection if url.scheme == "rediss" else redis.asyncio.Connection
        made = kind(
            host=url.hostname or "",
            port=url.port or PORT,
            db=int(url.path.strip("/") or 0),
            username=url.username,
            password=password,
            socket_timeout=None,
            socket_connect_timeout=None,
            # RESP2 does all that is needed; with RESP3 redis-py says more when it connects.
            protocol=2,
        )
        if isinstance(made, redis.asyncio.SSLConnection):
            # Left to itself it would trust the CAs of the system beside those of the file.
            made.ssl_context.context = await asyncio.to_thread(_trusting, policy.ca_file)
        connection = cast("_Connection", made)
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)


_FAILURES = (
    exceptions.RedisError,
    OSError,
    EOFError,
    # What does not speak Redis.
    ValueError,
    RecursionError,
    asyncio.LimitOverrunError,
)


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    """TLS settings with these CAs alone, or with those of the system."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise _UnusableError(f"the CA file {ca_file} is not usable: {reason}") from error


async def _reply(connection: _Connection) -> object:
    """The next reply; an error that is the reply to one command is returned."""
    try:
        return await connection.read_response()
    except exceptions.ResponseError as error:
        return error


_KNOWN: Mapping[type[Exception], tuple[str, Cause]] = MappingProxyType({
    exceptions.AuthenticationError: ("it does not accept the user or the password", Cause.DENIED),
    exceptions.NoPermissionError: (
        "its user may not use GETEX, SET, GET, MULTI and EXEC on extauthz:pin:*", Cause.RIGHTS
    ),
    exceptions.OutOfMemoryError: ("it is out of memory", Cause.FULL),
    exceptions.ReadOnlyError: ("it is a replica that only reads", Cause.READ_ONLY),
    exceptions.BusyLoadingError: ("it is loading its data", Cause.LOADING),
})  # fmt: skip


def _trouble(error: BaseException) -> Trouble:
    """What went wrong. The words of Redis and of redis-py are left out: they quote commands."""
    for kind, (words, cause) in _KNOWN.items():
        if isinstance(error, kind):
            return Trouble(words, cause)
    match error:
        case exceptions.ResponseError():
            return _of_reply(str(error))
        case ssl.SSLCertVerificationError():
            why = f"its TLS certificate is not accepted: {error.verify_message}"
            return Trouble(why, Cause.UNTRUSTED)
        case ssl.SSLError():
            return Trouble(f"TLS failed: {error.reason}", Cause.STRANGER)
        case ConnectionResetError() | BrokenPipeError():
            return Trouble("the connection was closed", Cause.STRANGER)
        case OSError():
            return Trouble(f"no connection: {_reason(error)}", Cause.UNREACHABLE)
    beneath = error.__cause__ or error.__context__
    if isinstance(beneath, OSError):
        return _trouble(beneath)
    is_closed = isinstance(error, exceptions.ConnectionError | EOFError)
    why = "the connection was closed" if is_closed else "it does not speak Redis"
    return Trouble(why, Cause.STRANGER)


def _of_reply(reply: str) -> Trouble:
    """What a reply says that is an error and no other kind of it."""
    if reply.startswith("unknown command"):
        return Trouble("it does not know GETEX, SET, GET, MULTI or EXEC", Cause.OLD)
    code = _CODE.match(reply)
    if code is None:
        return Trouble("it answers with an error", Cause.ERROR)
    # The key of one session has a value of another type.
    cause = Cause.FOREIGN if code[0] == "WRONGTYPE" else Cause.ERROR
    return Trouble(f"it answers with an error: {code[0]}", cause)


def _reason(error: OSError) -> str:
    # Of several addresses that were tried asyncio says no number; a name's have negative ones.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or "none of its addresses answers"

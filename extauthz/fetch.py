"""HTTP towards servers that the policy names: bounded in size and time, and nowhere else.

For CRLs, OCSP and accounts. No server is trusted more than the network on the way to it: it is
kept from costing more than it should, and from sending us elsewhere. Redirects are not followed,
cookies are not kept, content is not decompressed, proxies of the environment are not used. What
an answer says is judged elsewhere; nothing of what a server sent is in an error but its status
and where a redirect of a public list points.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Self, TypeAlias

import aiohttp
from aiohttp import hdrs

from extauthz.files import Stamp, stamp

__all__ = ["FetchError", "Fetcher", "KeptConnections", "Validators"]

CONNECTIONS_PER_HOST = 16
CONNECT_SECONDS = 5.0
CHUNK_OCTETS = 64 * 1024
JSON = "application/json"

TlsContext: TypeAlias = ssl.SSLContext | bool
"""As aiohttp takes it: True where there is no TLS."""


class FetchError(Exception):
    """Nothing usable was fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells a server which version we have (RFC 9110 8.8)."""

    etag: str | None = None
    last_modified: str | None = None


class Fetcher:
    """An HTTP client that opens a connection for each request. Use it as an asynchronous context.

    A connection that is kept may be closed at the other end, which a POST finds out too late:
    whoever asks one server often, and may ask twice, uses `KeptConnections`.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._contexts = _Contexts()

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=CONNECTIONS_PER_HOST, force_close=True
        )
        self._session = _session(connector)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def download(  # noqa: PLR0913 (what bounds a request)
        self,
        url: str,
        into: Path,
        *,
        ca_file: str | None,
        validators: Validators,
        limit: int,
        seconds: float,
    ) -> Validators | None:
        """Fetch a URL into a file, unless the server says that we have it: then None.

        Returns what the server says of the new version.

        Raises FetchError for anything but a whole answer of at most `limit` octets in time.
        """
        headers: dict[str, str] = {}
        if validators.etag is not None:
            headers[hdrs.IF_NONE_MATCH] = validators.etag
        if validators.last_modified is not None:
            headers[hdrs.IF_MODIFIED_SINCE] = validators.last_modified
        async with self._answer(hdrs.METH_GET, url, ca_file, seconds, headers=headers) as answer:
            if answer.status == 304 and headers:  # noqa: PLR2004 (Not Modified)
                return None
            _require_ok(answer)
            await asyncio.to_thread(into.write_bytes, b"")
            async for chunk in _limited(answer, limit):
                await asyncio.to_thread(_append, into, chunk)
            said = answer.headers
            return Validators(said.get(hdrs.ETAG), said.get(hdrs.LAST_MODIFIED))

    async def post(  # noqa: PLR0913
        self,
        url: str,
        body: bytes,
        content_type: str,
        *,
        ca_file: str | None,
        limit: int,
        seconds: float,
    ) -> bytes:
        """Post a body and return the answer's. Raises FetchError as `download` does."""
        headers: dict[str, str] = {hdrs.CONTENT_TYPE: content_type}
        async with self._answer(
            hdrs.METH_POST, url, ca_file, seconds, headers=headers, data=body
        ) as answer:
            _require_ok(answer)
            return b"".join([chunk async for chunk in _limited(answer, limit)])

    def kept_connections(self) -> "KeptConnections":
        """Connections of the caller's own, which it closes."""
        return KeptConnections(self._opened(), self._contexts)

    @asynccontextmanager
    async def _answer(  # noqa: PLR0913
        self,
        method: str,
        url: str,
        ca_file: str | None,
        seconds: float,
        *,
        headers: Mapping[str, str],
        data: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        session = self._opened()
        async with (
            _told_as_fetch_error(seconds),
            session.request(
                method,
                url,
                headers=headers,
                data=data,
                allow_redirects=False,
                ssl=await self._contexts.towards(url, ca_file),
            ) as answer,
        ):
            yield answer

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            message = "the fetcher is used outside of its context"
            raise RuntimeError(message)
        return self._session


class KeptConnections:
    """Connections that stay open between questions, for who asks one server again and again.

    What is posted must be a question that may be asked twice. A kept connection that turns out to
    be closed at the other end, before anything of an answer came, is no failure: the question
    then goes over a fresh one, once.
    """

    def __init__(self, fresh: aiohttp.ClientSession, contexts: "_Contexts") -> None:
        self._fresh = fresh
        self._contexts = contexts
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def close(self) -> None:
        """Close all. Whoever still waits for an answer, or asks afterwards, gets a FetchError."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    async def post_json(  # noqa: PLR0913
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        ca_file: str | None,
        limit: int,
        seconds: float,
    ) -> bytes:
        """Post JSON and return the JSON that is the answer, unread.

        Raises FetchError for anything but a whole answer 200 of at most `limit` octets, labelled
        as JSON, within `seconds` from now, however often it was asked.
        """
        trip = _Trip()

        async def ask(session: aiohttp.ClientSession, context: TlsContext) -> bytes:
            async with session.post(
                url,
                data=body,
                headers={**headers, hdrs.CONTENT_TYPE: JSON, hdrs.ACCEPT: JSON},
                allow_redirects=False,
                ssl=context,
                trace_request_ctx=trip,
            ) as answer:
                _require_json(answer)
                return b"".join([chunk async for chunk in _limited(answer, limit)])

        async with _told_as_fetch_error(seconds):
            context = await self._contexts.towards(url, ca_file)
            try:
                return await ask(self._kept(), context)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if self._is_closed or not trip.has_found_a_closed_door(error):
                    raise
            return await ask(self._fresh, context)

    def _kept(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise FetchError("extauthz has closed its connections there")
        if self._session is None:
            traces = aiohttp.TraceConfig()
            traces.on_connection_reuseconn.append(_note_reuse)
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST)
            self._session = _session(connector, traces)
        return self._session


@dataclass(slots=True)
class _Trip:
    """How far a question came."""

    is_on_a_kept_connection: bool = False

    def has_found_a_closed_door(self, error: aiohttp.ClientError) -> bool:
        # Of an answer that broke off within its headers, aiohttp puts what came in the message;
        # one that broke off later is another error.
        is_begun = isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(
            error.message, str
        )
        return self.is_on_a_kept_connection and not is_begun


async def _note_reuse(
    _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.is_on_a_kept_connection = True


class _Contexts:
    """TLS settings, read again when their CA file has changed."""

    def __init__(self) -> None:
        self._contexts: dict[str | None, tuple[Stamp | None, ssl.SSLContext]] = {}

    async def towards(self, url: str, ca_file: str | None) -> TlsContext:
        """The settings for a URL, with these CAs or those of the system."""
        if not url.startswith("https:"):
            return True
        now = None if ca_file is None else stamp(Path(ca_file))
        known = self._contexts.get(ca_file)
        if known is None or known[0] != now:
            try:
                context = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
            except OSError as error:
                raise FetchError(f"the CA file {ca_file} is not usable: {_why(error)}") from error
            known = self._contexts[ca_file] = (now, context)
        return known[1]


def _session(
    connector: aiohttp.TCPConnector, traces: aiohttp.TraceConfig | None = None
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={hdrs.USER_AGENT: "extauthz", hdrs.ACCEPT_ENCODING: "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        trace_configs=None if traces is None else [traces],
    )


@asynccontextmanager
async def _told_as_fetch_error(seconds: float) -> AsyncIterator[None]:
    """Whatever goes wrong in these seconds, or takes longer, becomes a FetchError."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise FetchError(f"no whole answer within {seconds:g} s") from error
    except aiohttp.ClientConnectorCertificateError as error:
        reason = error.certificate_error
        raise FetchError(f"its TLS certificate is not accepted: {reason}") from error
    except aiohttp.ClientConnectorError as error:
        raise FetchError(f"no connection: {_why(error.os_error)}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"no answer: {_why(error)}") from error


def _why(error: Exception) -> str:
    """What went wrong, in words that repeat nothing of what was sent or received."""
    match error:
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed"
        case aiohttp.ClientPayloadError():
            return "it is not whole"
        case aiohttp.ClientResponseError():
            return "it is not HTTP"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or type(error).__name__}"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case OSError() if not isinstance(error, aiohttp.ClientError):
            return str(error) or type(error).__name__
    return type(error).__name__


def _require_ok(answer: aiohttp.ClientResponse) -> None:
    if 300 <= answer.status < 400:  # noqa: PLR2004 (redirections)
        where = answer.headers.get(hdrs.LOCATION, "nowhere")[:200]
        raise FetchError(f"HTTP {answer.status} to {where!r}: redirects are not followed")
    if answer.status != 200:  # noqa: PLR2004
        raise FetchError(f"HTTP {answer.status}")
    if answer.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise FetchError("the answer is compressed, which was not asked for")


def _require_json(answer: aiohttp.ClientResponse) -> None:
    # Where a redirect points may repeat what was asked.
    if 300 <= answer.status < 400:  # noqa: PLR2004 (redirections)
        raise FetchError(f"HTTP {answer.status}: redirects are not followed")
    _require_ok(answer)
    if answer.content_type != JSON or (answer.charset or "utf-8").lower() != "utf-8":
        raise FetchError(f"the answer's Content-Type is not {JSON}")


def _append(path: Path, chunk: bytes) -> None:
    """Write at the end of a file that is there. Who is cancelled meanwhile leaves none open."""
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(chunk)


async def _limited(answer: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in answer.content.iter_chunked(CHUNK_OCTETS):
        size += len(chunk)
        if size > limit:
            raise FetchError(f"the answer is larger than {limit} octets")
        yield chunk

"""HTTP for CRLs and OCSP: bounded in size and time, towards the named server and no other.

A server of lists is no more trusted than the network on the way to it. What it sends is verified
by its signature afterwards; here it is kept from costing more than it should, and from sending us
elsewhere: redirects are not followed, cookies are not kept, content is not decompressed, proxies
of the environment are not used.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import hdrs

from extauthz.files import Stamp, stamp

__all__ = ["FetchError", "Fetcher", "Validators"]

CONNECTIONS_PER_HOST = 16
CONNECT_SECONDS = 5.0
CHUNK_OCTETS = 64 * 1024


class FetchError(Exception):
    """Nothing usable was fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells a server which version we have (RFC 9110 8.8)."""

    etag: str | None = None
    last_modified: str | None = None


class Fetcher:
    """An HTTP client. Use it as an asynchronous context."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str | None, tuple[Stamp | None, ssl.SSLContext]] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # One that is kept may be closed at the other end, which a POST finds out too late.
            connector=aiohttp.TCPConnector(
                limit=0, limit_per_host=CONNECTIONS_PER_HOST, force_close=True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={hdrs.USER_AGENT: "extauthz", hdrs.ACCEPT_ENCODING: "identity"},
        )
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
            with await asyncio.to_thread(into.open, "wb") as file:
                async for chunk in _limited(answer, limit):
                    await asyncio.to_thread(file.write, chunk)
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
        if self._session is None:
            message = "the fetcher is used outside of its context"
            raise RuntimeError(message)
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=data,
                    allow_redirects=False,
                    ssl=await self._context(ca_file) if url.startswith("https:") else True,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                ) as answer,
            ):
                yield answer
        except TimeoutError as error:
            raise FetchError(f"no whole answer within {seconds:g} s") from error
        except aiohttp.ClientConnectorCertificateError as error:
            reason = error.certificate_error
            raise FetchError(f"its TLS certificate is not accepted: {reason}") from error
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            why = str(error.os_error) if number is None or number < 0 else os.strerror(number)
            raise FetchError(f"no connection: {why}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"no answer: {str(error) or type(error).__name__}") from error

    async def _context(self, ca_file: str | None) -> ssl.SSLContext:
        """The TLS settings with these CAs, or those of the system; read again when changed."""
        now = None if ca_file is None else stamp(Path(ca_file))
        known = self._contexts.get(ca_file)
        if known is None or known[0] != now:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
            known = self._contexts[ca_file] = (now, context)
        return known[1]


def _require_ok(answer: aiohttp.ClientResponse) -> None:
    if 300 <= answer.status < 400:  # noqa: PLR2004 (redirections)
        where = answer.headers.get(hdrs.LOCATION, "nowhere")[:200]
        raise FetchError(f"HTTP {answer.status} to {where!r}: redirects are not followed")
    if answer.status != 200:  # noqa: PLR2004
        raise FetchError(f"HTTP {answer.status}")
    if answer.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise FetchError("the answer is compressed, which was not asked for")


async def _limited(answer: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in answer.content.iter_chunked(CHUNK_OCTETS):
        size += len(chunk)
        if size > limit:
            raise FetchError(f"the answer is larger than {limit} octets")
        yield chunk

"""HTTP to any server of the policy, over a connection for each request: CRLs and OCSP."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import hdrs

from extauthz.fetch.exchange import (
    CONNECTIONS_PER_HOST,
    limited,
    new_session,
    require_ok,
    told_as_fetch_error,
)
from extauthz.fetch.kept import KeptConnections
from extauthz.fetch.tls import TlsContexts

__all__ = ["Fetcher", "Validators"]


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
        self._contexts = TlsContexts()

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=CONNECTIONS_PER_HOST, force_close=True
        )
        self._session = new_session(connector)
        return self

    async def __aexit__(self, *_: object) -> None:
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
            require_ok(answer)
            await asyncio.to_thread(into.write_bytes, b"")
            async for chunk in limited(answer, limit):
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
            require_ok(answer)
            return b"".join([chunk async for chunk in limited(answer, limit)])

    def kept_connections(self) -> KeptConnections:
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
            told_as_fetch_error(seconds),
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


def _append(path: Path, chunk: bytes) -> None:
    """Write at the end of a file that is there. Who is cancelled meanwhile leaves none open."""
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(chunk)

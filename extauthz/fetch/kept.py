"""HTTP to one server again and again, over connections that stay open."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from aiohttp import hdrs

from extauthz.fetch.exchange import (
    CONNECTIONS_PER_HOST,
    FetchError,
    limited,
    new_session,
    require_ok,
    told_as_fetch_error,
)
from extauthz.fetch.tls import TlsContext, TlsContexts

__all__ = ["KeptConnections"]

JSON = "application/json"


class KeptConnections:
    """Connections that stay open between questions, for who asks one server again and again.

    What is posted must be a question that may be asked twice. A kept connection that turns out to
    be closed at the other end, before anything of an answer came, is no failure: the question
    then goes over a fresh one, once.
    """

    def __init__(self, fresh: aiohttp.ClientSession, contexts: TlsContexts) -> None:
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
                return b"".join([chunk async for chunk in limited(answer, limit)])

        async with told_as_fetch_error(seconds):
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
            self._session = new_session(connector, traces)
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


def _require_json(answer: aiohttp.ClientResponse) -> None:
    # Where a redirect points may repeat what was asked.
    if 300 <= answer.status < 400:  # noqa: PLR2004 (redirections)
        raise FetchError(f"HTTP {answer.status}: redirects are not followed")
    require_ok(answer)
    if answer.content_type != JSON or (answer.charset or "utf-8").lower() != "utf-8":
        raise FetchError(f"the answer's Content-Type is not {JSON}")

"""What every request to a server of the policy keeps to: size, time, and nowhere else.

No server is trusted more than the network on the way to it: it is kept from costing more than it
should, and from sending us elsewhere. Redirects are not followed, cookies are not kept, content is
not decompressed, proxies of the environment are not used. What an answer says is judged elsewhere;
nothing of what a server sent is in an error but its status and where a redirect of a public list
points.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import hdrs

__all__ = [
    "CONNECTIONS_PER_HOST", "FetchError", "limited", "new_session", "require_ok",
    "told_as_fetch_error", "why",
]  # fmt: skip

CONNECTIONS_PER_HOST = 16
CONNECT_SECONDS = 5.0
CHUNK_OCTETS = 64 * 1024


class FetchError(Exception):
    """Nothing usable was fetched; the message says why."""


def new_session(
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
async def told_as_fetch_error(seconds: float) -> AsyncIterator[None]:
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
        raise FetchError(f"no connection: {why(error.os_error)}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"no answer: {why(error)}") from error


def why(error: Exception) -> str:
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


def require_ok(answer: aiohttp.ClientResponse) -> None:
    if 300 <= answer.status < 400:  # noqa: PLR2004 (redirections)
        where = answer.headers.get(hdrs.LOCATION, "nowhere")[:200]
        raise FetchError(f"HTTP {answer.status} to {where!r}: redirects are not followed")
    if answer.status != 200:  # noqa: PLR2004
        raise FetchError(f"HTTP {answer.status}")
    if answer.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise FetchError("the answer is compressed, which was not asked for")


async def limited(answer: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in answer.content.iter_chunked(CHUNK_OCTETS):
        size += len(chunk)
        if size > limit:
            raise FetchError(f"the answer is larger than {limit} octets")
        yield chunk

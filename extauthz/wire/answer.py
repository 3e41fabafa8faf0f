"""A decision to the HTTP response that tells Envoy. The one place that words the answer.

Envoy passes a request on after 200, and gives a refused client the status, body, Content-Type and
Cache-Control that stand here. They depend on the subscription and on what the client accepts,
never on what was found.
"""

import html
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from types import MappingProxyType

from aiohttp import HttpVersion11, hdrs
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web import BaseRequest, Response, StreamResponse

from extauthz.decision import Decision
from extauthz.policy import DEFAULT_DENIAL, Denial

__all__ = ["PLAIN", "answer", "denied", "failed", "refusal"]

PLAIN = "text/plain"
HTML = "text/html"
JSON = "application/json"
_OFFERS = (PLAIN, HTML, JSON)
"""The representations of a denial; the first one is for clients without a preference."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{text}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"></head>
<body><main><h1>{text}</h1></main></body>
</html>
"""


_ALLOWED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: %b\r\n\r\n"
_MAX_UNREAD = 64 * 1024


class _Allowed(Response):
    """The answer that most checks get. It is the same octets each time, and written as such.

    Building header fields for aiohttp to serialise would be a third of the cost of a check. What
    is out of the ordinary is left to aiohttp: HTTP/1.0, a connection that is to be closed, and a
    peer that does not read, for which it waits.
    """

    _is_written = False

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        transport = request.transport
        if (
            transport is None
            or not request.keep_alive
            or request.version != HttpVersion11
            or transport.get_write_buffer_size() > _MAX_UNREAD
        ):
            return await super().prepare(request)
        transport.write(_ALLOWED % _date(int(time.time())))
        self._keep_alive = self._is_written = True
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        if not self._is_written:
            await super().write_eof(data)


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    """RFC 9110 6.6.1."""
    return formatdate(seconds, usegmt=True).encode("ascii")


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    body: bytes
    headers: Mapping[str, str]


def answer(decision: Decision, headers: Mapping[str, str]) -> StreamResponse:
    """What Envoy is told. Of the request's header fields, only the client's Accept is read."""
    if decision.allowed:
        return _Allowed()
    subscription = decision.subscription
    denial = DEFAULT_DENIAL if subscription is None else subscription.denial
    return denied(denial, headers.get(hdrs.ACCEPT, ""))


def denied(denial: Denial, accept: str) -> Response:
    """The refusal of a client."""
    chosen = refusal(denial, preferred(accept))
    return Response(status=chosen.status, body=chosen.body, headers=chosen.headers)


def failed() -> Response:
    """An error of ours. Envoy refuses the request; `failure_mode_allow` must be false."""
    return Response(status=500)


@lru_cache(maxsize=1024)
def refusal(denial: Denial, media_type: str) -> _Refusal:
    """The refusal in one of the media types, or as the subscription fixed it."""
    if denial.content_type is not None:
        return _refusal(denial.status, denial.body, denial.content_type)
    if media_type == JSON:
        return _refusal(denial.status, json.dumps({"error": denial.body}) + "\n", JSON)
    if media_type == HTML:
        page = _PAGE.format(text=html.escape(denial.body))
        return _refusal(denial.status, page, f"{HTML}; charset=utf-8")
    return _refusal(denial.status, denial.body + "\n", f"{PLAIN}; charset=utf-8")


def _refusal(status: int, body: str, content_type: str) -> _Refusal:
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "no-store"}
    return _Refusal(status, body.encode(), MappingProxyType(headers))


@lru_cache(maxsize=1024)
def preferred(accept: str) -> str:
    """The offer that an Accept field (RFC 9110 12.5.1) likes best; plain text when in doubt."""
    ranges = [_media_range(part) for part in accept[:1024].lower().split(",")]
    best, best_rank = PLAIN, (0.0, 0, 0)
    for offer in _OFFERS:
        family = offer.partition("/")[0] + "/*"
        matching = [
            (quality, (offer, family, "*/*").index(name), position)
            for position, (name, quality) in enumerate(ranges)
            if name in (offer, family, "*/*")
        ]
        if matching:
            # The most specific range speaks for the offer, whatever its quality.
            quality, generality, position = min(matching, key=lambda match: match[1])
            rank = (quality, -generality, -position)
            if quality > 0 and (best_rank[0] <= 0 or rank > best_rank):
                best, best_rank = offer, rank
    return best


def _media_range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                quality = min(max(float(value), 0.0), 1.0)
            except ValueError:
                quality = 0.0
    return name, quality

"""A decision to the HTTP response that tells Envoy. The one place that words the answer.

Envoy passes a request on after 200, and gives a refused client the status, body, Content-Type,
Cache-Control and Content-Security-Policy that stand here. They depend on the subscription, the
request id and what the client accepts, never on what was found. What was found stands in fields of
its own, and only where Envoy says that it takes them for its access log.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from aiohttp import HttpVersion11, hdrs
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web import BaseRequest, Response, StreamResponse
from multidict import istr

from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.envoyconfig.needs import (
    ACCESS_LOG_HEADER,
    DECISION_HEADER,
    REASONS_HEADER,
    SUBSCRIPTION_HEADER,
)
from extauthz.findings import Reason
from extauthz.policy import DEFAULT_DENIAL, Denial
from extauthz.quoting import printable
from extauthz.wire.page import CONTENT_SECURITY_POLICY, identified, page

__all__ = ["PLAIN", "answer", "denied", "failed", "refusal"]

PLAIN = "text/plain"
HTML = "text/html"
JSON = "application/json"
_OFFERS = (PLAIN, HTML, JSON)
"""The representations of a denial; the first one is for clients without a preference."""

MAX_REQUEST_ID: Final = 128
"""Longest request id that a client is told, in characters. Envoy's own have 36."""
MAX_ACCEPT: Final = 1024
"""How much of an Accept field is read, in characters. What is chosen by one is kept."""
MAX_SAID: Final = 4096
"""How many pairs of a subscription and its reasons are kept in the form in which they are said."""

_ACCESS_LOG: Final = istr(ACCESS_LOG_HEADER)
_REQUEST_ID: Final = istr("x-request-id")
_MAX_UNREAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Said:
    """What an answer says of the decision, for Envoy's access log."""

    fields: Mapping[str, str]
    allowed: bytes
    """The head of an answer that allows, but for its date."""


def _saying(fields: Mapping[str, str]) -> _Said:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}"
    return _Said(MappingProxyType(fields), head.encode("ascii"))


_NOTHING: Final = _saying({})


@lru_cache(maxsize=MAX_SAID)
def _said(subscription: str | None, reasons: tuple[Reason, ...]) -> _Said:
    """Names of subscriptions and reasons have no character that would end a field."""
    fields = {DECISION_HEADER: "deny" if reasons else "allow"}
    if reasons:
        fields[REASONS_HEADER] = ",".join(dict.fromkeys(reasons))
    if subscription is not None:
        fields[SUBSCRIPTION_HEADER] = subscription
    return _saying(fields)


class _Allowed(Response):
    """The answer that most checks get. It is octets that are there already, and written as such.

    Building header fields for aiohttp to serialise would be a third of the cost of a check. What
    is out of the ordinary is left to aiohttp: HTTP/1.0, a connection that is to be closed, and a
    peer that does not read, for which it waits.
    """

    _is_written = False

    def __init__(self, said: _Said) -> None:
        super().__init__()
        self._said = said

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        transport = request.transport
        if (
            transport is None
            or not request.keep_alive
            or request.version != HttpVersion11
            or transport.get_write_buffer_size() > _MAX_UNREAD
        ):
            self.headers.update(self._said.fields)
            return await super().prepare(request)
        transport.write(self._said.allowed + _date(int(time.time())))
        self._keep_alive = self._is_written = True
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        if not self._is_written:
            await super().write_eof(data)


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    """The last field of a head (RFC 9110 6.6.1), and its end."""
    return f"Date: {formatdate(seconds, usegmt=True)}\r\n\r\n".encode("ascii")


def answer(
    decision: Decision, headers: Mapping[str, str], check: CheckRequest | None
) -> StreamResponse:
    """What Envoy is told. Of the request's own header fields, only the client's Accept is read."""
    subscription, said = decision.subscription, _NOTHING
    if _ACCESS_LOG in headers:
        name = None if subscription is None else subscription.name
        said = _said(name, tuple([finding.reason for finding in decision.findings]))
    if decision.allowed:
        return _Allowed(said)
    denial = DEFAULT_DENIAL if subscription is None else subscription.denial
    request_id = headers.get(_REQUEST_ID, "") if check is None else check.request_id
    response = denied(denial, headers.get(hdrs.ACCEPT, ""), request_id)
    response.headers.update(said.fields)
    return response


def denied(denial: Denial, accept: str, request_id: str = "") -> Response:
    """The refusal of a client; the id is told where there is one."""
    chosen = refusal(denial, preferred(accept[:MAX_ACCEPT]))
    return Response(status=chosen.status, body=chosen.body(request_id), headers=chosen.headers)


def failed() -> Response:
    """An error of ours. Envoy refuses the request; `failure_mode_allow` must be false."""
    return Response(status=500)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal in one representation, all but the request id."""

    status: int
    headers: Mapping[str, str]
    before: bytes
    after: bytes = b""
    identified: Callable[[str], str] | None = None
    """How the request id is said between the two."""

    def body(self, request_id: str) -> bytes:
        if self.identified is None or not request_id:
            return self.before + self.after
        said = self.identified(printable(request_id[:MAX_REQUEST_ID]))
        return self.before + said.encode() + self.after


@lru_cache(maxsize=1024)
def refusal(denial: Denial, media_type: str) -> _Refusal:
    """The refusal in one of the media types, or as the subscription fixed it."""
    if denial.content_type is not None:
        return _Refusal(denial.status, _headers(denial.content_type), denial.body.encode())
    if media_type == JSON:
        members = {"error": denial.body} | ({} if denial.help is None else {"help": denial.help})
        before = json.dumps(members).removesuffix("}").encode()
        return _Refusal(denial.status, _headers(JSON), before, b"}\n", _identified_in_json)
    if media_type == HTML:
        text = denial.body.strip() or DEFAULT_DENIAL.body
        before, after = (part.encode() for part in page(text, denial.help))
        headers = _headers(f"{HTML}; charset=utf-8", CONTENT_SECURITY_POLICY)
        return _Refusal(denial.status, headers, before, after, identified)
    headers = _headers(f"{PLAIN}; charset=utf-8")
    return _Refusal(denial.status, headers, f"{denial.body}\n".encode())


def _identified_in_json(request_id: str) -> str:
    return f', "request_id": {json.dumps(request_id)}'


def _headers(content_type: str, policy: str | None = None) -> Mapping[str, str]:
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "no-store"}
    if policy is not None:
        headers[hdrs.CONTENT_SECURITY_POLICY] = policy
    return MappingProxyType(headers)


@lru_cache(maxsize=1024)
def preferred(accept: str) -> str:
    """The offer that an Accept field (RFC 9110 12.5.1) likes best; plain text when in doubt."""
    ranges = [_media_range(part) for part in accept.lower().split(",")]
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

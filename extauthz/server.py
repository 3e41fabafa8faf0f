"""The check listener: it answers Envoy, and nobody else.

Nothing that happens in a check becomes an allow. What cannot be read is refused as any client is;
a bug of ours is a 5xx, which Envoy refuses for us. Either leaves its line in the decision log.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

from aiohttp import web
from multidict import istr

from extauthz.check import CheckRequest
from extauthz.decision import Decision, Question, undecided
from extauthz.findings import Finding, Reason
from extauthz.observe.record import Entry
from extauthz.observe.recorder import Recorder
from extauthz.pins.gathered import GatheredPins, must_bind
from extauthz.policy import DEFAULT_DENIAL
from extauthz.policyfile.live import LivePolicy
from extauthz.redaction import Redaction
from extauthz.snapshot import Holders, Snapshot
from extauthz.wire.answer import PLAIN, answer, denied, failed
from extauthz.wire.request import RequestReader, request_id

__all__ = ["Checker", "Networks", "check_server"]

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

Ask: TypeAlias = Callable[[Sequence[Question]], Awaitable[None]]
"""Has OCSP responders and directories asked; returns when they have answered, or when a check must
not wait."""

TRACEPARENT: Final = istr("traceparent")
"""W3C Trace Context 3.2."""
MAX_FIELD_OCTETS = 1024 * 1024
"""Longest header field and request line that the parser takes. It is above what is decided on
(`xfcc.MAX_LENGTH`), so that too long a certificate chain is refused for a reason of its own."""

logger = logging.getLogger(__name__)


class Checker:
    """Answers a request of Envoy: reads it, has it decided, records it."""

    def __init__(
        self,
        live: LivePolicy,
        reader: RequestReader,
        recorder: Recorder,
        ask: Ask,
        pins: GatheredPins,
    ) -> None:
        self._live = live
        self._ask = ask
        self._reader = reader
        self._recorder = recorder
        self._pins = pins

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        began = time.perf_counter()
        check: CheckRequest | None = None
        snapshot, now = self._live.snapshot, datetime.now(UTC)
        try:
            octets = await _octets(request) if request.can_read_body else b""
            decision, check, snapshot, now = await self._decide(request, octets)
            response = answer(decision, request.headers, check)
        except asyncio.CancelledError:
            raise
        # The one place that fails closed. A panic of a Rust library is no Exception.
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            logger.critical("a check failed by a bug", exc_info=True)
            decision = undecided(Finding(Reason.INTERNAL_ERROR, type(error).__name__))
            response = failed()
        identifier = request_id(request) if check is None else check.request_id
        self._recorder.record(Entry(
            decision, check, identifier, _generation(snapshot), now, time.perf_counter() - began,
            _redaction(snapshot), request.headers.get(TRACEPARENT, ""),
        ))  # fmt: skip
        return response

    async def _decide(
        self, request: web.BaseRequest, octets: bytes | None
    ) -> tuple[Decision, CheckRequest | None, Snapshot, datetime]:
        """The decision, what was decided on, by which policy and when.

        Whatever has to be waited for is waited for once. Meanwhile the policy may have become
        another, which may block what the one before let pass: so the request is read anew.
        """
        snapshot: Snapshot | None = None
        check: CheckRequest | None = None
        holders: Holders | None = None
        is_asked = False
        while True:
            now = datetime.now(UTC)
            if check is None or snapshot is None or snapshot is not self._live.snapshot:
                snapshot, before = self._live.snapshot, check
                if snapshot is None:
                    message = "a check came before a policy was in force"
                    raise RuntimeError(message)
                read = self._reader.read(request, octets, snapshot.policy)
                if isinstance(read, Finding):
                    return undecided(read), None, snapshot, now
                check = read
                if before is not None and before.pins != check.pins:
                    holders = None
            if check.pins and holders is None:
                holders = await self._pins.holders(check)
                continue
            decision = snapshot.check(check, now, holders or ())
            if decision.unanswered and not is_asked:
                await self._ask(decision.unanswered)
                is_asked = True
            elif must_bind(check, decision, holders):
                holders = await self._pins.bind(check, decision, holders or ())
            else:
                return decision, check, snapshot, now

    def unreadable(self, error: BaseException | None) -> web.Response:
        """The refusal of a request that is not HTTP as the parser knows it.

        The parser's own words are left out of the record: they quote the request.
        """
        kind = type(error).__name__
        decision = undecided(Finding(Reason.REQUEST_MALFORMED, f"not readable as HTTP: {kind}"))
        snapshot = self._live.snapshot
        self._recorder.record(Entry(
            decision, None, "", _generation(snapshot), datetime.now(UTC), 0.0, _redaction(snapshot)
        ))  # fmt: skip
        response = denied(DEFAULT_DENIAL, PLAIN)
        response.force_close()
        return response


async def _octets(request: web.BaseRequest) -> bytes | None:
    """The body that Envoy hands over; None when that cannot be read, or is more than it may be."""
    try:
        return await request.read()
    except (web.HTTPRequestEntityTooLarge, web.RequestPayloadError, ConnectionError):
        return None


def _redaction(snapshot: Snapshot | None) -> Redaction | None:
    return None if snapshot is None else snapshot.policy.redaction


def _generation(snapshot: Snapshot | None) -> int:
    return 0 if snapshot is None else snapshot.generation


class _Connection(web.RequestHandler):
    """A connection from Envoy, or from somebody who has no business here."""

    __slots__ = ("_allowed", "_checker")

    def __init__(
        self, checker: Checker, allowed: Networks, manager: web.Server,
        *, loop: asyncio.AbstractEventLoop,
    ) -> None:  # fmt: skip
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # as the documentation has it
            max_line_size=MAX_FIELD_OCTETS,
            max_field_size=MAX_FIELD_OCTETS,
            # What a client compressed is not unpacked: a few octets can become gigabytes.
            auto_decompress=False,
        )
        self._checker = checker
        self._allowed = allowed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not _may_ask(transport, self._allowed):
            peer = transport.get_extra_info("peername")
            logger.warning("refused a connection from %s: it may not ask", peer and peer[0])
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 (aiohttp's signature)
        status: int = 500,  # noqa: ARG002
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        return self._checker.unreadable(exc)


class _CheckServer(web.Server):
    def __init__(self, checker: Checker, allowed: Networks) -> None:
        super().__init__(checker)
        self._checker = checker
        self._allowed = allowed

    def __call__(self) -> web.RequestHandler:
        return _Connection(self._checker, self._allowed, self, loop=self._loop)


def check_server(checker: Checker, allowed: Networks) -> web.Server:
    """The check listener's protocol. Besides loopback and Unix sockets, `allowed` may ask."""
    return _CheckServer(checker, allowed)


def _may_ask(transport: asyncio.BaseTransport, allowed: Networks) -> bool:
    peer = transport.get_extra_info("peername")
    if isinstance(peer, tuple):
        # A scope, as in `fe80::1%eth0`, is no part of the address that a network holds.
        return _is_allowed(ip_address(peer[0].partition("%")[0]), allowed)
    # A Unix socket has no address: who may use it is said by its file mode. Of a connection that
    # was reset by now, uvloop knows no address either.
    family: int = transport.get_extra_info("socket").family
    return family == socket.AF_UNIX


def _is_allowed(peer: IPv4Address | IPv6Address, allowed: Networks) -> bool:
    address = peer.ipv4_mapped if isinstance(peer, IPv6Address) and peer.ipv4_mapped else peer
    return address.is_loopback or any(address in network for network in allowed)

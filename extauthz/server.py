"""The two listeners. The check listener answers Envoy, the admin listener the operator.

They never share an address: what needs no check on one must not be reachable on the other.

Nothing that happens in a check becomes an allow. What cannot be read is refused as any client is;
a bug of ours is a 5xx, which Envoy refuses for us. Either leaves its line in the decision log.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from extauthz.check import CheckRequest
from extauthz.decision import undecided
from extauthz.findings import Finding, Reason
from extauthz.observe.record import Entry
from extauthz.observe.recorder import Recorder
from extauthz.policy import DEFAULT_DENIAL
from extauthz.policyfile.live import LivePolicy
from extauthz.revocation import Inquiry
from extauthz.snapshot import Snapshot
from extauthz.wire.answer import PLAIN, answer, denied, failed
from extauthz.wire.request import RequestReader, request_id

__all__ = ["Checker", "Networks", "admin_application", "check_server"]

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

Ask: TypeAlias = Callable[[Sequence[Inquiry]], Awaitable[None]]
"""Has OCSP responders asked; returns when they have answered, or when a check must not wait."""

MAX_FIELD_OCTETS = 1024 * 1024
"""Longest header field and request line that the parser takes. It is above what is decided on
(`xfcc.MAX_LENGTH`), so that too long a certificate chain is refused for a reason of its own."""

MAX_READY_ERRORS = 20
"""Errors of the last reading that `/readyz` lists; `extauthz validate` has them all."""

logger = logging.getLogger(__name__)


class Checker:
    """Answers a request of Envoy: reads it, has it decided, records it."""

    def __init__(
        self, live: LivePolicy, reader: RequestReader, recorder: Recorder, ask: Ask
    ) -> None:
        self._live = live
        self._ask = ask
        self._reader = reader
        self._recorder = recorder

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        began = time.perf_counter()
        now = datetime.now(UTC)
        check: CheckRequest | None = None
        snapshot = self._live.snapshot
        try:
            if snapshot is None:
                message = "a check came before a policy was in force"
                raise RuntimeError(message)  # noqa: TRY301 (taken as any bug: refused, recorded)
            read = self._reader.read(request)
            if isinstance(read, Finding):
                decision = undecided(read)
            else:
                check = read
                decision = snapshot.check(check, now)
                if decision.unanswered:
                    await self._ask(decision.unanswered)
                    # Meanwhile the policy may have become another: what it blocks counts.
                    now, snapshot = datetime.now(UTC), self._live.snapshot or snapshot
                    decision = snapshot.check(check, now)
            response = answer(decision, request.headers)
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
            decision, check, identifier, _generation(snapshot), now, time.perf_counter() - began
        ))  # fmt: skip
        return response

    def unreadable(self, error: BaseException | None) -> web.Response:
        """The refusal of a request that is not HTTP as the parser knows it.

        The parser's own words are left out of the record: they quote the request.
        """
        kind = type(error).__name__
        decision = undecided(Finding(Reason.REQUEST_MALFORMED, f"not readable as HTTP: {kind}"))
        generation = _generation(self._live.snapshot)
        self._recorder.record(Entry(decision, None, "", generation, datetime.now(UTC), 0.0))
        response = denied(DEFAULT_DENIAL, PLAIN)
        response.force_close()
        return response


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
        )
        self._checker = checker
        self._allowed = allowed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        # A Unix socket has no address: who may use it is said by its file mode.
        if isinstance(peer, tuple) and not _is_allowed(ip_address(peer[0]), self._allowed):
            logger.warning("refused a connection from %s: it may not ask", peer[0])
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


def admin_application(
    live: LivePolicy, recorder: Recorder, metrics: CollectorRegistry
) -> web.Application:
    """The admin listener: whether we live, whether we can decide, and how it goes."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        snapshot, status = live.snapshot, live.status
        return web.json_response(
            {
                "ready": snapshot is not None,
                "policy": str(live.path),
                "generation": None if snapshot is None else snapshot.generation,
                "last_reload": {
                    "at": status.at.isoformat(),
                    "successful": not status.errors,
                    "error_count": len(status.errors),
                    "errors": [str(problem) for problem in status.errors[:MAX_READY_ERRORS]],
                },
            },
            status=503 if snapshot is None else 200,
        )

    async def exposition(_request: web.Request) -> web.Response:
        recorder.flush()
        # Many subscriptions make it long, and checks must not wait for it.
        body = await asyncio.to_thread(generate_latest, metrics)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", exposition)
    return application


def _is_allowed(peer: IPv4Address | IPv6Address, allowed: Networks) -> bool:
    address = peer.ipv4_mapped if isinstance(peer, IPv6Address) and peer.ipv4_mapped else peer
    return address.is_loopback or any(address in network for network in allowed)

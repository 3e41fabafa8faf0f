"""OCSP responders: asked when a certificate is seen, and again before an answer runs out.

A check waits for an answer, but not for long; the question goes on without it, and its answer is
there for the next check. A responder that fails again and again is left alone for a while, and
nobody waits for it then. Nothing here is shared between responders but the bounds.
"""

import asyncio
import heapq
import logging
import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from urllib.parse import urlsplit

from extauthz.cache import BoundedCache
from extauthz.fetch.exchange import FetchError
from extauthz.fetch.fetcher import Fetcher
from extauthz.inquiry import Answered, Inquiry, NotAnswered
from extauthz.ocsp import encode_request
from extauthz.ocsp_answer import OcspError, Terms, read_answer
from extauthz.quoting import printable
from extauthz.revocation import CLOCK_TOLERANCE

__all__ = ["LATENCY_BUCKETS", "Responder", "Responders"]

WAIT_SECONDS = 0.7
"""How long a check waits. Envoy waits for one second."""
REQUEST_SECONDS = 5.0
"""How long a question goes on for the checks that come after."""
NONCE_OCTETS = 32
"""RFC 9654 2.1."""
MAX_ANSWER_OCTETS = 256 * 1024
CAPACITY = 32 * 1024 * 1024
ANSWER_OCTETS = 2048
"""What an answer takes with all that belongs to it, about."""
UNANSWERED = timedelta(seconds=5)
"""For how long a question that failed is not asked again."""
MAX_FAILURES = 5
"""Failures in a row after which a responder is left alone."""
FIRST_PAUSE_SECONDS = 5.0
MAX_PAUSE_SECONDS = 120.0
FINAL = timedelta(days=7)
"""For how long "revoked" is remembered when the responder falls silent."""
REFRESH_SHARE = 0.75
"""An answer is asked for again after this share of the time for which it is believed."""
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Responder:
    """How one responder has done, and whether it is left alone."""

    results: Counter[str] = field(default_factory=Counter)
    """By `good`, `revoked`, `unknown`; `refused`, when what it says may not be believed; `failed`,
    when it says nothing; `skipped`, while it is left alone."""
    latencies: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS) + 1))
    seconds: float = 0.0
    failures: int = 0
    """In a row."""
    paused_until: float = 0.0
    """On the monotonic clock."""

    def took(self, seconds: float) -> None:
        self.latencies[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.seconds += seconds

    def failed(self, name: str, why: str) -> None:
        self.results["failed"] += 1
        self.failures += 1
        if self.failures >= MAX_FAILURES:
            pause = FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures - MAX_FAILURES, 10)
            pause = min(pause, MAX_PAUSE_SECONDS)
            self.paused_until = time.monotonic() + pause
            logger.warning("OCSP responder %s failed %d times, last: %s; not asked for %g s",
                           name, self.failures, printable(why), pause)  # fmt: skip

    def succeeded(self, name: str, status: str) -> None:
        self.results[status] += 1
        if self.failures >= MAX_FAILURES:
            logger.info("OCSP responder %s answers again", name)
        self.failures = 0

    @property
    def is_paused(self) -> bool:
        return time.monotonic() < self.paused_until


@dataclass(slots=True)
class _Kept:
    """What came of an inquiry, and whether anybody has needed it since."""

    outcome: Answered | NotAnswered
    is_used: bool = False


class Responders:
    """Asks OCSP responders, and keeps what they say."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._asking: dict[Inquiry, asyncio.Task[None]] = {}
        self._refreshes: list[tuple[float, int, Inquiry]] = []
        self._number = count()
        self.kept: BoundedCache[Inquiry, _Kept] = BoundedCache(CAPACITY)
        self.responders: dict[str, Responder] = {}
        """By scheme and host. The policy names or allows these: no certificate can add one."""

    def answered(self, inquiry: Inquiry) -> Answered | NotAnswered | None:
        """What came of an inquiry, while it counts."""
        kept = self.kept.get(inquiry)
        if kept is None or kept.outcome.until < datetime.now(UTC):
            return None
        kept.is_used = True
        return kept.outcome

    async def ask(self, inquiries: Iterable[Inquiry]) -> None:
        """Ask, all at once; return when all have answered, or when no check should wait longer."""
        tasks = [self._ask(inquiry) for inquiry in inquiries if self.answered(inquiry) is None]
        if tasks:
            await asyncio.wait(tasks, timeout=WAIT_SECONDS)

    async def try_out(self, inquiry: Inquiry) -> None:
        """Ask, and wait for whatever comes of it."""
        await self._ask(inquiry)

    async def refresh(self) -> None:
        """Ask again for what is in use before it runs out, until cancelled."""
        while True:
            now = time.monotonic()
            while self._refreshes and self._refreshes[0][0] <= now:
                _, _, inquiry = heapq.heappop(self._refreshes)
                kept = self.kept.get(inquiry)
                if kept is not None and kept.is_used:
                    self._ask(inquiry)
            await asyncio.sleep(0.5)

    async def close(self) -> None:
        """Give up whatever is still being asked."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, inquiry: Inquiry) -> asyncio.Task[None]:
        """The one request that is on its way for an inquiry."""
        task = self._asking.get(inquiry)
        if task is None:
            task = asyncio.create_task(self._inquire(inquiry))
            self._asking[inquiry] = task
            task.add_done_callback(lambda _: self._asking.pop(inquiry, None))
        return task

    async def _inquire(self, inquiry: Inquiry) -> None:
        name = _server(inquiry.responder)
        responder = self.responders.setdefault(name, Responder())
        if responder.is_paused:
            responder.results["skipped"] += 1
            self._keep_failure(inquiry, "it has failed too often and is left alone for a while")
            return
        began = time.perf_counter()
        try:
            answered = await self._request(inquiry)
        except FetchError as error:
            responder.failed(name, str(error))
            self._keep_failure(inquiry, str(error))
        # It is there, and may well have an answer about other certificates.
        except OcspError as error:
            responder.results["refused"] += 1
            self._keep_failure(inquiry, str(error))
        # The check that waits for this must find a failure, and not nothing to be asked again.
        # A panic of a Rust library is no Exception.
        except BaseException as error:
            if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, SystemExit)):
                raise
            logger.critical("asking an OCSP responder failed by a bug", exc_info=True)
            responder.failed(name, type(error).__name__)
            self._keep_failure(inquiry, "a bug of extauthz")
        else:
            responder.succeeded(name, answered.answer.status)
            self._keep(inquiry, answered)
        finally:
            responder.took(time.perf_counter() - began)

    async def _request(self, inquiry: Inquiry) -> Answered:
        policy = inquiry.policy
        nonce = os.urandom(NONCE_OCTETS)
        octets = await self._fetcher.post(
            inquiry.responder,
            encode_request(inquiry.question, policy.cert_id_hash, nonce),
            "application/ocsp-request",
            ca_file=policy.ca_file,
            limit=MAX_ANSWER_OCTETS,
            seconds=REQUEST_SECONDS,
        )
        now = datetime.now(UTC)
        terms = Terms(nonce, policy.require_nonce, now, CLOCK_TOLERANCE, policy.max_age)
        answer = read_answer(octets, inquiry.question, terms)
        until = answer.next_update or answer.this_update + policy.max_age
        ends = [now + policy.max_age, until + CLOCK_TOLERANCE]
        if answer.delegate_not_after is not None:
            ends.append(answer.delegate_not_after)
        return Answered(answer, min(ends))

    def _keep(self, inquiry: Inquiry, answered: Answered) -> None:
        left = (answered.until - datetime.now(UTC)).total_seconds()
        due = time.monotonic() + max(1.0, left * REFRESH_SHARE)
        heapq.heappush(self._refreshes, (due, next(self._number), inquiry))
        if answered.answer.is_final:
            # It is asked for again as usual; but silence must not let anybody in again.
            answered = replace(answered, until=datetime.now(UTC) + FINAL)
        self.kept.put(inquiry, _Kept(answered), ANSWER_OCTETS)

    def _keep_failure(self, inquiry: Inquiry, why: str) -> None:
        """A failure must not take the place of an answer that still counts."""
        now = datetime.now(UTC)
        kept = self.kept.get(inquiry)
        if kept is None or kept.outcome.until < now or isinstance(kept.outcome, NotAnswered):
            self.kept.put(inquiry, _Kept(NotAnswered(why, now + UNANSWERED)), ANSWER_OCTETS)
        else:
            again = time.monotonic() + UNANSWERED.total_seconds()
            heapq.heappush(self._refreshes, (again, next(self._number), inquiry))


def _server(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"

"""A directory that is asked over the network, and what is kept of its answers.

- A check waits for an answer, but not for long (`WAIT_SECONDS`); the question goes on without it,
  and its answer is there for the next check. Many checks with one question wait for one answer.
- An answer counts for its `ttl`, and is asked for again before that ends while it is in use. Beyond
  its end it counts for `stale_if_error` more, as long as the directory does not answer.
- A failure is remembered for a moment, so that the check that waited can say why. Whoever comes
  next has it asked again.
- A directory that fails again and again is left alone for a moment, in which nobody waits for it.
- What is not known is never taken for "no such account".

Nothing here is shared between directories, so that one which hangs holds up no other.
"""

import asyncio
import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from extauthz.accounts import Account
from extauthz.cache import BoundedCache
from extauthz.directory.backend import Backend, DirectoryError, UnusableAnswerError, octets
from extauthz.lookup import ByLogin, Caching, Found, LookupKey, Unavailable, is_open
from extauthz.quoting import printable

__all__ = ["LATENCY_BUCKETS", "CachedDirectory"]

WAIT_SECONDS = 0.7
"""How long a check waits. Envoy waits for one second."""
CAPACITY = 8 * 1024 * 1024
"""Octets that the answers of one directory may take, about."""
ANSWER_OCTETS = 512
"""What an answer takes besides its accounts, about."""
MAX_ASKING = 1024
"""Questions that may be on their way to one directory; what comes beyond is not asked."""
FAILURE_SECONDS = WAIT_SECONDS + 0.3
"""How long a failure is remembered. A check may have to wait for somebody else meanwhile, before it
says why it had no answer here."""
MAX_FAILURES = 3
"""Failures in a row after which a directory is left alone."""
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 5.0
REFRESH_SHARE = 0.8
"""An answer that is in use is asked for again after this share of its `ttl`."""
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, and for how long it counts, on the monotonic clock."""

    answer: Found | Unavailable
    refresh_at: float
    until: float
    until_if_error: float
    failed_until: float = 0.0
    """Until when its question is one that has just failed."""


class CachedDirectory:
    """Asks one backend, and keeps what it says. For use in one event loop."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        caching: Caching,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        """As it may stand in a log: without any secret."""
        self._backend = backend
        self._caching = caching
        self._clock = clock
        self._asking: dict[LookupKey, asyncio.Task[DirectoryError | None]] = {}
        self._overdue: set[LookupKey] = set()
        """Questions that are on their way for longer than a check waits."""
        self._answered_at = 0.0
        self._failures = 0
        """In a row."""
        self._paused_until = 0.0
        self._why = ""
        self.kept: BoundedCache[LookupKey, _Kept] = BoundedCache(CAPACITY)
        self.results: Counter[str] = Counter()
        """By `found`, `none`; `unusable`, when what it says of one account cannot be used;
        `failed`, when it did not answer; `skipped`, while it is left alone; `stale`, when an answer
        counted beyond its end."""
        self.latencies = [0] * (len(LATENCY_BUCKETS) + 1)
        self.seconds = 0.0

    @property
    def is_available(self) -> bool:
        """Whether its last answer was one."""
        return self._failures == 0

    def known(self, key: LookupKey) -> Found | Unavailable | None:
        """What counts as the answer now. If it `is_open`, it has to be asked for first."""
        now = self._clock()
        kept = self.kept.get(key)
        if kept is not None:
            if now < kept.until:
                if now >= kept.refresh_at and not self._is_paused(now):
                    self._ask(key)
                return kept.answer
            is_failing = self._failures or key in self._overdue or now < kept.failed_until
            if now < kept.until_if_error and is_failing:
                self.results["stale"] += 1
                if not self._is_paused(now):
                    self._ask(key)
                return kept.answer
        if self._is_paused(now):
            self.results["skipped"] += 1
            return Unavailable(self._why or "too many questions are on their way to it")
        if kept is None or now >= kept.failed_until or isinstance(kept.answer, Found):
            return None
        return kept.answer

    async def ask(self, keys: Iterable[LookupKey]) -> None:
        """Ask, all at once; return when all have answered, or when no check should wait longer."""
        tasks = {self._ask(key): key for key in keys if is_open(self.known(key))}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=WAIT_SECONDS)
            self._overdue.update(tasks[task] for task in late)

    async def try_out(self, key: LookupKey) -> DirectoryError | None:
        """Ask, wait for whatever comes of it, and say why there is no answer; None with one."""
        return await self._ask(key)

    async def close(self) -> None:
        """Give up whatever is still being asked, and every connection."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._backend.close()

    def _is_paused(self, now: float) -> bool:
        """Whether nobody is to ask now.

        It is left alone, or a check tries whether it is back, or too many questions are on their
        way.
        """
        is_tried = self._failures >= MAX_FAILURES and bool(self._asking)
        return now < self._paused_until or is_tried or len(self._asking) >= MAX_ASKING

    def _ask(self, key: LookupKey) -> asyncio.Task[DirectoryError | None]:
        """The one question that is on its way for a key."""
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._inquire(key))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._ended(key))
        return task

    def _ended(self, key: LookupKey) -> None:
        self._asking.pop(key, None)
        self._overdue.discard(key)

    async def _inquire(self, key: LookupKey) -> DirectoryError | None:
        """Ask, keep what comes of it, and return what went wrong."""
        began = self._clock()
        try:
            accounts = await self._backend.find(key)
        except UnusableAnswerError as error:
            self._succeeded("unusable")
            self._keep(key, Unavailable(str(error)), self._caching.negative_ttl)
            return error
        except DirectoryError as error:
            self._failed(key, str(error), began)
            return error
        except asyncio.CancelledError:
            raise
        # The check that waits for this finds no answer, which is a refusal. A panic of a Rust
        # library is no Exception.
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            logger.critical("asking a directory of accounts failed by a bug", exc_info=True)
            why = f"a bug of extauthz: {type(error).__name__}"
            self._failed(key, why, began)
            return DirectoryError(why)
        else:
            self._answered(key, accounts)
            return None
        finally:
            took = self._clock() - began
            self.latencies[bisect_left(LATENCY_BUCKETS, took)] += 1
            self.seconds += took

    def _answered(self, key: LookupKey, accounts: Sequence[Account]) -> None:
        self._succeeded("found" if accounts else "none")
        ttl = self._caching.ttl if accounts else self._caching.negative_ttl
        self._keep(key, Found(_fitting(key, accounts)), ttl)

    def _keep(self, key: LookupKey, answer: Found | Unavailable, ttl: timedelta) -> None:
        now, seconds = self._clock(), ttl.total_seconds()
        kept = _Kept(
            answer,
            now + seconds * REFRESH_SHARE,
            now + seconds,
            now + seconds + self._caching.stale_if_error.total_seconds(),
        )
        self._put(key, kept)

    def _keep_failure(self, key: LookupKey, why: str) -> None:
        """Remember why there is no answer; an older one that counts, or may yet, stays."""
        now, kept = self._clock(), self.kept.get(key)
        until = now + FAILURE_SECONDS
        if kept is not None and isinstance(kept.answer, Found) and now < kept.until_if_error:
            self._put(key, replace(kept, failed_until=until))
        else:
            remembered = Unavailable(why, may_be_asked=True)
            self._put(key, _Kept(remembered, now, now, now, failed_until=until))

    def _put(self, key: LookupKey, kept: _Kept) -> None:
        accounts = kept.answer.accounts if isinstance(kept.answer, Found) else ()
        self.kept.put(key, kept, ANSWER_OCTETS + sum(map(octets, accounts)))

    def _succeeded(self, result: str) -> None:
        if self._failures >= MAX_FAILURES:
            logger.info("directory %s answers again", self._name)
        self._failures = 0
        self._answered_at = self._clock()
        self.results[result] += 1

    def _failed(self, key: LookupKey, why: str, began: float) -> None:
        self._keep_failure(key, why)
        self.results["failed"] += 1
        self._why = why
        # It has answered others meanwhile: it is busy, and not down.
        if self._answered_at > began:
            return
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            pause = FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - MAX_FAILURES, 10)
            self._paused_until = self._clock() + min(pause, MAX_PAUSE_SECONDS)
        if self._failures == MAX_FAILURES:
            logger.warning(
                "directory %s failed %d times, last: %s; it is asked now and then until it answers",
                self._name, self._failures, printable(why),
            )  # fmt: skip


def _fitting(key: LookupKey, accounts: Sequence[Account]) -> tuple[Account, ...]:
    """The accounts that are what was asked for, whatever a directory takes for equal.

    Whether two spellings are one login is for the directory to say; which names are equal is not.
    """
    if isinstance(key, ByLogin):
        return tuple(accounts)
    names = {key.identity}
    return tuple(account for account in accounts if account.holds_until(names) is not None)

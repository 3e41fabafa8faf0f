"""The decision log: lines go out in order, whole, and never in the way of a check.

A check hands its lines over and goes on; each destination has a thread of its own, which writes
what has gathered. While a destination is slower than the checks, or fails, lines wait in memory,
up to a bound, and a write that failed is tried again. Beyond the bound lines are dropped: that is
counted, said, and recorded in the log itself (see `log_queue`). A log that stands still must not
stop the service.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from extauthz.observe.log_queue import LogQueue

__all__ = ["CAPACITY", "DecisionLog", "DecisionLogs", "Destination"]

CAPACITY = 64 * 1024 * 1024
"""Octets of lines that may wait for each destination: at 600 octets a line, some 110,000 checks."""
_GATHER_SECONDS = 0.02
"""How long a line may wait for others before they are written together."""
_RETRY_SECONDS = 1.0
_SAY_AGAIN_SECONDS = 60.0
"""Least time between two messages that a destination fails, where it comes and goes."""
_LAST_TRY_SECONDS = 3.0
"""How long `close` tries a destination that fails."""
_STALL_SECONDS = 5.0
"""How long `close` waits for a reader that does not read."""
_CLOSE_SECONDS = 10.0
"""How long it waits for one that is slow, and for all destinations together."""

logger = logging.getLogger(__name__)


class Destination(Protocol):
    """Where lines go. It is used by one thread, except for its properties."""

    @property
    def name(self) -> str:
        """As the operator wrote it: `stdout`, `file:PATH`."""

    @property
    def beginnings(self) -> int:
        """How often what its readers see as one piece ended, and another one began."""

    @property
    def rotations(self) -> int:
        """How many of the pieces this process ended."""

    @property
    def failures(self) -> int:
        """Failures besides those of `write`."""

    def write(self, batch: bytes) -> None:
        """Write whole lines: all, or, with an OSError, none.

        A batch that failed is the next one that is handed over, except after a ConnectionError,
        which says that nobody will ever read it.
        """

    def tend(self) -> float:
        """Do what time brings; in how many seconds there may be something again."""

    def close(self) -> None:
        """Have safe what was written. It does not raise."""


class DecisionLog:
    """Writes lines to one destination, from any thread. Close it to have everything out."""

    def __init__(self, destination: Destination, capacity: int = CAPACITY) -> None:
        self.destination = destination
        self._queue = LogQueue(capacity)
        self._failure: str | None = None
        """Why the last write failed."""
        self._write_failures = 0
        self._is_failure_said = False
        self._said_at = -_SAY_AGAIN_SECONDS
        self._wake = threading.Event()
        self._has_dropped = threading.Event()
        self._closing = threading.Event()
        self._writer = _started(self._run, "decision-log")
        # Neither a check nor a writer that is stuck may be the one to say it.
        self._announcer = _started(self._announce_drops, "decision-log-drops")

    @property
    def written(self) -> int:
        """Lines that were written, since the start; gaps are not among them."""
        return self._queue.written

    @property
    def dropped(self) -> int:
        """Lines that were not written and will not be, since the start."""
        return self._queue.dropped

    @property
    def waiting(self) -> int:
        """Octets of lines that wait."""
        return self._queue.size

    @property
    def failures(self) -> int:
        """What failed since the start: writes, and whatever else the destination needs."""
        return self._write_failures + self.destination.failures

    @property
    def beginnings(self) -> int:
        """How often the log began anew, in another file or after a gap."""
        return self.destination.beginnings + self._queue.gaps

    def write(self, lines: Sequence[bytes]) -> None:
        """Hand over lines, each with its line feed. Never blocks on the reader, never raises."""
        before = self._queue.dropped
        self._queue.put(lines, self._failure or "it is not written as fast as lines come")
        self._wake.set()
        if self._queue.dropped != before:
            self._has_dropped.set()

    def begin_to_close(self) -> None:
        """Have the thread write what waits, and end; without waiting for it."""
        self._closing.set()
        self._wake.set()

    def close(self, until: float | None = None) -> None:
        """Write what waits and end; give up on a reader that takes nothing for seconds.

        One that takes too little has until then, by the monotonic clock.
        """
        self.begin_to_close()
        if until is None:
            until = time.monotonic() + _CLOSE_SECONDS
        while self._writer.is_alive():
            before = self._queue.size
            self._writer.join(max(0.0, min(_STALL_SECONDS, until - time.monotonic())))
            is_over = time.monotonic() >= until
            if self._writer.is_alive() and (is_over or self._queue.size == before):
                is_stuck = self._queue.size == before
                self._lose("the reader takes no more" if is_stuck else "its reader is too slow")
                break
        self._has_dropped.set()
        self._announcer.join(_GATHER_SECONDS)

    def _run(self) -> None:
        while not self._closing.is_set():
            due = self.destination.tend()
            if self._failure is None:
                self._wake.wait(due)
                self._closing.wait(_GATHER_SECONDS)
                self._wake.clear()
            else:
                self._closing.wait(_RETRY_SECONDS)
            while self._write_batch():
                self.destination.tend()
        until = time.monotonic() + _LAST_TRY_SECONDS
        while self._write_batch() or (self._queue.size and time.monotonic() < until):
            if self._failure is not None:
                time.sleep(_LAST_TRY_SECONDS / 10)
        if self._queue.size:
            self._lose(self._failure or "it is closed")
        self.destination.close()

    def _write_batch(self) -> bool:
        """Write some of what waits; whether that went well, and there may be more."""
        batch = self._queue.batch()
        if not batch:
            return False
        try:
            self.destination.write(batch)
        except OSError as error:
            reason = error.strerror or str(error)
            self._fail(reason)
            if isinstance(error, ConnectionError) and self._queue.give_up(reason):
                self._has_dropped.set()
            return False
        self._queue.wrote()
        self._failure = None
        if self._is_failure_said:
            self._is_failure_said = False
            logger.warning("decision log %s: it is written again", self.destination.name)
        return True

    def _fail(self, reason: str) -> None:
        self._write_failures += 1
        self._failure = reason
        now = time.monotonic()
        if not self._is_failure_said and now - self._said_at >= _SAY_AGAIN_SECONDS:
            self._is_failure_said, self._said_at = True, now
            name = self.destination.name
            logger.error("decision log %s: it cannot be written: %s", name, reason)

    def _lose(self, why: str) -> None:
        """Count what still waits at the end, and say so."""
        if lines := self._queue.give_up(why):
            name = self.destination.name
            logger.error("decision log %s: %s; %d lines are lost", name, why, lines)

    def _announce_drops(self) -> None:
        """Say that lines were dropped: once when it begins, and then as their number doubles."""
        announced = 0
        while not self._closing.is_set():
            self._has_dropped.wait()
            self._has_dropped.clear()
            if (dropped := self._queue.dropped) >= max(1, 2 * announced):
                announced = dropped
                text = "decision log %s: %d lines dropped so far: %s"
                logger.error(text, self.destination.name, dropped, self._queue.why)


def _started(run: Callable[[], None], name: str) -> threading.Thread:
    # Daemons: a reader that never reads must not keep the process from ending.
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


class DecisionLogs:
    """All the places that lines go to; none of them waits for another."""

    def __init__(self, logs: Sequence[DecisionLog]) -> None:
        self.logs = tuple(logs)

    def __bool__(self) -> bool:
        return bool(self.logs)

    @property
    def beginnings(self) -> int:
        """How often any of them began anew: what stands in each piece once is then due again."""
        return sum(log.beginnings for log in self.logs)

    def write(self, lines: Sequence[bytes]) -> None:
        """Hand over lines, each with its line feed. Never blocks, never raises."""
        for log in self.logs:
            log.write(lines)

    def close(self) -> None:
        """Write what waits, and end."""
        for log in self.logs:
            log.begin_to_close()
        until = time.monotonic() + _CLOSE_SECONDS
        for log in self.logs:
            log.close(until)

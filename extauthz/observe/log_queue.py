"""Lines that wait to be written, and the gaps between them.

Every line that is put in ends in one of two counts: written, or dropped. Where lines were dropped,
a `gap` record is written in their place, behind what waited before them and ahead of what came
later; until that place is known, no later line is taken. No thread, no I/O.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

import orjson

from extauthz.records.line import SCHEMA

__all__ = ["LogQueue"]

BATCH = 256 * 1024
"""About how many octets are written at once."""
_RESUME = 0.75
"""After a drop, lines are taken again when no more than this share of the capacity is in use: few
gaps are better than many."""


class _Lines(NamedTuple):
    """Lines that were put in together."""

    lines: tuple[bytes, ...]
    size: int
    """Octets of all of them."""

    def encoded(self) -> tuple[bytes, ...]:
        return self.lines


@dataclass(slots=True)
class _Gap:
    """Lines that are missing at this place."""

    since: datetime
    why: str
    dropped: int = 0

    lines = ()
    size = 0

    def encoded(self) -> tuple[bytes, ...]:
        """Its record, as of now."""
        members = {
            "schema": SCHEMA,
            "record": "gap",
            "time": datetime.now(UTC),
            "since": self.since,
            "dropped": self.dropped,
            "why": self.why,
        }
        return (orjson.dumps(members, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE),)


class LogQueue:
    """A bounded queue of lines. Any thread may put lines in; one writes them out."""

    def __init__(self, capacity: int, batch: int = BATCH) -> None:
        """Both in octets: of all that may wait, and of what makes a batch."""
        self._capacity = capacity
        self._least = batch
        self._lock = threading.Lock()
        self._waiting: deque[_Lines | _Gap] = deque()
        self._in_hand: list[_Lines | _Gap] = []
        """What is being written, or is to be tried again; `_batch` is the same, encoded."""
        self._batch = b""
        self._gap: _Gap | None = None
        """While there is one, lines are dropped."""
        self.size = 0
        """Octets of lines that wait, or are in hand."""
        self.written = 0
        """Lines; gaps are not among them."""
        self.dropped = 0
        """Lines that will never be written."""
        self.why = ""
        """Why a line was dropped last."""
        self.gaps = 0
        """Gaps that were written."""

    def put(self, lines: Sequence[bytes], why: str) -> None:
        """Add lines, each with its line feed. Those that find no room are dropped, for `why`."""
        together = _Lines(tuple(lines), sum(map(len, lines)))
        with self._lock:
            if not self._is_taken(together):
                for line in lines:
                    if not self._is_taken(_Lines((line,), len(line))):
                        self._drop(1, why)

    def _is_taken(self, lines: _Lines) -> bool:
        if self._gap is not None or self.size + lines.size > self._capacity:
            return False
        self._waiting.append(lines)
        self.size += lines.size
        return True

    def _drop(self, lines: int, why: str) -> None:
        if self._gap is None:
            self._gap = _Gap(datetime.now(UTC), why)
        self._gap.dropped += lines
        self.dropped += lines
        self.why = why

    def batch(self) -> bytes:
        """What is to be written next; the same until `wrote`, or `give_up`. Empty for nothing."""
        if self._in_hand:
            return self._batch
        with self._lock:
            if self._gap is not None and self.size <= self._capacity * _RESUME:
                self._waiting.append(self._gap)
                self._gap = None
            size = 0
            while self._waiting and size < self._least:
                item = self._waiting.popleft()
                self._in_hand.append(item)
                size += item.size
        # Once only: part of it may have gone out when it is tried again.
        self._batch = b"".join(chain.from_iterable(item.encoded() for item in self._in_hand))
        return self._batch

    def wrote(self) -> None:
        """The batch was written."""
        with self._lock:
            self.size -= sum(item.size for item in self._in_hand)
            self.written += sum(len(item.lines) for item in self._in_hand)
            self.gaps += sum(isinstance(item, _Gap) for item in self._in_hand)
            self._in_hand = []

    def give_up(self, why: str) -> int:
        """Drop everything that waits; how many lines that were. The next batch is a gap."""
        with self._lock:
            items = [*self._in_hand, *self._waiting]
            self._in_hand = []
            self._waiting.clear()
            self.size = 0
            gaps = [item for item in items if isinstance(item, _Gap)]
            if self._gap is not None:
                gaps.append(self._gap)
            if gaps:
                # Their lines have been counted, and are recorded together when something can be.
                dropped = sum(gap.dropped for gap in gaps)
                self._gap = _Gap(gaps[0].since, gaps[0].why, dropped)
            if lines := sum(len(item.lines) for item in items):
                self._drop(lines, why)
            return lines

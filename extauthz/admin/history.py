"""What the pages know of the past: the records of the checks seen last, and how many there were.

Records are kept as the lines that the decision log gets, redacted as these are, in memory alone
and within a fixed number of octets; nobody parses one before a page is asked for. Checks that
failed are kept apart from those that passed, so that the many do not push out the few that
somebody will ask about.
"""

import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from typing import Final, NamedTuple

from extauthz.admin.tallies import Tallies
from extauthz.observe.record import Entry
from extauthz.records.line import CheckRecord, NotALineError, parse

__all__ = ["CAPACITY", "History", "Kept", "Known", "Seen"]

CAPACITY: Final = 16 * 1024 * 1024
"""Octets that the lines may take, all in all."""
OVERHEAD: Final = 160
"""What a line takes besides its own octets."""

logger = logging.getLogger(__name__)


class Kept(NamedTuple):
    """A line and its number: lines are numbered in the order in which they were seen."""

    number: int
    line: bytes

    def record(self) -> CheckRecord | None:
        """The record; None, and a message in the log, where it cannot be read."""
        try:
            record = parse(self.line)
        except NotALineError:
            logger.critical("a record of our own cannot be read, by a bug", exc_info=True)
            return None
        return record if isinstance(record, CheckRecord) else None


class _Shelf:
    """The newest lines that fit in so many octets."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.size = 0
        self.lines: deque[Kept] = deque()
        self.is_complete = True
        """Whether no line had to make room yet."""

    def put(self, number: int, line: bytes) -> None:
        self.lines.append(Kept(number, line))
        self.size += len(line) + OVERHEAD
        while self.size > self._capacity:
            self.size -= len(self.lines.popleft().line) + OVERHEAD
            self.is_complete = False


@dataclass(frozen=True, slots=True)
class Seen:
    """Lines of one kind as they were at a moment, the oldest first."""

    lines: tuple[Kept, ...]
    is_complete: bool
    """Whether these are all since the start."""


@dataclass(frozen=True, slots=True)
class Known:
    """All lines as they were at a moment. It does not change, so any thread may read it."""

    passed: Seen
    """Nothing was found against these, or it was tolerated."""
    failed: Seen

    def newest_first(self) -> Iterator[Kept]:
        """Every line, in the order of the checks."""
        return merge(reversed(self.passed.lines), reversed(self.failed.lines), key=_descending)

    def numbered(self, number: int) -> Kept | None:
        """The line of that number."""
        for lines in (self.passed.lines, self.failed.lines):
            index = bisect_left(lines, number, key=_number)
            if index < len(lines) and lines[index].number == number:
                return lines[index]
        return None


def _number(kept: Kept) -> int:
    return kept.number


def _descending(kept: Kept) -> int:
    return -kept.number


class History:
    """Sees every check (`observe.recorder.Watcher`). For use in one event loop."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.began = datetime.now(UTC)
        """Since when checks are seen."""
        self.tallies = Tallies()
        self._passed = _Shelf(capacity // 2)
        self._failed = _Shelf(capacity // 2)
        self._numbers = 0

    @property
    def size(self) -> int:
        """Octets that the lines take, about."""
        return self._passed.size + self._failed.size

    def saw(self, entry: Entry, line: bytes) -> None:
        """Keep a check."""
        self._numbers += 1
        decision = entry.decision
        (self._failed if decision.findings else self._passed).put(self._numbers, line)
        self.tallies.add(decision, entry.time)

    def known(self) -> Known:
        """The lines as they are now."""
        return Known(*(
            Seen(tuple(shelf.lines), shelf.is_complete) for shelf in (self._passed, self._failed)
        ))  # fmt: skip

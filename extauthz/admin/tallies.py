"""How many checks each subscription had: by the minute for an hour, by the hour for a day.

What is counted is bounded, whatever happens: a tally has a fixed size, and there are at most so
many of them. Adding to one is a few additions, for it happens at every check.
"""

from array import array
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, NamedTuple

from extauthz.decision import Decision
from extauthz.findings import Reason

__all__ = [
    "HOURS", "HOUR_SECONDS", "MAX_TALLIES", "MINUTES", "MINUTE_SECONDS", "Counts", "Outcome",
    "Tallies", "Tally", "outcome_of",
]  # fmt: skip

MINUTE_SECONDS: Final = 60
HOUR_SECONDS: Final = 3600
MINUTES: Final = 60
"""Minutes that are kept."""
HOURS: Final = 24
"""Hours that are kept."""
MAX_TALLIES = 1000
"""Subscriptions that are counted one by one. Of more than that, the others are counted together."""

_NUMBERS: Final = {reason: number for number, reason in enumerate(Reason)}


class Outcome(IntEnum):
    """What a check came to."""

    PASSED = 0
    TOLERATED = 1
    """Something was found, and the policy lets that pass: by an exemption, or `if_unknown`."""
    FAILED = 2
    """Something was found; outside `enforce` the request passed all the same."""


class Counts(NamedTuple):
    """Checks by what they came to."""

    passed: int = 0
    tolerated: int = 0
    failed: int = 0

    @property
    def checks(self) -> int:
        return sum(self)


def outcome_of(decision: Decision) -> Outcome:
    """What a check came to."""
    if decision.findings:
        return Outcome.FAILED
    return Outcome.TOLERATED if decision.tolerated else Outcome.PASSED


class _Ring:
    """Counts of the last so many moments, which are numbered; what is older makes room."""

    __slots__ = ("_counts", "_moments", "_size", "_width")

    def __init__(self, size: int, width: int) -> None:
        self._size = size
        self._width = width
        self._moments = array("q", [-1]) * size
        self._counts = array("L", [0]) * (size * width)

    def add(self, moment: int, which: int) -> None:
        slot = moment % self._size
        begin = slot * self._width
        if self._moments[slot] != moment:
            self._moments[slot] = moment
            self._counts[begin : begin + self._width] = array("L", [0]) * self._width
        self._counts[begin + which] += 1

    def at(self, moment: int) -> Iterable[int]:
        slot = moment % self._size
        if self._moments[slot] != moment:
            return (0,) * self._width
        return self._counts[slot * self._width : (slot + 1) * self._width]


class Tally:
    """What one subscription's checks came to."""

    __slots__ = ("_hours", "_minutes", "_reasons", "last_seen")

    def __init__(self) -> None:
        self._minutes = _Ring(MINUTES, len(Outcome))
        self._hours = _Ring(HOURS, len(Outcome))
        self._reasons = _Ring(HOURS, len(Reason))
        self.last_seen: datetime | None = None
        """When the last check was."""

    def add(self, decision: Decision, minute: int, now: datetime) -> None:
        """Count a check of that minute, as Unix time has them."""
        outcome = outcome_of(decision)
        hour = minute // 60
        self._minutes.add(minute, outcome)
        self._hours.add(hour, outcome)
        self.last_seen = now
        if decision.findings:
            for reason in {finding.reason for finding in decision.findings}:
                self._reasons.add(hour, _NUMBERS[reason])

    def minutes(self, now: datetime) -> list[Counts]:
        """Each of the last minutes, the present one last."""
        last = int(now.timestamp()) // MINUTE_SECONDS
        return [Counts(*self._minutes.at(each)) for each in range(last - MINUTES + 1, last + 1)]

    def hours(self, now: datetime) -> list[Counts]:
        """Each of the last hours, the present one last."""
        return [Counts(*self._hours.at(each)) for each in _hours_until(now)]

    def reasons(self, now: datetime) -> dict[Reason, int]:
        """Checks of these hours in which a reason was found, the most frequent first."""
        totals = [0] * len(Reason)
        for hour in _hours_until(now):
            for number, count in enumerate(self._reasons.at(hour)):
                totals[number] += count
        found = {reason: totals[number] for reason, number in _NUMBERS.items() if totals[number]}
        return dict(sorted(found.items(), key=lambda each: -each[1]))


class Tallies:
    """A tally for each subscription that is seen, and one for hosts of no subscription."""

    def __init__(self, most: int = MAX_TALLIES) -> None:
        self._most = most
        self._by_name: dict[str | None, Tally] = {None: Tally()}
        self.others = Tally()
        """Of the subscriptions that are not counted one by one."""
        self._minute = 0
        self._minute_begin = self._minute_end = datetime.min.replace(tzinfo=UTC)

    def __len__(self) -> int:
        return len(self._by_name)

    def of(self, name: str | None) -> Tally | None:
        """A subscription's tally; None where it has none of its own."""
        return self._by_name.get(name)

    def every(self) -> list[Tally]:
        return [*self._by_name.values(), self.others]

    def add(self, decision: Decision, now: datetime) -> None:
        """Count a check that was decided `now` (aware)."""
        if not self._minute_begin <= now < self._minute_end:
            self._minute = int(now.timestamp()) // MINUTE_SECONDS
            self._minute_begin = datetime.fromtimestamp(self._minute * MINUTE_SECONDS, UTC)
            next_minute = (self._minute + 1) * MINUTE_SECONDS
            self._minute_end = datetime.fromtimestamp(next_minute, UTC)
        subscription = decision.subscription
        name = None if subscription is None else subscription.name
        tally = self._by_name.get(name)
        if tally is None:
            if len(self._by_name) < self._most:
                tally = self._by_name[name] = Tally()
            else:
                tally = self.others
        tally.add(decision, self._minute, now)


def _hours_until(now: datetime) -> range:
    last = int(now.timestamp()) // HOUR_SECONDS
    return range(last - HOURS + 1, last + 1)

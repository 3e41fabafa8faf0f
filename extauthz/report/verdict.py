"""Whether a subscription can be enforced, in one word and in one sentence. Pure.

It is ready when nobody would be refused who counts, and somebody passed, in checks of an hour or
longer: before, hardly anybody can have come. Who is known counts. Who is not may be a scanner, and
may be a user whose session began before the log did: it counts when it was let pass and came over
an hour or longer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from extauthz.policy import Mode
from extauthz.report.model import Readiness

__all__ = ["ENOUGH", "REGULAR", "Tally", "readiness", "verdict"]

REGULAR: Final = timedelta(hours=1)
"""Between first and last check of a caller that is not known and yet counts."""
ENOUGH: Final = timedelta(hours=1)
"""Between first and last check of a subscription that can be called ready."""
_LONG: Final = timedelta(days=1)
"""From here on, nobody need be told how long it was."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How much came to a subscription, and how it went."""

    name: str | None
    """None for hosts of no subscription."""
    checks: int = 0
    passed: int = 0
    exempt: int = 0
    unchecked: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    lasted: timedelta = timedelta()
    """From the first check to the last one."""
    modes: tuple[str, ...] = ()
    """The latest last."""
    people: int = 0
    integrations: int = 0
    unnamed: int = 0
    breaking_people: int = 0
    breaking_integrations: int = 0
    breaking_unnamed: int = 0
    refused_people: int = 0
    """Those of the breaking ones that are refused already; the others are let pass as yet."""
    refused_integrations: int = 0
    refused_unnamed: int = 0
    breaking_regulars: int = 0
    """Those of them that were let pass, and came over `REGULAR` or longer."""
    breaking_ways: int = 0
    """Ways in of all of these that would break."""
    absent: int = 0
    """Accounts that never came, as far as that is known."""

    @property
    def is_enforced(self) -> bool:
        """Whether it was so to the last."""
        return self.modes[-1:] == (Mode.ENFORCE,)


def readiness(tally: Tally) -> Readiness:
    """One word for it."""
    if not tally.checks or tally.name is None:
        return Readiness.NO_DATA
    breaks = tally.breaking_people + tally.breaking_integrations + tally.breaking_regulars
    if breaks or not tally.passed:
        return Readiness.NOT_READY
    return Readiness.READY if tally.lasted >= ENOUGH else Readiness.NO_DATA


def verdict(tally: Tally) -> str:
    """One sentence for it, and what one has to know besides."""
    if tally.name is None:
        return f"{_number(tally.checks, 'check')} of hosts that belong to no subscription: refused"
    if not tally.checks and tally.unchecked:
        return f"nothing was checked (mode: off); {_number(tally.unchecked, 'request')} passed"
    if not tally.checks:
        return "nobody came"
    said = f"{_who(tally)}; {_share(tally)} of {_checks(tally)}"
    if tally.exempt:
        said += f", {tally.exempt:,} by an exemption"
    if tally.breaking_unnamed:
        unnamed = _Breaking(unnamed=tally.refused_unnamed)
        others = _Breaking(unnamed=tally.breaking_unnamed - tally.refused_unnamed)
        said += f". Besides, {_fates(unnamed, others)}"
    if tally.breaking_regulars:
        said += f": {tally.breaking_regulars:,} came for hours, as users do"
    if readiness(tally) is Readiness.NO_DATA:
        said += ". Less than an hour is too little to go by"
    if tally.absent:
        said += f". {_number(tally.absent, 'account')} never came"
    return said


@dataclass(frozen=True, slots=True)
class _Breaking:
    """Callers of one fate."""

    integrations: int = 0
    people: int = 0
    unnamed: int = 0

    @property
    def total(self) -> int:
        return self.integrations + self.people + self.unnamed

    @property
    def kinds(self) -> set[str]:
        """The kinds of which there are any."""
        return {name for name in self.__slots__ if getattr(self, name)}

    def __str__(self) -> str:
        parts = [
            (self.integrations, _number(self.integrations, "integration")),
            (self.people, "1 person" if self.people == 1 else f"{self.people:,} people"),
            (self.unnamed, f"{_number(self.unnamed, 'caller')} without a name"),
        ]
        return " and ".join(text for count, text in parts if count)


def _who(tally: Tally) -> str:
    refused = _Breaking(tally.refused_integrations, tally.refused_people)
    others = _Breaking(
        tally.breaking_integrations - refused.integrations, tally.breaking_people - refused.people
    )
    if refused.total or others.total:
        return _fates(refused, others)
    return f"nobody who is known {'is refused' if tally.is_enforced else 'would break'}"


def _fates(refused: _Breaking, others: _Breaking) -> str:
    """Who is refused already, and who would be."""
    if not refused.total:
        return f"{others} would break"
    said = f"{refused} {'is' if refused.total == 1 else 'are'} refused"
    if not others.total:
        return said
    if len(refused.kinds | others.kinds) == 1:
        return f"{said}, {others.total:,} more would be"
    return f"{said}, and {others} would be"


def _checks(tally: Tally) -> str:
    """How many there were, and in what time where that is short."""
    checks, verb = _number(tally.checks, "check"), "passes" if tally.checks == 1 else "pass"
    if tally.checks == 1 or tally.lasted >= _LONG:
        return f"{checks} {verb}"
    hours = tally.lasted // timedelta(hours=1)
    minutes = max(tally.lasted // timedelta(minutes=1), 1)
    return f"{checks} in {_number(hours, 'hour') if hours else _number(minutes, 'minute')} {verb}"


def _share(tally: Tally) -> str:
    """Rounded down, so that 100 % means all."""
    tenths = tally.passed * 1000 // tally.checks
    return "100 %" if tenths == 1000 else f"{tenths // 10}.{tenths % 10} %"  # noqa: PLR2004


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

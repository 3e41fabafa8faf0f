"""Whether a subscription can be enforced, in one word and in one sentence. Pure.

It is ready when nobody would be refused who counts, and somebody passed. Who is known counts. Who
is not may be a scanner, and may be a user whose session began before the log did: it counts when
it was let pass and came over an hour or longer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from extauthz.policy import Mode
from extauthz.report.model import Readiness

__all__ = ["REGULAR", "Tally", "readiness", "verdict"]

REGULAR: Final = timedelta(hours=1)
"""Between first and last check of a caller that is not known and yet counts."""


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
    modes: tuple[str, ...] = ()
    """The latest last."""
    people: int = 0
    integrations: int = 0
    unnamed: int = 0
    breaking_people: int = 0
    breaking_integrations: int = 0
    breaking_unnamed: int = 0
    breaking_regulars: int = 0
    """Those of them that were let pass, and came over `REGULAR` or longer."""
    breaking_ways: int = 0
    """Ways in of all of these that would break."""

    @property
    def is_enforced(self) -> bool:
        """Whether it was so to the last."""
        return self.modes[-1:] == (Mode.ENFORCE,)


def readiness(tally: Tally) -> Readiness:
    """One word for it."""
    if not tally.checks or tally.name is None:
        return Readiness.NO_DATA
    breaks = tally.breaking_people + tally.breaking_integrations + tally.breaking_regulars
    return Readiness.NOT_READY if breaks or not tally.passed else Readiness.READY


def verdict(tally: Tally) -> str:
    """One sentence for it, and what one has to know besides."""
    if tally.name is None:
        return f"{_number(tally.checks, 'check')} of hosts that belong to no subscription: refused"
    if not tally.checks and tally.unchecked:
        return f"nothing was checked (mode: off); {_number(tally.unchecked, 'request')} passed"
    if not tally.checks:
        return "nobody came"
    said = (
        f"{_who(tally)}; {_share(tally)} of {_number(tally.checks, 'check')}"
        f" {'passes' if tally.checks == 1 else 'pass'}"
    )
    if tally.exempt:
        said += f", {tally.exempt:,} by an exemption"
    if tally.breaking_unnamed:
        unnamed = _number(tally.breaking_unnamed, "caller")
        said += f". Besides, {unnamed} without a name {_fate(tally, tally.breaking_unnamed)}"
    if tally.breaking_regulars:
        said += f": {tally.breaking_regulars:,} came for hours, as users do"
    return said


def _who(tally: Tally) -> str:
    people, integrations = tally.breaking_people, tally.breaking_integrations
    breaking = []
    if integrations:
        breaking.append(_number(integrations, "integration"))
    if people:
        breaking.append("1 person" if people == 1 else f"{people:,} people")
    who = " and ".join(breaking) or "nobody who is known"
    return f"{who} {_fate(tally, max(people + integrations, 1))}"


def _fate(tally: Tally, callers: int) -> str:
    if not tally.is_enforced:
        return "would break"
    return "is refused" if callers == 1 else "are refused"


def _share(tally: Tally) -> str:
    """Rounded down, so that 100 % means all."""
    tenths = tally.passed * 1000 // tally.checks
    return "100 %" if tenths == 1000 else f"{tenths // 10}.{tenths % 10} %"  # noqa: PLR2004


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

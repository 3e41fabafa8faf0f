"""What the page of one subscription says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from extauthz import charts
from extauthz.admin.callers import Caller, Callers, Use
from extauthz.admin.history import Known
from extauthz.admin.observed import Observed
from extauthz.admin.overview import Chart, chart_of, total
from extauthz.admin.pacing import Pace
from extauthz.admin.search import Wanted, matching
from extauthz.admin.standing import (
    Authority,
    DirectoryState,
    Level,
    SourceState,
    authorities,
    directory_of,
    exemption_state,
    sources,
)
from extauthz.admin.tallies import HOURS, Counts, Tally
from extauthz.charts import Kind
from extauthz.exemption import Exemption
from extauthz.findings import Reason
from extauthz.policy import Mode, Subscription
from extauthz.policyfile.problems import counted
from extauthz.records.line import CheckRecord
from extauthz.records.user_agent import CallerKind
from extauthz.remedies import REMEDIES, Remedy

__all__ = ["MAX_CALLERS", "MAX_READ", "Page", "page_of"]

MAX_READ = 10_000
"""Records that one page reads."""
MAX_CALLERS = 200
"""Callers that one page shows."""
MAX_NAMES = 5


@dataclass(slots=True)
class _Used:
    """How often something was used, and by whom."""

    checks: int = 0
    last_seen: datetime | None = None
    callers: dict[Caller, None] = field(default_factory=dict)

    def add(self, record: CheckRecord, caller: Caller) -> None:
        self.checks += 1
        self.last_seen = self.last_seen or record.time
        self.callers[caller] = None

    @property
    def names(self) -> list[str]:
        """Of a few, the latest first."""
        return [caller.name for caller in self.callers][:MAX_NAMES]

    @property
    def more(self) -> int:
        return max(0, len(self.callers) - MAX_NAMES)


@dataclass(frozen=True, slots=True)
class ReasonRow:
    reason: Reason
    checks: int
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class ExemptionRow:
    exemption: Exemption
    level: Level
    state: str
    used: _Used


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand that a subscription depends on, and who uses them."""

    authorities: Sequence[tuple[Authority, _Used]]
    sources: Sequence[SourceState]
    exemptions: Sequence[ExemptionRow]
    directory: DirectoryState


@dataclass(frozen=True, slots=True)
class Page:
    now: datetime
    is_counted: bool
    """Whether it has a count of its own: of very many, not all have."""
    day: Chart
    counts: Counts
    """Of the last 24 hours."""
    reasons: Sequence[ReasonRow]
    reasons_svg: str
    verdict: str
    read: int
    """How many records the lists of callers rest on."""
    is_all: bool
    """Whether these are all that are in memory."""
    since: datetime | None
    """When the oldest of them was."""
    callers: Sequence[Use]
    more_callers: int
    standing: Standing | None
    """None for hosts of no subscription."""


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What the records in memory tell of one subscription."""

    callers: Callers
    signers: dict[str, _Used]
    exemptions: dict[str, _Used]
    read: int
    is_all: bool
    since: datetime | None


def page_of(
    observed: Observed, known: Known, subscription: Subscription | None, now: datetime
) -> Page:
    """The page of a subscription of the policy, or of what belongs to none, as of `now`."""
    pace = Pace()
    tallies = observed.history.tallies
    name = None if subscription is None else subscription.name
    tally = tallies.of(name)
    hours = (tally or Tally()).hours(now)
    reasons = {} if tally is None else tally.reasons(now)
    gathered = _gathered(known, name, pace)
    uses = gathered.callers.sorted()
    return Page(
        now=now,
        is_counted=tally is not None or not tallies.others.last_seen,
        day=chart_of(f"Checks of the last {HOURS} hours, by the hour", hours, now, minute=False),
        counts=total(hours),
        reasons=[ReasonRow(each, count, REMEDIES[each]) for each, count in reasons.items()],
        reasons_svg=charts.bars(
            f"Reasons of the last {HOURS} hours", list(reasons.items()), Kind.FAILED
        )
        if reasons
        else "",
        verdict=_verdict(subscription, uses),
        read=gathered.read,
        is_all=gathered.is_all,
        since=gathered.since,
        callers=uses[:MAX_CALLERS],
        more_callers=max(0, len(uses) - MAX_CALLERS),
        standing=None if subscription is None else _standing(observed, subscription, gathered, now),
    )


def _standing(
    observed: Observed, subscription: Subscription, gathered: _Gathered, now: datetime
) -> Standing:
    around, unused = observed.around, _Used()
    return Standing(
        authorities=[
            (each, gathered.signers.get(each.ca.facts.fingerprint, unused))
            for each in authorities(subscription, now)
        ],
        sources=sources(subscription, around.evidence.lists, now),
        exemptions=[
            ExemptionRow(
                each, *exemption_state(each, now), gathered.exemptions.get(each.name, unused)
            )
            for each in subscription.exemptions
        ],
        directory=directory_of(subscription, around.directories),
    )


def _gathered(known: Known, name: str | None, pace: Pace) -> _Gathered:
    found = matching(known.newest_first(), Wanted.whose(name), pace)
    callers = Callers()
    signers: dict[str, _Used] = {}
    exemptions: dict[str, _Used] = {}
    since: datetime | None = None
    read = 0
    for _, record in islice(found, MAX_READ):
        read += 1
        since = record.time
        caller = callers.add(record)
        if record.signing_certificate is not None and record.decision == "allow":
            sha256 = record.signing_certificate.sha256
            signers.setdefault(sha256, _Used()).add(record, caller)
        if record.exempt is not None:
            exemptions.setdefault(record.exempt, _Used()).add(record, caller)
    return _Gathered(callers, signers, exemptions, read, next(found, None) is None, since)


def _verdict(subscription: Subscription | None, uses: Sequence[Use]) -> str:
    """Whether the subscription can be enforced, as far as the records in memory tell."""
    if subscription is None:
        return "Requests for these hosts are refused: they belong to no subscription."
    if subscription.mode is Mode.OFF:
        return "Nothing is checked: set the mode to audit to find out who would be refused."
    if not uses:
        return "Nobody came since the checks in memory begin."
    breaking = [use.caller for use in uses if use.would_be_refused]
    known = [caller for caller in breaking if caller.is_known]
    unknown = len(breaking) - len(known)
    strangers = (
        f" {counted(unknown, 'caller')} without an account or a certificate failed, too."
        if unknown
        else ""
    )
    if not known:
        return f"Nobody who is known would be refused.{strangers}"
    people = sum(caller.kind is CallerKind.PERSON for caller in known)
    parts = [
        text
        for count, text in (
            (len(known) - people, counted(len(known) - people, "integration")),
            (people, "1 person" if people == 1 else f"{people} people"),
        )
        if count
    ]
    would = "are" if subscription.mode is Mode.ENFORCE else "would be"
    if subscription.mode is Mode.ENFORCE and len(known) == 1:
        would = "is"
    return f"{' and '.join(parts)} {would} refused.{strangers}"

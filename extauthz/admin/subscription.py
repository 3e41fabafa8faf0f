"""What the page of one subscription says."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
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
    let_pass: AbstractSet[Caller]
    """Whose last check passed, whatever was found."""
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
        verdict=_verdict(subscription, uses, gathered.let_pass),
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
    passed: dict[Caller, bool] = {}
    signers: dict[str, _Used] = {}
    exemptions: dict[str, _Used] = {}
    since: datetime | None = None
    read = 0
    for _, record in islice(found, MAX_READ):
        read += 1
        since = record.time
        caller = callers.add(record)
        passed.setdefault(caller, record.allowed)
        if record.signing_certificate is not None and record.decision == "allow":
            sha256 = record.signing_certificate.sha256
            signers.setdefault(sha256, _Used()).add(record, caller)
        if record.exempt is not None:
            exemptions.setdefault(record.exempt, _Used()).add(record, caller)
    let_pass = {caller for caller, is_passed in passed.items() if is_passed}
    is_all = next(found, None) is None
    return _Gathered(callers, let_pass, signers, exemptions, read, is_all, since)


def _verdict(
    subscription: Subscription | None, uses: Sequence[Use], let_pass: AbstractSet[Caller]
) -> str:
    """Whether the subscription can be enforced, as far as the records in memory tell."""
    if subscription is None:
        return "Requests for these hosts are refused: they belong to no subscription."
    if subscription.mode is Mode.OFF:
        return "Nothing is checked: set the mode to audit to find out who would be refused."
    if not uses:
        return "Nobody came since the checks in memory begin."
    breaking = [use.caller for use in uses if use.would_be_refused]
    unknown = sum(not caller.is_known for caller in breaking)
    strangers = (
        f" {counted(unknown, 'caller')} without an account or a certificate failed, too."
        if unknown
        else ""
    )
    known = [caller for caller in breaking if caller.is_known]
    return f"{_fates(known, let_pass)}.{strangers}"


def _fates(callers: Sequence[Caller], let_pass: AbstractSet[Caller]) -> str:
    """Who is refused, and who would be: who is in audit, or left out, is let pass as yet."""
    refused = [caller for caller in callers if caller not in let_pass]
    others = [caller for caller in callers if caller in let_pass]
    if not callers:
        return "Nobody who is known would be refused"
    if not refused:
        return f"{_people(others)} would be refused"
    said = f"{_people(refused)} {'is' if len(refused) == 1 else 'are'} refused"
    if not others:
        return said
    if len({caller.kind for caller in callers}) == 1:
        return f"{said}, {len(others)} more would be"
    return f"{said}, and {_people(others)} would be"


def _people(callers: Sequence[Caller]) -> str:
    people = sum(caller.kind is CallerKind.PERSON for caller in callers)
    integrations = len(callers) - people
    parts = [
        *([counted(integrations, "integration")] if integrations else []),
        *([] if not people else ["1 person" if people == 1 else f"{people} people"]),
    ]
    return " and ".join(parts)

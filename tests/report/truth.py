"""What the report on a month must say, by who came: plain loops over what really happened."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

from extauthz.accounts import Accounts
from extauthz.findings import Reason
from extauthz.policy import Mode, Policy
from extauthz.records.user_agent import CallerKind
from extauthz.remedies import REMEDIES
from extauthz.report.model import (
    PARTLY,
    Caller,
    ExemptionUse,
    Expiring,
    Period,
    ReasonCount,
    Refused,
    SigningUse,
    SubscriptionReport,
)
from extauthz.report.verdict import Tally, readiness, verdict
from tests.report.month import DAYS, END, Actor, Event, Month

__all__ = ["expected"]

Name = str | None


def expected(month: Month, expiring_days: int) -> list[SubscriptionReport]:
    """The truth about each subscription, hosts of none last."""
    by_name: dict[Name, list[Event]] = defaultdict(list)
    for event in month.events:
        by_name[event.actor.subscription].append(event)
    names: list[Name] = [*sorted(month.policy.subscriptions), None]
    return [_subscription(name, by_name[name], month.policy, expiring_days) for name in names]


def _subscription(
    name: Name, events: list[Event], policy: Policy, expiring_days: int
) -> SubscriptionReport:
    checks = [event for event in events if event.decision.mode is not Mode.OFF]
    passed = [event for event in checks if not event.decision.findings]
    exempt = [event for event in checks if event.decision.exemption is not None]
    broken = [(actor, came) for actor, came in _ways(checks) if came[-1].decision.findings]
    refused = [actor for actor, came in broken if not came[-1].decision.allowed]
    away = _absent(name, checks, policy)
    tally = Tally(
        name=name,
        checks=len(checks),
        passed=len(passed),
        exempt=len(exempt),
        unchecked=len(events) - len(checks),
        first_seen=events[0].time if events else None,
        last_seen=events[-1].time if events else None,
        lasted=checks[-1].time - checks[0].time if checks else timedelta(),
        modes=_modes(events, checks),
        people=_count(_actors(checks), CallerKind.PERSON),
        integrations=_count(_actors(checks), CallerKind.INTEGRATION),
        unnamed=sum(not actor.is_known for actor in _actors(checks)),
        breaking_people=_count((actor for actor, _ in broken), CallerKind.PERSON),
        breaking_integrations=_count((actor for actor, _ in broken), CallerKind.INTEGRATION),
        breaking_unnamed=sum(not actor.is_known for actor, _ in broken),
        refused_people=_count(refused, CallerKind.PERSON),
        refused_integrations=_count(refused, CallerKind.INTEGRATION),
        refused_unnamed=sum(not actor.is_known for actor in refused),
        breaking_regulars=sum(_is_regular(actor, came) for actor, came in broken),
        breaking_ways=len(broken),
        absent=len(away or ()),
    )
    return SubscriptionReport(
        name=name,
        modes=tally.modes,
        checks=tally.checks,
        passed=tally.passed,
        exempt=tally.exempt,
        people=tally.people,
        integrations=tally.integrations,
        breaking_people=tally.breaking_people,
        breaking_integrations=tally.breaking_integrations,
        readiness=readiness(tally),
        verdict=verdict(tally),
        first_seen=tally.first_seen,
        last_seen=tally.last_seen,
        periods=_periods(checks),
        reasons=_reasons(checks),
        refused=tuple(sorted((_refused(*each) for each in broken), key=_order)),
        signing=_signing(passed),
        expiring=_expiring(checks, expiring_days),
        exemptions=_exemptions(name, exempt, policy),
        unchecked=tally.unchecked,
        unnamed=tally.unnamed,
        breaking_unnamed=tally.breaking_unnamed,
        absent=away,
    )


def _actors(events: Iterable[Event]) -> set[Actor]:
    return {event.actor for event in events}


def _ways(events: Iterable[Event]) -> list[tuple[Actor, list[Event]]]:
    """What each actor did; an actor comes by one way in."""
    came: dict[Actor, list[Event]] = defaultdict(list)
    for event in events:
        came[event.actor].append(event)
    return list(came.items())


def _count(actors: Iterable[Actor], kind: CallerKind) -> int:
    return len({actor.name for actor in actors if actor.is_known and actor.kind is kind})


def _is_regular(actor: Actor, came: Sequence[Event]) -> bool:
    lasted = came[-1].time - came[0].time
    let_pass = came[-1].decision.allowed or came[-1].decision.mode is None
    return not actor.is_known and let_pass and lasted >= timedelta(hours=1)


def _modes(events: Iterable[Event], checks: Iterable[Event]) -> tuple[str, ...]:
    last = {
        event.decision.subscription.mode: event.time
        for event in events
        if event.decision.subscription
    }
    is_partly = any(_is_left_out(came[-1]) for _, came in _ways(checks))
    return tuple(
        PARTLY if is_partly and mode is Mode.ENFORCE else mode
        for mode in sorted(last, key=lambda mode: last[mode])
    )


def _is_left_out(event: Event) -> bool:
    subscription, mode = event.decision.subscription, event.decision.mode
    return subscription is not None and (subscription.mode, mode) == (Mode.ENFORCE, Mode.AUDIT)


def _absent(name: Name, checks: Sequence[Event], policy: Policy) -> tuple[str, ...] | None:
    """Whose account never came, by who it was that came."""
    if name is None or not checks:
        return None
    accounts = policy.subscriptions[name].accounts
    assert isinstance(accounts, Accounts)
    came = {event.actor.name for event in checks}
    return tuple(sorted(each.login for each in accounts if each.login not in came))


def _failed(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.decision.findings]


def _found(event: Event) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(finding.reason for finding in event.decision.findings))


def _names(events: Iterable[Event]) -> tuple[str, ...]:
    return tuple(sorted({event.actor.name for event in events}))


def _periods(events: Sequence[Event]) -> tuple[Period, ...]:
    if not events:
        return ()
    days = Counter[tuple[object, str]]()
    for event in events:
        days[event.time.date(), "failed" if event.decision.findings else "passed"] += 1
        days[event.time.date(), "exempt"] += event.decision.exemption is not None
    begin = events[0].time.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = [begin + timedelta(days=n) for n in range(DAYS + 1)]
    return tuple(
        Period(each, *(days[each.date(), what] for what in ("passed", "failed", "exempt")))
        for each in begins
        if each <= events[-1].time
    )


def _reasons(events: Iterable[Event]) -> tuple[ReasonCount, ...]:
    by_reason: dict[Reason, list[Event]] = defaultdict(list)
    for event in _failed(events):
        for reason in _found(event):
            by_reason[reason].append(event)
    counts = [
        ReasonCount(
            reason, len(found), len({(each.actor.name, each.actor.kind) for each in found}),
            found[0].time, found[-1].time, REMEDIES[reason].remedy,
        )
        for reason, found in by_reason.items()
    ]  # fmt: skip
    return tuple(sorted(counts, key=lambda count: (-count.checks, count.reason)))


def _refused(actor: Actor, came: Sequence[Event]) -> Refused:
    failed = _failed(came)
    addresses = Counter(event.client for event in failed)
    return Refused(
        caller=Caller(actor.name, actor.kind, actor.is_known),
        reasons=_found(failed[-1]),
        detail=failed[-1].decision.findings[0].detail,
        checks=len(failed),
        first_seen=failed[0].time,
        last_seen=failed[-1].time,
        user_agent=failed[-1].agent,
        clients=tuple(sorted(addresses, key=lambda each: (-addresses[each], each))[:5]),
        request_id=failed[-1].request_id,
        is_refused=not came[-1].decision.allowed,
    )


def _order(refused: Refused) -> tuple[bool, int, float, str]:
    last = -refused.last_seen.timestamp()
    return (not refused.caller.is_known, -refused.checks, last, refused.caller.name)


def _signing(passed: Iterable[Event]) -> tuple[SigningUse, ...]:
    led = [
        (event, event.decision.path.signing_certificate) for event in passed if event.decision.path
    ]
    by_one: dict[str, list[Event]] = defaultdict(list)
    for event, signing in led:
        by_one[signing.facts.fingerprint].append(event)
    labels = {signing.facts.fingerprint: signing.label for _, signing in led}
    lasts = [came[-1] for _, came in _ways(event for event, _ in led)]
    uses = []
    for fingerprint, events in by_one.items():
        users = sorted(
            (each for each in lasts if _signed_by(each) == fingerprint),
            key=lambda each: each.time,
            reverse=True,
        )
        names = tuple(dict.fromkeys(each.actor.name for each in users))
        callers = len({(each.actor.name, each.actor.kind) for each in users})
        uses.append(
            SigningUse(
                labels[fingerprint], fingerprint, len(events), callers, names[:5], events[-1].time
            )
        )
    return tuple(sorted(uses, key=lambda use: (-use.checks, use.sha256)))


def _signed_by(event: Event) -> str | None:
    path = event.decision.path
    return None if path is None else path.signing_certificate.facts.fingerprint


def _expiring(checks: Iterable[Event], within_days: int) -> tuple[Expiring, ...]:
    before = END + timedelta(days=within_days)
    lasts = [came[-1] for _, came in _ways(checks)]
    by_one: dict[str, list[Event]] = defaultdict(list)
    for event in lasts:
        if event.peer and not event.decision.findings and event.peer.facts.not_after < before:
            by_one[event.peer.facts.fingerprint].append(event)
    found = [
        Expiring(
            events[0].peer.facts.subject, fingerprint, events[0].peer.facts.not_after,
            _names(events), max(event.time for event in events),
        )
        for fingerprint, events in by_one.items()
        if events[0].peer
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda each: (each.not_after, each.sha256)))


def _exemptions(name: Name, exempt: Sequence[Event], policy: Policy) -> tuple[ExemptionUse, ...]:
    if name is None:
        return ()
    uses = []
    for each in policy.subscriptions[name].exemptions:
        by = [event for event in exempt if event.decision.exemption == each]
        last = by[-1].time if by else None
        uses.append(
            ExemptionUse(each.name, each.reason, each.until.date(), len(by), _names(by), last)
        )
    return tuple(sorted(uses, key=lambda use: use.name))

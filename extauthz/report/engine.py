"""Makes the report: asks the engine, and puts the answers together with the policy's words."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from extauthz.policy import Policy
from extauthz.report.absent import absent
from extauthz.report.answers import MOST, Answers, Name
from extauthz.report.callers import gather
from extauthz.report.model import ExemptionUse, Report, SubscriptionReport
from extauthz.report.source import Source
from extauthz.report.verdict import Tally, readiness, verdict

__all__ = ["Wanted", "report"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the report is to say besides what the records do."""

    as_of: datetime
    """The time of the report (aware): certificates expire from here on."""
    expiring_within_days: int = 30
    policy: Policy | None = None
    """For the words and the ends of exemptions, for subscriptions that nobody came to, and for
    accounts that never came."""


def report(source: Source, wanted: Wanted) -> Report:
    """What the records say. Raises as `Source.rows` does."""
    gather(source)
    answers = Answers(source)
    tallies = answers.tallies()
    parts = _Parts(answers, wanted)
    for name in _configured(source, wanted.policy):
        tallies.setdefault(name, Tally(name))
    by_name = sorted(tallies.values(), key=lambda tally: (tally.name is None, tally.name or ""))
    return Report(
        made_at=wanted.as_of,
        since=source.selection.since,
        until=source.selection.until,
        expiring_within_days=wanted.expiring_within_days,
        completeness=answers.completeness(),
        subscriptions=tuple(map(parts.of, by_name)),
    )


def _configured(source: Source, policy: Policy | None) -> set[str]:
    """The subscriptions that a policy has, as far as they were asked for."""
    chosen = source.selection.subscription
    return {
        name for name in (() if policy is None else policy.subscriptions) if chosen in {None, name}
    }


class _Parts:
    """Every answer, asked once for all subscriptions."""

    def __init__(self, answers: Answers, wanted: Wanted) -> None:
        self._policy = wanted.policy
        self._periods = answers.periods()
        self._reasons = answers.reasons()
        self._refused = answers.refused()
        self._signing = answers.signing()
        within = timedelta(days=wanted.expiring_within_days)
        self._expiring = answers.expiring(wanted.as_of + within)
        self._exemptions = answers.exemptions()
        self._callers = {} if wanted.policy is None else answers.callers()

    def of(self, tally: Tally) -> SubscriptionReport:
        """What is said of one subscription."""
        name = tally.name
        refused = self._refused.get(name, ())
        away = self._absent(tally)
        tally = replace(tally, absent=len(away or ()))
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
            periods=self._periods.get(name, ()),
            reasons=self._reasons.get(name, ()),
            refused=refused,
            signing=self._signing.get(name, ()),
            expiring=self._expiring.get(name, ()),
            exemptions=self._in_words(name),
            unchecked=tally.unchecked,
            unnamed=tally.unnamed,
            breaking_unnamed=tally.breaking_unnamed,
            unlisted=tally.breaking_ways - len(refused),
            absent=None if away is None else away[:MOST],
            absent_unlisted=max(0, tally.absent - MOST),
        )

    def _absent(self, tally: Tally) -> tuple[str, ...] | None:
        """Logins of accounts that never came, where checks were made and accounts can be listed."""
        policy = self._policy
        subscription = None if policy is None else policy.subscriptions.get(tally.name or "")
        if policy is None or subscription is None or not tally.checks:
            return None
        callers = self._callers.get(tally.name, frozenset())
        away = absent(subscription, callers, policy.redaction)
        return None if away is None else tuple(away)

    def _in_words(self, name: Name) -> tuple[ExemptionUse, ...]:
        """The exemptions that were used, and those that the policy has, with its words."""
        used = {each.name: each for each in self._exemptions.get(name, ())}
        subscription = None if self._policy is None else self._policy.subscriptions.get(name or "")
        for exemption in () if subscription is None else subscription.exemptions:
            unused = ExemptionUse(exemption.name, None, None, 0, (), None)
            used[exemption.name] = replace(
                used.get(exemption.name, unused),
                reason=exemption.reason,
                until=exemption.until.date(),
            )
        return tuple(used[each] for each in sorted(used))

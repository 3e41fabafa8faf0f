"""Decides anew on what was recorded, and finds out when the decision changes.

The decision is the server's own. What it depends on besides the time is the same for all checks of
a group; so a group is decided at its first and its last check, and at each instant between them
at which something begins or ends that the decision may depend on: a certificate of the path, an
exemption, an account's former name, a CRL. Where that leaves a difference, it is looked for.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from extauthz.account_check import answer_of, lookup_keys
from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.crl import Crl
from extauthz.decision import Decision
from extauthz.findings import Finding, Reason
from extauthz.inquiry import Answered, Inquiry, NotAnswered
from extauthz.lookup import Found, Lookup
from extauthz.observe.record import MAX_TEXT
from extauthz.policy import Policy, Subscription
from extauthz.rehearsal import Facts
from extauthz.report.what_if_model import Unknown
from extauthz.revocation import CLOCK_TOLERANCE, CrlSource
from extauthz.snapshot import Snapshot
from extauthz.surroundings import Surroundings

__all__ = ["FOREVER", "Outcome", "Replay", "Span", "at_once", "instant", "microseconds"]

AT_ONCE: Final = 64
"""Groups whose questions to responders and directories are asked at once."""
PATIENCE: Final = 4
"""How often a question is waited for, each time as long as a check waits."""
FOREVER: Final = 2**62
"""Later than every check, in microseconds."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEXT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the new policy makes of a check."""

    allowed: bool
    reasons: tuple[Reason, ...]
    """What would be found, sorted, each once."""
    exemption: str | None = None
    detail: str | None = field(default=None, compare=False)
    """What was compared, of the first reason found."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when on, and until before when, checks of a group have one outcome; microseconds."""

    since: int
    until: int
    outcome: Outcome | Unknown


class Replay:
    """Decides under one policy. For use in one event loop."""

    def __init__(self, policy: Policy, around: Surroundings) -> None:
        self._around = around
        self._evidence = _TodaysEvidence(around)
        self._snapshot = Snapshot(policy, 1, self._evidence, around.directories)

    async def ends(self, facts: Facts, first: int, last: int) -> Span | None:
        """The one outcome of a group, from its first to its last check.

        None where there may be several.
        """
        outcome = await self._at(facts, first)
        if first == last:
            return Span(-FOREVER, FOREVER, outcome)
        if any(first < edge <= last for edge in self._edges(facts)):
            return None
        same = await self._at(facts, last) == outcome
        return Span(-FOREVER, FOREVER, outcome) if same else None

    async def spans(self, facts: Facts, times: Sequence[int]) -> list[Span]:
        """The outcomes of a group; `times` are those of its checks, sorted, each once."""
        edges = {bisect_left(times, edge) for edge in self._edges(facts)}
        begins = sorted({0, len(times), *edges})
        found: list[Span] = []
        for begin, end in pairwise(begins):
            for at, outcome in await self._changes(facts, times, begin, end - 1):
                if found and found[-1].outcome == outcome:
                    continue
                if found:
                    found[-1] = replace(found[-1], until=at)
                found.append(Span(at if found else -FOREVER, FOREVER, outcome))
        return found

    async def _changes(
        self, facts: Facts, times: Sequence[int], low: int, high: int
    ) -> list[tuple[int, Outcome | Unknown]]:
        """The outcome at `times[low]`, and from which times up to `high` on it is another."""
        first = await self._at(facts, times[low])
        changes = [(times[low], first)]
        while (last := await self._at(facts, times[high])) != changes[-1][1]:
            # The first time at which it is no longer what it was.
            known = changes[-1][1]
            below, above = low, high
            while above - below > 1:
                middle = (below + above) // 2
                if await self._at(facts, times[middle]) == known:
                    below = middle
                else:
                    above = middle
            low = above
            changes.append((times[low], await self._at(facts, times[low])))
            if low == high or changes[-1][1] == last:
                break
        return changes

    async def _at(self, facts: Facts, time: int) -> Outcome | Unknown:
        now = instant(time)
        request = facts.under(self._snapshot.policy)
        for _ in range(PATIENCE):
            decision, is_silent = self._check(request, now)
            if not decision.unanswered:
                break
            await self._around.ask(decision.unanswered)
        return Unknown.NO_ANSWER if is_silent else _outcome(decision)

    def _check(self, request: CheckRequest, now: datetime) -> tuple[Decision, bool]:
        """The decision, and whether it would be another if everybody had answered."""
        self._evidence.is_silent = False
        decision = self._snapshot.check(request, now)
        reasons = {finding.reason for finding in decision.findings}
        is_silent = bool(decision.unanswered) or Reason.DIRECTORY_UNAVAILABLE in reasons
        if Reason.REVOCATION_UNKNOWN in reasons:
            is_silent |= self._evidence.is_silent
        return decision, is_silent

    def _edges(self, facts: Facts) -> Iterator[int]:
        """Instants at which the decision may begin to be another, once it was made."""
        subscription = self._snapshot.policy.subscription_for(facts.host)
        if subscription is None:
            return
        for exemption in subscription.exemptions:
            yield from _after([exemption.until])
        yield from self._evidence.edges
        if isinstance(facts.peer, PeerCertificate):
            yield from self._path_edges(subscription, facts.peer)
        for account in self._accounts(facts, subscription):
            yield from _after(former.until for former in account.former)

    def _path_edges(self, subscription: Subscription, peer: PeerCertificate) -> Iterator[int]:
        verified = self._snapshot.verified.get((subscription.name, peer.identity))
        if verified is None:
            verified = subscription.trust.verify(peer)
        above = (ca.facts for path in verified.paths for ca in path.issuers)
        for each in {peer.facts, *above}:
            yield microseconds(each.not_before)
            yield from _after([each.not_after])

    def _accounts(self, facts: Facts, subscription: Subscription) -> Iterator[Account]:
        """Every account that the decision may depend on."""
        logins = facts.under(self._snapshot.policy).logins
        certificate = facts.peer if isinstance(facts.peer, PeerCertificate) else None
        accounts = subscription.accounts
        for key in lookup_keys(subscription, logins, certificate):
            if isinstance(accounts, Accounts):
                yield from answer_of(accounts, key).accounts
                continue
            known = self._around.directories.known(Lookup(accounts, key))
            if isinstance(known, Found):
                yield from known.accounts


async def at_once(work: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Do it all, at most AT_ONCE at a time."""
    waiting = list(work)
    for begin in range(0, len(waiting), AT_ONCE):
        await asyncio.gather(*(each() for each in waiting[begin : begin + AT_ONCE]))


class _TodaysEvidence:
    """What is known of revocation today, as if it had been known all along.

    A list that was issued after a check would otherwise be one of the future for it.
    """

    def __init__(self, around: Surroundings) -> None:
        self._evidence = around.evidence
        self._lists: dict[int, tuple[Crl, Crl]] = {}
        """By the identity of the list, which is kept so that nothing else gets it."""
        self.is_silent = False
        """Set when somebody was asked who says nothing from here."""

    @property
    def edges(self) -> list[int]:
        """When the lists become stale that were looked at."""
        ends = {crl.next_update + CLOCK_TOLERANCE for crl, _ in self._lists.values()}
        return [*_after(ends)]

    def crls(self, source: CrlSource, issuer: bytes) -> Sequence[Crl]:
        found = [self._backdated(crl) for crl in self._evidence.crls(source, issuer)]
        if not found and self._evidence.lists.sources[source].problem is not None:
            self.is_silent = True
        return found

    def answered(self, inquiry: Inquiry) -> Answered | NotAnswered | None:
        answered = self._evidence.answered(inquiry)
        if not isinstance(answered, Answered):
            self.is_silent = True
        return answered

    def _backdated(self, crl: Crl) -> Crl:
        if id(crl) not in self._lists:
            self._lists[id(crl)] = (crl, replace(crl, this_update=_EPOCH))
        return self._lists[id(crl)][1]


def microseconds(moment: datetime) -> int:
    """Since 1970, of an aware time."""
    return (moment - _EPOCH) // _NEXT


def instant(time: int) -> datetime:
    """The aware time of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=time)


def _after(ends: Iterable[datetime]) -> Iterator[int]:
    """The instants just after those that are the last ones."""
    for end in ends:
        yield microseconds(end) + 1


def _outcome(decision: Decision) -> Outcome:
    findings: tuple[Finding, ...] = decision.findings
    detail = None
    if findings:
        detail = findings[0].detail[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()
    return Outcome(
        decision.allowed,
        tuple(sorted({finding.reason for finding in findings})),
        None if decision.exemption is None else decision.exemption.name,
        detail,
    )

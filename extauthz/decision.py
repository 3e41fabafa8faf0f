"""The decision: may this request pass?

`decide` is the whole of it. It is a pure function: no I/O, no clock, no logging. It is made of two
steps, so that the first need not be repeated: `assess`, what can be said whatever the time, and
`Assessment.at`, which holds the clock against it. Rules:

- A request passes when nothing is found against it, and for no other reason.
- All checks are made, and all findings are kept, so that the operator sees everything that has
  to be mended at once.
- What cannot be checked is a finding. No check is skipped because its input is absent.
- What may change while the policy stays, the time and what is known of revocation, is looked at
  anew each time.
- An exemption excuses what is wrong with the certificate, and nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias

from extauthz.account_check import Answer, Claimant, accounts_in, claimant
from extauthz.accounts import Account
from extauthz.check import CheckRequest
from extauthz.exemption import Exemption
from extauthz.findings import Finding, Reason
from extauthz.inquiry import Inquiry
from extauthz.login import Login
from extauthz.lookup import Lookup, LookupKey
from extauthz.policy import Mode, Subscription
from extauthz.revocation import CLEAR, NO_EVIDENCE, Evidence
from extauthz.session import Holder, PinsUnavailable
from extauthz.trust import Path, VerifiedPeer

__all__ = [
    "Assessment",
    "Claims",
    "Decision",
    "Question",
    "assess",
    "decide",
    "exempted",
    "unchecked",
    "undecided",
]

Question: TypeAlias = Inquiry | Lookup
"""What could still be asked: of an OCSP responder, or of a directory of accounts."""

NOT_EXCUSED = frozenset({
    Reason.LOGIN_MALFORMED, Reason.LOGIN_CONFLICT, Reason.ACCOUNT_DISABLED,
    Reason.DIRECTORY_UNAVAILABLE, Reason.SESSION_ACCOUNT_MISMATCH, Reason.SESSION_UNAVAILABLE,
})  # fmt: skip
"""What no exemption excuses: it has nothing to do with being unable to present a certificate."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a request says of its user, and what is known of that."""

    logins: tuple[Login | Finding, ...] = ()
    answers: Mapping[LookupKey, Answer] | None = field(default_factory=lambda: MappingProxyType({}))
    """What is known of each of `account_check.lookup_keys`; None when that was not looked up."""
    holders: tuple[Holder, ...] | PinsUnavailable = ()
    """Who the request's sessions are bound to."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """The outcome of a check, for Envoy, for the decision log and for the metrics.

    Compared by identity: the same request gets the same object while its assessment is kept.
    """

    subscription: Subscription | None
    """None when the host belongs to no subscription."""
    findings: tuple[Finding, ...]
    """Everything that is wrong; empty exactly when all checks hold."""
    accounts: tuple[Account, ...] = ()
    """The accounts that the request is for: one, unless several have the certificate's email."""
    path: Path | None = None
    """The path from the certificate to a signing certificate; the best of several."""
    tolerated: tuple[Finding, ...] = ()
    """What was found and is let pass by the policy, whatever the mode."""
    unanswered: tuple[Question, ...] = ()
    """What others could still say; with their answers the decision may be another."""
    mode: Mode | None = None
    """The mode in which this user's requests are: the subscription's, or `audit` for whom no
    certificate is demanded of yet. None when no subscription answers for the request."""
    exemption: Exemption | None = None
    """The exemption by which the request passes; what it excuses is in `tolerated`."""

    @property
    def allowed(self) -> bool:
        """Whether the request passes. Outside `enforce` it does, whatever was found."""
        return not self.findings or self.mode in _LETS_PASS


_LETS_PASS = (Mode.OFF, Mode.AUDIT)


@dataclass(frozen=True, slots=True)
class Assessment:
    """All that can be said of a request of a subscription, whatever the time.

    It depends on the policy, the request and what is known of its account alone, so it may be
    kept as long as these are the same, and not beyond `until`; `at` holds the clock, and what is
    known of revocation, against it.
    """

    subscription: Subscription
    claimant: Claimant
    mode: Mode
    peer: VerifiedPeer | Finding
    against_account: tuple[Finding, ...]
    against_certificate: tuple[Finding, ...]
    """What the subscription's requirements have against it."""
    passing: Decision | None
    """The decision while the request passes, and None when it never does."""
    since: datetime
    """From when on it may be kept (aware): of an earlier time, as after a clock was set back, it
    says nothing."""
    until: datetime
    """Until when (aware)."""

    def at(self, now: datetime, evidence: Evidence) -> Decision:
        """Decide as of `now` (aware), by what is known."""
        passing = self.passing
        if passing is not None and (path := passing.path) is not None:
            revocation = self.subscription.revocation
            if path.not_before <= now <= path.not_after and (
                revocation is None or revocation.judge(path.links, evidence, now) is CLEAR
            ):
                return passing
        peer, accounts, lookups = self.peer, self.claimant.accounts, self.claimant.unanswered
        if isinstance(peer, Finding):
            against = (peer, *self.against_account)
            return Decision(
                self.subscription, against, accounts, unanswered=lookups, mode=self.mode
            )
        best = _best(self.subscription, peer, now, evidence)
        return Decision(
            self.subscription,
            (*peer.faults, *best.against, *self.against_certificate, *self.against_account),
            accounts,
            best.path,
            best.tolerated,
            (*best.unanswered, *lookups),
            self.mode,
        )


def decide(
    subscription: Subscription,
    claims: Claims,
    peer: VerifiedPeer | Finding,
    now: datetime,
    evidence: Evidence = NO_EVIDENCE,
) -> Decision:
    """Check a request of a subscription against its policy, as of `now` (aware)."""
    return assess(subscription, claims, peer, now).at(now, evidence)


def assess(
    subscription: Subscription, claims: Claims, peer: VerifiedPeer | Finding, now: datetime
) -> Assessment:
    """Make every check of a request that does not depend on the time, but for its account's."""
    certificate = None if isinstance(peer, Finding) else peer.certificate
    claims_of = claimant(subscription, claims.logins, certificate, claims.answers, now)
    accounts = claims_of.accounts
    against_account = (*claims_of.against, *_session(claims, accounts))
    against_certificate: tuple[Finding, ...] = ()
    if certificate is not None:
        against_certificate = tuple(subscription.requirements.against(certificate))
    mode = _mode(subscription, claims, claims_of)
    passing = None
    if (
        not isinstance(peer, Finding)
        and not peer.faults
        and not against_certificate
        and not against_account
    ):
        # Of several paths the one that lasts; `at` still finds the others when it does not.
        sound = [path for path in peer.paths if not _whatever_the_time(subscription, peer, path)]
        if sound:
            lasting = max(sound, key=lambda path: path.not_after)
            passing = Decision(subscription, (), accounts, lasting, mode=mode)
    return Assessment(
        subscription,
        claims_of,
        mode,
        peer,
        against_account,
        against_certificate,
        passing,
        now,
        claims_of.until,
    )


def exempted(decision: Decision, request: CheckRequest, now: datetime) -> Decision:
    """The decision on a request of its subscription, once its exemptions are held against it."""
    subscription = decision.subscription
    is_unreadable = any(isinstance(login, Finding) for login in request.logins)
    if (
        subscription is None
        or is_unreadable
        or any(each.reason in NOT_EXCUSED for each in decision.findings)
    ):
        return decision
    asked = (request.logins, request.method, request.path, request.client)
    for exemption in subscription.exemptions:
        if now <= exemption.until and exemption.covers(*asked):
            tolerated = (*decision.tolerated, *decision.findings)
            return replace(decision, findings=(), tolerated=tolerated, exemption=exemption)
    return decision


def unchecked(subscription: Subscription) -> Decision:
    """The passing of a request whose subscription has checks turned off."""
    return Decision(subscription, (), mode=subscription.mode)


def undecided(finding: Finding) -> Decision:
    """The refusal of a request that no subscription answers for."""
    return Decision(None, (finding,))


def _session(claims: Claims, accounts: tuple[Account, ...]) -> Iterator[Finding]:
    """Whether the request's sessions are those of whom it claims to be."""
    if isinstance(claims.holders, PinsUnavailable):
        yield Finding(Reason.SESSION_UNAVAILABLE, f"the store of sessions: {claims.holders.why}")
        return
    logins = {account.login for account in accounts}
    logins.update(login.name for login in claims.logins if isinstance(login, Login))
    for holder in claims.holders:
        if logins and logins.isdisjoint(holder.logins):
            whose = sorted(holder.logins)
            detail = f"the session was begun by {whose!r}, and this is {sorted(logins)!r}"
            yield Finding(Reason.SESSION_ACCOUNT_MISMATCH, detail)


def _mode(subscription: Subscription, claims: Claims, claims_of: Claimant) -> Mode:
    """The subscription's mode, unless no certificate is demanded of this user yet.

    Where it cannot be told who the user is, the certificate is demanded.
    """
    required = subscription.required_for
    if subscription.mode is not Mode.ENFORCE or required is None:
        return subscription.mode
    is_disabled = any(each.reason is Reason.ACCOUNT_DISABLED for each in claims_of.against)
    if claims_of.in_doubt or is_disabled or isinstance(claims.holders, PinsUnavailable):
        return Mode.ENFORCE
    logins = {login.name for login in claims.logins if isinstance(login, Login)}
    logins.update(*(holder.logins for holder in claims.holders))
    known = [*claims_of.accounts, *accounts_in(claims.answers or {})]
    logins.update(account.login for account in known)
    is_meant = not required.logins.isdisjoint(logins) or any(
        not required.groups.isdisjoint(account.groups) for account in known
    )
    return Mode.ENFORCE if is_meant else Mode.AUDIT


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a path, or the want of one, comes to."""

    path: Path | None
    against: tuple[Finding, ...]
    tolerated: tuple[Finding, ...] = ()
    unanswered: tuple[Question, ...] = ()


def _best(
    subscription: Subscription, peer: VerifiedPeer, now: datetime, evidence: Evidence
) -> _Judged:
    """Checks 2, 4, 5 and 6. Where several paths exist, one on which all holds is enough."""
    judged = [_judge(subscription, peer, path, now, evidence) for path in peer.paths]
    if judged:
        best = min(judged, key=lambda each: (len(each.against), len(each.unanswered)))
        every = tuple(dict.fromkeys(inquiry for each in judged for inquiry in each.unanswered))
        # An answer about another path can mend what is wrong; on a good one, only its own counts.
        return replace(best, unanswered=every) if best.against else best
    own = peer.certificate.facts
    return _Judged(None, tuple(_outside(own.not_before, own.not_after, "the certificate", now)))


def _judge(
    subscription: Subscription, peer: VerifiedPeer, path: Path, now: datetime, evidence: Evidence
) -> _Judged:
    against = (*_whatever_the_time(subscription, peer, path), *_outside_of(path, peer, now))
    if subscription.revocation is None:
        return _Judged(path, against)
    verdict = subscription.revocation.judge(path.links, evidence, now)
    return _Judged(path, (*against, *verdict.against), verdict.tolerated, verdict.unanswered)


def _whatever_the_time(
    subscription: Subscription, peer: VerifiedPeer, path: Path
) -> tuple[Finding, ...]:
    """What path validation and the subscription's requirements have against a path."""
    intermediates = path.issuers[:-1]
    unmet = subscription.requirements.against_issuers(peer.certificate, intermediates)
    return tuple(finding for finding in (path.fault, unmet) if finding is not None)


def _outside_of(path: Path, peer: VerifiedPeer, now: datetime) -> Iterator[Finding]:
    if path.not_before <= now <= path.not_after:
        return
    own = peer.certificate.facts
    yield from _outside(own.not_before, own.not_after, "the certificate", now)
    for ca in path.issuers:
        kind = "signing" if ca == path.signing_certificate.ca else "intermediate"
        what = f"the {kind} certificate {ca.facts.subject!r}"
        yield from _outside(ca.facts.not_before, ca.facts.not_after, what, now)


def _outside(
    not_before: datetime, not_after: datetime, what: str, now: datetime
) -> Iterator[Finding]:
    if now < not_before:
        detail = f"{what} is not valid before {not_before.isoformat()}"
        yield Finding(Reason.CERTIFICATE_NOT_YET_VALID, detail)
    if now > not_after:
        detail = f"{what} expired at {not_after.isoformat()}"
        yield Finding(Reason.CERTIFICATE_EXPIRED, detail)

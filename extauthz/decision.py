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
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from extauthz.accounts import Account
from extauthz.certificate import PeerCertificate
from extauthz.check import Login
from extauthz.findings import Finding, Reason
from extauthz.identity import IdentityKind
from extauthz.policy import Mode, Subscription
from extauthz.revocation import CLEAR, NO_EVIDENCE, Evidence, Inquiry
from extauthz.trust import Path, VerifiedPeer

__all__ = ["Assessment", "Decision", "assess", "decide", "unchecked", "undecided"]


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
    unanswered: tuple[Inquiry, ...] = ()
    """What OCSP responders could still say; with their answers the decision may be another."""

    @property
    def allowed(self) -> bool:
        """Whether the request passes. Outside `enforce` it does, whatever was found."""
        return not self.findings or (
            self.subscription is not None and self.subscription.mode is not Mode.ENFORCE
        )


@dataclass(frozen=True, slots=True)
class Assessment:
    """All that can be said of a request of a subscription, whatever the time.

    It depends on the policy and on the request alone, so it may be kept as long as both are the
    same; `at` holds the clock, and what is known of revocation, against it.
    """

    subscription: Subscription
    accounts: tuple[Account, ...]
    peer: VerifiedPeer | Finding
    against_account: tuple[Finding, ...]
    against_certificate: tuple[Finding, ...]
    """What the subscription's requirements have against it."""
    passing: Decision | None
    """The decision while the request passes, and None when it never does."""

    def at(self, now: datetime, evidence: Evidence) -> Decision:
        """Decide as of `now` (aware), by what is known."""
        passing = self.passing
        if passing is not None and (path := passing.path) is not None:
            revocation = self.subscription.revocation
            if path.not_before <= now <= path.not_after and (
                revocation is None or revocation.judge(path.links, evidence, now) is CLEAR
            ):
                return passing
        peer = self.peer
        if isinstance(peer, Finding):
            return Decision(self.subscription, (peer, *self.against_account), self.accounts)
        best = _best(self.subscription, peer, now, evidence)
        return Decision(
            self.subscription,
            (*peer.faults, *best.against, *self.against_certificate, *self.against_account),
            self.accounts,
            best.path,
            best.tolerated,
            best.unanswered,
        )


def decide(
    subscription: Subscription,
    logins: tuple[Login | Finding, ...],
    peer: VerifiedPeer | Finding,
    now: datetime,
    evidence: Evidence = NO_EVIDENCE,
) -> Decision:
    """Check a request of a subscription against its policy, as of `now` (aware)."""
    return assess(subscription, logins, peer).at(now, evidence)


def assess(
    subscription: Subscription,
    logins: tuple[Login | Finding, ...],
    peer: VerifiedPeer | Finding,
) -> Assessment:
    """Make every check of a request that does not depend on the time."""
    certificate = None if isinstance(peer, Finding) else peer.certificate
    accounts, against_account = _account(subscription, logins, certificate)
    against_certificate: tuple[Finding, ...] = ()
    if certificate is not None:
        against_certificate = tuple(subscription.requirements.against(certificate))
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
            passing = Decision(subscription, (), accounts, lasting)
    return Assessment(subscription, accounts, peer, against_account, against_certificate, passing)


def unchecked(subscription: Subscription) -> Decision:
    """The passing of a request whose subscription has checks turned off."""
    return Decision(subscription, ())


def undecided(finding: Finding) -> Decision:
    """The refusal of a request that no subscription answers for."""
    return Decision(None, (finding,))


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a path, or the want of one, comes to."""

    path: Path | None
    against: tuple[Finding, ...]
    tolerated: tuple[Finding, ...] = ()
    unanswered: tuple[Inquiry, ...] = ()


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


def _account(
    subscription: Subscription,
    logins: tuple[Login | Finding, ...],
    certificate: PeerCertificate | None,
) -> tuple[tuple[Account, ...], tuple[Finding, ...]]:
    """Check 3: the account that logs in, and what is wrong about it."""
    names = {login.name for login in logins if isinstance(login, Login)}
    claimed = [account for name in names if (account := subscription.accounts.named(name))]
    if not subscription.verify_email:
        return tuple(claimed), ()
    unreadable = tuple(login for login in logins if isinstance(login, Finding))
    if unreadable:
        return tuple(claimed), unreadable
    if len(names) > 1:
        detail = f"the request claims the logins {sorted(names)!r}"
        return tuple(claimed), (Finding(Reason.LOGIN_CONFLICT, detail),)
    if names and not claimed:
        detail = f"no account has the login {names.pop()!r}"
        return (), (Finding(Reason.ACCOUNT_UNKNOWN, detail),)
    if certificate is None:
        return tuple(claimed), ()
    return _identity(subscription, tuple(claimed), certificate)


def _identity(
    subscription: Subscription, claimed: tuple[Account, ...], certificate: PeerCertificate
) -> tuple[tuple[Account, ...], tuple[Finding, ...]]:
    kind = subscription.identity
    is_email = kind is IdentityKind.EMAIL
    names = list(certificate.names(kind))
    if not names:
        reason = Reason.EMAIL_MISSING if is_email else Reason.IDENTITY_MISSING
        return claimed, (Finding(reason, f"there is no {_KINDS[kind]} in the certificate"),)
    matching = subscription.accounts.identified_by(certificate.identities(kind))
    if not claimed:
        detail = f"no account has one of {names!r} ({_KINDS[kind]})"
        return matching, () if matching else (Finding(Reason.ACCOUNT_UNKNOWN, detail),)
    account = claimed[0]
    if account in matching:
        return claimed, ()
    reason = Reason.EMAIL_MISMATCH if is_email else Reason.IDENTITY_MISMATCH
    detail = f"the account has {str(account.identity)!r}, the certificate {names!r}"
    return claimed, (Finding(reason, detail),)


_KINDS = {
    IdentityKind.EMAIL: "rfc822Name, SmtpUTF8Mailbox or emailAddress",
    IdentityKind.UPN: "userPrincipalName",
    IdentityKind.SUBJECT: "subject",
    IdentityKind.SAN_URI: "uniformResourceIdentifier",
}

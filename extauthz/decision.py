"""The decision: may this request pass?

`decide` is the whole of it. It is a pure function: no I/O, no clock, no logging. It is made of two
steps, so that the first need not be repeated: `assess`, what can be said whatever the time, and
`Assessment.at`, which holds the clock against it. Rules:

- A request passes when nothing is found against it, and for no other reason.
- All checks are made, and all findings are kept, so that the operator sees everything that has
  to be mended at once.
- What cannot be checked is a finding. No check is skipped because its input is absent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from extauthz.accounts import Account
from extauthz.certificate import PeerCertificate
from extauthz.check import Login
from extauthz.findings import Finding, Reason
from extauthz.policy import Mode, Subscription
from extauthz.trust import Path, VerifiedPeer

__all__ = ["Assessment", "Decision", "assess", "decide", "unchecked", "undecided"]

_NEVER = datetime.max.replace(tzinfo=UTC)


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
    same; `at` holds the clock against it.
    """

    subscription: Subscription
    accounts: tuple[Account, ...]
    peer: VerifiedPeer | Finding
    against_account: tuple[Finding, ...]
    passing: Decision | None
    """The decision while the request passes, and None when it never does."""
    not_before: datetime
    """From when on it passes."""
    not_after: datetime
    """Until when it passes, itself included."""

    def at(self, now: datetime) -> Decision:
        """Decide as of `now` (aware)."""
        if self.passing is not None and self.not_before <= now <= self.not_after:
            return self.passing
        peer = self.peer
        against = (peer,) if isinstance(peer, Finding) else tuple(_against_peer(peer, now))
        return Decision(self.subscription, against + self.against_account, self.accounts)


def decide(
    subscription: Subscription,
    logins: tuple[Login | Finding, ...],
    peer: VerifiedPeer | Finding,
    now: datetime,
) -> Decision:
    """Check a request of a subscription against its policy, as of `now` (aware)."""
    return assess(subscription, logins, peer).at(now)


def assess(
    subscription: Subscription,
    logins: tuple[Login | Finding, ...],
    peer: VerifiedPeer | Finding,
) -> Assessment:
    """Make every check of a request that does not depend on the time."""
    certificate = None if isinstance(peer, Finding) else peer.certificate
    accounts, against = _account(subscription, logins, certificate)
    passing, not_before, not_after = None, _NEVER, _NEVER
    if not isinstance(peer, Finding) and not peer.faults and not against:
        # Of several paths the one that lasts; `at` still finds the others when it does not.
        sound = [path for path in peer.paths if path.fault is None]
        if sound:
            lasting = max(sound, key=lambda path: path.not_after)
            passing = Decision(subscription, (), accounts)
            not_before, not_after = lasting.not_before, lasting.not_after
    return Assessment(subscription, accounts, peer, against, passing, not_before, not_after)


def unchecked(subscription: Subscription) -> Decision:
    """The passing of a request whose subscription has checks turned off."""
    return Decision(subscription, ())


def undecided(finding: Finding) -> Decision:
    """The refusal of a request that no subscription answers for."""
    return Decision(None, (finding,))


def _against_peer(peer: VerifiedPeer, now: datetime) -> Iterator[Finding]:
    """Checks 2, 4 and 5. Where several paths exist, one on which all holds is enough."""
    yield from peer.faults
    against = [tuple(_against_path(path, peer.certificate, now)) for path in peer.paths]
    if against:
        yield from min(against, key=len)
        return
    own = peer.certificate.facts
    yield from _outside(own.not_before, own.not_after, "the certificate", now)


def _against_path(path: Path, certificate: PeerCertificate, now: datetime) -> Iterator[Finding]:
    if path.fault is not None:
        yield path.fault
    if path.not_before <= now <= path.not_after:
        return
    own = certificate.facts
    signer = path.signing_certificate.facts
    yield from _outside(own.not_before, own.not_after, "the certificate", now)
    yield from _outside(
        signer.not_before, signer.not_after, f"the signing certificate {signer.subject!r}", now
    )


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
    return _email(subscription, claimed, certificate)


def _email(
    subscription: Subscription, claimed: Iterable[Account], certificate: PeerCertificate
) -> tuple[tuple[Account, ...], tuple[Finding, ...]]:
    claimed = tuple(claimed)
    if not certificate.emails:
        detail = "neither an rfc822Name nor an emailAddress is in the certificate"
        return claimed, (Finding(Reason.EMAIL_MISSING, detail),)
    matching = subscription.accounts.with_email(certificate.mailboxes)
    if not claimed:
        detail = f"no account has an email address of {list(certificate.emails)!r}"
        return matching, () if matching else (Finding(Reason.ACCOUNT_UNKNOWN, detail),)
    account = claimed[0]
    if account in matching:
        return claimed, ()
    detail = f"the account has {str(account.email)!r}, the certificate {list(certificate.emails)!r}"
    return claimed, (Finding(Reason.EMAIL_MISMATCH, detail),)

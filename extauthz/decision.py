"""The decision: may this request pass?

`decide` is the whole of it. It is a pure function: no I/O, no clock, no logging. Rules:

- A request passes when nothing is found against it, and for no other reason.
- All checks are made, and all findings are kept, so that the operator sees everything that has
  to be mended at once.
- What cannot be checked is a finding. No check is skipped because its input is absent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from extauthz.accounts import Account
from extauthz.certificate import PeerCertificate
from extauthz.check import Login
from extauthz.findings import Finding, Reason
from extauthz.policy import Mode, Subscription
from extauthz.trust import Path, VerifiedPeer

__all__ = ["Decision", "decide", "unchecked", "undecided"]


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of a check, for Envoy, for the decision log and for the metrics."""

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


def decide(
    subscription: Subscription,
    logins: tuple[Login | Finding, ...],
    peer: VerifiedPeer | Finding,
    now: datetime,
) -> Decision:
    """Check a request of a subscription against its policy, as of `now` (aware)."""
    about_peer = (peer,) if isinstance(peer, Finding) else tuple(_against_peer(peer, now))
    certificate = None if isinstance(peer, Finding) else peer.certificate
    accounts, about_account = _account(subscription, logins, certificate)
    return Decision(subscription, about_peer + about_account, accounts)


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

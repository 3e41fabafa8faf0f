"""Check 3: whose request is it, and is the certificate that account's?

A pure function of what the request claims, what the certificate says and what is known of
accounts. What would have to be asked of a directory first is handed back.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from extauthz.accounts import FOREVER, Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.findings import Finding, Reason
from extauthz.identity import IdentityKind
from extauthz.login import ClientCertificate, Login
from extauthz.lookup import ByIdentity, ByLogin, Found, Lookup, LookupKey, Unavailable, is_open
from extauthz.policy import Subscription
from extauthz.quoting import quoted

__all__ = ["Answer", "Claimant", "accounts_in", "answer_of", "claimant", "lookup_keys"]

Answer: TypeAlias = Found | Unavailable | None
"""What is known of a look-up; None where the directory has to be asked first."""

_KINDS = {
    IdentityKind.EMAIL: "rfc822Name, SmtpUTF8Mailbox or emailAddress",
    IdentityKind.UPN: "userPrincipalName",
    IdentityKind.SUBJECT: "subject",
    IdentityKind.SAN_URI: "uniformResourceIdentifier",
}


_WRITTEN = {
    IdentityKind.EMAIL: "address",
    IdentityKind.UPN: "userPrincipalName",
    IdentityKind.SUBJECT: "distinguished name",
    IdentityKind.SAN_URI: "URI",
}


@dataclass(frozen=True, slots=True)
class Claimant:
    """The accounts that a request is for, and what is wrong about that."""

    accounts: tuple[Account, ...]
    """One, unless several have the certificate's name and the request claims no login."""
    against: tuple[Finding, ...]
    until: datetime = FOREVER
    """Until when this holds: an account's former names end."""
    unanswered: tuple[Lookup, ...] = ()
    in_doubt: bool = False
    """Whether the request claims something, and yet it cannot be told who it is."""


def lookup_keys(
    subscription: Subscription,
    logins: tuple[Login | Finding, ...],
    certificate: PeerCertificate | None,
    holders: Iterable[str] = (),
) -> tuple[LookupKey, ...]:
    """What has to be known of accounts; `holders` are the logins that have the session."""
    names = [login.name for login in logins if isinstance(login, Login)]
    keys: dict[LookupKey, None] = dict.fromkeys(map(ByLogin, names))
    # Without `verify_email` the certificate says whether its account is disabled, and no more.
    if certificate is not None and (
        not names or _by_certificate(subscription) or not subscription.verify_email
    ):
        identities = certificate.identities(subscription.identity)
        keys |= dict.fromkeys(map(ByIdentity, sorted(identities, key=str)))
    if subscription.required_for is not None:
        keys |= dict.fromkeys(map(ByLogin, holders))
    return tuple(keys)


def answer_of(accounts: Accounts, key: LookupKey) -> Found:
    """What the policy's own accounts answer."""
    if isinstance(key, ByIdentity):
        return Found(accounts.identified_by(key.identity))
    named = accounts.named(key.login)
    return Found(() if named is None else (named,))


def claimant(
    subscription: Subscription,
    logins: tuple[Login | Finding, ...],
    certificate: PeerCertificate | None,
    answers: Mapping[LookupKey, Answer] | None,
    now: datetime,
) -> Claimant:
    """Find whose request it is, as of `now` (aware), by what is known of each of `lookup_keys`.

    Without `answers`, because the request is refused anyway, nothing is said of accounts.
    """
    unreadable = tuple(login for login in logins if isinstance(login, Finding))
    if answers is None:
        return Claimant((), unreadable, in_doubt=True)
    names = tuple(dict.fromkeys(login.name for login in logins if isinstance(login, Login)))
    claimed = accounts_in(answers, map(ByLogin, names))
    silence = tuple(_silence(answers))
    doubts = (*unreadable, *silence) or tuple(_conflict(names, claimed, answers))
    against = doubts if subscription.verify_email else silence
    if against or certificate is None:
        found = Claimant(claimed, (*against, *_disabled(claimed)))
    elif not subscription.verify_email:
        found = _unverified(subscription, claimed, certificate, answers, now)
    elif claimed:
        found = _claimed(subscription, claimed, certificate, answers, now)
    else:
        found = _unclaimed(subscription, certificate, answers, now)
    unanswered = tuple(
        Lookup(subscription.accounts, key)
        for key, answer in answers.items()
        if is_open(answer) and not isinstance(subscription.accounts, Accounts)
    )
    if not doubts and not unanswered:
        return found
    return replace(found, unanswered=unanswered, in_doubt=bool(doubts))


def _unverified(
    subscription: Subscription,
    claimed: tuple[Account, ...],
    certificate: PeerCertificate,
    answers: Mapping[LookupKey, Answer],
    now: datetime,
) -> Claimant:
    """Whose request it is, where the certificate's names need not be those of the account."""
    owners = _identified(subscription, certificate, answers, now)
    accounts = claimed or tuple(each for each in owners if not each.is_disabled) or owners
    identities = certificate.identities(subscription.identity)
    ends = filter(None, (account.holds_until(identities) for account in owners))
    disabled = tuple(_disabled(dict.fromkeys((*claimed, *accounts))))
    return Claimant(accounts, disabled, min(ends, default=FOREVER))


def _claimed(
    subscription: Subscription,
    claimed: tuple[Account, ...],
    certificate: PeerCertificate,
    answers: Mapping[LookupKey, Answer],
    now: datetime,
) -> Claimant:
    """Whether the certificate is that of the account whose login the request claims."""
    disabled = tuple(_disabled(claimed))
    kind = subscription.identity
    names = list(certificate.names(kind))
    if not names:
        return Claimant(claimed, (_nameless(kind), *disabled))
    owners: tuple[Account, ...] = ()
    if _by_certificate(subscription):
        owners = _identified(subscription, certificate, answers, now)
    until = claimed[0].holds_until(certificate.identities(kind))
    if until is not None and until >= now and len(owners) <= 1:
        return Claimant(claimed, disabled, until)
    if owners:
        whose = sorted(account.login for account in owners)
        detail = f"the request claims {claimed[0].login!r}, the certificate is that of {whose!r}"
        return Claimant(claimed, (Finding(Reason.LOGIN_CONFLICT, detail), *disabled))
    is_email = kind is IdentityKind.EMAIL
    reason = Reason.EMAIL_MISMATCH if is_email else Reason.IDENTITY_MISMATCH
    detail = f"the account has {_held(claimed[0], kind)}, the certificate {names!r}"
    return Claimant(claimed, (Finding(reason, detail), *disabled))


def _held(account: Account, kind: IdentityKind) -> str:
    """The names of an account, and what was meant as one and is none."""
    held = " and ".join(repr(str(each)) for each in account.identities) or "none"
    if not account.unusable:
        return held
    wrong = (f"its {kind} {quoted(text)} is no {_WRITTEN[kind]}" for text in account.unusable)
    return f"{held} ({', '.join(wrong)})"


def _unclaimed(
    subscription: Subscription,
    certificate: PeerCertificate,
    answers: Mapping[LookupKey, Answer],
    now: datetime,
) -> Claimant:
    """Whose certificate it is, where the request claims no login."""
    kind = subscription.identity
    owners = _identified(subscription, certificate, answers, now)
    enabled = tuple(account for account in owners if not account.is_disabled)
    if owners and not enabled:
        return Claimant(owners, tuple(_disabled(owners)))
    names = list(certificate.names(kind))
    if not names:
        return Claimant((), (_nameless(kind),))
    if not enabled:
        detail = f"no account has one of {names!r} ({_KINDS[kind]})"
        return Claimant((), (Finding(Reason.ACCOUNT_UNKNOWN, detail),))
    if len(enabled) > 1 and _by_certificate(subscription):
        detail = f"the certificate is that of {sorted(each.login for each in enabled)!r}"
        return Claimant(enabled, (Finding(Reason.LOGIN_CONFLICT, detail),))
    identities = certificate.identities(kind)
    ends = (account.holds_until(identities) for account in enabled)
    return Claimant(enabled, (), min(end for end in ends if end is not None))


def _identified(
    subscription: Subscription,
    certificate: PeerCertificate,
    answers: Mapping[LookupKey, Answer],
    now: datetime,
) -> tuple[Account, ...]:
    """The accounts that have one of the certificate's names today."""
    identities = certificate.identities(subscription.identity)
    return tuple(
        account
        for account in accounts_in(answers, map(ByIdentity, sorted(identities, key=str)))
        if (until := account.holds_until(identities)) is not None and until >= now
    )


def accounts_in(
    answers: Mapping[LookupKey, Answer], keys: Iterable[LookupKey] | None = None
) -> tuple[Account, ...]:
    """The accounts that were found by these keys, or by any, each once."""
    found = answers.values() if keys is None else (answers.get(key) for key in keys)
    every = (each for answer in found if isinstance(answer, Found) for each in answer.accounts)
    return tuple(dict.fromkeys(every))


def _silence(answers: Mapping[LookupKey, Answer]) -> Iterator[Finding]:
    """That the directory does not say: once, whatever it was asked."""
    for answer in answers.values():
        if not isinstance(answer, Found):
            why = "it has not answered in time" if answer is None else answer.why
            yield Finding(Reason.DIRECTORY_UNAVAILABLE, f"the directory of accounts: {why}")
            return


def _conflict(
    names: tuple[str, ...], claimed: tuple[Account, ...], answers: Mapping[LookupKey, Answer]
) -> Iterator[Finding]:
    """All logins must name one account, the same."""
    by_name = {name: accounts_in(answers, [ByLogin(name)]) for name in names}
    shared = next((name for name, found in by_name.items() if len(found) > 1), None)
    if shared is not None:
        yield Finding(Reason.LOGIN_CONFLICT, f"{shared!r} is the login of several accounts")
    elif len(names) > 1 and (
        len({account.login for account in claimed}) != 1 or not all(by_name.values())
    ):
        detail = f"the request claims the logins {sorted(names)!r}"
        yield Finding(Reason.LOGIN_CONFLICT, detail)
    elif names and not claimed:
        yield Finding(Reason.ACCOUNT_UNKNOWN, f"no account has the login {names[0]!r}")


def _disabled(accounts: Iterable[Account]) -> Iterator[Finding]:
    for account in accounts:
        if account.is_disabled:
            detail = f"the account {account.login!r} is disabled"
            yield Finding(Reason.ACCOUNT_DISABLED, detail)


def _nameless(kind: IdentityKind) -> Finding:
    is_email = kind is IdentityKind.EMAIL
    reason = Reason.EMAIL_MISSING if is_email else Reason.IDENTITY_MISSING
    return Finding(reason, f"there is no {_KINDS[kind]} in the certificate")


def _by_certificate(subscription: Subscription) -> bool:
    """Whether the account that the certificate names counts as a login of the request."""
    return any(isinstance(source, ClientCertificate) for source in subscription.login)

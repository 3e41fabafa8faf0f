"""What is wrong with a subscription as a whole, once each part of it is right by itself."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from extauthz.accounts import Accounts, Role
from extauthz.directory.settings import problems_with
from extauthz.login import ClientCertificate
from extauthz.lookup import Directory
from extauthz.pins.shared import has_password_in_the_clear
from extauthz.pins.shared import problems_with as problems_with_store
from extauthz.policy import Mode, Subscription
from extauthz.policyfile.document import Step
from extauthz.policyfile.exemptions import ending, is_for_everybody
from extauthz.policyfile.problems import Severity, quoted
from extauthz.policyfile.spelling import meant
from extauthz.session import SessionPolicy

__all__ = ["Doubt", "about_places", "doubts"]


class Doubt(NamedTuple):
    """What is wrong, and at which setting of the subscription."""

    setting: str
    message: str
    remedy: str
    severity: Severity = Severity.ERROR
    steps: tuple[Step, ...] = ()
    """From the setting on to what is meant, as far as they lead."""


def doubts(subscription: Subscription, now: datetime) -> Iterator[Doubt]:
    """What is wrong, or will soon be, as of `now` (aware)."""
    if isinstance(accounts := subscription.accounts, Accounts):
        yield from about_places(None, subscription.session)
        yield from _roles(accounts)
    else:
        yield from about_places(accounts, subscription.session)
    if not subscription.verify_email and _goes_by_certificate(subscription):
        message = "`client_certificate` names no account where `verify_email` is false"
        steps = ("client_certificate",)
        yield Doubt("login", message, "leave one of the two out", steps=steps)
    if subscription.denial.help is not None and subscription.denial.content_type is not None:
        message = "`help` has no effect beside `content_type`: that body is sent as it stands"
        remedy = "write the help into the body"
        yield Doubt("denial", message, remedy, Severity.WARNING, ("help",))
    yield from _exempt(subscription, now)
    yield from _required(subscription)


def about_places(directory: Directory | None, session: SessionPolicy | None) -> Iterator[Doubt]:
    """What is wrong with where accounts live and sessions are kept, whatever the rest says."""
    if directory is not None:
        for keys, why in problems_with(directory):
            yield Doubt("accounts", f"`accounts`: {why}", "see docs/accounts.md", steps=keys)
    if session is not None:
        yield from _session(session)


def _roles(accounts: Accounts) -> Iterator[Doubt]:
    for account in accounts:
        if account.role is Role.UNIT_MANAGER and not account.unit:
            who = quoted(account.login)
            message = f"{who} is a unit manager without a unit, and may mend no account"
            remedy, steps = "give it a `unit`, or another `role`", (account.login, "role")
            yield Doubt("accounts", message, remedy, Severity.WARNING, steps)


def _session(session: SessionPolicy) -> Iterator[Doubt]:
    if session.store is not None:
        wrong = list(problems_with_store(session))
        for key, why in wrong:
            yield Doubt("session", f"`session`: {why}", "see docs/logins.md", steps=(key,))
        if not wrong and has_password_in_the_clear(session):
            message = "`session`: the store's password is sent in the clear, and so are logins"
            remedy = "use rediss://, unless you trust everybody on the network in between"
            yield Doubt("session", message, remedy, Severity.WARNING, ("store",))
        return
    for key, given in (("password", session.password), ("ca_file", session.ca_file)):
        if given is not None:
            message = f"`{key}` has no effect without `store`"
            yield Doubt("session", message, "name the store, or leave it out", steps=(key,))


def _exempt(subscription: Subscription, now: datetime) -> Iterator[Doubt]:
    accounts = subscription.accounts
    for index, exemption in enumerate(subscription.exemptions):
        who = f"the exemption {quoted(exemption.name)}"
        if (end := ending(exemption, now)) is not None:
            remedy = "renew it, or take it out: who relies on it will be refused"
            yield Doubt("exempt", end, remedy, Severity.WARNING, (index,))
        if is_for_everybody(exemption):
            remedy = "name the paths, logins or networks that are meant, or set `mode: audit`"
            yield Doubt("exempt", f"{who} exempts everybody", remedy, Severity.WARNING, (index,))
        if not isinstance(accounts, Accounts):
            continue
        # An integration may well have no account: what it says then is only looked at for slips.
        unknown = (login for login in sorted(exemption.logins) if accounts.named(login) is None)
        for login in unknown:
            other = meant(login, (account.login for account in accounts))
            if other is not None:
                message = f"{who} names {quoted(login)}, and no account has that login"
                remedy, steps = f"did you mean {quoted(other)}?", (index, "logins", login)
                yield Doubt("exempt", message, remedy, Severity.WARNING, steps)


def _goes_by_certificate(subscription: Subscription) -> bool:
    return any(isinstance(source, ClientCertificate) for source in subscription.login)


def _required(subscription: Subscription) -> Iterator[Doubt]:
    setting, required = "certificate_required_for", subscription.required_for
    if required is None:
        return
    if subscription.mode is not Mode.ENFORCE:
        message = f"`{setting}` has no effect with `mode: {subscription.mode}`"
        yield Doubt(setting, message, "set `mode: enforce`, or leave it out", Severity.WARNING)
    accounts = subscription.accounts
    if not isinstance(accounts, Accounts):
        return
    if not len(accounts):
        message = f"`{setting}` needs accounts: who is not known has to present a certificate"
        yield Doubt(setting, message, "list `accounts`, or leave it out")
        return
    groups = frozenset[str]().union(*(account.groups for account in accounts))
    unknown = [login for login in sorted(required.logins) if accounts.named(login) is None]
    for key, names in (("logins", unknown), ("groups", sorted(required.groups - groups))):
        for name in names:
            message = f"`{setting}` names {quoted(name)}, and no account has that login or group"
            yield Doubt(setting, message, "check how it is spelt", Severity.WARNING, (key, name))

"""What is wrong with a subscription as a whole, once each part of it is right by itself."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from extauthz.accounts import Accounts
from extauthz.directory.settings import problem_with
from extauthz.login import ClientCertificate
from extauthz.pins.shared import problem_with as problem_with_store
from extauthz.policy import Mode, Subscription
from extauthz.policyfile.exemptions import ending
from extauthz.policyfile.problems import Severity, quoted

__all__ = ["Doubt", "doubts"]


class Doubt(NamedTuple):
    """What is wrong, and at which setting of the subscription."""

    setting: str
    message: str
    remedy: str
    severity: Severity = Severity.ERROR


def doubts(subscription: Subscription, now: datetime) -> Iterator[Doubt]:
    """What is wrong, or will soon be, as of `now` (aware)."""
    accounts, session = subscription.accounts, subscription.session
    if not isinstance(accounts, Accounts) and (why := problem_with(accounts)) is not None:
        yield Doubt("accounts", f"`accounts`: {why}", "see docs/accounts.md")
    if session is not None:
        if session.store is not None and (why := problem_with_store(session)) is not None:
            yield Doubt("session", f"`session`: {why}", "see docs/logins.md")
        if session.store is None and (session.password or session.ca_file):
            message = "`password` and `ca_file` have no effect without `store`"
            yield Doubt("session", message, "name the store, or leave them out")
    if not subscription.verify_email and _goes_by_certificate(subscription):
        message = "`client_certificate` names no account where `verify_email` is false"
        yield Doubt("login", message, "leave one of the two out")
    if subscription.denial.help is not None and subscription.denial.content_type is not None:
        message = "`help` has no effect beside `content_type`: that body is sent as it stands"
        yield Doubt("denial", message, "write the help into the body", Severity.WARNING)
    for exemption in subscription.exemptions:
        if (end := ending(exemption, now)) is not None:
            remedy = "renew it, or take it out: who relies on it will be refused"
            yield Doubt("exempt", end, remedy, Severity.WARNING)
    yield from _required(subscription)


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
    for name in (*unknown, *sorted(required.groups - groups)):
        message = f"`{setting}` names {quoted(name)}, and no account has that login or group"
        yield Doubt(setting, message, "check how it is spelt", Severity.WARNING)

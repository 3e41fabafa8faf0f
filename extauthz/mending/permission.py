"""Who may look at accounts and mend them. Pure: accounts in, the reason against it out.

A manager may mend every account of the subscription, a unit manager those of the own unit that
are no manager's. Whoever is acting has been believed before: nothing here authenticates.
"""

from extauthz.accounts import Account, Role
from extauthz.quoting import quoted

__all__ = ["no_account", "why_not_disable", "why_not_look", "why_not_mend", "why_not_see"]


def why_not_look(actor: Account) -> str | None:
    """Why the actor may not look at any account; None for who may, which is who may mend some."""
    who = quoted(actor.login)
    if actor.is_disabled:
        return f"{who} is disabled"
    if actor.role is None:
        return f"{who} has no role: `role: manager` or `role: unit_manager` is missing"
    if actor.role is Role.UNIT_MANAGER and not actor.unit:
        return f"{who} is a unit manager without a unit: `unit` is missing"
    return None


def why_not_see(actor: Account, account: Account) -> str | None:
    """Why the actor may not see the account; None for who may."""
    if (why := why_not_look(actor)) is not None or actor.role is Role.MANAGER:
        return why
    if account.unit == actor.unit:
        return None
    return no_account(actor, account.login)


def no_account(actor: Account, login: str) -> str:
    """What the actor, who may look, is told of a login that is none.

    A unit manager is told the same of those outside the unit: which there are is not to be found
    out by asking.
    """
    if actor.role is Role.MANAGER:
        return f"there is no account {quoted(login)}"
    unit, who = quoted(actor.unit or ""), quoted(actor.login)
    return f"there is no account {quoted(login)} in the unit {unit}, which is {who}'s"


def why_not_mend(actor: Account, account: Account) -> str | None:
    """Why the actor may not change the account; None for who may."""
    if (why := why_not_see(actor, account)) is not None or actor.role is Role.MANAGER:
        return why
    if account.role is Role.MANAGER:
        return f"{quoted(account.login)} is a manager, whom only a manager may mend"
    return None


def why_not_disable(actor: Account, account: Account) -> str | None:
    """Why the actor may not disable the account: nobody locks out the own one."""
    if actor.login == account.login:
        return f"{quoted(actor.login)} may not disable the own account: another manager may"
    return why_not_mend(actor, account)

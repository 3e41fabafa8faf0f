"""Which accounts of a policy never came: nobody knows whether they would pass.

Known are accounts that stand in the policy or in a file. Those of a database or a server are not
asked for: they may be millions, and are often not to be listed.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from extauthz.accounts import Account, Accounts
from extauthz.identity import Identity, parse
from extauthz.lookup import AccountFile
from extauthz.policy import Subscription
from extauthz.redaction import PREFIX, Redacted, Redaction

__all__ = ["absent"]


def absent(
    subscription: Subscription, callers: AbstractSet[str], redaction: Redaction | None = None
) -> list[str] | None:
    """Logins of accounts that are none of the callers, sorted; None where that cannot be said.

    `callers` are names as records have them; `redaction` says what these have in place of logins.
    Who is disabled is to stay away.
    """
    accounts = _listed(subscription)
    if accounts is None:
        return None
    names = frozenset(_identities(subscription, callers))
    away = [
        account
        for account in accounts
        if account.login not in callers
        and _recorded(account.login, redaction) not in callers
        and account.holds_until(names) is None
    ]
    # Hidden under another key, all would seem to be away.
    if len(away) == len(accounts) and any(caller.startswith(PREFIX) for caller in callers):
        return None
    return sorted(account.login for account in away if not account.is_disabled)


def _listed(subscription: Subscription) -> list[Account] | None:
    match subscription.accounts:
        case Accounts() as accounts:
            return list(accounts)
        case AccountFile(path=path, kind=kind):
            from extauthz.directory import reading  # noqa: PLC0415 (not for every report)

            try:
                return [entry.account for entry in reading.entries(Path(path), kind)]
            except reading.AccountFileError:
                return None
        case _:
            return None


def _identities(subscription: Subscription, callers: Iterable[str]) -> Iterator[Identity]:
    """Names by which certificates tell accounts: a caller without a login goes by one."""
    for caller in callers:
        identity = parse(subscription.identity, caller)
        if identity is not None:
            yield identity


def _recorded(login: str, redaction: Redaction | None) -> str:
    return login if redaction is None else redaction.of(Redacted.LOGIN, login)

"""What every kind of directory offers, and how its answers become accounts.

A backend asks, each time that it is asked, within the time that its settings give; what is kept
of the answers, for how long, and what happens when there are none is `cached`'s business.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from extauthz import secret
from extauthz.accounts import Account
from extauthz.identity import IdentityKind, parse
from extauthz.lookup import LookupKey, Secret
from extauthz.quoting import MAX_QUOTED

__all__ = [
    "Backend", "DirectoryError", "UnreachableError", "UnusableAnswerError", "account", "octets",
    "read_secret",
]  # fmt: skip


ACCOUNT_OCTETS = 800
"""What an account with few names and groups takes, about."""
MAX_UNUSABLE = 3
"""How many of the names that are none are kept of an account: they are for a message."""


class DirectoryError(Exception):
    """Nothing usable was answered. The message is for the operator's log: no secret is in it."""


class UnreachableError(DirectoryError):
    """Nobody answered at all, or not in time."""


class UnusableAnswerError(DirectoryError):
    """It answered, and what it said of this one login or name cannot be used.

    That is no sign that it would not answer another question.
    """


class Backend(Protocol):
    """A place where accounts live."""

    async def find(self, key: LookupKey) -> Sequence[Account]:
        """The accounts with that login or that name. Raises DirectoryError.

        It is up to the place whether two spellings of a login are one; of more than one account
        with a login the caller takes none. Accounts that lack the name asked for are left out by
        the caller.
        """

    async def close(self) -> None:
        """Give back every connection."""


def account(  # noqa: PLR0913 (the members of an account)
    kind: IdentityKind,
    login: str,
    names: Iterable[str],
    *,
    groups: Iterable[str] = (),
    is_disabled: bool = False,
    unit: str | None = None,
) -> Account:
    """An account of a directory. A name that is none of its kind is no name of it."""
    parsed = {name: parse(kind, name) for name in names}
    unusable = [name for name, identity in parsed.items() if identity is None]
    return Account(
        login,
        tuple(dict.fromkeys(identity for identity in parsed.values() if identity is not None)),
        is_disabled=is_disabled,
        groups=frozenset(groups),
        unit=unit,
        # One character more than a message repeats shows that there was more.
        unusable=tuple(name[: MAX_QUOTED + 1] for name in unusable[:MAX_UNUSABLE]),
    )


def octets(account: Account) -> int:
    """What an account takes in memory, about."""
    names = len(account.identities) + len(account.former)
    return ACCOUNT_OCTETS * (1 + names // 4 + len(account.groups) // 8)


def read_secret(given: Secret) -> str:
    """The secret as it is now. Raises DirectoryError, which names the place and not the content."""
    try:
        return secret.read(given)
    except secret.SecretError as error:
        raise DirectoryError(str(error)) from error

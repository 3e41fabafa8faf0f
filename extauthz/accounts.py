"""The accounts of a subscription: who may log in, and by which name certificates know each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from extauthz.identity import Identity

__all__ = ["Account", "Accounts"]


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the service inside a subscription."""

    login: str
    """The name under which the service knows the user; compared octet by octet."""
    identity: Identity
    """The name that is in the user's certificate, of the kind that the subscription goes by."""


class Accounts:
    """An immutable index of accounts, by login and by identity."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        by_login: dict[str, Account] = {}
        by_identity: dict[Identity, tuple[Account, ...]] = {}
        for account in accounts:
            by_login[account.login] = account
            by_identity[account.identity] = (*by_identity.get(account.identity, ()), account)
        self._by_login: Mapping[str, Account] = MappingProxyType(by_login)
        self._by_identity: Mapping[Identity, tuple[Account, ...]] = MappingProxyType(by_identity)

    def __len__(self) -> int:
        return len(self._by_login)

    def named(self, login: str) -> Account | None:
        """The account with that login."""
        return self._by_login.get(login)

    def identified_by(self, identities: Iterable[Identity]) -> tuple[Account, ...]:
        """The accounts that have one of these names; one person may have several."""
        return tuple(
            account for identity in identities for account in self._by_identity.get(identity, ())
        )

"""The accounts of a subscription: who may log in, and the email address that each one has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from extauthz.email import EmailAddress

__all__ = ["Account", "Accounts"]


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the service inside a subscription."""

    login: str
    """The name under which the service knows the user; compared octet by octet."""
    email: EmailAddress


class Accounts:
    """An immutable index of accounts, by login and by email address."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        by_login: dict[str, Account] = {}
        by_email: dict[EmailAddress, tuple[Account, ...]] = {}
        for account in accounts:
            by_login[account.login] = account
            by_email[account.email] = (*by_email.get(account.email, ()), account)
        self._by_login: Mapping[str, Account] = MappingProxyType(by_login)
        self._by_email: Mapping[EmailAddress, tuple[Account, ...]] = MappingProxyType(by_email)

    def __len__(self) -> int:
        return len(self._by_login)

    def named(self, login: str) -> Account | None:
        """The account with that login."""
        return self._by_login.get(login)

    def with_email(self, addresses: Iterable[EmailAddress]) -> tuple[Account, ...]:
        """The accounts that have one of these addresses; one person may have several."""
        return tuple(
            account for address in addresses for account in self._by_email.get(address, ())
        )

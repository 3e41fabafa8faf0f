"""The accounts of a subscription: who may log in, and by which names certificates know each."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

from extauthz.identity import Identity

__all__ = ["FOREVER", "Account", "Accounts", "Former", "Role"]

FOREVER = datetime.max.replace(tzinfo=UTC)


class Role(StrEnum):
    """Who may mend other accounts."""

    MANAGER = "manager"
    """Any account of the subscription."""
    UNIT_MANAGER = "unit_manager"
    """The accounts of the own unit, but no manager's."""


@dataclass(frozen=True, slots=True)
class Former:
    """A name that was an account's, and goes on to hold for a while."""

    identity: Identity
    until: datetime
    """Last instant at which it holds (aware)."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the service inside a subscription."""

    login: str
    """The name under which the service knows the user; compared octet by octet."""
    identities: tuple[Identity, ...]
    """The names in the user's certificate, of the kind that the subscription goes by. Without
    any, no certificate is the user's."""
    former: tuple[Former, ...] = ()
    is_disabled: bool = False
    """Whether the user is refused, whatever the certificate."""
    groups: frozenset[str] = frozenset()
    unit: str | None = None
    """The part of the company that the user belongs to."""
    role: Role | None = None
    unusable: tuple[str, ...] = field(default=(), compare=False)
    """What stands among its names and is none of their kind. It equals nothing, and is here so that
    somebody can be told; a directory may have written anything into it."""

    def holds_until(self, names: AbstractSet[Identity]) -> datetime | None:
        """Until when one of these names is the account's; None when none of them is."""
        if not names.isdisjoint(self.identities):
            return FOREVER
        return max((each.until for each in self.former if each.identity in names), default=None)


class Accounts:
    """An immutable index of accounts, by login and by identity."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        by_login: dict[str, Account] = {}
        by_identity: dict[Identity, tuple[Account, ...]] = {}
        for account in accounts:
            by_login[account.login] = account
            for identity in dict.fromkeys(
                (*account.identities, *(former.identity for former in account.former))
            ):
                by_identity[identity] = (*by_identity.get(identity, ()), account)
        self._by_login: Mapping[str, Account] = MappingProxyType(by_login)
        self._by_identity: Mapping[Identity, tuple[Account, ...]] = MappingProxyType(by_identity)

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_login.values())

    def __len__(self) -> int:
        return len(self._by_login)

    def named(self, login: str) -> Account | None:
        """The account with that login."""
        return self._by_login.get(login)

    def identified_by(self, identity: Identity) -> tuple[Account, ...]:
        """The accounts that have or had this name; one person may have several."""
        return self._by_identity.get(identity, ())

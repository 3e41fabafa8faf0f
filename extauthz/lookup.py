"""Accounts that live elsewhere: where, and what is asked of them.

A `Directory` says where; a `Lookup` is a question to it; `Found` or `Unavailable` is what came of
it. The decision looks up what is known and asks for the rest, as it does with revocation; asking
is `directory`'s business. Nothing here holds a secret, only where one is to be read.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeAlias

from extauthz.accounts import Account
from extauthz.identity import Identity, IdentityKind

__all__ = [
    "NO_DIRECTORIES",
    "AccountFile",
    "ByIdentity",
    "ByLogin",
    "Caching",
    "Directories",
    "Directory",
    "Found",
    "HttpDirectory",
    "LdapDirectory",
    "Lookup",
    "LookupKey",
    "Secret",
    "SqlDirectory",
    "Unavailable",
    "is_open",
]


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a password or a token is read, each time that it is needed. One of the two is given."""

    variable: str | None = None
    """Name of an environment variable."""
    file: str | None = None
    """Path of a file; white space at the end of its content does not belong to the secret."""


@dataclass(frozen=True, slots=True)
class Caching:
    """For how long an answer of a directory counts."""

    ttl: timedelta = timedelta(seconds=60)
    negative_ttl: timedelta = timedelta(seconds=10)
    """For the answer that there is no such account."""
    stale_if_error: timedelta = timedelta(0)
    """For how long an answer counts beyond that while the directory does not answer (RFC 5861)."""


@dataclass(frozen=True, slots=True)
class AccountFile:
    """Accounts in a file of their own: YAML, CSV or JSON lines, by its name's ending."""

    path: str
    kind: IdentityKind = IdentityKind.EMAIL
    """What the file lists as the name in certificates."""


@dataclass(frozen=True, slots=True)
class SqlDirectory:
    """Accounts in a database."""

    url: str
    """Of SQLAlchemy, with an asyncio driver; without a password."""
    query: str
    """One statement with the parameters `:login` and `:identity`, of which the one that is not
    asked by is NULL. A row for each account, or for each of its names and groups: columns `login`
    and `identity` (or the kind's name, such as `email`), and where they are there `disabled`,
    `group`, `unit`."""
    kind: IdentityKind = IdentityKind.EMAIL
    password: Secret | None = None
    ca_file: str | None = None
    """PEM file with the CAs that the server is checked against; TLS is used when it is given."""
    pool_size: int = 4
    timeout: timedelta = timedelta(seconds=2)
    """For a connection and the query, together."""
    caching: Caching = Caching()


@dataclass(frozen=True, slots=True)
class LdapDirectory:
    """Accounts in an LDAP directory (RFC 4511)."""

    url: str
    """`ldap://` or `ldaps://`, host and port alone."""
    base: str
    """DN below which accounts are looked for, in the whole subtree."""
    login_attribute: str
    email_attribute: str
    """Attribute with the name in certificates, whatever kind the subscription goes by."""
    filter: str = "(objectClass=*)"
    """RFC 4515; what an entry must fulfil besides having the login or the name."""
    kind: IdentityKind = IdentityKind.EMAIL
    bind_dn: str | None = None
    """None for an anonymous bind."""
    password: Secret | None = None
    start_tls: bool = False
    """Whether a connection to `ldap://` becomes one with TLS before anything is said on it."""
    ca_file: str | None = None
    disabled_attribute: str | None = None
    """An entry is disabled that has it with another value than FALSE or 0; of Active Directory's
    `userAccountControl` the bit ACCOUNTDISABLE counts."""
    group_attribute: str | None = None
    pool_size: int = 4
    timeout: timedelta = timedelta(seconds=2)
    caching: Caching = Caching()


@dataclass(frozen=True, slots=True)
class HttpDirectory:
    """A service that answers for its own users (docs/accounts.md has the protocol)."""

    url: str
    """http or https."""
    kind: IdentityKind = IdentityKind.EMAIL
    token: Secret | None = None
    """Sent as `Authorization: Bearer`."""
    ca_file: str | None = None
    timeout: timedelta = timedelta(seconds=2)
    caching: Caching = Caching()


Directory: TypeAlias = AccountFile | SqlDirectory | LdapDirectory | HttpDirectory


@dataclass(frozen=True, slots=True)
class ByLogin:
    """Which account has this login?"""

    login: str


@dataclass(frozen=True, slots=True)
class ByIdentity:
    """Which accounts have this name in their certificates?"""

    identity: Identity


LookupKey: TypeAlias = ByLogin | ByIdentity


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question to a directory."""

    directory: Directory
    key: LookupKey


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a directory answered: the accounts, perhaps none.

    Compared by identity: while an answer is kept, the same question gets the same object.
    """

    accounts: tuple[Account, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Unavailable:
    """Nobody can say at this moment."""

    why: str
    may_be_asked: bool = False
    """Whether who has the question now has it asked, and waits: an answer may come this time."""


class Directories(Protocol):
    """What the decision may know of directories: a look-up, without waiting."""

    def known(self, lookup: Lookup) -> Found | Unavailable | None:
        """What counts as the answer now. If it `is_open`, it has to be asked for first."""


def is_open(answer: Found | Unavailable | None) -> bool:
    """Whether an answer has to be asked for."""
    return answer is None or (isinstance(answer, Unavailable) and answer.may_be_asked)


class _NoDirectories:
    def known(self, lookup: Lookup) -> None:
        """Nothing is known; whoever needs an answer gets none."""


NO_DIRECTORIES: Directories = _NoDirectories()

"""What an LDAP directory is asked, and what its entries say of accounts.

Nothing here talks to a directory.
"""

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from extauthz.accounts import Account
from extauthz.directory.backend import UnusableAnswerError, account
from extauthz.lookup import ByLogin, LdapDirectory, LookupKey

__all__ = ["Entry", "accounts", "attributes", "search_filter"]

Entry: TypeAlias = Mapping[str, Sequence[bytes]]
"""The values of an entry, by attribute description (RFC 4512 2.5)."""

ACCOUNTDISABLE = 0x2
"""Of Active Directory's userAccountControl (MS-ADTS 2.2.16)."""
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def search_filter(
    settings: LdapDirectory, key: LookupKey, escape: Callable[[str], str]
) -> str | None:
    """The filter of a look-up; None where no entry can match, as the value is no text in UTF-8.

    `escape` makes a value what RFC 4515 3 calls a valueencoding.
    """
    attribute, value = _asserted(settings, key)
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return f"(&{settings.filter}({attribute}={escape(value)}))"


def attributes(settings: LdapDirectory) -> list[str]:
    """The attributes that are needed of an entry, and no other."""
    wanted = (
        settings.login_attribute,
        settings.email_attribute,
        settings.disabled_attribute,
        settings.group_attribute,
    )
    return list(dict.fromkeys(attribute for attribute in wanted if attribute is not None))


def accounts(
    settings: LdapDirectory, key: LookupKey, entries: Iterable[Entry]
) -> tuple[Account, ...]:
    """The accounts of entries that were found. One without a login is none.

    Raises UnusableAnswerError for an entry that does not show what it was found by.
    """
    asked, _ = _asserted(settings, key)
    found: list[Account] = []
    for entry in entries:
        if not _values(entry, asked):
            raise UnusableAnswerError(
                f"what it finds by {asked} has no {asked}: may extauthz read it, under this name?"
            )
        login = _login(_texts(entry, settings.login_attribute), key)
        if login is not None:
            found.append(_account(settings, login, entry))
    return tuple(found)


def _account(settings: LdapDirectory, login: str, entry: Entry) -> Account:
    disabled, group = settings.disabled_attribute, settings.group_attribute
    return account(
        settings.kind,
        login,
        _texts(entry, settings.email_attribute),
        groups=() if group is None else _texts(entry, group),
        is_disabled=disabled is not None and _is_disabled(disabled, _values(entry, disabled)),
    )


def _asserted(settings: LdapDirectory, key: LookupKey) -> tuple[str, str]:
    """The attribute that is asked by, and the value that it must have."""
    if isinstance(key, ByLogin):
        return settings.login_attribute, key.login
    return settings.email_attribute, str(key.identity)


def _login(logins: Sequence[str], key: LookupKey) -> str | None:
    """Of an entry's logins the one that was asked by, as the directory writes it."""
    if isinstance(key, ByLogin):
        if key.login in logins:
            return key.login
        asked = key.login.translate(_LOWER)
        for login in logins:
            if login.translate(_LOWER) == asked:
                return login
    return logins[0] if logins else None


def _values(entry: Entry, attribute: str) -> list[bytes]:
    """The values of an attribute, those with options such as `;lang-en` too (RFC 4512 2.5.2)."""
    values: list[bytes] = []
    for description, some in entry.items():
        name, _, options = description.lower().partition(";")
        if name == attribute.lower():
            # Active Directory gives the first 1500 only. Who is in a group must not be half known.
            if options.startswith("range="):
                raise UnusableAnswerError(f"it gives the values of {attribute} in parts, not all")
            values += some
    return values


def _texts(entry: Entry, attribute: str) -> list[str]:
    """The values that are text in UTF-8; octets of another kind are no name of anything."""
    texts: list[str] = []
    for value in _values(entry, attribute):
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            continue
    return texts


def _is_disabled(attribute: str, values: Iterable[bytes]) -> bool:
    if attribute.lower() == "useraccountcontrol":
        return any(_has_bit(value) for value in values)
    return any(value.upper() not in {b"FALSE", b"0"} for value in values)


def _has_bit(value: bytes) -> bool:
    """What is no number may mean anything, and disables."""
    try:
        return bool(int(value) & ACCOUNTDISABLE)
    except ValueError:
        return True

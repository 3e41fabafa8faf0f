"""One entry of a file of accounts to one record, or to everything that is wrong with the entry.

YAML, CSV and JSON lines differ in how an entry is written; what it may say is stated here, once:

- a login, and one or several names as they stand in certificates, under the key of their kind
  (`email`, `upn`, `subject`, `san_uri`);
- `former`: names that hold until the end of a day (UTC), as `NAME: YYYY-MM-DD`;
- `unit`, a text; `role`, `manager` or `unit_manager`; `groups`, a list of texts;
- `disabled`, true or false.

No value is guessed: what is empty, of another type, or not known is a mistake.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from extauthz import days
from extauthz.accounts import Account, Former, Role
from extauthz.directory.mistakes import Mistakes, Problem, did_you_mean
from extauthz.directory.rows import KEY, Location, Row, Value
from extauthz.identity import Identity, IdentityKind, parse
from extauthz.quoting import quoted

__all__ = ["Record", "Records", "last_instant"]

MAX_TEXT = 1024
"""Longest login, unit or group, in characters."""
MAX_NAME = 8192
"""Longest name of a certificate, in characters."""
MAX_LISTED = 1000
"""Most names, former names or groups of one account."""
MAX_GOOD = 10_000
"""How many units and groups are remembered."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ROLES = tuple(role.value for role in Role)
_NOUNS = {
    IdentityKind.EMAIL: ("email address", "write it bare, like alice@acme.example"),
    IdentityKind.UPN: ("userPrincipalName", "write it like alice@acme.example"),
    IdentityKind.SUBJECT: ("distinguished name", "write it as RFC 4514 does: CN=Alice,O=Acme"),
    IdentityKind.SAN_URI: ("URI", "write it like spiffe://acme.example/alice"),
}


class Record(NamedTuple):
    """An entry without a mistake."""

    line: int
    login: str
    identities: tuple[Identity, ...]
    written: tuple[str, ...]
    """The texts that the identities were read from, in their order."""
    former: tuple[tuple[Identity, str, str], ...] = ()
    """Former names: the identity, its text, and the date until which it holds."""
    unit: str | None = None
    role: Role | None = None
    groups: tuple[str, ...] = ()
    is_disabled: bool = False

    def account(self) -> Account:
        """What the record says, without its place in the file."""
        return Account(
            self.login,
            self.identities,
            former=tuple(Former(identity, last_instant(day)) for identity, _, day in self.former),
            is_disabled=self.is_disabled,
            groups=frozenset(self.groups),
            unit=self.unit,
            role=self.role,
        )


def last_instant(day: str) -> datetime:
    """Until when a former name holds, by a day of a record: there it is one."""
    until = days.end_of_day(day)
    if until is None:
        message = f"{day!r} is no day"
        raise ValueError(message)
    return until


class Records:
    """Reads entries, one after another."""

    def __init__(self, kind: IdentityKind) -> None:
        self.kind = kind
        self.key = kind.value
        """Under which the names in certificates stand."""
        self.members = (self.key, "former", "unit", "role", "groups", "disabled")
        """What an entry may say besides its login."""
        self.mistakes = Mistakes()
        self._known = frozenset(self.members)
        self._good: set[str] = set()
        """Units and groups that are right: many accounts have the same."""

    def record(self, row: Row) -> Record | None:
        """The record of an entry; None, and mistakes, when anything in it is wrong."""
        before = self.mistakes.count
        members = row.members
        login = self._text(row, row.login, "login", "login", KEY)
        identities, written = self._names(row)
        if len(members) == 1 and identities:
            record = Record(row.line, login, identities, written)
        else:
            record = Record(
                row.line, login, identities, written,
                self._former(row) if "former" in members else (),
                self._unit(row) if "unit" in members else None,
                self._role(row) if "role" in members else None,
                self._groups(row) if "groups" in members else (),
                self._disabled(row) if "disabled" in members else False,
            )  # fmt: skip
            if not self._known.issuperset(members):
                self._refuse_unknown(row)
        return record if self.mistakes.count == before else None

    def wrong(self, row: Row, location: Location, message: str, remedy: str) -> None:
        """A mistake in an entry, at the place of what is wrong or of what that is part of."""
        if self.mistakes.is_full:
            self.mistakes.also(1)
            return
        at, places = location, row.places()
        while at and at not in places:
            at = at[:-1]
        place = places.get(at)
        if place is None:
            self.mistakes.add(Problem(message, remedy, row.line))
        else:
            self.mistakes.add(Problem(message, remedy, place.line, place.column))

    def _names(self, row: Row) -> tuple[tuple[Identity, ...], tuple[str, ...]]:
        key = self.key
        value = row.members.get(key)
        if isinstance(value, str):
            identity = self._identity(row, value, key)
            return ((), ()) if identity is None else ((identity,), (value,))
        if key not in row.members:
            noun, remedy = _NOUNS[self.kind]
            self.wrong(row, (), f"the key {key!r} is missing: the account has no {noun}", remedy)
            return (), ()
        if value == []:
            self.wrong(row, (key,), f"{key!r} is empty", "name at least one")
        found: dict[Identity, str] = {}
        for index, text in self._listed(row, value, key):
            identity = self._identity(row, text, key, index)
            if identity is not None:
                found.setdefault(identity, text)
        return tuple(found), tuple(found.values())

    def _former(self, row: Row) -> tuple[tuple[Identity, str, str], ...]:
        value = row.members["former"]
        if not isinstance(value, dict):
            remedy = "write each name with its last day, like old@acme.example: 2026-12-31"
            self.wrong(row, ("former",), "'former' should be a mapping", remedy)
            return ()
        if len(value) > MAX_LISTED:
            self._too_many(row, "former")
            return ()
        found: dict[Identity, tuple[Identity, str, str]] = {}
        for text, day in value.items():
            identity = self._identity(row, text, "former", text, KEY)
            if not _is_date(day):
                what = f"{quoted(text)} holds until {_shown(day)}, which is no date"
                self.wrong(row, ("former", text), what, "write it like 2026-12-31")
            elif identity in found:
                what = f"the former name {quoted(text)} stands twice"
                self.wrong(row, ("former", text, KEY), what, "keep one of the two")
            elif identity is not None:
                found[identity] = (identity, text, str(day))
        return tuple(found.values())

    def _unit(self, row: Row) -> str:
        value = row.members["unit"]
        if isinstance(value, str) and value in self._good:
            return value
        return self._remembered(self._text(row, value, "unit", "unit"))

    def _role(self, row: Row) -> Role | None:
        value = row.members["role"]
        if isinstance(value, str) and value in _ROLES:
            return Role(value)
        remedy = did_you_mean(value if isinstance(value, str) else "", _ROLES)
        self.wrong(row, ("role",), f"'role' cannot be {_shown(value)}", remedy)
        return None

    def _groups(self, row: Row) -> tuple[str, ...]:
        value = row.members["groups"]
        if not isinstance(value, list):
            remedy = "write it as a list, also for one group"
            self.wrong(row, ("groups",), f"'groups' cannot be {_shown(value)}", remedy)
            return ()
        texts = [text for text in value if isinstance(text, str)]
        if len(texts) == len(value) <= MAX_LISTED and self._good.issuperset(texts):
            return tuple(texts)
        listed = self._listed(row, value, "groups")
        groups = [self._text(row, text, "group", "groups", index) for index, text in listed]
        return tuple(self._remembered(group) for group in groups)

    def _disabled(self, row: Row) -> bool:
        value = row.members["disabled"]
        if not isinstance(value, bool):
            remedy = "write true or false, without quotes"
            self.wrong(row, ("disabled",), f"'disabled' cannot be {_shown(value)}", remedy)
        return value is True

    def _refuse_unknown(self, row: Row) -> None:
        for key in row.members:
            if key not in self.members:
                what, location = f"unknown key {quoted(key)}", (key, KEY)
                self.wrong(row, location, what, did_you_mean(key, self.members))

    def _identity(self, row: Row, text: str, *location: str | int) -> Identity | None:
        if len(text) > MAX_NAME:
            what = f"{quoted(text)} is longer than {MAX_NAME} characters"
            self.wrong(row, location, what, "check that it is the right value")
            return None
        identity = parse(self.kind, text)
        if identity is None:
            noun, remedy = _NOUNS[self.kind]
            self.wrong(row, location, f"{quoted(text)} is no {noun}", remedy)
        return identity

    def _listed(self, row: Row, value: Value, key: str) -> Iterator[tuple[int, str]]:
        """The texts of a list, each with its number."""
        if not isinstance(value, list):
            what = f"{key!r} cannot be {_shown(value)}"
            self.wrong(row, (key,), what, "write a text, in quotes where it looks like a number")
            return
        if len(value) > MAX_LISTED:
            self._too_many(row, key)
            return
        for index, item in enumerate(value):
            if isinstance(item, str):
                yield index, item
            else:
                what, remedy = f"{_shown(item)} is no text", "write it in quotes"
                self.wrong(row, (key, index), what, remedy)

    def _too_many(self, row: Row, key: str) -> None:
        remedy = "check that it is the right file"
        self.wrong(row, (key,), f"{key!r} has more than {MAX_LISTED} entries", remedy)

    def _remembered(self, text: str) -> str:
        if text and len(self._good) < MAX_GOOD:
            self._good.add(text)
        return text

    def _text(self, row: Row, value: Value, what: str, *location: str | int) -> str:
        """A text that can be read; anything else is a mistake."""
        if value is None and what == "login":
            remedy = "write the name with which the user logs in"
            self.wrong(row, location, "the login is missing", remedy)
        elif not isinstance(value, str):
            message = f"the {what} cannot be {_shown(value)}"
            self.wrong(row, location, message, "write a text, in quotes where it looks otherwise")
        elif not value:
            self.wrong(row, location, f"the {what} is empty", "write a value")
        elif len(value) > MAX_TEXT:
            message = f"the {what} {quoted(value)} is longer than {MAX_TEXT} characters"
            self.wrong(row, location, message, "check that it is the right value")
        elif not value.isprintable():
            message = f"the {what} {quoted(value)} has characters that nobody can see"
            self.wrong(row, location, message, "remove them")
        elif value[0] == " " or value[-1] == " ":
            message = f"the {what} {quoted(value)} has a blank at its beginning or end"
            self.wrong(row, location, message, "remove it")
        else:
            return value
        return ""


def _is_date(value: Value) -> bool:
    return isinstance(value, str) and days.end_of_day(value) is not None


def _shown(value: Value) -> str:
    """A value as it stands in the file, or its kind."""
    match value:
        case None:
            return "empty"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case _:
            return quoted(str(value))

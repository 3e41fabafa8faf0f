"""What the rows of a database say about accounts.

A row for each account, or for each of its names and groups. Whatever is not understood is an error
of the whole answer, and no part of it counts: a column of an unknown name, a value that is no text.
What `disabled` says is false, or the account is disabled: also when it is NULL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from extauthz.accounts import Account
from extauthz.directory.backend import UnusableAnswerError, account
from extauthz.identity import IdentityKind
from extauthz.quoting import quoted

__all__ = ["accounts"]

_ENABLED = (0, b"\x00", "0", "f", "false", "n", "no", "off")
"""Ways to say false: as a number, as BIT(1) of MySQL, as text that PostgreSQL reads as such."""


@dataclass(slots=True)
class _Rows:
    """What the rows of one login have said so far."""

    names: list[str] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    is_disabled: bool = False


def accounts(
    kind: IdentityKind, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> tuple[Account, ...]:
    """The accounts of an answer, in the order in which their logins come.

    Raises UnusableAnswerError.
    """
    places = _places(kind, columns)
    by_login: dict[str, _Rows] = {}
    for row in rows:
        cells = {meaning: row[place] for meaning, place in places.items()}
        login = _text(cells, "login")
        if not login:
            raise UnusableAnswerError("a row has no login")
        _add(by_login.setdefault(login, _Rows()), cells)
    return tuple(_account(kind, login, found) for login, found in by_login.items())


def _places(kind: IdentityKind, columns: Sequence[str]) -> dict[str, int]:
    """Where in a row stands what. Raises UnusableAnswerError."""
    meanings = {name: name for name in ("login", "identity", "disabled", "group", "unit")}
    meanings |= {kind.value: "identity", "groups": "group"}
    places: dict[str, int] = {}
    for place, column in enumerate(columns):
        meaning = meanings.get(column.lower())
        if meaning is None:
            known = ", ".join(meanings)
            raise UnusableAnswerError(f"the query has a column {quoted(column)}; there are {known}")
        if meaning in places:
            raise UnusableAnswerError(f"the query has two columns for {meaning}")
        places[meaning] = place
    for meaning in ("login", "identity"):
        if meaning not in places:
            raise UnusableAnswerError(f"the query has no column {meaning}")
    return places


def _add(rows: _Rows, cells: Mapping[str, object]) -> None:
    name, group, unit = (_text(cells, meaning) for meaning in ("identity", "group", "unit"))
    if name is not None:
        rows.names.append(name)
    if group is not None:
        rows.groups.add(group)
    if unit is not None:
        rows.units.add(unit)
    disabled = cells.get("disabled", False)
    said = disabled.strip().lower() if isinstance(disabled, str) else disabled
    rows.is_disabled = rows.is_disabled or said not in _ENABLED


def _text(cells: Mapping[str, object], meaning: str) -> str | None:
    value = cells.get(meaning)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UnusableAnswerError(
        f"the column {meaning} has {type(value).__name__} in it: CAST it to text"
    )


def _account(kind: IdentityKind, login: str, rows: _Rows) -> Account:
    if len(rows.units) > 1:
        raise UnusableAnswerError("the rows of one login name several units")
    return account(
        kind,
        login,
        rows.names,
        groups=rows.groups,
        is_disabled=rows.is_disabled,
        unit=next(iter(rows.units), None),
    )

"""The answer of a service that answers for its own users: JSON in, accounts out.

Read strictly: whatever the protocol does not provide for makes the whole answer unusable, for a
misspelt `disabled` that is passed over would let somebody in. An error says where, and repeats
nothing of the answer: logins stand in it.
"""

import difflib
import json
from collections.abc import Iterable
from typing import NoReturn, TypeAlias

from extauthz.accounts import Account
from extauthz.directory.backend import UnusableAnswerError, account
from extauthz.identity import IdentityKind

__all__ = ["MAX_ACCOUNTS", "MAX_OCTETS", "is_text", "read"]

MAX_ACCOUNTS = 1_000
"""How many people have one name; and more than enough for it."""
MAX_OCTETS = 1024 * 1024

Members: TypeAlias = dict[str, object]


def read(octets: bytes, kind: IdentityKind) -> tuple[Account, ...]:
    """The accounts of an answer. Raises UnusableAnswerError."""
    listed = _members(_parse(octets), "the answer", ["accounts"]).get("accounts")
    if not isinstance(listed, list):
        raise UnusableAnswerError("the answer has no list `accounts`")
    if len(listed) > MAX_ACCOUNTS:
        raise UnusableAnswerError(f"the answer has more than {MAX_ACCOUNTS} accounts")
    accounts = tuple(_account(each, f"accounts[{n}]", kind) for n, each in enumerate(listed))
    if len({each.login for each in accounts}) != len(accounts):
        raise UnusableAnswerError("the answer has two accounts with one login")
    return accounts


def is_text(value: str) -> bool:
    """Whether JSON can carry it unharmed: half a surrogate pair is no character (RFC 8259 8.2)."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _account(given: object, where: str, kind: IdentityKind) -> Account:
    members = _members(given, where, ["login", kind.value, "disabled", "groups", "unit"])
    login = _text(members.get("login"), f"{where}.login")
    if not login:
        raise UnusableAnswerError(f"{where}.login is empty")
    names = members.get(kind.value, [])
    is_disabled = members.get("disabled", False)
    if not isinstance(is_disabled, bool):
        raise UnusableAnswerError(f"{where}.disabled is neither true nor false")
    return account(
        kind,
        login,
        _texts([names] if isinstance(names, str) else names, f"{where}.{kind.value}"),
        is_disabled=is_disabled,
        groups=_texts(members.get("groups", []), f"{where}.groups"),
        unit=_text(members["unit"], f"{where}.unit") if "unit" in members else None,
    )


def _members(given: object, where: str, known: list[str]) -> Members:
    if not isinstance(given, dict):
        raise UnusableAnswerError(f"{where} is not an object")
    for name in given:
        if name not in known:
            # Only a name that we know is repeated: the other may be anything.
            close = difflib.get_close_matches(name[:40], known, n=1)
            hint = f"meant as {close[0]}?" if close else f"known are {', '.join(known)}"
            raise UnusableAnswerError(f"{where} has an unknown member ({hint})")
    return given


def _texts(given: object, where: str) -> list[str]:
    if not isinstance(given, list):
        raise UnusableAnswerError(f"{where} is not a list of text")
    return [_text(each, f"{where}[{n}]") for n, each in enumerate(given)]


def _text(given: object, where: str) -> str:
    if not isinstance(given, str) or not is_text(given):
        raise UnusableAnswerError(f"{where} is not text")
    return given


def _parse(octets: bytes) -> object:
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusableAnswerError("the answer is not UTF-8") from error
    try:
        parsed: object = json.loads(
            text, object_pairs_hook=_unambiguous, parse_constant=_refuse_constant
        )
    # Too deep, or a number with more digits than Python reads.
    except (ValueError, RecursionError) as error:
        raise UnusableAnswerError("the answer is not JSON") from error
    return parsed


def _unambiguous(pairs: Iterable[tuple[str, object]]) -> Members:
    members: Members = {}
    for name, value in pairs:
        if name in members:
            raise UnusableAnswerError("an object of the answer has two members with one name")
        members[name] = value
    return members


def _refuse_constant(_: str) -> NoReturn:
    """NaN and Infinity, which Python would read."""
    message = "not of JSON"
    raise ValueError(message)

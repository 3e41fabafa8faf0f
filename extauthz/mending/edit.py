"""What is asked for, and what an account is to be afterwards. Pure: no file and no clock.

`plan` turns a request into an `Edit`, which says what is to be written in the record of one
account, whatever the format of the file; `intended` says what the file must then be read as.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import TypeAlias

from extauthz.accounts import Account, Former
from extauthz.days import year_after
from extauthz.identity import Identity, IdentityKind, parse
from extauthz.mending.outcome import RefusedError
from extauthz.mending.permission import why_not_see
from extauthz.quoting import quoted

__all__ = ["Edit", "Request", "SetDisabled", "SetName", "intended", "plan"]


@dataclass(frozen=True, slots=True)
class SetName:
    """Give an account another name in certificates: an email, or what the subscription goes by."""

    new: str
    replaces: str | None = None
    """The one name whose place it takes; None for all of them."""
    keep_old_until: date | None = None
    """The last day, UTC, on which what it replaces goes on to hold."""
    is_shared: bool = False
    """Whether another account may have the name as well."""


@dataclass(frozen=True, slots=True)
class SetDisabled:
    """Refuse the user of an account, or no longer."""

    value: bool


Request: TypeAlias = SetName | SetDisabled


@dataclass(frozen=True, slots=True)
class Edit:
    """What is to be written in the record of one account."""

    login: str
    kind: IdentityKind
    name: str | None = None
    """A name that the account is to have, as it is to be written; None to leave names alone."""
    removed: frozenset[Identity] = frozenset()
    """The names whose place it takes."""
    keep_until: date | None = None
    """The last day of these; None for names that end at once."""
    disabled: bool | None = None
    """None to leave it as it is."""

    @property
    def identity(self) -> Identity | None:
        """The name as it is compared."""
        return None if self.name is None else parse(self.kind, self.name)

    def removes(self, written: str) -> bool:
        """Whether a name, as it stands in the file, is one of those that go."""
        return parse(self.kind, written) in self.removed

    def names(self, written: Sequence[str]) -> list[str]:
        """The names of an account after the edit, from those that stand in the file."""
        if self.name is None:
            return list(written)
        identity = self.identity
        is_there = any(parse(self.kind, text) == identity for text in written)
        names: list[str] = []
        for text in written:
            if not self.removes(text):
                names.append(text)
            elif not is_there:
                names.append(self.name)
                is_there = True
        return names if is_there else [*names, self.name]

    def former(self, written: Sequence[str], former: Mapping[str, str]) -> dict[str, str]:
        """The former names and their last days after the edit; `written` are the names before."""
        gone = self.removed | {self.identity}
        kept = {text: day for text, day in former.items() if parse(self.kind, text) not in gone}
        if self.keep_until is not None:
            day = self.keep_until.isoformat()
            kept |= {text: day for text in written if self.removes(text)}
        return kept


def plan(  # noqa: PLR0913 (what a request is held against)
    request: Request,
    account: Account,
    others: Iterable[Account],
    kind: IdentityKind,
    now: datetime,
    *,
    actor: Account,
) -> Edit | None:
    """What is to be written; None where there is nothing to do. Raises RefusedError.

    `actor` is told of the other accounts what that one may see.
    """
    if isinstance(request, SetDisabled):
        if account.is_disabled == request.value:
            return None
        return Edit(account.login, kind, disabled=request.value)
    new = _parsed(request.new, kind)
    _refuse_day(request.keep_old_until, now.date())
    removed = frozenset(_replaced(request, account, kind)) - {new}
    if not removed and new in account.identities:
        return None
    if not request.is_shared:
        _refuse_taken(request.new, new, others, now, actor)
    return Edit(account.login, kind, request.new, removed, request.keep_old_until)


def intended(account: Account, edit: Edit) -> Account:
    """The account as it must be read once the edit is made."""
    if edit.disabled is not None:
        account = replace(account, is_disabled=edit.disabled)
    new = edit.identity
    if new is None:
        return account
    names = tuple(name for name in account.identities if name not in edit.removed)
    former = {each.identity: each.until for each in account.former}
    gone = {*edit.removed, new}
    kept = {identity: until for identity, until in former.items() if identity not in gone}
    if edit.keep_until is not None:
        end = datetime.combine(edit.keep_until, time.max, UTC)
        kept |= dict.fromkeys((name for name in account.identities if name in edit.removed), end)
    return replace(
        account,
        identities=names if new in names else (*names, new),
        former=tuple(Former(identity, until) for identity, until in kept.items()),
    )


def _parsed(text: str, kind: IdentityKind) -> Identity:
    identity = parse(kind, text)
    if identity is None:
        raise RefusedError(f"{quoted(text)} is not {_KINDS[kind]}")
    return identity


_KINDS: Mapping[IdentityKind, str] = {
    IdentityKind.EMAIL: "an email address: write one plain address like alice@example.com",
    IdentityKind.UPN: "a userPrincipalName: write it like alice@corp.example.com",
    IdentityKind.SUBJECT: "a distinguished name: write it like 'CN=Alice,O=Acme'",
    IdentityKind.SAN_URI: "a URI: write it like spiffe://acme.example/alice",
}


def _replaced(request: SetName, account: Account, kind: IdentityKind) -> Iterable[Identity]:
    if request.replaces is None:
        return account.identities
    old = _parsed(request.replaces, kind)
    if old not in account.identities:
        raise RefusedError(f"{quoted(account.login)} has no {kind} {quoted(request.replaces)}")
    return (old,)


def _refuse_day(until: date | None, today: date) -> None:
    if until is not None and until < today:
        raise RefusedError(f"{until} is over: old names can hold from today on, {today} (UTC)")
    if until is not None and until > year_after(today):
        raise RefusedError(f"{until} is more than a year ahead: name a day within a year")


def _refuse_taken(
    written: str, new: Identity, others: Iterable[Account], now: datetime, actor: Account
) -> None:
    for other in others:
        until = other.holds_until(frozenset({new}))
        if until is not None and until >= now:
            is_seen = why_not_see(actor, other) is None
            who = quoted(other.login) if is_seen else "another account"
            message = f"{quoted(written)} is the name of {who}, too"
            raise RefusedError(f"{message}: with --shared both have it")


def same(one: Account, other: Account) -> bool:
    """Whether two accounts mean the same: the order of names makes no difference."""
    return _unordered(one) == _unordered(other)


def _unordered(account: Account) -> tuple[object, ...]:
    return (
        replace(account, identities=(), former=()),
        frozenset(account.identities),
        frozenset(account.former),
    )

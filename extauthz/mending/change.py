"""A change of one account, from the request to the file: all of it, or none.

In this order: lock, read, ask whether it may be, edit, write beside, read that again and compare,
tell the audit file, replace. Whatever fails before the last step leaves everything as it was.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from extauthz.accounts import Account
from extauthz.files import stamp
from extauthz.mending import permission
from extauthz.mending.audit import Audit, AuditError, os_user
from extauthz.mending.edit import Edit, Request, SetDisabled, intended, plan, same
from extauthz.mending.lock import locked
from extauthz.mending.outcome import FailedError, MendingError, RefusedError
from extauthz.mending.places import Book, Place, find
from extauthz.mending.replace import beside, take_place
from extauthz.quoting import quoted

__all__ = ["Changed", "Order", "as_json", "carry_out", "look"]


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants what, of which accounts."""

    policy: Path
    subscription: str
    acting: str
    """Login of the account on whose authority it is done."""
    command: str
    """What the operator calls it."""
    login: str | None
    """The account in question; None for all of them."""
    audit: Path | None = None
    """The audit file; None for the one beside the edited file."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What came of a change."""

    before: Account
    after: Account
    """The same as before when there was nothing to do."""
    file: Path


def look(order: Order) -> list[Account]:
    """The accounts that are asked for. Raises MendingError."""
    with _undisturbed():
        place = find(order.policy, order.subscription)
        book = place.read()
    try:
        actor = _actor(book, order)
        _refuse(permission.why_not_look(actor))
        if order.login is None:
            seen = book.accounts.values()
            return [one for one in seen if permission.why_not_see(actor, one) is None]
        account = _account(book, order.login, actor)
        _refuse(permission.why_not_see(actor, account))
    except RefusedError as error:
        with Audit.opened(_audit_path(order, place), place.file) as audit:
            audit.write(_line(order, place) | {"result": "refused", "why": str(error)})
        raise
    return [account]


def carry_out(order: Order, request: Request) -> Changed:
    """Change an account. Raises MendingError."""
    with _undisturbed():
        return _carry_out(order, request)


def as_json(account: Account) -> dict[str, object]:
    """An account as JSON shows it."""
    return {
        "login": account.login,
        "names": [str(identity) for identity in account.identities],
        "former": {str(each.identity): f"{each.until:%Y-%m-%d}" for each in account.former},
        "unit": account.unit,
        "role": account.role,
        "groups": sorted(account.groups),
        "disabled": account.is_disabled,
    }


def _carry_out(order: Order, request: Request) -> Changed:
    place = find(order.policy, order.subscription)
    # The file itself is locked besides: another command may have another audit file.
    with (
        Audit.opened(_audit_path(order, place), place.file) as audit,
        _told(audit, order, place) as line,
        locked(place.file, os.O_RDONLY),
    ):
        book = place.read()
        account, edit = _decided(book, place, order, request, line)
        if edit is None:
            return Changed(account, account, place.file)
        after = intended(account, edit)
        line["after"] = as_json(after)
        text = place.edited(book, edit)
        with beside(place.file, text.encode(), place.ending) as written:
            _check(book, place, written, after)
            if stamp(place.file) != book.stamp:
                raise FailedError(
                    f"{place.file} was changed meanwhile by another program: try again"
                )
            audit.write(line | {"result": "done"})
            take_place(written, place.file)
        return Changed(account, after, place.file)


def _decided(
    book: Book, place: Place, order: Order, request: Request, line: dict[str, object]
) -> tuple[Account, Edit | None]:
    """The account, and what is to be written in it. Raises RefusedError."""
    actor = _actor(book, order)
    _refuse(permission.why_not_look(actor))
    account = _account(book, order.login or "", actor)
    if isinstance(request, SetDisabled) and request.value:
        _refuse(permission.why_not_disable(actor, account))
    _refuse(permission.why_not_mend(actor, account))
    line["before"] = as_json(account)
    others = (other for other in book.accounts.values() if other is not account)
    edit = plan(request, account, others, place.kind, datetime.now(UTC), actor=actor)
    return account, edit


def _actor(book: Book, order: Order) -> Account:
    actor = book.accounts.get(order.acting)
    if actor is None:
        who, where = quoted(order.acting), quoted(order.subscription)
        raise RefusedError(f"{who}, who is said to be acting, is no account of {where}")
    return actor


def _account(book: Book, login: str, actor: Account) -> Account:
    if (account := book.accounts.get(login)) is None:
        raise RefusedError(permission.no_account(actor, login))
    return account


def _refuse(why: str | None) -> None:
    if why is not None:
        raise RefusedError(why)


def _check(before: Book, place: Place, written: Path, wanted: Account) -> None:
    """See that the one account would be as it should be, and everything else as it was."""
    login = wanted.login
    message = f"the entry of {quoted(login)} is written in a way that cannot be changed safely"
    try:
        after = place.read_again(written)
    except FailedError as error:
        raise FailedError(f"{message}, change it in the file: {error}") from error
    if (
        list(before.accounts) != list(after.accounts)
        or before.rest != after.rest
        or not same(after.accounts[login], wanted)
        or any(
            account != after.accounts[name]
            for name, account in before.accounts.items()
            if name != login
        )
    ):
        raise FailedError(f"{message}: change it in the file")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the collector of cyclic garbage away: it would double the time for a large file."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _told(audit: Audit, order: Order, place: Place) -> Iterator[dict[str, object]]:
    """The line for the audit file, which is written with the reason when there is an error."""
    line = _line(order, place)
    try:
        yield line
    except AuditError:
        raise
    except MendingError as error:
        result = "refused" if isinstance(error, RefusedError) else "failed"
        audit.write(line | {"result": result, "why": str(error)})
        raise


def _line(order: Order, place: Place) -> dict[str, object]:
    return {
        "time": datetime.now(UTC).isoformat(),
        "as": order.acting,
        "os_user": os_user(),
        "subscription": order.subscription,
        "file": str(place.file),
        "command": order.command,
        "login": order.login,
        "before": None,
        "after": None,
        "result": None,
        "why": None,
    }


def _audit_path(order: Order, place: Place) -> Path:
    return order.audit or place.file.with_name(f"{place.file.name}.audit.jsonl")

"""What another policy would change, for a terminal: as `terminal` shows the report."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from extauthz.findings import Reason
from extauthz.report.hint import explain
from extauthz.report.terminal import MAX_ROWS, plain
from extauthz.report.what_if_model import Change, Changed, SubscriptionChange, WhatIf

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["show"]

MAX_SENTENCES: Final = 2000
"""Characters of what is ours, but for names in it."""
_TITLES: Final = {
    Change.REFUSED: "Pass today, and would be refused",
    Change.ADMITTED: "Are refused today, and would pass",
    Change.FAILING: "Are let pass, and would fail: `enforce` would refuse them",
    Change.MENDED: "Are let pass, and would fail no more",
    Change.OTHER_REASONS: "Fail either way, for other reasons",
}
_HEADS: Final = {
    Change.REFUSED: "Would be\nrefused",
    Change.ADMITTED: "Would\npass",
    Change.FAILING: "Would\nfail",
    Change.MENDED: "No longer\nfail",
    Change.OTHER_REASONS: "Other\nreasons",
}
_FALL_AWAY: Final = (Change.ADMITTED, Change.MENDED)
"""Changes in which something is found no more."""


def show(what_if: WhatIf, out: "Console", logs: Sequence[str] = ()) -> None:
    """Show all of it; `logs` are where `explain` is to look."""
    from rich.rule import Rule  # noqa: PLC0415 (an extra)

    out.print(Rule("What if another policy were in force?", align="left"))
    out.print(plain(f"Policy: {what_if.policy}", longest=MAX_SENTENCES))
    verdict = f"{what_if.verdict[:1].upper()}{what_if.verdict[1:]}."
    out.print(plain(verdict, "bold", MAX_SENTENCES))
    out.print()
    out.print(_subscriptions(what_if))
    for total in what_if.totals:
        if total.checks:
            counts = f"{_count(total.checks, 'check')}, {_count(total.callers, 'caller')}"
            out.print()
            out.print(plain(f"{_TITLES[total.change]}: {counts}", "bold"))
            out.print(_reasons(what_if, total.change))
            out.print()
            _callers([each for each in what_if.changes if each.change is total.change], out, logs)
    if what_if.left_out:
        more = _count(what_if.left_out, "more check")
        out.print(plain(f"Changes of {more} are counted, not listed."))
    if what_if.not_replayed:
        out.print()
        out.print(plain("Not known, because it cannot be decided anew", "bold"))
        out.print(_not_replayed(what_if))
    for note in what_if.notes:
        out.print()
        out.print(plain("Note: ").append_text(plain(note, longest=MAX_SENTENCES)))


def _subscriptions(what_if: WhatIf) -> "Table":
    shown = [total.change for total in what_if.totals if total.checks]
    table = _table(
        "Subscription", "New mode", ">Checks", *(f">{_HEADS[each]}" for each in shown),
        ">Not\nknown",
    )  # fmt: skip
    for each in sorted(what_if.subscriptions, key=_is_the_same)[:MAX_ROWS]:
        counts = [total.checks for total in each.totals if total.change in shown]
        numbers = (each.checks, *counts, each.checks - each.replayed)
        table.add_row(_name(each.name), each.mode or "-", *(f"{count:,}" for count in numbers))
    if len(what_if.subscriptions) > MAX_ROWS:
        table.add_row(f"… and {len(what_if.subscriptions) - MAX_ROWS:,} more")
    return table


def _is_the_same(subscription: SubscriptionChange) -> bool:
    return not any(total.checks for total in subscription.totals)


def _reasons(what_if: WhatIf, change: Change) -> "Table":
    found = [each for each in what_if.reasons if each.change is change]
    falls_away = change in _FALL_AWAY
    table = _table(
        "Found no more" if falls_away else "Found, and what mends it", ">Checks", ">Callers",
        "Subscription",
    )  # fmt: skip
    told: set[Reason] = set()
    for each in found[:MAX_ROWS]:
        reason = plain(each.reason, "bold")
        # Of several subscriptions, once.
        if not falls_away and each.reason not in told:
            reason.append("\n").append(each.remedy, "not bold")
        told.add(each.reason)
        name = _name(each.subscription)
        table.add_row(reason, f"{each.checks:,}", f"{each.callers:,}", name)
    return table


def _callers(changes: Sequence[Changed], out: "Console", logs: Sequence[str]) -> None:
    """Who, why and with what: lines and no columns, so that ids stay in one piece."""
    from rich.padding import Padding  # noqa: PLC0415 (an extra)

    for number, each in enumerate(changes[:MAX_ROWS], 1):
        who = plain(f"{number:3}. ").append_text(plain(each.caller.name, "bold"))
        known = "" if each.caller.is_known else ", without a name"
        out.print(who.append(f"  ({each.caller.kind}{known})"))
        for line in _lines(each):
            out.print(Padding(plain(line), (0, 0, 0, 5)))
        if each.request_ids:
            command = explain(each.request_ids[0], logs)
            out.print(Padding(plain(command, longest=MAX_SENTENCES), (0, 0, 0, 5)))
    if len(changes) > MAX_ROWS:
        out.print(plain(f"… and {len(changes) - MAX_ROWS:,} more: see --json"))


def _lines(changed: Changed) -> Iterator[str]:
    before, after = _names(changed.before), _names(changed.after)
    found = before if before == after else f"{before} → {after}"
    seen = f"{_moment(changed.first_seen)} to {_moment(changed.last_seen)} UTC"
    yield f"{found}: {_count(changed.checks, 'check')}, {seen}"
    if changed.detail is not None:
        yield changed.detail
    if changed.exemption is not None:
        is_lost = changed.change not in _FALL_AWAY
        yield f"{'passed' if is_lost else 'would pass'} by the exemption {changed.exemption}"
    if not changed.goes_on:
        yield "not at the last check: mended since"
    yield changed.user_agent or "no user agent"
    if changed.recorded_subscription != changed.subscription:
        was, would_be = _name(changed.recorded_subscription), _name(changed.subscription)
        yield f"of {was}, and would be of {would_be}"


def _not_replayed(what_if: WhatIf) -> "Table":
    table = _table("Why, and what to do", ">Checks", ">Callers", "Seen (UTC)")
    for each in what_if.not_replayed:
        why = plain(each.meaning, "bold").append("\n").append(each.remedy, "not bold")
        seen = f"{_moment(each.first_seen)}\n{_moment(each.last_seen)}"
        table.add_row(why, f"{each.checks:,}", f"{each.callers:,}", seen)
    return table


def _table(*columns: str) -> "Table":
    """A table; a column that begins with `>` has numbers."""
    from rich import box  # noqa: PLC0415 (an extra)
    from rich.table import Table  # noqa: PLC0415 (an extra)

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        is_number = column.startswith(">")
        table.add_column(
            column.lstrip(">"),
            justify="right" if is_number else "left",
            no_wrap=is_number or "UTC" in column,
            overflow="fold",
        )
    return table


def _name(subscription: str | None) -> str:
    return str(plain(subscription or "(no subscription)"))


def _names(reasons: Sequence[Reason]) -> str:
    return ", ".join(reasons) or "nothing found"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"

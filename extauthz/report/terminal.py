"""The report for a terminal: tables that fit 80 columns, and that a pipe gets as they are.

Nothing is said by colour alone. What clients, certificates and files say is escaped, so that it
can neither steer the terminal nor be taken for markup: it goes through `plain`, always.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING, Final

from extauthz.quoting import printable
from extauthz.report.hint import explain
from extauthz.report.model import (
    Completeness,
    ExemptionUse,
    Expiring,
    Fate,
    Readiness,
    Refused,
    Report,
    SubscriptionReport,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = ["console", "plain", "show"]

MAX_ROWS: Final = 20
"""Rows of a table; JSON, CSV and page have all of them."""
MAX_SUBSCRIPTIONS: Final = 50
"""How many subscriptions that are ready are shown whole, or named."""
MAX_TEXT: Final = 240
"""Characters of a client's text."""
MAX_COMMAND: Final = 4000
"""Characters of a command with names of files: cut, it could not be run."""
FEW: Final = 5
"""Rows of those who are not known, and names that stand for more."""
MAX_NAME: Final = 60
"""Characters of a name that is an address and a user agent, which comes below again."""
NARROWEST: Final = 60
_SIGNS: Final = {Readiness.READY: "+", Readiness.NOT_READY: "!", Readiness.NO_DATA: "?"}
_TITLES: Final = {
    Fate.REFUSED: "Who is refused",
    Fate.WOULD_BE: "Who would be refused",
    Fate.BOTH: "Who is refused, and who would be",
}
_STYLES: Final = {
    Readiness.READY: "bold green",
    Readiness.NOT_READY: "bold red",
    Readiness.NO_DATA: "bold yellow",
}


def console(file: IO[str]) -> "Console":
    """Where to show it. What is no terminal gets 80 columns, or what COLUMNS says."""
    from rich.console import Console  # noqa: PLC0415 (an extra)

    shown = Console(file=file, markup=False, highlight=False, emoji=False)
    shown.width = max(shown.width, NARROWEST)
    return shown


def plain(text: str | None, style: str = "", longest: int = MAX_TEXT) -> "Text":
    """Text that is only ever read; a dash for none."""
    from rich.text import Text  # noqa: PLC0415 (an extra)

    if text is None:
        return Text("-", style)
    return Text(printable(text if len(text) <= longest else text[:longest] + "…"), style)


def show(report: Report, out: "Console", logs: Sequence[str] = ()) -> None:
    """Show all of it; `logs` are where `explain` is to look."""
    by_need = sorted(
        report.subscriptions, key=lambda each: each.readiness is not Readiness.NOT_READY
    )
    for subscription in by_need[:MAX_SUBSCRIPTIONS]:
        _subscription(subscription, report, out, logs)
    _summary(report, out)
    _completeness(report.completeness, out)


def _subscription(
    subscription: SubscriptionReport, report: Report, out: "Console", logs: Sequence[str]
) -> None:
    from rich.rule import Rule  # noqa: PLC0415 (an extra)

    word = f"[{_SIGNS[subscription.readiness]}] {subscription.readiness.upper()}"
    # The word first: of a title that is too long, the end is cut.
    title = plain(f"{word}  ", _STYLES[subscription.readiness])
    title.append_text(plain(subscription.name or "(hosts of no subscription)", "not bold"))
    out.print(Rule(title, align="left"))
    out.print(plain(f"{subscription.verdict}."[:1].upper() + f"{subscription.verdict}."[1:]))
    if subscription.first_seen is not None and subscription.last_seen is not None:
        out.print(plain(_facts(subscription)))
    out.print()
    _refused(subscription, out, logs)
    _reasons(subscription, out)
    _signing(subscription, out)
    _expiring(subscription.expiring, report, out)
    _exemptions(subscription.exemptions, out)
    _absent(subscription, out)


def _facts(subscription: SubscriptionReport) -> str:
    modes = ", then ".join(subscription.modes) or "none"
    facts = [
        f"{_moment(subscription.first_seen)} to {_moment(subscription.last_seen)} UTC",
        f"mode: {modes}",
        f"people: {subscription.people:,}",
        f"integrations: {subscription.integrations:,}",
    ]
    if subscription.unnamed:
        facts.append(f"callers without a name: {subscription.unnamed:,}")
    if subscription.unchecked and subscription.checks:
        facts.append(f"not checked (mode: off): {subscription.unchecked:,}")
    return "; ".join(facts)


def _refused(subscription: SubscriptionReport, out: "Console", logs: Sequence[str]) -> None:
    """Who, why, with what and from where: lines and no columns, so that ids stay in one piece."""
    if not subscription.refused:
        return
    from rich.padding import Padding  # noqa: PLC0415 (an extra)

    fate = subscription.fate
    out.print(plain(f"{_TITLES[fate]}, by user agent; known callers first", "bold"))
    known = [each for each in subscription.refused if each.caller.is_known]
    unnamed = [each for each in subscription.refused if not each.caller.is_known]
    shown = [*known[:MAX_ROWS], *unnamed[:FEW]]
    for number, each in enumerate(shown, 1):
        out.print(_who(number, each, fate))
        for text in _how(each):
            out.print(Padding(text, (0, 0, 0, 5)))
        if each.request_id is not None:
            command = plain(explain(each.request_id, logs), longest=MAX_COMMAND)
            out.print(Padding(command, (0, 0, 0, 5)))
    _more(len(subscription.refused) - len(shown) + subscription.unlisted, out)


def _who(number: int, each: Refused, fate: Fate) -> "Text":
    who = plain(f"{number:3}. ")
    name = each.caller.name if each.caller.is_known else each.caller.name[:MAX_NAME]
    who.append_text(plain(name, "bold"))
    known = "" if each.caller.is_known else ", without a name"
    told = ""
    if fate is Fate.BOTH:
        told = ", refused" if each.is_refused else ", would be"
    who.append(f"  ({each.caller.kind}{known}{told})")
    return who


def _how(each: Refused) -> Iterator["Text"]:
    checks = "1 check" if each.checks == 1 else f"{each.checks:,} checks"
    seen = f"{checks}, {_moment(each.first_seen)} to {_moment(each.last_seen)} UTC"
    yield plain(f"{', '.join(each.reasons)}: {seen}")
    if each.detail is not None:
        yield plain(each.detail)
    yield plain(_from(each))


def _from(refused: Refused) -> str:
    addresses = ", ".join(refused.clients) or "an address that is not in the log"
    return f"{refused.user_agent or 'no user agent'}, from {addresses}"


def _reasons(subscription: SubscriptionReport, out: "Console") -> None:
    if not subscription.reasons:
        return
    table = _table(
        "What was found, and what mends it", "Reason", ">Checks", ">Callers", "Seen (UTC)"
    )
    for each in subscription.reasons:
        reason = plain(each.reason, "bold")
        reason.append("\n").append(each.remedy, "not bold")
        seen = f"{_moment(each.first_seen)}\n{_moment(each.last_seen)}"
        table.add_row(reason, f"{each.checks:,}", f"{each.callers:,}", seen)
    out.print(table)
    out.print()


def _signing(subscription: SubscriptionReport, out: "Console") -> None:
    if not subscription.signing:
        return
    table = _table(
        "Signing certificates: who still uses which", "File", ">Checks", "Who", "Last (UTC)"
    )
    for each in subscription.signing[:MAX_ROWS]:
        label = plain(each.label, "bold").append("\n")
        label.append_text(plain(f"{each.sha256[:16]}…", "not bold"))
        who = plain(f"{each.callers:,}: {', '.join(each.names)}" if each.callers else "nobody now")
        if each.callers > len(each.names) > 0:
            who.append(", …")
        table.add_row(label, f"{each.checks:,}", who, _moment(each.last_seen))
    out.print(table)
    _more(len(subscription.signing) - MAX_ROWS, out)


def _expiring(expiring: Sequence[Expiring], report: Report, out: "Console") -> None:
    if not expiring:
        return
    title = f"Certificates in use that expire within {report.expiring_within_days} days"
    table = _table(title, "Whose", "Subject", "Ends (UTC)")
    for each in expiring[:MAX_ROWS]:
        end = _moment(each.not_after)
        if each.not_after < report.made_at:
            end += "\nexpired"
        who = plain(_some(each.callers, each.unlisted), "bold")
        table.add_row(who, plain(each.subject), end)
    out.print(table)
    _more(len(expiring) - MAX_ROWS, out)


def _exemptions(exemptions: Sequence[ExemptionUse], out: "Console") -> None:
    if not exemptions:
        return
    table = _table("Exemptions", "Exemption", ">Checks", "Who", "Last (UTC)", "Until")
    for each in exemptions[:MAX_ROWS]:
        name = plain(each.name, "bold")
        if each.reason is not None:
            name.append("\n").append_text(plain(each.reason, "not bold"))
        who = plain(_some(each.callers, each.unlisted) if each.checks else "nobody: not used")
        until = "?" if each.until is None else f"{each.until:%Y-%m-%d}"
        table.add_row(name, f"{each.checks:,}", who, _moment(each.last_seen), until)
    out.print(table)
    _more(len(exemptions) - MAX_ROWS, out)


def _absent(subscription: SubscriptionReport, out: "Console") -> None:
    if not subscription.absent:
        return
    out.print(plain("Accounts that never came", "bold"))
    out.print(plain(_some(subscription.absent, subscription.absent_unlisted)))
    out.print()


def _summary(report: Report, out: "Console") -> None:
    """A line for each subscription, where there are several."""
    if len(report.subscriptions) < 2:  # noqa: PLR2004 (it has been said)
        return
    table = _table("All subscriptions", "Subscription", "Ready?", "Verdict")
    for each in report.subscriptions[:MAX_SUBSCRIPTIONS]:
        name = plain(each.name or "(hosts of no subscription)", "bold")
        word = f"[{_SIGNS[each.readiness]}] {each.readiness}"
        table.add_row(name, plain(word, _STYLES[each.readiness]), plain(each.verdict))
    out.print(table)
    _more(len(report.subscriptions) - MAX_SUBSCRIPTIONS, out)


def _completeness(read: Completeness, out: "Console") -> None:
    files = "1 file" if read.files == 1 else f"{read.files:,} files"
    lines = "1 line" if read.lines == 1 else f"{read.lines:,} lines"
    said = f"Read {lines} of {files}."
    if read.unreadable:
        be = "is" if read.unreadable == 1 else "are"
        said += f" {read.unreadable:,} could not be read and {be} not in these numbers."
    if read.other_schema:
        said += f" Of a schema that this version does not know: {read.other_schema:,}."
    if read.dropped:
        said += f" The server could not write {read.dropped:,} more, by its own word."
    out.print(plain(said))
    for name in read.damaged[:MAX_ROWS]:
        out.print(plain(f"Damaged: {name}"))


def _table(title: str, *columns: str) -> "Table":
    """A table; a column that begins with `>` has numbers."""
    from rich import box  # noqa: PLC0415 (an extra)
    from rich.table import Table  # noqa: PLC0415 (an extra)

    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        show_edge=False, pad_edge=False, expand=False,
    )  # fmt: skip
    for column in columns:
        is_number, is_moment = column.startswith(">"), "UTC" in column or column == "Until"
        table.add_column(
            column.lstrip(">"),
            justify="right" if is_number else "left",
            no_wrap=is_number or is_moment,
            overflow="fold",
        )
    return table


def _more(count: int, out: "Console") -> None:
    if count > 0:
        out.print(plain(f"… and {count:,} more: see --json, --csv or --html"))
    out.print()


def _some(names: Sequence[str], unlisted: int) -> str:
    """A few names, and of how many."""
    few = ", ".join(names[:FEW]) or "-"
    total = len(names) + unlisted
    return few if total <= FEW else f"{few}, … ({total:,})"


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"

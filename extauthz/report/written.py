"""The report for machines: JSON as the values are, and CSV with one file for each kind of row.

A cell of CSV that a spreadsheet would take for a formula begins with an apostrophe, since callers'
names and user agents are other people's text. Where a comma is in numbers, spreadsheets part cells
at semicolons: so does what follows one.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import orjson

from extauthz.report.model import Report, SubscriptionReport
from extauthz.report.what_if_model import WhatIf

__all__ = ["SCHEMA", "TABLES", "as_csv", "as_json", "changes_as_csv", "write_csv"]

SCHEMA: Final = 1
"""Version of the JSON's shape: the fields of `model`, by their names."""
MAIN: Final = "refused"
"""The table that goes to standard output."""

_FORMULA: Final = (
    "=+@|%\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}-"
)
"""With what a formula begins, in some spreadsheet."""
_DANGEROUS: Final = re.compile(rf'(^|;)(?=[\s";]*[{_FORMULA}])')
"""Before a formula at the begin of a cell, whichever separator parts them; of quotes, a reader may
make nothing."""
_BETWEEN: Final = " | "
"""Between values of one cell: names may have blanks and commas."""
CHANGES: Final = (
    "subscription", "change", "caller", "kind", "is_known", "before", "after", "detail",
    "exemption", "checks", "first_seen", "last_seen", "goes_on", "user_agent",
    "recorded_subscription", "request_ids",
)  # fmt: skip
"""Headings of what another policy would change."""

Cells: TypeAlias = Iterable[object]


def as_json(report: Report, what_if: WhatIf | None = None) -> bytes:
    """The report, and what `--what-if` made, if anything."""
    members: dict[str, object] = {"schema": SCHEMA, "report": report}
    if what_if is not None:
        members["what_if"] = what_if
    return orjson.dumps(members, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z) + b"\n"


def as_csv(report: Report, table: str = MAIN) -> str:
    """One of `TABLES`, with a line of headings. The first column is the subscription."""
    headings, rows = TABLES[table]
    cells = ((each.name, *row) for each in report.subscriptions for row in rows(each))
    return _lines(("subscription", *headings), cells)


def changes_as_csv(what_if: WhatIf) -> str:
    """What another policy would change, by caller and user agent, with a line of headings."""
    cells = (
        (
            each.subscription, each.change, each.caller.name, each.caller.kind,
            each.caller.is_known, each.before, each.after, each.detail, each.exemption,
            each.checks, each.first_seen, each.last_seen, each.goes_on, each.user_agent,
            each.recorded_subscription, each.request_ids,
        )
        for each in what_if.changes
    )  # fmt: skip
    return _lines(CHANGES, cells)


def write_csv(report: Report, what_if: WhatIf | None, directory: Path) -> None:
    """Every table, each in its file. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    written = {table: as_csv(report, table) for table in TABLES}
    if what_if is not None:
        written["what_if"] = changes_as_csv(what_if)
    for table, text in written.items():
        path = directory / f"{table}.csv"
        # With a mark (BOM), by which spreadsheets know that it is UTF-8.
        path.write_text(text, encoding="utf-8-sig", newline="")


def _lines(headings: Iterable[str], rows: Iterable[Cells]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(headings)
    writer.writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date() | bool() | int():
            return str(value)
        case tuple():
            return _harmless(_BETWEEN.join(map(str, value)))
        case _:
            return _harmless(str(value))


def _harmless(text: str) -> str:
    """Text that no spreadsheet computes, on one line."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return _DANGEROUS.sub(r"\1'", line)


def _subscriptions(subscription: SubscriptionReport) -> Iterator[Cells]:
    yield (
        subscription.readiness, subscription.verdict, subscription.modes, subscription.checks,
        subscription.passed, subscription.exempt, subscription.unchecked, subscription.people,
        subscription.breaking_people, subscription.integrations,
        subscription.breaking_integrations, subscription.unnamed, subscription.breaking_unnamed,
        subscription.first_seen, subscription.last_seen, subscription.unlisted,
        None if subscription.absent is None
        else len(subscription.absent) + subscription.absent_unlisted,
    )  # fmt: skip


def _refused(subscription: SubscriptionReport) -> Iterator[Cells]:
    for each in subscription.refused:
        yield (
            each.caller.name, each.caller.kind, each.caller.is_known, each.reasons, each.detail,
            each.checks, each.first_seen, each.last_seen, each.user_agent, each.clients,
            each.request_id, each.is_refused, subscription.unlisted,
        )  # fmt: skip


def _reasons(subscription: SubscriptionReport) -> Iterator[Cells]:
    for each in subscription.reasons:
        yield (
            each.reason, each.checks, each.callers, each.first_seen, each.last_seen, each.remedy,
        )  # fmt: skip


def _signing(subscription: SubscriptionReport) -> Iterator[Cells]:
    for each in subscription.signing:
        yield each.label, each.sha256, each.checks, each.callers, each.names, each.last_seen


def _expiring(subscription: SubscriptionReport) -> Iterator[Cells]:
    for each in subscription.expiring:
        yield (
            each.subject, each.sha256, each.not_after, each.callers, each.last_seen, each.unlisted,
        )  # fmt: skip


def _exemptions(subscription: SubscriptionReport) -> Iterator[Cells]:
    for each in subscription.exemptions:
        yield (
            each.name, each.reason, each.until, each.checks, each.callers, each.last_seen,
            each.unlisted,
        )  # fmt: skip


def _periods(subscription: SubscriptionReport) -> Iterator[Cells]:
    for each in subscription.periods:
        yield each.begin, each.passed, each.failed, each.exempt


def _absent(subscription: SubscriptionReport) -> Iterator[Cells]:
    for login in subscription.absent or ():
        yield login, subscription.absent_unlisted


Table: TypeAlias = tuple[tuple[str, ...], Callable[[SubscriptionReport], Iterable[Cells]]]

TABLES: Final[Mapping[str, Table]] = MappingProxyType({
    "subscriptions": ((
        "readiness", "verdict", "modes", "checks", "passed", "exempt", "unchecked", "people",
        "breaking_people", "integrations", "breaking_integrations", "unnamed",
        "breaking_unnamed", "first_seen", "last_seen", "unlisted", "absent",
    ), _subscriptions),
    MAIN: ((
        "caller", "kind", "is_known", "reasons", "detail", "checks", "first_seen", "last_seen",
        "user_agent", "clients", "request_id", "is_refused", "unlisted",
    ), _refused),
    "reasons": (("reason", "checks", "callers", "first_seen", "last_seen", "remedy"), _reasons),
    "signing": (("label", "sha256", "checks", "callers", "names", "last_seen"), _signing),
    "expiring": (
        ("subject", "sha256", "not_after", "callers", "last_seen", "unlisted"), _expiring,
    ),
    "exemptions": (
        ("exemption", "reason", "until", "checks", "callers", "last_seen", "unlisted"), _exemptions,
    ),
    "absent": (("login", "unlisted"), _absent),
    "periods": (("begin", "passed", "failed", "exempt"), _periods),
})  # fmt: skip
"""Headings and rows of each."""

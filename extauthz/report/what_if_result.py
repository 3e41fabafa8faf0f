"""The tables of a replay, counted, as the plain values that are shown."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from extauthz.findings import Reason
from extauthz.policy import Policy
from extauthz.records.user_agent import CallerKind
from extauthz.remedies import REMEDIES
from extauthz.report.callers import AGENT, KIND
from extauthz.report.cells import Row, integer, text, texts
from extauthz.report.model import Caller
from extauthz.report.what_if_model import (
    MEANINGS,
    Change,
    Changed,
    NotReplayed,
    ReasonTotal,
    SubscriptionChange,
    Total,
    Unknown,
    WhatIf,
)
from extauthz.report.what_if_replay import instant
from extauthz.report.what_if_tables import Tables

__all__ = ["MAX_CHANGES", "result"]

MAX_CHANGES: Final = 10_000
"""How many changes are listed, of all kinds together."""
FEW: Final = 3
"""How many request ids stand for all."""

_ORDER: Final = f"list_position({[str(change) for change in Change]!r}, change)"
_DECIDED_BY: Final = (
    f"CASE WHEN change IN ('{Change.ADMITTED}', '{Change.MENDED}') THEN before ELSE after END"
)
_WITH_LAST: Final = f"""
    (SELECT *, {AGENT} AS agent, change IS NOT NULL
        AND last = max(last) OVER (PARTITION BY target, caller, agent) AS goes_on
    FROM what_if.changed)"""  # noqa: S608 (our own text)
_TOTALS: Final = f"""
    SELECT target, change, unknown IS NOT NULL, sum(checks), count(DISTINCT caller),
        count(DISTINCT caller) FILTER (goes_on), grouping(target) = 1
    FROM {_WITH_LAST} GROUP BY GROUPING SETS (
        (target, change, unknown IS NOT NULL), (change, unknown IS NOT NULL))"""  # noqa: S608
_REASONS: Final = f"""
    SELECT change, target, reason, sum(checks), count(DISTINCT caller)
    FROM (SELECT *, unnest(string_split({_DECIDED_BY}, ',')) AS reason FROM what_if.changed
        WHERE change IS NOT NULL)
    GROUP BY change, target, reason
    ORDER BY {_ORDER}, sum(checks) DESC, target, reason"""  # noqa: S608 (our own text)
_CHANGES: Final = f"""
    SELECT change, target, subscription, caller, is_known,
        {KIND} AS kind,
        arg_max(user_agent, last), before, after, arg_max(detail, last), exemption,
        sum(checks), min(first), max(last), bool_or(goes_on),
        list_slice(flatten(list(request_ids ORDER BY last DESC)), 1, {FEW})
    FROM {_WITH_LAST} WHERE change IS NOT NULL
    GROUP BY change, target, subscription, caller, is_known, kind, agent, before, after, exemption
    ORDER BY {_ORDER}, NOT is_known, NOT bool_or(goes_on), sum(checks) DESC, caller,
        max(last) DESC
    LIMIT {MAX_CHANGES}"""  # noqa: S608
_NOT_REPLAYED: Final = f"""
    SELECT unknown, sum(checks), count(DISTINCT caller), min(first), max(last),
        list_slice(flatten(list(request_ids ORDER BY last DESC)), 1, {FEW})
    FROM what_if.changed WHERE unknown IS NOT NULL GROUP BY unknown ORDER BY sum(checks) DESC"""  # noqa: S608


@dataclass
class _Counts:
    checks: int = 0
    unknown: int = 0
    totals: dict[Change, Total] = field(default_factory=dict)

    def every_total(self) -> tuple[Total, ...]:
        return tuple(self.totals.get(change, Total(change, 0, 0, 0)) for change in Change)


def result(tables: Tables, policy: Policy, name: str, notes: tuple[str, ...]) -> WhatIf:
    """Everything that a replay found; `name` is that of the policy's file."""
    totals, by_name = _totals(tables)
    subscriptions = tuple(
        SubscriptionChange(
            name=of,
            mode=None if of is None else str(policy.subscriptions[of].mode),
            checks=counts.checks,
            replayed=counts.checks - counts.unknown,
            totals=counts.every_total(),
        )
        for of, counts in sorted(by_name.items(), key=lambda each: (each[0] is None, each[0]))
    )
    checks = sum(each.checks for each in subscriptions)
    replayed = sum(each.replayed for each in subscriptions)
    changes = tuple(map(_changed, tables.rows(_CHANGES, "Comparing")))
    listed = sum(each.checks for each in changes)
    return WhatIf(
        # JSON cannot carry the octets of a name that are no UTF-8.
        policy=name.encode("utf-8", "backslashreplace").decode(),
        checks=checks,
        replayed=replayed,
        verdict=_verdict({each.change: each for each in totals}, checks, replayed),
        totals=totals,
        subscriptions=subscriptions,
        reasons=tuple(map(_reason, tables.rows(_REASONS, "Comparing"))),
        changes=changes,
        left_out=sum(each.checks for each in totals) - listed,
        not_replayed=tuple(map(_not_replayed, tables.rows(_NOT_REPLAYED, "Comparing"))),
        notes=notes,
    )


def _totals(tables: Tables) -> tuple[tuple[Total, ...], dict[str | None, _Counts]]:
    """Of all checks, and by subscription."""
    every, by_name = _Counts(), defaultdict[str | None, _Counts](_Counts)
    for target, change, is_unknown, checks, callers, going_on, is_sum in tables.rows(
        _TOTALS, "Comparing"
    ):
        counts = every if is_sum else by_name[text(target)]
        counts.checks += integer(checks)
        counts.unknown += integer(checks) if is_unknown else 0
        if change is not None:
            of = Change(str(change))
            counts.totals[of] = Total(of, integer(checks), integer(callers), integer(going_on))
    return every.every_total(), by_name


def _verdict(totals: Mapping[Change, Total], checks: int, replayed: int) -> str:
    """What one wants to know first, in a sentence or two: whether this is an answer at all."""
    every = f"{checks:,} check{'' if checks == 1 else 's'}"
    changes = any(each.checks for each in totals.values())
    if replayed == checks:
        return _changes(totals, f" of {every}") if changes else f"nothing would change for {every}"
    said = f"{checks - replayed:,} of {every} cannot be decided anew"
    if not replayed:
        return said
    if changes:
        return f"{said}. Of the rest, {_changes(totals)}"
    return f"{said}. Nothing would change for the rest"


def _changes(totals: Mapping[Change, Total], of: str = "") -> str:
    refused, admitted = totals[Change.REFUSED], totals[Change.ADMITTED]
    failing, mended = totals[Change.FAILING], totals[Change.MENDED]
    said = f"none{of} would be refused that passes today"
    if refused.checks:
        passing = "passes" if refused.checks == 1 else "pass"
        said = f"{refused.checks:,}{of} would be refused that {passing} today{_by(refused)}"
    said += f"; {admitted.checks:,} would pass that {_are(admitted)} refused today{_by(admitted)}"
    if failing.checks:
        said += f". {failing.checks:,} more would fail, and be let pass all the same{_by(failing)}"
    if mended.checks:
        said += f". {mended.checks:,} that {_are(mended)} let pass would fail no more{_by(mended)}"
    return said


def _are(total: Total) -> str:
    return "is" if total.checks == 1 else "are"


def _by(total: Total) -> str:
    if not total.checks:
        return ""
    said = f", by {total.callers:,} caller{'' if total.callers == 1 else 's'}"
    if total.going_on < total.callers:
        said += f" ({total.going_on:,} at the last check)"
    return said


def _changed(row: Row) -> Changed:
    (
        change, target, recorded, caller, is_known, kind, user_agent, before, after, detail,
        exemption, checks, first, last, goes_on, request_ids,
    ) = row  # fmt: skip
    return Changed(
        change=Change(str(change)),
        subscription=text(target),
        recorded_subscription=text(recorded),
        caller=Caller(str(caller), CallerKind(str(kind)), bool(is_known)),
        user_agent=text(user_agent),
        before=_reasons(before),
        after=_reasons(after),
        detail=text(detail),
        exemption=text(exemption),
        checks=integer(checks),
        first_seen=instant(integer(first)),
        last_seen=instant(integer(last)),
        goes_on=bool(goes_on),
        request_ids=texts(request_ids),
    )


def _reason(row: Row) -> ReasonTotal:
    change, target, written, checks, callers = row
    reason = Reason(str(written))
    return ReasonTotal(
        Change(str(change)), text(target), reason, integer(checks), integer(callers),
        REMEDIES[reason].remedy,
    )  # fmt: skip


def _not_replayed(row: Row) -> NotReplayed:
    why, checks, callers, first, last, request_ids = row
    unknown = Unknown(str(why))
    meaning = MEANINGS[unknown]
    return NotReplayed(
        unknown, integer(checks), integer(callers), instant(integer(first)),
        instant(integer(last)), texts(request_ids), meaning.meaning, meaning.remedy,
    )  # fmt: skip


def _reasons(written: object) -> tuple[Reason, ...]:
    return tuple(Reason(each) for each in str(written or "").split(",") if each)

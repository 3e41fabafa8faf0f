"""How much came to each subscription, how it went, and in which modes: two questions to the tables.

A way in, or a caller, is refused or would be by its own last check, and not by the mode of whoever
came last: users whom `certificate_required_for` leaves out are let pass beside others who are not.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from extauthz.policy import Mode
from extauthz.records.user_agent import CallerKind
from extauthz.report.cells import Row, aware, integer, text, texts
from extauthz.report.model import PARTLY
from extauthz.report.verdict import REGULAR, Tally

__all__ = ["IS_REFUSED", "tallies"]

IS_REFUSED: Final = f"breaks AND last_mode IS DISTINCT FROM '{Mode.AUDIT}'"
"""Of a way in: it would break, and it was refused at last. No mode is no subscription."""
_IS_LEFT_OUT: Final = f"last_mode = '{Mode.AUDIT}' AND last_own_mode = '{Mode.ENFORCE}'"
"""Of a way in: no certificate was demanded of it at last, as it was of others."""

_TALLIES = """
    SELECT subscription,
        sum(n) FILTER (is_checked), sum(n) FILTER (is_checked AND NOT failed),
        sum(n) FILTER (is_checked AND exempt), sum(n) FILTER (NOT is_checked),
        epoch_us(max(last_time) FILTER (is_checked))
            - epoch_us(min(first_time) FILTER (is_checked)),
        min(first_time), max(last_time),
        list_transform(
            list_sort(list(DISTINCT row(mode_until, own_mode)) FILTER (own_mode IS NOT NULL)),
            lambda each: each[2]
        )
    FROM (
        SELECT *, mode IS DISTINCT FROM 'off' AS is_checked,
            max(last_time) OVER (PARTITION BY subscription, own_mode) AS mode_until
        FROM hours
    )
    GROUP BY subscription"""

_CALLERS = f"""
    WITH callers AS (
        SELECT subscription, caller, kind, is_known, bool_or(breaks) AS breaks,
            count(*) FILTER (breaks) AS broken_ways, bool_or({IS_REFUSED}) AS is_refused,
            bool_or({_IS_LEFT_OUT}) AS is_left_out,
            bool_or(breaks AND last_mode IS DISTINCT FROM 'enforce')
                AND max(last_time) - min(first_time)
                    >= to_seconds({REGULAR.total_seconds()}) AS is_regular
        FROM ways GROUP BY ALL
    )
    SELECT subscription,
        count(*) FILTER (is_known AND kind = '{CallerKind.PERSON}'),
        count(*) FILTER (is_known AND kind = '{CallerKind.INTEGRATION}'),
        count(*) FILTER (NOT is_known),
        count(*) FILTER (breaks AND is_known AND kind = '{CallerKind.PERSON}'),
        count(*) FILTER (breaks AND is_known AND kind = '{CallerKind.INTEGRATION}'),
        count(*) FILTER (breaks AND NOT is_known),
        count(*) FILTER (is_refused AND is_known AND kind = '{CallerKind.PERSON}'),
        count(*) FILTER (is_refused AND is_known AND kind = '{CallerKind.INTEGRATION}'),
        count(*) FILTER (is_refused AND NOT is_known),
        count(*) FILTER (is_regular AND NOT is_known),
        sum(broken_ways), bool_or(is_left_out)
    FROM callers GROUP BY subscription"""  # noqa: S608 (our own text, here and below)


def tallies(rows: Callable[[str], list[Row]]) -> dict[str | None, Tally]:
    """What came, for every subscription to which anything came; `rows` asks."""
    callers = {text(row[0]): row[1:] for row in rows(_CALLERS)}
    found = {}
    for row in rows(_TALLIES):
        name, (first, last, modes) = text(row[0]), row[6:]
        checks, passed, exempt, unchecked, lasted = map(integer, row[1:6])
        *counts, is_partly = callers.get(name, (False,))
        found[name] = Tally(
            name, checks, passed, exempt, unchecked, aware(first), aware(last),
            timedelta(microseconds=lasted),
            tuple(PARTLY if is_partly and each == Mode.ENFORCE else each
                  for each in texts(modes)),
            *map(integer, counts),
        )  # fmt: skip
    return found

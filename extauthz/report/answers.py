"""The report's answers, each one question to the tables that `callers.gather` makes.

A row becomes a value of `model` here, at once: no row travels further than the function that
asked for it. Rows come back by subscription, since there may be thousands of those.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from extauthz.findings import Reason
from extauthz.records.user_agent import CallerKind
from extauthz.remedies import REMEDIES
from extauthz.report.cells import Row, aware, integer, text, texts
from extauthz.report.model import (
    Caller,
    Completeness,
    ExemptionUse,
    Expiring,
    Period,
    ReasonCount,
    Refused,
    SigningUse,
)
from extauthz.report.source import LineKind, Source, timestamp
from extauthz.report.tallies import IS_REFUSED, tallies
from extauthz.report.verdict import Tally

__all__ = ["MOST", "Answers", "Name"]

Name: TypeAlias = str | None
"""Of a subscription; None for hosts of none."""
T = TypeVar("T")

DOING = "Working out the report"
FEW: Final = 5
"""How many names or addresses stand for all of them."""
MANY: Final = 1000
"""How many names are told where all of them are wanted; and how many ways in of callers that are
not known a subscription's report lists."""
MOST: Final = 10_000
"""How many of callers that are."""
_HOURLY: Final = timedelta(days=3)
"""Up to this long, periods are hours; beyond, they are days."""
_MAX_PERIODS: Final = 3660
"""Beyond, periods in which nobody came are left out: a single line may have a foolish time."""
_NAMES = "SELECT DISTINCT subscription, caller FROM ways WHERE is_known"

_PERIODS = """
    SELECT subscription, hour, sum(n) FILTER (NOT failed), sum(n) FILTER (failed),
        sum(n) FILTER (exempt)
    FROM hours WHERE mode IS DISTINCT FROM 'off' GROUP BY ALL"""

_REASONS = """
    SELECT subscription, reason, sum(n) AS total, count(DISTINCT row(caller, kind)),
        min(first_time), max(last_time)
    FROM (
        SELECT *, unnest(list_distinct(string_split(reasons, ' '))) AS reason FROM checks
        WHERE decision = 'deny'
    )
    GROUP BY subscription, reason ORDER BY total DESC, reason"""

_REFUSED = f"""
    WITH broken AS (
        SELECT *, row_number() OVER (
            PARTITION BY subscription, is_known ORDER BY failed DESC, last_failed DESC, caller
        ) AS place
        FROM ways WHERE breaks
    ),
    listed AS (SELECT * FROM broken WHERE place <= if(is_known, {MOST}, {MANY})),
    addresses AS (
        SELECT subscription, caller, kind, agent,
            list(client ORDER BY total DESC, client) AS clients
        FROM (
            SELECT subscription, caller, kind, agent, client, sum(n) AS total
            FROM checks WHERE decision = 'deny' AND client IS NOT NULL GROUP BY ALL
        )
        GROUP BY ALL
    )
    SELECT listed.subscription, listed.caller, listed.kind, is_known, last[1], last[2], failed,
        first_failed, last_failed, last[3], clients[:{FEW}], last[4], {IS_REFUSED}
    FROM listed LEFT JOIN addresses ON addresses.caller = listed.caller
        AND addresses.kind = listed.kind AND addresses.agent = listed.agent
        AND addresses.subscription IS NOT DISTINCT FROM listed.subscription
    ORDER BY is_known DESC, failed DESC, last_failed DESC, listed.caller, listed.agent"""  # noqa: S608

_SIGNING = f"""
    WITH
    passed AS (SELECT * FROM checks WHERE decision = 'allow' AND signing IS NOT NULL),
    used AS (
        SELECT subscription, signing, arg_max(label, last_time) AS label, sum(n) AS total,
            max(last_time) AS last_time
        FROM passed GROUP BY subscription, signing
    ),
    lately AS (
        SELECT subscription, caller, kind, arg_max(signing, last_time) AS signing,
            max(last_time) AS last_time
        FROM passed GROUP BY subscription, caller, kind, agent
    ),
    users AS (
        SELECT subscription, signing, count(DISTINCT row(caller, kind)) AS callers,
            list(caller ORDER BY last_time DESC, caller) FILTER (is_last) AS names
        FROM (
            SELECT *, row_number() OVER (
                PARTITION BY subscription, signing, caller ORDER BY last_time DESC
            ) = 1 AS is_last
            FROM lately
        )
        GROUP BY subscription, signing
    )
    SELECT used.subscription, label, used.signing, total, callers,
        names[:{FEW}], last_time
    FROM used LEFT JOIN users ON users.signing = used.signing
        AND users.subscription IS NOT DISTINCT FROM used.subscription
    ORDER BY total DESC, used.signing"""  # noqa: S608

_EXPIRING = f"""
    SELECT subscription, any_value(came_with[2]), came_with[1], any_value(came_with[3]),
        list_sort(list(DISTINCT caller))[:{MANY}], max(came_with[4]), count(DISTINCT caller)
    FROM ways WHERE NOT breaks AND came_with[3] < {{before}}
    GROUP BY subscription, came_with[1] ORDER BY any_value(came_with[3]), came_with[1]"""  # noqa: S608

_EXEMPTIONS = f"""
    SELECT subscription, exempt, sum(n), list_sort(list(DISTINCT caller))[:{MANY}], max(last_time),
        count(DISTINCT caller)
    FROM checks WHERE exempt IS NOT NULL GROUP BY subscription, exempt ORDER BY exempt"""  # noqa: S608


class Answers:
    """Asks. Each method is one question, to be asked after `callers.gather`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def completeness(self) -> Completeness:
        """How much of the log could be read."""
        rows = self._source.rows(
            "SELECT what, sum(n), sum(dropped) FROM seen WHERE NOT is_by_hour GROUP BY what", DOING
        )
        lines = {what: integer(n) for what, n, _ in rows}
        lost, other = self._source.lost, lines.get(LineKind.OTHER_SCHEMA, 0)
        return Completeness(
            files=len(self._source.files),
            lines=sum(lines.values()) + lost,
            unreadable=lines.get(None, 0) + other + lost,
            dropped=sum(integer(dropped) for *_, dropped in rows),
            other_schema=other,
            damaged=self._source.damaged,
        )

    def tallies(self) -> dict[Name, Tally]:
        """What came, for every subscription to which anything came."""
        return tallies(self._rows)

    def callers(self) -> dict[Name, frozenset[str]]:
        """The names of those who are known, by subscription."""
        found = _by_name(self._rows(_NAMES), lambda row: str(row[0]))
        return {name: frozenset(callers) for name, callers in found.items()}

    def periods(self) -> dict[Name, tuple[Period, ...]]:
        """What came when, in hours or days without a gap."""
        rows = self._rows(_PERIODS)
        moments = [aware(row[1]) for row in rows]
        is_hourly = bool(moments) and max(moments) - min(moments) <= _HOURLY
        step = timedelta(hours=1) if is_hourly else timedelta(days=1)
        found: dict[Name, dict[datetime, list[int]]] = defaultdict(dict)
        for row, moment in zip(rows, moments, strict=True):
            begin = moment if is_hourly else moment.replace(hour=0)
            counts = found[_name(row)].setdefault(begin, [0, 0, 0])
            for place, count in enumerate(row[2:]):
                counts[place] += integer(count)
        return {name: tuple(_without_gaps(by_time, step)) for name, by_time in found.items()}

    def reasons(self) -> dict[Name, tuple[ReasonCount, ...]]:
        """What was found, the most frequent first."""
        return _by_name(self._rows(_REASONS), _reason_count)

    def refused(self) -> dict[Name, tuple[Refused, ...]]:
        """Who would be refused, known callers first; the busiest, where they are many."""
        return _by_name(self._rows(_REFUSED), _refused)

    def signing(self) -> dict[Name, tuple[SigningUse, ...]]:
        """Signing certificates in use, the most used first."""
        return _by_name(self._rows(_SIGNING), _signing_use)

    def expiring(self, before: datetime) -> dict[Name, tuple[Expiring, ...]]:
        """Certificates that their callers use to the last, and that end before (aware)."""
        return _by_name(self._rows(_EXPIRING.format(before=timestamp(before))), _expiring)

    def exemptions(self) -> dict[Name, tuple[ExemptionUse, ...]]:
        """Exemptions that were used, by name."""
        return _by_name(self._rows(_EXEMPTIONS), _exemption_use)

    def _rows(self, sql: str) -> list[Row]:
        return self._source.rows(sql, DOING)


def _reason_count(row: Row) -> ReasonCount:
    reason, checks, callers, first, last = row
    of = Reason(str(reason))
    remedy = REMEDIES[of].remedy
    return ReasonCount(of, integer(checks), integer(callers), aware(first), aware(last), remedy)


def _refused(row: Row) -> Refused:
    caller, kind, is_known, reasons, detail, failed, *rest = row
    first, last, agent, clients, request_id, is_refused = rest
    return Refused(
        caller=Caller(str(caller), CallerKind(str(kind)), bool(is_known)),
        reasons=tuple(Reason(reason) for reason in dict.fromkeys(str(reasons).split())),
        detail=text(detail),
        checks=integer(failed),
        first_seen=aware(first),
        last_seen=aware(last),
        user_agent=text(agent),
        clients=texts(clients),
        request_id=text(request_id),
        is_refused=bool(is_refused),
    )


def _signing_use(row: Row) -> SigningUse:
    label, sha256, checks, callers, names, last = row
    return SigningUse(
        str(label or ""), str(sha256), integer(checks), integer(callers), texts(names), aware(last)
    )


def _expiring(row: Row) -> Expiring:
    subject, sha256, not_after, names, last, callers = row
    of, listed = str(subject or ""), texts(names)
    unlisted = integer(callers) - len(listed)
    return Expiring(of, str(sha256), aware(not_after), listed, aware(last), unlisted)


def _exemption_use(row: Row) -> ExemptionUse:
    name, checks, names, last, callers = row
    listed = texts(names)
    unlisted = integer(callers) - len(listed)
    return ExemptionUse(str(name), None, None, integer(checks), listed, aware(last), unlisted)


def _without_gaps(by_time: Mapping[datetime, Sequence[int]], step: timedelta) -> Iterator[Period]:
    begins = sorted(by_time)
    if (begins[-1] - begins[0]) / step <= _MAX_PERIODS:
        count = round((begins[-1] - begins[0]) / step) + 1
        begins = [begins[0] + number * step for number in range(count)]
    for begin in begins:
        passed, failed, exempt = by_time.get(begin, (0, 0, 0))
        yield Period(begin, passed, failed, exempt)


def _by_name(rows: Iterable[Row], made: Callable[[Row], T]) -> dict[Name, tuple[T, ...]]:
    """Rows that begin with the subscription, as values."""
    found: dict[Name, list[T]] = defaultdict(list)
    for row in rows:
        found[_name(row)].append(made(row[1:]))
    return {name: tuple(values) for name, values in found.items()}


def _name(row: Row) -> Name:
    return text(row[0])

"""What the overview says: how things stand, and how many checks there were."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from extauthz import charts
from extauthz.admin.endings import Endings, endings
from extauthz.admin.observed import Observed
from extauthz.admin.pacing import Pace
from extauthz.admin.standing import Level, Notice, notices
from extauthz.admin.tallies import HOURS, MINUTES, Counts, Tally
from extauthz.charts import Kind, Series
from extauthz.policy import Subscription

__all__ = ["MAX_NOTICES", "PAGE", "Chart", "Overview", "Row", "chart_of", "overview", "total"]

MAX_NOTICES = 50
"""Notices that one page shows."""
PAGE = 100
"""Subscriptions that one page shows."""
MAX_HOSTS = 3


@dataclass(frozen=True, slots=True)
class Chart:
    """Checks over time: a drawing, and its numbers."""

    title: str
    svg: str
    rows: Sequence[tuple[datetime, Counts]]
    """Each moment in which there were checks, the latest first."""


@dataclass(frozen=True, slots=True)
class Row:
    """A subscription in the list of them."""

    subscription: Subscription
    hosts: Sequence[str]
    more_hosts: int
    counts: Counts
    """Of the last 24 hours."""
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    now: datetime
    notices: Sequence[Notice]
    more_notices: int
    bad: int
    """How many notices there are that are bad."""
    last_hour: Chart
    last_day: Chart
    day: Counts
    rows: Sequence[Row]
    subscriptions: int
    """That are asked for, on all pages."""
    of: int
    """All of the policy."""
    page: int
    pages: int
    nobodys: Counts
    """Checks for hosts of no subscription."""
    others: Counts
    """Checks of subscriptions that are not counted one by one."""
    endings: Endings


def overview(observed: Observed, now: datetime, asked: str, page: int) -> Overview:
    """The overview as of `now`, with a page of the subscriptions whose name or host has a text."""
    pace = Pace()
    found = sorted(
        notices(observed, now, pace), key=lambda each: (each.level is not Level.BAD, each.text)
    )
    tallies = observed.history.tallies
    hours, minutes = _added(tallies.every(), now, pace)
    subscriptions: list[Subscription] = []
    snapshot = observed.live.snapshot
    every = () if snapshot is None else snapshot.policy.subscriptions.values()
    needle = asked.strip().lower()
    for subscription in every:
        pace()
        if needle in subscription.name.lower() or any(needle in h for h in subscription.hosts):
            subscriptions.append(subscription)
    subscriptions.sort(key=lambda each: each.name)
    pages = max(1, -(-len(subscriptions) // PAGE))
    page = min(max(page, 1), pages)
    shown = subscriptions[(page - 1) * PAGE : page * PAGE]
    nobodys = tallies.of(None)
    return Overview(
        now=now,
        notices=found[:MAX_NOTICES],
        more_notices=max(0, len(found) - MAX_NOTICES),
        bad=sum(each.level is Level.BAD for each in found),
        last_hour=chart_of("Checks of the last hour, by the minute", minutes, now, minute=True),
        last_day=chart_of("Checks of the last 24 hours, by the hour", hours, now, minute=False),
        day=total(hours),
        rows=[_row(each, tallies.of(each.name), now, pace) for each in shown],
        subscriptions=len(subscriptions),
        of=len(every),
        page=page,
        pages=pages,
        nobodys=Counts() if nobodys is None else total(nobodys.hours(now)),
        others=total(tallies.others.hours(now)),
        endings=endings(observed, now, pace),
    )


def total(counts: Iterable[Counts]) -> Counts:
    """All of them together."""
    return Counts(*map(sum, zip(Counts(), *counts, strict=True)))


def chart_of(title: str, counts: Sequence[Counts], now: datetime, *, minute: bool) -> Chart:
    """Counts of successive minutes or hours, the one of `now` last, as a chart."""
    step = timedelta(minutes=1) if minute else timedelta(hours=1)
    last = now.replace(second=0, microsecond=0) if minute else _hour(now)
    moments = [last - step * back for back in range(len(counts) - 1, -1, -1)]
    series = [
        Series("passed", [each.passed for each in counts], Kind.PASSED),
        Series("tolerated", [each.tolerated for each in counts], Kind.TOLERATED),
        Series("failed", [each.failed for each in counts], Kind.FAILED),
    ]
    svg = charts.columns(title, [f"{moment:%H:%M}" for moment in moments], series)
    rows = [each for each in zip(moments, counts, strict=True) if each[1].checks]
    return Chart(title, svg, rows[::-1])


def _hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)


def _added(
    tallies: Sequence[Tally], now: datetime, pace: Callable[[], None]
) -> tuple[list[Counts], list[Counts]]:
    """Checks of all subscriptions: by the hour, and by the minute."""
    hours, minutes = [Counts()] * HOURS, [Counts()] * MINUTES
    for tally in tallies:
        pace()
        if tally.last_seen is None or now - tally.last_seen > timedelta(hours=HOURS):
            continue
        hours = [total(pair) for pair in zip(hours, tally.hours(now), strict=True)]
        if now - tally.last_seen <= timedelta(minutes=MINUTES):
            minutes = [total(pair) for pair in zip(minutes, tally.minutes(now), strict=True)]
    return hours, minutes


def _row(
    subscription: Subscription, tally: Tally | None, now: datetime, pace: Callable[[], None]
) -> Row:
    pace()
    hosts = subscription.hosts
    return Row(
        subscription,
        hosts[:MAX_HOSTS],
        max(0, len(hosts) - MAX_HOSTS),
        Counts() if tally is None else total(tally.hours(now)),
        None if tally is None else tally.last_seen,
    )

"""The report as one HTML file that can be sent to somebody who has never seen the program.

The file brings all it needs: it asks for nothing, runs nothing, and says so in its policy (CSP),
which knows its one stylesheet by its hash. Every value is other people's text: `_shown` makes each
readable and short and Jinja escapes it, without the templates having to remember. Long tables are
cut, and say so; JSON and CSV are whole.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from extauthz import charts
from extauthz.charts import Kind, Series
from extauthz.quoting import printable
from extauthz.remedies import REMEDIES
from extauthz.report.model import PARTLY, Fate, Period, Readiness, Report, SubscriptionReport
from extauthz.report.what_if_model import WhatIf

__all__ = ["MAX_ROWS", "MAX_SUBSCRIPTIONS", "page"]

MAX_ROWS: Final = 100
"""Rows of a table, but for the one of the time chart's numbers."""
MAX_PERIODS: Final = 1_000
MAX_SUBSCRIPTIONS: Final = 100
MAX_TEXT: Final = 500
"""Longest text of one value, in characters."""
_UNKNOWN: Final = "\N{EN DASH}"
_NEED: Final = (Readiness.NOT_READY, Readiness.NO_DATA, Readiness.READY)


def page(report: Report, what_if: WhatIf | None = None) -> str:
    """The report as an HTML document, to be written as UTF-8; with what another policy changes."""
    subscriptions = sorted(report.subscriptions, key=_need)
    named = [each for each in subscriptions if each.name is not None]
    return _environment().get_template("report.html").render(
        report=report,
        what_if=what_if,
        subscriptions=subscriptions[:MAX_SUBSCRIPTIONS],
        total=len(subscriptions),
        named=named,
        not_ready=[each for each in named if each.readiness is Readiness.NOT_READY],
        ready=[each for each in named if each.readiness is Readiness.READY],
    )  # fmt: skip


def _need(subscription: SubscriptionReport) -> tuple[bool, int, int]:
    """Sorts by who needs work: those that most callers keep from being ready first."""
    breaking = subscription.breaking_people + subscription.breaking_integrations
    return subscription.name is None, _NEED.index(subscription.readiness), -breaking


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("extauthz.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = files("extauthz.report").joinpath("templates", "report.css").read_text("utf-8")
    style = own + charts.STYLE
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment.globals.update(
        style=Markup(style),  # noqa: S704 (ours)
        style_hash=f"sha256-{digest}",
        max_rows=MAX_ROWS,
        max_periods=MAX_PERIODS,
        remedies=REMEDIES,
        checks_chart=_checks_chart,
        reasons_chart=_reasons_chart,
        called=_called,
        fate_of=_fate_of,
        PARTLY=PARTLY,
        passed_without_exemption=_passed_without_exemption,
        days_left=_days_left,
    )
    environment.filters.update(
        begun=_begun,
        counted=_counted,
        moment=_moment,
        number=lambda count: f"{count:,}",
        share=_share,
        words=_words,
    )
    return environment


def _shown(value: object) -> object:
    """How a value stands in the page, unless it is markup of ours."""
    if isinstance(value, Markup):
        return value
    if value is None or (isinstance(value, str) and not value.strip()):
        return _UNKNOWN
    if isinstance(value, str):
        return printable(value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…")
    return value


def _called(subscription: SubscriptionReport) -> str:
    return "Hosts of no subscription" if subscription.name is None else subscription.name


def _fate_of(subscriptions: Sequence[SubscriptionReport]) -> Fate:
    """What becomes of those whose checks fail, of several subscriptions together."""
    fates = {each.fate for each in subscriptions}
    return fates.pop() if len(fates) == 1 else Fate.BOTH


def _moment(moment: datetime | date | None) -> Markup | None:
    """A moment in UTC, to the minute, or a day."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        return Markup('<time class="time">{}</time>').format(moment.isoformat())
    moment = moment.astimezone(UTC)
    return Markup(
        '<time class="time" datetime="{:%Y-%m-%dT%H:%M:%SZ}">{:%Y-%m-%d %H:%M}</time>'
    ).format(moment, moment)


def _days_left(report: Report, moment: datetime) -> int:
    """Whole days from the report to a moment; below zero when it is over."""
    return (moment - report.made_at).days


def _words(text: str) -> Markup:
    """Text of ours, in which backticks quote code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def _begun(text: str) -> str:
    """As a sentence begins."""
    return text[:1].upper() + text[1:]


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _share(part: int, whole: int) -> str:
    """Percent, rounded down: only all are 100 %, and only none 0 %."""
    if not whole:
        return _UNKNOWN
    tenths = part * 1000 // whole
    if part and not tenths:
        return "< 0.1 %"
    return f"{tenths // 10}.{tenths % 10} %" if 0 < part < whole else f"{tenths // 10} %"


def _checks_chart(subscription: SubscriptionReport) -> Markup:
    periods = subscription.periods
    series = (
        Series("fail", [each.failed for each in periods], Kind.FAILED),
        Series("pass by exemption", [each.exempt for each in periods], Kind.TOLERATED),
        Series("pass", [_passed_without_exemption(each) for each in periods], Kind.PASSED),
    )
    title = f"Checks of {_shown(_called(subscription))} over time"
    return Markup(charts.columns(title, _period_labels(periods), series))  # noqa: S704 (escaped)


def _passed_without_exemption(period: Period) -> int:
    """Exempted checks are among those that passed, but count for themselves in the chart."""
    return max(0, period.passed - period.exempt)


def _period_labels(periods: Sequence[Period]) -> list[str]:
    """Days where every period begins with one; else hours."""
    begins = [each.begin.astimezone(UTC) for each in periods]
    daily = all(begin.hour == begin.minute == 0 for begin in begins)
    return [f"{begin:%Y-%m-%d}" if daily else f"{begin:%m-%d %H:%M}" for begin in begins]


def _reasons_chart(subscription: SubscriptionReport) -> Markup:
    rows = [
        (_begun(REMEDIES[each.reason].meaning), each.checks)
        for each in subscription.reasons[:MAX_ROWS]
    ]
    title = f"Why checks of {_shown(_called(subscription))} failed"
    return Markup(charts.bars(title, rows, Kind.FAILED))  # noqa: S704 (escaped)

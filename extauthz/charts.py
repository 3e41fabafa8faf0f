"""Charts as SVG text: for the admin pages and for the report that one can send.

A chart stands in a page that forbids scripts and inline styles, in light and in dark: it is drawn
with attributes and classes alone, and the page's stylesheet has the colours (`STYLE` has rules for
them). What differs differs in pattern, too, and not by colour alone; every chart has a title, a
description for who cannot see it, and its numbers stand in a table beside it.

A phone shows a chart at half its size or less, so `STYLE` enlarges the letters there: their places
are reckoned for the big ones. Heights are reckoned in integers: no count is too big.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from itertools import pairwise
from typing import Final

from extauthz.quoting import printable
from extauthz.text_width import cut, width_of

__all__ = ["STYLE", "Kind", "Series", "bars", "columns"]


class Kind(StrEnum):
    """What a series shows; its class in the stylesheet."""

    PASSED = "passed"
    FAILED = "failed"
    TOLERATED = "tolerated"


@dataclass(frozen=True, slots=True)
class Series:
    label: str
    """Untrusted text, as every label and title here."""
    values: Sequence[int]
    """Counts, one for each label."""
    kind: Kind


STYLE: Final = """\
:root {
  --chart-passed: #2f74c0; --chart-failed: #b3261e; --chart-tolerated: #8a5a00;
  --chart-ink: #1d2329; --chart-grid: #c9d0d7; --chart-paper: #ffffff;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --chart-passed: #6ea8ea; --chart-failed: #ff8a7d; --chart-tolerated: #e3b341;
    --chart-ink: #e8ecf0; --chart-grid: #3d4752; --chart-paper: #14191f;
  }
}
.chart { display: block; width: 100%; height: auto; max-width: 50rem; }
.chart.bars { max-width: 32rem; }
.chart text { fill: var(--chart-ink); font: 13px system-ui, sans-serif; }
.chart.bars text { font-size: 14px; }
.chart .grid { stroke: var(--chart-grid); stroke-width: 1; }
.chart .axis { stroke: var(--chart-ink); stroke-width: 1; }
.chart .passed { fill: var(--chart-passed); }
.chart .failed { fill: var(--chart-failed); }
.chart .tolerated { fill: var(--chart-tolerated); }
.chart .gap { stroke: var(--chart-paper); fill: var(--chart-paper); }
@media print { .chart { max-width: 36rem; print-color-adjust: exact; break-inside: avoid; } }
@media screen and (max-width: 40rem) {
  .chart.columns text { font-size: 30px; }
  .chart.bars text { font-size: 18px; }
}
"""
"""The rules that charts need, for a page's stylesheet."""

_WIDTH: Final = 800
_LEFT: Final = 100
_PLOT: Final = 200
"""Height of the columns' part."""
_LINE: Final = 38
"""Height of a line of the big letters, and the width of one unit of text in them."""
_UNIT: Final = 18
_LABEL_UNITS: Final = 16
_LEGEND_UNITS: Final = 24
_MIN_HEIGHT: Final = 2
"""What is not nothing is to be seen."""
_TICKS: Final = 4

_BAR_WIDTH: Final = 480
_BAR_ROW: Final = 24
"""Height of a bar, with what is around it."""
_BAR_LINE: Final = 22
_BAR_UNIT: Final = 10
_TOLD_UNITS: Final = 80

_GAPS: Final = {
    Kind.PASSED: "",
    Kind.FAILED: '<path class="gap" stroke-width="2" d="M-2 2L2 -2M0 8L8 0M6 10L10 6"/>',
    Kind.TOLERATED: '<circle class="gap" cx="4" cy="4" r="1.8"/>',
}
"""What tells the kinds apart without colour: plain, hatched, dotted."""


def columns(title: str, labels: Sequence[str], series: Sequence[Series]) -> str:
    """Stacked columns, one for each label (a moment): an `<svg>` element.

    The first series is at the bottom. Raises ValueError where a series has not one value for each
    label, or one below zero.
    """
    for each in series:
        if len(each.values) != len(labels) or any(value < 0 for value in each.values):
            raise ValueError("a series has one count for each label")
    chart = _identifier("columns", title, labels, series)
    stacks = list(zip(*(each.values for each in series), strict=True))
    legend, top = _legend(chart, series)
    foot = top + _PLOT
    highest = max(map(sum, stacks), default=0)
    step = _tick_step(highest)
    highest = max(1, -(-highest // step)) * step
    parts = [legend]
    for tick in range(0, highest + 1, step):
        y = foot - tick * _PLOT // highest
        parts.append(
            f'<path class="{"grid" if tick else "axis"}" d="M{_LEFT} {y}H{_WIDTH}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 5}" text-anchor="end">{_short(tick)}</text>'
        )
    width = (_WIDTH - _LEFT) / max(1, len(labels))
    for index, (label, stack) in enumerate(zip(labels, stacks, strict=False)):
        place = (_LEFT + index * width, width, foot, highest)
        parts.append(_column(chart, label, stack, series, place))
    parts += _label_row(labels, width, foot)
    told = _columns_told(labels, series)
    size = (_WIDTH, foot + _LINE + 8)
    return _svg(("columns", chart, title), size, told, {each.kind for each in series}, parts)


def _column(
    chart: str, label: str, stack: Sequence[int], series: Sequence[Series],
    place: tuple[float, float, int, int],
) -> str:  # fmt: skip
    x, width, foot, highest = place
    gap = min(width * 0.2, 8.0)
    told = ", ".join(f"{each.label} {value:,}" for each, value in zip(series, stack, strict=True))
    rectangles = []
    y = float(foot)
    for each, height in zip(series, _heights(stack, highest), strict=True):
        if height:
            y -= height
            rectangles.append(
                f'<rect x="{x + gap / 2:.2f}" y="{y:.2f}" width="{width - gap:.2f}"'
                f' height="{height:.2f}" fill="url(#{chart}-{each.kind})"/>'
            )
    return f"<g><title>{_text(label)}: {_text(told)}</title>{''.join(rectangles)}</g>"


def _heights(stack: Sequence[int], highest: int) -> list[float]:
    """Of a column's parts: true to their counts, but that a small one is not lost."""
    heights = [
        max(_MIN_HEIGHT, value * _PLOT * 100 // highest / 100) if value else 0.0 for value in stack
    ]
    if (excess := sum(heights) - _PLOT) > 0:
        heights[heights.index(max(heights))] -= excess
    return heights


def _label_row(labels: Sequence[str], width: float, foot: int) -> Iterator[str]:
    """As many labels as have room, at equal distances."""
    if not labels:
        yield f'<text x="{_LEFT + 16}" y="{foot - 16}">No data</text>'
    shown = [cut(label, _LABEL_UNITS) for label in labels]
    room = (max(map(width_of, shown), default=0) + 1) * _UNIT
    stride = max(1, -int(-room // width))
    for index in range(0, len(shown), stride):
        x = _LEFT + index * width
        if stride == 1:
            place = f'x="{x + width / 2:.1f}" y="{foot + _LINE - 6}" text-anchor="middle"'
        elif x + room <= _WIDTH + _UNIT:
            yield f'<path class="axis" d="M{x:.1f} {foot}v6"/>'
            place = f'x="{x:.1f}" y="{foot + _LINE - 6}"'
        else:
            break
        yield f"<text {place}>{_text(shown[index])}</text>"


def _legend(chart: str, series: Sequence[Series]) -> tuple[str, int]:
    """The legend above the columns, and where it ends."""
    x, line, parts = _LEFT, 0, []
    for each in series:
        label = cut(each.label, _LEGEND_UNITS)
        room = 30 + (width_of(label) + 2) * _UNIT
        if x > _LEFT and x + room > _WIDTH:
            x, line = _LEFT, line + 1
        y = line * _LINE
        parts.append(
            f'<rect x="{x}" y="{y + 7}" width="22" height="18" fill="url(#{chart}-{each.kind})"/>'
            f'<text x="{x + 30}" y="{y + 23}">{_text(label)}</text>'
        )
        x += room
    return "".join(parts), (line + 1) * _LINE + 10


def _columns_told(labels: Sequence[str], series: Sequence[Series]) -> str:
    if not labels:
        return "No data."
    told = [f"{len(labels):,} columns, from {labels[0]} to {labels[-1]}."]
    for each in series:
        most = max(each.values)
        told.append(f"{each.label}: {sum(each.values):,} in all" + (
            f", at most {most:,} ({labels[list(each.values).index(most)]})." if most else "."
        ))  # fmt: skip
    return " ".join(told)


def bars(title: str, rows: Sequence[tuple[str, int]], kind: Kind) -> str:
    """Horizontal bars, the longest first as given: an `<svg>` element.

    Raises ValueError for a count below zero.
    """
    if any(value < 0 for _label, value in rows):
        raise ValueError("a bar has a count")
    chart = _identifier("bars", title, rows, kind)
    highest = max((value for _label, value in rows), default=0)
    parts, height = [], 0
    for row in rows:
        part, more = _bar(chart, height, row, highest, kind)
        parts.append(part)
        height += more
    told = "; ".join(f"{cut(label, _TOLD_UNITS)}: {value:,}" for label, value in rows)
    size = (_BAR_WIDTH, height or _BAR_LINE)
    if not rows:
        parts, told = [f'<text y="{_BAR_LINE - 6}">No data</text>'], "No data"
    return _svg(("bars", chart, title), size, f"{told}.", {kind}, parts)


def _bar(
    chart: str, y: int, row: tuple[str, int], highest: int, kind: Kind
) -> tuple[str, int]:  # fmt: skip
    """A bar below its label, and how high that is."""
    label, count = row[0], f"{row[1]:,}"
    units = max(1, _BAR_WIDTH // _BAR_UNIT - width_of(count) - 2)
    width = max(_MIN_HEIGHT, row[1] * _BAR_WIDTH // highest) if row[1] else 0
    lines = _two_lines(label, units)
    texts = "".join(
        f'<text y="{number * _BAR_LINE - 6}">{_text(line)}</text>'
        for number, line in enumerate(lines, 1)
    )
    height = len(lines) * _BAR_LINE
    # An element of its own clips what is wider than reckoned.
    drawn = (
        f"<g><title>{_text(label)}: {count}</title>"
        f'<svg y="{y}" width="{units * _BAR_UNIT}" height="{height}">{texts}</svg>'
        f'<text x="{_BAR_WIDTH}" y="{y + _BAR_LINE - 6}" text-anchor="end">{count}</text>'
        f'<path class="grid" d="M0 {y + height + 7}H{_BAR_WIDTH}"/>'
        f'<rect y="{y + height}" width="{width}" height="14" fill="url(#{chart}-{kind})"/></g>'
    )
    return drawn, height + _BAR_ROW


def _two_lines(text: str, units: int) -> list[str]:
    """Text on one line or two, where it has a blank at which it can be parted."""
    text = cut(text, 2 * units)
    if width_of(text) <= units:
        return [text]
    blanks = (at for at, char in enumerate(text) if char == " " and width_of(text[:at]) <= units)
    at = max(blanks, default=0)
    return [text[:at], cut(text[at + 1 :], units)] if at else [cut(text, units)]


def _svg(
    named: tuple[str, str, str], size: tuple[int, int], told: str, kinds: set[Kind],
    parts: Sequence[str],
) -> str:  # fmt: skip
    shape, chart, title = named
    patterns = "".join(
        f'<pattern id="{chart}-{kind}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<rect class="{kind}" width="8" height="8"/>{_GAPS[kind]}</pattern>'
        for kind in sorted(kinds)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart {shape}" role="img"'
        f' viewBox="0 0 {size[0]} {size[1]}" preserveAspectRatio="xMinYMin meet"'
        f' aria-labelledby="{chart}-title" aria-describedby="{chart}-desc">'
        f'<title id="{chart}-title">{_text(title)}</title>'
        f'<desc id="{chart}-desc">{_text(told)}</desc>'
        f"<defs>{patterns}</defs>{''.join(parts)}</svg>"
    )


def _identifier(*content: object) -> str:
    """Another one for each chart of a page, as long as their titles or numbers differ."""
    return "chart-" + hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def _tick_step(highest: int) -> int:
    """The smallest of 1, 2 and 5 times a power of ten with which few ticks are enough."""
    power = 1
    while highest > 5 * power * _TICKS:
        power *= 10
    return next(step for step in (power, 2 * power, 5 * power) if highest <= step * _TICKS)


def _short(count: int) -> str:
    """A tick's number in few letters."""
    if count < 10_000:  # noqa: PLR2004
        return f"{count:,}"
    for lower, upper in pairwise(
        (("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12), ("", 10**15))
    ):
        if count < upper[1]:
            whole, tenth = divmod(count * 10 // lower[1], 10)
            return f"{whole}.{tenth}{lower[0]}" if tenth else f"{whole}{lower[0]}"
    return f"{str(count)[0]}e{len(str(count)) - 1}"


def _text(text: str) -> str:
    return escape(printable(text))

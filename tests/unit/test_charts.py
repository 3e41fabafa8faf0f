"""Charts are well-formed SVG that shows and tells the numbers it was given, whatever the labels."""

import re
from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.charts import STYLE, Kind, Series, bars, columns
from extauthz.quoting import printable

SVG = "{http://www.w3.org/2000/svg}"
# Each letter of Unicode, NUL, surrogates and overrides of direction among them.
texts = st.text(max_size=40)
counts = st.one_of(st.integers(0, 3), st.integers(0, 10**30))


@st.composite
def stacks(draw: st.DrawFn) -> tuple[list[str], list[Series]]:
    labels = draw(st.lists(texts, max_size=40))
    values = st.lists(counts, min_size=len(labels), max_size=len(labels))
    series = st.builds(Series, texts, values, st.sampled_from(Kind))
    return labels, draw(st.lists(series, max_size=4))


def parsed(chart: str) -> ET.Element:
    # The parser takes no entity that XML does not have, no control character and no surrogate.
    return ET.fromstring(chart)


def told(chart: ET.Element) -> str:
    return chart.findtext(f"{SVG}desc") or ""


def drawn(chart: ET.Element) -> list[list[float]]:
    """Where the rectangles are: x, y, width, height."""
    return [
        [float(rectangle.get(name, 0)) for name in ("x", "y", "width", "height")]
        for rectangle in chart.iter(f"{SVG}rect")
        if "url(" in rectangle.get("fill", "")
    ]


def size(chart: ET.Element) -> tuple[float, float]:
    _x, _y, width, height = map(float, chart.get("viewBox", "").split())
    return width, height


def inside(chart: ET.Element) -> bool:
    width, height = size(chart)
    slack = 0.02
    return all(
        x >= 0 and -slack <= y and w >= 0 and h >= 0 and x + w <= width + slack and y + h <= height
        for x, y, w, h in drawn(chart)
    )


@given(texts, stacks())
def test_columns_are_well_formed_stay_inside_and_tell_their_numbers(
    title: str, stack: tuple[list[str], list[Series]]
) -> None:
    labels, series = stack
    chart = parsed(columns(title, labels, series))
    assert chart.findtext(f"{SVG}title") == printable(title)
    assert inside(chart)
    groups = chart.findall(f"{SVG}g")
    assert [group.findtext(f"{SVG}title") for group in groups] == [
        printable(f"{label}: " + ", ".join(f"{s.label} {s.values[i]:,}" for s in series))
        for i, label in enumerate(labels if series else [])
    ]
    for each in series if labels else []:
        assert printable(f"{each.label}: {sum(each.values):,} in all") in told(chart)
        assert f"at most {max(each.values):,}" in told(chart) or not any(each.values)


@given(texts, st.lists(st.tuples(texts, counts), max_size=20), st.sampled_from(Kind))
def test_bars_are_well_formed_stay_inside_and_tell_their_numbers(
    title: str, rows: list[tuple[str, int]], kind: Kind
) -> None:
    chart = parsed(bars(title, rows, kind))
    assert chart.findtext(f"{SVG}title") == printable(title)
    assert inside(chart)
    expected = [printable(f"{label}: {count:,}") for label, count in rows]
    assert [group.findtext(f"{SVG}title") for group in chart.findall(f"{SVG}g")] == expected
    assert all(f": {count:,}" in told(chart) for _label, count in rows)


@given(st.lists(counts, min_size=1, max_size=6))
def test_what_is_not_nothing_is_seen_and_nothing_is_not(values: list[int]) -> None:
    series = [Series(str(i), [value], Kind.PASSED) for i, value in enumerate(values)]
    (group,) = parsed(columns("", ["now"], series)).findall(f"{SVG}g")
    heights = [float(r.get("height", 0)) for r in group.iter(f"{SVG}rect")]
    assert len(heights) == sum(map(bool, values))
    assert all(height >= 2 for height in heights)


def test_heights_are_true_to_the_numbers() -> None:
    chart = parsed(columns("", ["a", "b"], [Series("", [100, 50], Kind.FAILED)]))
    high, low = (
        float(r.get("height", 0)) for g in chart.iter(f"{SVG}g") for r in g.iter(f"{SVG}rect")
    )
    assert high == 2 * low == 200
    wide, narrow = drawn(parsed(bars("", [("a", 30), ("b", 10)], Kind.FAILED)))
    assert wide[2] == 3 * narrow[2]


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (4, ["0", "1", "2", "3", "4"]),
        (7, ["0", "2", "4", "6", "8"]),
        (1_999, ["0", "500", "1,000", "1,500", "2,000"]),
        (13_000, ["0", "5,000", "10k", "15k"]),
        (1_400_000, ["0", "500k", "1M", "1.5M"]),
        (3_000_000_000, ["0", "1G", "2G", "3G"]),
        (3 * 10**18, ["0", "1e18", "2e18", "3e18"]),
    ],
)
def test_ticks_are_few_round_numbers_up_to_the_highest(highest: int, ticks: Sequence[str]) -> None:
    chart = parsed(columns("", ["x"], [Series("", [highest], Kind.PASSED)]))
    numbers = [t.text for t in chart.findall(f"{SVG}text") if t.get("text-anchor") == "end"]
    assert numbers == list(ticks)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 31, 168, 400, 900])
@pytest.mark.parametrize("label", ["2026-01-31", "01-31 13:00", "W" * 500, "日本" * 9, "x"])
def test_labels_of_the_time_axis_do_not_overlap(count: int, label: str) -> None:
    labels = [label] * count
    chart = parsed(columns("", labels, [Series("s", [1] * count, Kind.PASSED)]))
    width, height = size(chart)
    axis = [t for t in chart.findall(f"{SVG}text") if float(t.get("y", 0)) > height - 20]
    assert 1 <= len(axis) <= 45
    spans = []
    for text in axis:
        # A letter of the phone's 30 units is 18 wide; Chinese ones take two.
        room = sum(36 if char in "日本" else 18 for char in text.text or "")
        x = float(text.get("x", 0))
        spans.append((x - room / 2, x + room / 2) if text.get("text-anchor") else (x, x + room))
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    assert spans[-1][1] <= width
    assert spans[0][0] >= 0


@pytest.mark.parametrize("shape", ["columns", "bars"])
def test_letters_are_large_enough_on_a_phone(shape: str) -> None:
    """12 pixels, where 360 of them leave 328 between the margins."""
    chart = columns("", ["a"], []) if shape == "columns" else bars("", [], Kind.FAILED)
    _everywhere, _media, phone = STYLE.partition("(max-width:")
    units = re.search(rf"\.chart\.{shape} text {{ font-size: (\d+)px; }}", phone)
    assert units is not None
    assert int(units[1]) * 328 / size(parsed(chart))[0] >= 12


def test_a_label_of_a_bar_that_is_long_has_two_lines() -> None:
    """So that what failed can be read in the letters of a phone, too."""
    meaning = "The certificate lacks the name that the subscription goes by"
    chart = parsed(bars("", [(meaning, 7), ("short", 5), ("x" * 500, 3)], Kind.FAILED))
    lines = [t.text or "" for group in chart.iter(f"{SVG}g") for t in group.iter(f"{SVG}text")]
    assert [line for line in lines if not line.isdigit()] == [
        "The certificate lacks the name that the", "subscription goes by", "short",
        "x" * 44 + "…",
    ]  # fmt: skip
    baselines = [float(t.get("y", 0)) for t in chart.iter(f"{SVG}text") if t.get("text-anchor")]
    assert baselines[1] - baselines[0] > baselines[2] - baselines[1]


def test_each_chart_of_a_page_has_identifiers_of_its_own() -> None:
    charts = [
        columns("Checks of acme", ["a"], [Series("s", [1], Kind.PASSED)]),
        columns("Checks of beta", ["a"], [Series("s", [1], Kind.PASSED)]),
        columns("Checks of acme", ["a"], [Series("s", [2], Kind.PASSED)]),
        bars("Checks of acme", [("s", 1)], Kind.PASSED),
    ]
    identifiers = [i for chart in charts for i in re.findall(r' id="([^"]+)"', chart)]
    assert len(identifiers) == len(set(identifiers)) == 4 * 3
    for chart in charts:
        used = re.findall(r"url\(#([^)]+)\)", chart) + re.findall(r'by="([^"]+)"', chart)
        assert set(used) <= set(re.findall(r' id="([^"]+)"', chart))


def test_kinds_differ_in_pattern_and_not_by_colour_alone() -> None:
    series = [Series(kind, [1], kind) for kind in Kind]
    chart = parsed(columns("", ["x"], series))
    patterns = {
        tuple((part.tag, part.get("d")) for part in pattern)
        for pattern in chart.iter(f"{SVG}pattern")
    }
    assert len(patterns) == len(Kind)
    assert all(f".{kind} " in STYLE for kind in Kind)


@given(st.lists(st.tuples(texts, counts), max_size=3))
def test_nothing_of_a_chart_needs_what_a_strict_page_forbids(rows: list[tuple[str, int]]) -> None:
    chart = parsed(bars("<script>alert(1)</script>", rows, Kind.FAILED))
    for element in chart.iter():
        assert element.tag.removeprefix(SVG) in {
            "svg", "title", "desc", "defs", "pattern", "rect", "path", "circle", "g", "text",
        }  # fmt: skip
        assert not [name for name in element.attrib if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("values", [[1], [1, 2, 3], [1, -1]])
def test_a_series_that_does_not_fit_its_labels_is_refused(values: list[int]) -> None:
    with pytest.raises(ValueError, match="one count for each label"):
        columns("", ["a", "b"], [Series("", values, Kind.PASSED)])
    with pytest.raises(ValueError, match="count"):
        bars("", [("a", -1)], Kind.PASSED)

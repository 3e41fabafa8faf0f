"""Days as they are written, and the same day of the next year."""

from datetime import UTC, date, datetime

import pytest

from extauthz.days import end_of_day, year_after


@pytest.mark.parametrize(("day", "expected"), [
    (date(2026, 11, 27), date(2027, 11, 27)),
    (date(2027, 11, 27), date(2028, 11, 27)),
    (date(2027, 3, 1), date(2028, 3, 1)),
    (date(2027, 2, 28), date(2028, 2, 28)),
    (date(2028, 2, 29), date(2029, 2, 28)),
])  # fmt: skip
def test_a_year_after_a_day_is_the_same_day(day: date, expected: date) -> None:
    """Whether 365 days later or 366; a leap day has the day before it in other years."""
    assert year_after(day) == expected


@pytest.mark.parametrize(
    "written", ["2026-2-01", "2026-02-30", "20260201", "2026-02-01 ", "٢٠٢٦-٠٢-٠١"]
)
def test_a_day_is_written_in_one_way(written: str) -> None:
    """Anything else is no day."""
    assert end_of_day("2026-02-01") == datetime(2026, 2, 1, 23, 59, 59, 999999, tzinfo=UTC)
    assert end_of_day(written) is None

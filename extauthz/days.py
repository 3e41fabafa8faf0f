"""Days, as policies and files of accounts write them: a day stands for its last instant, UTC."""

import re
from datetime import UTC, date, datetime, time

__all__ = ["REMEDY", "end_of_day", "year_after"]

REMEDY = "write a day as YYYY-MM-DD"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def end_of_day(written: str) -> datetime | None:
    """The last instant of a day (RFC 3339 full-date), aware; None when it is no day."""
    if not _DAY.fullmatch(written):
        return None
    try:
        return datetime.combine(date.fromisoformat(written), time.max, UTC)
    except ValueError:
        return None


def year_after(day: date) -> date:
    """The same day of the next year; of 29 February the day before it."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return day.replace(year=day.year + 1, day=28)

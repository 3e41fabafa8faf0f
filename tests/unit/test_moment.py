"""Times of records: one instant, whoever wrote it, and nothing that leaves it open."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from extauthz.records.line import NotALineError, parse
from extauthz.report.source import opened
from tests.report.records import check, line

TIMES = {
    "2026-11-01T10:00:00Z": datetime(2026, 11, 1, 10, tzinfo=UTC),
    "2026-11-01T10:00:00+05:30": datetime(2026, 11, 1, 4, 30, tzinfo=UTC),
    "2026-11-01T10:00:00.123456-00:15": datetime(2026, 11, 1, 10, 15, 0, 123456, tzinfo=UTC),
    "2026-11-01T10:00:00.123456789Z": datetime(2026, 11, 1, 10, 0, 0, 123456, tzinfo=UTC),
    "2026-11-01 10:00+0530": datetime(2026, 11, 1, 4, 30, tzinfo=UTC),
    "2026-11-01t10:00:00z": datetime(2026, 11, 1, 10, tzinfo=UTC),
    "1970-01-01T01:00:00+01:00": datetime(1970, 1, 1, tzinfo=UTC),
}
NO_TIMES = [
    "2026-11-01T10:00:00", "2026-11-01", "2026-11-01T10Z", "2026-11-01_10:00:00Z",
    "2026-11-01T10:00:00+05", "2026-11-01T10:00:00.1234567890Z",
    "2026-11-01T10:00:60Z", "2026-11-01T10:60Z",
    "2026-11-01T10:00:00+24:00",
    "2026-11-01T24:00:00Z", "2026-02-30T10:00:00Z", " 2026-11-01T10:00:00Z",
    "2026-11-01T10:00:00Z\n", "2026-11-01T10:00:00 Europe/Berlin", "1793527200", 1793527200,
    1793527200.5, None, True, "infinity", "9999-12-31T23:59:59-01:00",
    "0001-01-01T00:00:00+01:00", "\u06622026-11-01T10:00:00Z",
]  # fmt: skip


@pytest.mark.parametrize("written", TIMES)
def test_time_with_an_offset_is_read_in_utc(written: str) -> None:
    time = parse(line(check(time=written))).time

    assert (time, time.tzinfo) == (TIMES[written], UTC)


@pytest.mark.parametrize("written", NO_TIMES, ids=repr)
def test_what_is_no_one_instant_makes_no_record(written: object) -> None:
    """What has no offset could be any of a day's; a number, seconds or milliseconds."""
    with pytest.raises(NotALineError, match="time"):
        parse(line(check(time=written)))


def test_report_reads_the_same_times(tmp_path: Path) -> None:
    """Its engine has a reading of its own."""
    log = tmp_path / "log"
    log.write_bytes(b"".join(line(check(time=each)) for each in [*TIMES, *NO_TIMES]))
    with opened([str(log)]) as source:
        rows = source.rows(f'SELECT "time" FROM {source.checks({})}', "looking")

    found = sorted(str(time) for (time,) in rows)
    assert found == sorted(str(time.replace(tzinfo=None)) for time in TIMES.values())

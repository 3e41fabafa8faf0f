"""A request is found in decision logs: rotated, compressed, cut off, hostile, or in use."""

import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.decision import undecided
from extauthz.files import FileProblemError
from extauthz.findings import Finding, Reason
from extauthz.observe.record import Entry, LineEncoder
from extauthz.records import reading
from extauthz.records.reading import search

NOW = datetime(2026, 11, 24, 3, 4, 5, tzinfo=UTC)
ENCODER = LineEncoder()


def line(request_id: str, seconds: float = 0, detail: str = "") -> bytes:
    decision = undecided(Finding(Reason.REQUEST_MALFORMED, detail))
    return ENCODER.line(Entry(decision, None, request_id, 1, NOW + timedelta(seconds=seconds), 0))


def gap(dropped: int) -> bytes:
    members = {
        "schema": 1, "record": "gap", "time": NOW.isoformat(), "since": NOW.isoformat(),
        "dropped": dropped, "why": "No space left on device",
    }  # fmt: skip
    return json.dumps(members, separators=(",", ":")).encode() + b"\n"


def many(first: int, last: int) -> bytes:
    return b"".join(line(f"id-{number}", number) for number in range(first, last))


def test_request_is_found_among_many(tmp_path: Path) -> None:
    """What was looked at is said with it: lines, files, and of which time."""
    log = tmp_path / "log"
    log.write_bytes(many(0, 1000))
    found = search([str(log)], "id-500")

    assert [record.request_id for record in found.checks] == ["id-500"]
    assert (found.lines, found.torn, found.files) == (1000, 0, [str(log)])
    assert (found.since, found.until) == (NOW, NOW + timedelta(seconds=999))


def test_only_the_whole_id_counts(tmp_path: Path) -> None:
    """Not a part of one, nor one that stands in another member."""
    log = tmp_path / "log"
    log.write_bytes(line("id-10") + line("other", detail='{"request_id":"id-1"}, "id-1"'))

    assert search([str(log)], "id-1").checks == []


def test_rotated_files_are_found_by_themselves(tmp_path: Path) -> None:
    """Compressed or not; and what merely has a similar name is left alone."""
    log = tmp_path / "log"
    log.write_bytes(many(20, 30))
    (tmp_path / "log-20261124T030000.000000Z").write_bytes(many(10, 20))
    (tmp_path / "log-20261123T030000.000000Z.gz").write_bytes(gzip.compress(many(0, 10)))
    (tmp_path / "log-of-something-else").write_bytes(many(100, 200))

    for request_id in ("id-5", "id-15", "id-25"):
        found = search([str(log)], request_id)
        assert [record.request_id for record in found.checks] == [request_id]
    assert (found.lines, len(found.files)) == (30, 3)
    assert search([str(log)], "id-150").checks == []


def test_log_that_has_just_been_rotated_away_is_still_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "log-20261124T030000.000000Z").write_bytes(line("id"))

    assert len(search([str(log)], "id").checks) == 1


def test_same_file_twice_and_same_line_twice_are_found_once(tmp_path: Path) -> None:
    """As with a shell's `log*`, and while a rotated file is being compressed."""
    log = tmp_path / "log"
    log.write_bytes(line("id"))
    rotated = tmp_path / "log-20261124T030000.000000Z"
    rotated.write_bytes(line("id"))
    found = search([str(log), str(rotated), str(log)], "id")

    assert (len(found.checks), found.lines) == (1, 2)


def test_several_checks_of_one_id_come_newest_first(tmp_path: Path) -> None:
    """Envoy's retries and internal redirects keep the id."""
    log = tmp_path / "log"
    log.write_bytes(line("id", 3) + line("id", 1) + line("id", 2))
    times = [record.time for record in search([str(log)], "id").checks]

    assert times == [NOW + timedelta(seconds=seconds) for seconds in (3, 2, 1)]


def test_one_id_on_every_line_does_not_fill_memory(tmp_path: Path) -> None:
    """A client may send its own request id, where Envoy is told to keep it: the newest count."""
    log = tmp_path / "log"
    log.write_bytes(b"".join(line("id", seconds) for seconds in range(350)))
    checks = search([str(log)], "id").checks

    assert len(checks) == reading.MAX_FOUND
    assert checks[0].time == NOW + timedelta(seconds=349)


def test_torn_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    """A line that was cut off takes neither the one before nor the one behind it."""
    log = tmp_path / "log"
    log.write_bytes(line("a") + line("b")[:99] + line("c") + line("d")[:40] + b"\n" + line("e")[:9])
    found = {request_id: search([str(log)], request_id) for request_id in "abc"}

    assert [len(found[request_id].checks) for request_id in "abc"] == [1, 0, 1]
    assert found["a"].torn == 2


def test_gaps_are_counted(tmp_path: Path) -> None:
    """What was never written cannot be found, and it is said that something was not."""
    log = tmp_path / "log"
    log.write_bytes(line("a") + gap(30) + line("b") + gap(12))

    assert search([str(log)], "c").dropped == 42


def test_file_and_its_compressed_form_tell_the_same_once(tmp_path: Path) -> None:
    """As they are beside each other while a finished file is being compressed."""
    log, octets = tmp_path / "log", line("a") + gap(30)
    log.write_bytes(line("b"))
    (tmp_path / "log-20261101T000000Z").write_bytes(octets)
    (tmp_path / "log-20261101T000000Z.gz").write_bytes(gzip.compress(octets))
    found = search([str(log)], "a")
    assert (len(found.checks), found.dropped) == (1, 30)


def test_damaged_compressed_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    log = tmp_path / "log.gz"
    octets = gzip.compress(many(0, 2000))
    log.write_bytes(octets[: len(octets) // 2])
    found = search([str(log)], "id-3")

    assert [record.request_id for record in found.checks] == ["id-3"]
    assert found.damaged == [str(log)]


def test_compressed_file_of_several_members_is_read_whole(tmp_path: Path) -> None:
    """As `cat a.gz b.gz` makes them, whatever the file is called."""
    log = tmp_path / "log"
    log.write_bytes(gzip.compress(many(0, 10)) + gzip.compress(many(10, 20)) + b"\0" * 512)
    found = search([str(log)], "id-15")

    assert (len(found.checks), found.lines, found.damaged) == (1, 20, [])


def test_blocks_are_cut_between_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a block of the file ends."""
    log = tmp_path / "log"
    log.write_bytes(many(0, 30))
    length = len(line("id-10"))
    for block in (length - 1, length, length + 1, 5 * length + 7):
        monkeypatch.setattr(reading, "BLOCK", block)
        for number in (0, 15, 29):
            found = search([str(log)], f"id-{number}")
            assert (len(found.checks), found.lines, found.torn) == (1, 30, 0)


def test_endless_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no memory, and the lines around it count."""
    monkeypatch.setattr(reading, "BLOCK", 4096)
    log = tmp_path / "log"
    log.write_bytes(line("a") + b"x" * 100_000 + b"\n" + line("b"))

    for request_id in "ab":
        found = search([str(log)], request_id)
        assert (len(found.checks), found.torn) == (1, 1)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_no_content_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    """Whatever stands around a record on other lines."""
    log = tmp_path_factory.mktemp("hostile") / "log"
    log.write_bytes(b"\n".join([b"", *parts, line("id").strip(), *parts]))

    assert [record.request_id for record in search([str(log)], "id").checks] == ["id"]


@pytest.mark.parametrize("schema", ["[]", "{}", "true", '"1"', "2", "1e400"])
def test_line_of_another_schema_is_passed_over(tmp_path: Path, schema: str) -> None:
    """Whatever stands in the place of the number."""
    log = tmp_path / "log"
    other = f'{{"schema":{schema},"request_id":"id"}}\n'.encode()
    log.write_bytes(other + line("id") + other)

    assert [record.request_id for record in search([str(log)], "id").checks] == ["id"]


@pytest.mark.parametrize("request_id", ["", '"', "\\", "\udcff", "é", "\n", "a" * 5000])
def test_any_text_can_be_looked_for(tmp_path: Path, request_id: str) -> None:
    log = tmp_path / "log"
    log.write_bytes(many(0, 3))

    assert search([str(log)], request_id).checks == []


def test_hostile_id_is_found_as_it_was_recorded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(line('é"\\\n'))

    assert len(search([str(log)], 'é"\\\n').checks) == 1


@pytest.mark.parametrize(
    ("name", "why"),
    [("nothing", "No such file"), ("directory", "Is a directory"), ("closed", "Permission denied")],
)
def test_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "closed").touch(mode=0)
    if name == "closed" and os.geteuid() == 0:
        pytest.skip("root reads everything")
    with pytest.raises(FileProblemError, match=why) as caught:
        search([str(tmp_path / name)], "id")

    assert str(tmp_path / name) in str(caught.value)

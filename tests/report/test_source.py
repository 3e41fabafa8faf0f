"""Decision logs as they are found on disks: compressed, torn, foreign, and meant to harm."""

import gzip
import os
import random
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.records.line import CheckRecord, NotALineError, parse
from extauthz.report.files import MAX_LINE, UnreadableFileError, found
from extauthz.report.source import MAX_DROPPED, LineKind, Selection, Source, opened
from tests.report.records import check, line

GOOD = line(check())


def kinds(source: Source) -> dict[object, object]:
    rows = source.rows(f"SELECT kind, count(*) FROM {source.lines({})} GROUP BY kind", "counting")
    return dict(rows)  # type: ignore[arg-type]


def kinds_of(path: Path, octets: bytes) -> tuple[dict[object, object], int]:
    path.write_bytes(octets)
    with opened([str(path)]) as source:
        return kinds(source), source.lost


HOSTILE = {
    "a torn line": GOOD[:200],
    "the end of a line": GOOD[200:-1],
    "a line of something else": b"Nov 24 00:00:00 host sshd[1]: hello",
    "an array": b"[1, 2]",
    "null": b"null",
    "two records on one line": GOOD[:-1] + GOOD[:-1],
    "a NUL": GOOD[:-1].replace(b"GET", b"G\0T"),
    "no UTF-8": GOOD[:-1].replace(b"GET", b"G\xffT"),
    "half a surrogate pair": GOOD[:-1].replace(b"GET", b"\\ud800"),
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep arrays where text is due": b'{"user_agent":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "a byte-order mark": b"\xef\xbb\xbf" + GOOD[:-1],
    "no reasons for a denial": line(check(decision="deny")),
    "reasons for passing": line(check(reasons=["email_missing"])),
    "a reason that nobody knows": line(check(decision="deny", reasons=["bored"])),
    "reasons of the wrong type": line(check(decision="deny", reasons={"a": 1})),
    "an unknown decision": line(check(decision="perhaps")),
    "no decision": line(check(decision=None)),
    "no word on what was done": line(check(allowed=[])),
    "no time": line(check(time="yesterday")),
    "a time that no calendar has": line(check(time="290000-01-01T00:00:00Z")),
    "a time without an end": line(check(time="infinity")),
    "a record of another kind": line(check(record="poem")),
    "a time without a zone": line(check(time="2026-11-01T10:00:00")),
    "a day": line(check(time="2026-11-01")),
    "a time with the name of a zone": line(check(time="2026-11-01T10:00:00 Europe/Berlin")),
    "a time with half an offset": line(check(time="2026-11-01T10:00:00+05")),
    "a time with an offset that nobody has": line(check(time="2026-11-01T10:00:00+25:00")),
    "a time that its offset moves out of the calendar": line(
        check(time="9999-12-31T23:59:59-05:00")
    ),
    "the hour 24": line(check(time="2026-11-01T24:00:00Z")),
    "a time between spaces": line(check(time=" 2026-11-01T10:00:00Z ")),
    "a gap that nobody could have lost": line(
        {
            "schema": 1,
            "record": "gap",
            "time": "2026-11-01T00:00:00Z",
            "dropped": MAX_DROPPED + 1,
        }
    ),
    "a gap that is as large as numbers get": line(
        {
            "schema": 1,
            "record": "gap",
            "time": "2026-11-01T00:00:00Z",
            "dropped": 2**63 - 1,
        }
    ),
    "a gap of nothing": b'{"schema":1,"record":"gap","time":"2026-11-01T00:00:00Z","dropped":0}',
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_record_is_counted_and_takes_nothing_with_it(what: str, tmp_path: Path) -> None:
    """The lines around it are read."""
    found_, lost = kinds_of(tmp_path / "log", GOOD + HOSTILE[what].rstrip(b"\n") + b"\n" + GOOD)

    assert found_ == {LineKind.CHECK: 2, None: 1}
    assert lost == 0


@pytest.mark.parametrize(
    "record",
    [
        check(login=["a"], certificate="x", accounts=7, details="x", client={"a": 1}),
        check(user_agent="a\0b", exempt=5, mode=[1], signing_certificate=[1]),
        check(certificate={"sha256": 5, "names": "x", "not_after": {}}),
    ],
    ids=["wrong types", "NUL as an escape", "wrong types inside"],
)
def test_members_of_the_wrong_type_are_absent(record: dict[str, object], tmp_path: Path) -> None:
    """Where they are not what makes the line a check."""
    assert kinds_of(tmp_path / "log", line(record)) == ({LineKind.CHECK: 1}, 0)


def test_first_of_two_keys_of_one_name_counts(tmp_path: Path) -> None:
    """Our own lines have every key once; whatever a second one says is not believed."""
    path = tmp_path / "log"
    path.write_bytes(GOOD[:-2] + b',"record":"gap","login":"mallory"}\n')
    with opened([str(path)]) as source:
        relation = source.checks({"login": "VARCHAR"})
        assert source.rows(f"SELECT login FROM {relation}", "looking") == [("alice",)]


TIMES = {
    "2026-11-01T10:00:00Z": "2026-11-01T10:00:00",
    "2026-11-01T10:00:00.123456Z": "2026-11-01T10:00:00.123456",
    "2026-11-01T10:00Z": "2026-11-01T10:00:00",
    "2026-11-01T10:00:00+05:30": "2026-11-01T04:30:00",
    "2026-11-01T20:00:00.5-08:00": "2026-11-02T04:00:00.500000",
    "2026-11-01 10:00:00+00:00": "2026-11-01T10:00:00",
    "2026-11-01t10:00:00z": "2026-11-01T10:00:00",
}


@pytest.mark.parametrize("written", TIMES)
def test_times_are_those_of_utc(written: str, tmp_path: Path) -> None:
    """As `parse` reads them, by whatever clock they were written."""
    path = tmp_path / "log"
    octets = line(check(time=written))
    path.write_bytes(octets)
    with opened([str(path)]) as source:
        rows = source.rows(f'SELECT "time" FROM {source.checks({})}', "looking")
    assert rows == [(datetime.fromisoformat(TIMES[written]),)]
    record = parse(octets)
    assert record.time.astimezone(UTC).replace(tzinfo=None) == rows[0][0]


def test_other_schema_is_told_apart(tmp_path: Path) -> None:
    """A later version's lines are not guessed at."""
    octets = line(check(schema=2, decision="maybe")) + line(check(schema="x")) + GOOD
    assert kinds_of(tmp_path / "log", octets)[0] == {LineKind.OTHER_SCHEMA: 2, LineKind.CHECK: 1}


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=2000), st.randoms(use_true_random=False))
def test_no_octets_break_the_reading(octets: bytes, chance: random.Random) -> None:
    """Whatever stands between them, good lines are found."""
    flipped = bytearray(GOOD)
    for _ in range(5):
        flipped[chance.randrange(len(flipped))] = chance.randrange(256)
    with tempfile.TemporaryDirectory() as name:
        text = GOOD + octets + b"\n" + bytes(flipped) + b"\n" + GOOD
        counts, _ = kinds_of(Path(name) / "log", text)
    assert int(str(counts[LineKind.CHECK])) >= 2


def test_engine_and_parser_agree_on_what_a_check_is(tmp_path: Path) -> None:
    """`records.line` says what a line is; the engine takes no line that it refuses, in these."""
    lines = [
        GOOD,
        *HOSTILE.values(),
        line(check(decision="deny", reasons=["email_missing"], details=["x"])),
    ]
    for number, each in enumerate(lines):
        try:
            is_check = isinstance(parse(each), CheckRecord)
        except NotALineError:
            is_check = False
        taken, _ = kinds_of(tmp_path / str(number), GOOD + each.rstrip(b"\n") + b"\n")
        assert taken[LineKind.CHECK] == 1 or is_check, each


def test_compression_is_told_by_the_octets_and_not_by_the_name(tmp_path: Path) -> None:
    """A file may be called anything, and consist of several compressed parts."""
    (tmp_path / "a.gz").write_bytes(GOOD)
    (tmp_path / "b").write_bytes(gzip.compress(GOOD) + gzip.compress(GOOD))
    (tmp_path / "empty.gz").write_bytes(b"")
    with opened([str(tmp_path)]) as source:
        assert kinds(source) == {LineKind.CHECK: 3}
        assert len(source.files) == 3


def test_damaged_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """What is behind the damage counts as one line; the other files are read whole."""
    whole = gzip.compress(
        b"".join(line(check(request_id=os.urandom(99).hex())) for _ in range(500))
    )
    (tmp_path / "1-cut.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2-followed").write_bytes(gzip.compress(GOOD) + b"rubbish")
    (tmp_path / "3-whole").write_bytes(GOOD)
    with opened([str(tmp_path)]) as source:
        counts = kinds(source)
        assert 100 < int(str(counts[LineKind.CHECK])) < 500
        assert source.lost == 2
        assert [Path(each).name for each in source.damaged] == ["1-cut.gz", "2-followed"]
        assert kinds(source) == counts


def test_line_without_an_end_is_left_out(tmp_path: Path) -> None:
    """Forty megabytes without a line feed, in the middle."""
    path = tmp_path / "log"
    path.write_bytes(GOOD + b"x" * (20 * MAX_LINE) + b"\n" + GOOD + GOOD[:-1])
    with opened([str(path)]) as source:
        assert kinds(source) == {LineKind.CHECK: 3}
        assert (source.lost, source.damaged) == (1, (str(path),))


NAMES = ["plain", "a b", "it's", "[a].log", "*", "$(reboot)", "-", "a\nb", "{x,y}", "ä.gz", "?"]


def test_names_of_files_mean_nothing_but_files(tmp_path: Path) -> None:
    """A name with a star is that file, and no pattern, when there is one."""
    for name in NAMES:
        (tmp_path / name).write_bytes(GOOD)
    for name in NAMES:
        with opened([str(tmp_path / name)]) as source:
            assert kinds(source) == {LineKind.CHECK: 1}, name


def test_directories_and_patterns_are_files_once(tmp_path: Path) -> None:
    """Hidden files and directories below are left out."""
    for name in ("log", "log.1", ".hidden"):
        (tmp_path / name).write_bytes(GOOD)
    (tmp_path / "below").mkdir()
    log = str(tmp_path / "log")

    assert found([str(tmp_path), log, f"{log}*"]) == [log, f"{log}.1"]
    assert found([f"{tmp_path}/l*"]) == [log, f"{log}.1"]


def rotated(directory: Path) -> tuple[str, str]:
    """A finished file and its compressed form, as they are beside each other for a moment."""
    plain = directory / "decisions.jsonl-20261101T100000Z"
    plain.write_bytes(GOOD * 3)
    packed = plain.with_name(f"{plain.name}.gz")
    packed.write_bytes(gzip.compress(GOOD * 3))
    return str(plain), str(packed)


def test_file_that_is_being_compressed_counts_once(tmp_path: Path) -> None:
    """By name, by pattern, in a directory, and when it is gone by now: the compressed one."""
    plain, packed = rotated(tmp_path)
    for names in ([plain], [packed], [plain, packed], [f"{plain}*"], [str(tmp_path)]):
        assert found(names) == [packed], names
    Path(plain).unlink()
    assert found([plain]) == [packed]


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(GOOD * 2),
        gzip.compress(GOOD[::-1] * 3),
        gzip.compress(GOOD * 3)[:-3],
        b"x",
        b"",
    ],
    ids=["an older state", "something else", "cut off", "no gzip", "empty"],
)
def test_what_is_not_the_compressed_form_of_a_file_is_another_file(
    packed: bytes, tmp_path: Path
) -> None:
    """Somebody's copy that is older takes no checks away."""
    plain, other = rotated(tmp_path)
    Path(other).write_bytes(packed)
    assert found([str(tmp_path)]) == [plain, other]


def test_links_are_the_file_that_they_lead_to(tmp_path: Path) -> None:
    """`current.jsonl` beside the files that it leads to, as rotation by others leaves it."""
    log = tmp_path / "log"
    log.write_bytes(GOOD)
    (tmp_path / "m-current").symlink_to("log")
    (tmp_path / "n-hard").hardlink_to(log)
    assert found([str(tmp_path), f"{tmp_path}/./log"]) == [str(log)]


@pytest.mark.parametrize("name", ["missing", "missing*", "empty", "loop", "a\0b"])
def test_name_that_leads_nowhere_is_an_error(name: str, tmp_path: Path) -> None:
    """It says which one."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    expected = pytest.raises(UnreadableFileError, match=name.replace("*", ".").replace("\0", "."))
    with expected, opened([str(tmp_path / name)]):
        pass


def test_pipe_is_read(tmp_path: Path) -> None:
    """As `<(zcat …)` gives one; compressed or not."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(gzip.compress(GOOD * 2),))
    writer.start()
    with opened([str(path)]) as source:
        writer.join()
        assert kinds(source) == {LineKind.CHECK: 2}
        assert kinds(source) == {LineKind.CHECK: 2}


def test_file_that_goes_away_is_an_error(tmp_path: Path) -> None:
    """As when a log is rotated meanwhile: better none than a part."""
    path = tmp_path / "log"
    path.write_bytes(GOOD)
    with opened([str(path)]) as source:
        path.unlink()
        with pytest.raises(UnreadableFileError, match="log: No such file"):
            kinds(source)


def test_selection_is_by_subscription_and_time(tmp_path: Path) -> None:
    """The first instant is in, the last one is out; a quote in a name is a quote."""
    path = tmp_path / "log"
    path.write_bytes(b"".join(
        line(check(subscription=name, time=f"2026-11-0{day}T00:00:00Z", request_id=f"{name}{day}"))
        for name in ("o'neill", "acme")
        for day in range(1, 6)
    ))  # fmt: skip
    since, until = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC)
    with opened([str(path)], Selection("o'neill", since, until)) as source:
        relation = source.checks({"request_id": "VARCHAR"})
        rows = source.rows(f"SELECT request_id FROM {relation} ORDER BY 1", "looking")
    assert rows == [("o'neill2",), ("o'neill3",)]


def test_certificates_are_found_by_id(tmp_path: Path) -> None:
    """Each once, with what was sent above it."""
    path = tmp_path / "log"
    record: dict[str, object] = {
        "schema": 1, "record": "certificate", "time": "2026-11-01T10:00:00Z", "id": "x",
        "der": ["AAA=", "BBB="],
    }  # fmt: skip
    path.write_bytes(
        line(record) * 2 + GOOD + line(record | {"der": []}) + line(record | {"id": "y"})
    )
    with opened([str(path)]) as source:
        assert source.certificates() == {"x": ("AAA=", "BBB="), "y": ("AAA=", "BBB=")}


def test_progress_is_told(tmp_path: Path) -> None:
    """What is being done, and that it is done."""
    path, told = tmp_path / "log", list[tuple[str, float]]()
    path.write_bytes(GOOD)
    with opened(
        [str(path)], progress=lambda doing, percent: told.append((doing, percent))
    ) as source:
        kinds(source)
    assert told[-1] == ("counting", 100.0)


def test_engine_reaches_nothing_but_the_files(tmp_path: Path) -> None:
    """It installs nothing and loads nothing, and leaves no temporary file behind."""
    path = tmp_path / "log"
    path.write_bytes(GOOD)
    with opened([str(path)]) as source:
        rows = source.rows(
            "SELECT value FROM duckdb_settings() WHERE name LIKE 'auto%_known_extensions'",
            "looking",
        )
        (spilled,) = source.rows("SELECT current_setting('temp_directory')", "looking")
        assert Path(str(spilled[0])).parent.is_dir()
    assert rows == [("false",), ("false",)]
    assert not Path(str(spilled[0])).parent.exists()

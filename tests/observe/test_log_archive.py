"""Finished files of a log: compressed, deleted in time, and none lost on the way."""

import fcntl
import gzip
import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extauthz.observe import log_archive, log_finished
from extauthz.observe.log_archive import LogArchive
from extauthz.observe.log_retention import Why
from tests.observe.log_lines import files_of, lines, octets_of

OCTETS = b"".join(lines(1_000))
PACKED = len(gzip.compress(OCTETS, 6))
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.log"


def finished(path: Path, ago: timedelta = timedelta(), octets: bytes = OCTETS) -> Path:
    """A finished file."""
    stamp = (datetime.now(UTC) - ago).strftime("%Y%m%dT%H%M%S.%fZ")
    file = path.with_name(f"{path.name}-{stamp}")
    file.write_bytes(octets)
    file.chmod(0o640)
    return file


def names_beside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def packed(file: Path) -> Path:
    return file.with_name(f"{file.name}.gz")


def part(file: Path) -> Path:
    return file.with_name(f".{file.name}.gz.part")


def test_a_finished_file_is_compressed(path: Path) -> None:
    """Nobody else may read it then either; and other programs can."""
    file = finished(path)
    os.utime(file, (1_000_000, 1_000_000))
    LogArchive(path, None).tidy()

    assert names_beside(path) == [packed(file).name]
    assert octets_of(path) == OCTETS
    assert stat.S_IMODE(packed(file).stat().st_mode) == 0o640
    assert packed(file).stat().st_mtime == 1_000_000
    assert packed(file).stat().st_size < len(OCTETS) / 5
    subprocess.run(["gzip", "--test", packed(file)], check=True)


def test_what_a_crash_left_is_finished_at_the_next_start(path: Path) -> None:
    """In each of the places where it can come; no line is there twice or missing."""
    before = finished(path, timedelta(hours=3), OCTETS + b"1\n")
    while_compressing = finished(path, timedelta(hours=2), OCTETS + b"2\n")
    part(while_compressing).write_bytes(b"\x1f\x8bhalf of it")
    before_unlink = finished(path, timedelta(hours=1), OCTETS + b"3\n")
    packed(before_unlink).write_bytes(gzip.compress(before_unlink.read_bytes()))
    part(path.with_name("decisions.log-20261124T030405.678901Z")).write_bytes(b"of a deleted file")
    archive = LogArchive(path, None)
    archive.start()
    archive.close()
    archive = LogArchive(path, None)
    archive.tidy()

    assert names_beside(path) == [
        packed(file).name for file in (before, while_compressing, before_unlink)
    ]
    assert octets_of(path) == b"".join(OCTETS + b"%d\n" % number for number in (1, 2, 3))
    assert archive.failures == 0


def test_a_compressed_file_that_holds_something_else_costs_no_line(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both stay, and the operator is told; other files are compressed."""
    file, other = finished(path, timedelta(hours=1)), finished(path)
    packed(file).write_bytes(gzip.compress(b"something else\n"))
    archive = LogArchive(path, None)
    archive.tidy()

    assert file.read_bytes() == OCTETS
    assert not other.exists()
    assert f"{file} is left as it is: {packed(file).name} is there, and is not the same" in (
        caplog.text
    )
    assert archive.failures == 1
    assert archive.trouble is not None
    assert archive.trouble.startswith(f"{file} is left as it is: ")
    packed(file).unlink()
    archive.tidy()
    assert archive.trouble is None


def test_what_only_looks_like_a_finished_file_is_left_alone(path: Path) -> None:
    """A pipe, a link and other digits: we make none of them. Neither time nor a start matters."""
    other = path.with_name(f"{path.name}-٢٠٢٠٠١٠١T٠٠٠٠٠٠.٠٠٠٠٠٠Z")
    other.write_bytes(OCTETS)
    path.with_name(f"{path.name}-20200102T000000.000000Z").symlink_to(other)
    os.mkfifo(path.with_name(f"{path.name}-20200103T000000.000000Z"))
    part(path.with_name(f"{path.name}-20200104T000000.000000Z")).mkdir()
    before = names_beside(path)
    for keep_days, keep_octets in ((None, None), (1, None), (None, 1)):
        archive = LogArchive(path, keep_days, keep_octets)
        archive.tidy()
        assert names_beside(path) == before
        assert archive.failures == 0


def test_two_processes_do_not_compress_the_same_file(path: Path) -> None:
    """Who has it locked finishes it; the other one leaves it."""
    file = finished(path)
    with part(file).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        LogArchive(path, None).tidy()
        assert file.read_bytes() == OCTETS
        assert not packed(file).exists()
    LogArchive(path, None).tidy()

    assert octets_of(path) == OCTETS
    assert not file.exists()


def finish(file: Path) -> None:
    part(file).write_bytes(gzip.compress(OCTETS))
    part(file).rename(packed(file))


def fail_and_let_a_third_begin(file: Path) -> None:
    part(file).unlink()
    part(file).write_bytes(gzip.compress(OCTETS)[:100])


@pytest.mark.parametrize("steps", [finish, fail_and_let_a_third_begin])
def test_what_another_does_between_opening_and_locking_spoils_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, steps: Callable[[Path], object]
) -> None:
    """What is open is then not what has the name."""
    file = finished(path)
    lock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        steps(file)
        lock(descriptor, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", late)
        LogArchive(path, None).tidy()
    assert octets_of(path) == OCTETS
    LogArchive(path, None).tidy()

    assert names_beside(path) == [packed(file).name]
    assert octets_of(path) == OCTETS


NOT_OURS: dict[str, Callable[[Path], Path]] = {
    "the log itself": lambda path: path,
    "of logrotate": lambda path: path.with_name("decisions.log-20200101"),
    "of another log": lambda path: path.with_name("other.log-20200101T000000.000000Z"),
    "no time": lambda path: path.with_name("decisions.log-20201399T000000.000000Z.gz"),
    "longer": lambda path: path.with_name("decisions.log-20200101T000000.000000Z.gz.bak"),
    "in front": lambda path: path.with_name("my-decisions.log-20200101T000000.000000Z"),
}


@pytest.mark.parametrize("of", NOT_OURS.values(), ids=NOT_OURS)
def test_other_files_are_left_alone(path: Path, of: Callable[[Path], Path]) -> None:
    """However old they are, and whatever their names are like."""
    file = of(path)
    file.write_bytes(OCTETS)
    LogArchive(path, keep_days=1, keep_octets=1).tidy()

    assert [each.read_bytes() for each in path.parent.iterdir()] == [OCTETS]


def test_files_are_deleted_some_days_after_they_were_finished(path: Path) -> None:
    """Compressed or not. Nothing is, unless that is asked for."""
    kept = finished(path, timedelta(hours=47))
    old, older = finished(path, timedelta(hours=49)), finished(path, timedelta(days=400))
    LogArchive(path, None).tidy()
    assert files_of(path) == [packed(older), packed(old), packed(kept)]
    finished(path, timedelta(days=100))
    archive = LogArchive(path, keep_days=2)
    archive.tidy()

    assert files_of(path) == [packed(kept)]
    assert archive.deleted == {Why.AGE: 3, Why.SIZE: 0}


def finished_one_by_one(path: Path, count: int, octets: bytes = OCTETS) -> list[Path]:
    """Finished files, oldest first."""
    return [finished(path, timedelta(hours=hours), octets) for hours in range(count, 0, -1)]


def test_the_oldest_go_when_all_are_more_than_the_bound(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once how many went, up to which one, and why."""
    caplog.set_level(logging.INFO)
    files = finished_one_by_one(path, 5)
    archive = LogArchive(path, None, 3 * PACKED)
    archive.tidy()
    archive.tidy()

    assert names_beside(path) == [packed(file).name for file in files[2:]]
    assert archive.deleted == {Why.AGE: 0, Why.SIZE: 2}
    (said,) = caplog.messages
    assert f"{path}: finished files deleted: 2, up to {files[1].name}: they were more than" in said


def test_files_are_compressed_before_they_are_counted(path: Path) -> None:
    """A file that was just finished costs no older one the room that it will not need."""
    old = [packed(file) for file in finished_one_by_one(path, 3)]
    LogArchive(path, None).tidy()
    new = finished(path)
    LogArchive(path, None, 4 * PACKED).tidy()

    assert len(OCTETS) > 4 * PACKED
    assert files_of(path) == [*old, packed(new)]


def test_the_log_itself_does_not_count(path: Path) -> None:
    """It is not finished, however large it is."""
    path.write_bytes(OCTETS)
    file = finished(path)
    LogArchive(path, None, PACKED).tidy()

    assert files_of(path) == [packed(file), path]


def test_both_bounds_hold(path: Path) -> None:
    """Whichever is narrower."""
    finished(path, timedelta(days=2))
    files = finished_one_by_one(path, 3)
    archive = LogArchive(path, 1, 3 * PACKED - 1)
    archive.tidy()

    assert files_of(path) == [packed(file) for file in files[1:]]
    assert archive.deleted == {Why.AGE: 1, Why.SIZE: 1}


def test_files_that_cannot_be_compressed_count_whole_and_go_whole(path: Path) -> None:
    """Both forms, where the one is not that of the other."""
    files = finished_one_by_one(path, 3)
    for file in files:
        packed(file).write_bytes(gzip.compress(b"something else\n"))
    LogArchive(path, None, 2 * len(OCTETS)).tidy()

    assert names_beside(path) == [files[2].name, packed(files[2]).name]


def test_what_is_begun_of_a_deleted_file_goes_with_it(path: Path) -> None:
    """Whoever began it was killed."""
    file = finished(path, timedelta(days=2))
    part(file).write_bytes(b"\x1f\x8bhalf of it")
    LogArchive(path, keep_days=1).tidy()

    assert names_beside(path) == []


def test_what_another_process_compresses_costs_no_file(path: Path) -> None:
    """How large it will be is not known; the next look counts it. Nor does it go itself."""
    older = finished(path, timedelta(hours=2))
    file = finished(path, timedelta(hours=1))
    archive = LogArchive(path, None, 2 * PACKED)
    with part(file).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        archive.tidy()
        assert names_beside(path) == [part(file).name, packed(older).name, file.name]
    archive.tidy()

    assert files_of(path) == [packed(older), packed(file)]


@pytest.mark.parametrize(("keep_days", "keep_octets"), [(1, None), (None, PACKED)])
def test_what_has_to_go_does_so_while_another_process_compresses_it(
    path: Path, keep_days: int | None, keep_octets: int | None
) -> None:
    """Else a newer file would go before it."""
    file = finished(path, timedelta(days=3))
    finished(path, timedelta(days=2))
    kept = finished(path)
    archive = LogArchive(path, keep_days, keep_octets)
    with part(file).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        archive.tidy()

    assert names_beside(path) == [packed(kept).name]
    assert sum(archive.deleted.values()) == 2
    assert archive.failures == 0


@pytest.mark.parametrize("operation", ["fsync", "rename"])
def test_a_file_that_is_deleted_while_it_is_compressed_does_not_come_back(
    path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """However late."""
    finished(path, timedelta(days=2))
    original = getattr(os, operation)

    def late(*arguments: object) -> None:
        monkeypatch.undo()
        other = LogArchive(path, keep_days=1)
        other.tidy()
        assert other.deleted[Why.AGE] == 1
        original(*arguments)

    monkeypatch.setattr(os, operation, late)
    archive = LogArchive(path, None)
    archive.tidy()

    assert names_beside(path) == []
    assert (archive.failures, archive.deleted[Why.AGE]) == (0, 0)


@pytest.mark.parametrize("step", range(3))
def test_a_file_does_not_come_back_whenever_its_compressed_form_is_ready(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Between whatever steps of its deletion another process gets so far."""
    file = finished(path)
    part(file).write_bytes(gzip.compress(OCTETS))
    is_file = log_finished.is_file
    asked: list[Path] = []

    def late(form: Path) -> bool:
        if len(asked) == step and part(file).exists():
            part(file).rename(packed(file))
        asked.append(form)
        return is_file(form)

    monkeypatch.setattr(log_finished, "is_file", late)

    assert log_finished.delete(file)
    assert names_beside(path) == []


def test_a_file_that_is_gone_is_not_deleted_once_more(path: Path) -> None:
    """Not even where what was begun of it is still there, and goes."""
    file = finished(path)
    part(file).touch()
    file.unlink()

    assert not log_finished.delete(file)
    assert names_beside(path) == []


def test_what_the_end_left_uncompressed_costs_no_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next start it is compressed, and then there is room for all."""
    older = finished(path, timedelta(hours=1))
    LogArchive(path, None).tidy()
    file = finished(path)
    lock = fcntl.flock
    begun, ended = threading.Event(), threading.Event()

    def late(descriptor: int, operation: int) -> None:
        begun.set()
        ended.wait(10)
        lock(descriptor, operation)

    monkeypatch.setattr(log_archive, "_STOP_SECONDS", 0)
    monkeypatch.setattr(fcntl, "flock", late)
    archive = LogArchive(path, None, 2 * PACKED)
    archive.start()
    (thread,) = (each for each in threading.enumerate() if each.name == "decision-log-archive")
    assert begun.wait(10)
    archive.close()
    ended.set()
    thread.join(10)

    assert not thread.is_alive()
    assert files_of(path) == [packed(older), file]
    assert sum(archive.deleted.values()) == 0


def test_the_start_says_what_the_bounds_are(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And nothing, where there is none."""
    caplog.set_level(logging.INFO)
    for keep_days, keep_octets in ((None, None), (30, 200_000_000)):
        archive = LogArchive(path, keep_days, keep_octets)
        archive.start()
        archive.close()

    (said,) = caplog.messages
    assert said.endswith(
        f"{path}: finished files are deleted when they are older than 30 days, or more than 200 MB"
        " together"
    )


TIDYING = """
import sys
from pathlib import Path
from extauthz.observe.log_archive import LogArchive
from extauthz.observe.log_retention import Why
archive = LogArchive(Path(sys.argv[1]), None, int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
archive.tidy()
print(archive.deleted[Why.SIZE], archive.failures)
"""


def test_two_processes_delete_together_what_one_would(path: Path) -> None:
    """Each file is counted by the one that deleted it; none fails because the other was quicker."""
    files = finished_one_by_one(path, 300, b"".join(lines(10)))
    LogArchive(path, None).tidy()
    octets = packed(files[0]).stat().st_size
    new = finished_one_by_one(path, 3)
    bound = 3 * PACKED + 20 * octets
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TIDYING, path, str(bound)], cwd=REPOSITORY, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0].split() for process in processes]
    # Where one had a new file in hand as the other counted, the next look finds it.
    last = LogArchive(path, None, bound)
    last.tidy()

    assert [failures for _, failures in said] == ["0", "0"]
    assert files_of(path) == sorted([packed(file) for file in [*files, *new]])[-23:]
    assert sum(int(deleted) for deleted, _ in said) + last.deleted[Why.SIZE] == 280


def test_names_are_free_and_sort_by_time(path: Path) -> None:
    """Also of files that are compressed by now, and within one tick of the clock."""
    archive = LogArchive(path, None)
    names = []
    for number in range(50):
        name = archive.free_name()
        (packed(name) if number % 2 else name).touch()
        names.append(name)

    assert names == sorted(set(names))


def test_a_full_disk_leaves_the_file_as_it_was(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was compressed of it is cleared away, and it is tried again."""
    file = finished(path, octets=os.urandom(1_000_000))
    octets = file.read_bytes()
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from extauthz.observe.log_archive import LogArchive\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "archive = LogArchive(Path(sys.argv[1]), None); archive.tidy()\n"
        "print(archive.failures)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], check=True, capture_output=True, text=True,
        cwd=REPOSITORY,
    )  # fmt: skip

    assert done.stdout == "1\n"
    assert "is left as it is: File too large" in done.stderr
    assert names_beside(path) == [file.name]
    LogArchive(path, None).tidy()
    assert gzip.decompress(packed(file).read_bytes()) == octets


def test_on_a_full_disk_the_oldest_go_all_the_same(path: Path) -> None:
    """Files that cannot be compressed for want of room count as they are, and make room."""
    files = finished_one_by_one(path, 4, os.urandom(1_000_000))
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from extauthz.observe.log_archive import LogArchive\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "LogArchive(Path(sys.argv[1]), None, 2_000_000).tidy()\n"
    )
    # No file may grow, and so none that the output of the tests goes to.
    subprocess.run(
        [sys.executable, "-c", script, path], check=True, capture_output=True, cwd=REPOSITORY
    )

    assert names_beside(path) == [file.name for file in files[2:]]


def test_a_directory_that_is_gone_is_no_end(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It comes back with the next line."""
    path.parent.rmdir()
    LogArchive(path, 1).tidy()

    assert "No such file or directory" in caplog.text

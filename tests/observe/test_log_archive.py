"""Finished files of a log: compressed, deleted in time, and none lost on the way."""

import fcntl
import gzip
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extauthz.observe.log_archive import LogArchive
from tests.observe.log_lines import files_of, lines, octets_of

OCTETS = b"".join(lines(1_000))


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


def test_what_only_looks_like_a_finished_file_is_left_alone(path: Path) -> None:
    """A pipe, a link and other digits: we make none of them. Neither time nor a start matters."""
    other = path.with_name(f"{path.name}-٢٠٢٠٠١٠١T٠٠٠٠٠٠.٠٠٠٠٠٠Z")
    other.write_bytes(OCTETS)
    path.with_name(f"{path.name}-20200102T000000.000000Z").symlink_to(other)
    os.mkfifo(path.with_name(f"{path.name}-20200103T000000.000000Z"))
    part(path.with_name(f"{path.name}-20200104T000000.000000Z")).mkdir()
    before = names_beside(path)
    for keep_days in (None, 1):
        archive = LogArchive(path, keep_days)
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
    LogArchive(path, keep_days=1).tidy()

    assert [each.read_bytes() for each in path.parent.iterdir()] == [OCTETS]


def test_files_are_deleted_some_days_after_they_were_finished(path: Path) -> None:
    """Compressed or not. Nothing is, unless that is asked for."""
    kept = finished(path, timedelta(hours=47))
    old, older = finished(path, timedelta(hours=49)), finished(path, timedelta(days=400))
    LogArchive(path, None).tidy()
    assert files_of(path) == [packed(older), packed(old), packed(kept)]
    finished(path, timedelta(days=100))
    LogArchive(path, keep_days=2).tidy()

    assert files_of(path) == [packed(kept)]


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
        cwd=Path(__file__).parents[2],
    )  # fmt: skip

    assert done.stdout == "1\n"
    assert "is left as it is: File too large" in done.stderr
    assert names_beside(path) == [file.name]
    LogArchive(path, None).tidy()
    assert gzip.decompress(packed(file).read_bytes()) == octets


def test_a_directory_that_is_gone_is_no_end(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It comes back with the next line."""
    path.parent.rmdir()
    LogArchive(path, 1).tidy()

    assert "No such file or directory" in caplog.text

"""Decision logs in files: each line is whole and in one of them, whoever pulls the rug away."""

import errno
import fcntl
import logging
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from extauthz.observe import log_file
from extauthz.observe.log_file import Keeping, LogFile
from tests.observe.log_lines import files_of, ids_in, line, lines, octets_of, records_of

FOREVER = Keeping(max_octets=0, max_seconds=0)
DAY = 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "decisions.log"


@pytest.fixture(autouse=True)
def directory(path: Path) -> Path:
    path.parent.mkdir()
    return path.parent


@contextmanager
def opened(path: Path, keeping: Keeping = FOREVER) -> Iterator[LogFile]:
    file = LogFile(path, keeping)
    yield file
    file.close()


@contextmanager
def no_file_larger_than(octets: int) -> Iterator[None]:
    """What a write runs into where the disk is full: some of it is written, then none."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[None]:
    """A small disk of its own. Not everybody may mount one."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("this user cannot mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def is_open(descriptor: Path, file: Path) -> bool:
    """Whether it is one of this file. Others may be closed while they are looked at."""
    with suppress(FileNotFoundError):
        return descriptor.samefile(file)
    return False


class TestWriting:
    def test_lines_are_added_to_what_is_there(self, path: Path) -> None:
        """A restart goes on where the log ended."""
        for name in "ab":
            with opened(path) as file:
                file.write(line(name))

        assert ids_in(records_of(path)) == ["a", "b"]

    def test_others_may_not_read_it(self, path: Path) -> None:
        """It says who uses the service, and when."""
        with opened(path):
            assert stat.S_IMODE(path.stat().st_mode) & 0o137 == 0

    def test_a_change_of_the_working_directory_does_not_move_it(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A relative name means what it meant at the start."""
        monkeypatch.chdir(path.parent)
        with opened(Path("decisions.log")) as file:
            monkeypatch.chdir("/")
            path.unlink()
            file.write(line("a"))

        assert ids_in(records_of(path)) == ["a"]


def broken(*_arguments: object) -> None:
    """Stands in for a call to a disk that fails, which none does at a test's word."""
    raise OSError(errno.EIO, "Input/output error")


def link_to_a_log(path: Path) -> None:
    path.with_name("real").write_bytes(line("a"))
    path.symlink_to("real")


def file_for_its_directory(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


NOT_A_LOG: dict[str, tuple[Callable[[Path], object], str]] = {
    "directory": (lambda path: path.mkdir(), "Is a directory"),
    "named pipe": (os.mkfifo, "it is no regular file"),
    "symbolic link": (
        lambda path: path.symlink_to("elsewhere"), "it is a symbolic link: name the file itself",
    ),
    "symbolic link to a log": (link_to_a_log, "it is a symbolic link: name the file itself"),
    "configuration": (
        lambda path: path.write_text('{"listen": "127.0.0.1"}'),
        "it is there, and does not look like a decision log",
    ),
    "text": (
        lambda path: path.write_text("Good morning\n"),
        "it is there, and does not look like a decision log",
    ),
    "large file without a line feed": (
        lambda path: path.write_bytes(b'{"schema":' + b"x" * 2**20),
        "it does not end like a decision log",
    ),
    "no directory": (lambda path: path.parent.rmdir(), "No such file or directory"),
    "file for a directory": (file_for_its_directory, "Not a directory"),
}  # fmt: skip


class TestOpening:
    @pytest.mark.parametrize(("make", "reason"), NOT_A_LOG.values(), ids=NOT_A_LOG)
    def test_nothing_but_a_log_is_written_to(
        self, path: Path, make: Callable[[Path], object], reason: str
    ) -> None:
        """A mistyped name must not damage a file, nor may somebody else choose it."""
        make(path)
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(OSError, match=reason):
            LogFile(path, FOREVER)

        assert (path.read_bytes() if path.is_file() else None) == before

    @pytest.mark.parametrize("torn", [b"{", line("b")[:40], line("b")[:-1], b"\0" * 3_000_000])
    def test_a_line_that_a_power_cut_tore_is_cut_off(
        self, path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Some file systems leave zeros. The operator is told."""
        path.write_bytes(line("a") + torn)
        with opened(path) as file:
            file.write(line("c"))

        assert ids_in(records_of(path)) == ["a", "c"]
        assert f"{len(torn)} octets of a torn line are cut off" in caplog.text

    @pytest.mark.parametrize("torn", [b"{", b"\0\0\0", line("a")[:-1]])
    def test_nothing_may_be_left(self, path: Path, torn: bytes) -> None:
        """Where the first line was torn."""
        path.write_bytes(torn)
        with opened(path) as file:
            file.write(line("b"))

        assert ids_in(records_of(path)) == ["b"]

    def test_one_who_may_not_rotate_it_is_told_at_the_start(self) -> None:
        """And not when the file is full. Whoever rotates it otherwise can say so."""
        script = (
            "import os, sys; from pathlib import Path\n"
            "from extauthz.observe.log_file import Keeping, LogFile\n"
            "if os.getuid() == 0: os.setuid(65534)\n"
            "path = Path(sys.argv[1])\n"
            "LogFile(path, Keeping(max_octets=0, max_seconds=0)).close()\n"
            "try: LogFile(path, Keeping())\n"
            "except OSError as error: print(error.strerror)\n"
        )
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "log")
            path.touch()
            path.chmod(0o666)
            path.parent.chmod(0o555)
            done = subprocess.run(
                [sys.executable, "-c", script, path],
                check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
            )  # fmt: skip

        assert done.stdout == (
            f"{directory} is not writable, as rotation needs (or switch that off)\n"
        )


class TestRotation:
    def test_a_file_ends_before_it_gets_too_large(self, path: Path) -> None:
        """Its name says when; names sort by time."""
        size = len(line("00"))
        with opened(path, Keeping(max_octets=3 * size)) as file:
            for number in range(10, 20):
                file.write(line(str(number)))

        assert ids_in(records_of(path)) == [str(number) for number in range(10, 20)]
        assert len(files_of(path)) == 4
        assert (file.rotations, file.beginnings) == (3, 3)

    def test_a_file_of_yesterday_ends_with_the_first_line_of_today(self, path: Path) -> None:
        """Also after a restart: the file itself says when it was written."""
        path.write_bytes(line("yesterday"))
        os.utime(path, (time.time() - DAY, time.time() - DAY))
        with opened(path, Keeping()) as file:
            file.write(line("today"))
        finished, current = files_of(path)

        assert finished.name.startswith("decisions.log-20")
        assert current.read_bytes() == line("today")
        assert ids_in(records_of(path)) == ["yesterday", "today"]

    def test_a_file_of_yesterday_ends_without_a_line(self, path: Path) -> None:
        """So that it can be compressed, and deleted in time, where nobody comes any more."""
        path.write_bytes(line("yesterday"))
        os.utime(path, (time.time() - DAY, time.time() - DAY))
        with opened(path, Keeping()) as file:
            due = file.tend()
            assert path.read_bytes() == b""
            file.tend()

        assert 0 < due <= 60
        assert file.rotations == 1
        assert ids_in(records_of(path)) == ["yesterday"]

    def test_an_empty_file_never_ends(self, path: Path) -> None:
        path.touch()
        os.utime(path, (0, 0))
        with opened(path, Keeping(max_octets=1)) as file:
            file.tend()
            file.write(line("larger than it may be"))

        assert files_of(path) == [path]

    def test_no_limit_is_no_rotation(self, path: Path) -> None:
        """Where logrotate does it."""
        path.write_bytes(line("yesterday") * 1000)
        os.utime(path, (0, 0))
        with opened(path) as file:
            file.tend()
            file.write(line("today"))

        assert files_of(path) == [path]

    def test_others_that_rotate_it_lose_no_line(self, path: Path) -> None:
        """As logrotate does: a file that was renamed is not written to any more."""
        with opened(path) as file:
            file.write(line("a"))
            path.rename(path.with_name("decisions.log-1"))
            file.write(line("b"))
            path.rename(path.with_name("decisions.log-2"))
            path.touch()
            file.write(line("c"))

        assert [ids_in(records_of(path.with_name(f"decisions.log-{n}"))) for n in (1, 2)] == [
            ["a"], ["b"],
        ]  # fmt: skip
        assert ids_in(records_of(path)) == ["a", "b", "c"]
        assert file.beginnings == 2

    def test_two_that_share_a_file_agree(self, path: Path) -> None:
        """Each goes on in the file that the other began, also in the same microsecond."""
        keeping = Keeping(max_octets=1)
        with opened(path, keeping) as one, opened(path, keeping) as other:
            for number in range(20):
                (one, other)[number % 3 == 0].write(line(str(number)))

        assert ids_in(records_of(path)) == [str(number) for number in range(20)]
        assert one.rotations + other.rotations == 19

    def test_a_file_that_another_finished_is_let_go(self, path: Path) -> None:
        """Its room on the disk is free once it is compressed, though this one has no line."""
        with opened(path) as file:
            finished = path.rename(path.with_name("decisions.log-1"))
            file.tend()
            held = [each for each in Path("/proc/self/fd").iterdir() if is_open(each, finished)]

        assert held == []


class TestDisk:
    """A batch is written whole, or none of it is."""

    def test_nothing_is_left_of_a_batch_that_does_not_fit(self, path: Path) -> None:
        """It can be handed over again when there is room."""
        batch = b"".join(lines(10))
        with opened(path) as file:
            file.write(line("a"))
            with no_file_larger_than(path.stat().st_size + len(batch) - 1):
                for _ in range(3):
                    with pytest.raises(OSError, match="File too large"):
                        file.write(batch)
                    assert ids_in(records_of(path)) == ["a"]
                    assert file.troubles == ("it cannot be written: File too large",)
            file.write(batch)
            assert not file.troubles

        assert octets_of(path) == line("a") + batch

    def test_a_full_disk_is_no_end(self, path: Path) -> None:
        """A real one, of a few pages."""
        with mounted(path.parent, "size=64k"), opened(path) as file:
            filler = path.with_name("filler")
            batch = b"".join(lines(20))
            file.write(batch)
            with pytest.raises(OSError, match="No space left"):
                filler.write_bytes(b"x" * 65_536)
            with pytest.raises(OSError, match="No space left"):
                file.write(batch)
            assert octets_of(path) == batch
            filler.unlink()
            file.write(batch)
            assert octets_of(path) == batch + batch

    def test_a_full_disk_keeps_no_file_from_being_finished_later(self, path: Path) -> None:
        """There is no room for a new file, or for the compressed one."""
        with (
            mounted(path.parent, "size=64k,nr_inodes=3"),
            opened(path, Keeping(max_octets=1000)) as file,
        ):
            path.with_name("filler").touch()
            file.write(lines(1)[0])
            with pytest.raises(OSError, match="No space left"):
                file.write(b"".join(lines(2)))
            path.with_name("filler").unlink()
            file.write(b"".join(lines(2)))
            assert ids_in(records_of(path)) == ["0", "0", "1"]

    def test_a_read_only_disk_is_no_end(self, path: Path) -> None:
        """Lines go out when it can be written again."""
        with mounted(path.parent, "size=64k"):
            with opened(path) as file:
                file.write(line("a"))
                moved = path.with_name("moved")
                path.rename(moved)
                remount = ["mount", "-o", "remount,{}", "tmpfs", str(path.parent)]
                # A disk does not become read-only while a file is open for writing, but by a fault.
                file.tend()
                subprocess.run([each.format("ro") for each in remount], check=True)
                with pytest.raises(OSError, match="Read-only file system"):
                    file.write(line("b"))
                subprocess.run([each.format("rw") for each in remount], check=True)
                file.write(line("b"))
            assert ids_in(records_of(moved)) == ["a"]
            assert ids_in(records_of(path)) == ["b"]

    def test_a_directory_that_is_removed_comes_back(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What was in it is gone, and that is said; what comes is kept."""
        with opened(path) as file, caplog.at_level(logging.WARNING):
            file.write(line("a"))
            path.unlink()
            file.write(line("b"))
            assert caplog.messages == []
            shutil.rmtree(path.parent)
            file.write(line("c"))
            file.write(line("d"))
            assert stat.S_IMODE(path.parent.stat().st_mode) & 0o027 == 0

        assert ids_in(records_of(path)) == ["c", "d"]
        (message,) = caplog.messages
        assert message == (
            f"decision log file:{path}: its directory was gone, with what was in it, and is made"
            " again"
        )

    def test_a_directory_that_cannot_be_reached_is_no_end(self, path: Path) -> None:
        """Whatever the reason: here its name leads in a circle."""
        path.write_bytes(line("yesterday"))
        os.utime(path, (time.time() - DAY, time.time() - DAY))
        moved = path.parent.with_name("moved")
        with opened(path, Keeping()) as file:
            path.parent.rename(moved)
            path.parent.symlink_to(path.parent)
            assert file.tend() > 0
            with pytest.raises(OSError, match="Too many levels of symbolic links"):
                file.write(line("today"))
            path.parent.unlink()
            moved.rename(path.parent)
            file.write(line("today"))

        assert ids_in(records_of(path)) == ["yesterday", "today"]
        assert file.failures == 1

    def test_a_file_that_cannot_be_rotated_goes_on(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is said, and tried again after a while. A name too long for a stamp, for example."""
        path = path.with_name("x" * (os.pathconf(path.parent, "PC_NAME_MAX") - 15))
        with opened(path, Keeping(max_octets=1)) as file:
            for each in lines(5):
                file.write(each)
            assert file.troubles == ("it cannot be rotated: File name too long",)

        assert ids_in(records_of(path)) == ["0", "1", "2", "3", "4"]
        assert file.failures >= 1
        assert caplog.text.count("it cannot be rotated: File name too long") == 1

    @pytest.mark.parametrize("is_by_another", [False, True])
    def test_one_that_was_rotated_after_all_is_in_no_trouble(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, *, is_by_another: bool
    ) -> None:
        """By us when it is tried again, or by somebody else meanwhile."""
        with opened(path, Keeping(max_octets=200, max_seconds=0)) as file:
            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", broken)
                for each in lines(5):
                    file.write(each)
            assert [*file.troubles] == ["it cannot be rotated: Input/output error"]
            monkeypatch.setattr(file, "_rotate_at", 0.0)
            if is_by_another:
                path.rename(path.with_name("other"))
            file.write(line("a"))
            assert not file.troubles

    def test_a_file_that_became_something_else_is_not_written_to(self, path: Path) -> None:
        """While it stands there, lines wait."""
        with opened(path) as file:
            path.unlink()
            path.write_text("Good morning\n")
            with pytest.raises(OSError, match="does not look like a decision log"):
                file.write(line("a"))
            path.unlink()
            file.write(line("a"))

        assert ids_in(records_of(path)) == ["a"]


class TestSeveralProcesses:
    def test_what_another_tore_is_cut_off_before_the_next_line(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It was killed in the middle of a batch."""
        with opened(path) as file:
            file.write(line("a"))
            with path.open("ab") as other:
                other.write(line("b") + line("c")[:50])
            file.write(line("d"))

        assert ids_in(records_of(path)) == ["a", "b", "d"]
        assert "50 octets of a torn line are cut off" in caplog.text

    def test_one_that_is_stopped_with_the_lock_keeps_none_from_starting(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That is no mistake of who starts it, and lines can wait."""
        monkeypatch.setattr(log_file, "_LOCK_SECONDS", 0.01)
        with path.open("wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with opened(path) as file:
                with pytest.raises(BlockingIOError):
                    file.write(line("a"))
                fcntl.flock(other, fcntl.LOCK_UN)
                file.write(line("a"))
        assert ids_in(records_of(path)) == ["a"]

    def test_one_that_is_stopped_with_the_lock_does_not_stop_the_others_for_ever(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a while it is an error, so that the operator hears of it."""
        monkeypatch.setattr(log_file, "_LOCK_SECONDS", 0.2)
        with opened(path) as file, path.open("ab") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            began = time.monotonic()
            with pytest.raises(OSError, match="another process has it locked"):
                file.write(line("a"))
            assert 0.2 <= time.monotonic() - began < 30
            fcntl.flock(other, fcntl.LOCK_UN)
            file.write(line("a"))

        assert ids_in(records_of(path)) == ["a"]


class TestSync:
    """How long a line may be in the kernel's memory only."""

    @pytest.fixture
    def synced(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        times: list[float] = []
        fsync = os.fsync

        def noted(descriptor: int) -> None:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                times.append(time.monotonic())
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", noted)
        return times

    def test_each_batch_where_that_is_asked_for(self, path: Path, synced: list[float]) -> None:
        with opened(path, Keeping(sync_seconds=0)) as file:
            for each in lines(3):
                file.write(each)
            assert len(synced) == 3

    def test_after_a_while_else(self, path: Path, synced: list[float]) -> None:
        """And not before, and once for many."""
        with opened(path, Keeping(sync_seconds=0.2)) as file:
            began = time.monotonic()
            file.write(line("a"))
            file.write(line("b"))
            while not synced:
                time.sleep(min(0.05, file.tend()))
            file.tend()
            assert 0.15 < synced[0] - began < 30
            assert len(synced) == 1
            file.write(line("c"))
        assert len(synced) == 2

    def test_a_disk_that_fails_is_said(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """For as long as it does."""
        with opened(path, Keeping(sync_seconds=0)) as file:
            with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
                patch.setattr(os, "fsync", broken)
                file.write(line("a"))
                file.write(line("b"))
            assert [*file.troubles] == ["it cannot be made safe on the disk: Input/output error"]
            file.write(line("c"))
            assert not file.troubles

        assert ids_in(records_of(path)) == ["a", "b", "c"]
        assert file.failures == 2
        assert len(caplog.messages) == 1
        assert "it cannot be made safe on the disk: Input/output error" in caplog.text

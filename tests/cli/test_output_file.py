"""Files that a command writes, and those that it must not write over."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.cli.output_file import START, ensure_replaceable, replace
from extauthz.files import FileProblemError

OLD, NEW = b"ours: old", b"ours: new"


def is_ours(start: bytes) -> bool:
    assert 0 < len(start) <= START
    return start.startswith(b"ours")


@pytest.fixture
def umask() -> Iterator[int]:
    """The usual one, which would let everybody read."""
    before = os.umask(0o022)
    yield 0o022
    os.umask(before)


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_file_is_for_owner_and_group_alone(tmp_path: Path, umask: int) -> None:
    """As the log is; and no one else where the umask says so. Nothing else is left behind."""
    assert umask == 0o022
    path = tmp_path / "new"
    replace(path, NEW, [], is_ours)
    assert (path.read_bytes(), mode(path)) == (NEW, 0o640)
    os.umask(0o077)
    replace(tmp_path / "own", NEW, [], is_ours)
    assert mode(tmp_path / "own") == 0o600
    assert names(tmp_path) == ["new", "own"]


def test_own_file_is_replaced_and_not_written_into(tmp_path: Path) -> None:
    """Who has it open reads the old one to its end. Permissions are whoever gave them's."""
    path = tmp_path / "report"
    path.write_bytes(OLD + bytes(2 * START))
    path.chmod(0o604)
    with path.open("rb") as reader:
        ensure_replaceable(path, [], is_ours)
        replace(path, NEW, [], is_ours)
        assert reader.read() == OLD + bytes(2 * START)
    assert (path.read_bytes(), mode(path)) == (NEW, 0o604)


def test_empty_file_is_nobodys(tmp_path: Path) -> None:
    """As `mktemp` makes one."""
    path = tmp_path / "made"
    path.touch(0o600)
    replace(path, NEW, [], is_ours)
    assert (path.read_bytes(), mode(path)) == (NEW, 0o600)


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    """It is said what would be right."""
    path = tmp_path / "thesis"
    path.write_bytes(b"three years of work")
    with pytest.raises(FileProblemError, match=r"thesis: .*did not write it") as raised:
        replace(path, NEW, [], is_ours)
    assert "name another file" in raised.value.remedy
    with pytest.raises(FileProblemError, match="did not write it"):
        ensure_replaceable(path, [], is_ours)
    assert path.read_bytes() == b"three years of work"


@pytest.mark.parametrize("name", ["log", "./log", "soft", "hard"])
def test_input_stays_under_whatever_name(name: str, tmp_path: Path) -> None:
    """Though it looks like ours, as an older report that is read would."""
    log = tmp_path / "log"
    log.write_bytes(OLD)
    (tmp_path / "soft").symlink_to("log")
    (tmp_path / "hard").hardlink_to(log)
    path = Path(f"{tmp_path}/{name}")
    with pytest.raises(FileProblemError, match="one of the files to read"):
        replace(path, NEW, [tmp_path / "missing", log], is_ours)
    assert log.read_bytes() == OLD


def test_link_stays_and_leads_to_the_new_content(tmp_path: Path) -> None:
    """One that leads nowhere yet, too."""
    for there in (True, False):
        directory = tmp_path / str(there)
        directory.mkdir()
        if there:
            (directory / "1.html").write_bytes(OLD)
        (directory / "latest.html").symlink_to("1.html")
        replace(directory / "latest.html", NEW, [], is_ours)
        assert (directory / "latest.html").is_symlink()
        assert (directory / "1.html").read_bytes() == NEW


def test_pipe_is_written_into(tmp_path: Path) -> None:
    """As `>(gzip > x.gz)` gives one; so is a device."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=replace, args=(path, NEW, [], is_ours))
    writer.start()
    assert path.read_bytes() == NEW
    writer.join()
    assert path.is_fifo()
    replace(Path(os.devnull), NEW, [Path(os.devnull)], is_ours)
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is a directory"),
        ("missing/report", "No such file or directory"),
        ("file/report", "Not a directory"),
        ("loop", "symbolic links"),
        ("a\0b", "cannot be written: embedded null"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_written_is_said(name: str, said: str, tmp_path: Path) -> None:
    """With the name, and nothing left behind."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(FileProblemError, match=said) as raised:
        replace(tmp_path / name, NEW, [], is_ours)
    assert str(raised.value).startswith(f"{tmp_path / name}: ")
    assert names(tmp_path) == ["file", "loop"]


def test_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    """A full disk costs no report; what was begun goes."""
    path = tmp_path / "report"
    path.write_bytes(OLD)
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from extauthz.cli.output_file import replace\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "replace(Path(sys.argv[1]), bytes(5000), [], lambda start: True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, check=False, timeout=60
    )
    assert b"FileProblemError" in done.stderr
    assert b"File too large" in done.stderr
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["report"]


def test_file_in_a_directory_of_others_is_written_where_it_is() -> None:
    """Nothing can be put beside it: so it is where one file is mounted into a container."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from extauthz.cli.output_file import replace\n"
        "if not os.geteuid(): os.setgid(65534); os.setuid(65534)\n"
        "replace(Path(sys.argv[1]), b'ours: new', [], lambda start: True)\n"
    )
    with tempfile.TemporaryDirectory() as name:
        directory, path = Path(name), Path(name) / "report"
        path.write_bytes(OLD * 99)
        path.chmod(0o666)
        inode = path.stat().st_ino
        directory.chmod(0o555)
        try:
            done = subprocess.run(
                [sys.executable, "-c", code, str(path)], capture_output=True, check=False,
                timeout=60,
            )  # fmt: skip
        finally:
            directory.chmod(0o755)
        assert (done.stderr, path.read_bytes(), path.stat().st_ino) == (b"", NEW, inode)
        assert names(directory) == ["report"]

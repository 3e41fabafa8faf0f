"""The command under a refusal: it can be copied, and finds what it is about."""

import os
import shlex
from pathlib import Path

import pytest

from extauthz.cli import main
from extauthz.report.hint import explain, where_to_look
from tests.report.records import check, line


def test_request_id_and_names_are_harmless_in_a_shell() -> None:
    """A client may have chosen the id."""
    command = explain("x; reboot", ["/var/log/$(reboot)", "b"])
    assert command == "extauthz explain 'x; reboot' --log '/var/log/$(reboot)' b"
    assert explain("x") == "extauthz explain x --log FILE"


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Five files of a log, in a directory of their own."""
    monkeypatch.chdir(tmp_path)
    Path("log").mkdir()
    files = [f"log/{number}" for number in range(5)]
    for each in files:
        Path(each).touch()
    return files


def test_what_was_given_is_looked_in(names: list[str]) -> None:
    """A directory is a directory; of many files, it is theirs."""
    assert where_to_look(["log"], names) == ("log",)
    assert where_to_look([names[1], names[0], names[1]], names[:2]) == (names[1], names[0])
    assert where_to_look(names, names) == ("log",)


def test_what_no_shell_gives_is_the_files_that_were_read(names: list[str]) -> None:
    """A pattern in quotes, and a file that is compressed by now; a name is no option."""
    assert where_to_look(["log/[01]"], names[:2]) == ("log/0", "log/1")
    assert where_to_look(["log/*"], names) == ("log",)
    Path("-x").touch()
    assert where_to_look(["-x"], ["-x"]) == ("./-x",)


def test_what_cannot_be_read_twice_is_not_named(names: list[str]) -> None:
    """Nor are directories, when they are many."""
    os.mkfifo("pipe")
    for given in (["-"], ["pipe"], [names[0], "-"], ["/dev/fd/63"]):
        assert where_to_look(given, given) == (), given
    directories = [f"{n}" for n in range(4)]
    for each in directories:
        Path(each).mkdir()
    assert where_to_look(directories, []) == ()
    assert where_to_look([*names, "0"], []) == ("log", "0")
    files = [f"{each}/x" for each in directories]
    for each in files:
        Path(each).touch()
    assert where_to_look(files, files) == ()


def test_command_finds_the_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the name of the directory that the report was given."""
    directory = tmp_path / "of the log"
    directory.mkdir()
    (directory / "decisions.jsonl").write_bytes(line(check(request_id="it's me")))
    looked = where_to_look([str(directory)], [str(directory / "decisions.jsonl")])
    _, *arguments = shlex.split(explain("it's me", looked))
    assert main(arguments) == 0
    assert "it's me" in capsys.readouterr().out

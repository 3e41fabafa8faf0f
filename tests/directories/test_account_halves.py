"""A large file read by two processes: the same comes of it as of one."""

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from extauthz.directory import halves
from extauthz.directory.formats import format_of
from extauthz.directory.index import Batch, batches
from extauthz.directory.mistakes import Problem, UnreadableError
from extauthz.directory.records import Record, Records
from extauthz.identity import IdentityKind

# From 3.12 on Python warns of threads that other tests may have left.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

COUNT = 2000
CSV = "login,email,former\n" + "".join(
    f"u{n},u{n}@acme.example,{'o@acme.example=2026-12-31' if n % 7 == 0 else ''}\n"
    for n in range(COUNT)
)
YAML = "# All.\n" + "".join(f"u{n}: [u{n}@acme.example, v{n}@x.example]\n" for n in range(COUNT))
JSONL = "".join(f'{{"login": "u{n}", "email": "u{n}@acme.example"}}\n' for n in range(COUNT))


@pytest.fixture(autouse=True)
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are divided too, also on one processor."""
    monkeypatch.setattr(halves, "DIVIDED_OCTETS", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def outcome(
    found: Iterator[Batch], records: Records
) -> tuple[list[object], list[tuple[int, str]], tuple[Problem, ...], int]:
    """What is indexed, with the numbers of the accounts, and what is wrong."""
    columns: list[object] = []
    names: list[tuple[int, str]] = []
    try:
        for some, others in found:
            names += ((len(columns) // 4 + number, name) for number, name in others)
            columns += some
    except UnreadableError as error:
        records.mistakes.add(error.problem)
    # A file with a mistake takes no effect: how far it was read is all the same.
    if records.mistakes.count:
        columns, names = [], []
    return columns, names, records.mistakes.kept, records.mistakes.count


FILES = {
    "a.csv": CSV,
    "mistakes.csv": CSV.replace("u7@", "u7").replace("u1999@", "u1999"),
    "more mistakes than are kept.csv": CSV.replace("5@", "5"),
    "cells are missing.csv": CSV + "u\n",
    "quotes.csv": CSV + '"multi\nline",a@x.example,\n',
    "header.csv": "login,mail\n" + CSV,
    "no end of line.csv": CSV.rstrip("\n"),
    "byte order mark.csv": "\ufeff" + CSV,
    "a.jsonl": JSONL,
    "mistakes.jsonl": JSONL.replace('"u3"', "3").replace('"u1998"', "1998"),
    "one line.jsonl": '{"login": "a", "email": "a@x.example"}',
    "a.yaml": YAML,
    "mistakes.yaml": YAML.replace("v3@", "v3").replace("v1999@", "v1999"),
    "first not plain.yaml": YAML.replace("u3:", "? u3\n:"),
    "second not plain.yaml": YAML.replace("u1999:", "? u1999\n:"),
    "over the middle.yaml": YAML.replace("u900:", "u900: '").replace("v1100@x.example]", "'"),
    "second document.yaml": YAML + "---\na: b\n",
    "end of document.yaml": YAML + "...\n",
    "unreadable.yaml": YAML + "a: 'b\n",
    "in brackets.yaml": "{\n" + YAML.replace("# All.\n", "").replace("]\n", "],\n") + "}\n",
    "nothing begins.yaml": " " + YAML.replace("\n", "\n "),
}


@pytest.mark.parametrize("name", FILES)
def test_two_processes_read_what_one_does(name: str) -> None:
    """The same accounts in the same order, at the same lines, with the same mistakes."""
    octets = FILES[name].encode()
    form = format_of(Path(name))
    one, two = Records(IdentityKind.EMAIL), Records(IdentityKind.EMAIL)
    expected = outcome(halves.at_once(form, octets, one), one)
    assert outcome(halves.in_halves(form, octets, two), two) == expected
    assert expected[0] or expected[2]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.yaml"])
def test_usual_files_are_divided_in_the_middle(name: str) -> None:
    """Otherwise a million accounts take longer than they may."""
    octets = FILES[name].encode()
    division = format_of(Path(name)).divide(octets)
    assert division is not None
    assert abs(division.cut - len(octets) / 2) < 100


def test_half_is_read_by_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its end, should it be killed, is no end of the file."""
    forked: list[int] = []
    fork = os.fork

    def fork_and_kill() -> int:
        pid = fork()
        if pid:
            forked.append(pid)
            os.kill(pid, signal.SIGKILL)
        return pid

    monkeypatch.setattr(os, "fork", fork_and_kill)
    form = format_of(Path("a.csv"))
    with pytest.raises(EOFError):
        list(halves.in_halves(form, CSV.encode(), Records(IdentityKind.EMAIL)))
    (pid,) = forked
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_copy_never_goes_on_as_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bug in reading ends the copy; there are no two of what comes after."""
    parent = os.getpid()

    def fail(records: Iterable[Record]) -> Iterator[Batch]:
        if os.getpid() != parent:
            raise RecursionError
        return batches(records)

    monkeypatch.setattr(halves, "batches", fail)
    found = halves.in_halves(format_of(Path("a.csv")), CSV.encode(), Records(IdentityKind.EMAIL))
    with pytest.raises(EOFError):
        list(found)
    with (tmp_path / "passed").open("a") as file:
        file.write("once")
    assert (tmp_path / "passed").read_text() == "once"


def test_nobody_reads_on_when_nobody_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process ends when the first one stops in the middle."""
    forked: list[int] = []
    fork = os.fork

    def remember() -> int:
        pid = fork()
        forked.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", remember)
    found = halves.in_halves(format_of(Path("a.csv")), CSV.encode(), Records(IdentityKind.EMAIL))
    next(found)
    found.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(forked[0], 0)


@pytest.mark.parametrize("processors", [1, 2])
def test_small_files_and_single_processors_have_one_process(
    monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    """Another process would only cost."""
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    monkeypatch.setattr(halves, "DIVIDED_OCTETS", 0 if processors == 1 else len(CSV) + 1)
    form = format_of(Path("a.csv"))
    found = list(halves.in_halves(form, CSV.encode(), Records(IdentityKind.EMAIL)))
    assert sum(len(columns) // 4 for columns, _ in found) == COUNT

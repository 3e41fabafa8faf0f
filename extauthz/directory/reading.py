"""A file of accounts to its accounts, or to all that is wrong with it. Blocks while it reads."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from extauthz.accounts import Account
from extauthz.directory.formats import Format, format_of
from extauthz.directory.halves import at_once
from extauthz.directory.index import Batch, Image, build
from extauthz.directory.mistakes import Problem, UnreadableError, in_words
from extauthz.directory.records import Records
from extauthz.files import FileProblemError, read_octets
from extauthz.identity import IdentityKind
from extauthz.lookup import AccountFile

__all__ = [
    "MAX_OCTETS", "AccountFileError", "Entry", "Reading", "entries", "problem_with", "read",
    "read_into_index",
]  # fmt: skip

MAX_OCTETS = 512 * 1024 * 1024
_PREAMBLE = 64 * 1024
"""Octets in which a private key is looked for."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a file once."""

    accounts: int
    problems: tuple[Problem, ...]
    """The first of the problems; with any, the file does not take effect."""
    count: int
    """How many problems there are in all."""
    digest: bytes = b""
    """SHA-256 of the content."""

    @property
    def is_good(self) -> bool:
        return self.count == 0

    def why(self, path: Path) -> str | None:
        """What is wrong, in one line; None when nothing is."""
        return in_words(path, self.problems, self.count) if self.count else None


class Entry(NamedTuple):
    """An account and how it stands in its file."""

    line: int
    account: Account
    written: tuple[str, ...]
    """The account's names as the file has them, in the order of `account.identities`."""


class AccountFileError(Exception):
    """A file of accounts is not as it should be."""

    def __init__(self, path: Path, problem: Problem) -> None:
        super().__init__(problem.of(path))
        self.problem = problem


def problem_with(settings: AccountFile) -> str | None:
    """What is wrong with the settings, whatever stands in the file."""
    try:
        format_of(Path(settings.path))
    except UnreadableError as error:
        return error.problem.message
    return None


def read(path: Path, kind: IdentityKind) -> Reading:
    """Read a file to see what is wrong with it."""
    return read_into_index(path, kind)[0]


def entries(path: Path, kind: IdentityKind) -> Iterator[Entry]:
    """The accounts of a file in their order.

    Raises AccountFileError at the first mistake; whether accounts are at odds, `read` says.
    """
    records = Records(kind)
    try:
        rows = format_of(path).rows(_content(path), records, 1)
        for record in filter(None, map(records.record, rows)):
            if records.mistakes.count:
                break
            yield Entry(record.line, record.account(), record.written)
    except UnreadableError as error:
        raise AccountFileError(path, error.problem) from error
    for problem in records.mistakes.kept:
        raise AccountFileError(path, problem)


def read_into_index(
    path: Path,
    kind: IdentityKind,
    known: bytes = b"",
    batches: Callable[[Format, bytes, Records], Iterator[Batch]] = at_once,
    turn: AbstractContextManager[object] | None = None,
) -> tuple[Reading, Image | None]:
    """Read a file; the image of its index when it is good and its content not the one known.

    What is read waits for its turn, where there is one to wait for, to be understood.
    """
    records = Records(kind)
    mistakes = records.mistakes
    accounts, image, digest = 0, None, b""
    try:
        form = format_of(path)
        octets = _content(path)
        digest = hashlib.sha256(octets).digest()
        if digest == known:
            return Reading(0, (), 0, digest), None
        found = batches(form, octets, records)
        # Nobody needs the text any more when the index is handed on.
        del octets
        with turn or nullcontext():
            accounts, image = build(found, mistakes)
    except UnreadableError as error:
        mistakes.add(error.problem)
    if accounts == 0 and mistakes.count == 0:
        mistakes.add(Problem("the file holds no account", "check that it is the right file"))
    reading = Reading(accounts, mistakes.kept, mistakes.count, digest)
    return reading, image if reading.is_good else None


def _content(path: Path) -> bytes:
    try:
        octets = read_octets(path, MAX_OCTETS)
    except FileProblemError as error:
        raise UnreadableError(Problem(f"it {error}", error.remedy)) from error
    if b"PRIVATE KEY-----" in octets[:_PREAMBLE]:
        remedy = "name the file with the accounts, and keep the key where nobody else reads it"
        raise UnreadableError(Problem("it holds a private key", remedy))
    if not octets.strip():
        raise UnreadableError(Problem("the file is empty", "check that it is the right file"))
    return octets

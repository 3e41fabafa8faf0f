"""Lines of decision logs, and what a reader of the files finds of them."""

import gzip
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from extauthz.decision import undecided
from extauthz.findings import Finding, Reason
from extauthz.observe.record import Entry, LineEncoder
from extauthz.records.line import CheckRecord, GapRecord, Record, parse

_DENIED = undecided(Finding(Reason.REQUEST_MALFORMED, "no more to say"))
_ENCODER = LineEncoder()


def line(request_id: str) -> bytes:
    """A real line."""
    now = datetime(2026, 11, 24, 3, 4, 5, 678901, tzinfo=UTC)
    return _ENCODER.line(Entry(_DENIED, None, request_id, 1, now, 0.0001))


def lines(count: int, name: str = "") -> list[bytes]:
    return [line(f"{name}{number}") for number in range(count)]


def files_of(path: Path) -> list[Path]:
    """The files of a log in the order in which they were written, by the documented pattern."""
    files = {*path.parent.glob(f"{path.name}-*")}
    # Where one is being compressed, both are there for a moment.
    files -= {file.with_suffix("") for file in files if file.suffix == ".gz"}
    return [*sorted(files), *([path] if path.exists() else [])]


def octets_of(path: Path) -> bytes:
    """All that was written to a log."""
    return b"".join(
        gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for file in files_of(path)
    )


def records_of(path: Path) -> list[Record]:
    """The records of a log. Every line is whole."""
    octets = octets_of(path)
    assert octets == b"" or octets.endswith(b"\n")
    return [parse(each) for each in octets.splitlines()]


def ids_in(records: Iterable[Record]) -> list[str | None]:
    return [record.request_id for record in records if isinstance(record, CheckRecord)]


def gaps_in(records: Iterable[Record]) -> list[GapRecord]:
    return [record for record in records if isinstance(record, GapRecord)]

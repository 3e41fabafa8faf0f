"""The formats of files of accounts, by the ending of a file's name."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from extauthz.directory import csv_rows, jsonl_rows, yaml_rows
from extauthz.directory.mistakes import Problem, UnreadableError
from extauthz.directory.records import Records
from extauthz.directory.rows import Division, Row
from extauthz.quoting import quoted

__all__ = ["Format", "format_of"]


class Format(NamedTuple):
    """How a format is read."""

    rows: Callable[[bytes, Records, int], Iterator[Row]]
    """The rows of a file, or of a part of it that begins in that line. Raises UnreadableError."""
    divide: Callable[[bytes], Division | None]
    """Where in its middle a file can be divided; None where it cannot."""
    first_rows: Callable[[bytes, Records, Division], Iterator[Row]]
    """The rows of the first part; of the whole file, where the division turns out not to hold."""


def format_of(path: Path) -> Format:
    """The format of a file. Raises UnreadableError."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        message = f"{quoted(path.suffix or path.name)} is the ending of no format that is known"
        raise UnreadableError(Problem(message, f"possible here: {', '.join(_FORMATS)}"))
    return found


def _first_csv(octets: bytes, records: Records, division: Division) -> Iterator[Row]:
    return csv_rows.rows(octets[: division.cut], records)


def _first_jsonl(octets: bytes, records: Records, division: Division) -> Iterator[Row]:
    return jsonl_rows.rows(octets[: division.cut], records)


_YAML = Format(yaml_rows.rows, yaml_rows.divide, yaml_rows.first_rows)
_JSONL = Format(jsonl_rows.rows, jsonl_rows.divide, _first_jsonl)
_FORMATS = {
    ".yaml": _YAML, ".yml": _YAML,
    ".csv": Format(csv_rows.rows, csv_rows.divide, _first_csv),
    ".jsonl": _JSONL, ".ndjson": _JSONL,
}  # fmt: skip

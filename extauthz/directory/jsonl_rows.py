"""JSON lines to rows: one object a line (RFC 8259), UTF-8.

    {"login": "alice", "email": ["alice@acme.example"], "groups": ["staff"]}

Empty lines are passed over. A key that stands twice is a mistake, though JSON's grammar allows it.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import orjson

from extauthz.directory.mistakes import Problem
from extauthz.directory.records import Records
from extauthz.directory.rows import Division, Row
from extauthz.quoting import quoted

__all__ = ["MAX_LINE", "divide", "rows"]

MAX_LINE = 1024 * 1024
"""Longest line, in octets."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def divide(octets: bytes) -> Division | None:
    """Where another process can begin to read: at any line."""
    cut = octets.find(b"\n", len(octets) // 2) + 1
    return Division(cut) if cut else None


def rows(octets: bytes, records: Records, first_line: int = 1) -> Iterator[Row]:
    """The rows of a file, and the mistakes of lines that are none."""
    file = io.BytesIO(octets)
    if first_line == 1 and octets.startswith(_BYTE_ORDER_MARK):
        file.seek(len(_BYTE_ORDER_MARK))
    for number, line in enumerate(file, start=first_line):
        if line.isspace():
            continue
        found = _object(line)
        if isinstance(found, Problem):
            records.mistakes.add(Problem(found.message, found.remedy, number, found.column))
        else:
            yield Row(number, found.pop("login", None), found)


def _object(line: bytes) -> dict[str, Any] | Problem:
    """The object of a line, or why it holds none."""
    if len(line) > MAX_LINE:
        return Problem(f"the line is longer than {MAX_LINE} octets", "write one object a line")
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _syntax(line, error)
    if not isinstance(found, dict):
        return Problem("the line is no object", 'write it like {"login": "alice", ...}')
    # Each member has a colon. With more of them a key stands twice, or there is one in a text.
    former = found.get("former")
    if line.count(b":") > len(found) + (len(former) if isinstance(former, dict) else 0):
        return _without_doubles(line, found)
    return found


def _without_doubles(line: bytes, found: dict[str, Any]) -> dict[str, Any] | Problem:
    doubles: list[str] = []

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        seen: set[str] = set()
        doubles.extend(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return dict(pairs)

    json.loads(line, object_pairs_hook=members)
    if doubles:
        return Problem(f"the key {quoted(doubles[0])} stands twice", "keep one of the two")
    return found


def _syntax(line: bytes, error: orjson.JSONDecodeError) -> Problem:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as fault:
        column = len(line[: fault.start].decode("utf-8")) + 1
        return Problem("it is not text in UTF-8", "save the file as UTF-8", column=column)
    remedy = "write one object a line, with keys and texts in double quotes"
    return Problem(f"not JSON: {error.msg}", remedy, column=error.pos + 1)

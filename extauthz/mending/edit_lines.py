"""An account's line in a file of CSV or JSON lines, changed in place: every other line stays.

In CSV the other cells of the line stay as they are written, too. A column that the header lacks
is not added: that would be a change of every line.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import orjson

from extauthz.directory.csv_rows import SEPARATOR
from extauthz.mending.edit import Edit
from extauthz.mending.outcome import RefusedError
from extauthz.quoting import quoted

__all__ = ["edited_csv", "edited_json_lines"]

JsonObject: TypeAlias = dict[str, Any]

_FALSE_AND_TRUE = ("false", "true")
_CELL = re.compile(r'"(?:[^"]|"")*"|[^,]*')
_NEEDS_QUOTES = re.compile(r'[,"\r\n]')
_STYLES = tuple(
    json.JSONEncoder(ensure_ascii=is_ascii, separators=separators)
    for separators in ((", ", ": "), (",", ":"), (",", ": "))
    for is_ascii in (False, True)
)
"""How a line of JSON may have been written."""


def edited_csv(text: str, edit: Edit) -> str:
    """The text of a CSV file with the edit made. Raises RefusedError."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    records = _csv_records(text, len(mark))
    _, _, header = next(records)
    column = header.index("login")
    for start, end, cells in records:
        if cells and cells[column] == edit.login:
            record = text[start:end]
            content = record.rstrip("\r\n")
            changed = _changed_cells(dict(zip(header, cells, strict=True)), header, edit)
            line = _with_cells(content, header, changed)
            return text[:start] + line + record[len(content) :] + text[end:]
    raise _missing(edit)


def edited_json_lines(text: str, edit: Edit) -> str:
    """The text of a file of JSON lines with the edit made. Raises RefusedError."""
    start = len("\ufeff") if text.startswith("\ufeff") else 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        line = text[start:end]
        found = orjson.loads(line) if line.strip() else {}
        if found.get("login") == edit.login:
            content = line.strip()
            before, _, after = line.partition(content)
            changed = _style(content, found).encode(_changed_object(found, edit))
            return text[:start] + before + changed + after + text[end:]
        start = end
    raise _missing(edit)


def _csv_records(text: str, start: int) -> Iterator[tuple[int, int, list[str]]]:
    """The records of a file: where each begins and ends, and its cells."""
    end = start

    def lines() -> Iterator[str]:
        nonlocal end
        while end < len(text):
            begin, end = end, text.find("\n", end) + 1 or len(text)
            yield text[begin:end]

    for cells in csv.reader(lines(), strict=True):
        yield start, end, cells
        start = end


def _changed_cells(row: Mapping[str, str], header: list[str], edit: Edit) -> dict[str, str]:
    """The cells that are to be another. Raises RefusedError."""
    changed: dict[str, str] = {}
    if edit.disabled is not None:
        changed["disabled"] = _FALSE_AND_TRUE[edit.disabled]
    if edit.name is not None:
        names = _pieces(row[edit.kind])
        former = dict(_dated(piece) for piece in _pieces(row.get("former", "")))
        for text in (*names, edit.name):
            if SEPARATOR in text:
                message = f"{quoted(text)} has a {SEPARATOR} in it, which CSV keeps between names"
                raise RefusedError(f"{message}: use YAML or JSON lines")
        changed[edit.kind] = SEPARATOR.join(edit.names(names))
        dated = edit.former(names, former)
        changed["former"] = SEPARATOR.join(f"{name}={day}" for name, day in dated.items())
    changed = {name: cell for name, cell in changed.items() if cell != row.get(name, "")}
    for name in changed:
        if name not in header:
            message = f"the file has no column {name!r}"
            raise RefusedError(f"{message}: add it to the header, and a comma to every line")
    return changed


def _with_cells(content: str, header: list[str], changed: Mapping[str, str]) -> str:
    pieces: list[str] = []
    position = 0
    for name in header:
        match = _CELL.match(content, position)
        written = "" if match is None else match[0]
        position += len(written) + 1
        if name in changed:
            written = _cell(changed[name], is_quoted=written.startswith('"'))
        pieces.append(written)
    return ",".join(pieces)


def _cell(value: str, *, is_quoted: bool) -> str:
    if is_quoted or _NEEDS_QUOTES.search(value):
        return '"' + value.replace('"', '""') + '"'
    return value


def _pieces(cell: str) -> list[str]:
    return cell.split(SEPARATOR) if cell else []


def _dated(piece: str) -> tuple[str, str]:
    name, _, day = piece.rpartition("=")
    return name, day


def _changed_object(found: JsonObject, edit: Edit) -> JsonObject:
    changed = dict(found)
    if edit.disabled is not None:
        changed["disabled"] = edit.disabled
    if edit.name is not None:
        value = found.get(edit.kind, [])
        names = [value] if isinstance(value, str) else value
        after = edit.names(names)
        is_one = isinstance(value, str) and len(after) == 1
        changed[edit.kind.value] = after[0] if is_one else after
        former = edit.former(names, found.get("former", {}))
        if former or "former" in found:
            changed["former"] = former
    return changed


def _style(content: str, found: JsonObject) -> json.JSONEncoder:
    """What writes an object as the line was written, as far as that can be told."""
    return next((style for style in _STYLES if style.encode(found) == content), _STYLES[0])


def _missing(edit: Edit) -> RefusedError:
    return RefusedError(f"{quoted(edit.login)} does not stand in the file")

"""CSV to rows (RFC 4180), UTF-8, with a header.

    login,email,groups,former
    alice,alice@acme.example,staff|sales,old@acme.example=2026-12-31

The header names the columns, in any order. Several names, groups or former names in one cell have
`|` between them, without blanks; a former name has `=` and its last day after it. So a name or a
group with `|` in it cannot be written here: YAML and JSON lines can. `disabled` is `true`, `false`
or empty. An empty cell says nothing. Empty lines are passed over.
"""

import csv
import io
from collections.abc import Iterator

from extauthz.directory.mistakes import Problem, UnreadableError, did_you_mean
from extauthz.directory.records import Records
from extauthz.directory.rows import Division, Row, Value
from extauthz.quoting import quoted

__all__ = ["SEPARATOR", "divide", "rows"]

SEPARATOR = "|"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BOOLEANS: dict[str, Value] = {"true": True, "false": False}


def divide(octets: bytes) -> Division | None:
    """Where another process can begin to read: at a line, when no quotes can join two of them."""
    cut = octets.find(b"\n", len(octets) // 2) + 1
    header = octets[: octets.find(b"\n") + 1]
    return Division(cut, header) if cut > len(header) and b'"' not in octets else None


def rows(octets: bytes, records: Records, first_line: int = 1) -> Iterator[Row]:
    """The rows of a file, and the mistakes of lines that are none. Raises UnreadableError."""
    file = io.BytesIO(octets)
    if octets.startswith(_BYTE_ORDER_MARK):
        file.seek(len(_BYTE_ORDER_MARK))
    reader = csv.reader(_lines(file, first_line), strict=True)
    try:
        header = _header(next(reader, []), records)
        while True:
            line = reader.line_num + first_line
            cells = next(reader, None)
            if cells is None:
                return
            if len(cells) == len(header):
                row = _row(line, header, cells, records)
                if row is not None:
                    yield row
            elif cells:
                message = f"the line has {len(cells)} cells, and the header {len(header)}"
                remedy = "write a comma for each empty cell, and quotes around one with a comma"
                records.mistakes.add(Problem(message, remedy, line))
    except csv.Error as error:
        remedy = "check the quotes there and above: a quote within quotes is written twice"
        line = reader.line_num + first_line - 1
        raise UnreadableError(Problem(f"not CSV: {error}", remedy, line)) from error


def _lines(file: io.BytesIO, first_line: int) -> Iterator[str]:
    for number, line in enumerate(file, start=first_line):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode("utf-8")) + 1
            remedy = "save the file as UTF-8"
            problem = Problem("it is not text in UTF-8", remedy, number, column)
            raise UnreadableError(problem) from error


def _header(header: list[str], records: Records) -> list[str]:
    """The names of the columns. Raises UnreadableError."""
    known = ("login", *records.members)
    for name in header:
        if name not in known:
            raise _wrong_header(f"unknown column {quoted(name)}", did_you_mean(name, known))
        if header.count(name) > 1:
            raise _wrong_header(f"the column {name!r} stands twice", "keep one of the two")
    for name in known[:2]:
        if name not in header:
            remedy = f"begin the file with a line like `login,{records.key}`"
            raise _wrong_header(f"the column {name!r} is missing", remedy)
    return header


def _wrong_header(message: str, remedy: str) -> UnreadableError:
    return UnreadableError(Problem(message, remedy, 1))


def _row(line: int, header: list[str], cells: list[str], records: Records) -> Row | None:
    """The row of a line; None, and a mistake, when a cell has another form than its column's."""
    members: dict[str, Value] = {
        name: cell for name, cell in zip(header, cells, strict=True) if cell
    }
    row = Row(line, members.pop("login", None), members)
    names = cells[header.index(records.key)]
    if SEPARATOR in names:
        members[records.key] = list(names.split(SEPARATOR))
    if "groups" in members:
        members["groups"] = list(cells[header.index("groups")].split(SEPARATOR))
    if "disabled" in members:
        cell = cells[header.index("disabled")]
        members["disabled"] = _BOOLEANS.get(cell, cell)
    if "former" in members:
        former = _former(row, cells[header.index("former")], records)
        if former is None:
            return None
        members["former"] = former
    return row


def _former(row: Row, cell: str, records: Records) -> dict[str, Value] | None:
    """Former names and the days until which they hold; None, and a mistake, when one has none."""
    former: dict[str, Value] = {}
    for piece in cell.split(SEPARATOR):
        name, sign, day = piece.rpartition("=")
        if not sign or name in former:
            what = "has no date" if not sign else "stands twice"
            message = f"the former name {quoted(name if sign else piece)} {what}"
            remedy = "write it once, with its last day, like old@acme.example=2026-12-31"
            records.wrong(row, (), message, remedy)
            return None
        former[name] = day
    return former

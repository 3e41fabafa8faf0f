"""YAML to rows, one account after another, however long the file.

    alice: alice@acme.example
    bob: [bob@acme.example, b@acme.example]
    carol: {email: carol@acme.example, former: {c@acme.example: 2026-12-31}, disabled: true}

The same strictness as in the policy file, and no aliases at all: without them nothing that was
read has to be kept. A login that stands twice is found by whoever indexes the rows. Entries that
can be read in one way only are left to `yaml_plain`, which is several times as fast as PyYAML.
"""

import io
from collections.abc import Iterator, Mapping
from functools import partial

import yaml

from extauthz.directory.mistakes import Mistakes, Problem, UnreadableError
from extauthz.directory.records import Records
from extauthz.directory.rows import KEY, Division, Location, Row, Value
from extauthz.directory.yaml_plain import Plain, begins_entry
from extauthz.files import Place
from extauthz.quoting import quoted
from extauthz.yaml_events import CONTROL, LOADER, Event, is_plain, place, resolve, tag

__all__ = ["MAX_DEPTH", "MAX_VALUES", "divide", "first_rows", "rows", "rows_of_any"]

CHUNK = 256 * 1024
"""Octets that are given to the parser at a time."""
MAX_LINES_TO_ENTRY = 100
"""How many lines are looked at for one that begins an entry."""
MAX_DEPTH = 8
MAX_VALUES = 10_000
"""Values of one account."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def divide(octets: bytes) -> Division | None:
    """Where another process can begin to read, should all entries before be plain ones."""
    cut = octets.find(b"\n", len(octets) // 2) + 1
    for _ in range(MAX_LINES_TO_ENTRY):
        if begins_entry(octets[cut : cut + 4]):
            break
        cut = octets.find(b"\n", cut) + 1
    return Division(cut) if cut and begins_entry(octets[cut : cut + 4]) else None


def rows(octets: bytes, records: Records, first_line: int = 1) -> Iterator[Row]:
    """The rows of a file, and the mistakes of entries that are none. Raises UnreadableError."""
    plain = Plain(octets, records.key, places_of_entry, first_line)
    yield from plain
    if not plain.is_at_end:
        yield from rows_of_any(octets, records, plain.offset, plain.line)


def first_rows(octets: bytes, records: Records, division: Division) -> Iterator[Row]:
    """The rows of the first part, or of the whole file where that is not plain throughout."""
    plain = Plain(octets[: division.cut], records.key, places_of_entry)
    yield from plain
    if not plain.is_at_end:
        division.holds = False
        yield from rows_of_any(octets, records, plain.offset, plain.line)


def rows_of_any(octets: bytes, records: Records, offset: int = 0, line: int = 1) -> Iterator[Row]:
    """The same with PyYAML alone, from the beginning of the file or of an entry on."""
    source = _Source(octets, offset, line)
    reader = _Reader(source, records.key, records.mistakes, line)
    try:
        yield from reader.rows()
    except yaml.MarkedYAMLError as error:
        raise UnreadableError(source.problem or _syntax(error, line)) from error
    except yaml.YAMLError as error:
        raise UnreadableError(
            source.problem or Problem(f"not YAML: {error}", "check what is in the file")
        ) from error
    if source.problem is not None:
        raise UnreadableError(source.problem)


def places_of_entry(text: str, line: int, kind: str) -> Mapping[Location, Place]:
    """Where the keys and values of one entry stand that begins in that line."""
    octets = text.encode("utf-8")
    (row,) = _Reader(_Source(octets, 0, line), kind, Mistakes(), line).rows()
    return row.places()


class _Source:
    """The octets of a file for PyYAML, which asks for more as it goes on."""

    def __init__(self, octets: bytes, offset: int, line: int) -> None:
        self.problem: Problem | None = None
        """Why there is no more to read before the end of the file."""
        self._file = io.BytesIO(octets)
        self._file.seek(offset)
        if offset == 0 and octets.startswith(_BYTE_ORDER_MARK):
            self._file.seek(len(_BYTE_ORDER_MARK))
        self._line = line

    def read(self, _octets: int = 0, /) -> bytes:
        """Some whole lines, however much is asked for."""
        lines = self._file.readlines(CHUNK)
        octets = b"".join(lines)
        try:
            found = CONTROL.search(octets.decode("utf-8"))
        except UnicodeDecodeError as error:
            return self._stop(
                octets[: error.start].decode("utf-8"),
                "it is not text in UTF-8", "save the file as UTF-8",
            )  # fmt: skip
        if found is not None:
            return self._stop(
                found.string[: found.start()],
                f"the character {found[0]!r} cannot stand in YAML", "remove it",
            )  # fmt: skip
        self._line += len(lines)
        return octets

    def _stop(self, before: str, message: str, remedy: str) -> bytes:
        line = self._line + before.count("\n")
        column = len(before) - before.rfind("\n")
        self.problem = self.problem or Problem(message, remedy, line, column)
        return b""


class _Reader:
    """Makes rows of events. Recursion is bounded by MAX_DEPTH."""

    def __init__(self, source: _Source, kind: str, mistakes: Mistakes, first_line: int) -> None:
        self._next = LOADER(source).get_event
        self._kind = kind
        self._mistakes = mistakes
        self._first_line = first_line
        self._values = 0
        self._places: dict[Location, Place] = {}

    def rows(self) -> Iterator[Row]:
        self._next()
        start = self._next()
        if isinstance(start, yaml.StreamEndEvent):
            return
        if start.explicit and self._first_line > 1:
            raise self._second_document(start)
        root = self._next()
        if not isinstance(root, yaml.MappingStartEvent):
            is_first = self._first_line == 1
            message = "the file should be a mapping" if is_first else "a key without a value"
            raise self._unreadable(root, message, "write a line `LOGIN: NAME` for each account")
        self._refuse_properties(root)
        while not isinstance(key := self._next(), yaml.MappingEndEvent):
            before = self._mistakes.count
            row = self._row(key)
            if self._mistakes.count == before:
                yield row
        self._next()
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._second_document(after)

    def _row(self, event: Event) -> Row:
        self._values, self._places = 0, {}
        login = self._key(event, ())
        line = self._place(event).line
        self._places["login", KEY] = self._place(event)
        value = self._next()
        if isinstance(value, yaml.MappingStartEvent):
            self._refuse_properties(value)
            members = self._mapping((), 1)
        else:
            members = {self._kind: self._value(value, (self._kind,), 1)}
        return Row(line, login, members, partial(dict, self._places))

    def _value(self, event: Event, location: Location, depth: int) -> Value:
        self._values += 1
        if depth > MAX_DEPTH:
            raise self._unreadable(event, f"nested deeper than {MAX_DEPTH} levels", "nest less")
        if self._values > MAX_VALUES:
            remedy = "check that it is the right file"
            raise self._unreadable(event, f"an account with more than {MAX_VALUES} values", remedy)
        if location:
            self._places[location] = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            remedy = "write the value out; a text that begins with * stands in quotes"
            self._mistake(event, f"the alias {quoted(str(event.anchor))}", remedy)
            return None
        self._refuse_properties(event)
        if isinstance(event, yaml.ScalarEvent):
            text: str = event.value
            return resolve(text) if is_plain(event) else text
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Value] = []
            while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
                items.append(self._value(inner, (*location, len(items)), depth + 1))
            return items
        return self._mapping(location, depth)

    def _mapping(self, location: Location, depth: int) -> dict[str, Value]:
        members: dict[str, Value] = {}
        while not isinstance(key := self._next(), yaml.MappingEndEvent):
            name = self._key(key, location)
            at = (*location, name)
            if name in members:
                remedy = f"it stands first in line {self._places[*at, KEY].line}: keep one of them"
                self._mistake(key, f"the key {quoted(name)} stands twice", remedy)
            else:
                self._places[*at, KEY] = self._place(key)
            members[name] = self._value(self._next(), at, depth + 1)
        return members

    def _key(self, event: Event, location: Location) -> str:
        """The text of a key; what is none is a mistake."""
        if not isinstance(event, yaml.ScalarEvent):
            self._mistake(event, "a key that is not text", "write it as one word or in quotes")
            self._value(event, (*location, KEY), 1)
            return ""
        self._refuse_properties(event)
        name: str = event.value
        if name == "<<" and is_plain(event):
            self._mistake(event, "a merge key, which YAML 1.2 does not have", "write the keys out")
        return name

    def _refuse_properties(self, event: Event) -> None:
        if event.tag is not None:
            remedy = "leave it out: values have one type here"
            self._mistake(event, f"the tag {quoted(tag(event))}", remedy)
        if event.anchor is not None:
            remedy = "leave it out: there are no aliases here"
            self._mistake(event, f"the anchor {quoted(event.anchor)}", remedy)

    def _place(self, event: Event) -> Place:
        at = place(event)
        return Place(at.line + self._first_line - 1, at.column)

    def _mistake(self, event: Event, message: str, remedy: str) -> None:
        at = self._place(event)
        self._mistakes.add(Problem(message, remedy, at.line, at.column))

    def _unreadable(self, event: Event, message: str, remedy: str) -> UnreadableError:
        at = self._place(event)
        return UnreadableError(Problem(message, remedy, at.line, at.column))

    def _second_document(self, event: Event) -> UnreadableError:
        remedy = "keep one document in the file"
        return self._unreadable(event, "a second document begins here", remedy)


def _syntax(error: yaml.MarkedYAMLError, first_line: int) -> Problem:
    message = " ".join(filter(None, ["not YAML:", error.context, error.problem]))
    remedy = "check the indentation, quotes and brackets there and just above"
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(message, remedy)
    return Problem(message, remedy, mark.line + first_line, mark.column + 1)

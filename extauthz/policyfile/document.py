"""YAML text to a tree of nodes that know their place.

PyYAML's own loaders let a duplicate key pass, read `off` and `no` as booleans, and forget where a
value stood. Here its parser's events become a tree: duplicate keys, tags, several documents and
runaway aliases are errors; plain scalars resolve by the core schema of YAML 1.2 (10.3.2), so that
`mode: off` says what it seems to say; keys are always text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from extauthz.policyfile.problems import Place

__all__ = ["DocumentError", "Mapping", "Node", "Scalar", "Sequence", "parse"]

MAX_DEPTH = 32
MAX_NODES = 5_000_000
"""Nodes of a document with its aliases written out."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip

ScalarValue: TypeAlias = str | int | float | bool | None
Plain: TypeAlias = "ScalarValue | list[Plain] | dict[str, Plain]"


class DocumentError(ValueError):
    """The text is not one plain YAML document."""

    def __init__(self, place: Place | None, message: str, remedy: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Scalar:
    place: Place
    value: ScalarValue

    def plain(self) -> Plain:
        return self.value


@dataclass(frozen=True, slots=True)
class Sequence:
    place: Place
    items: list["Node"] = field(default_factory=list)

    def plain(self) -> Plain:
        return [item.plain() for item in self.items]


@dataclass(frozen=True, slots=True)
class Mapping:
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)
    """Where each key stands."""
    values: dict[str, "Node"] = field(default_factory=dict)

    def plain(self) -> Plain:
        return {key: value.plain() for key, value in self.values.items()}


Node: TypeAlias = Scalar | Sequence | Mapping


def parse(text: str) -> Node:
    """The tree of a document. Raises DocumentError."""
    try:
        return _Composer(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(filter(None, [error.context, error.problem]))
        place = None if mark is None else Place(mark.line + 1, mark.column + 1)
        raise DocumentError(place, f"not YAML: {message}", "mend the syntax") from error
    except (yaml.YAMLError, UnicodeError) as error:
        remedy = "write the file as UTF-8 text without control characters"
        raise DocumentError(None, f"not YAML: {' '.join(str(error).split())}", remedy) from error


class _Composer:
    """Builds nodes from events. Recursion is bounded by MAX_DEPTH."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._nodes = 0

    def document(self) -> Node:
        next(self._events)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise DocumentError(Place(1, 1), "the file is empty", "begin it with `subscriptions:`")
        root = self._node(next(self._events), 0)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise _error(after, "a second document begins here", "keep one document in the file")
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _error(event, f"nested deeper than {MAX_DEPTH} levels", "nest less")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._nodes
        self._nodes += 1
        _refuse_tag(event)
        node = self._content(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._nodes - before)
        return node

    def _content(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style in (None, "") and event.implicit[0]
            return Scalar(_place(event), _resolve(event.value) if plain else event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            sequence = Sequence(_place(event))
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                sequence.items.append(self._node(inner, depth + 1))
            return sequence
        mapping = Mapping(_place(event))
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            self._entry(mapping, key, depth)
        return mapping

    def _entry(self, mapping: Mapping, key: yaml.Event, depth: int) -> None:
        if not isinstance(key, yaml.ScalarEvent):
            raise _error(key, "a key that is not text", "write the key as one word or in quotes")
        _refuse_tag(key)
        name = key.value
        if name in mapping.keys:
            first = mapping.keys[name]
            remedy = f"it stands first in line {first.line}: keep one of the two"
            raise _error(key, f"the key {name!r} stands twice", remedy)
        mapping.keys[name] = _place(key)
        mapping.values[name] = self._node(next(self._events), depth + 1)

    def _alias(self, event: yaml.AliasEvent) -> Node:
        if event.anchor not in self._anchors:
            message = f"the alias *{event.anchor} stands for nothing, or for what it is part of"
            raise _error(event, message, f"set the anchor &{event.anchor} before it")
        node, nodes = self._anchors[event.anchor]
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            remedy = "write the values out"
            raise _error(event, f"aliases stand for more than {MAX_NODES} values", remedy)
        return node


def _refuse_tag(event: yaml.Event) -> None:
    if event.tag is not None:
        raise _error(event, f"the tag {event.tag!r}", "leave it out: values have one type here")


def _resolve(text: str) -> ScalarValue:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def _place(event: yaml.Event) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _error(event: yaml.Event, message: str, remedy: str) -> DocumentError:
    return DocumentError(_place(event), message, remedy)

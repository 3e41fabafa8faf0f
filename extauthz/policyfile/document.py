"""YAML text to a tree of nodes that know their place.

PyYAML's own loaders let a duplicate key pass, read `off` and `no` as booleans, and forget where a
value stood. Here its parser's events become a tree: duplicate keys, merge keys, tags, several
documents and runaway aliases are mistakes; plain scalars resolve by the core schema of YAML 1.2
(10.3.2), so that `mode: off` says what it seems to say; keys are always text.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from extauthz.files import Place
from extauthz.policyfile.problems import Mistake, quoted
from extauthz.yaml_events import CONTROL, LOADER, Event, ScalarValue, is_plain, place, resolve, tag

__all__ = [
    "Mapping",
    "Node",
    "Plain",
    "Scalar",
    "ScalarValue",
    "Sequence",
    "Step",
    "followed",
    "parse",
    "says",
    "texts",
]

MAX_DEPTH = 32
MAX_NODES = 2_000_000
"""Values of a document, with its aliases written out. They take about 300 MB."""
MAX_ALIASED = 100_000
"""Values that aliases may stand for in any document."""
MAX_ALIASED_SHARE = 10
"""Values that aliases may stand for besides these, for each one that is written."""

Plain: TypeAlias = "ScalarValue | list[Plain] | dict[str, Plain]"


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
Step: TypeAlias = str | int
"""To what is in a node: a key of a mapping, the number of an item from 0, or the item's text."""


def texts(node: Node | None) -> Iterator[Scalar]:
    """The texts of a list, without empty ones; what is neither is the shape's to complain about."""
    if isinstance(node, Sequence):
        for item in node.items:
            if isinstance(item, Scalar) and isinstance(item.value, str) and item.value:
                yield item


def says(node: Mapping, key: str, *, otherwise: object = None) -> object:
    """What stands under a key, where that is one value."""
    value = node.values.get(key)
    return value.value if isinstance(value, Scalar) else otherwise


def followed(node: Node, steps: Iterable[Step]) -> Node:
    """What the steps lead to, or how far they lead."""
    for step in steps:
        inner: Node | None = None
        if isinstance(node, Mapping):
            inner = node.values.get(str(step))
        elif isinstance(node, Sequence) and isinstance(step, int):
            inner = node.items[step]
        else:
            inner = next((item for item in texts(node) if item.value == step), None)
        if inner is None:
            break
        node = inner
    return node


def parse(text: str) -> tuple[Node | None, list[Mistake]]:
    """The tree of a document and what is wrong with it; None when its end cannot be reached."""
    text = text.removeprefix("\ufeff")
    if (found := CONTROL.search(text)) is not None:
        return None, [_control(text, found.start())]
    composer = _Composer(yaml.parse(text, Loader=LOADER))
    try:
        return composer.document(), composer.mistakes
    except _UnreadableError as error:
        mistake = error.mistake
    except yaml.MarkedYAMLError as error:
        mistake = _syntax(text, error)
    return None, [*composer.mistakes, mistake]


class _UnreadableError(Exception):
    """Reading ends here: what follows cannot be understood, or is too much."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


class _Composer:
    """Builds nodes from events. Recursion is bounded by MAX_DEPTH."""

    def __init__(self, events: Iterator[Event]) -> None:
        self.mistakes: list[Mistake] = []
        self._events = events
        self._anchors: dict[str, Node] = {}
        self._nodes = 0
        self._aliased = 0

    def document(self) -> Node:
        next(self._events)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            message = "the file is empty"
            raise _UnreadableError(Mistake(Place(1, 1), message, "begin it with `subscriptions:`"))
        root = self._node(next(self._events), 0)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            remedy = "keep one document in the file"
            raise _unreadable(after, "a second document begins here", remedy)
        return root

    def _node(self, event: Event, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _unreadable(event, f"nested deeper than {MAX_DEPTH} levels", "nest less")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._nodes += 1
        if self._nodes + self._aliased > MAX_NODES:
            remedy = "check that it is the right file"
            raise _unreadable(event, f"the file has more than {MAX_NODES} values", remedy)
        self._refuse_tag(event)
        node = self._content(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _content(self, event: Event, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(place(event), resolve(event.value) if is_plain(event) else event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            sequence = Sequence(place(event))
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                sequence.items.append(self._node(inner, depth + 1))
            return sequence
        mapping = Mapping(place(event))
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            name = self._key(mapping, key, depth)
            value = self._node(next(self._events), depth + 1)
            if name is not None:
                mapping.keys[name] = place(key)
                mapping.values[name] = value
        return mapping

    def _key(self, mapping: Mapping, key: Event, depth: int) -> str | None:
        """The text of a key; None, and a mistake, for one that may not stand there."""
        if not isinstance(key, yaml.ScalarEvent):
            self._node(key, depth + 1)
            self._mistake(key, "a key that is not text", "write the key as one word or in quotes")
            return None
        self._refuse_tag(key)
        name: str = key.value
        if key.anchor is not None:
            self._anchors[key.anchor] = Scalar(place(key), name)
        if name == "<<" and is_plain(key):
            self._mistake(key, "a merge key, which YAML 1.2 does not have", "write the keys out")
            return None
        if name in mapping.keys:
            first = mapping.keys[name]
            remedy = f"it stands first in line {first.line}: keep one of the two"
            self._mistake(key, f"the key {quoted(name)} stands twice", remedy)
            return None
        return name

    def _alias(self, event: Event, depth: int) -> Node:
        if event.anchor not in self._anchors:
            name = quoted(event.anchor)
            message = f"the alias {name} stands for nothing, or for what it is part of"
            remedy = "set its anchor before it; a text that begins with * stands in quotes"
            raise _unreadable(event, message, remedy)
        node = self._anchors[event.anchor]
        nodes, height = _extent(node)
        self._aliased += nodes
        if depth + height > MAX_DEPTH:
            raise _unreadable(event, f"nested deeper than {MAX_DEPTH} levels", "nest less")
        if (
            self._aliased > MAX_ALIASED + MAX_ALIASED_SHARE * self._nodes
            or self._nodes + self._aliased > MAX_NODES
        ):
            message = f"aliases stand for {self._aliased} values, too many for such a file"
            raise _unreadable(event, message, "write the values out")
        return dataclasses.replace(node, place=place(event))

    def _refuse_tag(self, event: Event) -> None:
        if event.tag is not None:
            remedy = "leave it out: values have one type here"
            self._mistake(event, f"the tag {quoted(tag(event))}", remedy)

    def _mistake(self, event: Event, message: str, remedy: str) -> None:
        self.mistakes.append(Mistake(place(event), message, remedy))


def _extent(node: Node) -> tuple[int, int]:
    """How many values a node is, itself included, and how many levels it has below itself."""
    if isinstance(node, Scalar):
        return 1, 0
    inner = node.items if isinstance(node, Sequence) else node.values.values()
    nodes, height = 1, 0
    for below in inner:
        nodes_below, height_below = _extent(below)
        nodes += nodes_below
        height = max(height, height_below + 1)
    return nodes, height


def _unreadable(event: Event, message: str, remedy: str) -> _UnreadableError:
    return _UnreadableError(Mistake(place(event), message, remedy))


def _control(text: str, position: int) -> Mistake:
    line_start = text.rfind("\n", 0, position) + 1
    place = Place(text.count("\n", 0, position) + 1, position - line_start + 1)
    message = f"the character {text[position]!r} cannot stand in YAML"
    return Mistake(place, message, "remove it: the file is to be text without control characters")


def _syntax(text: str, error: yaml.MarkedYAMLError) -> Mistake:
    message = " ".join(filter(None, [error.context, error.problem]))
    # Of a broken alias, the sign that begins it is to be pointed to, not what comes after.
    mark = error.context_mark if _ALIAS in message else error.problem_mark or error.context_mark
    place = Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)
    return Mistake(place, f"not YAML: {message}", _syntax_remedy(text, place, message))


_ALIAS = "while scanning an alias"


def _syntax_remedy(text: str, place: Place, message: str) -> str:
    line = "".join(text.split("\n")[place.line - 1 : place.line])
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces: YAML allows no tabs there"
    if _ALIAS in message:
        return "a text that begins with * stands in quotes, like '*.example.com'"
    if "mapping values are not allowed" in message:
        return "check the indentation; a text with a colon and a space in it stands in quotes"
    if "invalid Unicode character escape" in message:
        return "write the character itself: YAML knows no surrogate pairs"
    if "cannot start any token" in message:
        return "a text that begins with such a character stands in quotes"
    return "check the indentation, quotes and brackets there and just above"

"""YAML text as values that know where they stand: which characters, in brackets or not.

`document` reads for meaning and remembers where a value begins; who edits needs its end, its
quotes and its anchors as well. Marks are libyaml's, in characters.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import yaml

from extauthz.mending.outcome import RefusedError
from extauthz.policyfile import document
from extauthz.quoting import quoted
from extauthz.yaml_events import LOADER, Event

__all__ = [
    "Node",
    "composed",
    "events",
    "line_break",
    "line_end",
    "line_start",
    "outline",
    "skip",
    "written",
]

_BREAKS = "\r\n"


@dataclass(slots=True)
class Node:
    """A value, or a key, and where it stands: from `start` up to `end`, its anchor included."""

    start: int
    end: int
    in_flow: bool
    """Whether it stands within brackets."""
    is_flow: bool = False
    """Whether it is in brackets itself."""
    anchor: str | None = None
    is_alias: bool = False
    text: str | None = None
    """Of a scalar."""
    quote: str = ""
    """Of a scalar: which quotes it stands in."""
    items: list["Node"] | None = None
    """Of a sequence."""
    entries: list[tuple["Node", "Node"]] | None = None
    """Of a mapping: keys and values."""

    def entry(self, key: str) -> tuple["Node", "Node"] | None:
        """The key and the value of an entry of a mapping."""
        return next((entry for entry in self.entries or () if entry[0].text == key), None)

    def nodes(self) -> Iterator["Node"]:
        """The node itself, and all within it."""
        yield self
        for item in self.items or ():
            yield from item.nodes()
        for key, value in self.entries or ():
            yield from key.nodes()
            yield from value.nodes()


def events(text: str) -> Iterator[Event]:
    """The events of a text without a byte order mark. Raises yaml.YAMLError on the way."""
    return iter(yaml.parse(text, Loader=LOADER))


def composed(text: str, event: Event, following: Callable[[], Event], *, in_flow: bool) -> Node:
    """The value that begins with an event; `following` gives the events after it.

    Recursion is bounded by what `document` lets pass.
    """
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        return Node(start, end, in_flow, anchor=event.anchor, is_alias=True)
    if isinstance(event, yaml.ScalarEvent):
        # The end of a block scalar is where the next line begins.
        end = start + len(text[start:end].rstrip(_BREAKS))
        return Node(
            start, end, in_flow,
            anchor=event.anchor, text=event.value, quote=(event.style or "").strip("|>"),
        )  # fmt: skip
    is_flow = bool(event.flow_style)
    node = Node(start, end, in_flow, is_flow, event.anchor)
    inner = in_flow or is_flow
    if isinstance(event, yaml.SequenceStartEvent):
        node.items = []
        while not isinstance(event := following(), yaml.SequenceEndEvent):
            node.items.append(composed(text, event, following, in_flow=inner))
            node.end = node.items[-1].end
    else:
        node.entries = []
        while not isinstance(event := following(), yaml.MappingEndEvent):
            key = composed(text, event, following, in_flow=inner)
            value = composed(text, following(), following, in_flow=inner)
            node.entries.append((key, value))
            node.end = value.end
    if is_flow:
        node.end = event.end_mark.index
    return node


def skip(event: Event, following: Callable[[], Event]) -> None:
    """Pass over the value that begins with an event."""
    depth = 0
    while True:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth == 0:
            return
        event = following()


def outline(text: str, path: Sequence[str]) -> tuple[list[str], tuple[object, ...]]:
    """The keys of the mapping that keys lead to, and what the text says besides that mapping.

    The text is one that `document` has read without mistakes, with a mapping there.
    """
    said: list[object] = []
    walk = events(text.removeprefix("\ufeff"))

    def following() -> Event:
        event = next(walk)
        said.append(_meaning(event))
        return event

    following()
    following()
    node = following()
    for wanted in path:
        while (key := following()) and getattr(key, "value", None) != wanted:
            skip(key, following)
            skip(following(), following)
        node = following()
        if isinstance(node, yaml.AliasEvent):
            return _keys(text, path), ()
    keys: list[str] = []
    while not isinstance(key := next(walk), yaml.MappingEndEvent):
        keys.append(key.value)
        skip(next(walk), walk.__next__)
    said += map(_meaning, walk)
    return keys, tuple(said)


def _meaning(event: Event) -> object:
    if isinstance(event, yaml.ScalarEvent):
        return event.value, event.implicit[0], event.anchor
    return type(event), getattr(event, "anchor", None)


def _keys(text: str, path: Sequence[str]) -> list[str]:
    """The keys of a mapping that may be written as an alias."""
    root, _ = document.parse(text)
    plain = None if root is None else root.plain()
    for key in path:
        plain = plain.get(key) if isinstance(plain, dict) else None
    return list(plain) if isinstance(plain, dict) else []


def written(value: str, quote: str, *, in_flow: bool) -> str:
    """A text as a scalar, in these quotes if it can stand in them. Raises RefusedError."""
    candidates = {
        "": value,
        "'": "'" + value.replace("'", "''") + "'",
        '"': json.dumps(value, ensure_ascii=False),
    }
    for candidate in (candidates[quote], *candidates.values()):
        if _reads_as(value, candidate, in_flow=in_flow):
            return candidate
    raise RefusedError(f"{quoted(value)} cannot be written as YAML")


def _reads_as(value: str, candidate: str, *, in_flow: bool) -> bool:
    """Whether a scalar means that text, where it is a key and where it is a value."""
    pair = f"{candidate}: {candidate}"
    root, mistakes = document.parse("{" + pair + "}" if in_flow else pair)
    return not mistakes and root is not None and root.plain() == {value: value}


def line_start(text: str, position: int) -> int:
    """Where the line with that position begins."""
    return max(text.rfind(char, 0, position) for char in _BREAKS) + 1


def line_end(text: str, position: int) -> int:
    """Where the line with that position ends, before its break."""
    ends = (text.find(char, position) for char in _BREAKS)
    return min((end for end in ends if end >= 0), default=len(text))


def line_break(text: str) -> str:
    """The break that the lines of a text end with."""
    end = line_end(text, 0)
    return "\r\n" if text[end : end + 2] == "\r\n" else text[end : end + 1] or "\n"

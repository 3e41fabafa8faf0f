"""YAML text changed in the places where its values are to change, and in no other.

Whoever reviews a changed configuration should see what changed: no line is wrapped, indented or
quoted anew, and comments stay with what they are about. What is inside brackets or braces is
written anew as a whole, on one line. Whatever cannot be done that way is an `EditError`, as is a
result that does not say what it should: it is read again before it leaves.
"""

import json
from collections.abc import Mapping as AbstractMapping
from difflib import SequenceMatcher
from operator import itemgetter

import yaml

from extauthz.envoyconfig.tree import List, Mapping, Node
from extauthz.yaml_events import LOADER

__all__ = ["EditError", "edited", "parsed"]

MAX_VALUES = 1_000_000
_ENDLESS = 1 << 30


class EditError(ValueError):
    """The text is no YAML, or cannot be changed without writing all of it anew."""


def parsed(text: str) -> Node:
    """The value of a YAML document. Raises EditError, with the place, for what is none."""
    try:
        value: Node = yaml.load(text, Loader=LOADER)  # noqa: S506 (one of the safe ones)
        size = _size(value, {})
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise EditError(f"is not YAML: {' '.join(str(error).split())}") from error
    if size > MAX_VALUES:
        raise EditError(f"has more than {MAX_VALUES} values, with its aliases written out")
    return value


def edited(text: str, wanted: Node, remarks: AbstractMapping[str, str] | None = None) -> str:
    """The text, changed so that its value is `wanted`.

    `remarks` are comments for items of lists, by the item's `name`: they come and go with it.
    """
    current = parsed(text)
    if current == wanted:
        return text
    root = yaml.compose(text, Loader=LOADER)
    if root is None:
        raise EditError("is empty")
    if isinstance(root, yaml.CollectionNode) and root.flow_style:
        # JSON: there are no comments.
        return json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
    editor = _Editor(text, remarks or {})
    editor.node(root, current, wanted)
    result = editor.result()
    if parsed(result) != wanted:
        raise EditError("cannot be changed in place: write lists and aliases out, one item a line")
    return result


def _size(value: Node, sizes: dict[int, int]) -> int:
    """How many values a value is. Raises ValueError when it contains itself."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in sizes:
        sizes[id(value)] = 0
        below = value.values() if isinstance(value, dict) else value
        sizes[id(value)] = 1 + sum(_size(item, sizes) for item in below)
    if not sizes[id(value)]:
        raise ValueError("an alias stands for what it is part of")
    return sizes[id(value)]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: object) -> bool:
        return True


class _Editor:
    """Collects replacements of parts of the text, by comparing nodes with what is wanted."""

    def __init__(self, text: str, remarks: AbstractMapping[str, str]) -> None:
        self._text = text
        self._remarks = remarks
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._edits: list[tuple[int, int, str]] = []
        # What an alias stands for is compared each time it occurs, and changed once.
        self._changed: set[int] = set()

    def result(self) -> str:
        parts, done = [], 0
        for start, end, replacement in sorted(self._edits, key=itemgetter(0, 1)):
            if start < done:
                raise EditError("cannot be changed in place: two changes overlap")
            parts += [self._text[done:start], replacement]
            done = end
        return "".join([*parts, self._text[done:]])

    def node(self, node: yaml.Node, current: Node, wanted: Node) -> None:
        if current == wanted or id(node) in self._changed:
            return
        self._changed.add(id(node))
        if not isinstance(node, yaml.CollectionNode):
            self._replace(node, wanted)
        elif node.flow_style:
            self._flow(node, current, wanted)
        elif isinstance(current, dict) and isinstance(wanted, dict) and current.keys() & wanted:
            self._mapping(node, current, wanted)
        elif isinstance(current, list) and isinstance(wanted, list) and wanted:
            self._sequence(node, current, wanted)
        else:
            raise EditError("cannot be changed in place: something becomes another thing")

    def _flow(self, node: yaml.CollectionNode, current: Node, wanted: Node) -> None:
        """What is in brackets or braces: values are exchanged, and else all of it is."""
        if isinstance(current, dict) and isinstance(wanted, dict):
            names = [key.value for key, _ in node.value]
            if names == list(current) == list(wanted):
                for key, value in node.value:
                    self.node(value, current[key.value], wanted[key.value])
                return
        self._replace(node, wanted)

    def _mapping(self, node: yaml.Node, current: Mapping, wanted: Mapping) -> None:
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {
            key.value: (key, value) for key, value in node.value
        }
        for key in entries.keys() - wanted.keys():
            if key in current:
                self._cut(entries[key][0], entries[key], current[key])
        previous: tuple[yaml.Node, ...] = ()
        for key, value in wanted.items():
            if key in current and key in entries:
                self.node(entries[key][1], current[key], value)
                previous = entries[key]
            elif key not in current or current[key] != value:
                lines = [*self._remark(value), *_entry(key, value)]
                self._insert_after(previous or node.value[-1], node.start_mark.column, lines)

    def _sequence(self, node: yaml.Node, current: List, wanted: List) -> None:
        before, after = ([_digest(item) for item in items] for items in (current, wanted))
        matcher = SequenceMatcher(None, before, after, autojunk=False)
        for tag, start, end, wanted_start, wanted_end in matcher.get_opcodes():
            new = wanted[wanted_start:wanted_end]
            pairs = list(zip(range(start, end), new, strict=False))
            if (
                tag == "replace"
                and len(new) == end - start
                and all(_is_alike(current[index], item) for index, item in pairs)
            ):
                for index, item in pairs:
                    self.node(node.value[index], current[index], item)
            elif tag != "equal":
                self._exchange(node, current, range(start, end), new)

    def _exchange(self, node: yaml.Node, current: List, old: range, new: List) -> None:
        """Other items in the place of some."""
        for index in old:
            self._cut(node.value[index], (node.value[index],), current[index])
        for item in new:
            lines = [*self._remark(item), *_item(item)]
            column = node.start_mark.column
            if old.start:
                self._insert_after((node.value[old.start - 1],), column, lines)
            else:
                self._insert(self._start(node.value[0], current[0]), column, lines)

    def _insert_after(self, nodes: tuple[yaml.Node, ...], column: int, lines: list[str]) -> None:
        self._insert(self._next_line(self._end(nodes)), column, lines)

    def _insert(self, position: int, column: int, lines: list[str]) -> None:
        block = "".join(" " * column + line + self._newline for line in lines)
        is_line_start = not position or self._text[position - 1] == "\n"
        self._edit(position, position, block if is_line_start else self._newline + block)

    def _cut(self, first: yaml.Node, nodes: tuple[yaml.Node, ...], value: Node) -> None:
        """Take out whole lines, and the value's remark with them."""
        self._edit(self._start(first, value), self._next_line(self._end(nodes)), "")

    def _start(self, node: yaml.Node, value: Node) -> int:
        """Where the lines of a key or an item begin, with the remark on its value."""
        start = self._line_start(node.start_mark.index)
        for remark in reversed(self._remark(value)):
            above = self._line_start(start - 1) if start else 0
            if self._text[above:start].strip() == remark:
                start = above
        return start

    def _replace(self, node: yaml.Node, wanted: Node) -> None:
        start, end = node.start_mark.index, node.end_mark.index
        # Nothing at all stands for null.
        self._edit(start, end, _flow(wanted) if start < end else f" {_flow(wanted)}")

    def _edit(self, start: int, end: int, replacement: str) -> None:
        self._edits.append((start, end, replacement))

    def _remark(self, value: Node) -> list[str]:
        item = value[0] if isinstance(value, list) and value else value
        name = item.get("name") if isinstance(item, dict) else None
        remark = self._remarks.get(name) if isinstance(name, str) else None
        return [] if remark is None else [f"# {line}" for line in remark.splitlines()]

    def _end(self, nodes: tuple[yaml.Node, ...]) -> int:
        """Where the last of the nodes ends, comments and empty lines behind it not included."""
        *before, node = nodes
        # An alias is the node that it stands for, which stands elsewhere: before its key.
        if before and node.start_mark.index < before[-1].start_mark.index:
            return int(before[-1].end_mark.index)
        while isinstance(node, yaml.CollectionNode) and not node.flow_style:
            key_and_value = node.value[-1]
            if isinstance(node, yaml.SequenceNode):
                node = key_and_value
            elif key_and_value[1].start_mark.index < key_and_value[0].start_mark.index:
                return int(key_and_value[0].end_mark.index)
            else:
                node = key_and_value[1]
        end: int = node.end_mark.index
        # A block of text ends only where something else begins.
        is_block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
        return len(self._text[:end].rstrip()) if is_block else end

    def _line_start(self, index: int) -> int:
        return self._text.rfind("\n", 0, index) + 1

    def _next_line(self, index: int) -> int:
        return self._text.find("\n", index) + 1 or len(self._text)


def _is_alike(current: Node, wanted: Node) -> bool:
    """Whether one becomes the other by changing something in it."""
    if isinstance(current, dict) and isinstance(wanted, dict):
        # What stands beside the dash of an item is not taken away alone.
        return next(iter(current), None) in wanted
    return not isinstance(current, dict | list) and not isinstance(wanted, dict | list)


def _digest(value: Node) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def _entry(key: str, value: Node) -> list[str]:
    if isinstance(value, dict | list) and value:
        return _block({key: value})
    return [f"{_flow(key)}: {_flow(value)}"]


def _item(value: Node) -> list[str]:
    """An item of a list: a mapping with one key on one line, others on several."""
    if isinstance(value, dict) and len(value) > 1:
        return _block([value])
    return [f"- {_flow(value)}"]


def _block(value: Node) -> list[str]:
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=None, sort_keys=False, width=_ENDLESS,
        allow_unicode=True,
    )  # fmt: skip
    return text.rstrip("\n").split("\n")


def _flow(value: Node) -> str:
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=_ENDLESS,
        allow_unicode=True,
    )  # fmt: skip
    return text.removesuffix("...\n").rstrip("\n")

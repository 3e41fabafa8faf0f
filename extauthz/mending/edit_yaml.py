"""An account's entry in a YAML file, changed in place: every character outside it stays.

The file is not loaded and written anew. A round trip of ruamel.yaml (0.19) loses alignment,
CRLF, a missing last newline, spaces within brackets and comments above `---`, and takes eight
seconds for 10,000 accounts. So libyaml says where the account's entry stands, that entry alone is
edited, by the marks of its own values, and put back. Nothing here is trusted to be right: whoever
calls reads the result with the readers of the files, and compares.
"""

from collections.abc import Iterable, Iterator, Sequence

from extauthz.identity import parse
from extauthz.mending.edit import Edit
from extauthz.mending.outcome import RefusedError
from extauthz.mending.yaml_search import search
from extauthz.mending.yaml_text import (
    Node,
    composed,
    events,
    line_break,
    line_end,
    line_start,
    written,
)
from extauthz.quoting import quoted

__all__ = ["edited"]

_FORMER = "former"
_DISABLED = "disabled"
_FALSE_AND_TRUE = ("false", "true")


def edited(text: str, path: Sequence[str], edit: Edit) -> str:
    """The text with the edit made. Raises RefusedError.

    `path` are the keys that lead to the mapping of accounts. The text is one that `document` has
    read without mistakes, with the account in it.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body = text.removeprefix(mark)
    found = search(body, path, edit.login)
    start, end = found.start, found.end
    if found.in_flow:
        entry = _Entry("{" + body[start:end] + "}", found.step, line_break(body))
        entry.make(edit)
        return mark + body[:start] + entry.text[1:-1] + body[end:]
    start, end = line_start(body, start), line_end(body, end)
    if body[start : found.start].strip(" "):
        what = f"the line of {quoted(edit.login)} begins with something else"
        remedy = f"write the entry in the file as {quoted(f'{edit.login}: …')} first"
        raise RefusedError(f"{what}: {remedy}, without anything before it")
    entry = _Entry(body[start:end], found.step, line_break(body))
    entry.make(edit)
    return mark + body[:start] + entry.text + body[end:]


class _Entry:
    """The text of one account's entry, and its changes, one after the other.

    In a block it is whole lines, with their indentation; within brackets it has a pair of its
    own. Either way it is a document, a mapping with one key, which is read again before each
    change.
    """

    def __init__(self, text: str, step: int, line_break: str) -> None:
        self.text = text
        self._step = step
        self._break = line_break

    def make(self, edit: Edit) -> None:
        """Change what the edit says."""
        if edit.keep_until is not None or edit.disabled is not None:
            self._make_mapping(edit)
        if edit.name is not None:
            names = self._names(edit)
            texts = [node.text or "" for node in names.items or (names,)]
            gone = [text for text in texts if edit.removes(text)]
            self._set_name(edit, edit.name)
            self._forget(edit)
            if edit.keep_until is not None:
                self._keep(edit, gone, edit.keep_until.isoformat())
        if edit.disabled is not None:
            self._set(_DISABLED, _FALSE_AND_TRUE[edit.disabled])

    def _root(self) -> tuple[Node, Node]:
        """The login and what stands for it."""
        following = events(self.text)
        next(following)
        next(following)
        root = composed(self.text, next(following), following.__next__, in_flow=False)
        return (root.entries or [])[0]

    def _value(self) -> Node:
        return self._root()[1]

    def _names(self, edit: Edit) -> Node:
        """The name, or the list of names."""
        value = self._value()
        entry = value.entry(edit.kind)
        return value if entry is None else entry[1]

    def _former(self) -> Node | None:
        entry = self._value().entry(_FORMER)
        return None if entry is None else entry[1]

    def _make_mapping(self, edit: Edit) -> None:
        """Write an account that is a name, or a list of names, as a mapping."""
        login, value = self._root()
        if value.entries is not None:
            return
        key = _in(_habit(login), edit.kind)
        if value.items is None or value.is_flow:
            inner = self.text[value.start : value.end]
            if value.text is not None:
                inner = written(value.text, value.quote, in_flow=True)
            self._splice(value.start, value.end, f"{{{key}: {inner}}}")
            return
        start = line_start(self.text, value.items[0].start)
        column = login.start - line_start(self.text, login.start) + self._step
        shift = " " * self._step
        lines = [shift + line if line.strip() else line for line in self._lines(start)]
        self._splice(start, len(self.text), f"{' ' * column}{key}:{self._break}{''.join(lines)}")

    def _lines(self, start: int) -> Iterator[str]:
        """The lines from a position on, with their breaks."""
        while start < len(self.text):
            end = self._next_line(start)
            yield self.text[start:end]
            start = end

    def _set_name(self, edit: Edit, name: str) -> None:
        """Put the name in the place of those that go."""
        names = self._names(edit)
        places = [names] if names.items is None else names.items
        gone = [index for index, place in enumerate(places) if edit.removes(place.text or "")]
        if all(parse(edit.kind, place.text or "") != edit.identity for place in places):
            first = places[gone.pop(0) if gone else 0]
            raw = written(name, first.quote, in_flow=first.in_flow)
            is_empty = first.start == first.end
            self._splice(first.start, first.end, f" {raw}" if is_empty else raw)
        for index in reversed(gone):
            rest = self._names(edit)
            self._delete(rest, [(item.start, item.end) for item in rest.items or ()], index)

    def _forget(self, edit: Edit) -> None:
        """Take the name out of the former ones, and those that end at once."""
        ends = edit.removed if edit.keep_until is None else frozenset()
        gone = {*ends, edit.identity}
        while (former := self._former()) is not None:
            entries = former.entries or []
            index = next(
                (
                    i
                    for i, (key, _) in enumerate(entries)
                    if parse(edit.kind, key.text or "") in gone
                ),
                None,
            )
            if index is None:
                return
            if len(entries) > 1:
                self._delete(former, _spans(former), index)
                continue
            value = self._value()
            keys = [key.text for key, _ in value.entries or ()]
            self._delete(value, _spans(value), keys.index(_FORMER))

    def _keep(self, edit: Edit, gone: Iterable[str], day: str) -> None:
        """Let names that go hold until the end of a day."""
        for name in gone:
            former = self._former()
            quote = _habit((self._value().entries or [])[0][0])
            if former is None:
                raw = written(name, quote, in_flow=True)
                self._set(_FORMER, f"{{{raw}: {_in(quote, day)}}}")
                continue
            identity = parse(edit.kind, name)
            day_quote = quote
            for key, value in former.entries or ():
                quote, day_quote = _habit(key), _habit(value)
                if parse(edit.kind, key.text or "") == identity:
                    self._splice(value.start, value.end, _in(day_quote, day))
                    break
            else:
                raw = written(name, quote, in_flow=former.is_flow or former.in_flow)
                self._insert(former, f"{raw}: {_in(day_quote, day)}")

    def _set(self, key: str, raw: str) -> None:
        """Give a key of the account's mapping a value."""
        mapping = self._value()
        entry = mapping.entry(key)
        if entry is None:
            first, _ = (mapping.entries or [])[0]
            self._insert(mapping, f"{_in(_habit(first), key)}: {raw}")
        else:
            self._splice(entry[1].start, entry[1].end, raw)

    def _insert(self, mapping: Node, entry: str) -> None:
        """Put an entry at the end of a mapping."""
        if not mapping.entries:
            self._splice(mapping.end - 1, mapping.end - 1, entry)
            return
        end = mapping.entries[-1][1].end
        if mapping.is_flow:
            self._splice(end, end, f", {entry}")
            return
        first = mapping.entries[0][0].start
        column = first - line_start(self.text, first)
        end = line_end(self.text, end)
        self._splice(end, end, f"{self._break}{' ' * column}{entry}")

    def _delete(self, collection: Node, spans: Sequence[tuple[int, int]], index: int) -> None:
        """Take out one of several entries or items, with its comma or its lines."""
        start, end = spans[index]
        if not collection.is_flow:
            start, end = line_start(self.text, start), self._next_line(end)
            if end == len(self.text):
                start = len(self.text[:start].rstrip("\r\n"))
        elif index > 0:
            start = spans[index - 1][1]
        else:
            end = spans[1][0]
        self._splice(start, end, "")

    def _next_line(self, position: int) -> int:
        end = line_end(self.text, position)
        return end + (2 if self.text[end : end + 2] == "\r\n" else end < len(self.text))

    def _splice(self, start: int, end: int, text: str) -> None:
        self.text = self.text[:start] + text + self.text[end:]


def _habit(node: Node) -> str:
    """The quotes in which a text stands that needs none: as its author writes texts."""
    if node.text is None or written(node.text, "", in_flow=node.in_flow) != node.text:
        return ""
    return node.quote


def _in(quote: str, word: str) -> str:
    """A word of plain letters, or a day, in these quotes."""
    return f"{quote}{word}{quote}"


def _spans(mapping: Node) -> list[tuple[int, int]]:
    return [(key.start, value.end) for key, value in mapping.entries or ()]

"""Entries of YAML that can be read in one way only, read by a regular expression.

PyYAML makes an object with two marks of every word and bracket: 1,000,000 accounts with a unit and
groups take it more than 15 seconds. What is read here is a small part of YAML, such as programs
write it: one entry after another from the first column on, of plain or simply quoted words, with
lists and mappings in brackets or one to a line. At the first entry that is anything else, this
ends, and PyYAML reads on from there. So this may know less than PyYAML, but nothing else: for
whatever it reads, PyYAML reads the same (a property that the tests hold it to).
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import TypeAlias

from extauthz.directory.rows import Location, Row, Value
from extauthz.files import Place
from extauthz.yaml_events import resolve

__all__ = ["Plain", "begins_entry"]

CHUNK = 1024 * 1024
"""Octets that are matched at a time, about."""

MAX_COMMON = 200
"""Characters of what is remembered, because other accounts may well say the same."""

# Of words over several lines, of tabs, of escapes and of what a colon or a hash may begin, PyYAML
# knows more than these do: none of it is in them. A key of more than 1,024 characters is none.
_WORD = r"\w[\w.+@/=-]{0,200}+"
_QUOTED = r"""(?:"(?>(?:[ !\#-\[\]-~]|\w){0,200})"|'(?>(?:[ -&(-~]|\w){0,200})')"""
_KEY = rf"(?:{_WORD}|{_QUOTED})"
_IN_BRACKETS = rf"(?:{_WORD}(?>(?:\ {_WORD})*)|{_QUOTED})"
_ON_A_LINE = rf"(?:{_WORD}(?>(?:(?:\ |,\ ?|:/?/?){_WORD})*)|{_QUOTED})"
_LIST = rf"\[(?:{_IN_BRACKETS}(?>(?:,\ {_IN_BRACKETS})*))?\]"
_PAIRS = rf"\{{{_KEY}:\ {_IN_BRACKETS}(?>(?:,\ {_KEY}:\ {_IN_BRACKETS})*)\}}"
_MEMBER = rf"{_KEY}:\ (?:{_IN_BRACKETS}|{_LIST}|{_PAIRS})"
_MEMBERS = rf"\{{{_MEMBER}(?>(?:,\ {_MEMBER})*)\}}"
_ITEMS = rf"-\ {_ON_A_LINE}\n"
_LINE = rf"""
    {_KEY}:(?:
        \ (?:{_ON_A_LINE}|{_LIST}|{_PAIRS})\n
        |\n(?=(?P<inner>(?P=indent)\ {{0,8}}+)-)(?>(?:(?P=inner){_ITEMS})+)
        |\n(?=(?P<deeper>(?P=indent)\ {{1,8}}+))(?>(?:(?P=deeper){_KEY}:\ {_ON_A_LINE}\n)+)
    )"""
_BETWEEN = r"(?>(?:\ *+(?:\#(?>(?:[\t -~]|\w)*))?\n)*)(?=[\"'\w]|\Z)"
"""Empty lines and comments, and after them the beginning of another entry, or the end."""
_ENTRY = re.compile(
    rf"""
    (?P<key>{_KEY}):(?:
        \ (?P<value>{_ON_A_LINE}|{_LIST}|{_MEMBERS})\n
        |\n(?P<items>(?=(?P<outer>\ {{0,8}}+)-)(?>(?:(?P=outer){_ITEMS})+))
        |\n(?P<lines>(?=(?P<indent>\ {{1,8}}+))(?>(?:(?P=indent){_LINE})+))
    ){_BETWEEN}""",
    re.VERBOSE,
)
_BEGINNING = re.compile(rf"(?:---\n)?{_BETWEEN}", re.VERBOSE)
_WORDS = re.compile(_IN_BRACKETS, re.VERBOSE)
_MEMBERS_IN_BRACKETS = re.compile(rf"({_KEY}):\ ({_LIST}|{_PAIRS}|{_IN_BRACKETS})", re.VERBOSE)
_MEMBERS_WITHOUT_QUOTES = re.compile(r"([^:{, ]+): (\[[^]]*\]|\{[^}]*\}|[^,}]+)")
"""The same in a text that matches `_MEMBERS` and has no quotes in it; twice as fast."""
_MEMBER_OF_LINE = re.compile(rf"({_KEY}):\ ?(.*)", re.VERBOSE)

FindPlaces: TypeAlias = Callable[[str, int, str], Mapping[Location, Place]]
"""Finds the places in the text of an entry, which begins in that line, for accounts of a kind."""


class _DoubleError(Exception):
    """A key stands twice in an entry."""


class Plain:
    """Reads the rows of a file up to the first entry that is not plain, and says where that is."""

    def __init__(
        self, octets: bytes, kind: str, find_places: FindPlaces, first_line: int = 1
    ) -> None:
        self.offset = 0
        """Where the rows that were read end, in octets."""
        self.line = first_line
        """The line that begins there."""
        self.is_at_end = False
        self._octets = octets
        self._kind = kind
        self._find_places = find_places

    def __iter__(self) -> Iterator[Row]:
        file = io.BytesIO(self._octets)
        kept: list[bytes] = []
        while not self.is_at_end:
            more = file.readlines(CHUNK)
            lines, kept = _cut(kept + more) if more else (kept, [])
            first = self.line
            yield from self._rows(_text(lines))
            self.offset += sum(map(len, lines[: self.line - first]))
            if self.line - first < len(lines) or (more and not lines):
                return
            self.is_at_end = not more

    def _rows(self, text: str) -> Iterator[Row]:
        """The rows of some whole entries, as far as these are plain."""
        position = before = 0
        if self.line == 1:
            beginning = _BEGINNING.match(text)
            if beginning is None:
                return
            position = beginning.end()
            before = text.count("\n", 0, position)
        while position < len(text):
            entry = _ENTRY.match(text, position)
            if entry is None:
                return
            try:
                members = self._members(entry)
            except _DoubleError:
                return
            position = entry.end()
            whole, line = entry[0], self.line + before
            self.line, before = line + whole.count("\n"), 0
            find = partial(self._find_places, whole, line, self._kind)
            yield Row(line, _unquoted(entry["key"]), members, find)
        self.line += before

    def _members(self, entry: re.Match[str]) -> dict[str, Value]:
        value, items, lines = entry.group("value", "items", "lines")
        if lines is not None:
            return _with_first_line(lines, len(entry["indent"]))
        if items is not None:
            return {self._kind: [_scalar(line.lstrip(" ")[2:]) for line in items.split("\n")[:-1]]}
        return _with_first_pair(value) if value[0] == "{" else {self._kind: _value(value)}


def begins_entry(octets: bytes) -> bool:
    """Whether a line begins like a plain entry; of the line, its first octets are enough."""
    first = octets[:4].decode("utf-8", "ignore")[:1]
    return first.isalnum() or first in ("'", '"')


def _cut(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The lines before the last one that begins an entry, and the rest."""
    for number in range(len(lines) - 1, 0, -1):
        if begins_entry(lines[number]):
            return lines[:number], lines[number:]
    return [], lines


def _text(lines: list[bytes]) -> str:
    """Lines that all end; nothing when they are not UTF-8, which is nothing plain."""
    try:
        text = b"".join(lines).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return ""
    return text if not text or text[-1] == "\n" else text + "\n"


def _with_first_pair(text: str) -> dict[str, Value]:
    """Members in brackets, of which many accounts have all but the first in common."""
    first, _, more = text[1:-1].partition(", ")
    key, _, word = first.partition(": ")
    if len(more) > MAX_COMMON or not more or not word[0].isalnum() or not key[0].isalnum():
        return _of_brackets(text)
    return _joined(key, resolve(word), _common_pairs(more))


def _with_first_line(text: str, indent: int) -> dict[str, Value]:
    """Members one to a line, of which many accounts have all but the first in common."""
    first, _, more = text.partition("\n")
    key, value = _member(first[indent:])
    if len(more) > MAX_COMMON or not value or more[indent : indent + 1] in (" ", "-", ""):
        return _of_lines(text, indent)
    return _joined(key, _value(value), _common_lines(more, indent))


def _joined(key: str, value: Value, common: dict[str, Value]) -> dict[str, Value]:
    if key in common:
        raise _DoubleError
    return {key: value, **common}


@lru_cache(maxsize=1024)
def _common_pairs(text: str) -> dict[str, Value]:
    return _of_brackets(text)


@lru_cache(maxsize=1024)
def _common_lines(text: str, indent: int) -> dict[str, Value]:
    return _of_lines(text, indent)


def _of_brackets(text: str) -> dict[str, Value]:
    if '"' in text or "'" in text:
        pairs = [(_unquoted(key), value) for key, value in _MEMBERS_IN_BRACKETS.findall(text)]
    else:
        pairs = _MEMBERS_WITHOUT_QUOTES.findall(text)
    members: dict[str, Value] = {key: _value(value) for key, value in pairs}
    if len(members) < len(pairs):
        raise _DoubleError
    return members


def _of_lines(text: str, indent: int) -> dict[str, Value]:
    """Members that stand one to a line, with lists and mappings below some of them."""
    members: dict[str, Value] = {}
    items: list[Value] = []
    pairs: dict[str, Value] = {}
    last = ""
    for line in text.split("\n")[:-1]:
        content = line.lstrip(" ")
        if content[:2] == "- ":
            items.append(_scalar(content[2:]))
            members[last] = items
            continue
        is_below = len(line) - len(content) > indent
        into = pairs if is_below else members
        key, value = _member(content)
        if key in into:
            raise _DoubleError
        if is_below:
            members[last] = pairs
        else:
            last, items, pairs = key, [], {}
        into[key] = _value(value) if value else None
    return members


def _member(line: str) -> tuple[str, str]:
    """The key of a line, and what comes after it."""
    if line[0] in "\"'":
        key, value = _MEMBER_OF_LINE.findall(line)[0]
        return key[1:-1], value
    key, _, value = line.partition(":")
    return key, value[1:]


def _value(text: str) -> Value:
    first = text[0]
    if first.isalpha():
        return resolve(text)
    if first == "{":
        return _of_brackets(text)
    return _list(text) if first == "[" else _scalar(text)


def _list(text: str) -> list[Value]:
    has_quotes = '"' in text or "'" in text
    words = _WORDS.findall(text) if has_quotes else text[1:-1].split(", ")
    return [_scalar(word) for word in words if word]


def _scalar(text: str) -> Value:
    return text[1:-1] if text[0] in "\"'" else resolve(text)


def _unquoted(key: str) -> str:
    return key[1:-1] if key[0] in "\"'" else key

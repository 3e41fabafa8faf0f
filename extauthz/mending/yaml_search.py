"""Where the entry of one account stands in a YAML file, and whether it is that account's alone.

An entry that shares text with another one, by anchor and alias, is refused: a change of it would
be one of several accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from extauthz.mending.outcome import RefusedError
from extauthz.mending.yaml_text import composed, events, skip
from extauthz.quoting import quoted
from extauthz.yaml_events import Event

__all__ = ["Found", "search"]


_USUAL_STEP = 2


@dataclass(frozen=True, slots=True)
class Found:
    start: int
    """Of the account's key."""
    end: int
    """Of its value."""
    in_flow: bool
    step: int
    """By how many columns accounts stand to the right of the key that they are below."""


def search(text: str, path: Sequence[str], login: str) -> Found:
    """Find an account in the mapping that the keys lead to. Raises RefusedError.

    The text has no byte order mark, and `document` has read it without mistakes.
    """
    return _Search(text, login).run(path)


class _Search:
    """One walk through the events of a file, to the entry of an account and on to the end."""

    def __init__(self, text: str, login: str) -> None:
        self._text = text
        self._login = login
        self._events = events(text)
        self._aliases: set[str] = set()
        """The anchors that aliases stand for, anywhere."""
        self._anchors: set[str | None] = set()
        """Those of the account, of what is in it, and of what it is in."""

    def run(self, path: Sequence[str]) -> Found:
        self._next()
        self._next()
        node = self._next()
        column, in_flow = 0, False
        for key in (*path, self._login):
            self._anchors.add(node.anchor)
            in_flow = in_flow or bool(node.flow_style)
            above = column
            start, column, node = self._child(node, key)
            if isinstance(node, yaml.AliasEvent):
                self._refuse(f"{quoted(key)} is written as an alias")
        account = composed(self._text, node, self._next, in_flow=in_flow)
        for inner in account.nodes():
            if inner.is_alias:
                self._refuse("a part of it is written as an alias")
            self._anchors.add(inner.anchor)
        for event in self._events:
            self._note(event)
        if self._anchors & self._aliases:
            self._refuse("an alias elsewhere stands for it, or for a part of it")
        step = column - above if column > above else _USUAL_STEP
        return Found(start, account.end, in_flow, step)

    def _child(self, mapping: Event, wanted: str) -> tuple[int, int, Event]:
        """Where a key of a mapping begins, its column, and the first event of its value."""
        if not isinstance(mapping, yaml.MappingStartEvent):
            self._refuse("it is not in a mapping")
        while not isinstance(key := self._next(), yaml.MappingEndEvent):
            if getattr(key, "value", None) == wanted:
                return key.start_mark.index, key.start_mark.column, self._next()
            skip(key, self._next)
            skip(self._next(), self._next)
        raise RefusedError(f"{quoted(wanted)} does not stand in the file")

    def _next(self) -> Event:
        event = next(self._events)
        self._note(event)
        return event

    def _note(self, event: Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._aliases.add(str(event.anchor))

    def _refuse(self, why: str) -> None:
        message = f"the entry of {quoted(self._login)} cannot be changed alone: {why}"
        raise RefusedError(f"{message}; write it out in the file first")

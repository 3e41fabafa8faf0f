"""What PyYAML's events mean, wherever extauthz reads YAML.

PyYAML's own loaders read `off` and `no` as booleans and forget where a value stood. Its parser's
events know both; here is how they are understood: plain scalars by the core schema of YAML 1.2
(10.3.2), in decimal, so that `mode: off` says what it seems to say. What a document may hold is
its readers' business.
"""

import re
from typing import Any, TypeAlias

import yaml

from extauthz.files import Place

__all__ = ["CONTROL", "LOADER", "Event", "ScalarValue", "is_plain", "place", "resolve", "tag"]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONTROL = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What may not stand in a YAML file (YAML 1.2, 5.1), nor a byte order mark within it."""
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_BEGINS_NUMBER = frozenset("+-.0123456789")
_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip

Event: TypeAlias = Any
"""An event of PyYAML: its type stubs know fewer attributes than there are."""
ScalarValue: TypeAlias = str | int | float | bool | None


def resolve(text: str) -> ScalarValue:
    """The value of a plain scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _BEGINS_NUMBER:
        return text
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def is_plain(event: Event) -> bool:
    """Whether a scalar stands there without quotes and without a tag."""
    return event.style in (None, "") and bool(event.implicit[0])


def place(event: Event) -> Place:
    """Where an event begins."""
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def tag(event: Event) -> str:
    """The tag of an event as a person writes it."""
    return str(event.tag).replace("tag:yaml.org,2002:", "!!")

"""Entries of a file of accounts as they stand there, whatever the format of the file is.

A format reads rows and judges nothing: what a row may say is stated in `records`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from extauthz.files import Place

__all__ = ["KEY", "Division", "Location", "Row", "Value"]

KEY = "[key]"
"""Ends the location of a key itself, where otherwise its value is meant."""

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"
Location: TypeAlias = tuple[str | int, ...]


@dataclass(slots=True)
class Division:
    """Where a file can be divided, so that two processes read it."""

    cut: int
    """Octets of the first part."""
    header: bytes = b""
    """What is to be read before the second part, in place of the line above it."""
    holds: bool = True
    """Whether the second part could be read by itself; known when the first one was read."""


class Row(NamedTuple):
    """An entry as it stands in the file."""

    line: int
    """Where it begins, counted from 1."""
    login: Value
    """None where there is none."""
    members: Mapping[str, Value]
    """Everything else."""
    places: Callable[[], Mapping[Location, Place]] = dict
    """Finds out where keys and values stand, as far as the format tells; of a key, its location
    and KEY."""

"""What is wrong with a policy file, and where."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from extauthz.files import Place
from extauthz.quoting import MAX_QUOTED, printable, quoted

__all__ = [
    "MAX_QUOTED",
    "Mistake",
    "Problem",
    "Problems",
    "Report",
    "Severity",
    "counted",
    "printable",
    "quoted",
]

Report: TypeAlias = Callable[[Place, str, str], None]
"""Takes a mistake: its place, what is wrong, what would be right."""


class Severity(StrEnum):
    """What a problem does to the policy."""

    ERROR = "error"
    """The file is wrong: it does not take effect."""
    LAPSED = "lapsed"
    """The file is right, but time has run out on something in it, and a subscription admits
    nobody. It takes effect: one customer's forgotten date must not lock out the others when
    the service restarts. `extauthz validate` fails on it."""
    WARNING = "warning"
    """It works today; the operator should look at it."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in a file that its author has to mend: where, what, and what would be right."""

    place: Place
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a policy: where, what, and what would be right."""

    file: Path
    place: Place | None
    """None when the file as a whole is meant."""
    severity: Severity
    message: str
    remedy: str
    subscription: str | None = None
    """Whose it is, where nothing in the file is wrong but what the file names."""

    def __str__(self) -> str:
        """One line, safe for a terminal."""
        where = str(self.file)
        if self.place is not None:
            where += f":{self.place.line}:{self.place.column}"
        return printable(f"{where}: {self.severity}: {self.message}; {self.remedy}")


class Problems:
    """Those of one policy, as they are found."""

    def __init__(self, file: Path) -> None:
        self._file = file
        # A value that is written once and stands in several places by an alias is wrong once.
        self._found: dict[Problem, None] = {}
        self.errors = 0
        """How many were reported, those included that had been found already."""

    def report(
        self,
        place: Place | None,
        message: str,
        remedy: str,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self._found[Problem(self._file, place, severity, message, remedy)] = None
        self.errors += severity is Severity.ERROR

    def in_order(self) -> tuple[Problem, ...]:
        """In the order of their places."""
        return tuple(sorted(self._found, key=lambda each: each.place or Place(0, 0)))


def counted(count: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

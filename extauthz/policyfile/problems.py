"""What is wrong with a policy file, and where."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from extauthz.files import Place
from extauthz.quoting import MAX_QUOTED, printable, quoted

__all__ = [
    "MAX_QUOTED",
    "Mistake",
    "Problem",
    "Severity",
    "counted",
    "printable",
    "quoted",
]


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

    def __str__(self) -> str:
        """One line, safe for a terminal."""
        where = str(self.file)
        if self.place is not None:
            where += f":{self.place.line}:{self.place.column}"
        return printable(f"{where}: {self.severity}: {self.message}; {self.remedy}")


def counted(count: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""What is wrong with a file of accounts, and where.

A file of a million accounts can be wrong a million times. The first mistakes are kept in words,
the others counted: whoever mends these will read the file again.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from extauthz.quoting import MAX_QUOTED, printable

__all__ = ["MAX_KEPT", "Mistakes", "Problem", "UnreadableError", "did_you_mean", "in_words"]

MAX_KEPT = 20
"""How many problems of one reading are put in words."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a file of accounts: where, what, and what would be right."""

    message: str
    remedy: str
    line: int | None = None
    """Counted from 1; None when the file as a whole is meant."""
    column: int | None = None
    """Counted from 1, in characters; None when the whole line is meant."""

    def of(self, path: Path) -> str:
        """One line, safe for a terminal: `accounts.csv:17: what is wrong; what would be right`."""
        where = [str(path), *(str(at) for at in (self.line, self.column) if at is not None)]
        return printable(f"{':'.join(where)}: {self.message}; {self.remedy}")


class UnreadableError(Exception):
    """Reading ends here: what follows cannot be understood, or is too much."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Mistakes:
    """Collects what is wrong with one file."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[Problem] = []

    @property
    def is_full(self) -> bool:
        """Whether further mistakes are only counted, so that nobody needs to word them."""
        return len(self._kept) >= MAX_KEPT

    def add(self, problem: Problem) -> None:
        self.count += 1
        if not self.is_full:
            self._kept.append(problem)

    def also(self, count: int, kept: Iterable[Problem] = ()) -> None:
        """Count further mistakes, some of which may be in words."""
        self.count += count
        self._kept += list(kept)[: MAX_KEPT - len(self._kept)]

    @property
    def kept(self) -> tuple[Problem, ...]:
        """The first of them, in the order of their lines."""
        return tuple(sorted(self._kept, key=lambda each: (each.line or 0, each.column or 0)))


@lru_cache(maxsize=256)
def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    """The remedy for a word that is none of those that are known."""
    # Longer words resemble none of them, and comparing takes time.
    close = difflib.get_close_matches(word[:MAX_QUOTED], known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"possible here: {', '.join(known)}"


def in_words(path: Path, problems: Iterable[Problem], count: int) -> str:
    """All that is wrong with a file in one line, the first of it in full."""
    kept = list(problems)
    rest = count - 1
    first = kept[0].of(path)
    if rest == 0:
        return first
    return f"{first} (and {rest} more {'problem' if rest == 1 else 'problems'})"

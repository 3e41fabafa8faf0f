"""Which finished files of a log are deleted: the rule alone, no file is touched here.

What is deleted is evidence that is lost, so it is never more than the bounds ask for. What stays
is always the newest files without a hole among them, whoever decides it and however many do at a
time: a file goes by what it and the newer ones have, not by what others have deleted meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeVar

__all__ = ["Retention", "Why"]

_MEGABYTE = 1_000_000

T = TypeVar("T")


class Why(Enum):
    """Why a file is deleted."""

    AGE = "age"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long finished files are kept, and how many; None for without a bound."""

    days: int | None = None
    """Since they were finished."""
    octets: int | None = None
    """Of all of them together."""

    def is_expired(self, finished: datetime, now: datetime) -> bool:
        """Whether a file that was finished then is too old."""
        return self.days is not None and now - finished > timedelta(days=self.days)

    def surplus(self, newest_first: Sequence[T], octets_of: Callable[[T], int]) -> Sequence[T]:
        """The files that go, newest first, so that the others are within the bound.

        The sizes of files that are older than one that goes are not asked for.
        """
        total = 0
        for index, file in enumerate(newest_first):
            total += octets_of(file)
            if self.octets is not None and total > self.octets:
                return newest_first[index:]
        return ()

    @property
    def bounds(self) -> dict[Why, str]:
        """What files are that are deleted, in words, by each bound that there is."""
        words = {}
        if self.days is not None:
            words[Why.AGE] = f"older than {self.days} days"
        if self.octets is not None:
            words[Why.SIZE] = f"more than {self.octets / _MEGABYTE:.15g} MB together"
        return words

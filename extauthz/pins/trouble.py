"""What can be wrong with a store that replicas share, and for how long it has been so.

The operator is told once when it fails again and again, and once when that is over. A store fails
in two ways. Mostly it does nothing that it is asked. But a store that is full says whose sessions
are and binds none: a look-up succeeds before every binding, and proves nothing about the next one.
So refused bindings are counted by themselves.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from extauthz.quoting import printable
from extauthz.session import Holder, PinsUnavailable

__all__ = ["MAX_FAILURES", "Cause", "Deed", "Health", "Trouble"]

MAX_FAILURES = 3
"""Failures in a row that are worth a line in the log."""

logger = logging.getLogger(__name__)


class Cause(Enum):
    """What kind of thing is wrong: as many as there are remedies."""

    SETTINGS = auto()
    """With these, it cannot be asked at all."""
    SECRET = auto()
    """There is no password where one should be."""
    CA_FILE = auto()
    UNREACHABLE = auto()
    SILENT = auto()
    UNTRUSTED = auto()
    """Its TLS certificate is not accepted."""
    STRANGER = auto()
    """What is there does not speak as it should."""
    DENIED = auto()
    """It does not take the password."""
    RIGHTS = auto()
    FULL = auto()
    READ_ONLY = auto()
    LOADING = auto()
    OLD = auto()
    """It lacks a command."""
    FOREIGN = auto()
    """One session's value was written by somebody else."""
    ERROR = auto()
    """It answers with another error."""


@dataclass(frozen=True, slots=True, eq=False)
class Trouble(PinsUnavailable):
    """Why a store did not do what it was asked."""

    cause: Cause
    is_news: bool = True
    """False for who did not ask, because others have just been told this."""


class Deed(Enum):
    """What a store is asked for."""

    LOOK_UP = auto()
    BIND = auto()


Outcome: TypeAlias = Sequence[Holder | None] | Trouble

_OF_BINDING_ALONE = frozenset({Cause.FULL, Cause.RIGHTS, Cause.ERROR})
"""What may be wrong with bindings while look-ups succeed."""


class Health:
    """Counts the failures of one store."""

    def __init__(self, name: str) -> None:
        self._name = name
        """As it may stand in a log: without any secret."""
        self._failures = {Deed.LOOK_UP: 0, Deed.BIND: 0}
        """In a row. Those of bindings are with the look-ups', unless they can fail alone."""
        self._worked_at = 0.0
        """On the monotonic clock."""
        self._is_told = False

    @property
    def is_good(self) -> bool:
        """Whether it did what it was asked last."""
        return not any(self._failures.values())

    def note(self, deed: Deed, outcome: Outcome, began: float) -> None:
        """Count what came of a question that was asked at `began`, on the monotonic clock."""
        if not isinstance(outcome, Trouble):
            self._worked(deed)
        elif outcome.cause is Cause.FOREIGN:
            self._worked(Deed.LOOK_UP)
        elif outcome.is_news:
            # It has answered others meanwhile: it is busy, and not down.
            if outcome.cause is Cause.SILENT and began < self._worked_at:
                return
            alone = deed is Deed.BIND and outcome.cause in _OF_BINDING_ALONE
            self._failed(Deed.BIND if alone else Deed.LOOK_UP, outcome.why)

    def _worked(self, deed: Deed) -> None:
        self._worked_at = time.monotonic()
        self._failures[Deed.LOOK_UP] = 0
        if deed is Deed.BIND:
            self._failures[Deed.BIND] = 0
        if self._is_told and self.is_good:
            self._is_told = False
            logger.info("session store %s answers again", self._name)

    def _failed(self, deed: Deed, why: str) -> None:
        self._failures[deed] += 1
        if self._failures[deed] < MAX_FAILURES or self._is_told:
            return
        self._is_told = True
        refused = "with a session cookie are refused until it answers"
        if deed is Deed.BIND:
            refused = "that begin a session are refused until it binds them"
        logger.warning(
            "session store %s failed %d times, last: %s; requests %s",
            self._name, MAX_FAILURES, printable(why), refused,
        )  # fmt: skip

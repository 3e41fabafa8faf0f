"""What fails of a decision log at present, said as it begins and kept until it goes well again.

One thread tells; any other may look.
"""

import logging
import time
from typing import Final

__all__ = ["Troubles"]

_SAY_AGAIN_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


class Troubles:
    """Those of one log, by what cannot be done to it: `written`, `rotated`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._silent_until: dict[str, float] = {}
        self._present: dict[str, str] = {}
        """Replaced and never changed: others may be reading it."""
        self.complaints = 0
        """How often something failed that was said here."""

    @property
    def present(self) -> tuple[str, ...]:
        """What fails at present, a clause each."""
        return tuple(self._present.values())

    def begins(self, what: str, error: OSError) -> str:
        """Something failed, which others say; the clause that stands for it."""
        clause = f"it cannot be {what}: {error.strerror or error}"
        self._present = {**self._present, what: clause}
        return clause

    def complain(self, what: str, error: OSError) -> None:
        """Something failed, and the operator is told, unless that was not long ago."""
        clause = self.begins(what, error)
        self.complaints += 1
        now = time.monotonic()
        if now >= self._silent_until.get(what, 0.0):
            self._silent_until[what] = now + _SAY_AGAIN_SECONDS
            logger.error("decision log %s: %s", self._name, clause)

    def ends(self, what: str) -> None:
        """It went well."""
        if what in self._present:
            self._present = {key: text for key, text in self._present.items() if key != what}

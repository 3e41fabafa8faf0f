"""The policy in force, and its replacement while checks go on.

A reload reads and validates everything in a worker thread, then swaps one reference. A policy
with an error changes nothing: the last good one stays, and everybody who looks is told.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from extauthz.policyfile.files import Stamp, stamp
from extauthz.policyfile.loader import Loaded, load
from extauthz.policyfile.problems import Problem, Severity
from extauthz.snapshot import Snapshot

__all__ = ["LivePolicy", "ReloadStatus"]

MAX_LOGGED = 20
"""How many problems of one reading are logged one by one."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReloadStatus:
    """How the last reading of the policy file ended."""

    at: datetime
    errors: tuple[Problem, ...]
    """Why the file did not take effect; empty when it did."""


class LivePolicy:
    """Holds the snapshot that checks are decided with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.snapshot: Snapshot | None = None
        """None until a first policy without errors was read."""
        self.status = ReloadStatus(datetime.now(UTC), ())
        self.files: Mapping[Path, Stamp] = {}
        """The files that the last reading depended on, as they were then."""
        self.readings: Counter[str] = Counter({"success": 0, "failure": 0})
        self._reading = asyncio.Lock()

    async def reload(self) -> bool:
        """Read the policy file; say whether it is now in force. Checks go on meanwhile."""
        async with self._reading:
            try:
                loaded = await asyncio.to_thread(load, self.path, datetime.now(UTC))
            except Exception as error:
                # A bug in reading must not end the serving of the policy that was read before.
                logger.critical("reading the policy failed by a bug", exc_info=True)
                loaded = self._failed(error)
            self._take(loaded)
            return loaded.policy is not None

    def _failed(self, error: Exception) -> Loaded:
        message = f"extauthz failed to read the policy: {error!r}"
        problem = Problem(self.path, None, Severity.ERROR, message, "report this as a bug")
        return Loaded(None, (problem,), {file: stamp(file) for file in {*self.files, self.path}})

    def _take(self, loaded: Loaded) -> None:
        self.files = loaded.files
        errors = tuple(p for p in loaded.problems if p.severity is Severity.ERROR)
        self.status = ReloadStatus(datetime.now(UTC), errors)
        _log(loaded.problems)
        if loaded.policy is None:
            self.readings["failure"] += 1
            kept = "no policy is in force" if self.snapshot is None else "the last good one stays"
            logger.error("policy %s has %d errors: %s", self.path, len(errors), kept)
            return
        generation = 1 if self.snapshot is None else self.snapshot.generation + 1
        self.snapshot = Snapshot(loaded.policy, generation)
        self.readings["success"] += 1
        logger.info(
            "policy %s is in force: generation %d, %d subscriptions",
            self.path, generation, len(loaded.policy.subscriptions),
        )  # fmt: skip


def _log(problems: tuple[Problem, ...]) -> None:
    for problem in problems[:MAX_LOGGED]:
        level = logging.ERROR if problem.severity is Severity.ERROR else logging.WARNING
        logger.log(level, "%s", problem)
    if len(problems) > MAX_LOGGED:
        logger.warning("and %d more: see `extauthz validate`", len(problems) - MAX_LOGGED)

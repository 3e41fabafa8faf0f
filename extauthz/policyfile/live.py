"""The policy in force, and its replacement while checks go on.

A reload reads and validates everything in a worker thread, then swaps one reference. A policy
with an error changes nothing: the last good one stays, and everybody who looks is told.
"""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from extauthz import secret
from extauthz.files import Stamp, stamp
from extauthz.lookup import NO_DIRECTORIES, Directories
from extauthz.policy import Policy
from extauthz.policyfile.loader import Loaded, load
from extauthz.policyfile.problems import Problem, Severity, counted
from extauthz.revocation import NO_EVIDENCE, Evidence
from extauthz.snapshot import Snapshot

__all__ = ["DirectoryGathering", "EvidenceGathering", "Gathering", "LivePolicy", "ReloadStatus"]

MAX_READINGS = 3
"""How often files are read that change while they are read. Those that always do are taken as
they were read last: one of them may be of another time than the others, until the next reading."""
SECRETS_SECONDS = 5.0
"""How long passwords and tokens may take to read, each time that a policy takes effect."""
MAX_LOGGED = 20
"""How many problems of one reading are logged one by one."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReloadStatus:
    """How the last reading of the policy file ended."""

    at: datetime
    errors: tuple[Problem, ...]
    """Why the file did not take effect; empty when it did."""


class Gathering(Protocol):
    """What gathers something outside of the policy file for the policies that take effect."""

    async def prepare(self, policy: Policy) -> None:
        """Gather what a policy will need, before it takes effect."""

    async def settle(self, policy: Policy) -> None:
        """Forget what is not needed any more, once this policy is in force."""


class EvidenceGathering(Evidence, Gathering, Protocol):
    """Gathers evidence of revocation."""


class DirectoryGathering(Directories, Gathering, Protocol):
    """Gathers what directories of accounts say."""


class LivePolicy:
    """Holds the snapshot that checks are decided with."""

    def __init__(
        self,
        path: Path,
        evidence: EvidenceGathering | None = None,
        directories: DirectoryGathering | None = None,
        *others: Gathering,
    ) -> None:
        self.path = path
        self._evidence = evidence
        self._directories = directories
        self._gatherings = [each for each in (evidence, directories, *others) if each is not None]
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
            with _undisturbed():
                loaded = await self._load()
                if loaded.policy is not None:
                    await self._prepare(loaded.policy)
                self._take(loaded)
                if loaded.policy is not None:
                    await self._settle(loaded.policy)
            return loaded.policy is not None

    async def _load(self) -> Loaded:
        try:
            return await asyncio.to_thread(_read_whole, self.path)
        except asyncio.CancelledError:
            raise
        # A bug in reading must not end the serving of the policy that was read before, nor the
        # watching for its mending. A panic of a Rust library is no Exception.
        except BaseException as error:
            logger.critical("reading the policy failed by a bug", exc_info=True)
            return self._failed(error)

    async def _prepare(self, policy: Policy) -> None:
        """Have everything gathered. What is wanting then is a finding of checks, and no error."""
        preparing = (gathering.prepare(policy) for gathering in self._gatherings)
        for failure in await asyncio.gather(*preparing, return_exceptions=True):
            if isinstance(failure, BaseException):
                logger.critical("preparing a policy failed by a bug", exc_info=failure)

    async def _settle(self, policy: Policy) -> None:
        settling = (gathering.settle(policy) for gathering in self._gatherings)
        told = _tell_missing_secrets(policy)
        for failure in await asyncio.gather(*settling, told, return_exceptions=True):
            if isinstance(failure, BaseException):
                logger.critical("the end of a reload failed by a bug", exc_info=failure)

    def _failed(self, error: BaseException) -> Loaded:
        message = f"extauthz failed to read the policy: {error!r}"
        problem = Problem(self.path, None, Severity.ERROR, message, "report this as a bug")
        return Loaded(None, (problem,), {file: stamp(file) for file in {*self.files, self.path}})

    def _take(self, loaded: Loaded) -> None:
        self.files = loaded.files
        errors = tuple(p for p in loaded.problems if p.severity is Severity.ERROR)
        self.status = ReloadStatus(datetime.now(UTC), errors)
        # While nobody serves yet, this is all that the operator gets to see.
        _log(loaded.problems, MAX_LOGGED if self.snapshot else len(loaded.problems))
        if loaded.policy is None:
            self.readings["failure"] += 1
            kept = "no policy is in force" if self.snapshot is None else "the last good one stays"
            logger.error("policy %s has %s: %s", self.path, counted(len(errors), "error"), kept)
            return
        generation = 1 if self.snapshot is None else self.snapshot.generation + 1
        self.snapshot = Snapshot(
            loaded.policy, generation, self._evidence or NO_EVIDENCE,
            self._directories or NO_DIRECTORIES,
        )  # fmt: skip
        self.readings["success"] += 1
        logger.info(
            "policy %s is in force: generation %d, %s",
            self.path, generation, counted(len(loaded.policy.subscriptions), "subscription"),
        )  # fmt: skip


def _read_whole(path: Path) -> Loaded:
    """Read a policy file, and the files that it names as they are at the same time."""
    for _ in range(MAX_READINGS):
        loaded = load(path, datetime.now(UTC))
        if all(stamp(file) == before for file, before in loaded.files.items()):
            break
    return loaded


async def _tell_missing_secrets(policy: Policy) -> None:
    """Say which passwords and tokens are not there, before users are refused for want of them.

    It is no error of the policy: who validates it elsewhere has none of them, and one that is put
    there later counts.
    """
    try:
        async with asyncio.timeout(SECRETS_SECONDS):
            lines = await asyncio.to_thread(secret.missing, policy)
    except TimeoutError:
        logger.warning("passwords and tokens of the policy could not be read in time")
        return
    for line in lines[:MAX_LOGGED]:
        logger.warning("%s; users who need it are refused until it is there", line)
    if len(lines) > MAX_LOGGED:
        logger.warning("and %d more: see `extauthz validate --online`", len(lines) - MAX_LOGGED)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the collector of cyclic garbage away from a policy, in the making and in force.

    A large policy is millions of objects without a cycle. To walk through them all takes half a
    second and more, in which no check is answered, and would happen again and again while they
    are made, and now and then for as long as they live.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _log(problems: tuple[Problem, ...], most: int) -> None:
    for problem in problems[:most]:
        level = logging.ERROR if problem.severity is Severity.ERROR else logging.WARNING
        logger.log(level, "%s", problem)
    if len(problems) > most:
        logger.warning("and %d more: see `extauthz validate`", len(problems) - most)

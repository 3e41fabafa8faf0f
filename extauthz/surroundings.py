"""What decisions depend on besides the policy: evidence of revocation, directories of accounts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from extauthz.decision import Question
from extauthz.directory.gathered import GatheredDirectories
from extauthz.evidence.gathered import GatheredEvidence
from extauthz.inquiry import Inquiry
from extauthz.lookup import Lookup

__all__ = ["Surroundings", "surroundings"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who is asked."""

    evidence: GatheredEvidence
    directories: GatheredDirectories

    async def ask(self, questions: Sequence[Question]) -> None:
        """Ask responders and directories, all at once, and wait as long as a check may."""
        lookups = [each for each in questions if isinstance(each, Lookup)]
        inquiries = [each for each in questions if isinstance(each, Inquiry)]
        await asyncio.gather(self.evidence.ask(inquiries), self.directories.ask(lookups))


@asynccontextmanager
async def surroundings(state: Path) -> AsyncIterator[Surroundings]:
    """Those of a policy, until the end; fetched CRLs are kept in the directory `state`."""
    async with GatheredEvidence(state) as evidence, GatheredDirectories() as directories:
        yield Surroundings(evidence, directories)

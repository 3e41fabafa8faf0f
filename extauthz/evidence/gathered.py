"""All that is known of revocation, for all policies that this process has had in force."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from extauthz.ca import CaCertificate
from extauthz.crl import Crl
from extauthz.evidence.lists import Lists
from extauthz.evidence.responders import Responders
from extauthz.fetch.fetcher import Fetcher
from extauthz.inquiry import Answered, Inquiry, NotAnswered
from extauthz.policy import Policy
from extauthz.revocation import CrlSource
from extauthz.watch import watch

__all__ = ["GatheredEvidence"]


class GatheredEvidence:
    """Gathers evidence as long as its asynchronous context lasts (see `revocation.Evidence`)."""

    def __init__(self, state: Path) -> None:
        """`state` is the directory in which fetched lists are kept."""
        self._fetcher = Fetcher()
        self.lists = Lists(self._fetcher, state / "crl")
        self.responders = Responders(self._fetcher)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._fetcher)
        self._stack.push_async_callback(self.lists.close)
        self._stack.push_async_callback(self.responders.close)
        for work in (
            watch(lambda: self.lists.files, self.lists.begin_rereading),
            self.responders.refresh(),
        ):
            self._stack.callback(asyncio.create_task(work).cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def crls(self, source: CrlSource, issuer: bytes) -> Sequence[Crl]:
        return self.lists.crls(source, issuer)

    def answered(self, inquiry: Inquiry) -> Answered | NotAnswered | None:
        return self.responders.answered(inquiry)

    async def ask(self, inquiries: Iterable[Inquiry]) -> None:
        """Have responders asked, and wait for them as long as a check may."""
        await self.responders.ask(inquiries)

    async def prepare(self, policy: Policy, *, online: bool = True) -> None:
        """Gather what a policy will need, before it takes effect."""
        wanted = _wanted(policy)
        await self.lists.prepare(
            {s: known for s, known in wanted.items() if online or not s.is_url}
        )

    async def settle(self, policy: Policy) -> None:
        """Forget what no policy needs any more, once this one is in force."""
        self.lists.retain(_wanted(policy))


def _wanted(policy: Policy) -> dict[CrlSource, frozenset[CaCertificate]]:
    """The sources of a policy, each with the CAs of all subscriptions that name it."""
    wanted: defaultdict[CrlSource, set[CaCertificate]] = defaultdict(set)
    for subscription in policy.subscriptions.values():
        if subscription.revocation is not None:
            for source in subscription.revocation.crls:
                wanted[source].update(subscription.trust.authorities)
    return {source: frozenset(authorities) for source, authorities in wanted.items()}

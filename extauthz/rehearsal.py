"""Deciding on requests that nobody makes: to explain, to test a policy, to try out another one.

The decision is `Snapshot.check`'s, as it is in the server; what has to be asked of directories and
responders is asked. Sessions are left out: whose they are is known to a server that runs.
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Decision, Question
from extauthz.findings import Finding, Reason
from extauthz.login import Form, JsonBody, Login, LoginSource
from extauthz.policy import Mode, Policy, Subscription
from extauthz.request_path import readings
from extauthz.snapshot import Snapshot
from extauthz.surroundings import Surroundings, surroundings

__all__ = [
    "NO_CERTIFICATE",
    "Ask",
    "Facts",
    "Rehearsal",
    "decided",
    "demanding",
    "narrowed",
    "read_at",
    "rehearsal",
]

Ask: TypeAlias = Callable[[Sequence[Question]], Awaitable[None]]
"""Has OCSP responders and directories asked; returns when they have answered, or when a check must
not wait."""

NO_CERTIFICATE = Finding(Reason.CERTIFICATE_MISSING, "the client presented no certificate")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a request. Which logins count is for the policy's `login` to say."""

    host: str
    logins: tuple[Login | Finding, ...] = ()
    peer: PeerCertificate | Finding = NO_CERTIFICATE
    method: str = "GET"
    path: str = "/"
    client: str = ""
    user_agent: str = ""
    request_id: str = ""

    def under(self, policy: Policy) -> CheckRequest:
        """The request, as it is asked of a policy: with the logins that its `login` reads."""
        subscription = policy.subscription_for(self.host)
        logins: tuple[Login | Finding, ...] = ()
        if subscription is not None and self.logins:
            kinds = {source.source for source in read_at(self.path, subscription)}
            logins = tuple(
                login
                for login in self.logins
                if isinstance(login, Finding) or login.source in kinds
            )
        return CheckRequest(
            self.host, self.method, self.path, subscription, logins,
            (), self.peer, self.request_id, self.client, self.user_agent,
        )  # fmt: skip


def read_at(path: str, subscription: Subscription) -> tuple[LoginSource, ...]:
    """The sources from which logins of requests for a path are read: a form has paths of its own.

    A path that is too long to say is taken for each of them, as the server refuses it.
    """
    paths = readings(path)
    return tuple(
        source
        for source in subscription.login
        if not isinstance(source, (Form, JsonBody))
        or paths is None
        or not paths.isdisjoint(source.loose_paths)
    )


def narrowed(policy: Policy, hosts: Iterable[str]) -> Policy:
    """A policy with the subscriptions of these hosts alone.

    So nobody else's lists are fetched, and nobody else's directories asked.
    """
    found = (policy.subscription_for(host) for host in hosts)
    wanted = {each.name: each for each in found if each is not None}
    return Policy(wanted.values(), policy.redaction)


def demanding(policy: Policy) -> Policy:
    """A policy that demands certificates of everybody: `enforce`, and no exception for some."""
    return Policy(
        (
            replace(each, mode=Mode.ENFORCE, required_for=None)
            for each in policy.subscriptions.values()
        ),
        policy.redaction,
    )


async def decided(snapshot: Snapshot, facts: Facts, now: datetime, ask: Ask) -> Decision:
    """The decision as of `now` (aware), once everybody who has to be asked was asked."""
    request = facts.under(snapshot.policy)
    decision = snapshot.check(request, now)
    if not decision.unanswered:
        return decision
    await ask(decision.unanswered)
    return snapshot.check(request, now)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A policy, with what it depends on."""

    snapshot: Snapshot
    around: Surroundings

    async def decided(self, facts: Facts, now: datetime) -> Decision:
        """The decision on a request, as of `now` (aware)."""
        return await decided(self.snapshot, facts, now, self.around.ask)

    def under(self, policy: Policy) -> "Rehearsal":
        """The same with another policy that depends on nothing else, or anew with its own."""
        around = self.around
        return Rehearsal(Snapshot(policy, 1, around.evidence, around.directories), around)


@asynccontextmanager
async def rehearsal(policy: Policy) -> AsyncIterator[Rehearsal]:
    """A policy with its CRLs read and fetched, and its directories at hand."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as state:
        async with surroundings(Path(state)) as around:
            await around.evidence.prepare(policy)
            await around.directories.prepare(policy)
            yield Rehearsal(Snapshot(policy, 1, around.evidence, around.directories), around)

"""The stores of session pins, for all policies that this process has had in force."""

import time
from collections import Counter
from datetime import timedelta
from typing import Self, TypeAlias

from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.lookup import Secret
from extauthz.pins.memory import MemoryPins
from extauthz.pins.shared import SharedPins
from extauthz.pins.trouble import Trouble
from extauthz.policy import Policy, Subscription
from extauthz.session import Holder, Pins, PinsUnavailable, SessionPolicy
from extauthz.snapshot import Holders

__all__ = ["GatheredPins", "must_bind"]

MAX_BEGUN = 10_000
"""Sessions that one account may have pinned in a shared store while a pin lasts, by this process;
as many as `MemoryPins` keeps of one."""
MAX_COUNTED = 1_000_000
"""Accounts whose sessions are counted at a time."""

_Store: TypeAlias = tuple[str | None, Secret | None, str | None]
"""What two subscriptions share that keep their pins in one place."""


class GatheredPins:
    """Looks up and binds sessions, each where its subscription's policy says."""

    def __init__(self) -> None:
        self.memory = MemoryPins()
        """The pins of this process. They outlive a reload, and end with the process."""
        self.shared: dict[_Store, SharedPins] = {}
        self._begun = _Begun()

    async def holders(self, check: CheckRequest) -> Holders:
        """Whom the sessions of a request are bound to, as far as they are."""
        session = _session(check)
        found = await self._pins(session).holder(check.pins, session.idle)
        if isinstance(found, PinsUnavailable):
            return found
        return tuple(holder for holder in found if holder is not None)

    async def bind(self, check: CheckRequest, decision: Decision, holders: Holders) -> Holders:
        """Bind the sessions of a request to the accounts that it is for; whose each is then.

        `holders` is who has those that are bound.
        """
        session = _session(check)
        holder = Holder(frozenset(account.login for account in decision.accounts))
        if session.store is not None and isinstance(holders, tuple):
            fresh = len(check.pins) - len(holders)
            if not self._begun.allows((check.pins[0].subscription, holder), fresh, session.idle):
                # Its own sessions stay unbound, and nobody else's: a full store would be worse.
                return (*holders, *([holder] * fresh))
        bound = await self._pins(session).bind(check.pins, holder, session.idle)
        return bound if isinstance(bound, PinsUnavailable) else tuple(bound)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for store in list(self.shared):
            await self.shared.pop(store).close()

    async def prepare(self, policy: Policy) -> None:
        """Know the stores of a policy before it takes effect; they are connected to when used."""
        for subscription in policy.subscriptions.values():
            if subscription.session is not None:
                self._pins(subscription.session)

    async def settle(self, policy: Policy) -> None:
        """Give back the stores that no policy needs any more, once this one is in force."""
        sessions = (subscription.session for subscription in policy.subscriptions.values())
        wanted = {_store(session) for session in sessions if session is not None}
        for store in self.shared.keys() - wanted:
            await self.shared.pop(store).close()

    def shared_by(self, subscription: Subscription) -> SharedPins | None:
        """The store of a subscription, where replicas share one and it is in use."""
        session = subscription.session
        return None if session is None else self.shared.get(_store(session))

    async def try_out(self, subscription: Subscription) -> Trouble | None:
        """Ask a subscription's store, and say what is wrong with it; None when nothing is."""
        store = self.shared_by(subscription)
        return None if store is None else await store.try_out(subscription.name)

    def _pins(self, session: SessionPolicy) -> Pins:
        if session.store is None:
            return self.memory
        store = _store(session)
        if store not in self.shared:
            self.shared[store] = SharedPins(session)
        return self.shared[store]


class _Begun:
    """Counts the sessions that accounts begin, so that none can fill a store that others share."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Holder]] = Counter()
        self._since = time.monotonic()

    def allows(self, account: tuple[str, Holder], sessions: int, idle: timedelta) -> bool:
        """Whether these sessions are within what an account may begin while a pin lasts."""
        now = time.monotonic()
        if now - self._since > idle.total_seconds() or len(self._counts) > MAX_COUNTED:
            self._counts.clear()
            self._since = now
        self._counts[account] += sessions
        return self._counts[account] <= MAX_BEGUN


def must_bind(check: CheckRequest, decision: Decision, holders: Holders | None) -> bool:
    """Whether a request begins a session: it passes by its certificate, and nobody has it yet."""
    return (
        bool(check.pins)
        and isinstance(holders, tuple)
        and len(holders) < len(check.pins)
        and bool(decision.accounts)
        and not decision.findings
        and decision.exemption is None
    )


def _session(check: CheckRequest) -> SessionPolicy:
    if check.subscription is None or check.subscription.session is None:
        message = "a request with sessions of a subscription that pins none"
        raise ValueError(message)
    return check.subscription.session


def _store(session: SessionPolicy) -> _Store:
    return session.store, session.password, session.ca_file

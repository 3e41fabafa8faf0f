"""Session pins in this process: bounded, and fair to those who have few.

Every pin is in two queues in the order of use: that of its subscription, where those that have
run out are found in front, and that of its holder. Whom room is taken from:

- a holder that has `per_holder` pins already loses the one that it has not used for longest;
- when there are `capacity` in all, the holder that has most pins loses that one. So whoever
  floods the store, with however many accounts, loses pins of the flood before anybody loses one
  who has fewer. Of several that have most it is the holder itself that wants one more, or else
  the one that came last to so many: newcomers make room for newcomers.

A restart forgets all: the first allowed check after it binds anew. Nothing here takes longer the
more pins there are. Not for use from several threads.
"""

import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

from extauthz.pins.chains import NONE, Chain, Links
from extauthz.session import Holder, Pin

__all__ = ["MemoryPins"]

SWEPT_AT_ONCE = 4
"""Pins that have run out which one that is bound takes away, of each of two subscriptions: more
than come in, and few enough for no check to notice."""


class _Holding(Chain):
    """The pins of one holder in a subscription, and its place among those that have as many."""

    __slots__ = ("above", "below", "logins", "subscription")

    def __init__(self, logins: tuple[str, ...], subscription: "_Subscription") -> None:
        super().__init__()
        self.logins = logins
        self.subscription = subscription
        self.above: _Holding | None = None
        self.below: _Holding | None = None


class _Subscription(Chain):
    """The pins of a subscription."""

    __slots__ = ("holdings", "name", "numbers")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.numbers: dict[bytes, int] = {}
        """By digest."""
        self.holdings: dict[tuple[str, ...], _Holding] = {}
        """By logins, which is smaller than by `Holder`."""


_NOBODYS = _Holding((), _Subscription(""))
"""Stands where a pin has been, so that it keeps nobody's things."""


class _Ranks:
    """Who has most pins."""

    def __init__(self) -> None:
        self._tops: dict[int, _Holding] = {}
        """Of those with that many, the last to have so many."""
        self.most = 0

    def enter(self, holding: _Holding) -> None:
        """Put in a holding, or put it back after its length has changed."""
        below = self._tops.get(holding.length)
        holding.above, holding.below = None, below
        if below is not None:
            below.above = holding
        self._tops[holding.length] = holding
        self.most = max(self.most, holding.length)

    def leave(self, holding: _Holding) -> None:
        """Take out a holding before its length changes, by one."""
        above, below = holding.above, holding.below
        if below is not None:
            below.above = above
        if above is not None:
            above.below = below
        elif below is not None:
            self._tops[holding.length] = below
        else:
            del self._tops[holding.length]
            if self.most == holding.length:
                self.most -= 1
        holding.above = holding.below = None

    def largest(self) -> _Holding:
        return self._tops[self.most]


class MemoryPins:
    """Keeps pins as long as this process lasts. See `session.Pins`."""

    def __init__(
        self,
        capacity: int = 1_000_000,
        per_holder: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity = capacity
        self.per_holder = per_holder
        self.evicted = 0
        """How many were taken away before they had run out."""
        self._clock = clock
        self._subscriptions: dict[str, _Subscription] = {}
        self._rota: deque[_Subscription] = deque()
        """The same, in the order in which they are swept."""
        self._ranks = _Ranks()
        self._by_use, self._by_holder = Links(), Links()
        # What there is of each pin, by its number. A number of one that is gone is used again.
        self._digests: list[bytes] = []
        self._holdings: list[_Holding] = []
        self._ends = array("d")
        self._free: list[int] = []

    def __len__(self) -> int:
        """How many there are, with those that have run out and were not swept yet."""
        return len(self._digests) - len(self._free)

    async def holder(self, pins: Sequence[Pin], idle: timedelta) -> Sequence[Holder | None]:
        """Whom each is bound to; those that are found are renewed."""
        return [self._holder(pin, idle.total_seconds()) for pin in pins]

    async def bind(self, pins: Sequence[Pin], holder: Holder, idle: timedelta) -> Sequence[Holder]:
        """Bind those that are nobody's; whose each is after that."""
        logins = tuple(sorted(holder.logins))
        return [self._bind(pin, holder, logins, idle.total_seconds()) for pin in pins]

    async def close(self) -> None:
        """There are no connections to give back."""

    def _holder(self, pin: Pin, idle: float) -> Holder | None:
        found = self._find(pin)
        if found is None:
            return None
        subscription, number = found
        holding = self._holdings[number]
        self._ends[number] = self._clock() + idle
        self._by_use.renew(subscription, number)
        self._by_holder.renew(holding, number)
        return Holder(frozenset(holding.logins))

    def _bind(self, pin: Pin, holder: Holder, logins: tuple[str, ...], idle: float) -> Holder:
        found = self._find(pin)
        if found is not None:
            return Holder(frozenset(self._holdings[found[1]].logins))
        self._sweep(pin.subscription)
        self._make_room(pin.subscription, logins)
        subscription = self._subscriptions.get(pin.subscription)
        if subscription is None:
            subscription = _Subscription(pin.subscription)
            self._subscriptions[pin.subscription] = subscription
            self._rota.append(subscription)
        holding = subscription.holdings.get(logins)
        if holding is None:
            holding = subscription.holdings[logins] = _Holding(logins, subscription)
        else:
            self._ranks.leave(holding)
        self._add(pin.digest, holding, self._clock() + idle)
        self._ranks.enter(holding)
        return holder

    def _make_room(self, name: str, logins: tuple[str, ...]) -> None:
        """Take away a pin where one more would be too many."""
        subscription = self._subscriptions.get(name)
        own = None if subscription is None else subscription.holdings.get(logins)
        is_full = len(self) >= self.capacity
        if own is not None and (
            own.length >= self.per_holder or (is_full and own.length == self._ranks.most)
        ):
            self._evict(own)
        elif is_full:
            self._evict(self._ranks.largest())

    def _find(self, pin: Pin) -> tuple[_Subscription, int] | None:
        """Where a pin is that has not run out; one that has is removed."""
        subscription = self._subscriptions.get(pin.subscription)
        if subscription is None:
            return None
        number = subscription.numbers.get(pin.digest)
        if number is None:
            return None
        if self._ends[number] < self._clock():
            self._remove(number)
            return None
        return subscription, number

    def _add(self, digest: bytes, holding: _Holding, end: float) -> None:
        if self._free:
            number = self._free.pop()
            self._digests[number], self._holdings[number] = digest, holding
            self._ends[number] = end
        else:
            number = len(self._digests)
            self._digests.append(digest)
            self._holdings.append(holding)
            self._ends.append(end)
            self._by_use.grow()
            self._by_holder.grow()
        holding.subscription.numbers[digest] = number
        self._by_use.append(holding.subscription, number)
        self._by_holder.append(holding, number)

    def _evict(self, holding: _Holding) -> None:
        if self._ends[holding.first] >= self._clock():
            self.evicted += 1
        self._remove(holding.first)

    def _remove(self, number: int) -> None:
        holding = self._holdings[number]
        subscription = holding.subscription
        self._ranks.leave(holding)
        self._by_use.remove(subscription, number)
        self._by_holder.remove(holding, number)
        del subscription.numbers[self._digests[number]]
        if holding.length:
            self._ranks.enter(holding)
        else:
            del subscription.holdings[holding.logins]
        self._free.append(number)
        self._digests[number], self._holdings[number] = b"", _NOBODYS

    def _sweep(self, name: str) -> None:
        """Take away some that have run out: of the subscription, and of the next one in turn."""
        if not self._rota:
            return
        self._rota.rotate(-1)
        now = self._clock()
        for subscription in {self._rota[0], self._subscriptions.get(name, self._rota[0])}:
            for _ in range(SWEPT_AT_ONCE):
                if subscription.first == NONE or self._ends[subscription.first] >= now:
                    break
                self._remove(subscription.first)
        if self._rota[0].length == 0:
            del self._subscriptions[self._rota.popleft().name]

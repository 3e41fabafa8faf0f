"""Pins in this process: whose a session is, for how long, and who loses one when it is full."""

import hashlib
import tracemalloc
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.pins.memory import MemoryPins
from extauthz.session import Holder, Pin, Pins

IDLE = timedelta(hours=12)
HOUR = 3600.0


def pin(session: object, subscription: str = "acme") -> Pin:
    return Pin(subscription, hashlib.sha256(str(session).encode()).digest())


def whom(*logins: str) -> Holder:
    return Holder(frozenset(logins))


ALICE, BOB, MALLORY = whom("alice"), whom("bob"), whom("mallory")


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Store:
    """Pins under a clock that the test moves."""

    capacity: int = 1_000_000
    per_holder: int = 10_000
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.pins = MemoryPins(self.capacity, self.per_holder, self.clock)

    async def of(self, session: object, subscription: str = "acme") -> Holder | None:
        (found,) = await self.pins.holder([pin(session, subscription)], IDLE)
        return found

    async def bind(self, session: object, holder: Holder, subscription: str = "acme") -> Holder:
        (bound,) = await self.pins.bind([pin(session, subscription)], holder, IDLE)
        return bound

    async def bound(self, *sessions: object) -> set[object]:
        """Those that are still bound."""
        return {session for session in sessions if await self.of(session) is not None}


async def test_session_belongs_to_whom_it_was_bound_to_first() -> None:
    store = Store()
    assert await store.of("s") is None
    assert await store.bind("s", ALICE) == ALICE
    assert await store.of("s") == ALICE
    assert await store.bind("s", MALLORY) == ALICE
    assert await store.of("s") == ALICE
    assert len(store.pins) == 1


async def test_several_sessions_of_one_request_are_bound_together() -> None:
    """Each that is nobody's: the others stay whose they are."""
    pins: Pins = MemoryPins()
    await pins.bind([pin(2)], BOB, IDLE)
    assert await pins.bind([pin(1), pin(2), pin(3)], ALICE, IDLE) == [ALICE, BOB, ALICE]
    assert await pins.holder([pin(3), pin(4), pin(2)], IDLE) == [ALICE, None, BOB]
    assert await pins.holder([], IDLE) == await pins.bind([], ALICE, IDLE) == []


async def test_session_may_be_bound_to_several_accounts_of_one_person() -> None:
    store = Store()
    both = whom("alice", "alice-admin")
    assert await store.bind("s", both) == await store.of("s") == both


async def test_subscriptions_do_not_share_sessions() -> None:
    """The services behind them may well make the same value."""
    store = Store()
    await store.bind("s", ALICE, "acme")
    assert await store.of("s", "globex") is None
    assert await store.bind("s", BOB, "globex") == BOB
    assert await store.of("s", "acme") == ALICE


async def test_pin_lasts_for_its_idle_time_after_its_last_use() -> None:
    """To look it up is to use it; to try to bind it is not."""
    store = Store()
    await store.bind("used", ALICE)
    await store.bind("tried", ALICE)
    store.clock.now += 11 * HOUR
    assert await store.of("used") == ALICE
    assert await store.bind("tried", MALLORY) == ALICE
    store.clock.now += 2 * HOUR
    assert await store.of("tried") is None
    assert await store.of("used") == ALICE
    store.clock.now += 13 * HOUR
    assert await store.bind("used", BOB) == BOB
    assert store.pins.evicted == 0


async def test_holder_with_too_many_loses_its_own_that_it_used_longest_ago() -> None:
    store = Store(per_holder=3)
    await store.bind("bob's", BOB)
    for session in range(3):
        await store.bind(session, ALICE)
    await store.of(0)
    await store.bind(3, ALICE)
    assert await store.bound("bob's", *range(4)) == {"bob's", 0, 2, 3}
    assert store.pins.evicted == 1


async def test_flood_takes_no_pin_away_from_who_has_few() -> None:
    """However many accounts take part, and however long ago the others used theirs."""
    store = Store(capacity=1_000, per_holder=300)
    few = [f"{owner} {n}" for owner in range(20) for n in range(3)]
    for session in few:
        await store.bind(session, whom(session.split()[0]))
    for number in range(5_000):
        await store.bind(f"flood {number}", whom(f"mallory {number % 50}"))
    assert len(store.pins) == 1_000
    assert await store.bound(*few) == set(few)
    assert store.pins.evicted == 5_000 - 940


async def test_who_has_most_makes_room_even_for_another() -> None:
    store = Store(capacity=5)
    for session in range(4):
        await store.bind(session, MALLORY)
    await store.bind("alice's", ALICE)
    await store.bind("bob's", BOB)
    assert await store.bound("alice's", "bob's", *range(4)) == {"alice's", "bob's", 1, 2, 3}
    await store.bind("alice's second", ALICE)
    await store.bind("mallory's", MALLORY)
    assert await store.bound("alice's", "alice's second", "bob's", "mallory's") == {
        "alice's", "alice's second", "bob's", "mallory's"
    }  # fmt: skip


async def test_newcomers_make_room_for_newcomers() -> None:
    """With one session for everybody, those that were there first keep theirs."""
    store = Store(capacity=100)
    for number in range(150):
        await store.bind(number, whom(str(number)))
    assert await store.bound(*range(150)) == {*range(99), 149}


async def test_what_has_run_out_is_taken_away_without_being_asked_for() -> None:
    """In its own subscription and in others, a few at a time."""
    store = Store()
    for number in range(1_000):
        await store.bind(number, whom(str(number)), f"subscription {number % 10}")
    store.clock.now += 13 * HOUR
    for number in range(600):
        await store.bind(f"new {number}", ALICE)
    assert len(store.pins) == 600
    assert store.pins.evicted == 0


async def test_pin_in_use_does_not_keep_those_that_have_run_out() -> None:
    store = Store()
    for number in range(200):
        await store.bind(number, ALICE)
    store.clock.now += 11 * HOUR
    await store.of(0)
    store.clock.now += 2 * HOUR
    for number in range(100):
        await store.bind(f"new {number}", ALICE)
    assert len(store.pins) == 101


async def test_subscription_that_is_gone_takes_no_memory() -> None:
    store = Store()
    tracemalloc.start()
    try:
        for number in range(2_000):
            await store.bind("s", ALICE, f"subscription {number}")
        before = tracemalloc.get_traced_memory()[0]
        store.clock.now += 13 * HOUR
        for number in range(2_100):
            store.clock.now += HOUR
            await store.bind(number, ALICE, "acme")
        assert tracemalloc.get_traced_memory()[0] < before / 2
    finally:
        tracemalloc.stop()


async def test_pin_that_has_run_out_and_makes_room_was_not_evicted() -> None:
    store = Store(per_holder=2)
    await store.bind("globex", ALICE, "globex")
    for session in range(2):
        await store.bind(session, ALICE)
    store.clock.now += 13 * HOUR
    await store.bind("new", ALICE)
    assert await store.of("new") == ALICE
    assert store.pins.evicted == 0


async def test_new_process_knows_nothing() -> None:
    """After a restart the first allowed check binds anew."""
    await Store().bind("s", ALICE)
    assert await Store().bind("s", BOB) == BOB


async def test_pin_takes_little_memory() -> None:
    """300 octets, where people have a few sessions each."""
    pins = MemoryPins()
    tracemalloc.start()
    try:
        for number in range(20_000):
            await pins.bind([pin(number)], whom(f"user {number // 5}"), IDLE)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken / 20_000 < 300


@pytest.mark.parametrize("shown", [repr(pin("s")), str(pin("s"))])
def test_pin_does_not_show_its_session(shown: str) -> None:
    """Neither as text nor as octets: a log may come to hold a pin."""
    assert shown == "Pin(subscription='acme')"


Move: TypeAlias = tuple[str, int, str, str]

MOVES = st.lists(
    st.tuples(
        st.sampled_from(["bind", "bind", "look", "wait"]),
        st.integers(0, 40),
        st.sampled_from("abcde"),
        st.sampled_from(["acme", "globex", "initech"]),
    ),
    max_size=250,
)


@given(MOVES, st.integers(1, 30), st.integers(1, 10))
@settings(max_examples=200, deadline=None)
def test_whatever_happens_a_session_is_its_holders_or_nobodys(
    moves: list[Move], capacity: int, per_holder: int
) -> None:
    """And there are never more than there may be."""
    store = Store(capacity, per_holder)
    owners: dict[tuple[str, int], Holder] = {}
    for move, session, login, subscription in moves:
        owner = owners.get((subscription, session))
        match move:
            case "wait":
                store.clock.now += session * HOUR
            case "look":
                assert run(store.of(session, subscription)) in {owner, None}
            case "bind":
                bound = run(store.bind(session, whom(login), subscription))
                assert bound in {owner, whom(login)}
                owners[subscription, session] = bound
                assert run(store.of(session, subscription)) == bound
        assert len(store.pins) <= capacity


@given(MOVES)
@settings(max_examples=200, deadline=None)
def test_with_room_for_all_nothing_is_forgotten_before_its_time(moves: list[Move]) -> None:
    store = Store()
    model: dict[tuple[str, int], tuple[Holder, float]] = {}
    for move, session, login, subscription in moves:
        now = store.clock.now
        key, end = (subscription, session), now + IDLE.total_seconds()
        if key in model and model[key][1] < now:
            del model[key]
        match move:
            case "wait":
                store.clock.now += session * HOUR
            case "look":
                found = run(store.of(session, subscription))
                assert found == (model[key][0] if key in model else None)
                if found is not None:
                    model[key] = found, end
            case "bind":
                owner = model.setdefault(key, (whom(login), end))[0]
                assert run(store.bind(session, whom(login), subscription)) == owner
    assert store.pins.evicted == 0


T = TypeVar("T")


def run(coroutine: Coroutine[None, None, T]) -> T:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        returned: T = end.value
        return returned
    raise AssertionError("pins in memory waited for something")

"""What is kept of a directory's answers, and what happens while it gives none."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from extauthz.accounts import Account
from extauthz.directory import cached
from extauthz.directory.backend import DirectoryError, UnreachableError, UnusableAnswerError
from extauthz.directory.cached import MAX_FAILURES, CachedDirectory
from extauthz.email import EmailAddress
from extauthz.lookup import ByIdentity, ByLogin, Caching, LookupKey, Unavailable, is_open

ALICE, BOB = ByLogin("alice"), ByLogin("bob")
CACHING = Caching(timedelta(seconds=60), timedelta(seconds=10), timedelta(seconds=600))


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A place where accounts live, which answers, fails or hangs as it is told."""

    def __init__(self) -> None:
        self.accounts: Sequence[Account] = (account("alice"),)
        self.failure: BaseException | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[LookupKey] = []
        self.is_closed = False

    async def find(self, key: LookupKey) -> Sequence[Account]:
        self.asked.append(key)
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        return self.accounts

    async def close(self) -> None:
        self.is_closed = True


def account(login: str) -> Account:
    return Account(login, (address(login),))


def address(login: str) -> EmailAddress:
    parsed = EmailAddress.parse(f"{login}@acme.example")
    assert parsed is not None
    return parsed


class World:
    def __init__(self, caching: Caching = CACHING) -> None:
        self.clock, self.place = Clock(), Place()
        self.directory = CachedDirectory("here", self.place, caching, self.clock)

    async def ask(self, *keys: LookupKey) -> None:
        """Ask as a check does, and let whatever was begun in the background end."""
        for key in keys:
            self.directory.known(key)
        await self.directory.ask(keys)
        await asyncio.sleep(0)

    def logins(self, key: LookupKey) -> list[str] | None:
        """The accounts that are known; None when it has to be asked."""
        known = self.directory.known(key)
        assert not isinstance(known, Unavailable), known.why
        return None if known is None else [each.login for each in known.accounts]

    async def fail(self, times: int) -> None:
        self.place.failure = DirectoryError("out of order")
        for number in range(times):
            await self.ask(ByLogin(f"u{number}"))


@pytest.fixture
def world() -> World:
    return World()


async def test_answer_counts_for_its_time_and_is_the_same_object(world: World) -> None:
    """Within `ttl` nobody asks again; after it somebody has to."""
    assert world.logins(ALICE) is None
    await world.ask(ALICE)
    first = world.directory.known(ALICE)
    world.clock.now += 47
    assert world.directory.known(ALICE) is first
    assert world.place.asked == [ALICE]
    world.clock.now += 14
    assert world.logins(ALICE) is None


async def test_answer_in_use_is_asked_for_again_before_it_ends(world: World) -> None:
    """No check waits for a directory that answers, and the new answer takes the old one's place."""
    await world.ask(ALICE)
    world.clock.now += 50
    world.place.accounts = ()
    assert world.logins(ALICE) == ["alice"]
    await world.ask(ALICE)
    assert world.logins(ALICE) == []
    assert world.place.asked == [ALICE, ALICE]


async def test_no_such_account_counts_for_a_shorter_time(world: World) -> None:
    """Who was just created need not wait for `ttl`."""
    world.place.accounts = ()
    await world.ask(ALICE)
    assert world.logins(ALICE) == []
    world.clock.now += 11
    assert world.logins(ALICE) is None


async def test_many_checks_with_one_question_ask_once(world: World) -> None:
    """Single flight; another question goes its own way."""
    world.place.open.clear()
    asking = [asyncio.create_task(world.ask(ALICE)) for _ in range(50)]
    asking.append(asyncio.create_task(world.ask(BOB)))
    await asyncio.sleep(0)
    world.place.open.set()
    await asyncio.gather(*asking)

    assert sorted(map(str, world.place.asked)) == sorted(map(str, [ALICE, BOB]))


async def test_check_does_not_wait_for_ever_and_the_answer_comes_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that hangs is not "no such account", and what it says late counts."""
    monkeypatch.setattr(cached, "WAIT_SECONDS", 0.01)
    world.place.open.clear()
    await world.directory.ask([ALICE])
    assert world.directory.known(ALICE) is None
    world.place.open.set()
    await world.ask(ALICE)
    assert world.logins(ALICE) == ["alice"]


async def test_failing_directory_is_left_alone_and_tried_by_one_check_at_a_time(
    world: World,
) -> None:
    """Nobody waits for it meanwhile, and it counts again as soon as it answers."""
    await world.fail(MAX_FAILURES)
    assert isinstance(world.directory.known(ALICE), Unavailable)
    assert not world.directory.is_available
    asked = len(world.place.asked)
    await world.ask(ALICE, BOB)
    assert len(world.place.asked) == asked
    assert world.directory.results["skipped"] > 0

    world.clock.now += 6
    world.place.open.clear()
    trying = asyncio.create_task(world.directory.ask([ALICE]))
    await asyncio.sleep(0)
    assert isinstance(world.directory.known(BOB), Unavailable)
    world.place.failure = None
    world.place.open.set()
    await trying
    assert world.logins(ALICE) == ["alice"]
    assert world.logins(BOB) is None
    assert world.directory.is_available


async def test_pauses_are_short_whatever_went_before(world: World) -> None:
    """Recovery is noticed within seconds, without a restart."""
    for _ in range(30):
        world.clock.now += 6
        await world.fail(1)
    world.clock.now += 5.1
    world.place.failure = None
    await world.ask(ALICE)
    assert world.logins(ALICE) == ["alice"]


async def test_old_answer_counts_on_while_the_directory_fails(world: World) -> None:
    """`stale_if_error`, from the end of `ttl` on, and not beyond; new questions get no answer."""
    await world.ask(ALICE)
    world.clock.now += 61
    assert world.logins(ALICE) is None
    await world.fail(MAX_FAILURES)
    assert world.logins(ALICE) == ["alice"]
    assert isinstance(world.directory.known(BOB), Unavailable)
    assert world.directory.results["stale"] > 0
    world.clock.now += 599
    await world.fail(1)
    assert isinstance(world.directory.known(ALICE), Unavailable)


async def test_old_answer_does_not_count_on_unless_the_policy_says_so() -> None:
    """By default what is too old is unavailable, which is a refusal."""
    world = World(Caching())
    await world.ask(ALICE)
    world.clock.now += 61
    await world.fail(MAX_FAILURES)
    assert isinstance(world.directory.known(ALICE), Unavailable)


async def test_cause_of_the_first_failure_is_known_to_who_waited(world: World) -> None:
    """As long as a check may still wait for others."""
    await world.fail(1)
    failed = ByLogin("u0")
    known = world.directory.known(failed)
    assert isinstance(known, Unavailable)
    assert known.why == "out of order"
    assert world.directory.known(ALICE) is None

    world.clock.now += cached.WAIT_SECONDS
    assert world.directory.known(failed) is known
    world.clock.now += 1.1
    assert world.directory.known(failed) is None


async def test_who_comes_after_a_failure_waits_for_an_answer(world: World) -> None:
    """A directory that fails now and then has nobody refused but who had the failure."""
    await world.fail(1)
    world.place.failure = None
    known = world.directory.known(ByLogin("u0"))
    assert is_open(known)
    await world.ask(ByLogin("u0"))
    assert world.logins(ByLogin("u0")) == ["alice"]


async def test_cause_is_said_to_the_next_who_waits_when_it_changes(world: World) -> None:
    """What a failure said is no answer, and does not count on like one."""
    await world.fail(1)
    world.clock.now += 5
    world.place.failure = DirectoryError("another cause")
    await world.ask(ByLogin("u0"))
    known = world.directory.known(ByLogin("u0"))
    assert isinstance(known, Unavailable)
    assert known.why == "another cause"


async def test_old_answer_counts_on_where_its_question_alone_fails(world: World) -> None:
    """The directory answers others meanwhile: it is busy. Its failure takes no answer away."""
    await world.ask(ALICE)
    world.clock.now += 61
    world.place.open.clear()
    asking = asyncio.create_task(world.directory.ask([ALICE]))
    async with asyncio.timeout(10):
        while world.place.asked != [ALICE, ALICE]:  # noqa: ASYNC110 (a task has to begin)
            await asyncio.sleep(0)
    await answered_meanwhile(world)
    world.place.failure = DirectoryError("out of order")
    world.place.open.set()
    await asking
    assert world.directory.is_available
    assert world.logins(ALICE) == ["alice"]
    assert world.directory.results["stale"] == 1


async def answered_meanwhile(world: World) -> None:
    """Another question is answered, while the first one is on its way."""
    world.clock.now += 0.1
    waiting, world.place.open = world.place.open, asyncio.Event()
    world.place.open.set()
    await world.ask(BOB)
    world.place.open = waiting


async def test_try_out_says_what_went_wrong(world: World) -> None:
    """Of which kind it is, too; and nothing where there is an answer."""
    assert await world.directory.try_out(ALICE) is None
    for failure in (UnreachableError("no connection"), UnusableAnswerError("not JSON")):
        world.place.failure = failure
        assert await world.directory.try_out(BOB) is failure


async def test_only_accounts_with_the_name_asked_for_are_found(world: World) -> None:
    """A directory that takes more for equal than we do finds nobody else's certificate."""
    world.place.accounts = (account("bob"), account("alice"))
    key = ByIdentity(address("alice"))
    await world.ask(key)
    assert world.logins(key) == ["alice"]


async def test_answer_that_cannot_be_used_counts_against_its_own_question_alone(
    world: World,
) -> None:
    """Who asks for a broken entry again and again does not have the directory left alone."""
    world.place.failure = UnusableAnswerError("the rows of one login name several units")
    for _ in range(MAX_FAILURES + 1):
        world.clock.now += 11
        await world.ask(BOB)
    known = world.directory.known(BOB)
    assert isinstance(known, Unavailable)
    assert "several units" in known.why
    world.place.failure = None
    await world.ask(ALICE)
    assert world.logins(ALICE) == ["alice"]
    world.clock.now += 11
    await world.ask(BOB)
    assert world.logins(BOB) == ["alice"]


async def test_bug_of_a_backend_is_a_failure_and_no_answer(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong, it is no "no such account"."""
    world.place.failure = ZeroDivisionError()
    await world.ask(ALICE)
    known = world.directory.known(ALICE)
    assert isinstance(known, Unavailable)
    assert known.why == "a bug of extauthz: ZeroDivisionError"
    assert world.directory.results["failed"] == 1
    assert "by a bug" in caplog.text


async def test_flood_of_questions_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not asked is unavailable; the memory that is taken has an end."""
    monkeypatch.setattr(cached, "MAX_ASKING", 10)
    world.place.open.clear()
    flood = asyncio.create_task(world.directory.ask([ByLogin(f"u{n}") for n in range(1000)]))
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(world.place.asked) == 10
    assert isinstance(world.directory.known(ALICE), Unavailable)
    world.place.open.set()
    await flood
    assert world.directory.known(ALICE) is None


async def test_closing_gives_up_what_is_asked_and_every_connection(world: World) -> None:
    """Nothing of it goes on when no policy needs the directory any more."""
    world.place.open.clear()
    asking = asyncio.create_task(world.directory.ask([ALICE]))
    await asyncio.sleep(0)
    await world.directory.close()
    await asking
    assert world.place.is_closed
    assert world.directory.known(ALICE) is None

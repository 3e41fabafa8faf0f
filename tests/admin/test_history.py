"""What the pages know of the past: what is kept, what is counted, and that both are bounded."""

import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from extauthz.accounts import Accounts
from extauthz.admin.history import CAPACITY, OVERHEAD, History
from extauthz.admin.tallies import HOURS, MAX_TALLIES, MINUTES, Counts, Tallies, Tally
from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.findings import Finding, Reason
from extauthz.observe.record import Entry, LineEncoder
from extauthz.policy import Mode, Subscription
from extauthz.rehearsal import NO_CERTIFICATE
from extauthz.trust import TrustAnchors

NOON = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
MISSING = Finding(Reason.CERTIFICATE_MISSING, "none")
UNKNOWN = Finding(Reason.ACCOUNT_UNKNOWN, "no account has the login 'eve'")


def subscription(name: str = "acme") -> Subscription:
    return Subscription(name, (f"{name}.example.com",), TrustAnchors([]), Accounts())


ACME = subscription()


def decision(
    *findings: Finding, tolerated: tuple[Finding, ...] = (), of: Subscription | None = ACME
) -> Decision:
    return Decision(of, findings, tolerated=tolerated, mode=None if of is None else Mode.ENFORCE)


def entry(
    decided: Decision, now: datetime = NOON, request_id: str = "id", path: str = "/"
) -> Entry:
    request = CheckRequest(
        "acme.example.com", "GET", path, ACME, (), (), NO_CERTIFICATE, request_id, "192.0.2.1",
    )  # fmt: skip
    return Entry(decided, request, request_id, 1, now, 0.0)


def see(history: History, each: Entry) -> None:
    history.saw(each, LineEncoder().line(each))


@pytest.fixture
def tallies() -> Tallies:
    return Tallies()


def tally_of(tallies: Tallies, name: str | None = "acme") -> Tally:
    found = tallies.of(name)
    assert found is not None
    return found


class TestTallies:
    """Counts by the minute and by the hour."""

    def test_a_check_is_counted_in_its_minute_and_hour(self, tallies: Tallies) -> None:
        """By what it came to."""
        for each in (decision(), decision(tolerated=(MISSING,)), decision(MISSING, UNKNOWN)):
            tallies.add(each, NOON)

        tally = tally_of(tallies)
        assert tally.minutes(NOON)[-1] == Counts(passed=1, tolerated=1, failed=1)
        assert tally.hours(NOON)[-1] == Counts(passed=1, tolerated=1, failed=1)
        assert sum(each.checks for each in tally.minutes(NOON)) == 3
        assert tally.last_seen == NOON

    @pytest.mark.parametrize(
        ("later", "minute", "hour"),
        [
            (timedelta(seconds=20), -1, -1),
            (timedelta(minutes=1), -2, -1),
            (timedelta(minutes=59), -60, -1),
            (timedelta(minutes=60), None, -2),
            (timedelta(hours=23), None, -24),
            (timedelta(hours=24), None, None),
            (timedelta(days=400), None, None),
        ],
        ids=str,
    )
    def test_time_moves_it_back_until_it_is_forgotten(
        self, tallies: Tallies, later: timedelta, minute: int | None, hour: int | None
    ) -> None:
        """The present minute and hour are the last ones."""
        tallies.add(decision(MISSING), NOON)

        then = NOON + later
        for counts, place in (
            (tally_of(tallies).minutes(then), minute),
            (tally_of(tallies).hours(then), hour),
        ):
            expected = [Counts()] * len(counts)
            if place is not None:
                expected[place] = Counts(failed=1)
            assert counts == expected
        assert tally_of(tallies).reasons(then) == (
            {} if hour is None else {Reason.CERTIFICATE_MISSING: 1}
        )

    def test_every_moment_of_a_day_is_counted_once(self, tallies: Tallies) -> None:
        """A check each minute, for a day and a half: what is older made room."""
        for minute in range(36 * 60):
            tallies.add(decision(), NOON + timedelta(minutes=minute))

        end = NOON + timedelta(minutes=36 * 60 - 1)
        assert tally_of(tallies).minutes(end) == [Counts(passed=1)] * MINUTES
        assert tally_of(tallies).hours(end) == [Counts(passed=60)] * HOURS

    def test_a_clock_that_is_set_back_does_no_harm(self, tallies: Tallies) -> None:
        """What is counted then stands in the minute that the clock says."""
        tallies.add(decision(), NOON)
        tallies.add(decision(), NOON - timedelta(minutes=3))

        assert tally_of(tallies).minutes(NOON)[-4] == Counts(passed=1)
        assert tally_of(tallies).minutes(NOON)[-1] == Counts(passed=1)

    def test_a_reason_counts_once_for_each_check(self, tallies: Tallies) -> None:
        """However often it was found; the most frequent is first."""
        tallies.add(decision(MISSING), NOON)
        tallies.add(decision(UNKNOWN, UNKNOWN, MISSING), NOON)

        assert list(tally_of(tallies).reasons(NOON).items()) == [
            (Reason.CERTIFICATE_MISSING, 2), (Reason.ACCOUNT_UNKNOWN, 1),
        ]  # fmt: skip

    def test_hosts_of_no_subscription_are_counted_apart(self, tallies: Tallies) -> None:
        """They have no name."""
        tallies.add(decision(Finding(Reason.SUBSCRIPTION_UNKNOWN, "?"), of=None), NOON)

        assert tally_of(tallies, None).hours(NOON)[-1] == Counts(failed=1)

    def test_very_many_subscriptions_are_counted_together(self, tallies: Tallies) -> None:
        """So that what is counted is bounded; nothing is lost."""
        for number in range(MAX_TALLIES + 100):
            tallies.add(decision(of=subscription(f"s{number}")), NOON)

        assert len(tallies) == MAX_TALLIES
        assert tallies.of(f"s{MAX_TALLIES + 50}") is None
        assert sum(tally.hours(NOON)[-1].checks for tally in tallies.every()) == MAX_TALLIES + 100


class TestHistory:
    """Lines in memory."""

    def test_every_line_is_there_the_newest_first(self) -> None:
        """Of checks that passed and that failed."""
        history = History()
        for number in range(10):
            findings = (MISSING,) if number % 3 == 0 else ()
            see(history, entry(decision(*findings), request_id=f"id-{number}"))

        known = history.known()
        ids = [orjson.loads(kept.line)["request_id"] for kept in known.newest_first()]
        assert ids == [f"id-{number}" for number in reversed(range(10))]
        assert known.passed.is_complete
        assert known.failed.is_complete

    def test_a_line_is_found_by_its_number(self) -> None:
        """And none by a number that is gone or never was."""
        history = History()
        for number in range(9):
            findings = (MISSING,) if number % 2 else ()
            see(history, entry(decision(*findings), request_id=f"id-{number}"))

        known = history.known()
        for number in range(1, 10):
            kept = known.numbered(number)
            assert kept is not None
            assert orjson.loads(kept.line)["request_id"] == f"id-{number - 1}"
        assert [known.numbered(number) for number in (0, 10, 10**15)] == [None] * 3

    def test_many_checks_that_pass_push_out_none_that_failed(self) -> None:
        """Who is refused will ask; who passes will not."""
        history = History(capacity=100_000)
        see(history, entry(decision(MISSING), request_id="asked-about"))
        for number in range(5_000):
            see(history, entry(decision(), request_id=f"id-{number}"))

        known = history.known()
        assert [kept.number for kept in known.failed.lines] == [1]
        assert not known.passed.is_complete
        assert known.passed.lines[-1].number == 5_001
        assert known.numbered(2) is None

    def test_what_was_known_does_not_change(self) -> None:
        """A page is made of it in another thread while checks go on."""
        history = History()
        see(history, entry(decision()))
        known = history.known()
        see(history, entry(decision()))

        assert len(known.passed.lines) == 1

    @pytest.mark.parametrize("path", ["/", "/" + "x" * 4_000], ids=["short", "long"])
    def test_memory_is_bounded(self, path: str) -> None:
        """By the capacity, whatever the lines are; the interpreter's own word on it."""
        capacity, encoder, denied = 512 * 1024, LineEncoder(), decision(MISSING)
        tracemalloc.start()
        try:
            history = History(capacity)
            for number in range(1_500):
                each = entry(denied, request_id=f"id-{number}", path=path)
                history.saw(each, encoder.line(each))
                passed = entry(decision(), request_id=f"id-{number}", path=path)
                history.saw(passed, encoder.line(passed))
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert history.size <= capacity
        assert used < capacity * 1.25

    def test_one_line_that_is_larger_than_all_leaves_nothing_behind(self) -> None:
        """It is not kept, and takes what was there with it; the next one is."""
        history = History(capacity=2 * 1_000)
        history.saw(entry(decision()), b"x" * 2_000)
        assert history.size == 0
        history.saw(entry(decision()), b"{}\n")
        assert history.size == 3 + OVERHEAD

    def test_a_check_costs_microseconds(self) -> None:
        """It happens in the way of every check; the fastest of several runs is what it costs."""
        history, each = History(), entry(decision())
        line = LineEncoder().line(each)

        assert min(_seconds(history, each, line)) / 2_000 < 20e-6

    def test_all_of_it_fits_a_small_machine(self) -> None:
        """16 MB, as documented."""
        assert CAPACITY == 16 * 1024 * 1024


def _seconds(history: History, each: Entry, line: bytes) -> Iterator[float]:
    for _ in range(5):
        # Not by the clock: this thread may have to wait for the processor.
        began = time.thread_time()
        for _ in range(2_000):
            history.saw(each, line)
        yield time.thread_time() - began

"""Lines that wait: each is written or dropped, and a gap stands exactly where some are missing."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from extauthz.observe.log_queue import LogQueue
from extauthz.records.line import GapRecord, parse

CAPACITY = 200


def numbered(begin: int, count: int) -> list[bytes]:
    return [b'{"n":"%05d"}\n' % number for number in range(begin, begin + count)]


STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 30)),
    st.tuples(st.just("put"), st.integers(1, 3)),
    st.tuples(st.just("write"), st.just(0)),
    st.tuples(st.just("write"), st.just(0)),
    st.tuples(st.just("fail"), st.just(0)),
    st.tuples(st.just("give up"), st.just(0)),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_nothing_is_missing_unsaid(steps: list[tuple[str, int]]) -> None:
    """Reading from the top, the lines and the gaps add up at every line."""
    queue, number, out = LogQueue(CAPACITY, batch=40), 0, b""
    for step, count in steps:
        if step == "put":
            queue.put(numbered(number, count), "slow")
            number += count
        elif step == "give up":
            queue.give_up("gone")
        elif batch := queue.batch():
            # A batch that failed comes again as it was.
            assert queue.batch() == batch
            if step == "write":
                out += batch
                queue.wrote()
        assert 0 <= queue.size <= CAPACITY
        # Each line is in one of three places.
        waiting = queue.size // len(numbered(0, 1)[0])
        assert queue.written + queue.dropped + waiting == number
    while batch := queue.batch():
        out += batch
        queue.wrote()

    seen = missing = 0
    for line in out.splitlines():
        if b"gap" in line:
            gap = parse(line)
            assert isinstance(gap, GapRecord)
            assert gap.since <= gap.time
            missing += gap.dropped
        else:
            assert int(orjson.loads(line)["n"]) == seen + missing
            seen += 1
    assert (seen, missing) == (queue.written, queue.dropped)
    assert seen + missing == number


def test_lines_are_taken_again_when_some_room_is_free() -> None:
    """Not at the first free octet, which would make a gap of every other line; nor at the end."""
    queue = LogQueue(capacity=10 * 1024 * 1024)
    lines = [b"x" * 1023 + b"\n"] * 64
    for _ in range(200):
        queue.put(lines, "slow")
    assert queue.dropped == 200 * 64 - 10 * 1024
    before = queue.dropped
    while queue.size > 9 * 1024 * 1024:
        queue.batch()
        queue.wrote()
    queue.batch()
    queue.put(lines, "slow")
    assert queue.dropped == before + 64
    while queue.size > 7 * 1024 * 1024:
        queue.batch()
        queue.wrote()
    queue.batch()
    queue.put(lines, "slow")
    assert queue.dropped == before + 64

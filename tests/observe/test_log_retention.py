"""The rule which finished files are deleted, whatever sizes they have."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.observe.log_retention import Retention, Why

NOW = datetime(2026, 11, 24, 3, 4, 5, tzinfo=UTC)
BOUNDS = st.integers(1, 300)
SIZES = st.lists(st.integers(0, 100), max_size=12)


def surplus(sizes: Sequence[int], octets: int | None) -> Sequence[int]:
    """Which of the files go, newest first, where file 0 is the newest."""
    return Retention(None, octets).surplus(range(len(sizes)), sizes.__getitem__)


@given(sizes=SIZES, octets=BOUNDS)
def test_the_newest_stay_and_as_many_as_the_bound_allows(sizes: list[int], octets: int) -> None:
    """What goes is evidence that is lost; so it is no file more than that."""
    gone = surplus(sizes, octets)
    stay = len(sizes) - len(gone)

    assert list(gone) == list(range(stay, len(sizes)))
    assert sum(sizes[:stay]) <= octets
    assert not gone or sum(sizes[: stay + 1]) > octets


@given(sizes=SIZES, octets=BOUNDS, data=st.data())
def test_what_another_process_deleted_meanwhile_costs_no_other_file(
    sizes: list[int], octets: int, data: st.DataObject
) -> None:
    """Two that do it at a time delete together what one of them would."""
    alone = surplus(sizes, octets)
    vanished = data.draw(st.sets(st.sampled_from(alone) if alone else st.nothing()))
    seen = [0 if file in vanished else size for file, size in enumerate(sizes)]

    assert set(surplus(seen, octets)) <= set(alone)
    assert not surplus(sizes[: len(sizes) - len(alone)], octets)


@given(sizes=SIZES, octets=BOUNDS)
def test_nothing_is_asked_about_files_older_than_one_that_goes(
    sizes: list[int], octets: int
) -> None:
    """They need not be compressed, which is what the question does."""
    asked = []

    def octets_of(file: int) -> int:
        asked.append(file)
        return sizes[file]

    gone = Retention(None, octets).surplus(range(len(sizes)), octets_of)

    assert asked == list(range(len(sizes) - len(gone) + bool(gone)))


@given(sizes=SIZES)
def test_without_a_bound_none_goes(sizes: list[int]) -> None:
    """Bounds are for who asks for them."""
    assert not surplus(sizes, None)


@pytest.mark.parametrize(
    ("days", "age", "is_expired"),
    [
        (None, timedelta(days=10_000), False),
        (1, timedelta(days=1), False),
        (1, timedelta(days=1, microseconds=1), True),
        (30, timedelta(days=29), False),
        (1, timedelta(days=-1), False),
    ],
)
def test_age(days: int | None, age: timedelta, *, is_expired: bool) -> None:
    """A file has all of its last day; one of the future is none that is too old."""
    assert Retention(days, None).is_expired(NOW - age, NOW) is is_expired


@pytest.mark.parametrize(
    ("retention", "words"),
    [
        (Retention(), {}),
        (Retention(30, None), {Why.AGE: "older than 30 days"}),
        (Retention(None, 1_000_000_000_000), {Why.SIZE: "more than 1000000 MB together"}),
        (
            Retention(1, 500_000),
            {Why.AGE: "older than 1 days", Why.SIZE: "more than 0.5 MB together"},
        ),
    ],
)
def test_the_bounds_are_said(retention: Retention, words: dict[Why, str]) -> None:
    """Each by itself, and as the operator gave it."""
    assert retention.bounds == words

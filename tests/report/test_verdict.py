"""The verdict: one word, and one sentence."""

from dataclasses import replace
from datetime import timedelta

import pytest

from extauthz.report.model import PARTLY, Readiness
from extauthz.report.verdict import Tally, readiness, verdict

AUDIT, ENFORCE, SOME = ("audit",), ("audit", "enforce"), ("audit", PARTLY)
DAYS = timedelta(days=9)


@pytest.mark.parametrize(
    ("tally", "word", "sentence"),
    [
        (
            Tally(
                "a", checks=41_338, passed=41_010, breaking_integrations=3, breaking_people=2,
                modes=AUDIT,
            ),
            Readiness.NOT_READY,
            "3 integrations and 2 people would break; 99.2 % of 41,338 checks pass",
        ),
        (
            Tally("a", checks=1, breaking_people=1, modes=AUDIT),
            Readiness.NOT_READY,
            "1 person would break; 0.0 % of 1 check passes",
        ),
        (
            Tally("a", checks=100_000, passed=99_999, breaking_integrations=1,
                  refused_integrations=1, modes=ENFORCE),
            Readiness.NOT_READY,
            "1 integration is refused; 99.9 % of 100,000 checks pass",
        ),
        (
            Tally("a", checks=9, passed=1, breaking_people=2, refused_people=2, modes=ENFORCE),
            Readiness.NOT_READY,
            "2 people are refused; 11.1 % of 9 checks pass",
        ),
        (
            Tally("a", checks=9, passed=1, breaking_people=2, refused_people=1, modes=SOME),
            Readiness.NOT_READY,
            "1 person is refused, 1 more would be; 11.1 % of 9 checks pass",
        ),
        (
            Tally("a", checks=9, passed=1, breaking_people=3, refused_people=2,
                  breaking_integrations=1, modes=SOME),
            Readiness.NOT_READY,
            (
                "2 people are refused, and 1 integration and 1 person would be; 11.1 % of 9 checks"
                " pass"
            ),
        ),
        (
            Tally("a", checks=9, passed=9, modes=SOME),
            Readiness.READY,
            "nobody who is known would break; 100 % of 9 checks pass",
        ),
        (
            Tally("a", checks=9, passed=9, modes=ENFORCE),
            Readiness.READY,
            "nobody who is known is refused; 100 % of 9 checks pass",
        ),
        (
            Tally("a", checks=9, passed=5, breaking_unnamed=4, refused_unnamed=3, modes=ENFORCE),
            Readiness.READY,
            (
                "nobody who is known is refused; 55.5 % of 9 checks pass. Besides, 3 callers"
                " without a name are refused, 1 more would be"
            ),
        ),
        (
            Tally("a", checks=9, passed=9, modes=AUDIT, absent=1_037),
            Readiness.READY,
            "nobody who is known would break; 100 % of 9 checks pass. 1,037 accounts never came",
        ),
        (
            Tally("a", checks=9, passed=9, exempt=4, modes=AUDIT),
            Readiness.READY,
            "nobody who is known would break; 100 % of 9 checks pass, 4 by an exemption",
        ),
        (
            Tally("a", checks=9, passed=8, breaking_unnamed=1, modes=AUDIT),
            Readiness.READY,
            (
                "nobody who is known would break; 88.8 % of 9 checks pass. Besides, 1 caller"
                " without a name would break"
            ),
        ),
        (
            Tally("a", checks=9, passed=7, breaking_unnamed=2, breaking_regulars=1, modes=AUDIT),
            Readiness.NOT_READY,
            (
                "nobody who is known would break; 77.7 % of 9 checks pass. Besides, 2 callers"
                " without a name would break: 1 came for hours, as users do"
            ),
        ),
        (
            Tally("a", checks=9, breaking_unnamed=9, modes=AUDIT),
            Readiness.NOT_READY,
            (
                "nobody who is known would break; 0.0 % of 9 checks pass. Besides, 9 callers"
                " without a name would break"
            ),
        ),
        (Tally("a"), Readiness.NO_DATA, "nobody came"),
        (
            Tally("a", unchecked=2, modes=("off",)),
            Readiness.NO_DATA,
            "nothing was checked (mode: off); 2 requests passed",
        ),
        (
            Tally(None, checks=2, breaking_unnamed=1),
            Readiness.NO_DATA,
            "2 checks of hosts that belong to no subscription: refused",
        ),
    ],
    ids=range(17),
)  # fmt: skip
def test_verdict(tally: Tally, word: Readiness, sentence: str) -> None:
    """Shares are rounded down: 100 % are all."""
    tally = replace(tally, lasted=DAYS)
    assert (readiness(tally), verdict(tally)) == (word, sentence)


@pytest.mark.parametrize(
    ("lasted", "word", "told"),
    [
        (timedelta(), Readiness.NO_DATA,
         "9 checks in 1 minute pass. Less than an hour is too little to go by"),
        (timedelta(minutes=4, seconds=59), Readiness.NO_DATA, "9 checks in 4 minutes pass. Less"),
        (timedelta(minutes=59), Readiness.NO_DATA, "9 checks in 59 minutes pass. Less"),
        (timedelta(hours=1), Readiness.READY, "9 checks in 1 hour pass"),
        (timedelta(hours=23, minutes=59), Readiness.READY, "9 checks in 23 hours pass"),
        (timedelta(days=1), Readiness.READY, "9 checks pass"),
    ],
    ids=str,
)  # fmt: skip
def test_short_log_is_not_taken_for_a_long_one(
    lasted: timedelta, word: Readiness, told: str
) -> None:
    """Under a day it is said how long it was; under an hour nothing is ready."""
    tally = Tally("a", checks=9, passed=9, modes=AUDIT, lasted=lasted)
    assert readiness(tally) is word
    assert verdict(tally).startswith(f"nobody who is known would break; 100 % of {told}")
    assert ("too little" in verdict(tally)) is (word is Readiness.NO_DATA)


def test_one_check_makes_nothing_ready() -> None:
    """Its time would say nothing."""
    told = "nobody who is known would break; 100 % of 1 check passes. Less than an hour is too"
    one = Tally("a", checks=1, passed=1, modes=AUDIT)
    assert verdict(one).startswith(told)
    assert readiness(one) is Readiness.NO_DATA
    breaking = replace(one, passed=0, breaking_people=1)
    assert readiness(breaking) is Readiness.NOT_READY
    assert "too little" not in verdict(breaking)

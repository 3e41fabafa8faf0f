"""The verdict: one word, and one sentence."""

import pytest

from extauthz.report.model import Readiness
from extauthz.report.verdict import Tally, readiness, verdict

AUDIT, ENFORCE = ("audit",), ("audit", "enforce")


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
            Tally("a", checks=100_000, passed=99_999, breaking_integrations=1, modes=ENFORCE),
            Readiness.NOT_READY,
            "1 integration is refused; 99.9 % of 100,000 checks pass",
        ),
        (
            Tally("a", checks=9, passed=1, breaking_people=2, modes=ENFORCE),
            Readiness.NOT_READY,
            "2 people are refused; 11.1 % of 9 checks pass",
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
    ids=range(11),
)  # fmt: skip
def test_verdict(tally: Tally, word: Readiness, sentence: str) -> None:
    """Shares are rounded down: 100 % are all."""
    assert (readiness(tally), verdict(tally)) == (word, sentence)

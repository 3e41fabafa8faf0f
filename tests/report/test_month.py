"""A month of traffic, told from its records alone, and held against who really came."""

from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

from extauthz.redaction import Redacted, Redaction
from extauthz.report.engine import Wanted, report
from extauthz.report.model import PARTLY, Completeness, Fate, Readiness, Report, SubscriptionReport
from extauthz.report.source import Selection, opened
from tests.report.month import BEGIN, END, Month, made
from tests.report.truth import expected

EVERYTHING = Selection()
SEEDS = (1, 2, 3)
"""A month takes seconds to make. Any other seed must do as well."""


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Where the log of each seed's month is."""
    return {seed: tmp_path_factory.mktemp(f"month-{seed}") for seed in SEEDS}


@pytest.fixture(scope="module")
def months(directories: dict[int, Path]) -> dict[int, Month]:
    return {seed: made(seed, directory) for seed, directory in directories.items()}


def reported(month: Month, directory: Path, selection: Selection = EVERYTHING) -> Report:
    with opened([str(directory)], selection) as source:
        return report(source, Wanted(END, 30, month.policy))


@pytest.mark.parametrize("seed", SEEDS)
def test_report_says_what_happened(
    seed: int, months: dict[int, Month], directories: dict[int, Path]
) -> None:
    """In every field, for every subscription; of torn and foreign lines, it says how many."""
    month = months[seed]
    said = reported(month, directories[seed])

    truth = expected(month, 30)
    assert [each.name for each in said.subscriptions] == [each.name for each in truth]
    for ours, true in zip(said.subscriptions, truth, strict=True):
        for field in fields(SubscriptionReport):
            assert getattr(ours, field.name) == getattr(true, field.name), (ours.name, field.name)
    assert said.completeness == Completeness(
        len(month.files), month.lines, month.unreadable, month.dropped, month.other_schema
    )


def test_month_has_what_is_to_be_told(months: dict[int, Month]) -> None:
    """Nothing is compared with nothing."""
    acme, beta, calm, _, gradual, *_ = expected(months[1], 30)
    assert acme.verdict.startswith("3 integrations and 3 people would break; ")
    assert beta.verdict.startswith("1 person is refused; ")
    assert gradual.verdict.startswith(
        "1 person is refused, and 1 integration and 2 people would be; "
    )
    assert gradual.verdict.endswith(" pass. 1 account never came")
    assert (gradual.fate, gradual.modes) == (Fate.BOTH, ("audit", PARTLY))
    assert gradual.absent is not None
    assert len(gradual.absent) == 1
    assert acme.absent == ()
    assert (acme.readiness, beta.readiness, calm.readiness) == (
        Readiness.NOT_READY, Readiness.NOT_READY, Readiness.READY,
    )  # fmt: skip
    assert len(acme.signing) == 2
    assert len(acme.expiring) > 1
    assert [bool(each.checks) for each in acme.exemptions] == [True, False]
    assert {len(each.reasons) for each in acme.refused} == {1, 2}
    assert calm.breaking_unnamed > 1


def test_redacted_month_tells_the_same_of_whom_it_does_not_name(
    months: dict[int, Month], directories: dict[int, Path], tmp_path: Path
) -> None:
    """One person's records still belong together: every number stays."""
    hidden = Redaction(frozenset(Redacted), b"k" * 16)
    plain = reported(months[2], directories[2])
    redacted = reported(made(2, tmp_path, hidden), tmp_path)
    for ours, theirs in zip(redacted.subscriptions, plain.subscriptions, strict=True):
        for field in fields(SubscriptionReport):
            if field.type not in {int, "int"} and field.name not in {
                "verdict",
                "periods",
                "reasons",
            }:
                continue
            assert getattr(ours, field.name) == getattr(theirs, field.name), field.name
        assert {each.caller.name[:9] for each in ours.refused if each.caller.is_known} <= {
            "redacted:"
        }
    assert all(
        not each.names or each.names[0].startswith("redacted:")
        for each in redacted.subscriptions[0].signing
    )


def test_part_of_a_month_is_told_as_if_there_were_no_more(
    months: dict[int, Month], directories: dict[int, Path]
) -> None:
    """A subscription's report within a time is that of the checks that it had then."""
    month = months[1]
    since, until = BEGIN + timedelta(days=8), BEGIN + timedelta(days=21)
    said = reported(month, directories[1], Selection("acme", since, until))

    inside = [each for each in month.events if since <= each.time < until]
    (truth,) = [each for each in expected(replace(month, events=inside), 30) if each.name == "acme"]
    assert [each.name for each in said.subscriptions] == ["acme"]
    ours = said.subscriptions[0]
    # Whose an anonymous check is may be told by a login before or after.
    assert (ours.checks, ours.passed, ours.exempt) == (truth.checks, truth.passed, truth.exempt)
    assert (ours.periods, ours.modes, ours.signing) == (truth.periods, truth.modes, truth.signing)
    assert (said.since, said.until) == (since, until)
    assert said.completeness.lines == month.lines

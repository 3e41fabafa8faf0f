"""Logins that were misspelt."""

import pytest

from extauthz.policyfile.spelling import meant


@pytest.mark.parametrize(("written", "other"), [
    ("Alice", "alice"), ("CI", "ci"), ("alcie", "alice"), ("laice", "alice"), ("aliec", "alice"),
    ("alic", "alice"), ("lice", "alice"), ("alicee", "alice"), ("aalice", "alice"),
    ("alize", "alice"), ("alicf", "alice"), ("blice", "alice"), ("robto1", "robot1"),
])  # fmt: skip
def test_one_slip_is_told(written: str, other: str) -> None:
    """A letter that is missing, too many, another one, or in the place of its neighbour."""
    assert meant(written, ["bob", other, "carol"]) == other


@pytest.mark.parametrize(("written", "other"), [
    ("ci", "cj"), ("bob", "bobb"), ("robot1", "robot2"), ("robot", "robot2"), ("ecila", "alice"),
    ("alcei", "alice"), ("build", "alice"), ("", "a"), ("alice", "alicette"),
])  # fmt: skip
def test_another_name_is_no_slip(written: str, other: str) -> None:
    """What is short, or numbered, is alike by chance."""
    assert meant(written, [other]) is None

"""What reasons mean and what mends them: whole, and true to the product that it speaks of."""

import json
import re

import pytest

from extauthz.cli import build_parser
from extauthz.findings import Reason
from extauthz.policyfile.schema import PolicyModel
from extauthz.remedies import REMEDIES, Check

SCHEMA = json.dumps(PolicyModel.model_json_schema())
OF_OTHERS = {"curl --cert", "path_prefix"}
"""What is quoted and not ours."""


def test_every_reason_has_its_remedy() -> None:
    assert REMEDIES.keys() == set(Reason)


def test_checks_are_numbered_in_order() -> None:
    """By the numbers under which users know them."""
    assert [check.value[0] for check in Check] == list(range(len(Check)))


@pytest.mark.parametrize("reason", Reason)
def test_remedy_reads_well(reason: Reason) -> None:
    """The meaning goes on in a list; the remedy is a sentence, or several."""
    known = REMEDIES[reason]

    assert known.meaning[0].islower()
    assert known.meaning[-1].isalnum()
    assert known.remedy[0].isupper()
    assert known.remedy.endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_remedy_names_settings_and_commands_that_exist(reason: Reason) -> None:
    """A remedy that sends people to what is not there is worse than none."""
    for quoted in re.findall(r"`([^`]+)`", REMEDIES[reason].remedy):
        if quoted in OF_OTHERS:
            continue
        if not quoted.startswith("extauthz "):
            assert f'"{quoted}"' in SCHEMA, quoted
            continue
        with pytest.raises(SystemExit) as end:
            build_parser().parse_args([*quoted.split()[1:], "--help"])
        assert end.value.code == 0, quoted

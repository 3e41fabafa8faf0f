"""Who may look at accounts, and who may mend them."""

import pytest

from extauthz.accounts import Account, Role
from extauthz.mending.permission import (
    no_account,
    why_not_disable,
    why_not_look,
    why_not_mend,
    why_not_see,
)

MANAGER = Account("boss", (), role=Role.MANAGER)
OTHER_MANAGER = Account("chief", (), role=Role.MANAGER, unit="sales")
LEAD = Account("lead", (), role=Role.UNIT_MANAGER, unit="sales")
SECOND_LEAD = Account("second", (), role=Role.UNIT_MANAGER, unit="sales")
OTHER_LEAD = Account("other", (), role=Role.UNIT_MANAGER, unit="law")
NO_UNIT = Account("lost", (), role=Role.UNIT_MANAGER)
EMPTY_UNIT = Account("empty", (), role=Role.UNIT_MANAGER, unit="")
USER = Account("user", (), unit="sales")
STRANGER = Account("stranger", (), unit="law")
UNITLESS = Account("unitless", ())
GONE = Account("gone", (), role=Role.MANAGER, is_disabled=True)
GONE_USER = Account("old", (), unit="sales", is_disabled=True)


@pytest.mark.parametrize(("actor", "account", "see", "mend", "disable"), [
    (MANAGER, USER, None, None, None),
    (MANAGER, UNITLESS, None, None, None),
    (MANAGER, OTHER_MANAGER, None, None, None),
    (MANAGER, GONE_USER, None, None, None),
    (MANAGER, MANAGER, None, None, "own account"),
    (LEAD, USER, None, None, None),
    (LEAD, GONE_USER, None, None, None),
    (LEAD, SECOND_LEAD, None, None, None),
    (LEAD, LEAD, None, None, "own account"),
    (LEAD, OTHER_MANAGER, None, "is a manager", "is a manager"),
    (LEAD, STRANGER, "no account 'stranger' in the unit 'sales'", "no account", "no account"),
    (LEAD, OTHER_LEAD, "no account 'other' in the unit", "no account", "no account"),
    (LEAD, UNITLESS, "no account 'unitless' in the unit", "no account", "no account"),
    (LEAD, MANAGER, "no account 'boss' in the unit", "no account", "no account"),
    (NO_UNIT, UNITLESS, "`unit` is missing", "`unit` is missing", "`unit` is missing"),
    (EMPTY_UNIT, EMPTY_UNIT, "`unit` is missing", "`unit` is missing", "own account"),
    (USER, USER, "has no role", "has no role", "own account"),
    (USER, GONE_USER, "has no role", "has no role", "has no role"),
    (GONE, USER, "'gone' is disabled", "'gone' is disabled", "'gone' is disabled"),
    (GONE, GONE, "'gone' is disabled", "'gone' is disabled", "own account"),
])  # fmt: skip
def test_a_manager_may_all_and_a_unit_manager_the_own_unit(
    actor: Account, account: Account, see: str | None, mend: str | None, disable: str | None
) -> None:
    """Nobody else may anything, and nobody may disable the own account."""
    asked = (why_not_see, why_not_mend, why_not_disable)
    for why_not, expected in zip(asked, (see, mend, disable), strict=True):
        why = why_not(actor, account)
        assert why == expected if expected is None or why is None else expected in why


@pytest.mark.parametrize(("actor", "why"), [
    (MANAGER, None), (LEAD, None), (USER, "has no role"), (GONE, "is disabled"),
    (NO_UNIT, "`unit` is missing"), (EMPTY_UNIT, "`unit` is missing"),
])  # fmt: skip
def test_only_who_may_mend_may_look(actor: Account, why: str | None) -> None:
    """A list is for managers and unit managers that are not disabled and have a unit."""
    found = why_not_look(actor)
    assert found == why if why is None or found is None else why in found


def test_what_is_not_there_and_what_is_not_to_be_seen_are_told_alike() -> None:
    """A unit manager does not learn which logins there are outside of the unit."""
    assert why_not_see(LEAD, STRANGER) == no_account(LEAD, STRANGER.login)
    assert no_account(MANAGER, "stranger") == "there is no account 'stranger'"

"""`extauthz accounts`: what a manager sees of accounts, and how one is mended."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import POLICY, Company, Run, extauthz

PEOPLE = """\
      alice: alice@acme.example
      bob: bob@acme.example
"""
STAFF = """\
      # the boss
      boss: {email: boss@acme.example, role: manager}
      lead: {email: lead@acme.example, role: unit_manager, unit: sales, groups: [b, a]}
      bob:
        email: [bob@acme.example, b@acme.example]  # both
        unit: sales
        former: {old@acme.example: 2031-12-31}
      eve: {email: eve@acme.example, unit: "ads\\e[31m"}
"""
TOMORROW = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
NOWHERE = "live in the LDAP directory 'ldaps://ldap.example' below 'dc=example': change them there"


@pytest.fixture
def staffed(company: Company) -> Company:
    """A company with a manager, a unit manager, and a user of a unit with a hostile name."""
    company.write(POLICY.replace(PEOPLE, STAFF))
    return company


def of(company: Company, acting: str, subscription: str = "acme") -> list[str]:
    """The options that every action has."""
    return ["--policy", str(company.policy), "--subscription", subscription, "--as", acting]


def test_a_manager_sees_all_accounts_in_a_table(staffed: Company, extauthz_here: Run) -> None:
    """A row for each; what would steer the terminal is escaped."""
    done = extauthz_here("accounts", "list", *of(staffed, "boss"))
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["LOGIN", "NAMES", "FORMER", "UNIT", "ROLE", "GROUPS", "STATE"]
    assert [row.split()[0] for row in rows] == ["boss", "lead", "bob", "eve"]
    assert r"ads\x1b[31m" in rows[3]
    for word in ("bob@acme.example, b@acme.example", "old@acme.example until 2031-12-31", "sales"):
        assert word in rows[2]
    assert "a, b" in rows[1]
    column = header.index("FORMER")
    assert all(row[column - 1 : column].strip() == "" for row in rows)


def test_a_unit_manager_sees_the_own_unit(staffed: Company, extauthz_here: Run) -> None:
    """Nobody else sees anything."""
    done = extauthz_here("accounts", "list", *of(staffed, "lead"), "--json")
    assert [account["login"] for account in json.loads(done.stdout)] == ["lead", "bob"]
    refused = extauthz_here("accounts", "list", *of(staffed, "bob"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "extauthz accounts: 'bob' has no role: `role: manager` or `role: unit_manager` is missing\n"
    )


def test_a_unit_manager_does_not_learn_who_is_in_another_unit(
    staffed: Company, extauthz_here: Run
) -> None:
    """An account of another unit and one that is not there are answered alike."""
    answers = {
        login: extauthz_here("accounts", "show", *of(staffed, "lead"), login).stderr
        for login in ("eve", "nobody")
    }
    assert answers["eve"].replace("eve", "nobody") == answers["nobody"]
    assert "there is no account 'eve' in the unit 'sales'" in answers["eve"]
    taken = extauthz_here("accounts", "set-email", *of(staffed, "lead"), "bob", "eve@acme.example")
    assert "'eve@acme.example' is the name of another account, too" in taken.stderr


def test_one_account_is_shown(staffed: Company, extauthz_here: Run) -> None:
    """In lines for a person, or as JSON."""
    done = extauthz_here("accounts", "show", *of(staffed, "lead"), "bob", "--json")
    assert json.loads(done.stdout) == {
        "login": "bob",
        "names": ["bob@acme.example", "b@acme.example"],
        "former": {"old@acme.example": "2031-12-31"},
        "unit": "sales",
        "role": None,
        "groups": [],
        "disabled": False,
    }
    shown = extauthz_here("accounts", "show", *of(staffed, "lead"), "lead")
    assert shown.stdout.splitlines() == [
        "  login:  lead", "  names:  lead@acme.example", "  unit:   sales",
        "  role:   unit_manager", "  groups: a, b",
    ]  # fmt: skip


def test_a_user_is_let_in_again(staffed: Company) -> None:
    """The feature's own support case: the address in the certificate is the new one."""
    before = staffed.policy.read_text()
    done = extauthz(
        "accounts", "set-email", *of(staffed, "lead"), "bob", "robert@acme.example",
        "--replace", "bob@acme.example", "--keep-old-until", TOMORROW, SUDO_USER="olga",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:3] == [
        f"bob is changed in {staffed.policy}:",
        "  login:  bob",
        "  names:  b@acme.example, robert@acme.example",
    ]
    assert staffed.policy.read_text() == before.replace(
        "[bob@acme.example, b@", "[robert@acme.example, b@"
    ).replace("2031-12-31}", f"2031-12-31, bob@acme.example: {TOMORROW}}}")
    (line,) = (staffed.directory / "policy.yaml.audit.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["as"], told["command"], told["result"]) == ("lead", "set-email", "done")
    assert told["os_user"] == {
        "uid": os.getuid(), "name": told["os_user"]["name"], "sudo_user": "olga",
    }  # fmt: skip
    assert extauthz("validate", staffed.policy).returncode == 0


def test_an_account_is_disabled_and_enabled(staffed: Company, extauthz_here: Run) -> None:
    """Doing it twice is nothing to do."""
    for action, disabled in (("disable", True), ("enable", False)):
        assert extauthz_here("accounts", action, *of(staffed, "boss"), "bob").returncode == 0
        again = extauthz_here("accounts", action, *of(staffed, "boss"), "bob")
        assert (again.returncode, again.stdout) == (0, "bob: nothing to do\n")
        shown = extauthz_here("accounts", "show", *of(staffed, "boss"), "bob", "--json")
        assert json.loads(shown.stdout)["disabled"] is disabled


def test_a_shared_address_has_to_be_said(staffed: Company, extauthz_here: Run) -> None:
    """Otherwise a slip would give one person's certificate to two accounts."""
    command = ("accounts", "set-email", *of(staffed, "boss"), "bob", "lead@acme.example")
    refused = extauthz_here(*command)
    assert refused.returncode == 1
    assert "'lead@acme.example' is the name of 'lead', too: with --shared" in refused.stderr
    assert extauthz_here(*command, "--shared").returncode == 0


@pytest.mark.parametrize("action", [
    ["list"], ["show", "bob"], ["set-email", "bob", "n@x.example"], ["disable", "bob"],
    ["enable", "bob"],
])  # fmt: skip
def test_accounts_that_live_elsewhere_are_mended_there(
    company: Company, extauthz_here: Run, action: list[str]
) -> None:
    """The message says which kind of place, and where it is."""
    ldap = (
        "{ldap: {url: 'ldaps://ldap.example', base: 'dc=example',"
        " login_attribute: uid, email_attribute: mail}}"
    )
    company.write(POLICY.replace(f"\n{PEOPLE}", f" {ldap}\n"))
    done = extauthz_here("accounts", action[0], *of(company, "boss"), *action[1:])
    assert done.returncode == 1
    assert done.stderr == f"extauthz accounts: the accounts of 'acme' {NOWHERE}\n"


def test_a_policy_with_errors_is_not_edited(staffed: Company, extauthz_here: Run) -> None:
    """`extauthz validate` says all that is wrong with it."""
    staffed.policy.write_text(staffed.policy.read_text() + "    mod: off\n")
    done = extauthz_here("accounts", "disable", *of(staffed, "boss"), "bob")
    assert done.returncode == 1
    assert "the policy has errors, see `extauthz validate`: " in done.stderr
    assert "unknown key 'mod'" in done.stderr


def test_another_audit_file_gets_the_lines(staffed: Company, extauthz_here: Run) -> None:
    """Refusals to look among them."""
    audit = staffed.directory / "audit.jsonl"
    options = [*of(staffed, "bob"), "--audit", str(audit)]
    assert extauthz_here("accounts", "show", *options, "boss").returncode == 1
    told = json.loads(audit.read_text())
    assert (told["as"], told["command"], told["login"]) == ("bob", "show", "boss")
    assert told["result"] == "refused"


@pytest.mark.parametrize("day", ["2026-1-1", "20261231", "tomorrow", "2026-02-30"])
def test_a_day_is_written_in_one_way(staffed: Company, extauthz_here: Run, day: str) -> None:
    """Anything else is a mistake of the command line."""
    done = extauthz_here(
        "accounts", "set-email", *of(staffed, "boss"), "bob", "n@x.example",
        "--keep-old-until", day,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"'{day}' is no day like 2026-12-31" in done.stderr


def test_the_one_who_acts_has_to_be_named(staffed: Company, extauthz_here: Run) -> None:
    """Nothing is done on nobody's authority."""
    options = of(staffed, "boss")[:-2]
    done = extauthz_here("accounts", "disable", *options, "bob")
    assert done.returncode == 2
    assert "--as" in done.stderr

"""`extauthz validate` on accounts and exemptions: who is let off, and which directory is down."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import POLICY, Company, Run

SOON = f"{datetime.now(UTC) + timedelta(days=10):%Y-%m-%d}"
LATER = f"{datetime.now(UTC) + timedelta(days=100):%Y-%m-%d}"
EXEMPT = f"""\
    exempt:
    - name: github
      reason: webhooks
      until: {LATER}
      paths: [/hooks/*]
      methods: [POST]
      from: [192.0.2.0/24]
    - {{reason: build server, until: {SOON}, logins: [ci]}}
"""


def with_accounts(written: str) -> str:
    """The policy, with its accounts in another place."""
    before, _, _ = POLICY.partition("    accounts:")
    return f"{before}    accounts: {written}\n"


def test_exemptions_are_listed_with_their_ends(company: Company, extauthz_here: Run) -> None:
    """The one that ends first stands first, and one that ends within 14 days is warned about."""
    company.write(POLICY + EXEMPT)
    done = extauthz_here("validate", company.policy)

    assert (done.returncode, done.stderr) == (0, "")
    warning, *_, header, first, second, verdict = done.stdout.splitlines()
    assert "the exemption 'exempt-2' ends soon" in warning
    assert header.split() == ["EXEMPT", "SUBSCRIPTION", "UNTIL", "WHO", "REASON"]
    assert first.split() == ["exempt-2", "acme", SOON, "ci", "build", "server"]
    assert second.split() == [
        "github", "acme", LATER, "POST", "/hooks/*", "from", "192.0.2.0/24", "webhooks",
    ]  # fmt: skip
    assert verdict.endswith("0 errors, 1 warning")


def test_exemptions_are_in_the_report_for_machines(company: Company, extauthz_here: Run) -> None:
    """With every condition."""
    company.write(POLICY + EXEMPT)
    report = json.loads(extauthz_here("validate", "--json", company.policy).stdout)

    first, second = report["subscriptions"][0]["exempt"]
    assert first == {
        "name": "github", "reason": "webhooks", "until": LATER, "logins": [],
        "paths": ["/hooks/*"], "methods": ["POST"], "from": ["192.0.2.0/24"],
    }  # fmt: skip
    assert (second["name"], second["logins"]) == ("exempt-2", ["ci"])


def test_file_of_accounts_is_read_and_its_mistakes_are_errors(
    company: Company, extauthz_here: Run
) -> None:
    """Each with the file's own line; a policy whose accounts nobody could read is not valid."""
    users = company.directory / "users.csv"
    users.write_text("login,email\nalice,alice@acme.example\nbob,bob\nalice,a@acme.example\n")
    company.write(with_accounts("{file: users.csv}"))
    done = extauthz_here("validate", company.policy)

    assert done.returncode == 1
    assert f"{users}:3:1: error: 'bob' is no email address" in done.stderr
    users.write_text("login,email\nalice,alice@acme.example\n")
    done = extauthz_here("validate", company.policy)
    assert (done.returncode, done.stderr) == (0, "")
    assert "users.csv" in done.stdout


def test_file_that_is_not_there_is_an_error(company: Company, extauthz_here: Run) -> None:
    """After a restart, nobody of the subscription could come in."""
    company.write(with_accounts("{file: nowhere.yaml}"))
    done = extauthz_here("validate", company.policy)

    assert done.returncode == 1
    assert "nowhere.yaml: error: it cannot be read: No such file or directory" in done.stderr


def test_directory_is_asked_only_when_told_so(company: Company, extauthz_here: Run) -> None:
    """One that does not answer admits nobody today, and the policy is right all the same."""
    company.write(with_accounts("{http: {url: 'http://127.0.0.1:9/'}}"))
    assert extauthz_here("validate", company.policy).returncode == 0
    done = extauthz_here("validate", "--online", company.policy)

    assert done.returncode == 1
    assert "lapsed: 'acme': the directory of accounts: no connection" in done.stderr
    assert "would take effect, but 1 subscription would admit nobody" in done.stdout
    assert "Connection refused; check that it is reachable from here: nobody whose" in done.stderr


def sql(columns: str, database: str = "url: 'sqlite:///users.db'") -> str:
    query = f"SELECT {columns} FROM users WHERE login = :login OR email = :identity"
    return f"{{sql: {{{database}, query: '{query}'}}}}"


SECRETIVE = "url: 'postgresql://u@127.0.0.1:9/a', password: {env: NOWHERE_TO_BE_FOUND}"


@pytest.mark.parametrize(("written", "why"), [
    (sql("login, email", SECRETIVE), "the environment variable NOWHERE_TO_BE_FOUND is not set"),
    ("{http: {url: 'http://127.0.0.1:9/', token: {file: nofile}}}", "No such file or directory"),
    (sql("loginn, email"), "the query failed: no such column: loginn"),
    (sql("login, email, 1 AS what"), "the query has a column 'what'; there are login, identity"),
])  # fmt: skip
def test_what_is_to_be_mended_is_not_the_network(
    company: Company, extauthz_here: Run, monkeypatch: pytest.MonkeyPatch, written: str, why: str
) -> None:
    """Only who is not there has to be reached."""
    monkeypatch.chdir(company.directory)
    with sqlite3.connect("users.db") as connection:
        connection.execute("CREATE TABLE users (login TEXT, email TEXT)")
    connection.close()
    company.write(with_accounts(written))
    done = extauthz_here("validate", "--online", company.policy)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert why in line
    assert line.endswith("; mend that: nobody whose account is not known can pass")


def test_help_says_whom_online_asks(extauthz_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may not ask them from a CI has to know."""
    monkeypatch.setenv("COLUMNS", "200")
    said = extauthz_here("validate", "--help").stdout

    for whom in ("CRLs", "OCSP responders", "directories of accounts", "stores of sessions"):
        assert whom in said

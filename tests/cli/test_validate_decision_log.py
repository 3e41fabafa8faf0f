"""`extauthz validate` and `extauthz schema` on what the decision log is not to say."""

import json

import pytest
from jsonschema import Draft202012Validator

from extauthz.policyfile import document
from tests.cli.conftest import POLICY, Company, Run, extauthz

KEY = "8f3a0c5be1d24a7796b2c4d8e0f1a3b5"
REDACTING = POLICY + "decision_log: {redact: [login, client], key: {file: redact.key}}\n"


@pytest.fixture
def redacting(company: Company) -> Company:
    (company.directory / "redact.key").write_text(KEY)
    company.write(REDACTING)
    return company


def test_what_is_redacted_is_shown(redacting: Company, extauthz_here: Run) -> None:
    """In words and as JSON; the key is in neither."""
    words = extauthz_here("validate", redacting.policy)
    report = extauthz_here("validate", "--json", redacting.policy)

    assert (words.returncode, report.returncode) == (0, 0)
    assert "redacted in the decision log: client, login" in words.stdout.splitlines()
    assert json.loads(report.stdout)["decision_log"] == {"redact": ["client", "login"]}
    assert KEY not in words.stdout + words.stderr + report.stdout + report.stderr


def test_without_the_setting_nothing_is_said(company: Company, extauthz_here: Run) -> None:
    words = extauthz_here("validate", company.policy)
    report = extauthz_here("validate", "--json", company.policy)

    assert "redact" not in words.stdout
    assert json.loads(report.stdout)["decision_log"] == {"redact": []}


def test_key_of_the_environment_is_needed_where_the_policy_is_read(company: Company) -> None:
    """The place and a remedy are named; in CI any key does."""
    company.write(REDACTING.replace("file: redact.key", "env: EXTAUTHZ_REDACT_KEY"))
    without = extauthz("validate", company.policy)
    with_it = extauthz("validate", company.policy, EXTAUTHZ_REDACT_KEY=KEY)

    assert without.returncode == 1
    assert f"{company.policy}:8:52: error: the environment variable of the key" in without.stderr
    assert "`openssl rand -hex 32`" in without.stderr
    assert with_it.returncode == 0


def test_schema_takes_what_the_loader_takes(extauthz_here: Run) -> None:
    validator = Draft202012Validator(json.loads(extauthz_here("schema").stdout))
    root, mistakes = document.parse(REDACTING)
    assert root is not None
    assert mistakes == []

    assert validator.is_valid(root.plain())
    for wrong in (
        "{redact: []}", "{redact: [emial], key: {file: a}}", "{redact: [email]}",
        f"{{redact: [email], key: {KEY}}}",
    ):  # fmt: skip
        root, _ = document.parse(f"{POLICY}decision_log: {wrong}\n")
        assert root is not None
        assert not validator.is_valid(root.plain())

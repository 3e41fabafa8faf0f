"""`extauthz schema`: what an editor knows of the policy file."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.cli.conftest import Company, Server, extauthz

Serving = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    done = extauthz("schema")
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema)


def test_it_is_json_schema_of_2020_12(schema: dict[str, Any]) -> None:
    """It names its dialect, first of all, and keeps to it."""
    assert next(iter(schema.items())) == (
        "$schema",
        "https://json-schema.org/draft/2020-12/schema",
    )
    Draft202012Validator.check_schema(schema)


SMALLEST = """
subscriptions:
  acme:
    hosts: [acme.example.com]
    signing_certificates: [certs/acme-ca.pem]
    accounts:
      alice: alice@acme.example
      bob: bob@acme.example
"""
EVERYTHING = """
subscriptions:
  acme:
    hosts: [acme.example.com, "*.acme.example.com"]
    signing_certificates: [certs/acme-ca.pem, certs/acme-ca-2027.pem]
    accounts: {alice: alice@acme.example}
    mode: audit
    verify_email: true
    denial:
      status: 401
      body: "<h1>No</h1>"
      content_type: text/html; charset=utf-8
  widget.com:
    hosts: ["[2001:db8::1]"]
    signing_certificates: [widget.pem]
    verify_email: false
    mode: enforce
"""


@pytest.mark.parametrize("text", [SMALLEST, EVERYTHING], ids=["smallest", "everything"])
def test_it_accepts_good_policies(validator: Draft202012Validator, text: str) -> None:
    """The examples of the documentation are right in every editor."""
    validator.validate(yaml.safe_load(text))


MISTAKES = {
    "no subscriptions": ("subscriptions:", "subscription:"),
    "unknown key": ("    mode: audit", "    mod: audit"),
    "unknown key of a denial": ("status: 401", "state: 401"),
    "bad name": ("  acme:", "  acme corp:"),
    "long name": ("  acme:", f"  {'a' * 64}:"),
    "no hosts": ('[acme.example.com, "*.acme.example.com"]', "[]"),
    "one host without a list": ('[acme.example.com, "*.acme.example.com"]', "acme.example.com"),
    "missing key": ("    signing_certificates: [widget.pem]\n", ""),
    "unknown mode": ("mode: audit", "mode: monitor"),
    "text for a boolean": ("verify_email: true", 'verify_email: "true"'),
    "status of a success": ("status: 401", "status: 200"),
    "no media type": ("text/html; charset=utf-8", "html"),
    "number for an email": ("alice@acme.example", "7"),
    "empty email": ("alice@acme.example", '""'),
}


@pytest.mark.parametrize(("right", "wrong"), MISTAKES.values(), ids=MISTAKES)
def test_it_refuses_mistakes(validator: Draft202012Validator, right: str, wrong: str) -> None:
    """An editor underlines what the loader would refuse for its shape."""
    assert EVERYTHING.count(right) == 1
    assert not validator.is_valid(yaml.safe_load(EVERYTHING.replace(right, wrong)))


def test_it_describes_a_line_of_the_decision_log(company: Company, serving: Serving) -> None:
    """Each line that a server writes: checks that pass and that do not, and certificates."""
    done = extauthz("schema", "decision")
    assert (done.returncode, done.stderr) == (0, "")
    validator = Draft202012Validator(json.loads(done.stdout))
    with serving(company.policy) as server:
        assert [server.check(company.alice), server.check(), server.check(host="x.example")] == [
            200, 403, 403,
        ]  # fmt: skip
        server.stop()
        lines = [json.loads(line) for line in server.lines()]

    assert [line["record"] for line in lines] == ["certificate", "check", "check", "check"]
    for line in lines:
        validator.validate(line)
        assert not validator.is_valid({**line, "schema": 2})

"""What each check of a recorded decision looked at, and why it was not made."""

import orjson
import pytest

from extauthz.compared import Compared, compared
from extauthz.records.line import CheckRecord, parse
from extauthz.remedies import Check

CERTIFICATE = {
    "sha256": "ab" * 32, "sent": None, "serial": "a11ce", "subject": "CN=alice",
    "issuer": "CN=Acme CA", "names": ["alice@acme.example"],
    "not_before": "2030-01-01T00:00:00Z", "not_after": "2031-01-01T00:00:00Z",
}  # fmt: skip
MEMBERS = {
    "schema": 1, "record": "check", "time": "2030-06-15T12:00:00Z", "request_id": "id",
    "host": "acme.example.com", "method": "GET", "path": "/", "client": "192.0.2.1",
    "user_agent": None, "login": "bob", "login_source": "basic", "login_problem": None,
    "other_logins": [], "policy_generation": 1, "duration_us": 1, "redacted": [],
    "subscription": "acme", "mode": "enforce", "decision": "deny", "allowed": False,
    "reasons": [], "details": [], "tolerated": [], "tolerated_details": [], "exempt": None,
    "accounts": ["bob"], "not_asked": [],
    "signing_certificate": {"label": "acme-ca.pem", "sha256": "cd" * 32},
    "certificate": CERTIFICATE, "certificate_problem": None,
}  # fmt: skip
NONE = {"certificate": None, "certificate_problem": "certificate_missing"}


def looked(check: Check, **members: object) -> Compared:
    """At what a check looked, where the record is another in these."""
    record = parse(orjson.dumps(MEMBERS | members))
    assert isinstance(record, CheckRecord)
    return compared(record, check)


@pytest.mark.parametrize(("check", "lines"), [
    (Check.REQUEST, (
        "GET / at the host 'acme.example.com'", "from 192.0.2.1",
        "the subscription 'acme' has this host",
    )),
    (Check.PRESENT, ("subject 'CN=alice'", "serial a11ce", f"SHA-256 {'ab' * 32}")),
    (Check.VALID, (
        "valid from 2030-01-01 00:00:00 UTC until 2031-01-01 00:00:00 UTC",
        "checked at 2030-06-15 12:00:00 UTC",
    )),
    (Check.ACCOUNT, (
        "the request claims the login 'bob' (basic)",
        "names in the certificate: 'alice@acme.example'", "accounts: 'bob'",
    )),
    (Check.ISSUER, (
        "issuer 'CN=Acme CA'", "signing certificate 'acme-ca.pem'", f"SHA-256 {'cd' * 32}",
    )),
    (Check.FITNESS, ("key, signature, usages, extensions, `require`",)),
    (Check.REVOCATION, ("serial a11ce",)),
    (Check.SESSION, ("no session of another account",)),
])  # fmt: skip
def test_all_that_was_looked_at_is_told(check: Check, lines: tuple[str, ...]) -> None:
    assert looked(check) == Compared(lines)


@pytest.mark.parametrize(("check", "members", "why"), [
    (Check.REQUEST, {"subscription": None}, "no subscription answers for it"),
    (Check.PRESENT, {"mode": "off"}, "the subscription's `mode` is off"),
    (Check.PRESENT, NONE, "a certificate is not there to be read"),
    (Check.VALID, NONE, "there is no certificate"),
    (Check.ACCOUNT, NONE, "there is no certificate to compare with the account"),
    (Check.ACCOUNT, {"not_asked": ["email"]},
     "the subscription does not compare names (`verify_email: false`)"),
    (Check.ACCOUNT, {"accounts": []},
     "no account was looked up: the certificate is refused already"),
    (Check.ISSUER, {"signing_certificate": None},
     "no way to a signing certificate was found"),
    (Check.REVOCATION, {"not_asked": ["revocation"]},
     "the subscription does not say how to find out (`revocation`)"),
    (Check.REVOCATION, {"signing_certificate": None},
     "no way to a signing certificate was found, so nobody can say"),
    (Check.SESSION, {"subscription": None}, "no subscription says what is to be checked"),
])  # fmt: skip
def test_check_that_was_not_made_says_why(
    check: Check, members: dict[str, object], why: str
) -> None:
    assert looked(check, **members).not_made == why


def test_what_the_log_hides_is_said_to_be_hidden() -> None:
    assert looked(Check.REQUEST, redacted=["client"]).lines[1] == (
        "from 192.0.2.1 (hidden in this log)"
    )
    assert looked(Check.ACCOUNT, redacted=["email", "login"]).lines[-1] == (
        "hidden in this log: email, login"
    )


def test_names_of_which_a_line_holds_no_more_are_said_to_be_the_first() -> None:
    """Nobody takes sixteen of forty for all."""
    many = [f"a{number}@acme.example" for number in range(16)]
    named = looked(Check.ACCOUNT, certificate=CERTIFICATE | {"names": many}, accounts=many)
    assert named.lines[1].endswith("'a15@acme.example' (a line holds 16: there may be more)")
    assert named.lines[2].endswith("'a15@acme.example' (a line holds 16: there may be more)")
    few = looked(Check.ACCOUNT, certificate=CERTIFICATE | {"names": many[:15]})
    assert few.lines[1].endswith("'a14@acme.example'")
    others = [{"login": each, "source": "form"} for each in many[:15]]
    lines = looked(Check.ACCOUNT, other_logins=others).lines
    assert lines[16] == "there may be more logins: a line holds 16"
    assert not any("more" in line for line in looked(Check.ACCOUNT, other_logins=others[1:]).lines)


def test_every_login_that_the_request_claims_is_told() -> None:
    others = [{"login": "eve", "source": "form"}]
    assert looked(Check.ACCOUNT, other_logins=others).lines[:2] == (
        "the request claims the login 'bob' (basic)", "it also claims the login 'eve' (form)",
    )  # fmt: skip
    problem = looked(Check.ACCOUNT, login=None, login_source=None, login_problem="no UTF-8")
    assert problem.lines[0] == "a login that cannot be read: no UTF-8"
    nobody = looked(Check.ACCOUNT, login=None, login_source=None)
    assert nobody.lines[0] == "the request claims no login"

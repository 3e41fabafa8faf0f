"""Accounts that never came, told from those that did."""

from dataclasses import replace
from pathlib import Path

import pytest

from extauthz.accounts import Account, Accounts
from extauthz.demo.authority import authority, name
from extauthz.email import EmailAddress
from extauthz.lookup import AccountFile, SqlDirectory
from extauthz.policy import Subscription
from extauthz.redaction import Redacted, Redaction
from extauthz.report.absent import absent
from extauthz.trust import SigningCertificate, TrustAnchors

HIDDEN = Redaction(frozenset(Redacted), b"k" * 16)


def account(login: str, *, is_disabled: bool = False) -> Account:
    address = EmailAddress.parse(f"{login}@acme.example")
    assert address is not None
    return Account(login, (address,), is_disabled=is_disabled)


ACME = Subscription(
    "acme", ("acme.example",),
    TrustAnchors([SigningCertificate.read(authority(name("CA")).der, "ca.pem")]),
    Accounts([account("carol"), account("alice"), account("bob"),
              account("gone", is_disabled=True)]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("callers", "away"),
    [
        (set(), ["alice", "bob", "carol"]),
        ({"alice"}, ["bob", "carol"]),
        ({"alice", "198.51.100.7, curl/8", "mallory"}, ["bob", "carol"]),
        ({"alice", "bob", "carol", "gone"}, []),
        ({"Bob@ACME.example", "alice"}, ["carol"]),
    ],
    ids=["nobody", "one", "strangers", "all", "by the address in the certificate"],
)
def test_who_is_no_caller_is_absent(callers: set[str], away: list[str]) -> None:
    """By login, or by the name in a certificate; who is disabled is to stay away."""
    assert absent(ACME, callers) == away


@pytest.mark.parametrize(
    ("text", "away"),
    [("login,email\nalice,a@acme.example\nzoe,z@acme.example\n", ["zoe"]), ("torn", None)],
    ids=["good", "bad"],
)
def test_accounts_of_a_file_are_known(text: str, away: list[str] | None, tmp_path: Path) -> None:
    """Unless it cannot be read, which `validate` tells."""
    path = tmp_path / "accounts.csv"
    path.write_text(text)
    assert absent(replace(ACME, accounts=AccountFile(str(path))), {"alice"}) == away


def test_accounts_of_a_database_are_not_asked_for() -> None:
    database = SqlDirectory("sqlite+aiosqlite:///accounts.db", "SELECT 1")
    assert absent(replace(ACME, accounts=database), {"alice"}) is None


def test_hidden_logins_are_known_by_the_policys_key_alone() -> None:
    """Under another key nobody can say who came: not that nobody did."""
    callers = {HIDDEN.of(Redacted.LOGIN, "alice")}
    assert absent(ACME, callers, HIDDEN) == ["bob", "carol"]
    assert absent(ACME, callers) is None
    assert absent(ACME, callers, Redaction(frozenset(Redacted), b"x" * 16)) is None
    assert absent(ACME, {"alice"}, HIDDEN) == ["bob", "carol"]

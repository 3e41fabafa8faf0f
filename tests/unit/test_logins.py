"""A login is read without guessing, or it is a finding."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.check import Login
from extauthz.findings import Finding, Reason
from extauthz.wire.logins import MAX_LENGTH, basic


def credentials(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(("value", "login"), [
    ("Basic " + credentials("alice:secret"), "alice"),
    ("bAsIc " + credentials("alice:"), "alice"),
    ("Basic   " + credentials("alice:a:b"), "alice"),
    ("Basic\t" + credentials("alice:x"), "alice"),
    ("Basic " + credentials("müller:x"), "müller"),
    ("Basic " + credentials("a b:x"), "a b"),
])  # fmt: skip
def test_user_name_is_what_stands_before_the_first_colon(value: str, login: str) -> None:
    """RFC 7617, in UTF-8."""
    assert basic([value]) == (Login(login, "basic"),)


@pytest.mark.parametrize(
    "value", ["", "Bearer x", "Digest username=a", "Basicx YTpi", "Negotiate a"]
)
def test_other_schemes_claim_nothing(value: str) -> None:
    """They may mean a login to the service, but not one that can be read here."""
    assert basic([value]) == ()


@pytest.mark.parametrize("values", [
    ["Basic"], ["Basic "], ["Basic ?"], ["Basic YTpi YTpi"], ["Basic YTp"],
    ["Basic " + credentials("alice")], ["Basic " + credentials(":x")],
    ["Basic " + credentials("a\x00:x")], ["Basic " + credentials("a\n:x")],
    ["Basic " + b64encode(b"\xff:x").decode()], ["Basic é"], ["Basic \udc80"],
    ["Basic " + credentials("a" * (MAX_LENGTH + 1) + ":x")],
    ["Basic YTpi", "Basic YTpi"], ["Bearer x", "Basic YTpi"],
])  # fmt: skip
def test_what_cannot_be_read_is_a_finding_and_not_no_login(values: list[str]) -> None:
    """A lenient service may still read a login from it."""
    (found,) = basic(values)
    assert isinstance(found, Finding)
    assert found.reason is Reason.LOGIN_MALFORMED


@given(st.text().filter(lambda t: t.isprintable() and ":" not in t and 0 < len(t) <= MAX_LENGTH),
       st.text(st.characters(codec="utf-8")))  # fmt: skip
def test_every_name_comes_back(user: str, password: str) -> None:
    """Whatever a user is called and whatever the password is."""
    assert basic(["Basic " + credentials(f"{user}:{password}")]) == (Login(user, "basic"),)


@given(st.text())
def test_any_value_is_read_without_error_and_without_the_password(text: str) -> None:
    """A finding never quotes the field that it is about."""
    for found in basic([f"Basic {text}"]):
        if isinstance(found, Finding):
            assert len(text) < 12 or text not in found.detail

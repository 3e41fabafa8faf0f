"""The claim of a verified token is read, or it is a finding."""

import json
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.findings import Finding, Reason
from extauthz.wire.jwt_payload import read


def payload(text: str | bytes) -> str:
    octets = text if isinstance(text, bytes) else text.encode()
    return urlsafe_b64encode(octets).decode().rstrip("=")


@pytest.mark.parametrize(("text", "claim", "expected"), [
    ('{"sub": "alice"}', ("sub",), "alice"), ('{"sub":"alice","aud":["x"]}', ("sub",), "alice"),
    ('{"a": {"b": "alice"}, "sub": "x"}', ("a", "b"), "alice"),
    ('{"preferred_username": "müller"}', ("preferred_username",), "müller"),
    ('{"sub": "\U0001f600>?"}', ("sub",), "😀>?"),
    ('{"groups": ["alice"]}', ("groups", "0"), "alice"),
])  # fmt: skip
def test_claim_is_the_text_at_its_place(text: str, claim: tuple[str, ...], expected: str) -> None:
    """Padded or not."""
    value = payload(text)
    assert read(value, claim) == expected
    assert read(value + "=" * (-len(value) % 4), claim) == expected


@pytest.mark.parametrize("value", [
    payload("{}"), payload('{"iss": "x"}'), payload('{"a": {"sub": "alice"}}'),
    payload('{"sub": null}'), payload('{"sub": 1}'), payload('{"sub": ["alice"]}'),
    payload('{"sub": "mallory", "sub": "alice"}'), payload('{"sub": "mallory", "SUB": "alice"}'),
    payload('{"sub": "mallory", "x": {"a": 1, "a": 1}}'), payload('{"sub": "a", "exp": NaN}'),
    payload('["sub"]'), payload('"sub"'), payload("null"), payload("x"), payload(b"\xff"), "",
    payload('{"sub": "alice"}'.encode("utf-16")), payload('\ufeff{"sub": "alice"}'),
    "=", "a", "a===", "e30=", "e30===", "e30 ", " e30", "e30,e30", "e3+0", "e3/0", "e30\n", "{}",
    payload('{"sub": "alice>?>?"}').replace("-", "+").replace("_", "/"),
    payload('{"sub": "alice"}') + "." + payload('{"sub": "alice"}'), "\udcff", "é", "e30=e30=",
])  # fmt: skip
def test_token_that_does_not_say_who_is_a_finding(value: str) -> None:
    """Envoy verified it, so somebody logs in with it."""
    found = read(value, ("sub",))
    assert isinstance(found, Finding)
    assert found.reason is Reason.LOGIN_MALFORMED


@given(st.dictionaries(st.text(), st.text()), st.text(st.characters(codec="utf-8")))
def test_every_claim_comes_back(others: dict[str, str], name: str) -> None:
    """Whatever else the token says, as long as nothing is called almost the same."""
    claims = {f"x{key}": value for key, value in others.items()} | {"sub": name}
    assert read(payload(json.dumps(claims)), ("sub",)) == name


@given(st.text() | st.text("eyJ0_-=", max_size=30))
def test_any_value_is_read_without_error(value: str) -> None:
    """A finding never quotes what it is about."""
    for each in (value, f"{value}s3cret"):
        found = read(each, ("sub",))
        assert isinstance(found, Finding)
        assert "s3cret" not in found.detail

"""Two addresses are the same when mail systems say so, and never because they look alike."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz import email
from extauthz.email import EmailAddress

parse = EmailAddress.parse


@pytest.mark.parametrize(("one", "other"), [
    ("alice@acme.example", "alice@acme.example"),
    ("ALICE@acme.example", "alice@ACME.Example"),
    ("a@bücher.example", "a@xn--bcher-kva.example"),
    ("a@XN--BCHER-KVA.example", "a@bücher.EXAMPLE"),
    ("müller@acme.example", "müller@ACME.example"),
    ("o'neil+x@acme.example", "O'Neil+X@acme.example"),
])  # fmt: skip
def test_same_mailbox(one: str, other: str) -> None:
    """Case of ASCII letters and the form of the domain make no difference."""
    assert parse(one) is not None
    assert parse(one) == parse(other)


@pytest.mark.parametrize(("one", "other"), [
    ("alice@acme.example", "alıce@acme.example"),
    ("kim@acme.example", "\u212aim@acme.example"),
    ("alice@acme.example", "alice@асme.example"),
    ("a.b@acme.example", "ab@acme.example"),
    ("a+b@acme.example", "a@acme.example"),
    ("MÜLLER@acme.example", "müller@acme.example"),
    ("mu\u0308ller@acme.example", "müller@acme.example"),
    ("alice@acme.example", "alice@sub.acme.example"),
])  # fmt: skip
def test_lookalikes_are_others(one: str, other: str) -> None:
    """CVE-2019-19844 (Django): nothing is folded beyond the case of ASCII letters."""
    assert parse(one) is None or parse(one) != parse(other)


@pytest.mark.parametrize("text", [
    "", "@", "a@", "@b.example", "a", "a@b@c.example", "a\uff20acme.example", "a b@acme.example",
    "a@acme .example", " a@acme.example", "a@acme.example ", "a@acme.example\n",
    "a\x00@acme.example",
    "a@acme.example\x00.evil", "a@bank.example.", "a@.example", "a@b..example", ".a@b.example",
    "a.@b.example", "a..b@c.example", '"a b"@c.example', '"a"@c.example', "a@[127.0.0.1]",
    "Alice <a@b.example>", "a@-b.example", "a@b-.example", "a@b_c.example", "a@BÜCHER.example",
    "a@\uff41cme.example", "a@\u212a.example", "x" * 65 + "@b.example",
    "a@" + "b" * 64 + ".example",
    "a@" + "b." * 128 + "example", "a\u200b@b.example", "a\u202e@b.example", "\udc80@b.example",
    "a@\udc80.example", "a,b@c.example", "a@b,c",
])  # fmt: skip
def test_what_is_no_address_equals_nothing(text: str) -> None:
    """CVE-2023-27043, CVE-2026-73420: what is not one plain address is none at all."""
    assert parse(text) is None


LOCAL = st.text("abcXYZ019.+-'", min_size=1, max_size=12)
DOMAIN = st.from_regex(r"[a-zA-Z0-9]{1,8}(\.[a-zA-Z]{1,5}){1,3}", fullmatch=True)


@given(LOCAL, DOMAIN)
def test_case_never_matters_and_reading_is_stable(local: str, domain: str) -> None:
    """An address, its capitals and its own rendering are one mailbox."""
    text = f"{local}@{domain}"
    read = parse(text)
    assert read == parse(text.upper()) == parse(text.lower())
    if read is not None:
        assert parse(str(read)) == read


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_read_without_error_and_equality_is_no_accident(one: str, other: str) -> None:
    """Equal addresses differ in nothing but ASCII case and the form of the domain."""
    for text in (one, f"{one}@{other}"):
        read = parse(text)
        assert read is None or (text.count("@") == 1 and not any(map(str.isspace, text)))
    a, b = parse(f"{one}@x.example"), parse(f"{other}@x.example")
    if a is not None and a == b:
        assert one.lower() == other.lower()
        assert len(one) == len(other)


@given(st.text("aZ09.@-_+'é ı\n", max_size=80) | st.from_regex(email._PLAIN, fullmatch=True))  # noqa: SLF001
def test_plain_address_is_read_as_any_other(text: str) -> None:
    """The short way of reading ASCII decides nothing that the rule itself does not."""
    with pytest.MonkeyPatch.context() as patch:
        found = parse(text)
        patch.setattr(email, "_PLAIN", re.compile("(?!)"))
        assert found == parse(text)

"""The body of a form, read: whatever a browser sends, and whatever somebody else does."""

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.admin.application import MAX_FORM_OCTETS
from extauthz.admin.form import MAX_FIELDS, fields_of

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n%b\r\n--x--'

FILE = (
    b'--x\r\ncontent-disposition: form-data; name="file"; filename="a; name=%22b%22"'
    b"\r\nContent-Type: text/plain\r\n\r\n\x30\xff\r\n--x--\r\nmore"
)


def filled(piece: bytes) -> bytes:
    """A body as long as one may be."""
    return piece * (MAX_FORM_OCTETS // len(piece))


def nested() -> bytes:
    """A form in a form, and so on; then lines, each of which might end any of them."""
    depth = 400
    head = b"--%b\nContent-Type: multipart/mixed; boundary=%b\n\n"
    heads = b"".join(head % (b"x" * n, b"x" * (n + 1)) for n in range(1, depth // 4))
    return heads + filled(b"--x\n")[: MAX_FORM_OCTETS - len(heads)]


@pytest.mark.parametrize(
    ("content_type", "body", "fields"),
    [
        (FORM, b"a=1&b=%C3%A4+%2B&c=", {"a": "1", "b": "\u00e4 +", "c": ""}),
        (MULTIPART, PART % b"1\r\n2\n", {"a": "1\r\n2\n"}),
        (MULTIPART + '; charset="utf-8"', PART % b"\xff", {"a": "\ufffd"}),
        ('Multipart/Form-Data; charset=utf-8; boundary="x"', PART % b"1--x", {"a": "1--x"}),
        (
            MULTIPART,
            FILE,
            {"file": "0\xff"},
        ),
        (MULTIPART, b"--x--", {}),
    ],
    ids=["urlencoded", "lines", "no utf-8", "quoted boundary", "file", "nothing"],
)
def test_a_form_has_its_fields(content_type: str, body: bytes, fields: dict[str, str]) -> None:
    assert fields_of(content_type, body) == fields


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"a=1"),
        ("multipart/mixed; boundary=x", PART % b"1"),
        ("multipart/form-data", PART % b"1"),
        ("multipart/form-data; boundary=\udcff", PART % b"1"),
        (MULTIPART, b""),
        (MULTIPART, PART[:-4] % b"1"),
        (MULTIPART, b"--x\r\n\r\n1\r\n--x--"),
        (MULTIPART, (PART[:-5] % b"1") * (MAX_FIELDS + 1) + b"--x--"),
        (FORM, b"a=1&" * (MAX_FIELDS + 1)),
    ],
    ids=["text", "mixed", "no boundary", "odd boundary", "empty", "broken off", "no name",
         "many parts", "many fields"],
)  # fmt: skip
def test_anything_else_is_no_form(content_type: str, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"form|fields"):
        fields_of(content_type, body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (MULTIPART, nested()),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="a' + filled(b";a")),
        (MULTIPART, b"--x\r\nContent-Disposition: form-data" + filled(b";a")),
        (MULTIPART, filled(b'--x\r\nContent-Disposition: form-data; name="\r\n')),
        (MULTIPART, filled(b"\r\n--")),
        (MULTIPART, filled(b"--x\r\n\r\nx\r\n")),
        ("multipart/form-data" + "; boundary" * 700, b"--x--"),
        ("multipart/form-data;" + " " * 8000, b"--x--"),
        (FORM, filled(b"&")),
        (FORM, b"a=" + filled(b"%ff")),
    ],
    ids=["nested", "open quote", "parameters", "heads", "delimiters", "parts", "content type",
         "spaces", "ampersands", "escapes"],
)  # fmt: skip
def test_no_body_takes_long(content_type: str, body: bytes) -> None:
    """Anybody may send one to the login, and checks wait for it."""
    began = time.thread_time()
    with suppress(ValueError):
        fields_of(content_type, body)
    assert time.thread_time() - began < 0.2


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([FORM, MULTIPART, "multipart/form-data", "", "multipart/mixed; boundary=x"]),
       st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(PART.__mod__)))  # fmt: skip
def test_any_body_is_a_form_or_none(content_type: str, body: bytes) -> None:
    """And never a failure of ours."""
    try:
        found = fields_of(content_type, body)
    except ValueError:
        return
    assert all(isinstance(text, str) for pair in found.items() for text in pair)

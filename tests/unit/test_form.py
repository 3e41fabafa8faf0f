"""A form's login is what every reader of forms finds, or it is a finding."""

from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.findings import Finding, Reason
from extauthz.login import MAX_LENGTH, Login
from extauthz.wire.form import ESSENCE, MAX_FIELDS, is_in_query, read
from extauthz.wire.media_type import MediaType


def login(body: str | bytes, field: str = "user", content_type: str = ESSENCE) -> object:
    octets = body if isinstance(body, bytes) else body.encode()
    found = read(octets, content_type, field)
    if isinstance(found, Login):
        assert found.source == "form"
        return found.name
    return found


def is_refused(found: object) -> bool:
    return isinstance(found, Finding) and found.reason is Reason.LOGIN_MALFORMED


@pytest.mark.parametrize(("body", "name"), [
    ("user=alice", "alice"), ("user=alice&password=x", "alice"), ("a=b&user=alice&c", "alice"),
    ("user=a+b", "a b"), ("user=a%2Bb", "a+b"), ("user=m%C3%BCller", "müller"),
    ("%75ser=alice", "alice"), ("user=a=b", "a=b"), ("&&user=alice&", "alice"),
    ("user=a%26user%3Db", "a&user=b"), ("user=a%3Buser%3Db", "a;user=b"), ("user=a%25", "a%"),
    ("user=alice&password=a%zz", "alice"), ("user=alice&password=%FF%00", "alice"),
    ("user=alice&password=a;b", "alice"), ("_charset_=UTF-8&user=alice", "alice"),
    ("user=alice&users=x&user2=y&superuser=z", "alice"),
])  # fmt: skip
def test_login_is_the_value_of_the_field(body: str, name: str) -> None:
    """URL standard, 5.1; what is in other fields is their business."""
    assert login(body) == name


@pytest.mark.parametrize("body", ["", "password=x", "users=x", "x=user", "=user", "a;b=c", "&"])
def test_form_without_the_field_claims_nothing(body: str) -> None:
    """It is then no login for anybody."""
    assert login(body) is None


@pytest.mark.parametrize("body", [
    # The field twice, for all or for some.
    "user=mallory&user=alice", "user=mallory&user=mallory", "user=mallory&%75ser=alice",
    "user=mallory;user=alice", "a=b;user=alice", "user=mallory;x=y", "user=mallory;",
    "password=x;user=alice&user=mallory",
    # Its name in other words: case; PHP's dots, spaces and brackets; NUL; lists; twice escaped.
    "user=mallory&User=alice", "USER=alice", "user=mallory&user[]=alice", "user[]=alice",
    "user=mallory&user[0]=alice", "user%5B%5D=alice", "user=mallory&user.=alice",
    "user=mallory&+user=alice", "user+=alice", "%20user=alice", "us_er=alice", "us-er=alice",
    "user%00x=alice", "user=mallory&user%00=alice", "user=mallory&%0Auser=alice", "user%09=alice",
    "%2575ser=alice", "user=mallory&%EF%BD%95ser=alice",
    "user=mallory&u%C5%BFer=alice", "user[x]=alice", "user%5Bx=alice&user%5D=alice",
    "user=mallory&!user=alice", "user=mallory&_user=alice", "user=mallory&u%E2%80%8Bser=alice",
    # Names that are no text.
    "user=mallory&us%zzer=alice", "user=mallory&%=x", "user=mallory&us%FFer=alice", "%C0%AF=x",
    # Values that are no text.
    "user=", "user", "user=&password=x", "user=a%", "user=%zz", "user=a%0", "user=%FF",
    "user=%C0%AF", "user=%ED%A0%80", "user=a%00", "user=a%00b", "user=a%0Ab", "user=a%7F",
    "user=%E2%80%8B", "user=\r\n", "user=alice\r\n", "user=%u0061",
    "user=" + "a" * (MAX_LENGTH + 1),
    # Octets that no browser sends.
    b"user=m\xfcller", "user=müller", "user=alice&password=ü", b"user=alice\x00&user=bob",
    b"\xff\xfeu\x00s\x00e\x00r\x00=\x00a\x00", b"\x81&user=alice",
    # Another charset than UTF-8.
    "_charset_=iso-8859-1&user=alice", "user=alice&_CHARSET_=utf-16", "_charset_&user=alice",
    # JSON under the wrong name.
    '{"user":"alice"}', ' {"a":"&user=mallory&","user":"alice"}', '["alice"]',
    # More fields than PHP reads.
    "&" * MAX_FIELDS + "user=alice",
])  # fmt: skip
def test_form_that_readers_read_in_two_ways_is_refused(body: str | bytes) -> None:
    """Mallory must not be compared where Alice is let in."""
    assert is_refused(login(body))


@pytest.mark.parametrize(("field", "body", "expected"), [
    ("user[email]", "user[email]=a%40b&user[password]=x&user[remember_me]=0", "a@b"),
    ("user[email]", "user%5Bemail%5D=a%40b&user%5Bpassword%5D=x", "a@b"),
    ("user[email]", "user[email]=a&user[email][]=b", None),
    ("user[email]", "user[email]=a&user=b", None),
    ("user[email]", "user[email]=a&user[][email]=b", None),
    ("user[email]", "user[email]=a&user[Email]=b", None),
    ("user_email", "user_email=a&user[email=b", None),
    ("user_email", "user_email=a&user.email=b", None),
    ("j_username", "j_username=a&j_password=b&_csrf=c", "a"),
    ("ctl00$Main$User", "ctl00%24Main%24User=a&__VIEWSTATE=x", "a"),
    ("benutzername_ü", "benutzername_%C3%BC=a", "a"),
    ("_", "_=a&-=b", "a"),
])  # fmt: skip
def test_names_of_fields_may_be_those_of_frameworks(
    field: str, body: str, expected: str | None
) -> None:
    """Rails, Spring and ASP.NET have brackets, underscores and dollar signs in theirs."""
    found = login(body, field)
    assert found == expected if expected is not None else is_refused(found)


@pytest.mark.parametrize("content_type", [
    f"{ESSENCE};charset=UTF-8", f'{ESSENCE} ; charset="utf-8"', ESSENCE.upper(), f"{ESSENCE};",
    f"{ESSENCE}; boundary=x",
])  # fmt: skip
def test_media_type_of_forms_is_read_in_every_spelling(content_type: str) -> None:
    """RFC 9110 8.3.1."""
    assert login("user=alice", content_type=content_type) == "alice"


@pytest.mark.parametrize("content_type", [
    "", "multipart/form-data; boundary=x", "text/plain", "application/json", f"{ESSENCE}x",
    f"{ESSENCE};charset=iso-8859-1", f"{ESSENCE};charset=utf8", f"{ESSENCE};charset=utf-16",
    f"{ESSENCE};charset=utf-8;charset=utf-16", f"{ESSENCE};charset=utf-8;Charset=utf-8",
    f"{ESSENCE}, text/plain", f"{ESSENCE};charset", f"{ESSENCE};charset=", f"{ESSENCE};=x",
    f'{ESSENCE};x=";charset=utf-16;"', f'{ESSENCE};charset="utf-8', f'{ESSENCE};charset="ut\\f-8"',
    f"{ESSENCE} charset=utf-8", f"{ESSENCE};charset =utf-8", f"{ESSENCE};charſet=utf-16",
    f"{ESSENCE};charset=utf-8\udcff", f"{ESSENCE}\0", f" {ESSENCE}", f"{ESSENCE}/x",
])  # fmt: skip
def test_other_media_types_are_refused(content_type: str) -> None:
    """A service that sniffs, or ignores the charset, would read something else."""
    assert is_refused(login("user=alice", content_type=content_type))


@given(st.text(max_size=100))
def test_any_text_is_a_media_type_or_none(text: str) -> None:
    """It is in lower case then."""
    found = MediaType.parse(text)
    assert found is None or found.essence == text[: len(found.essence)].lower()


@pytest.mark.parametrize(("query", "is_there"), [
    ("", False), ("a=b", False), ("next=%2F%3Fuser%3Dx", False), ("users=x", False),
    ("user=x", True), ("a=b&user", True), ("a;user=x", True), ("%75ser=x", True),
    ("User=x", True), ("user[]=x", True), ("%2575ser=x", True), ("user%00=x", True),
    ("us%FFer\udcff=x", True), ("&" * MAX_FIELDS, True),
])  # fmt: skip
def test_field_is_seen_in_the_query(query: str, is_there: bool) -> None:  # noqa: FBT001
    """A servlet's `getParameter` returns that one, before the one in the body."""
    assert is_in_query(query, "user") is is_there


NAMES = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" "),
    min_size=1,
    max_size=MAX_LENGTH,
)
"""What `str.isprintable` takes. To draw any text and look may find too little of it."""


@given(NAMES, st.text(st.characters(codec="utf-8")))
def test_every_name_comes_back(user: str, password: str) -> None:
    """Whatever a user is called and whatever the password is, with plus signs or without."""
    fields = {"password": password, "user": user}
    assert login(urlencode(fields)) == login(urlencode(fields, quote_via=quote)) == user


def _as_php(name: str) -> str:
    name = name.lstrip(" ").partition("\0")[0]
    return name.partition("[")[0].replace(" ", "_").replace(".", "_")


PIECES = st.lists(
    st.sampled_from([
        "user", "User", "%75ser", "us%65r", "user[]", "user.", " user", "+user", "us%00er",
        "user%00", "user%5B0%5D", "%2575ser", "=", "=", "=", "&", "&", "&", ";", "mallory",
        "alice", "%26", "%3D", "%3B", "%", "+", "\0", "ü", "x", "password",
    ])
).map("".join)  # fmt: skip


@given(st.one_of(PIECES, st.text(max_size=60)))
def test_no_reader_finds_another_login(body: str) -> None:
    """Whether it separates at semicolons, ignores case, or is PHP; the first value or the last."""
    found = login(body)
    if is_refused(found):
        return
    expected = [] if found is None else [found]
    for separator in "&;":
        text = body.replace(";", "&") if separator == ";" else body
        pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=1000)
        for name in (lambda key: key), str.casefold, str.strip, _as_php:
            assert [value for key, value in pairs if name(key) == "user"] == expected

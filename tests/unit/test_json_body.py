"""A login in a JSON body is what every reader of JSON finds, or it is a finding."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.findings import Finding, Reason
from extauthz.login import MAX_LENGTH, Login, claim_path, json_pointer
from extauthz.wire.json_body import JsonError, load, read, text_at

TYPE = "application/json"


def login(body: str | bytes, pointer: str = "/user", content_type: str = TYPE) -> object:
    tokens = json_pointer(pointer)
    assert tokens is not None
    octets = body if isinstance(body, bytes) else body.encode()
    found = read(octets, content_type, tokens)
    if isinstance(found, Login):
        assert found.source == "json"
        return found.name
    return found


def is_refused(found: object) -> bool:
    return isinstance(found, Finding) and found.reason is Reason.LOGIN_MALFORMED


@pytest.mark.parametrize(("body", "pointer", "name"), [
    ('{"user": "alice"}', "/user", "alice"), ('"alice"', "", "alice"),
    ('\r\n\t {"x": [1.5e300, null, {"y": true}], "user": "alice"} ', "/user", "alice"),
    ('{"a": {"user": "alice"}, "user": {"user": "bob"}}', "/a/user", "alice"),
    ('{"users": ["bob", "alice"]}', "/users/1", "alice"), ('{"0": "alice"}', "/0", "alice"),
    (r'{"\u0075ser": "m\u00fcller"}', "/user", "müller"), ('{"user": "\U0001f600"}', "/user", "😀"),
    (r'{"user": "\ud83d\ude00", "x": "\\ud800"}', "/user", "😀"), ('{"": "alice"}', "/", "alice"),
    ('{"a/b": {"~1": "alice"}}', "/a~1b/~01", "alice"),
    ('{"users": "x", "user2": "y", "user": "alice"}', "/user", "alice"),
])  # fmt: skip
def test_login_is_the_text_at_the_pointer(body: str, pointer: str, name: str) -> None:
    """RFC 6901; escapes and what else there is do not matter."""
    assert login(body, pointer) == name


@pytest.mark.parametrize(("body", "pointer"), [
    ("{}", "/user"), ('{"x": {"user": "bob"}}', "/user"), ('{"a": {}}', "/a/user"),
    ('{"a": []}', "/a/0"), ("{}", "/a/b/c"),
])  # fmt: skip
def test_body_without_the_member_claims_nothing(body: str, pointer: str) -> None:
    """It is then no login for anybody."""
    assert login(body, pointer) is None


@pytest.mark.parametrize("body", [
    # A name twice, here or anywhere, for all or for some.
    '{"user": "mallory", "user": "alice"}', r'{"user": "mallory", "\u0075ser": "alice"}',
    '{"x": [{"a": 1, "a": 2}], "user": "mallory"}', '{"user": "mallory", "USER": "alice"}',
    '{"User": "alice"}', '{"user": "mallory", "u\u017fer": "alice"}', '{" user": "alice"}',
    '{"user": "mallory", "user ": "alice"}', r'{"user": "mallory", "user\u0000x": "alice"}',
    '{"user": "mallory", "us_er": "alice"}', '{"us-er": "alice"}',
    r'{"user": "mallory", "us\u200ber": "alice"}', '{"__proto__": {"user": "alice"}}',
    # Something else than a text.
    '{"user": null}', '{"user": 1}', '{"user": true}', '{"user": ["alice"]}',
    '{"user": {"$ne": ""}}', "[]", '[{"user": "alice"}]', '"alice"', "null", "1",
    # No JSON for some.
    "", " ", "{", '{"user": "alice"', "{'user': 'alice'}", '{user: "alice"}', '{"user": "alice",}',
    '{"user": "mallory"} {"user": "alice"}', '{"user": "mallory"}x', '/**/{"user": "alice"}',
    '{"user": "alice" /**/}', '{"user": "alice", "x": NaN}', '{"user": "alice", "x": -Infinity}',
    '{"user": "alice", "x": 01}', '{"user": "alice", "x": .5}', '{"user": "alice", "x": +1}',
    '{"user": "a\tb"}', '{"user": "alice", "x": "\n"}', r'{"user": "\x61"}', "user=alice",
    '\u00a0{"user": "alice"}', '\x0c{"user": "alice"}', '{"user": "alice"}\x00',
    f'{{"user": "alice", "x": {"9" * 5000}}}',
    # Octets that are another text for some.
    '\ufeff{"user": "alice"}', b'{"user": "\xff"}', b'{"user": "alice", "x": "\xc0\xaf"}',
    b'{"user": "\xed\xa0\x80"}', '{"user": "alice"}'.encode("utf-16"),
    '{"user": "alice"}'.encode("utf-16-le"), '{"user": "alice"}'.encode("utf-16-be"),
    '{"user": "alice"}'.encode("utf-32"), '{"user": "alice"}'.encode("utf-32-be"),
    '{"user": "+ADs"}'.encode("utf-16-le"), b"\x1f\x8b\x08\x00",
    r'{"user": "alice\ud800"}', r'{"user": "alice", "x": ["\udfff"]}', r'{"us\ud800er": "alice"}',
    r'{"user": "alice", "\udc00": 1}', r'{"user": "\ude00\ud83d"}',
    # Names that nobody has.
    '{"user": ""}', r'{"user": "a\u0000"}', r'{"user": "a\n"}', '{"user": "a\u200b"}',
    json.dumps({"user": "a" * (MAX_LENGTH + 1)}),
    # Deep.
    "[" * 100_000, '{"user": ' * 100_000, '{"user": "alice", "x": ' + "[" * 5000 + "]" * 5000 + "}",
])  # fmt: skip
def test_body_that_readers_read_in_two_ways_is_refused(body: str | bytes) -> None:
    """Mallory must not be compared where Alice is let in."""
    assert is_refused(login(body))


@pytest.mark.parametrize(("body", "pointer"), [
    ('{"a": {"user": "mallory"}, "A": {"user": "alice"}}', "/a/user"), ('{"a": null}', "/a/user"),
    ('{"a": "x"}', "/a/user"), ('{"a": [{"user": "alice"}]}', "/a/user"), ('{"a": ["x"]}', "/a/00"),
    ('{"a": ["x"]}', "/a/-"), ('{"a": ["x"]}', "/a/٠"), ('{"a": ["x"]}', "/a/+0"),
])  # fmt: skip
def test_way_to_the_login_is_as_strict_as_the_login(body: str, pointer: str) -> None:
    """What stands on it has one reading, too."""
    assert is_refused(login(body, pointer))


@pytest.mark.parametrize("content_type", [
    "application/json;charset=utf-8", "Application/JSON", "application/vnd.api+json",
    "application/problem+json ; x=y",
])  # fmt: skip
def test_media_types_of_json_are_read(content_type: str) -> None:
    """RFC 6839 3.1 has the suffix."""
    assert login('{"user": "alice"}', content_type=content_type) == "alice"


@pytest.mark.parametrize("content_type", [
    "", "text/json", "text/plain", "application/x-www-form-urlencoded", "application/json-seq",
    "application/jsonp", "image/x+json", "application/json;charset=utf-16",
    "application/json;charset=utf-8;charset=utf-16", "application/json, text/plain",
])  # fmt: skip
def test_other_media_types_are_refused(content_type: str) -> None:
    """A service that sniffs would read something else."""
    assert is_refused(login('{"user": "alice"}', content_type=content_type))


@pytest.mark.parametrize(("text", "tokens"), [
    ("", ()), ("/", ("",)), ("/a/b", ("a", "b")), ("/a~1b", ("a/b",)), ("/~01", ("~1",)),
    ("/a b/%25", ("a b", "%25")), ("/\n", ("\n",)), ("a", None), ("/~", None), ("/~2", None),
    ("/a~", None), ("#/a", None), (" /a", None),
])  # fmt: skip
def test_pointer_is_read_as_rfc_6901_says(text: str, tokens: tuple[str, ...] | None) -> None:
    """Sections 3 and 4."""
    assert json_pointer(text) == tokens


@given(st.lists(st.text()))
def test_every_pointer_comes_back(tokens: list[str]) -> None:
    """However its tokens are called."""
    escaped = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)
    assert json_pointer(escaped) == tuple(tokens)


@pytest.mark.parametrize(("text", "path"), [
    ("sub", ("sub",)), ("cognito:username", ("cognito:username",)), ("/a/b", ("a", "b")),
    ("https://example.com/user", ("https://example.com/user",)), ("", None), ("/~", None),
])  # fmt: skip
def test_claim_is_a_name_or_a_pointer(text: str, path: tuple[str, ...] | None) -> None:
    """Names of claims may be URLs."""
    assert claim_path(text) == path


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON, st.booleans())
def test_document_is_what_python_reads_or_is_refused(document: Any, is_ascii: bool) -> None:  # noqa: FBT001
    """Strictness changes nothing of what is read."""
    written = json.dumps(document, ensure_ascii=is_ascii)
    has_no_number = "NaN" in written or "Infinity" in written
    try:
        assert load(written.encode()) == document
    except JsonError:
        assert has_no_number


NAMES = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" "),
    min_size=1,
    max_size=MAX_LENGTH,
)
"""What `str.isprintable` takes. To draw any text and look may find too little of it."""


@given(NAMES)
def test_every_name_comes_back(user: str) -> None:
    """Whatever a user is called."""
    assert login(json.dumps({"x": 1, "user": user})) == user


PIECES = st.lists(
    st.sampled_from([
        '{"', '"}', '"', '":"', '","', ":", ",", "{", "}", "[", "]", "user", "User", "USER",
        r"\u0075ser", "us er", "mallory", "alice", r"\u0000", r"\ud800", "null", "x", " ", "\n",
    ])
).map("".join)  # fmt: skip
MEMBERS = st.lists(
    st.tuples(st.sampled_from(["user", "User", r"\u0075ser", "user ", "x", "u\u017fer", "us_er"]),
              st.sampled_from(['"mallory"', '"alice"', "null", '{"user": "alice"}', "1"])),
    max_size=3,
).map(lambda pairs: "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}")  # fmt: skip


@given(st.one_of(PIECES, MEMBERS, st.text(max_size=60)))
def test_no_reader_finds_another_login(body: str) -> None:
    """Whether it takes the first or the last of a name, and whatever it calls the same name."""
    found = login(body)
    if is_refused(found):
        return
    expected = [] if found is None else [found]
    pairs = json.loads(body, object_pairs_hook=list)
    for name in (lambda key: key), str.casefold, str.strip, (lambda key: key.replace("_", "")):
        assert [value for key, value in pairs if name(key) == "user"] == expected


@given(st.binary(max_size=60), st.lists(st.text(max_size=3)).map(tuple))
def test_any_octets_are_read_without_another_error(octets: bytes, pointer: tuple[str, ...]) -> None:
    """JsonError and nothing else."""
    try:
        found = text_at(load(octets), pointer)
    except JsonError:
        return
    assert found is None or isinstance(found, str)

"""A login is read without guessing, or it is a finding."""

from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from extauthz.findings import Finding, Reason
from extauthz.login import (
    MAX_LENGTH,
    Basic,
    Bearer,
    ClientCertificate,
    Form,
    HeaderField,
    JsonBody,
    Jwt,
    Login,
    LoginSource,
)
from extauthz.wire.form import ESSENCE
from extauthz.wire.logins import Body, basic, read

JSON = "application/json"
FORM = Form(("/login",), "user")
IN_JSON = JsonBody(("/login", "/api/session"), ("user",))


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


NAMES = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" ", exclude_characters=":"),
    min_size=1,
    max_size=MAX_LENGTH,
)
"""What `str.isprintable` takes. To draw any text and look may find too little of it."""


@given(NAMES, st.text(st.characters(codec="utf-8")))
def test_every_name_comes_back(user: str, password: str) -> None:
    """Whatever a user is called and whatever the password is."""
    assert basic(["Basic " + credentials(f"{user}:{password}")]) == (Login(user, "basic"),)


@given(st.text())
def test_any_value_is_read_without_error_and_without_the_password(text: str) -> None:
    """A finding never quotes the field that it is about."""
    for found in (*basic([f"Basic {text}"]), *basic([f"Basic s3cret{text}"])):
        assert isinstance(found, Login) or "s3cret" not in found.detail


def payload(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


ALICE, MALLORY = payload('{"sub":"alice"}'), payload('{"sub":"mallory"}')


def found(
    *sources: LoginSource,
    headers: list[tuple[str, str]] | None = None,
    path: str = "/login",
    body: Body | bytes | None = None,
    query: str = "",
) -> list[str]:
    """What is found: the source and the name of a login, or the reason."""
    fields = CIMultiDictProxy(CIMultiDict(headers or []))
    if isinstance(body, bytes):
        body = Body(body, is_whole=True)
    return [
        f"{each.source} {each.name}" if isinstance(each, Login) else str(each.reason)
        for each in read(sources, fields, path, body, query)
    ]


REFUSED = ["login_malformed"]


def test_every_source_is_read_in_its_order() -> None:
    """All of them count, and the certificate is not the request's to claim."""
    headers = [
        ("authorization", "Basic " + credentials("alice:x")), ("x-user", "bob"),
        ("content-type", ESSENCE), ("x-payload", ALICE),
    ]  # fmt: skip
    sources: list[LoginSource] = [
        HeaderField("X-User"), FORM, ClientCertificate(), Basic(), Jwt("x-payload", ("sub",)),
    ]  # fmt: skip
    expected = ["header bob", "form carol", "basic alice", "jwt alice"]
    assert found(*sources, headers=headers, body=b"user=carol") == expected
    assert found(*reversed(sources), headers=headers, body=b"user=carol") == expected[::-1]
    assert found(*sources, path="/") == []


@pytest.mark.parametrize(("values", "expected"), [
    ([], []), (["alice"], ["header alice"]), (["m\u00fcller"], ["header m\u00fcller"]),
    (["alice", "alice"], REFUSED), (["alice", "bob"], REFUSED), ([""], REFUSED),
    (["a\tb"], REFUSED), (["a\udcff"], REFUSED), (["a" * (MAX_LENGTH + 1)], REFUSED),
])  # fmt: skip
def test_header_holds_the_login_once(values: list[str], expected: list[str]) -> None:
    """Two are two answers."""
    headers = [("x-user", value) for value in values] + [("x_user", "bob"), ("x-user2", "bob")]
    assert found(HeaderField("X-User"), headers=headers) == expected


@pytest.mark.parametrize(("values", "expected"), [
    ([], []), ([ALICE], ["jwt alice"]), ([ALICE, ALICE], REFUSED), ([payload("{}")], REFUSED),
    ([""], REFUSED), ([payload('{"sub":""}')], REFUSED), ([payload('{"sub":"a\\u0000"}')], REFUSED),
    ([f"{ALICE},{ALICE}"], REFUSED), ([payload('{"sub":1}')], REFUSED),
])  # fmt: skip
def test_payload_of_a_token_holds_the_login_once(values: list[str], expected: list[str]) -> None:
    """Envoy writes one for each provider."""
    headers = [("x-payload", value) for value in values]
    assert found(Jwt("X-Payload", ("sub",)), headers=headers) == expected


@pytest.mark.parametrize(("authorization", "payloads", "expected"), [
    ([], [], []), (["Basic YTpi"], [], []), (["Bearerx y"], [], []),
    ([f"Bearer h.{ALICE}.s"], [ALICE], ["bearer alice"]),
    ([f"bEARER   h.{ALICE}.s"], [ALICE + "="], ["bearer alice"]),
    # jwt_authn takes the token away unless `forward` is set.
    ([], [ALICE], ["bearer alice"]), (["Basic YTpi"], [ALICE], ["bearer alice"]),
    # A token that Envoy did not verify.
    (["Bearer x"], [], REFUSED), ([f"Bearer h.{ALICE}.s"], [], REFUSED), (["Bearer"], [], REFUSED),
    (["bearer\tx"], [], REFUSED), (["Bearer:x"], [], REFUSED), (['Bearer="x"'], [], REFUSED),
    # Envoy verifies the first of two tokens; the service may read the other one.
    ([f"Bearer h.{MALLORY}.s h.{ALICE}.s"], [MALLORY], REFUSED),
    ([f"Bearer h.{MALLORY}.s,h.{ALICE}.s"], [MALLORY], REFUSED),
    ([f"Bearer h.{ALICE}.s"], [MALLORY], REFUSED), (["Bearer opaque"], [MALLORY], REFUSED),
    ([f"Bearer\th.{ALICE}.s"], [ALICE], REFUSED), ([f"Bearer h.{ALICE}.s.t"], [ALICE], REFUSED),
    ([f"Bearer h.{ALICE}."], [ALICE], REFUSED), ([f"Bearer h.{ALICE}.\u017f"], [ALICE], REFUSED),
    ([f"Bearer h.{ALICE}.s", "Basic YTpi"], [ALICE], REFUSED), (["Basic YTpi"] * 2, [], REFUSED),
    ([f"Bearer h.{ALICE}.s"], [ALICE, ALICE], REFUSED), ([], [ALICE, MALLORY], REFUSED),
    ([f"Bearer h.{payload('{}')}.s"], [payload("{}")], REFUSED),
])  # fmt: skip
def test_bearer_token_counts_when_envoy_verified_that_one(
    authorization: list[str], payloads: list[str], expected: list[str]
) -> None:
    """Mallory's token must not be compared where Alice's is believed."""
    headers = [("authorization", value) for value in authorization]
    headers += [("x-payload", value) for value in payloads]
    assert found(Bearer("x-payload", ("sub",)), headers=headers) == expected


@pytest.mark.parametrize(("path", "expected"), [
    ("/login", ["form alice"]), ("/LOGIN/", ["form alice"]), ("//login;x=y", ["form alice"]),
    ("/%6Cogin", ["form alice"]), ("/a%2Fb/../login", ["form alice"]), ("/", []), ("/login/x", []),
    ("/%41" * 4096, REFUSED),
])  # fmt: skip
def test_body_is_read_at_every_spelling_of_its_path(path: str, expected: list[str]) -> None:
    """And nowhere else."""
    headers = [("content-type", ESSENCE)]
    assert found(FORM, headers=headers, path=path, body=b"user=alice") == expected


def test_configured_path_is_compared_by_what_it_means() -> None:
    """Operators write paths as they like, too."""
    source = Form(("/Log%69n/",), "user")
    assert source == Form(("/Log%69n/",), "user")
    headers = [("content-type", ESSENCE)]
    assert found(source, headers=headers, body=b"user=alice") == ["form alice"]


@pytest.mark.parametrize(("sources", "content_type", "body", "expected"), [
    ([FORM], ESSENCE, b"user=alice", ["form alice"]), ([FORM], ESSENCE, b"x=y", []),
    ([IN_JSON], JSON, b'{"user":"alice"}', ["json alice"]), ([IN_JSON], JSON, b"{}", []),
    ([FORM, IN_JSON], ESSENCE, b"user=alice", ["form alice"]),
    ([FORM, IN_JSON], JSON, b'{"user":"alice"}', ["json alice"]),
    ([FORM, Form(("/login",), "mail")], ESSENCE, b"user=a&mail=b", ["form a", "form b"]),
    ([FORM, Form(("/other",), "mail")], ESSENCE, b"user=a&mail=b", ["form a"]),
    ([FORM, FORM], ESSENCE, b"user=a", ["form a"]),
    ([FORM, IN_JSON], "text/plain", b"user=alice", REFUSED),
    ([FORM], JSON, b'{"user":"alice"}', REFUSED), ([IN_JSON], ESSENCE, b"user=alice", REFUSED),
    ([FORM], "multipart/form-data; boundary=x", b"--x", REFUSED), ([FORM], "", b"x=y", REFUSED),
    ([FORM], f"{ESSENCE}, {JSON}", b"x=y", REFUSED), ([FORM, IN_JSON], ESSENCE, b"{}", REFUSED),
    ([FORM], f"{ESSENCE};charset=utf-16", b"x=y", REFUSED),
    ([IN_JSON], JSON, b"user=alice", REFUSED), ([FORM], ESSENCE, b"user=a&user=b", REFUSED),
])  # fmt: skip
def test_source_of_the_media_type_reads_the_body(
    sources: list[LoginSource], content_type: str, body: bytes, expected: list[str]
) -> None:
    """A body that none of them reads may still be a login to the service."""
    assert found(*sources, headers=[("content-type", content_type)], body=body) == expected


@pytest.mark.parametrize(("body", "headers", "expected"), [
    (None, [], REFUSED), (b"", [], []), (Body(b"", is_whole=False), [], REFUSED),
    (Body(b"user=alice", is_whole=False), [], REFUSED), (b"user=alice", [], ["form alice"]),
    (b"user=alice", [("content-encoding", "identity")], ["form alice"]),
    (b"user=alice", [("content-encoding", "gzip")], REFUSED),
    (b"user=alice", [("content-encoding", "")], REFUSED),
    (b"user=alice", [("content-encoding", "identity"), ("content-encoding", "br")], REFUSED),
    (b"user=alice", [("content-encoding", "identity, br")], REFUSED),
    (b"user=alice", [("content-type", ESSENCE)], REFUSED),
])  # fmt: skip
def test_body_that_is_not_there_whole_is_refused(
    body: Body | bytes | None, headers: list[tuple[str, str]], expected: list[str]
) -> None:
    """The service may find a login in the rest of it."""
    headers = [("content-type", ESSENCE), *headers]
    assert found(FORM, headers=headers, body=body) == expected
    assert found(FORM, headers=headers, body=body, path="/other") == []


def test_body_without_a_media_type_is_refused() -> None:
    """A service would guess."""
    assert found(FORM, body=b"user=alice") == REFUSED
    assert found(FORM, body=b"") == []


@pytest.mark.parametrize(("source", "query", "expected"), [
    (FORM, "user=alice", REFUSED), (FORM, "a=b&User[]=alice", REFUSED), (FORM, "users=x", []),
    (IN_JSON, "user=alice", REFUSED), (IN_JSON, "x", []),
    (JsonBody(("/login",), ("user", "name")), "user[name]=alice", REFUSED),
    (JsonBody(("/login",), ("user", "name")), "name=alice", []),
    (JsonBody(("/login",), ()), "_=1", []),
])  # fmt: skip
def test_login_in_the_query_of_a_login_is_refused(
    source: LoginSource, query: str, expected: list[str]
) -> None:
    """A servlet's `getParameter` believes it before the one in the body."""
    headers = [("content-type", JSON)]
    assert found(source, headers=headers, query=query, body=b"") == expected
    assert found(source, headers=headers, query=query, body=b"", path="/other") == []


SOURCES = st.lists(st.sampled_from(
    [Basic(), HeaderField("x-user"), Bearer("x-payload", ("sub",)), Jwt("x-payload", ("sub",)),
     FORM, IN_JSON, ClientCertificate()]
))  # fmt: skip
HEADERS = st.lists(st.tuples(
    st.sampled_from(["authorization", "x-user", "x-payload", "content-type", "content-encoding"]),
    st.one_of(st.text(), st.sampled_from([ESSENCE, JSON, "Basic YTpi", "Bearer x", ALICE])),
))  # fmt: skip


@given(SOURCES, HEADERS, st.sampled_from(["/login", "/LOGIN", "/", "*"]), st.binary(), st.text())
def test_any_request_is_read_without_error(
    sources: list[LoginSource],
    headers: list[tuple[str, str]],
    path: str,
    body: bytes,
    query: str,
) -> None:
    """Logins and findings, and no login that nobody could be called."""
    fields = CIMultiDictProxy(CIMultiDict(headers))
    for each in read(sources, fields, path, Body(body, is_whole=True), query):
        assert isinstance(each, Finding) or (each.name and each.name.isprintable())

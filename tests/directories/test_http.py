"""A service that answers for its own users: what is asked, what is believed, what goes wrong."""

import asyncio
import contextlib
import gzip
import ipaddress
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import web
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.accounts import Account
from extauthz.demo.authority import Credential, authority, name
from extauthz.directory import http_answer
from extauthz.directory.backend import DirectoryError, UnreachableError
from extauthz.directory.http import HttpBackend, problem_with
from extauthz.email import EmailAddress
from extauthz.fetch.exchange import CONNECTIONS_PER_HOST
from extauthz.fetch.fetcher import Fetcher
from extauthz.identity import IdentityKind
from extauthz.identity import parse as identity
from extauthz.lookup import ByIdentity, ByLogin, HttpDirectory, LookupKey, Secret
from tests.damage import damaged
from tests.directories.http_service import (
    ALICE,
    LOOPBACK,
    Answer,
    Asked,
    RawService,
    Script,
    Service,
    ServiceProcess,
    constant,
    directory,
    http,
    raw_serving,
    service_process,
    serving,
)
from tests.ports import free_port

TOKEN = "v9.Sxv_7~secret+token/=="
LOGIN = ByLogin("alice")
QUICK = timedelta(seconds=0.4)
PATIENCE = timedelta(seconds=30)
"""For what does answer, however busy the machine is."""
patient = partial(HttpDirectory, timeout=PATIENCE)
GOOD = json.dumps({"accounts": [ALICE]}).encode()


def address(text: str) -> EmailAddress:
    read = EmailAddress.parse(text)
    assert read is not None
    return read


Open: TypeAlias = Callable[[HttpDirectory], HttpBackend]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens backends, and closes them at the end."""
    async with Fetcher() as fetcher, contextlib.AsyncExitStack() as stack:

        def open_one(asked: HttpDirectory) -> HttpBackend:
            backend = HttpBackend(asked, fetcher)
            stack.push_async_callback(backend.close)
            return backend

        yield open_one


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving(directory(dict(ALICE))) as running:
        yield running


async def find(backend: HttpBackend, key: LookupKey = LOGIN) -> list[Account]:
    return list(await backend.find(key))


async def refusal(backend: HttpBackend, key: LookupKey = LOGIN) -> str:
    """The operator's message, which is one line without a secret."""
    with pytest.raises(DirectoryError) as caught:
        await backend.find(key)
    message = str(caught.value)
    assert message.isprintable()
    assert "alice" not in message
    assert TOKEN not in message
    return message


async def test_account_is_found_by_its_login(opened: Open, service: Service) -> None:
    """With its names, groups and unit, and by a POST that has the login in its body alone."""
    (account,) = await find(opened(patient(service.url)))

    assert account == Account(
        "alice",
        (address("alice@acme.example"), address("a.smith@acme.example")),
        groups=frozenset({"staff", "sales"}),
        unit="north",
    )
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("POST", "/extauthz")
    assert json.loads(asked.body) == {"login": "alice"}
    assert asked.headers["content-type"] == asked.headers["accept"] == "application/json"
    assert "authorization" not in asked.headers
    assert "alice" not in str(asked.headers)


@pytest.mark.parametrize(("kind", "text"), [
    (IdentityKind.EMAIL, "alice@acme.example"),
    (IdentityKind.UPN, "alice@corp.acme.example"),
    (IdentityKind.SUBJECT, "CN=Alice,O=Acme"),
    (IdentityKind.SAN_URI, "spiffe://acme.example/alice"),
])  # fmt: skip
async def test_account_is_found_by_the_name_that_the_subscription_goes_by(
    opened: Open, kind: IdentityKind, text: str
) -> None:
    """The member has the kind's name, in the question as in the answer."""
    named = identity(kind, text)
    assert named is not None
    async with serving(directory({"login": "alice", kind.value: [text]})) as service:
        found = await find(opened(patient(service.url, kind)), ByIdentity(named))

    assert [account.identities for account in found] == [(named,)]
    assert json.loads(service.asked[0].body) == {kind.value: text}


async def test_empty_list_is_the_answer_that_there_is_none(opened: Open, service: Service) -> None:
    assert await find(opened(patient(service.url)), ByLogin("mallory")) == []


@pytest.mark.parametrize(("given_account", "expected"), [
    ({"login": "alice"}, Account("alice", ())),
    ({"login": "alice", "email": "a@x.example"}, Account("alice", (address("a@x.example"),))),
    ({"login": "alice", "email": []}, Account("alice", ())),
    ({"login": "alice", "email": ["no address"]}, Account("alice", ())),
    ({"login": "alice", "disabled": True}, Account("alice", (), is_disabled=True)),
    ({"login": "Ünïcode \U0001f600"}, Account("Ünïcode \U0001f600", ())),
])  # fmt: skip
async def test_what_an_account_may_leave_out(
    opened: Open, given_account: dict[str, object], expected: Account
) -> None:
    async with serving(constant({"accounts": [given_account]})) as service:
        assert await find(opened(patient(service.url))) == [expected]


async def test_email_that_is_none_is_kept_for_who_mends_it(opened: Open) -> None:
    """It is no name of the account, and as long as somebody may want to read."""
    given_account = {"login": "alice", "email": ["alice@acme.example", "alice", "x" * 100_000]}
    async with serving(constant({"accounts": [given_account]})) as service:
        (account,) = await find(opened(patient(service.url)))
    assert account.identities == (address("alice@acme.example"),)
    short, long = account.unusable
    assert short == "alice"
    assert len(long) < 300


def of(*accounts: object) -> bytes:
    return json.dumps({"accounts": list(accounts)}).encode()


UNUSABLE = {
    "empty": (b"", "not JSON"),
    "HTML": (b"<html>", "not JSON"),
    "two values": (GOOD + GOOD, "not JSON"),
    "cut off": (GOOD[:-2], "not JSON"),
    "Latin-1": (b'{"accounts": [{"login": "\xfc"}]}', "not UTF-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "not UTF-8"),
    "with a byte order mark": (b"\xef\xbb\xbf" + GOOD, "not JSON"),
    "NaN": (b'{"accounts": NaN}', "not JSON"),
    "too deep": (b"[" * 200_000, "not JSON"),
    "a number without end": (b"9" * 100_000, "not JSON"),
    "null": (b"null", "not an object"),
    "a list": (b"[]", "not an object"),
    "no accounts": (b"{}", "no list `accounts`"),
    "accounts that are none": (b'{"accounts": null}', "no list `accounts`"),
    "one account without its list": (b'{"accounts": {"login": "alice"}}', "no list `accounts`"),
    "beside the accounts": (b'{"accounts": [], "error": "alice"}', "answer has an unknown member"),
    "accounts twice": (b'{"accounts": [], "accounts": []}', "two members with one name"),
    "disabled twice": (
        b'{"accounts": [{"login": "alice", "disabled": true, "disabled": false}]}',
        "two members with one name",
    ),
    "a login alone": (of("alice"), r"accounts\[0\] is not an object"),
    "no login": (of({"email": "alice@acme.example"}), r"accounts\[0\].login is not text"),
    "an empty login": (of(ALICE, {"login": ""}), r"accounts\[1\].login is empty"),
    "a number for a login": (of({"login": 7}), "login is not text"),
    "half a surrogate pair": (b'{"accounts": [{"login": "\\ud800"}]}', "login is not text"),
    "misspelt": (of({"login": "alice", "disabld": True}), "unknown member .meant as disabled?"),
    "of another case": (of({"login": "alice", "Disabled": True}), "meant as disabled?"),
    "of another kind": (of({"login": "alice", "upn": "a@b"}), "known are login, email"),
    "named as an account": (of({"alice": 1}), r"accounts\[0\] has an unknown member"),
    "a word for disabled": (of({"login": "alice", "disabled": "true"}), "neither true nor false"),
    "a number for disabled": (of({"login": "alice", "disabled": 0}), "neither true nor false"),
    "null for disabled": (of({"login": "alice", "disabled": None}), "neither true nor false"),
    "null for email": (of({"login": "alice", "email": None}), "email is not a list of text"),
    "numbers for emails": (of({"login": "alice", "email": ["a@b", 1]}), r"email\[1\] is not text"),
    "text for groups": (of({"login": "alice", "groups": "staff"}), "groups is not a list"),
    "numbers for groups": (of({"login": "alice", "groups": [1]}), r"groups\[0\] is not text"),
    "a list for unit": (of({"login": "alice", "unit": []}), "unit is not text"),
    "null for unit": (of({"login": "alice", "unit": None}), "unit is not text"),
    "one login twice": (of(ALICE, ALICE), "two accounts with one login"),
    "too many": (of(*({"login": str(n)} for n in range(1_001))), "more than 1000 accounts"),
    "too large": (of({"login": "alice", "unit": "x" * 1_048_576}), "larger than 1048576 octets"),
}


@pytest.mark.parametrize(("body", "why"), UNUSABLE.values(), ids=UNUSABLE)
async def test_answer_of_another_shape_is_no_answer(opened: Open, body: bytes, why: str) -> None:
    """All of it: what is not understood may be what refuses the user."""
    async with serving(constant(body)) as service:
        assert re.search(why, await refusal(opened(patient(service.url))))


async def test_largest_answer_is_read(opened: Open) -> None:
    everybody = [{"login": str(n), "email": [f"u{n}@acme.example"]} for n in range(1_000)]
    async with serving(constant({"accounts": everybody})) as service:
        assert len(await find(opened(patient(service.url)))) == 1_000


REFUSED = {
    "an address that is wrong": (constant(b'{"accounts": []}', 404), "HTTP 404"),
    "no content": (constant(b"", 204), "HTTP 204"),
    "a part": (constant(GOOD, 206), "HTTP 206"),
    "not allowed": (constant(GOOD, 401), "HTTP 401"),
    "an error": (constant(GOOD, 500), "HTTP 500"),
    "a redirect": (constant(GOOD, 302, location="/alice"), "HTTP 302: redirects are not followed"),
    "one that keeps the method": (constant(GOOD, 307, location="/alice"), "HTTP 307: redirects"),
    "compressed": (constant(gzip.compress(GOOD), content_encoding="gzip"), "compressed"),
    "labelled as HTML": (constant(GOOD, content_type="text/html"), "Content-Type is not"),
    "labelled as JSON of others": (
        constant(GOOD, content_type="application/scim+json"), "Content-Type is not"),
    "in another charset": (
        constant(GOOD, content_type="application/json; charset=latin1"), "Content-Type is not"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "why"), REFUSED.values(), ids=REFUSED)
async def test_only_200_with_json_is_an_answer(
    opened: Open, service: Service, answer: Answer, why: str
) -> None:
    """404 is not the answer that there is no such account: so would a mistaken URL be."""
    service.answer = answer
    assert why in await refusal(opened(patient(service.url)))
    assert len(service.asked) == 1


@pytest.mark.parametrize("label", ["application/json; charset=UTF-8", "Application/JSON"])
async def test_json_may_be_labelled_in_other_ways(opened: Open, label: str) -> None:
    async with serving(constant(GOOD, content_type=label)) as service:
        assert len(await find(opened(patient(service.url)))) == 1


def says(octets: bytes) -> Script:
    """Some octets, and the end."""

    async def script(_: int, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        await writer.drain()
        writer.close()

    return script


def drips(octets: bytes) -> Script:
    """One octet after the other, each in time."""

    async def script(_: int, __: int, writer: asyncio.StreamWriter) -> None:
        for octet in octets:
            writer.write(bytes([octet]))
            await asyncio.sleep(0.05)

    return script


async def hangs(_: int, __: int, ___: asyncio.StreamWriter) -> None:
    await asyncio.sleep(20)


async def floods(_: int, __: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


BROKEN = {
    "silent": (hangs, "no whole answer within 0.4 s"),
    "slow": (drips(http(GOOD)), "no whole answer within 0.4 s"),
    "endless": (floods, "larger than 1048576 octets"),
    "gone": (says(b""), "the connection was closed"),
    "gone amid its headers": (says(b"HTTP/1.1 200 OK\r\nx-user: alice"), "no answer"),
    "gone amid its answer": (says(http(GOOD)[:-5]), "no answer: it is not whole"),
    "no HTTP": (says(b"-ERR alice?\r\n\r\n"), "no answer: it is not HTTP"),
    "HTTP with a control character": (
        says(http(GOOD, x_user="alice\x00\x1b[31m")), "no answer: it is not HTTP"),
    "HTTP with two lengths": (
        says(http(GOOD, content_length="3")), "no answer: it is not HTTP"),
    "HTTP with a broken chunk": (
        says(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
             b"transfer-encoding: chunked\r\n\r\nalice\r\n"), "no answer"),
}  # fmt: skip


@pytest.mark.parametrize(("script", "why"), BROKEN.values(), ids=BROKEN)
async def test_server_that_breaks_is_an_error_within_the_time(
    opened: Open, script: Script, why: str
) -> None:
    """And what it sent stays out of the log, where it could be somebody's login."""
    async with raw_serving(script) as service:
        timeout = QUICK if "within" in why else PATIENCE
        backend = opened(patient(service.url, timeout=timeout))
        async with asyncio.timeout(20):
            assert why in await refusal(backend)
        assert service.requests == 1


async def test_nobody_listens(opened: Open) -> None:
    url = f"http://{LOOPBACK}:{free_port()}/extauthz"
    assert await refusal(opened(patient(url))) == "no connection: Connection refused"


async def test_who_answers_wrongly_is_reached(opened: Open, service: Service) -> None:
    """What is to be mended then is not the network."""
    service.answer = constant(GOOD, 404)
    nowhere = f"http://{LOOPBACK}:{free_port()}/extauthz"
    missing = patient(service.url, token=Secret(variable="NOWHERE_TO_BE_FOUND"))
    async with raw_serving(hangs) as silent:
        expected = {
            patient(nowhere): True,
            patient(silent.url, timeout=QUICK): True,
            patient(service.url): False,
            patient(service.url.replace("http:", "https:")): False,
            missing: False,
        }
        for asked, is_unreachable in expected.items():
            with pytest.raises(DirectoryError) as caught:
                await opened(asked).find(LOGIN)
            assert isinstance(caught.value, UnreachableError) is is_unreachable, caught.value


async def test_connection_is_kept(opened: Open, service: Service) -> None:
    backend = opened(patient(service.url))
    for _ in range(20):
        await backend.find(LOGIN)
    assert len(service.asked) == 20
    assert service.connections() == 1


async def test_many_questions_share_few_connections(opened: Open, service: Service) -> None:
    backend = opened(patient(service.url))
    found = await asyncio.gather(*(backend.find(LOGIN) for _ in range(100)))
    assert all(len(accounts) == 1 for accounts in found)
    assert service.connections() <= CONNECTIONS_PER_HOST


async def test_kept_connection_that_was_closed_meanwhile_is_no_failure(opened: Open) -> None:
    """The server that closes when a second question arrives has not read it: it is asked anew."""

    async def script(_: int, number: int, writer: asyncio.StreamWriter) -> None:
        if number == 0:
            writer.write(http(GOOD))
        else:
            writer.close()

    async with raw_serving(script) as service:
        backend = opened(patient(service.url))
        for _ in range(3):
            assert len(await backend.find(LOGIN)) == 1
        assert (service.connections, service.requests) == (3, 4)


@pytest.mark.parametrize("second", [
    b"HTTP/1.1 200 OK\r\ncontent-ty",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{",
    http(b"", status="500 Oh"),
])  # fmt: skip
async def test_answer_that_has_begun_is_not_asked_for_again(opened: Open, second: bytes) -> None:
    async def script(_: int, number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(http(GOOD) if number == 0 else second)
        if number == 1:
            writer.close()

    async with raw_serving(script) as service:
        backend = opened(patient(service.url))
        await backend.find(LOGIN)
        await refusal(backend)
        assert (service.connections, service.requests) == (1, 2)


async def test_server_that_hangs_up_again_and_again_is_asked_twice(opened: Open) -> None:
    async def script(connection: int, number: int, writer: asyncio.StreamWriter) -> None:
        if (connection, number) == (0, 0):
            writer.write(http(GOOD))
        else:
            writer.close()

    async with raw_serving(script) as service:
        backend = opened(patient(service.url))
        await backend.find(LOGIN)
        assert "the connection was closed" in await refusal(backend)
        assert (service.connections, service.requests) == (2, 3)


async def test_killed_and_hung_service_recovers(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Every question in between is an error in time; the first one after it is answered."""
    caplog.set_level(logging.DEBUG)
    with service_process(free_port()) as first:
        backend = opened(patient(first.url, timeout=timedelta(seconds=3)))
        await _ask_under_load(backend, first)
        first.kill()
        assert "no connection" in await refusal(backend)
    with service_process(first.port):
        assert len(await backend.find(LOGIN)) == 1
    await backend.close()
    assert "alice" not in caplog.text


async def _ask_under_load(backend: HttpBackend, process: ServiceProcess) -> None:
    assert len(await backend.find(LOGIN)) == 1
    process.hang()
    outcomes = await asyncio.gather(
        *(backend.find(LOGIN) for _ in range(40)), return_exceptions=True
    )
    assert {str(outcome) for outcome in outcomes} == {"no whole answer within 3 s"}
    process.resume()
    assert len(await backend.find(LOGIN)) == 1


async def test_closing_ends_what_waits(opened: Open) -> None:
    async with raw_serving(hangs) as service:
        backend = opened(patient(service.url))
        waiting = asyncio.create_task(refusal(backend))
        async with asyncio.timeout(20):
            await service.is_asked.wait()
            await backend.close()
            await waiting
        assert "closed" in await refusal(backend)


async def test_token_is_read_for_each_question(
    opened: Open, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotating it needs no restart."""
    file = tmp_path / "token"
    file.write_text("first\n")
    backend = opened(patient(service.url, token=Secret(file=str(file))))
    await backend.find(LOGIN)
    file.write_text(TOKEN)
    await backend.find(LOGIN)
    monkeypatch.setenv("THE_TOKEN", "third")
    await find(opened(patient(service.url, token=Secret(variable="THE_TOKEN"))))

    sent = [asked.headers["authorization"] for asked in service.asked]
    assert sent == ["Bearer first", f"Bearer {TOKEN}", "Bearer third"]


@pytest.mark.parametrize("content", ["", "\n", "two words", "a\r\nX-Role: admin", "schlüssel", "="])
async def test_what_cannot_be_a_token_is_not_sent(
    opened: Open, service: Service, tmp_path: Path, content: str
) -> None:
    (tmp_path / "token").write_text(content)
    asked = patient(service.url, token=Secret(file=str(tmp_path / "token")))
    message = await refusal(opened(asked))
    assert "cannot be a token" in message
    assert content.strip() in {"", "="} or content.strip() not in message
    assert not service.asked


async def test_without_its_token_nothing_is_asked(opened: Open, service: Service) -> None:
    asked = patient(service.url, token=Secret(variable="NOT_SET_ANYWHERE"))
    assert "NOT_SET_ANYWHERE is not set" in await refusal(opened(asked))
    assert not service.asked


def tls(directory_: Path, issuer: Credential, address_: str = LOOPBACK) -> ssl.SSLContext:
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address_))])
    issuer.issue(name("accounts"), [(names, False)]).write(directory_, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory_ / "server.pem", directory_ / "server-key.pem")
    return context


async def test_server_is_known_by_its_ca_and_its_name(opened: Open, tmp_path: Path) -> None:
    """Not by another CA, nor by the right one with another name; a new CA file counts at once."""
    ours, others = authority(name("Our CA")), authority(name("Another CA"))
    (tmp_path / "token").write_text(TOKEN)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(others.pem)
    async with serving(directory(dict(ALICE)), tls(tmp_path, ours)) as service:
        token = Secret(file=str(tmp_path / "token"))
        asked = patient(service.url, token=token, ca_file=str(ca_file))
        backend = opened(asked)
        assert "TLS certificate is not accepted" in await refusal(backend)
        assert "not accepted" in await refusal(opened(replace(asked, ca_file=None)))
        assert not service.asked

        ca_file.write_text(ours.pem)
        assert len(await backend.find(LOGIN)) == 1
        await backend.find(LOGIN)
        assert service.connections() == 1

        ca_file.unlink()
        gone = await refusal(opened(asked))
        assert gone == f"the CA file {ca_file} is not usable: No such file or directory"
    async with serving(directory(dict(ALICE)), tls(tmp_path, ours, "127.0.0.9")) as service:
        ca_file.write_text(ours.pem)
        asked = patient(service.url, ca_file=str(ca_file))
        assert "TLS certificate is not accepted" in await refusal(opened(asked))


async def test_plain_server_under_an_https_url(opened: Open, service: Service) -> None:
    asked = patient(service.url.replace("http:", "https:"))
    assert "TLS failed" in await refusal(opened(asked))


TOKEN_FILE = Secret(file="token")


@pytest.mark.parametrize(("url", "token", "why"), [
    ("https://users.acme.example/extauthz?tenant=7", TOKEN_FILE, "query"),
    ("http://users.acme.example:8080", None, None),
    ("https://[2001:db8::1]:8443/a-b/", TOKEN_FILE, None),
    ("http://localhost:8080/extauthz", TOKEN_FILE, None),
    ("http://127.4.5.6/", TOKEN_FILE, None),
    ("http://[::1]/", TOKEN_FILE, None),
    ("http://users.acme.example/", TOKEN_FILE, "in the clear"),
    ("http://10.0.0.1/", TOKEN_FILE, "in the clear"),
    ("http://localhost.acme.example/", TOKEN_FILE, "in the clear"),
    ("http://127.0.0.1.acme.example/", TOKEN_FILE, "in the clear"),
    ("http://0.0.0.0/", TOKEN_FILE, "in the clear"),
    ("ftp://users.acme.example/", None, "begins neither"),
    ("users.acme.example", None, "begins neither"),
    ("", None, "begins neither"),
    ("https://me:pw@users.acme.example/", None, "user name"),
    ("https://users.acme.example/#alice", None, "fragment"),
    ("https://users.acme.example/#", None, "fragment"),
    ("https:///extauthz", None, "not one"),
    ("https://", None, "not one"),
    ("https://users.acme.example:99999/", None, "not one"),
    ("https://users.acme.example:0/", None, "not one"),
    ("https://users.acme.example:/", None, "not one"),
    ("https://[::1/", None, "not one"),
    ("https://users.acme.example/a b", None, "not one"),
    ("https://users.acme.example\\@evil.example/", None, "user name"),
    ("http://localhost\t.evil.example/", TOKEN_FILE, "not one"),
    ("http://localhost%2eevil.example/", TOKEN_FILE, "not one"),
    ("https://b\xfccher.example/", None, "not one"),
])  # fmt: skip
async def test_settings_that_cannot_work_or_betray_the_token_are_refused(
    opened: Open, url: str, token: Secret | None, why: str | None
) -> None:
    """When the policy is read, and if they come to be used all the same."""
    asked = patient(url, token=token)
    problem = problem_with(asked)
    if why is None:
        assert problem is None
    else:
        assert problem is not None
        assert why in problem
        assert await refusal(opened(asked)) == problem


async def test_login_that_is_not_unicode_belongs_to_nobody(opened: Open, service: Service) -> None:
    """Half a surrogate pair would arrive as something else, which may be somebody's login."""
    assert await find(opened(patient(service.url)), ByLogin("al\udc80ice")) == []
    assert not service.asked


@contextlib.contextmanager
def in_a_loop(
    served: contextlib.AbstractAsyncContextManager[Service | RawService],
) -> Iterator[Callable[[LookupKey], list[Account]]]:
    """Asks a service in one event loop for all of hypothesis' examples."""
    stack = contextlib.AsyncExitStack()

    async def begin() -> HttpBackend:
        service = await stack.enter_async_context(served)
        fetcher = await stack.enter_async_context(Fetcher())
        backend = HttpBackend(patient(service.url), fetcher)
        stack.push_async_callback(backend.close)
        return backend

    with asyncio.Runner() as runner:
        backend = runner.run(begin())
        try:
            yield lambda key: runner.run(find(backend, key))
        finally:
            runner.run(stack.aclose())


def test_any_login_and_address_arrive_unchanged_and_come_back_unchanged() -> None:
    async def echo(asked: Asked) -> web.StreamResponse:
        members = json.loads(asked.body)
        return web.json_response({"accounts": [{"login": "of the address", **members}]})

    with in_a_loop(serving(echo)) as ask:

        @given(st.text(min_size=1), st.text("abc.ÄöXYZ0+-'", min_size=1, max_size=12))
        @settings(max_examples=60, deadline=None)
        def holds(login: str, local: str) -> None:
            (account,) = ask(ByLogin(login))
            assert account.login == login
            read = EmailAddress.parse(f"{local}@bücher.example")
            if read is not None:
                (account,) = ask(ByIdentity(read))
                assert account.identities == (read,)

        holds()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("alice"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["accounts", *ALICE]) | st.text(max_size=5), inner, max_size=5
        )
    ),
    max_leaves=15,
)


@given(
    JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({"accounts": [value, ALICE]}).encode())
    | damaged(GOOD),
    st.sampled_from(IdentityKind),
)
@settings(max_examples=400, deadline=None)
def test_any_body_is_accounts_or_an_error(body: bytes, kind: IdentityKind) -> None:
    with contextlib.suppress(DirectoryError):
        assert all(account.login for account in http_answer.read(body, kind))


def test_any_octets_of_a_server_are_accounts_or_an_error() -> None:
    """As its body, and as its whole answer."""
    octets = b""

    async def script(_: int, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        writer.close()

    with in_a_loop(raw_serving(script)) as ask:

        @given(damaged(http(GOOD)) | damaged(GOOD).map(http))
        @settings(max_examples=150, deadline=None)
        def holds(sent: bytes) -> None:
            nonlocal octets
            octets = sent
            with contextlib.suppress(DirectoryError):
                ask(LOGIN)

        holds()

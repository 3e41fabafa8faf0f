"""Envoy's access log says what was decided and why; nobody else hears of it.

Between a stub of extauthz and a service that keep every octet: what Envoy takes from an answer, and
what a client or a service can say in its place. Then with extauthz itself: the two logs agree.
"""

import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from extauthz.demo.authority import Credential, Validity, authority, name, user
from extauthz.findings import Reason
from tests.wire.envoy_process import (
    OK,
    PATIENCE,
    ask_http2,
    client_context,
    make_certificates,
    running_envoy,
    serving,
)
from tests.wire.stack import ACME, ALICE, POLICY, SIGNERS, Stack, running_stack, whole_lines
from tests.wire.test_envoy_config import World, http2_fields, placement, request

NAMES = ("x-extauthz-decision", "x-extauthz-reasons", "x-extauthz-subscription")
HIDDEN = (b"x-extauthz", b"geheim", b"dynamic")
"""What must be in no octet that a client or a service gets."""
LOGGED = ("decision", "reasons", "subscription")


def said(status: str, decision: str, reasons: str = "", more: str = "") -> bytes:
    """An answer of extauthz."""
    fields = f"X-Extauthz-Decision: {decision}\r\nX-Extauthz-Subscription: geheim-acme\r\n"
    if reasons:
        fields += f"X-Extauthz-Reasons: {reasons}\r\n"
    return f"HTTP/1.1 {status}\r\n{fields}{more}Content-Length: 0\r\n\r\n".encode()


ALLOWED = said("200 OK", "allow")
AUDITED = said("200 OK", "deny", "geheim_1,geheim_2")
DENIED = said("403 Forbidden", "deny", "geheim_1,geheim_2", "Cache-Control: no-store\r\n")

SPOOFED = [(field, "geheim-spoofed") for field in (*NAMES, "x-extauthz-access-log")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("access-log")
    make_certificates(directory)
    async with serving() as authorizer, serving() as admin, serving() as service:
        addresses = {"check": authorizer, "admin": admin, "service": service}
        where = placement(directory, **{key: each.address for key, each in addresses.items()})
        async with running_envoy(where, directory) as envoy:
            yield World(envoy, authorizer, admin, service, directory)


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: World) -> AsyncIterator[World]:
    for server in (shared.authorizer, shared.service):
        server.answer = OK
        server.received.clear()
    yield shared
    shared.hang_up()


stubbed = pytest.mark.asyncio(loop_scope="module")


async def ask(world: World, protocol: str, path: str, *fields: tuple[str, str]) -> bytes:
    """Make a request; every octet of the answer that is no framing."""
    if protocol == "HTTP/2":
        context = client_context(world.certificates)
        sent = http2_fields(*((key, value) for key, value in fields), path=path)
        response = await ask_http2(world.envoy.port, context, sent)
        assert not response.reset
        return b"\n".join(b": ".join(field) for field in response.fields) + response.body
    wire = await world.connect()
    lines = [f"{key}: {value}" for key, value in fields]
    message = await wire.ask(request(*lines, line=f"GET {path} HTTP/1.1"))
    return message.head + message.body


def served(world: World) -> bytes:
    """Every octet that the service got."""
    return b"".join(message.head + message.body for message in world.service.received)


async def logged(world: World, path: str) -> dict[str, object]:
    entry = await world.envoy.logged(path)
    return {key: entry[key] for key in ("status", "details", *LOGGED)}


def hears_nothing(octets: bytes) -> bool:
    return not any(word in octets.lower() for word in HIDDEN)


@stubbed
@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
class TestStub:
    @pytest.mark.parametrize(
        ("which", "answer", "status", "details", "decision", "reasons"),
        [
            ("allowed", ALLOWED, 200, "via_upstream", "allow", None),
            ("audited", AUDITED, 200, "via_upstream", "deny", "geheim_1,geheim_2"),
            ("denied", DENIED, 403, "ext_authz_denied", "deny", "geheim_1,geheim_2"),
        ],
    )
    async def test_log_has_what_the_answer_says(
        self, world: World, protocol: str, which: str, answer: bytes, status: int, details: str,
        decision: str, reasons: str | None,
    ) -> None:  # fmt: skip
        """On an allow and on a denial; neither the client nor the service gets an octet of it."""
        world.authorizer.answer = answer
        path = f"/{which}/{protocol}"
        octets = await ask(world, protocol, path)
        entry = await logged(world, path)

        assert hears_nothing(octets)
        assert hears_nothing(served(world))
        assert entry == {
            "status": status, "details": details, "decision": decision, "reasons": reasons,
            "subscription": "geheim-acme",
        }  # fmt: skip

    async def test_of_an_error_envoy_takes_nothing(self, world: World, protocol: str) -> None:
        """The log says that the check failed; why, says the decision log under the same id."""
        world.authorizer.answer = said("500 No", "deny", "geheim_1")
        path = f"/error/{protocol}"
        octets = await ask(world, protocol, path)
        entry = await logged(world, path)

        assert hears_nothing(octets)
        assert entry == {
            "status": 403, "details": "ext_authz_error", **dict.fromkeys(LOGGED),
        }  # fmt: skip

    @pytest.mark.parametrize("answer", [OK, ALLOWED, DENIED], ids=["silent", "allowed", "denied"])
    async def test_client_says_nothing_in_our_name(
        self, world: World, protocol: str, answer: bytes
    ) -> None:
        """Its fields of these names reach neither the log nor the service, nor extauthz."""
        world.authorizer.answer = answer
        path = f"/claimed/{protocol}/{len(answer)}"
        octets = await ask(world, protocol, path, *SPOOFED)
        (check,) = world.authorizer.received
        entry = await logged(world, path)

        assert b"spoofed" not in check.head
        assert check.values("x-extauthz-access-log") == ["true"]
        assert hears_nothing(octets)
        assert hears_nothing(served(world))
        assert "spoofed" not in json.dumps(await world.envoy.logged(path))
        if answer is OK:
            assert {entry[key] for key in LOGGED} == {None}

    async def test_service_says_nothing_in_our_name(self, world: World, protocol: str) -> None:
        """What a service calls so is its own: the client gets it as always, the log does not."""
        world.authorizer.answer = ALLOWED
        own = "X-Extauthz-Decision: own\r\nX-Extauthz-Reasons: own\r\n"
        world.service.answer = f"HTTP/1.1 200 OK\r\n{own}Content-Length: 0\r\n\r\n".encode()
        path = f"/own/{protocol}"
        octets = await ask(world, protocol, path)
        entry = await logged(world, path)

        assert b"x-extauthz-decision: own" in octets.lower()
        assert b"geheim" not in octets
        assert (entry["decision"], entry["reasons"]) == ("allow", None)

    async def test_nothing_is_left_of_the_request_before(self, world: World, protocol: str) -> None:
        """On one connection every request has its own decision, or none."""
        world.authorizer.answer = DENIED
        wire = await world.connect()
        await wire.ask(request(line=f"GET /first/{protocol} HTTP/1.1"))
        world.authorizer.answer = OK
        await wire.ask(request(line=f"GET /second/{protocol} HTTP/1.1"))

        assert (await logged(world, f"/first/{protocol}"))["decision"] == "deny"
        assert (await logged(world, f"/second/{protocol}"))["decision"] is None


@stubbed
async def test_whoever_is_turned_away_unasked_has_no_decision(world: World) -> None:
    """Before the check nothing was decided, and the log does not say that it was."""
    wire = await world.connect()
    upgrade = ("Connection: upgrade", "Upgrade: something")
    response = await wire.ask(request(*upgrade, line="GET /upgrade HTTP/1.1"))
    entry = await logged(world, "/upgrade")

    assert response.line.split()[1] == "403"
    assert not world.authorizer.received
    assert {entry[key] for key in LOGGED} == {None}


HELP = """\
  helping:
    hosts: [helping.example]
    signing_certificates: [acme.pem]
    accounts: {alice: alice@acme.example}
    denial: {help: "Renew it at https://pki.acme.example/"}
  pilot:
    hosts: [pilot.example]
    signing_certificates: [acme.pem]
    accounts: {alice: alice@acme.example, bob: bob@acme.example}
    certificate_required_for: {logins: [bob]}
"""
STRANGER = user(authority(name("Nobody's CA")), "Alice", "alice@acme.example")
EXPIRED = user(ACME, "Alice", "alice@acme.example", validity=Validity.days(-0.5, -0.1))
BOB = user(ACME, "Bob", "bob@acme.example")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), POLICY + HELP, SIGNERS) as running:
        yield running


def access_entry(stack: Stack, path: str) -> dict[str, Any]:
    """What Envoy's access log says of the request with this path."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for line in whole_lines(stack.envoy):
            entry: dict[str, Any] = json.loads(line)
            if entry["path"] == path:
                return entry
        time.sleep(0.02)
    raise AssertionError(f"no entry for {path}")


WHO: dict[str, tuple[str, Credential | None, str | None, list[str]]] = {
    "allowed": ("acme.example", ALICE, "alice", []),
    "no certificate": ("acme.example", None, "alice", ["certificate_missing"]),
    "expired": ("acme.example", EXPIRED, None, ["certificate_expired"]),
    "stranger": ("acme.example", STRANGER, "alice", ["issuer_mismatch"]),
    "other account": ("acme.example", ALICE, "bob", ["email_mismatch"]),
    "two reasons": ("acme.example", STRANGER, "bob", ["issuer_mismatch", "email_mismatch"]),
    "fixed refusal": ("globex.example", None, None, ["certificate_missing"]),
    "nobody's host": ("nobody.example", ALICE, None, ["subscription_unknown"]),
    "audited": ("audited.example", None, None, ["certificate_missing"]),
    "not required yet": ("pilot.example", None, "alice", ["certificate_missing"]),
    "required": ("pilot.example", None, "bob", ["certificate_missing"]),
    "off": ("unchecked.example", None, None, []),
}
WORDS = [*Reason, "x-extauthz", "deny"]


@pytest.mark.parametrize(
    ("protocol", "accept"),
    [("--http1.1", "text/html"), ("--http2", "application/json")],
    ids=["HTTP/1.1", "HTTP/2"],
)
@pytest.mark.parametrize("who", WHO)
def test_both_logs_say_the_same_under_the_same_id(
    stack: Stack, who: str, protocol: str, accept: str
) -> None:
    """Decision, reasons and subscription; also of a denial that was let pass.

    And no octet of the answer, in which the service repeats what it got, says why.
    """
    host, certificate, login, reasons = WHO[who]
    answer = stack.ask(
        certificate, protocol, "--header", f"Accept: {accept}", host=host, login=login
    )
    path = str(answer.decision["path"])
    entry = access_entry(stack, path)

    assert answer.reasons == reasons
    assert entry["reasons"] == (",".join(reasons) or None)
    assert entry["decision"] == answer.decision["decision"] == ("deny" if reasons else "allow")
    assert entry["subscription"] == answer.decision["subscription"]
    assert entry["request_id"] == answer.decision["request_id"]
    assert entry["status"] == answer.status
    assert (answer.status == 200) is answer.decision["allowed"]
    heard = (answer.headers + answer.body).lower()
    assert not [word for word in WORDS if word in heard]


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_refused_client_is_told_the_id_that_both_logs_have(stack: Stack, accept: str) -> None:
    """It is what the help desk asks for; in the page, with the subscription's help."""
    answer = stack.ask(None, "--header", f"Accept: {accept}", host="helping.example")
    request_id = str(answer.decision["request_id"])

    assert answer.status == 403
    assert request_id in answer.body
    assert access_entry(stack, str(answer.decision["path"]))["request_id"] == request_id
    assert "https://pki.acme.example/" in answer.body
    assert ("content-security-policy: default-src 'none'" in answer.headers) is (
        accept == "text/html"
    )


def test_decision_log_has_the_user_agent(stack: Stack) -> None:
    """So that a report can say which integration it is."""
    answer = stack.ask(ALICE, "--user-agent", "nightly-backup/2", login="alice")

    assert answer.decision["user_agent"] == "nightly-backup/2"

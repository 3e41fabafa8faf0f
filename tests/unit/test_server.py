"""The check listener, over raw sockets: every octet is answered, refused and recorded."""

import asyncio
import os
import re
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from aiohttp import web
from prometheus_client import generate_latest

from extauthz.decision import Question
from extauthz.demo.authority import authority, name, user
from extauthz.directory.gathered import GatheredDirectories
from extauthz.evidence.gathered import GatheredEvidence
from extauthz.observe.decision_log import DecisionLog, DecisionLogs
from extauthz.observe.log_stream import LogStream
from extauthz.observe.metrics import CheckCounters, registry
from extauthz.observe.recorder import Recorder
from extauthz.pins.gathered import GatheredPins
from extauthz.policyfile.live import LivePolicy
from extauthz.server import Checker, _is_allowed, _may_ask, check_server
from extauthz.snapshot import Snapshot
from extauthz.wire import xfcc
from extauthz.wire.request import RequestReader
from tests.decision_lines import checks_in

CA = authority(name("CA"))
ALICE = user(CA, "Alice", "alice@acme.example")
CERT = f'Cert="{quote(ALICE.pem, safe="")}"'
GENERIC = b"Invalid user credentials\n"


@dataclass
class Checks:
    """A check listener, its log and its metrics."""

    port: int
    live: LivePolicy
    recorder: Recorder
    log: DecisionLogs
    path: Path
    metrics: object

    async def say(self, octets: bytes, answers: int = 1) -> list[tuple[int, bytes]]:
        """Send octets; the status and body of each answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(octets)
        got = []
        try:
            async with asyncio.timeout(20):
                for _ in range(answers):
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = re.search(rb"(?i)content-length: (\d+)", head)
                    assert length is not None
                    got.append((int(head.split()[1]), await reader.readexactly(int(length[1]))))
        finally:
            writer.close()
        return got

    def records(self) -> list[dict[str, object]]:
        self.recorder.flush()
        self.log.close()
        return checks_in(self.path.read_bytes().splitlines())


async def nobody(_: Sequence[Question]) -> None:
    """Nobody is there to be asked."""


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Checks]:
    (directory / "ca.pem").write_text(CA.pem)
    policy = directory / "policy.yaml"
    policy.write_text(
        "subscriptions: {acme: {hosts: [acme.example], signing_certificates: [ca.pem],"
        " accounts: {alice: alice@acme.example}}}"
    )
    evidence, directories = GatheredEvidence(directory / "state"), GatheredDirectories()
    pins = GatheredPins()
    live = LivePolicy(policy, evidence, directories, pins)
    assert await live.reload()
    path = directory / "decisions"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    log = DecisionLogs([DecisionLog(LogStream(descriptor, "stdout"))])
    counters, reader = CheckCounters(), RequestReader()
    recorder = Recorder(counters, log)
    try:
        async with listening(Checker(live, reader, recorder, nobody, pins)) as port:
            metrics = registry(counters, live, reader, log, evidence, directories, pins)
            yield Checks(port, live, recorder, log, path, metrics)
    finally:
        log.close()
        os.close(descriptor)


@asynccontextmanager
async def listening(checker: Checker) -> AsyncIterator[int]:
    """The check listener on a port of its own."""
    runner = web.ServerRunner(check_server(checker, []))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def checks(tmp_path: Path) -> AsyncIterator[Checks]:
    async with serving(tmp_path) as running:
        yield running


def get(
    *headers: str, path: str = "/check/", method: str = "GET", host: str = "acme.example"
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"


XFCC = f"x-forwarded-client-cert: {CERT}"

ROWS = {
    "allowed": (get(XFCC), 200, []),
    "HEAD": (get(XFCC, method="HEAD"), 200, []),
    "OPTIONS": (get(XFCC, method="OPTIONS"), 200, []),
    "an upgrade": (get(XFCC, "Upgrade: websocket", "Connection: Upgrade"), 200, []),
    "an upgrade without certificate": (
        get("Upgrade: websocket", "Connection: Upgrade"), 403, ["certificate_missing"]),
    "empty certificate header": (get("x-forwarded-client-cert:"), 403, ["certificate_missing"]),
    "a certificate header after an empty one": (
        get("x-forwarded-client-cert:", XFCC), 403, ["certificate_malformed"]),
    "empty Host": (get(XFCC, host=""), 403, ["subscription_unknown"]),
    "more fields than are parsed": (
        get(XFCC, *(f"x-{n}: 1" for n in range(300))), 403, ["request_malformed"]),
    "a login as long as a header": (
        get(XFCC, "Authorization: Basic " + "YWFh" * 200_000), 403, ["login_malformed"]),
    "WebDAV method": (get(XFCC, method="PROPFIND"), 200, []),
    "OPTIONS *": (get(XFCC, method="OPTIONS", path="/check*"), 200, []),
    "no certificate": (get(), 403, ["certificate_missing"]),
    "two certificate headers": (get(XFCC, XFCC), 403, ["certificate_malformed"]),
    "JSON in the certificate header": (
        get('x-forwarded-client-cert: [{"cert":"x"}]'), 403, ["certificate_malformed"]),
    "underscores": (get(XFCC.replace("-", "_", 3)), 403, ["certificate_missing"]),
    "dots": (get(XFCC.replace("-", ".", 3)), 403, ["certificate_missing"]),
    "two Hosts": (get(XFCC, "Host: acme.example"), 403, ["request_malformed"]),
    "two different Hosts": (get(XFCC, "Host: other.example"), 403, ["request_malformed"]),
    "no Host": (get(XFCC).replace(b"Host: acme.example\r\n", b""), 403, ["request_malformed"]),
    "not below the prefix": (get(XFCC, path="/"), 403, ["request_malformed"]),
    "health is not here": (get(path="/healthz"), 403, ["request_malformed"]),
    "readiness is not here": (get(path="/readyz"), 403, ["request_malformed"]),
    "metrics are not here": (get(path="/metrics"), 403, ["request_malformed"]),
    "a prefix of the prefix": (get(XFCC, path="/checkhealthz"), 403, ["request_malformed"]),
    "path that is health to the service": (
        get(path="/check/healthz"), 403, ["certificate_missing"]),
    "path that begins with //": (
        get(path="/check//other.example/"), 403, ["certificate_missing"]),
    "unknown method": (get(XFCC, method="FOO"), 403, ["request_malformed"]),
    "not HTTP": (b"\x16\x03\x01\x02\x00garbage\r\n\r\n", 403, ["request_malformed"]),
    "bad version": (b"GET /check/ HTTP/9.9\r\nHost: acme.example\r\n\r\n", 403,
                    ["request_malformed"]),
    "two Content-Lengths": (get(XFCC, "Content-Length: 1", "Content-Length: 2"), 403,
                            ["request_malformed"]),
    "octets beyond ASCII in the host": (get(XFCC, host="acme\xff.example"), 403,
                                        ["subscription_unknown"]),
    "octets beyond ASCII in the login": (get(XFCC, "Authorization: Basic \xff\xfe"), 403,
                                         ["login_malformed"]),
    "octets beyond ASCII in the id and Accept": (
        get(XFCC, "x-request-id: \xff", "Accept: \xfe", "x-extauthz-client-address: \xfd"), 200,
        []),
    "octets beyond ASCII in the certificate": (
        get("x-forwarded-client-cert: Cert=\xff"), 403, ["certificate_malformed"]),
    "two Authorizations": (get(XFCC, "Authorization: Basic YTpi", "Authorization: Basic YTpi"),
                           403, ["login_malformed"]),
    "headers that clients can set": (
        get("x-envoy-original-path: /healthz", "x-forwarded-host: other.example",
            "x-original-url: /", "x-rewrite-url: /"), 403, ["certificate_missing"]),
    "certificate header longer than is read": (
        get("x-forwarded-client-cert: " + "x" * (xfcc.MAX_LENGTH + 1)), 403,
        ["certificate_malformed"]),
    "header longer than is parsed": (
        get("x-forwarded-client-cert: " + "x" * (2 * 1024 * 1024)), 403, ["request_malformed"]),
    "64 KB of chain": (
        get(f'{XFCC};Chain="{quote((ALICE.pem + CA.pem * 110), safe="")}"'), 200, []),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "status", "reasons"), ROWS.values(), ids=ROWS.keys())
async def test_every_request_has_its_answer_and_its_line(
    checks: Checks, octets: bytes, status: int, reasons: list[str]
) -> None:
    """Nobody sees an error page of a parser, and no check goes unrecorded."""
    ((answered, body),) = await checks.say(octets)

    assert answered == status
    assert body == (b"" if status == 200 else GENERIC)
    (record,) = checks.records()
    assert record["reasons"] == reasons
    assert record["allowed"] is (status == 200)


async def test_pipelined_checks_are_answered_in_order(checks: Checks) -> None:
    """Each has a decision of its own."""
    answers = await checks.say(get(XFCC) + get() + get(XFCC), 3)

    assert [status for status, _ in answers] == [200, 403, 200]
    assert [record["allowed"] for record in checks.records()] == [True, False, True]


@pytest.mark.parametrize("garbage", [b"\x00\x01\r\n\r\n", b"GARBAGE\r\n\r\n"])
async def test_parser_error_on_a_used_connection_is_refused_and_recorded(
    checks: Checks, garbage: bytes
) -> None:
    """What follows a good request is no part of it, and it ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", checks.port)
    writer.write(get(XFCC))
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(garbage)
        rest = await reader.read()
    writer.close()

    assert rest.split()[1] == b"403"
    assert rest.endswith(GENERIC)
    assert [record["allowed"] for record in checks.records()] == [True, False]


async def test_good_request_with_garbage_behind_it_is_not_allowed(checks: Checks) -> None:
    """In one packet with what is no HTTP, the parser gives up the whole: nothing is let through."""
    ((status, body),) = await checks.say(get(XFCC) + b"\x00\x01\r\n\r\n")

    assert (status, body) == (403, GENERIC)
    assert [record["reasons"] for record in checks.records()] == [["request_malformed"]]


@pytest.mark.parametrize("fields", [
    ("Content-Length: 95",), ("Transfer-Encoding: chunked",),
], ids=["a length", "chunks"])  # fmt: skip
async def test_body_of_a_check_is_never_taken_for_a_check(
    checks: Checks, fields: tuple[str, ...]
) -> None:
    """A request inside a body is not asked, and the one behind the body is."""
    hidden = get(host="nobody.example", path="/check/hidden").ljust(95, b"x")
    chunked = b"5f\r\n%b\r\n0\r\n\r\n" % hidden
    body = hidden if "Length" in fields[0] else chunked
    assert len(hidden) == 95

    answers = await checks.say(get(XFCC, *fields, method="POST") + body + get(path="/check/b"), 2)

    assert [status for status, _ in answers] == [200, 403]
    assert [record["path"] for record in checks.records()] == ["/", "/b"]


async def test_http_1_0_and_closed_connections_are_answered(checks: Checks) -> None:
    """The fixed answer is for connections that stay; the others get aiohttp's."""
    for octets in (
        get(XFCC, "Connection: close"),
        get(XFCC).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", checks.port)
        writer.write(octets)
        async with asyncio.timeout(10):
            whole = await reader.read()
        assert b" 200 OK\r\n" in whole
        writer.close()


@pytest.mark.timeout(600)
async def test_client_that_does_not_read_is_waited_for(checks: Checks) -> None:
    """Answers do not pile up without bound, and none is lost."""
    count = 20_000
    reader, writer = await asyncio.open_connection("127.0.0.1", checks.port)
    request = get("x-request-id: 1", XFCC)
    sending = asyncio.create_task(_send(writer, request * 100, count // 100))
    answered = 0
    while answered < count:
        # Of so many the last may take long on a busy machine; the next one never does.
        async with asyncio.timeout(30):
            answered += (await reader.readuntil(b"\r\n\r\n")).count(b" 200 OK")
    await sending
    writer.close()
    assert answered == count


async def _send(writer: asyncio.StreamWriter, octets: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(octets)
        await writer.drain()


class _PanicError(BaseException):
    """What a Rust library raises when it has a bug: no Exception."""


@pytest.mark.parametrize(
    "error", [RuntimeError("b"), RecursionError(), MemoryError(), _PanicError()]
)
async def test_bug_in_a_check_is_a_5xx_and_has_its_line(
    checks: Checks, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Envoy refuses after a 5xx; the record says that it was we who failed."""

    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(Snapshot, "check", fail)
    ((status, body),) = await checks.say(get(XFCC, "x-request-id: abc"))

    assert (status, body) == (500, b"")
    (record,) = checks.records()
    assert (record["reasons"], record["allowed"]) == (["internal_error"], False)
    assert record["request_id"] == "abc"


async def test_check_before_any_policy_is_refused(checks: Checks) -> None:
    """CVE-2026-27586 (Caddy): without a policy nobody comes in."""
    checks.live.snapshot = None
    ((status, _),) = await checks.say(get(XFCC))

    assert status == 500


async def test_hostile_text_makes_one_line_of_json(checks: Checks) -> None:
    """Log injection is impossible, from wherever the text comes."""
    evil = 'a"\\\x85,{}\u00e2\u0080\u00a8\xff"}'
    path = '/%0aa"\\,{}"}'
    await checks.say(get(f"x-request-id: {evil}", path=f"/check{path}", host="x" + evil))

    (record,) = checks.records()
    assert record["reasons"] == ["subscription_unknown"]
    for key in ("request_id", "host", "path"):
        assert 'a"\\' in str(record[key])
    assert checks.path.read_bytes().count(b"\n") == 1


async def test_metrics_count_what_was_decided(checks: Checks) -> None:
    """By subscription and decision, and by reason."""
    await checks.say(get(XFCC) + get() + get() + get(host="x.example"), 4)
    checks.recorder.flush()
    text = generate_latest(checks.metrics).decode()  # type: ignore[arg-type]

    for line in (
        'extauthz_checks_total{decision="allow",mode="enforce",subscription="acme"} 1.0',
        'extauthz_checks_total{decision="deny",mode="enforce",subscription="acme"} 2.0',
        'extauthz_checks_total{decision="deny",mode="",subscription=""} 1.0',
        'extauthz_denials_total{reason="certificate_missing",subscription="acme"} 2.0',
        "extauthz_check_duration_seconds_count 4.0",
        "extauthz_policy_generation 1.0",
        "extauthz_policy_last_reload_successful 1.0",
    ):
        assert line in text


async def test_no_request_makes_a_series_of_metrics(checks: Checks) -> None:
    """Whatever hosts, methods, paths, logins and user agents strangers come with."""

    def series() -> set[str]:
        checks.recorder.flush()
        text = generate_latest(checks.metrics).decode()  # type: ignore[arg-type]
        return {line.rpartition(" ")[0] for line in text.splitlines() if line[:1] != "#"}

    await checks.say(get(host="x.example") + get() + get(XFCC), 3)
    before = series()
    for number in range(100):
        login = b64encode(f"stranger{number}:x".encode()).decode()
        await checks.say(
            get(
                f"user-agent: agent{number}", f"authorization: Basic {login}",
                f"x-extauthz-client-address: 192.0.2.{number}", f"x-request-id: id{number}",
                host=f"host{number}.example", path=f"/check/path{number}",
            )
        )  # fmt: skip
        await checks.say(get(f"user-agent: agent{number}", path=f"/check/{number}"))
    assert series() == before


@pytest.mark.parametrize(("peer", "allowed"), [
    ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("::ffff:127.0.0.1", True),
    ("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.2.0.1", False), ("192.0.2.1", False),
    ("2001:db8::1", False), ("::ffff:192.0.2.1", False),
])  # fmt: skip
def test_only_loopback_and_who_was_named_may_ask(peer: str, allowed: bool) -> None:  # noqa: FBT001
    """CVE-2026-76835 (oauth2-proxy): not every peer is a trusted proxy."""
    assert _is_allowed(ip_address(peer), [ip_network("10.1.0.0/16")]) is allowed


class Connection(asyncio.BaseTransport):
    """What uvloop knows of a connection, when it is made: its socket is no real one either."""

    def __init__(self, family: socket.AddressFamily, peer: object) -> None:
        super().__init__({"peername": peer, "socket": SimpleNamespace(family=family)})


@pytest.mark.parametrize(("family", "peer", "may"), [
    (socket.AF_INET, ("127.0.0.1", 1), True), (socket.AF_INET, ("192.0.2.1", 1), False),
    (socket.AF_INET6, ("fe80::1%eth0", 1, 0, 2), False), (socket.AF_INET6, ("::1", 1, 0, 0), True),
    (socket.AF_INET, None, False), (socket.AF_INET6, None, False),
    (socket.AF_UNIX, "", True), (socket.AF_UNIX, None, True),
])  # fmt: skip
def test_a_connection_that_was_reset_is_no_unix_socket(
    family: socket.AddressFamily,
    peer: object,
    may: bool,  # noqa: FBT001
) -> None:
    """Of either, uvloop may know no address; who is not allowed can send a reset."""
    assert _may_ask(Connection(family, peer), []) is may


async def test_policy_that_came_while_a_responder_was_asked_decides_and_is_recorded(
    checks: Checks,
) -> None:
    """What it blocks counts for the checks that wait, and the log says which policy it was."""
    policy = checks.live.path
    smallest = policy.read_text()
    asked = smallest.replace("accounts:", "revocation: {ocsp: {responder: 'http://x/'}}, accounts:")
    serial = f"{ALICE.certificate.serial_number:x}"
    blocked = smallest.replace(
        "accounts:", f"revocation: {{blocked: {{serials: ['{serial}']}}}}, accounts:"
    )

    async def ask(_: Sequence[Question]) -> None:
        policy.write_text(blocked)
        assert await checks.live.reload()

    policy.write_text(asked)
    assert await checks.live.reload()
    checker = Checker(checks.live, RequestReader(), checks.recorder, ask, GatheredPins())
    async with listening(checker) as port:
        ((status, _),) = await replace(checks, port=port).say(get(XFCC))
    (record,) = checks.records()
    assert status == 403
    assert (record["reasons"], record["policy_generation"]) == (["certificate_revoked"], 3)

"""Pins in a Redis that replicas share: whose a session is, and what is said when it is not well."""

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.demo.authority import Credential, authority, name
from extauthz.lookup import Secret
from extauthz.pins import redis_client
from extauthz.pins.redis_client import CONNECTIONS, PAUSE_SECONDS
from extauthz.pins.shared import SharedPins, problem_with
from extauthz.pins.trouble import MAX_FAILURES
from extauthz.session import Holder, Pin, Pins, PinsUnavailable, SessionPolicy
from tests.pins.redis_server import RedisServer, redis_server
from tests.ports import LOOPBACK, free_port

IDLE = timedelta(hours=12)
PASSWORD = "pässword with spaces"


def pin(session: object, subscription: str = "acme") -> Pin:
    return Pin(subscription, hashlib.sha256(str(session).encode()).digest())


def key(session: object, subscription: str = "acme") -> str:
    return f"extauthz:pin:{subscription}:{hashlib.sha256(str(session).encode()).hexdigest()}"


def whom(*logins: str) -> Holder:
    return Holder(frozenset(logins))


ALICE, BOB, MALLORY = whom("alice"), whom("bob"), whom("mallory")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.run("FLUSHALL")
    return running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server for a test that does it harm."""
    with redis_server(tmp_path) as server:
        yield server


Open: TypeAlias = Callable[[SessionPolicy | str], SharedPins]


@pytest.fixture
async def opened(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Open]:
    """Opens stores and closes them at the end; nothing that is secret may be in the log then."""
    caplog.set_level(logging.DEBUG)
    async with contextlib.AsyncExitStack() as stack:

        def open_one(policy: SessionPolicy | str) -> SharedPins:
            if isinstance(policy, str):
                policy = SessionPolicy("sid", store=policy)
            pins = SharedPins(policy)
            stack.push_async_callback(pins.close)
            return pins

        yield open_one
    assert pin("s").digest.hex() not in caplog.text
    assert PASSWORD not in caplog.text


@pytest.fixture
def pins(opened: Open, server: RedisServer) -> Pins:
    return opened(server.url)


async def of(pins: Pins, session: object = "s", subscription: str = "acme") -> Holder | None:
    found = await pins.holder([pin(session, subscription)], IDLE)
    assert not isinstance(found, PinsUnavailable), found.why
    return found[0]


async def bind(pins: Pins, session: object, holder: Holder, subscription: str = "acme") -> Holder:
    bound = await pins.bind([pin(session, subscription)], holder, IDLE)
    assert not isinstance(bound, PinsUnavailable), bound.why
    return bound[0]


async def refusal(pins: Pins, *, binding: bool = False) -> str:
    """Why nobody can say whose a session is: one line without a secret, in time."""
    began = time.monotonic()
    asked = pins.bind([pin("s")], MALLORY, IDLE) if binding else pins.holder([pin("s")], IDLE)
    found = await asked
    assert isinstance(found, PinsUnavailable)
    assert time.monotonic() - began < redis_client.SECONDS + 10
    assert found.why.isprintable()
    assert pin("s").digest.hex() not in found.why
    assert PASSWORD not in found.why
    return found.why


async def answered(pins: Pins) -> Holder | None:
    """Whose a session is, once the store answers again."""
    async with asyncio.timeout(30):
        while True:
            found = await pins.holder([pin("s")], IDLE)
            if not isinstance(found, PinsUnavailable):
                return found[0]
            await asyncio.sleep(0.05)


async def test_session_belongs_to_whom_it_was_bound_to_first(pins: Pins) -> None:
    assert await of(pins) is None
    assert await bind(pins, "s", ALICE) == ALICE
    assert await of(pins) == ALICE
    assert await bind(pins, "s", MALLORY) == ALICE
    assert await of(pins) == ALICE


async def test_replicas_know_the_same(opened: Open, server: RedisServer) -> None:
    """Also after one was started again."""
    one, other = opened(server.url), opened(server.url)
    await bind(one, "s", ALICE)
    await one.close()
    assert await bind(other, "s", MALLORY) == ALICE
    assert await of(opened(server.url)) == ALICE


async def test_of_many_that_race_all_are_told_the_same(opened: Open, server: RedisServer) -> None:
    one, other = opened(server.url), opened(server.url)
    bound = await asyncio.gather(
        *(bind((one, other)[n % 2], "s", whom(f"user {n}")) for n in range(60))
    )
    assert len(set(bound)) == 1
    assert await of(one) == bound[0]


async def test_several_sessions_of_one_request_are_bound_together(pins: Pins) -> None:
    await bind(pins, 2, BOB)
    assert await pins.bind([pin(1), pin(2), pin(3)], ALICE, IDLE) == [ALICE, BOB, ALICE]
    assert await pins.holder([pin(3), pin(4), pin(2)], IDLE) == [ALICE, None, BOB]
    assert await pins.holder([], IDLE) == await pins.bind([], ALICE, IDLE) == []


async def test_subscriptions_and_databases_do_not_share_sessions(
    opened: Open, server: RedisServer
) -> None:
    """One Redis may serve several installations, each with a number of its own."""
    first = opened(server.url)
    second = opened(f"redis://{LOOPBACK}:{server.port}/2")
    await bind(first, "s", ALICE)
    assert await of(first, "s", "globex") is None
    assert await bind(second, "s", BOB) == BOB
    assert await of(first) == ALICE


async def test_what_stands_in_redis(pins: Pins, server: RedisServer) -> None:
    """The digest, never the session; the logins in order, in ASCII."""
    await bind(pins, "s", whom("zoë", "alice"))
    assert server.run("KEYS", "*") == key("s")
    assert server.run("GET", key("s")) == '["alice", "zo\\u00eb"]'
    assert await of(pins) == whom("zoë", "alice")


async def test_pin_lasts_for_its_idle_time_after_its_last_use(
    pins: Pins, server: RedisServer
) -> None:
    """To look it up is to use it; to try to bind it is not."""

    def left() -> float:
        return int(server.run("PTTL", key("s"))) / 1000

    await bind(pins, "s", ALICE)
    assert IDLE.total_seconds() - 60 < left() <= IDLE.total_seconds()
    server.run("PEXPIRE", key("s"), "3600000")
    await bind(pins, "s", MALLORY)
    assert left() <= 3600
    await of(pins)
    assert IDLE.total_seconds() - 60 < left()


async def test_pin_that_has_run_out_is_nobodys(pins: Pins) -> None:
    await pins.bind([pin("s")], ALICE, timedelta(milliseconds=20))
    async with asyncio.timeout(30):
        while await bind(pins, "s", BOB) != BOB:  # noqa: ASYNC110 (in another process)
            await asyncio.sleep(0.01)
    assert await of(pins) == BOB


FOREIGN = {
    "empty": "",
    "a login alone": "alice",
    "text": '"alice"',
    "nobody": "[]",
    "a number": "[1]",
    "null": "null",
    "an object": '{"alice": 1}',
    "out of order": '["bob", "alice"]',
    "one twice": '["alice", "alice"]',
    "written by something else": '["alice"]\n',
    "cut off": '["alic',
    "deep": "[" * 5_000,
    "large": f'["{"x" * 70_000}"]',
}


@pytest.mark.parametrize("value", FOREIGN.values(), ids=FOREIGN)
async def test_value_that_nobody_here_wrote_says_nothing(
    pins: Pins, server: RedisServer, value: str
) -> None:
    """Nor is it taken for an unbound session, or written over."""
    server.run("SET", key("s"), value)
    assert "not a pin" in await refusal(pins)
    assert "not a pin" in await refusal(pins, binding=True)
    assert server.run("GET", key("s")) == value.strip("\n")


async def test_key_of_another_type_says_nothing(pins: Pins, server: RedisServer) -> None:
    server.run("RPUSH", key("s"), "alice")
    assert await refusal(pins) == "it answers with an error: WRONGTYPE"
    assert await refusal(pins, binding=True) == "it answers with an error: WRONGTYPE"
    assert server.run("LRANGE", key("s"), "0", "-1") == "alice"
    assert await of(pins, "another") is None


async def test_few_connections_are_kept_for_many_questions(
    opened: Open, server: RedisServer
) -> None:
    pins = opened(server.url)
    before = _received(server)
    for _ in range(5):
        await asyncio.gather(*(of(pins, n) for n in range(100)))
    assert _received(server) - before <= CONNECTIONS + 2
    await until_clients(server, CONNECTIONS)
    await pins.close()
    await until_clients(server, 0)
    assert "closed" in await refusal(pins)


def _received(server: RedisServer) -> int:
    """How many connections a server has accepted, those of this question among them."""
    stats = dict(line.split(":") for line in server.run("INFO", "stats").splitlines()[1:])
    return int(stats["total_connections_received"])


async def until_clients(server: RedisServer, count: int) -> None:
    """Wait until a server has so many connections, or fewer: it ends them when it comes to it."""
    async with asyncio.timeout(30):
        while server.clients() > count:  # noqa: ASYNC110 (in another process)
            await asyncio.sleep(0.02)


async def test_killed_server_is_unavailable_and_then_recovers(
    opened: Open, own: RedisServer
) -> None:
    pins = opened(own.url)
    await bind(pins, "s", ALICE)
    own.kill()
    for _ in range(5):
        assert await refusal(pins) == "no connection: Connection refused"
    own.start()
    assert await answered(pins) is None
    assert await bind(pins, "s", BOB) == BOB


async def test_restart_between_two_questions_is_no_failure(opened: Open, own: RedisServer) -> None:
    """Every connection that was kept is stale then."""
    pins = opened(own.url)
    await asyncio.gather(*(of(pins, n) for n in range(50)))
    own.kill()
    own.start()
    assert await of(pins) is None
    own.run("CLIENT", "KILL", "TYPE", "normal")
    assert await bind(pins, "s", ALICE) == ALICE


async def test_hung_server_costs_little_and_then_recovers(
    opened: Open, own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question ends in time, connections do not pile up, no answer goes to another one."""
    pins = opened(own.url)
    for n in range(20):
        await bind(pins, n, whom(f"user {n}"))
    before = _received(own)
    own.hang()
    monkeypatch.setattr(redis_client, "SECONDS", 0.5)
    asked = waited = 0
    deadline = time.monotonic() + 2 * redis_client.SECONDS + PAUSE_SECONDS
    while time.monotonic() < deadline or asked < 300:
        began = time.monotonic()
        whys = await asyncio.gather(*(refusal(pins) for _ in range(100)))
        assert set(whys) == {"no answer within 0.5 s"}
        asked += len(whys)
        # Whoever asks the server waits for so long; in its pauses nobody does.
        waited += time.monotonic() - began >= redis_client.SECONDS
        await asyncio.sleep(0.02)
    own.resume()
    monkeypatch.setattr(redis_client, "SECONDS", 20.0)
    await answered(pins)
    found = await asyncio.gather(*(of(pins, n) for n in range(20)))
    assert found == [whom(f"user {n}") for n in range(20)]
    assert _received(own) - before <= (waited + 1) * (CONNECTIONS + MAX_FAILURES) + 2
    await until_clients(own, CONNECTIONS)


async def test_answer_to_a_question_that_was_given_up_is_read_by_nobody(
    opened: Open, own: RedisServer
) -> None:
    pins = opened(own.url)
    await bind(pins, "s", ALICE)
    await bind(pins, "another", BOB)
    own.hang()
    given_up = asyncio.create_task(of(pins))
    await asyncio.sleep(0.05)
    given_up.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await given_up
    own.resume()
    for _ in range(3):
        assert await of(pins, "another") == BOB
        assert await of(pins) == ALICE


async def test_full_server_keeps_what_it_has_and_binds_nothing(
    pins: Pins, server: RedisServer
) -> None:
    """With `maxmemory-policy noeviction`, which is what pins need."""
    await bind(pins, "known", ALICE)
    server.run("CONFIG", "SET", "maxmemory", "1")
    try:
        assert await refusal(pins, binding=True) == "it is out of memory"
        assert await of(pins, "known") == ALICE
        assert await of(pins) is None
    finally:
        server.run("CONFIG", "SET", "maxmemory", "0")
    assert await bind(pins, "s", BOB) == BOB


async def test_replica_of_redis_is_unavailable(pins: Pins, server: RedisServer) -> None:
    await bind(pins, "s", ALICE)
    server.run("REPLICAOF", LOOPBACK, str(free_port()))
    try:
        assert await refusal(pins) == "it is a replica that only reads"
        assert await refusal(pins, binding=True) == "it is a replica that only reads"
    finally:
        server.run("REPLICAOF", "NO", "ONE")
    assert await of(pins) == ALICE


async def test_password_is_read_for_each_connection(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotating it needs no restart; without the right one nothing is said."""
    file = tmp_path / "password"
    with redis_server(tmp_path, "--requirepass", PASSWORD) as server:
        policy = SessionPolicy("sid", store=server.url, password=Secret(file=str(file)))
        pins = opened(policy)
        assert f"{file} cannot be read" in await refusal(pins)
        file.write_text("wrong\n")
        assert await refusal(pins) == "it does not accept the user or the password"
        file.write_text(f"{PASSWORD}\n")
        assert await answered(pins) is None
        assert await bind(pins, "s", ALICE) == ALICE

        server.run("CONFIG", "SET", "requirepass", "new", password=PASSWORD)
        server.run("CLIENT", "KILL", "TYPE", "normal", password="new")
        assert "does not accept" in await refusal(pins)
        file.write_text("new")
        assert await answered(pins) == ALICE

        monkeypatch.setenv("REDIS_PASSWORD", "new")
        assert await of(opened(replace(policy, password=Secret(variable="REDIS_PASSWORD"))))
        assert "does not accept" in await refusal(opened(server.url))


async def test_user_of_redis_needs_few_rights(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    with redis_server(tmp_path) as server:
        server.run(
            "ACL", "SETUSER", "pins", "on", f">{PASSWORD}", "~extauthz:pin:*",
            "+getex", "+set", "+get", "+multi", "+exec",
        )  # fmt: skip
        server.run("ACL", "SETUSER", "nobody", "on", f">{PASSWORD}", "~other:*", "+@all")
        secret = Secret(file=str(tmp_path / "password"))
        at = f"{LOOPBACK}:{server.port}"
        pins = opened(SessionPolicy("sid", store=f"redis://pins@{at}/0", password=secret))
        assert await bind(pins, "s", ALICE) == ALICE
        assert await of(pins) == ALICE
        other = opened(SessionPolicy("sid", store=f"redis://nobody@{at}", password=secret))
        assert "its user may not use" in await refusal(other)
        assert "its user may not use" in await refusal(other, binding=True)


def tls_settings(directory: Path, issuer: Credential) -> list[str]:
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
    issuer.issue(name("redis"), [(names, False)]).write(directory, "redis")
    return [
        "--tls-cert-file", str(directory / "redis.pem"),
        "--tls-key-file", str(directory / "redis-key.pem"),
        "--tls-auth-clients", "no",
    ]  # fmt: skip


async def test_server_is_known_by_its_ca(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the one that is named, and then not by one that the system trusts."""
    ours, others = authority(name("Our CA")), authority(name("Another CA"))
    (tmp_path / "ours.pem").write_text(ours.pem)
    (tmp_path / "others.pem").write_text(others.pem)
    with redis_server(tmp_path, *tls_settings(tmp_path, ours), scheme="rediss") as server:
        policy = SessionPolicy("sid", store=server.url, ca_file=str(tmp_path / "ours.pem"))
        pins = opened(policy)
        assert await bind(pins, "s", ALICE) == ALICE
        assert await of(pins) == ALICE

        assert "TLS certificate is not accepted" in await refusal(opened(server.url))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ours.pem"))
        assert await of(opened(server.url)) == ALICE
        strict = replace(policy, ca_file=str(tmp_path / "others.pem"))
        assert "TLS certificate is not accepted" in await refusal(opened(strict))

        missing = replace(policy, ca_file=str(tmp_path / "missing.pem"))
        assert await refusal(opened(missing)) == (
            f"the CA file {tmp_path / 'missing.pem'} is not usable: No such file or directory"
        )
        plain = opened(server.url.replace("rediss:", "redis:"))
        assert await refusal(plain) in {"the connection was closed", "it does not speak Redis"}


async def test_plain_server_under_a_tls_url(
    opened: Open, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis takes the beginning of the handshake for a command and waits for its end."""
    monkeypatch.setattr(redis_client, "SECONDS", 0.5)
    why = await refusal(opened(server.url.replace("redis:", "rediss:")))
    assert why.startswith(("no answer within", "TLS failed", "the connection was closed"))


STRANGERS = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "silence and the end": b"",
    "a length that is none": b"$-5\r\n",
    "a number that is none": b":alice\r\n",
    "an array without end": b"*100000000\r\n",
    "a text without end": b"$100000000\r\nalice",
    "a depth without end": b"*1\r\n" * 20_000,
    "a line without end": b"+" * 200_000,
    "an error with our words": b"-ERR unknown key " + key("s").encode() + b"\r\n",
    "a number": b":1\r\n",
    "a list of nothing": b"*0\r\n",
}


@pytest.mark.parametrize("octets", STRANGERS.values(), ids=STRANGERS)
async def test_what_is_no_redis_says_nothing(
    opened: Open, octets: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it sends, it is no answer, and it is over in time."""
    monkeypatch.setattr(redis_client, "SECONDS", 0.1)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                writer.write(octets)
                if not octets:
                    break
        writer.close()

    stranger = await asyncio.start_server(converse, LOOPBACK, 0)
    async with stranger:
        pins = opened(f"redis://{LOOPBACK}:{stranger.sockets[0].getsockname()[1]}/0")
        await asyncio.gather(refusal(pins), refusal(pins, binding=True))
        await pins.close()


async def test_connection_that_hangs_as_it_begins_is_given_up(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened is closed, although nothing was ever asked on it."""
    monkeypatch.setattr(redis_client, "SECONDS", 0.2)
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    ended = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                pass
        writer.close()
        ended.set()

    stranger = await asyncio.start_server(converse, LOOPBACK, 0)
    async with stranger:
        url = f"redis://{LOOPBACK}:{stranger.sockets[0].getsockname()[1]}/0"
        policy = SessionPolicy("sid", store=url, password=Secret(variable="REDIS_PASSWORD"))
        assert await refusal(opened(policy)) == "no answer within 0.2 s"
        async with asyncio.timeout(30):
            await ended.wait()


PASSWORD_FILE = Secret(file="password")


@pytest.mark.parametrize(("policy", "why"), [
    (SessionPolicy("s", store="redis://redis.acme.example"), None),
    (SessionPolicy("s", store="rediss://redis.acme.example:6380/15", ca_file="ca.pem"), None),
    (SessionPolicy("s", store="redis://pins@[::1]:6379/0", password=PASSWORD_FILE), None),
    (SessionPolicy("s", store="redis://localhost/", password=PASSWORD_FILE), None),
    (SessionPolicy("s"), "begins neither"),
    (SessionPolicy("s", store="unix:///run/redis.sock"), "begins neither"),
    (SessionPolicy("s", store="localhost:6379"), "begins neither"),
    (SessionPolicy("s", store=f"redis://:{PASSWORD}@localhost/0"), "password in it"),
    (SessionPolicy("s", store="redis://pins:geheim@localhost/0"), "password in it"),
    (SessionPolicy("s", store="redis://localhost/0?password=geheim"), "not one"),
    (SessionPolicy("s", store="redis://localhost/sessions"), "not one"),
    (SessionPolicy("s", store="redis://localhost:0/0"), "not one"),
    (SessionPolicy("s", store="redis://localhost:99999/0"), "not one"),
    (SessionPolicy("s", store="redis://[::1/0"), "not one"),
    (SessionPolicy("s", store="redis:///0"), "not one"),
    (SessionPolicy("s", store="redis://a,b/0"), "not one"),
    (SessionPolicy("s", store="redis://pins@localhost/0"), "`password` is missing"),
    (SessionPolicy("s", store="redis://localhost/0", ca_file="ca.pem"), "without rediss://"),
])  # fmt: skip
async def test_settings_that_cannot_work_are_refused(
    opened: Open, policy: SessionPolicy, why: str | None
) -> None:
    """When the policy is read, and if they come to be used all the same."""
    problem = problem_with(policy)
    if why is None:
        assert problem is None
    else:
        assert problem is not None
        assert why in problem
        assert "geheim" not in problem
        assert await refusal(opened(policy)) == problem


def test_without_redis_py_it_is_said_what_to_install() -> None:
    """It is an extra: nothing else needs it."""
    program = (
        "import sys, asyncio, datetime; sys.modules['redis'] = None\n"
        "from extauthz.pins.shared import SharedPins, problem_with\n"
        "from extauthz.session import Pin, SessionPolicy\n"
        "policy = SessionPolicy('s', store='redis://localhost/0')\n"
        "found = SharedPins(policy).holder([Pin('acme', bytes(32))], datetime.timedelta(1))\n"
        "assert asyncio.run(found).why == problem_with(policy)\n"
        "print(problem_with(policy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "redis-py is not installed: pip install 'extauthz[redis]'\n"


def test_any_logins_come_back_unchanged(server: RedisServer) -> None:
    pins = SharedPins(SessionPolicy("sid", store=server.url))
    with asyncio.Runner() as runner:

        @given(st.frozensets(st.text(), min_size=1, max_size=4))
        @settings(max_examples=60, deadline=None)
        def holds(logins: frozenset[str]) -> None:
            assert runner.run(bind(pins, logins, Holder(logins))) == Holder(logins)
            assert runner.run(of(pins, logins)) == Holder(logins)

        try:
            holds()
        finally:
            runner.run(pins.close())

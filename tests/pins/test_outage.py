"""What operators are told of a store that replicas share and that fails: by the log, by metrics."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from extauthz.demo.authority import Credential, authority, name, user
from extauthz.directory.gathered import GatheredDirectories
from extauthz.lookup import Secret
from extauthz.observe.accounts import GatheredAccounts
from extauthz.pins import redis_client
from extauthz.pins.gathered import GatheredPins
from extauthz.pins.shared import SharedPins
from extauthz.pins.trouble import Cause, Deed, Health, Trouble
from extauthz.policyfile.live import LivePolicy
from extauthz.session import Holder, Pin, PinsUnavailable, SessionPolicy
from tests.cli.conftest import Server, forwarded, replace, serving
from tests.pins.redis_server import RedisServer, redis_server

__all__ = ["serving"]

Serving = Callable[..., AbstractContextManager[Server]]

IDLE = timedelta(hours=12)
ALICE = Holder(frozenset({"alice"}))
PASSWORD = "pässword with spaces"
GAUGE = "extauthz_session_store_available"
LOGGER = "extauthz.pins.trouble"


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question is one that is really asked."""
    monkeypatch.setattr(redis_client, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture
async def pins(server: RedisServer, caplog: pytest.LogCaptureFixture) -> AsyncIterator[SharedPins]:
    caplog.set_level(logging.INFO)
    pins = SharedPins(SessionPolicy("sid", store=server.url))
    yield pins
    await pins.close()


def pin(session: int) -> Pin:
    return Pin("acme", session.to_bytes(32))


async def look_up(pins: SharedPins) -> bool:
    """Whether the store says whose a session is."""
    return not isinstance(await pins.holder([pin(1)], IDLE), PinsUnavailable)


async def bind(pins: SharedPins, session: int) -> bool:
    return not isinstance(await pins.bind([pin(session)], ALICE, IDLE), PinsUnavailable)


async def until_it_answers(pins: SharedPins) -> None:
    async with asyncio.timeout(30):
        while not await look_up(pins):  # noqa: ASYNC110 (in another process)
            await asyncio.sleep(0.02)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Level and text of what was said about the store."""
    return [f"{each.levelname} {each.message}" for each in caplog.records if each.name == LOGGER]


async def test_outage_is_told_once_with_its_cause_and_so_is_its_end(
    pins: SharedPins, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Two failures are none yet: a Redis that is started again is worth no line."""
    assert pins.is_available
    server.kill()
    for _ in range(2):
        assert not await look_up(pins)
        assert not pins.is_available
    assert told(caplog) == []
    for _ in range(6):
        assert not await look_up(pins)
    (line,) = told(caplog)
    assert line == (
        f"WARNING session store {server.url} failed 3 times, last: no connection: Connection"
        " refused; requests with a session cookie are refused until it answers"
    )
    server.start()
    await until_it_answers(pins)
    await until_it_answers(pins)
    assert told(caplog)[1:] == [f"INFO session store {server.url} answers again"]
    assert pins.is_available


async def test_outage_that_ends_before_the_third_failure_is_not_told(
    pins: SharedPins, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Failures are counted in a row."""
    for _ in range(2):
        server.kill()
        assert not await look_up(pins)
        assert not await look_up(pins)
        server.start()
        await until_it_answers(pins)
    assert told(caplog) == []


def test_who_did_not_ask_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Nor is who waited in vain while others were answered: the store is busy then."""
    health = Health("redis://r")
    for _ in range(5):
        health.note(Deed.LOOK_UP, Trouble("no answer", Cause.SILENT, is_news=False), 1)
    assert health.is_good
    health.note(Deed.LOOK_UP, [None], 1)
    for _ in range(5):
        health.note(Deed.LOOK_UP, Trouble("no answer", Cause.SILENT), 1)
    assert health.is_good
    assert told(caplog) == []


async def test_store_that_hangs_is_told(
    pins: SharedPins, server: RedisServer, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await until_it_answers(pins)
    monkeypatch.setattr(redis_client, "SECONDS", 0.1)
    server.hang()
    await asyncio.gather(*(pins.holder([pin(1)], IDLE) for _ in range(8)))
    assert "last: no answer within 0.1 s" in "".join(told(caplog))
    server.resume()
    monkeypatch.setattr(redis_client, "SECONDS", 20.0)
    await until_it_answers(pins)
    assert len(told(caplog)) == 2


async def test_full_store_is_told_although_it_answers(
    pins: SharedPins, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Every binding follows a look-up that succeeds, and those prove nothing about bindings."""
    server.run("CONFIG", "SET", "maxmemory", "1")
    for session in range(5):
        assert await look_up(pins)
        assert not await bind(pins, session)
    (line,) = told(caplog)
    assert line == (
        f"WARNING session store {server.url} failed 3 times, last: it is out of memory; requests"
        " that begin a session are refused until it binds them"
    )
    assert not pins.is_available
    server.run("CONFIG", "SET", "maxmemory", "0")
    assert await bind(pins, 9)
    assert told(caplog)[1:] == [f"INFO session store {server.url} answers again"]
    assert pins.is_available


async def test_binding_that_got_no_answer_is_over_when_a_look_up_succeeds(
    pins: SharedPins, server: RedisServer
) -> None:
    """Nobody may log in for hours after that."""
    server.kill()
    assert not await bind(pins, 1)
    assert not pins.is_available
    server.start()
    await until_it_answers(pins)
    assert pins.is_available


async def test_store_that_is_back_and_answers_with_errors_alone_is_not_back_yet(
    pins: SharedPins, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that loads its data: the outage goes on, and is one."""
    server.kill()
    for _ in range(3):
        await look_up(pins)
    server.start()
    server.run("REPLICAOF", "127.0.0.1", "1")
    assert not await look_up(pins)
    assert len(told(caplog)) == 1
    server.run("REPLICAOF", "NO", "ONE")
    await until_it_answers(pins)
    assert len(told(caplog)) == 2


async def test_session_that_another_program_wrote_is_no_outage(
    pins: SharedPins, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Others are known as before."""
    for key, command in ((1, "SET"), (2, "RPUSH")):
        server.run(command, f"extauthz:pin:acme:{pin(key).digest.hex()}", "other")
    for _ in range(5):
        for key in (1, 2):
            assert isinstance(await pins.holder([pin(key)], IDLE), PinsUnavailable)
            assert not await bind(pins, key)
    assert told(caplog) == []
    assert pins.is_available


async def test_store_that_is_given_back_is_no_outage(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A check of the policy before may still come."""
    pins = SharedPins(SessionPolicy("sid", store=server.url))
    await pins.close()
    for _ in range(5):
        assert isinstance(await pins.holder([pin(1)], IDLE), PinsUnavailable)
    assert told(caplog) == []
    assert pins.is_available


POLICY = """\
subscriptions:
  acme:
    hosts: [acme.example.com]
    signing_certificates: [ca.pem]
    accounts: {alice: alice@acme.example}
    session: {cookie: SID, store: 'STORE'}
  globex:
    hosts: [globex.example.com]
    signing_certificates: [ca.pem]
    accounts: {alice: alice@acme.example}
    session: {cookie: SID}
"""


@pytest.fixture(scope="module")
def credentials() -> tuple[Credential, Credential]:
    ca = authority(name("CA"))
    return ca, user(ca, "alice", "alice@acme.example")


@pytest.fixture
def policy(tmp_path: Path, credentials: tuple[Credential, Credential]) -> Path:
    (tmp_path / "ca.pem").write_text(credentials[0].pem)
    return tmp_path / "policy.yaml"


async def test_gauge_is_that_of_the_policy_in_force(policy: Path, server: RedisServer) -> None:
    """A store that is kept across a reload keeps its state; one that is not named any more goes."""
    async with GatheredPins() as pins:
        directories = GatheredDirectories()
        live = LivePolicy(policy, None, directories, pins)
        metrics = CollectorRegistry()
        metrics.register(GatheredAccounts(live, directories, pins))

        def gauge(subscription: str) -> float | None:
            return metrics.get_sample_value(GAUGE, {"subscription": subscription})

        async def take(text: str) -> tuple[float | None, float | None]:
            replace(policy, text)
            assert await live.reload()
            return gauge("acme"), gauge("globex")

        text = POLICY.replace("STORE", server.url)
        assert await take(text) == (1, None)
        server.kill()
        (store,) = pins.shared.values()
        await store.holder([pin(1)], IDLE)
        assert gauge("acme") == 0
        both = text.replace("cookie: SID}", f"cookie: SID, store: '{server.url}'}}")
        assert await take(both) == (0, 0)
        assert await take(text.replace(server.url, "redis://127.0.0.1:9")) == (1, None)
        assert len(pins.shared) == 1


def ask(server: Server, certificate: Credential) -> int:
    connection = server.connect()
    headers = {
        "Host": "acme.example.com", "Cookie": "SID=a-secret-session",
        "x-forwarded-client-cert": forwarded(certificate),
    }  # fmt: skip
    connection.request("GET", "/check/", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_server_tells_of_a_store_that_hangs(
    policy: Path, server: RedisServer, credentials: tuple[Credential, Credential],
    serving: Serving,
) -> None:  # fmt: skip
    """In its own log, once; in the metrics; and of each check in the decision log."""
    policy.write_text(POLICY.replace("STORE", server.url))
    with serving(policy) as running:
        # The first of them may be slow where a machine is busy.
        running.eventually(lambda: ask(running, credentials[1]) == 200)
        server.hang()
        for _ in range(8):
            assert ask(running, credentials[1]) == 403
        running.said(r"WARNING.* session store redis://\S+ failed 3 times, last: no answer within")
        assert running.metric(GAUGE, subscription="acme") == 0
        server.resume()
        running.eventually(lambda: ask(running, credentials[1]) == 200)
        running.said(r"INFO.* session store redis://\S+ answers again")
        assert running.metric(GAUGE, subscription="acme") == 1
        assert "a-secret-session" not in running.stderr
        running.eventually(lambda: any(map(_says_why, running.decisions())))


def _says_why(decision: dict[str, object]) -> bool:
    return "the store of sessions: no answer within 0.5 s" in str(decision)


def test_server_tells_of_a_password_that_is_not_set(
    policy: Path, server: RedisServer, credentials: tuple[Credential, Credential],
    serving: Serving,
) -> None:  # fmt: skip
    """The cause is the operator's own, and names where he would have set it."""
    text = POLICY.replace("store: 'STORE'", f"store: '{server.url}', password: {{env: NOT_SET}}")
    policy.write_text(text)
    why = "the environment variable NOT_SET is not set"
    with serving(policy) as running:
        until = time.monotonic() + 30
        while "failed 3 times" not in running.stderr and time.monotonic() < until:
            assert ask(running, credentials[1]) == 403
        running.said(rf"WARNING.* session store redis://\S+ failed 3 times, last: {why}")
        assert running.metric(GAUGE, subscription="acme") == 0
        running.eventually(lambda: any(why in str(each) for each in running.decisions()))


async def test_password_is_in_no_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("REDIS_PASSWORD", "wrong " + PASSWORD)
    with redis_server(tmp_path, "--requirepass", PASSWORD) as server:
        policy = SessionPolicy("s", store=server.url, password=Secret(variable="REDIS_PASSWORD"))
        pins = SharedPins(policy)
        for _ in range(3):
            assert not await look_up(pins)
        await pins.close()
    assert "last: it does not accept the user or the password" in caplog.text
    assert PASSWORD not in caplog.text

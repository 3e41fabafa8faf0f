"""Directories behind the real thing, killed and hung under load.

Whatever happens to the place where a subscription's accounts or sessions are, nobody is let in who
should not be, no other subscription notices, and it goes on by itself when the place is back.
"""

import contextlib
import http.client
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from extauthz.demo.authority import Credential, user
from extauthz.demo.processes import Program, wait_until
from tests.directories import slapd, sql_servers
from tests.directories.slapd import Slapd, person, require_slapd
from tests.directories.sql_servers import SqlServer
from tests.pins.redis_server import redis_server
from tests.ports import LOOPBACK, free_port
from tests.wire.stack import ACME, Stack, running_stack

ALICE = user(ACME, "Alice", "alice@acme.example")
BOB = user(ACME, "Bob", "bob@acme.example")
CACHE = "cache: {ttl: 1, negative_ttl: 1}"
CHANGES_WITHIN = 30.0
"""Seconds. A directory is tried every five at the most."""
QUERY = "SELECT login, email FROM users WHERE login = :login OR email = :identity"
TABLE = (
    "CREATE TABLE users (login VARCHAR(200) PRIMARY KEY, email VARCHAR(200));"
    "INSERT INTO users VALUES ('alice', 'alice@acme.example'), ('eve', 'eve@acme.example')"
)


@dataclass(frozen=True)
class Place:
    """Where accounts or sessions are, and how it is made to fail."""

    setting: str
    """Of the subscription."""
    kill: Callable[[], object]
    start: Callable[[], object]
    hang: Callable[[], object]
    resume: Callable[[], object]
    unavailable: str = "directory_unavailable"


def sql(server: SqlServer, directory: Path) -> Place:
    server.execute(TABLE)
    (directory / "secret").write_text(sql_servers.PASSWORD)
    setting = (
        f"accounts: {{sql: {{url: '{server.url}', query: '{QUERY}', password: {{file: secret}},"
        f" timeout: 0.5}}, {CACHE}}}"
    )
    return Place(setting, server.stop, server.start, server.pause, server.resume)


@contextlib.contextmanager
def postgresql(directory: Path) -> Iterator[Place]:
    with sql_servers.postgresql() as server:
        yield sql(server, directory)


@contextlib.contextmanager
def mariadb(directory: Path) -> Iterator[Place]:
    with sql_servers.mariadb() as server:
        yield sql(server, directory)


@contextlib.contextmanager
def ldap(directory: Path) -> Iterator[Place]:
    require_slapd()
    entries = (person("alice", "alice@acme.example"), person("eve", "eve@acme.example"))
    with Slapd(directory / "slapd", *entries) as server:
        (directory / "secret").write_text(slapd.PASSWORD)
        yield Place(
            f"accounts: {{ldap: {{url: '{server.tls_url}', ca_file: '{server.ca_file}',"
            f" base: '{slapd.PEOPLE}', login_attribute: uid, email_attribute: mail, bind: {{dn:"
            f" '{slapd.BIND_DN}', password: {{file: secret}}}}, timeout: 0.5}}, {CACHE}}}",
            server.kill, server.start, server.pause, server.resume,
        )  # fmt: skip


@contextlib.contextmanager
def http_service(directory: Path) -> Iterator[Place]:
    port = free_port()
    command = [sys.executable, "-m", "tests.directories.http_service", str(port)]
    with Program("users", command, directory) as program:

        def start() -> None:
            program.start()
            wait_until(program, LOOPBACK, port)

        wait_until(program, LOOPBACK, port)
        yield Place(
            f"accounts: {{http: {{url: 'http://{LOOPBACK}:{port}/extauthz', timeout: 0.5}},"
            f" {CACHE}}}",
            program.stop, start,
            lambda: program.signal(signal.SIGSTOP), lambda: program.signal(signal.SIGCONT),
        )  # fmt: skip
        program.signal(signal.SIGCONT)


@contextlib.contextmanager
def redis(directory: Path) -> Iterator[Place]:
    (directory / "redis").mkdir()
    with redis_server(directory / "redis") as server:
        yield Place(
            f"accounts: {{alice: alice@acme.example, bob: bob@acme.example}}\n"
            f"    session: {{cookie: SID, store: '{server.url}'}}",
            server.kill, server.start, server.hang, server.resume, "session_unavailable",
        )  # fmt: skip


PLACES = {
    "postgresql": postgresql, "mariadb": mariadb, "ldap": ldap, "http": http_service,
    "redis": redis,
}  # fmt: skip


class Load(threading.Thread):
    """One client that asks again and again on a connection, and keeps what it is told."""

    def __init__(self, stack: Stack, host: str, credential: Credential) -> None:
        super().__init__(daemon=True)
        self._stack, self._host = stack, host
        self._context = ssl.create_default_context(cafile=stack.directory / "server.pem")
        _, certificate, _, key = stack.files_of(credential)
        self._context.load_cert_chain(certificate, key)
        self.statuses: list[int] = []
        self._ended = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPSConnection(
            LOOPBACK, self._stack.port, context=self._context, timeout=10
        )
        while not self._ended.is_set():
            headers = {"Host": self._host, "Authorization": "Basic YWxpY2U6eA==", "Cookie": "SID=1"}
            connection.request("GET", "/load", headers=headers)
            answer = connection.getresponse()
            answer.read()
            self.statuses.append(answer.status)
            time.sleep(0.01)
        connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join(10)

    def wait_for(self, status: int) -> None:
        """Wait until three answers in a row have this status."""
        seen = len(self.statuses)
        deadline = time.monotonic() + CHANGES_WITHIN
        while time.monotonic() < deadline and self.is_alive():
            if len(self.statuses) >= seen + 3 and set(self.statuses[-3:]) == {status}:
                return
            time.sleep(0.02)
        raise AssertionError(f"no {status} within {CHANGES_WITHIN} s: {self.statuses[-10:]}")


@pytest.mark.parametrize("kind", PLACES)
def test_place_that_hangs_or_dies_lets_nobody_in_and_disturbs_nobody(
    kind: str, tmp_path: Path
) -> None:
    """Hung, resumed, killed, started again, under load, without a restart of ours."""
    (tmp_path / "policy").mkdir()
    with contextlib.ExitStack() as running:
        place = running.enter_context(PLACES[kind](tmp_path / "policy"))
        policy = (
            "subscriptions:\n"
            f"  directory:\n    hosts: [directory.example]\n    signing_certificates: [acme.pem]\n"
            f"    {place.setting}\n"
            "  other:\n    hosts: [other.example]\n    signing_certificates: [acme.pem]\n"
            "    accounts: {alice: alice@acme.example}\n"
        )
        stack = running.enter_context(running_stack(tmp_path, policy, {"acme": ACME}))
        good = running.enter_context(Load(stack, "directory.example", ALICE))
        good.wait_for(200)
        wrong = running.enter_context(Load(stack, "directory.example", BOB))
        other = running.enter_context(Load(stack, "other.example", ALICE))
        wrong.wait_for(403)
        other.wait_for(200)
        for fail, mend in ((place.hang, place.resume), (place.kill, place.start)):
            before = len(stack.decisions())
            fail()
            good.wait_for(403)
            wait_for_reason(stack, place.unavailable, before)
            other.wait_for(200)
            mend()
            good.wait_for(200)
            other.wait_for(200)
        metrics = stack.curl_directly(f"http://{LOOPBACK}:{stack.admin}/metrics")

    assert 200 not in wrong.statuses
    assert set(other.statuses) == {200}
    if kind == "redis":
        assert 'extauthz_session_store_available{subscription="directory"} 1.0' in metrics
    else:
        assert 'extauthz_directory_available{subscription="directory"} 1.0' in metrics
        assert 'result="failed",subscription="directory"' in metrics


def test_accounts_in_a_file_go_on_while_it_is_wrong_or_gone(tmp_path: Path) -> None:
    """The last good version counts; a new one takes effect by itself."""
    (tmp_path / "policy").mkdir()
    file = tmp_path / "policy" / "users.jsonl"
    good = '{"login": "alice", "email": "alice@acme.example"}\n'
    file.write_text(good)
    policy = (
        "subscriptions:\n  acme:\n    hosts: [acme.example]\n    signing_certificates: [acme.pem]\n"
        "    accounts: {file: users.jsonl}\n"
    )
    with running_stack(tmp_path, policy, {"acme": ACME}) as stack:
        assert stack.ask(ALICE, login="alice").status == 200
        file.write_text(good + "{broken\n")
        until(lambda: "users.jsonl:2" in stack.extauthz.stderr.read_text())
        assert stack.ask(ALICE, login="alice").status == 200
        file.unlink()
        until(lambda: "No such file" in stack.extauthz.stderr.read_text())
        assert stack.ask(ALICE, login="alice").status == 200
        file.write_text(good.replace("alice@acme.example", "bob@acme.example"))
        until(lambda: stack.ask(ALICE, login="alice").status == 403)
        assert stack.ask(BOB, login="alice").status == 200


def wait_for_reason(stack: Stack, reason: str, since: int) -> None:
    """Wait until the log has a decision with a reason, after `since` others."""
    until(lambda: any(reason in str(each["reasons"]) for each in stack.decisions()[since:]))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + CHANGES_WITHIN
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)

"""`extauthz serve`: from its first policy to the last line of its log, as a process."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from extauthz.demo.authority import Credential, user
from tests.cli.conftest import (
    COMMAND,
    PATIENT_COMMAND,
    POLICY,
    Company,
    Run,
    Server,
    check,
    extauthz,
    forwarded,
)
from tests.decision_lines import checks_in
from tests.ports import LOOPBACK, free_port

Serving = Callable[..., AbstractContextManager[Server]]

DROPPED = "extauthz_decision_log_dropped_lines_total"


@pytest.fixture(scope="module")
def shared(make_company: Callable[[], Company]) -> Company:
    """The company of the server that many tests ask and none changes."""
    company = make_company()
    company.write(
        POLICY + "  audited:\n"
        '    hosts: ["*.audit.example.com"]\n'
        "    signing_certificates: [acme-ca.pem]\n"
        "    mode: audit\n"
        "    verify_email: false\n"
        "  off:\n"
        "    hosts: [off.example.com]\n"
        "    signing_certificates: [acme-ca.pem]\n"
        "    mode: off\n"
        "    verify_email: false\n"
    )
    return company


@pytest.fixture(scope="module")
def server(shared: Company, serving: Serving) -> Iterator[Server]:
    with serving(shared.policy) as server:
        yield server


class TestChecks:
    """The check listener of a running service."""

    def test_a_users_certificate_passes(self, server: Server, shared: Company) -> None:
        """200 lets the request pass."""
        assert server.check(shared.alice) == 200

    def test_a_stranger_is_refused(self, server: Server, shared: Company) -> None:
        """Without a certificate, on an unknown host, or with an unknown address."""
        assert server.check() == 403
        assert server.check(shared.alice, host="nobody.example.com") == 403
        assert server.check(user(shared.ca, "eve", "eve@acme.example")) == 403

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/check/metrics", "/"])
    def test_nothing_on_it_is_exempt(self, server: Server, path: str) -> None:
        """The operator's paths are not there: they would pass without a certificate."""
        connection = server.connect()
        connection.request("GET", path, headers={"Host": "acme.example.com"})
        response = connection.getresponse()
        assert (response.status, response.read()) == (403, b"Invalid user credentials\n")
        connection.close()

    def test_each_has_its_line_in_the_decision_log(self, server: Server, shared: Company) -> None:
        """One JSON object a line, found by the request id, without the query."""
        server.check(shared.alice, request_id="of-alice")

        def lines() -> list[dict[str, object]]:
            return [line for line in server.decisions() if line["request_id"] == "of-alice"]

        server.eventually(lambda: bool(lines()))
        (line,) = lines()
        assert line["decision"] == "allow"
        assert line["accounts"] == ["alice"]
        assert line["path"] == "/path"


class TestAdmin:
    """The admin listener: whether it lives, whether it can decide, and how it goes."""

    def test_healthz_says_that_the_process_lives(self, server: Server) -> None:
        """A probe of liveness asks nothing of the policy."""
        assert server.admin("/healthz") == (200, "ok\n")

    def test_readyz_says_which_policy_is_in_force(self, server: Server, shared: Company) -> None:
        """Ready, since when, and from which file."""
        status, body = server.admin("/readyz")
        assert status == 200
        detail = json.loads(body)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", detail["last_reload"].pop("at"))
        assert detail == {
            "ready": True,
            "policy": str(shared.policy),
            "generation": 1,
            "last_reload": {"successful": True, "error_count": 0, "errors": []},
        }

    @pytest.mark.parametrize("path", ["/check/", "/check/path", "/metrics/x", "/healthz/"])
    def test_it_answers_no_checks(self, server: Server, path: str) -> None:
        """It is never the check listener: Envoy, set up wrongly, gets no 200 here."""
        assert server.admin(path)[0] == 404

    def test_metrics_hold_what_an_operator_watches(self, server: Server, shared: Company) -> None:
        """Checks, denials, durations, the policy and the certificates that will run out."""
        before, began = Counter(server.metrics()), time.monotonic()
        server.check(shared.alice)
        server.check()
        server.check(host="x.audit.example.com")
        server.check(host="off.example.com")
        server.check(host="nobody.example.com")
        found, took = server.metrics(), time.monotonic() - began

        def added(name: str, **labels: str) -> float:
            key = name, frozenset(labels.items())
            return found[key] - before[key]

        checks = "extauthz_checks_total"
        assert added(checks, subscription="acme", mode="enforce", decision="allow") == 1
        assert added(checks, subscription="acme", mode="enforce", decision="deny") == 1
        assert added(checks, subscription="audited", mode="audit", decision="deny") == 1
        assert added(checks, subscription="off", mode="off", decision="allow") == 1
        assert added(checks, subscription="", mode="", decision="deny") == 1
        denials = "extauthz_denials_total"
        assert added(denials, subscription="acme", reason="certificate_missing") == 1
        assert added(denials, subscription="", reason="subscription_unknown") == 1
        assert added("extauthz_check_duration_seconds_count") == 5
        assert added("extauthz_check_duration_seconds_bucket", le="+Inf") == 5
        assert 0 < added("extauthz_check_duration_seconds_sum") < took
        assert server.metric("extauthz_policy_generation") == 1
        assert server.metric("extauthz_policy_last_reload_successful") == 1
        assert server.metric("extauthz_policy_reloads_total", result="success") == 1
        assert server.metric("extauthz_policy_reloads_total", result="failure") == 0
        assert time.time() - server.metric("extauthz_policy_last_reload_timestamp_seconds") > 0
        expiries = {
            (dict(labels)["subscription"], value)
            for (name, labels), value in found.items()
            if name == "extauthz_signing_certificate_expiry_timestamp_seconds"
        }
        end = shared.ca.certificate.not_valid_after_utc.timestamp()
        assert expiries == {("acme", end), ("audited", end), ("off", end)}
        assert server.metric(DROPPED, destination="stdout") == 0


WRONG_OPTIONS = {
    "no port": (["--listen", "localhost"], "'localhost' is neither HOST:PORT nor unix:PATH"),
    "port too high": (["--listen", "127.0.0.1:65536"], "is neither HOST:PORT nor unix:PATH"),
    "negative port": (["--admin", "127.0.0.1:-1"], "is neither HOST:PORT nor unix:PATH"),
    "port in other digits": (["--admin", "127.0.0.1:٣"], "is neither HOST:PORT nor unix:PATH"),
    "bare IPv6": (["--listen", "::1:9000"], "put the IPv6 address in brackets"),
    "no path": (["--listen", "unix:"], "unix: needs a path"),
    "not a network": (["--allow-from", "10.0.0.0/33"], "10.0.0.0/33"),
    "a name for a network": (["--allow-from", "localhost"], "localhost"),
    "host bits in a network": (["--allow-from", "10.0.0.1/8"], "10.0.0.1/8"),
}


class TestStart:
    """A service that cannot do its work does not start, and says why."""

    def test_a_bad_policy_is_refused_with_every_mistake(self, company: Company) -> None:
        """Status 1, each mistake on standard error, and nothing on standard output."""
        company.write(POLICY + "".join(f"  s{number}: 7\n" for number in range(40)))
        done = extauthz("serve", "--policy", company.policy, "--listen", "127.0.0.1:0",
                        "--admin", "127.0.0.1:0")  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        *mistakes, verdict = done.stderr.splitlines()
        assert len(mistakes) == 40
        for number, line in enumerate(mistakes):
            assert f"{company.policy}:{8 + number}:{6 + len(str(number))}: error: " in line
        assert verdict.endswith("has 40 errors: no policy is in force")

    def test_a_missing_policy_is_refused(self, tmp_path: Path) -> None:
        """One line says what cannot be read, one that nothing is in force."""
        done = extauthz("serve", "--policy", tmp_path / "nowhere.yaml", "--listen", "127.0.0.1:0",
                        "--admin", "127.0.0.1:0")  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert "No such file or directory" in done.stderr
        assert len(done.stderr.splitlines()) == 2

    @pytest.mark.parametrize("option", ["--listen", "--admin"])
    def test_a_busy_port_is_one_clear_sentence(self, company: Company, option: str) -> None:
        """Which address, and why; no traceback."""
        other = "--admin" if option == "--listen" else "--listen"
        with socket.create_server(("127.0.0.1", 0)) as busy:
            address = f"127.0.0.1:{busy.getsockname()[1]}"
            done = extauthz("serve", "--policy", company.policy, option, address,
                            other, "127.0.0.1:0")  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(
            f"extauthz: cannot listen on {address}: Address already in use"
        )

    def test_checks_and_operators_cannot_share_an_address(self, company: Company) -> None:
        """What needs no check on one listener must not be reachable on the other."""
        address = f"127.0.0.1:{free_port()}"
        done = extauthz("serve", "--policy", company.policy, "--listen", address,
                        "--admin", address)  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith(f"extauthz: cannot listen on {address}: ")

    def test_an_address_of_another_machine_is_refused(self, company: Company) -> None:
        """192.0.2.1 is nobody's address (RFC 5737)."""
        done = extauthz("serve", "--policy", company.policy, "--listen", "192.0.2.1:9000",
                        "--admin", "127.0.0.1:0")  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith("extauthz: cannot listen on 192.0.2.1:9000: Cannot assign")
        assert len(done.stderr.splitlines()) == 1

    @pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
    def test_a_wrong_option_is_answered_with_the_usage(
        self,
        extauthz_here: Run,
        options: list[str],
        message: str,
    ) -> None:
        """Status 2, the option and what is wrong with it."""
        done = extauthz_here("serve", "--policy", "policy.yaml", *options)
        assert done.returncode == 2
        error = done.stderr.splitlines()[-1]
        assert f"argument {options[0]}: " in error
        assert message in error


class TestUnixSocket:
    """Checks over a Unix socket: its file mode says who may ask."""

    def test_it_is_for_its_group_and_answers(self, company: Company, serving: Serving) -> None:
        """Envoy runs as another user, in the socket's group."""
        path = company.directory / "check.sock"
        with serving(company.policy, "--listen", f"unix:{path}") as server:
            assert server.listen == f"unix:{path}"
            mode = path.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o660
            assert server.check(company.alice) == 200
            assert server.check() == 403
            # Started a second time by mistake: the one that lives is left alone.
            done = extauthz("serve", "--policy", company.policy, "--listen", f"unix:{path}",
                            "--admin", "127.0.0.1:0")  # fmt: skip
            assert done.returncode == 1
            assert done.stderr == (
                f"extauthz: cannot listen on unix:{path}: Address already in use\n"
            )
            assert server.check(company.alice) == 200
            server.process.kill()
            server.process.wait()
        assert path.exists()
        with serving(company.policy, "--listen", f"unix:{path}") as server:
            # What the one that was killed has left behind is replaced.
            assert server.check(company.alice) == 200

    def test_a_file_in_its_place_is_left_alone(self, company: Company) -> None:
        """Nothing but a dead socket is ever removed."""
        done = extauthz("serve", "--policy", company.policy, "--listen", f"unix:{company.policy}",
                        "--admin", "127.0.0.1:0")  # fmt: skip
        assert done.returncode == 1
        assert company.policy.read_text() == POLICY

    @pytest.mark.parametrize("path", ["/nowhere/check.sock", f"/tmp/{'x' * 200}"])
    def test_a_path_that_cannot_be_is_one_clear_sentence(self, company: Company, path: str) -> None:
        """No such directory, or too long a name."""
        done = extauthz("serve", "--policy", company.policy, "--listen", f"unix:{path}",
                        "--admin", "127.0.0.1:0")  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith(f"extauthz: cannot listen on unix:{path}: ")
        assert len(done.stderr.splitlines()) == 1


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="no ::1 here")
def test_it_listens_on_ipv6(company: Company, serving: Serving) -> None:
    """`[::1]:PORT` is loopback, too."""
    with serving(company.policy, "--listen", "[::1]:0") as server:
        assert server.listen.startswith("[::1]:")
        assert server.check(company.alice) == 200


def own_address() -> str | None:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


@pytest.mark.skipif(own_address() is None, reason="no address but loopback here")
def test_who_is_not_allowed_gets_no_answer(company: Company, serving: Serving) -> None:
    """Besides loopback nobody may ask, unless the operator names the network."""
    address = own_address()

    def ask(server: Server) -> int:
        port = server.listen.rpartition(":")[2]
        connection = http.client.HTTPConnection(f"{address}:{port}", timeout=10)
        with contextlib.closing(connection):
            return check(connection, company.alice)

    with serving(company.policy, "--listen", "0.0.0.0:0") as server:
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            ask(server)
        server.said(f"refused a connection from {address}: it may not ask")
    named = ["--allow-from", "2001:db8::/32", "--allow-from", f"{address}/32"]
    with serving(company.policy, "--listen", "0.0.0.0:0", *named) as server:
        assert ask(server) == 200


class TestReload:
    """The policy of a running service changes, for better or worse."""

    def test_a_life_of_changes(self, company: Company, serving: Serving) -> None:
        """A write takes effect by itself, a bad one not at all, and SIGHUP reads again."""
        with serving(company.policy) as server:
            assert server.check(company.alice) == 200
            # A write.
            company.write(POLICY.replace("alice: alice@", "alice: alicia@"))
            server.eventually(lambda: server.check(company.alice) == 403)
            company.write(POLICY)
            server.eventually(lambda: server.check(company.alice) == 200)
            assert server.metric("extauthz_policy_generation") == 3
            # A bad one.
            company.write(POLICY + "    mode: adit\n")
            server.eventually(lambda: not server.ready()["last_reload"]["successful"])
            assert server.check(company.alice) == 200
            status, _ = server.admin("/readyz")
            assert status == 200
            assert server.ready()["generation"] == 3
            # It is open to all, and what stands in the file may be somebody's name.
            assert server.ready()["last_reload"]["errors"] == [f"{company.policy}:8:11"]
            assert server.metric("extauthz_policy_last_reload_successful") == 0
            assert server.metric("extauthz_policy_reloads_total", result="failure") == 1
            assert server.metric("extauthz_policy_generation") == 3
            server.said(r"ERROR .*:8:11: error: 'mode' cannot be 'adit'")
            server.said("ERROR .* has 1 error: the last good one stays")
            # SIGHUP reads what has not changed.
            server.signal(signal.SIGHUP)
            server.eventually(
                lambda: server.metric("extauthz_policy_reloads_total", result="failure") == 2
            )
            # Mended.
            company.write(POLICY)
            server.eventually(lambda: server.ready()["last_reload"]["successful"])
            assert server.metric("extauthz_policy_generation") == 4
            server.signal(signal.SIGHUP)
            server.eventually(lambda: server.ready()["generation"] == 5)
            # Many at once are at most two readings.
            for _ in range(50):
                server.signal(signal.SIGHUP)
            server.eventually(lambda: server.ready()["generation"] > 5)
            assert server.check(company.alice) == 200
            assert server.stop() == 0


async def ask_until_closed(
    address: str, certificate: str, client: int, answered: dict[str, int], asked: set[str]
) -> None:
    """Ask over one connection, one check after the other, until the server closes it."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        for number in range(1_000_000):
            identifier = f"{client}-{number}"
            asked.add(identifier)
            writer.write(
                f"GET /check/ HTTP/1.1\r\nHost: acme.example.com\r\n"
                f"x-request-id: {identifier}\r\nx-forwarded-client-cert: {certificate}\r\n\r\n"
                .encode()
            )  # fmt: skip
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?i)content-length: (\d+)", head)
            assert length is not None
            await reader.readexactly(int(length[1]))
            answered[identifier] = int(head.split()[1])
    writer.close()


class TestStop:
    """SIGTERM ends the service without losing a check or a line."""

    async def test_every_answer_has_its_line(self, company: Company, serving: Serving) -> None:
        """Stopped amid checks: whoever got an answer stands in the log, exactly once."""
        certificate = forwarded(company.alice)
        answered: dict[str, int] = {}
        asked: set[str] = set()
        with serving(company.policy, command=PATIENT_COMMAND) as server:
            clients = [
                asyncio.create_task(
                    ask_until_closed(server.listen, certificate, client, answered, asked)
                )
                for client in range(20)
            ]
            await asyncio.to_thread(server.eventually, lambda: len(answered) > 1000)
            server.signal(signal.SIGTERM)
            await asyncio.wait_for(asyncio.gather(*clients), 30)
            assert await asyncio.to_thread(server.process.wait, 30) == 0
            lines = Counter(line["request_id"] for line in server.decisions())
        assert set(answered.values()) == {200}
        assert {lines[identifier] for identifier in answered} == {1}
        assert set(lines) <= asked
        assert max(lines.values()) == 1

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_idle_connections_do_not_keep_it(
        self, company: Company, serving: Serving, number: signal.Signals
    ) -> None:
        """Envoy keeps connections open, and sends half of a request: neither is waited for long."""
        # A port that the kernel chose could be another server's afterwards.
        address = f"{LOOPBACK}:{free_port()}"
        with serving(company.policy, "--listen", address, command=PATIENT_COMMAND) as server:
            idle, half = server.connect(), server.connect()
            assert check(idle, company.alice) == 200
            half.connect()
            half.sock.sendall(b"GET /check/ HTTP/1.1\r\nHost: acme")
            server.signal(number)
            assert server.process.wait(60) == 0
            assert "Traceback" not in server.stderr
            with pytest.raises(OSError, match="refused"):
                server.check()
            idle.close()
            half.close()


class TestDecisionLog:
    """The log's reader may be slow, or gone: checks go on."""

    def ask(self, server: Server, certificate: Credential, number: int) -> None:
        connection = server.connect()
        for index in range(number):
            assert check(connection, certificate, request_id=str(index)) == 200
        connection.close()

    def test_a_reader_that_pauses_gets_every_line_later(
        self, company: Company, serving: Serving
    ) -> None:
        """A full pipe stops no check, and loses no line."""
        reading, writing = os.pipe()
        with serving(company.policy, stdout=writing, close=[writing]) as server:
            self.ask(server, company.alice, 500)
            assert server.metric(DROPPED, destination="stdout") == 0
            server.signal(signal.SIGTERM)
            with os.fdopen(reading, encoding="utf-8") as pipe:
                lines = checks_in(pipe)
            assert server.process.wait(60) == 0
        assert [line["request_id"] for line in lines] == [str(index) for index in range(500)]
        assert sum(len(json.dumps(line)) for line in lines) > 65_536

    def test_a_reader_that_never_reads_does_not_keep_it_from_ending(
        self, company: Company, serving: Serving
    ) -> None:
        """After some seconds it ends, and says how many lines were lost."""
        reading, writing = os.pipe()
        with serving(company.policy, stdout=writing, close=[writing]) as server:
            self.ask(server, company.alice, 300)
            assert server.stop() == 0
            server.said(r"decision log stdout: the reader takes no more; \d+ lines are lost")
        os.close(reading)

    def test_a_reader_that_is_gone_stops_no_check(self, company: Company, serving: Serving) -> None:
        """Lines that cannot be written are counted, and that is said."""
        reading, writing = os.pipe()
        os.close(reading)
        with serving(company.policy, stdout=writing, close=[writing]) as server:
            self.ask(server, company.alice, 10)
            server.eventually(lambda: server.metric(DROPPED, destination="stdout") == 11)
            server.said("decision log stdout: it cannot be written: Broken pipe")
            server.said("lines dropped so far: Broken pipe")
            assert server.stop() == 0

    def test_a_closed_standard_output_goes_nowhere_else(
        self, company: Company, serving: Serving
    ) -> None:
        """Its number is not left to a connection, which would then get the log."""
        shell = ("sh", "-c", 'exec "$@" >&-', "sh", *COMMAND)
        with serving(company.policy, command=shell) as server:
            connection = server.connect()
            for _ in range(3):
                assert check(connection, company.alice) == 200
            server.said("standard output is closed")
            assert server.stop() == 0
            # At its end the log is written; nothing but the answers came over the connection.
            assert connection.sock.recv(1) == b""
            connection.close()
            assert server.decisions() == []

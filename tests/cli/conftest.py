"""The command, run as an operator runs it: in a process of its own."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from extauthz.cli import main
from extauthz.demo.authority import Credential, Validity, authority, name, user
from tests.decision_lines import checks_in
from tests.ports import LOOPBACK

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "extauthz")
PATIENT = """\
import sys
from extauthz.cli import main, serve
serve.STOP_SECONDS = 600.0
sys.exit(main())
"""
PATIENT_COMMAND = (sys.executable, "-c", PATIENT)
"""A server that ends in spite of this has waited for nobody, however slow the machine is."""
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items()
       if not name.startswith(("EXTAUTHZ_", "OTEL_"))},
    "PYTHONPATH": str(REPOSITORY),
    "no_proxy": LOOPBACK,
}  # fmt: skip
"""That of these tests, without what whoever runs them has set up for other servers."""

POLICY = """\
subscriptions:
  acme:
    hosts: [acme.example.com]
    signing_certificates: [acme-ca.pem]
    accounts:
      alice: alice@acme.example
      bob: bob@acme.example
"""

Run = Callable[..., subprocess.CompletedProcess[str]]
"""What runs a command line to its end."""


def extauthz(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], check=False, capture_output=True, timeout=60,
        encoding="utf-8", env=ENVIRONMENT | environment,
    )  # fmt: skip


@pytest.fixture
def extauthz_here(
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command in this process, which is quicker, where a process of its own adds nothing."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run


def replace(file: Path, text: str) -> Path:
    """Write a file so that a server that watches it sees the old text or the new one.

    Between the two steps of a write in place, this process may stand still for any time.
    """
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    return new.replace(file)


@dataclass(frozen=True)
class Company:
    """A directory with a policy, the CA that it names, and a user's certificate."""

    directory: Path
    ca: Credential
    alice: Credential

    @property
    def policy(self) -> Path:
        return self.directory / "policy.yaml"

    def write(self, text: str) -> Path:
        return replace(self.policy, text)


@pytest.fixture(scope="session")
def credentials() -> tuple[Credential, Credential]:
    """Acme's CA, and alice's certificate."""
    ca = authority(name("Acme CA"), validity=Validity.days(-1, 3650))
    return ca, user(ca, "alice", "alice@acme.example")


@pytest.fixture(scope="session")
def make_company(
    credentials: tuple[Credential, Credential], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Company]:
    """Makes a directory of its own."""

    def make() -> Company:
        company = Company(tmp_path_factory.mktemp("company"), *credentials)
        (company.directory / "acme-ca.pem").write_text(company.ca.pem)
        company.write(POLICY)
        return company

    return make


@pytest.fixture
def company(make_company: Callable[[], Company]) -> Company:
    return make_company()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def forwarded(certificate: Credential) -> str:
    """The certificate header as Envoy writes it."""
    return f'Cert="{quote(certificate.pem, safe="")}"'


def check(
    connection: http.client.HTTPConnection,
    certificate: Credential | None = None,
    host: str = "acme.example.com",
    request_id: str = "",
) -> int:
    """Ask as Envoy asks, whether a request may pass; the status of the answer."""
    headers = {"Host": host, "x-request-id": request_id}
    if certificate is not None:
        headers["x-forwarded-client-cert"] = forwarded(certificate)
    connection.request("GET", "/check/path?secret", headers=headers)
    response = connection.getresponse()
    response.read()
    return response.status


class Server:
    """A running `extauthz serve`."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err
        said = self.said(r"answering checks on (\S+), operators on (\S+)")
        self.listen, self._admin = said[1], said[2]

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def said(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait for a message on standard error."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if (found := re.search(pattern, self.stderr)) is not None:
                return found
            if self.process.poll() is not None and not re.search(pattern, self.stderr):
                break
            time.sleep(0.01)
        pytest.fail(f"{pattern!r} was not said, but: {self.stderr}")

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the check listener."""
        if self.listen.startswith("unix:"):
            return UnixConnection(Path(self.listen.removeprefix("unix:")))
        return http.client.HTTPConnection(self.listen, timeout=30)

    def check(self, certificate: Credential | None = None, **more: str) -> int:
        connection = self.connect()
        try:
            return check(connection, certificate, **more)
        finally:
            connection.close()

    def admin(self, path: str) -> tuple[int, str]:
        """Status and body of an answer of the admin listener."""
        connection = http.client.HTTPConnection(self._admin, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def ready(self) -> dict[str, Any]:
        detail: dict[str, Any] = json.loads(self.admin("/readyz")[1])
        return detail

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of the exposition, by name and labels."""
        _, text = self.admin("/metrics")
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics()[name, frozenset(labels.items())]

    def eventually(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until something holds."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, self.stderr
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, seconds: float = 60) -> int:
        """Send SIGTERM, and wait for the end; the exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def lines(self) -> list[str]:
        """The lines of the decision log so far. Each is whole, once the last one is written."""
        has_ended = self.process.poll() is not None
        *lines, rest = self._out.read_text().split("\n")
        assert not (has_ended and rest)
        return lines

    def decisions(self) -> list[dict[str, Any]]:
        """The checks in the decision log so far."""
        return checks_in(self.lines())


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Starts a server for as long as a `with` statement lasts."""

    @contextmanager
    def start(
        policy: Path,
        *options: str,
        stdout: int | None = None,
        command: Sequence[str] = COMMAND,
        close: Sequence[int] = (),
    ) -> Iterator[Server]:
        directory = tmp_path_factory.mktemp("server")
        out, err = directory / "stdout", directory / "stderr"
        addresses = [] if "--listen" in options else ["--listen", "127.0.0.1:0"]
        arguments = ["serve", "--policy", str(policy), "--admin", "127.0.0.1:0", *addresses]
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                [*command, *arguments, *options],
                stdout=out_file if stdout is None else stdout, stderr=err_file, env=ENVIRONMENT,
            )  # fmt: skip
        for descriptor in close:
            os.close(descriptor)
        try:
            yield Server(process, out, err)
        finally:
            process.kill()
            process.wait()

    return start


def days_from_now(date: str) -> float:
    return (datetime.fromisoformat(date) - datetime.now(UTC)).total_seconds() / 86_400

"""The whole path on loopback: curl, a real Envoy, a real `extauthz serve`, a service behind."""

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from extauthz.demo.authority import Credential, authority, name, user
from extauthz.demo.envoy import Placement, envoy_command, place
from extauthz.demo.processes import NotStartedError, Program, wait_until
from extauthz.envoyconfig.needs import needs_of
from extauthz.envoyconfig.weave import weave
from extauthz.policyfile.loader import load
from tests.decision_lines import checks_in
from tests.ports import LOOPBACK, free_port
from tests.wire.envoy_process import PATIENCE, TEMPLATE, make_certificates

GENERIC = "Invalid user credentials"
STARTS_WITHIN = 60.0
"""Seconds. It takes extauthz about one, of a processor."""
CURL = ("curl", "--disable", "--noproxy", "*", "--silent")
"""As it is, whatever this machine's settings for curl and proxies are."""

# OpenSSL's client would not take the weak keys that some tests present.
WEAK_OPENSSL = """
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = system
[system]
CipherString = DEFAULT@SECLEVEL=0
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back through Envoy, and what the decision log says of it."""

    status: int
    headers: str
    body: str
    decision: dict[str, object]

    @property
    def reasons(self) -> list[object]:
        reasons = self.decision["reasons"]
        assert isinstance(reasons, list)
        return reasons


class Stack:
    """One Envoy, one extauthz and one service; the policy file is there to be changed."""

    def __init__(self, directory: Path, policy: str, *, unix_socket: bool = False) -> None:
        self.directory = directory
        self.policy = directory / "policy" / "policy.yaml"
        self.policy.parent.mkdir(exist_ok=True)
        self.policy.write_text(policy)
        self.port, self.admin, self._service = free_port(), free_port(), free_port()
        self._unix = directory / "check.sock" if unix_socket else None
        self._check = free_port()
        make_certificates(directory)
        self._openssl = directory / "openssl.cnf"
        self._openssl.write_text(WEAK_OPENSSL)
        python = [sys.executable, "-m"]
        listen = f"unix:{self._unix}" if unix_socket else f"{LOOPBACK}:{self._check}"
        serve = ["extauthz", "serve", "--policy", str(self.policy), "--listen", listen]
        serve += ["--admin", f"{LOOPBACK}:{self.admin}"]
        service = ["extauthz.demo.service", LOOPBACK, str(self._service)]
        self.extauthz = Program("extauthz", [*python, *serve], directory)
        self.service = Program("service", [*python, *service], directory)
        self._configuration = directory / "envoy.yaml"
        self.envoy = Program("envoy", envoy_command(self._configuration), directory)

    def configure_envoy(self, template: str) -> None:
        """Write Envoy's configuration, with what the policy needs, as `extauthz envoy` does."""
        loaded = load(self.policy, datetime.now(UTC))
        assert loaded.policy is not None, loaded.problems
        woven = weave(template, needs_of(loaded.policy))
        assert not woven.by_hand, woven.by_hand
        self._configuration.write_text(place(woven.text, self._placement()))

    def _placement(self) -> Placement:
        return Placement(
            listen=(LOOPBACK, self.port),
            check=self._unix or (LOOPBACK, self._check),
            admin=(LOOPBACK, self.admin),
            service=(LOOPBACK, self._service),
            certificates=self.directory,
        )

    def start_service(self) -> None:
        self.service.start()
        wait_until(self.service, LOOPBACK, self._service, STARTS_WITHIN)

    def start_extauthz(self) -> None:
        self.extauthz.start()
        wait_until(self.extauthz, LOOPBACK, self.admin, STARTS_WITHIN)

    def start_envoy(self) -> None:
        self.envoy.start()
        wait_until(self.envoy, LOOPBACK, self.port, STARTS_WITHIN)

    def sign_in(self, issuer: Credential, subscription: str) -> str:
        """Put a CA's certificate where the policy finds it, and say under which name."""
        path = self.policy.parent / f"{subscription}.pem"
        path.write_text(issuer.pem)
        return path.name

    def decisions(self) -> list[dict[str, object]]:
        return checks_in(whole_lines(self.extauthz))

    def decision_on(
        self, path: str, seconds: float = PATIENCE, *, since: int = 0
    ) -> dict[str, object]:
        """The decision on the request with this path, once it is logged after `since` others."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for decision in reversed(self.decisions()[since:]):
                if decision["path"] == path:
                    return decision
            time.sleep(0.02)
        raise AssertionError(f"no decision on {path}; stderr:\n{self.extauthz.last_words()}")

    def curl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*CURL, "--show-error", "--insecure", "--max-time", "20"]
        command += ["--connect-to", f"::{LOOPBACK}:{self.port}", "--path-as-is"]
        return subprocess.run(
            [*command, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "OPENSSL_CONF": str(self._openssl)},
        )

    def curl_directly(self, url: str) -> str:
        """What a URL says without Envoy in between."""
        command = [*CURL, "--max-time", "20", url]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    def files_of(self, credential: Credential, above: Sequence[Credential] = ()) -> list[str]:
        """Write a credential, with the chain that goes with it; curl's arguments for it."""
        stem = uuid.uuid4().hex
        credential.write(self.directory, stem)
        certificate = self.directory / f"{stem}.pem"
        certificate.write_text(credential.pem + "".join(issuer.pem for issuer in above))
        return ["--cert", str(certificate), "--key", str(self.directory / f"{stem}-key.pem")]

    def ask(
        self,
        certificate: Credential | None = None,
        *arguments: str,
        host: str = "acme.example",
        login: str | None = None,
        path: str | None = None,
        above: Sequence[Credential] = (),
    ) -> Answer:
        """Make one request through Envoy, and find its decision."""
        path = f"/{uuid.uuid4().hex}" if path is None else path
        given = [] if certificate is None else self.files_of(certificate, above)
        given += [] if login is None else ["--user", f"{login}:secret"]
        if any(argument.startswith("--data") for argument in arguments):
            # Refused while it sends, curl takes the end of an HTTP/2 stream for an error at times.
            given.append("--http1.1")
        url = f"https://{host}{path}"
        before = len(self.decisions())
        done = self.curl("--include", *given, *arguments, url)
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        status = int(head.split()[1])
        decision = self.decision_on(path.partition("?")[0], since=before)
        return Answer(status, head.lower(), body, decision)


@contextlib.contextmanager
def running_stack(
    directory: Path,
    policy: str,
    signers: dict[str, Credential],
    *,
    unix_socket: bool = False,
    template: str | None = None,
) -> Iterator[Stack]:
    """A stack that answers; `signers` are put beside the policy as `NAME.pem`."""
    stack = Stack(directory, policy, unix_socket=unix_socket)
    for subscription, issuer in signers.items():
        stack.sign_in(issuer, subscription)
    stack.configure_envoy(TEMPLATE.read_text() if template is None else template)
    try:
        stack.start_service()
        stack.start_extauthz()
        stack.start_envoy()
        wait_until_asked(stack)
        yield stack
    finally:
        for program in (stack.envoy, stack.extauthz, stack.service):
            program.stop()


def whole_lines(program: Program) -> list[bytes]:
    """The lines that a program has written; one that it is just writing is none yet."""
    return program.stdout.read_bytes().split(b"\n")[:-1]


def wait_until_asked(stack: Stack, seconds: float = PATIENCE) -> None:
    """Wait until Envoy finds extauthz healthy; until then it refuses without asking."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        path = f"/{uuid.uuid4().hex}"
        stack.curl(f"https://warm-up.example{path}")
        with contextlib.suppress(AssertionError):
            stack.decision_on(path, seconds=0.2)
            return
    raise NotStartedError(f"Envoy asks nobody:\n{stack.envoy.last_words()}")


ACME, GLOBEX = authority(name("Acme CA", "Acme")), authority(name("Globex CA", "Globex"))
ALICE = user(ACME, "Alice", "alice@acme.example")
CAROL = user(GLOBEX, "Carol", "carol@globex.example")
SIGNERS = {"acme": ACME, "globex": GLOBEX}

POLICY = """
subscriptions:
  acme:
    hosts: [acme.example, "*.acme.example", "[::1]"]
    signing_certificates: [acme.pem]
    accounts: {alice: alice@acme.example, bob: bob@acme.example}
  globex:
    hosts: [globex.example]
    signing_certificates: [globex.pem]
    accounts: {carol: carol@globex.example}
    denial: {status: 401, body: "<p>Ask the help desk.</p>", content_type: text/html}
  unverified:
    hosts: [unverified.example]
    signing_certificates: [acme.pem]
    verify_email: false
  audited:
    hosts: [audited.example]
    signing_certificates: [acme.pem]
    accounts: {alice: alice@acme.example}
    mode: audit
  unchecked:
    hosts: [unchecked.example]
    signing_certificates: [acme.pem]
    accounts: {alice: alice@acme.example}
    mode: off
"""

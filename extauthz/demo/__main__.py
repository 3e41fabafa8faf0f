"""`python -m extauthz.demo`: the real thing on this machine, and a tour through it.

Makes certificates under `certs/`, starts a service, extauthz and Envoy on loopback, and shows with
curl who comes in and who does not, and why. Then it stays up and shows the decisions as they
happen. All that it started ends with it.
"""

import argparse
import contextlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from extauthz.demo import certificates
from extauthz.demo.envoy import Placement, envoy_command, place
from extauthz.demo.processes import NotStartedError, Program, is_free, wait_until
from extauthz.demo.tour import STEPS, Step

LOOPBACK = "127.0.0.1"
SERVICE, CHECK, ADMIN = 8080, 9000, 9001
DECISION_SECONDS = 5.0
"""How long the decision log may take to show a decision."""

_Decisions: TypeAlias = Iterator[dict[str, object] | None]


class CannotRunError(Exception):
    """The demonstration cannot run here; the message is one sentence that says why."""


def main() -> int:
    """Run the demonstration; the exit status says whether the tour went as it must."""
    parser = argparse.ArgumentParser(prog="python -m extauthz.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the tour")
    parser.add_argument("--port", type=int, default=8443, help="Envoy's port (default: 8443)")
    options = parser.parse_args()
    # What ends us must end what we started: leave through the `with` blocks.
    # A shell that runs us in the background has Ctrl-C ignored; here it must not be.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(Path.cwd(), options.port, once=options.once)
    except (CannotRunError, NotStartedError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0


def _run(repository: Path, port: int, *, once: bool) -> int:
    _require(repository, port)
    made = certificates.make(repository / "certs")
    print(f"{'made' if made else 'kept'} the demo certificates in certs/")
    with (
        tempfile.TemporaryDirectory(prefix="extauthz-demo-") as logs,
        _running(repository, Path(logs), port) as decisions,
    ):
        wrong = [step.title for step in STEPS if not _show(step, port, decisions)]
        print(f"\n{len(STEPS) - len(wrong)} of {len(STEPS)} steps went as they must")
        if wrong or once:
            return 1 if wrong else 0
        print(f"\nEnvoy stays up on https://acme.localhost:{port}/ until Ctrl-C. In another")
        print("terminal, try the curl lines above, or change demo/policy.yaml: it takes effect")
        print(f"within a second. For a browser, import certs/alice.p12 (password: "
              f"{certificates.PASSWORD}).")  # fmt: skip
        print(f"Who came in and who did not, and why: http://{LOOPBACK}:{ADMIN}/")
        print("\nThe decisions, as they happen:")
        for decision in decisions:
            if decision is not None:
                print(_in_short(decision), flush=True)
    return 0


def _require(repository: Path, port: int) -> None:
    for needed in ("envoy/envoy.yaml", "demo/policy.yaml"):
        if not (repository / needed).exists():
            raise CannotRunError(f"run it in the repository's directory: {needed} is not here")
    if shutil.which("curl") is None:
        raise CannotRunError("the tour needs curl: install it, for instance by apt install curl")
    try:
        envoy = envoy_command(Path("none"))[0]
        subprocess.run([envoy, "--version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotRunError(f"Envoy does not run on this machine: {error}") from error
    busy = [str(p) for p in (port, SERVICE, CHECK, ADMIN) if not is_free(LOOPBACK, p)]
    if busy:
        raise CannotRunError(
            f"port {' and '.join(busy)} of {LOOPBACK} is in use: stop what listens there"
            " (or choose another port for Envoy: make demo PORT=9443)"
        )


@contextlib.contextmanager
def _running(repository: Path, logs: Path, port: int) -> Iterator[_Decisions]:
    """The service, extauthz and Envoy, up and answering; yields the decisions."""
    placement = Placement(
        listen=(LOOPBACK, port),
        check=(LOOPBACK, CHECK),
        admin=(LOOPBACK, ADMIN),
        service=(LOOPBACK, SERVICE),
        certificates=repository / "certs",
    )
    configuration = logs / "envoy.yaml"
    template = (repository / "envoy" / "envoy.yaml").read_text()
    configuration.write_text(place(template, placement))
    python = [sys.executable, "-m"]
    policy = str(repository / "demo" / "policy.yaml")
    service = [*python, "extauthz.demo.service", LOOPBACK, str(SERVICE)]
    serve = [*python, "extauthz", "serve", "--policy", policy]
    serve += ["--listen", f"{LOOPBACK}:{CHECK}", "--admin", f"{LOOPBACK}:{ADMIN}"]
    with (
        Program("service", service, logs) as behind,
        Program("extauthz", serve, logs) as extauthz,
        Program("envoy", envoy_command(configuration), logs) as envoy,
    ):
        wait_until(behind, LOOPBACK, SERVICE)
        wait_until(extauthz, LOOPBACK, CHECK)
        wait_until(envoy, LOOPBACK, port)
        decisions = _decisions(extauthz)
        _wait_for_checks(envoy, port, decisions)
        yield decisions


def _decisions(extauthz: Program) -> _Decisions:
    """The decision log's checks, as they come; None where none came for a moment."""
    with extauthz.stdout.open() as log:
        begun = ""
        while True:
            begun += log.readline()
            if begun.endswith("\n"):
                record, begun = json.loads(begun), ""
                if record["record"] == "check":
                    yield record
            elif not extauthz.is_running:
                raise NotStartedError(f"extauthz has ended:\n{extauthz.last_words()}")
            else:
                yield None
                time.sleep(0.05)


def _wait_for_checks(envoy: Program, port: int, decisions: _Decisions) -> None:
    """Wait until Envoy has found extauthz to be healthy; until then it refuses without asking."""
    for _ in range(20):
        _curl(STEPS[0].arguments(port))
        if _next(decisions, seconds=0.5) is not None:
            # On a busy machine it may be that of an earlier request, and others are on their way.
            while _next(decisions, seconds=1.0) is not None:
                pass
            return
    raise NotStartedError(f"Envoy does not reach extauthz:\n{envoy.last_words()}")


def _next(decisions: _Decisions, seconds: float) -> dict[str, object] | None:
    """The next decision; None when it does not come within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (decision := next(decisions)) is not None:
            return decision
    return None


def _curl(arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run curl; the status stands in the last line of its output."""
    # Whatever the user's .curlrc and proxy are: this is between programs of one machine.
    command = ["curl", "--disable", "--noproxy", "*", "--silent", "--show-error"]
    command += ["--max-time", "20", "--write-out", "\n%{http_code}", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _show(step: Step, port: int, decisions: _Decisions) -> bool:
    """Make one request, say what came of it, and whether that is right."""
    arguments = step.arguments(port)
    print(f"\n# {step.title}")
    print(f"$ curl {shlex.join(arguments)}")
    done = _curl(arguments)
    if done.returncode:
        print(f"  curl failed: {done.stderr.strip()}")
        return False
    body, _, status = done.stdout.rpartition("\n")
    decision = _next(decisions, DECISION_SECONDS)
    if decision is None:
        print("  no decision was logged")
        return False
    said = body.strip().splitlines()[1 if body.startswith("{") else 0].strip()
    print(f"  {status}  {said}")
    print(f"  decision log: {_in_short(decision)}")
    right = int(status) == step.status and decision["reasons"] == list(step.reasons)
    if not right:
        print(f"  !! this should be {step.status}, for {', '.join(step.reasons) or 'no reason'}")
    return right


def _in_short(decision: dict[str, object]) -> str:
    reasons = decision["reasons"]
    why = ": " + ", ".join(map(str, reasons)) if isinstance(reasons, list) and reasons else ""
    who = decision["login"] or "(no login)"
    return f"{decision['decision']}{why} · {who} at {decision['host']}"


if __name__ == "__main__":
    raise SystemExit(main())

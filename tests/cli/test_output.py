"""Where output goes may be full, or gone: that is a message, and never another status's meaning."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, ENVIRONMENT, POLICY, Company
from tests.report.records import check, line

CASES = """\
policy: policy.yaml
cases:
- {name: alice, host: acme.example.com, login: alice, certificate: alice.pem, expect: allow}
"""
COMMANDS: dict[str, tuple[str, ...]] = {
    "explain a request": (
        "explain", "--policy", "policy.yaml", "--host", "acme.example.com", "--login", "alice",
        "--certificate", "alice.pem",
    ),
    "explain a decision": ("explain", "id", "--log", "log"),
    "test": ("test", "cases.yaml"),
    "validate": ("validate", "policy.yaml"),
    "report": ("report", "log"),
    "schema": ("schema",),
    "accounts": (
        "accounts", "list", "--policy", "policy.yaml", "--subscription", "acme", "--as", "alice",
    ),
    "help": ("--help",),
    "version": ("--version",),
}  # fmt: skip
"""Commands that succeed and say so on standard output."""

Done = subprocess.CompletedProcess[bytes]
RunInto = Callable[..., Done]


@pytest.fixture(scope="module")
def directory(make_company: Callable[[], Company]) -> Path:
    """With a policy, cases and a log, in which all is well."""
    company = make_company()
    company.write(
        POLICY.replace("alice@acme.example", "{email: alice@acme.example, role: manager}")
    )
    company.alice.write(company.directory, "alice")
    (company.directory / "cases.yaml").write_text(CASES)
    (company.directory / "log").write_bytes(line(check()))
    return company.directory


@pytest.fixture
def run_into(directory: Path) -> RunInto:
    """Runs a command there with streams that are given."""

    def run(
        arguments: tuple[str, ...], stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
    ) -> Done:
        return subprocess.run(
            [*COMMAND, *arguments], check=False, stdout=stdout, stderr=stderr, timeout=60,
            cwd=directory, env=ENVIRONMENT,
        )  # fmt: skip

    return run


@pytest.fixture
def full() -> Iterator[int]:
    """A disk that is full."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def gone() -> Iterator[int]:
    """A pipe whose reader has gone, as `| head` has when it has enough."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_full_disk_is_a_message_and_no_verdict(
    run_into: RunInto, full: int, arguments: tuple[str, ...]
) -> None:
    """Status 2, though all was well: 1 would say refused, not as expected, not valid."""
    done = run_into(arguments, stdout=full)

    command = "extauthz" if arguments[0].startswith("-") else f"extauthz {arguments[0]}"
    said = f"{command}: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr.decode()) == (2, said)


@pytest.mark.parametrize("name", ["explain a decision", "report", "help"])
def test_reader_that_has_gone_is_no_reason_to_complain(
    run_into: RunInto, gone: int, name: str
) -> None:
    """Nobody is left to tell, and the status is the one that shells give for SIGPIPE."""
    done = run_into(COMMANDS[name], stdout=gone)

    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("validate", "cases.yaml"), 1),
        (("report", "nothing"), 1),
        (("explain", "--host", "acme.example.com"), 2),
    ],
    ids=str,
)
def test_messages_that_cannot_be_written_leave_the_status(
    run_into: RunInto, full: int, gone: int, arguments: tuple[str, ...], status: int
) -> None:
    """Who lets messages go lost goes by the status alone."""
    for stream in (subprocess.PIPE, full, gone):
        assert run_into(arguments, stderr=stream).returncode == status


def test_results_are_written_for_a_ci_though_nobody_reads_the_text(
    run_into: RunInto, gone: int, directory: Path
) -> None:
    """What else was asked for is done."""
    done = run_into(("test", "cases.yaml", "--junit", "results.xml"), stdout=gone)

    assert done.returncode == 141
    assert b'tests="1"' in (directory / "results.xml").read_bytes()


def test_ctrl_c_ends_a_command_without_a_traceback(directory: Path) -> None:
    """With the status that shells have for it. It waits for a log that does not end."""
    code = "import sys; from extauthz.cli import main; print('ready', flush=True); sys.exit(main())"
    command = [sys.executable, "-c", code, "explain", "id", "--log", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=directory, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        # More than a pipe holds: when it is written, it is being read.
        process.stdin.write(line(check()) * 2000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_error_of_ours_is_nobodys_verdict(directory: Path) -> None:
    """It is told whole, for whoever mends it, and has a status of its own."""
    script = """\
import sys
from extauthz.cli import explain, main

def run(options):
    print("half of it")
    raise RuntimeError("a mistake of ours")

explain.run = run
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, *COMMANDS["explain a request"]], check=False,
        capture_output=True, timeout=60, cwd=directory, env=ENVIRONMENT,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (os.EX_SOFTWARE, b"half of it\n")
    assert done.stderr.endswith(b"RuntimeError: a mistake of ours\n")

"""`extauthz report`, as a user runs it."""

import contextlib
import gzip
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from extauthz.cli import main
from tests.ports import free_port
from tests.report.records import check, line

DENIED = {"decision": "deny", "reasons": ["certificate_missing"], "details": ["none"]}
UNTIL = f"{datetime.now(UTC) + timedelta(days=100):%Y-%m-%d}"
POLICY = f"""\
subscriptions:
  acme:
    hosts: [acme.example]
    signing_certificates: [ca.pem]
    accounts: {{alice: alice@acme.example}}
    exempt:
    - {{name: hooks, reason: build server, until: {UNTIL}, paths: [/hooks/*]}}
    - {{name: unused, reason: nobody knows, until: {UNTIL}, paths: [/old/*]}}
  quiet:
    hosts: [quiet.example]
    signing_certificates: [ca.pem]
    accounts: {{bob: bob@quiet.example}}
"""


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run: TypeAlias = Callable[..., Done]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """The command, in this process."""

    def run(*arguments: str) -> Done:
        try:
            status = main(["report", *arguments])
        except SystemExit as left:
            status = int(str(left.code))
        out, err = capfd.readouterr()
        return Done(status, out, err)

    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.mkdir()
    lines = [line(check(time=f"2026-11-{day:02}T10:00:00Z")) for day in range(1, 10)]
    bad = line(check(time="2026-11-05T10:00:00Z", login="bob", accounts=["bob"], **DENIED))
    hook = line(check(time="2026-11-06T10:00:00Z", exempt="hooks"))
    (path / "decisions.jsonl.1.gz").write_bytes(gzip.compress(b"".join(lines)))
    (path / "decisions.jsonl").write_bytes(bad + hook)
    return path


def test_somebody_would_break(log: Path) -> None:
    """Status 3, and who it is; nothing on standard error where nobody looks."""
    command = [sys.executable, "-m", "extauthz", "report", str(log)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (3, b"")
    assert b"1 person would break; 90.9 % of 11 checks pass" in done.stdout
    assert b"bob" in done.stdout


def test_nobody_would_break(run: Run, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 0; standard input is read as a file is."""
    with (log / "decisions.jsonl.1.gz").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        done = run("-", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["report"]["subscriptions"][0]["readiness"] == "ready"


def test_time_and_subscription_are_chosen(run: Run, log: Path) -> None:
    """What is left out is counted as read, and nothing else."""
    arguments = (str(log), "--json", "--as-of", "2026-11-10T10:00Z", "--since", "3d")
    done = run(*arguments)
    (said,) = json.loads(done.stdout)["report"]["subscriptions"]
    assert (done.returncode, said["checks"], said["first_seen"]) == (0, 3, "2026-11-07T10:00:00Z")
    done = run(str(log), "--json", "--until", "2026-11-03")
    assert json.loads(done.stdout)["report"]["subscriptions"][0]["checks"] == 2
    done = run(str(log), "--subscription", "other")
    assert done.returncode == 1
    assert (
        done.stderr
        == "extauthz report: no check that was asked for, in 11 lines; 0 could not be read\n"
    )


def test_policy_gives_words_and_who_never_came(
    run: Run, log: Path, tmp_path: Path, ca_pem: str
) -> None:
    """Exemptions that nobody used, the operator's reasons, and subscriptions without a check."""
    (tmp_path / "ca.pem").write_text(ca_pem)
    (tmp_path / "policy.yaml").write_text(POLICY)
    done = run(str(log), "--json", "--policy", str(tmp_path / "policy.yaml"))
    acme, quiet = json.loads(done.stdout)["report"]["subscriptions"]
    told = ("name", "reason", "until", "checks")
    assert [tuple(each[name] for name in told) for each in acme["exemptions"]] == [
        ("hooks", "build server", UNTIL, 1), ("unused", "nobody knows", UNTIL, 0),
    ]  # fmt: skip
    assert (quiet["readiness"], quiet["verdict"]) == ("no data", "nobody came")


def test_page_and_files_are_written(run: Run, log: Path, tmp_path: Path) -> None:
    """Besides what is printed."""
    page, tables = tmp_path / "report.html", tmp_path / "csv"
    done = run(str(log), "--html", str(page), "--csv", str(tables), "--json")
    assert json.loads(done.stdout)["schema"] == 1
    assert "1 person would break" in page.read_text()
    assert "bob" in (tables / "refused.csv").read_text()
    assert run(str(log), "--csv", "-").stdout.startswith("subscription,caller,")


def test_another_policy_is_tried(run: Run, log: Path, tmp_path: Path, ca_pem: str) -> None:
    """`--what-if`, on the same selection: in JSON, for a reader, as a table, and in a page."""
    (tmp_path / "ca.pem").write_text(ca_pem)
    directory = tmp_path / ("long-" * 30)
    directory.mkdir()
    policy = directory / "policy.yaml"
    policy.write_text(POLICY.replace("ca.pem", "../ca.pem"))
    new = ("--what-if", str(policy))
    page, tables = tmp_path / "page.html", tmp_path / "tables"
    done = run(str(log), "--json", *new, "--csv", str(tables), "--html", str(page))
    assert json.loads(done.stdout)["what_if"]["checks"] == 11
    assert (tables / "what_if.csv").read_text().startswith("subscription,change,caller,")
    assert "would change" in page.read_text()
    assert str(policy) in run(str(log), *new).stdout.replace("\n", "")
    assert run(str(log), *new, "--csv", "-").stdout.startswith("subscription,change,caller,")


@pytest.mark.parametrize(
    ("problem", "mode", "status"),
    [
        ("certificate_missing", "enforce", 3),
        ("certificate_missing", "audit", 0),
        (None, "enforce", 1),
    ],
    ids=["somebody would be refused", "nobody would", "nobody knows"],
)
def test_status_tells_whether_the_other_policy_refuses_who_passes(
    problem: str | None, mode: str, status: int, run: Run, tmp_path: Path, ca_pem: str
) -> None:
    """So that a pipeline can go by it; what could not be decided is not taken for well."""
    (tmp_path / "ca.pem").write_text(ca_pem)
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("acme:\n", f"acme:\n    mode: {mode}\n", 1))
    log = tmp_path / "log"
    log.write_bytes(line(check(certificate_problem=problem)))
    assert run(str(log)).returncode == 0
    assert run(str(log), "--what-if", str(policy)).returncode == status


def test_what_a_replay_cannot_fetch_is_a_note_and_no_log(
    run: Run, log: Path, tmp_path: Path, ca_pem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The report is what is printed."""
    (tmp_path / "ca.pem").write_text(ca_pem)
    nowhere = f"http://127.0.0.1:{free_port()}/"
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace(
        "signing_certificates: [ca.pem]\n",
        f"signing_certificates: [ca.pem]\n    revocation: {{crl: ['{nowhere}']}}\n",
        1,
    ))  # fmt: skip
    done = run(str(log), "--what-if", str(policy))
    assert nowhere in done.stdout.replace("\n", "")
    assert (done.stderr, caplog.records) == ("", [])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere"], 1, "nowhere: no such file"),
        ([], 2, "FILE"),
        (["{log}", "--since", "yesterday"], 2, "--since: not a time: 'yesterday'"),
        (["{log}", "--since", "99999w"], 0, ""),
        (["{log}", "--as-of", "0001-01-02", "--since", "3d"], 2, "--since: not a time"),
        (["{log}", "--since", "2026-11-02", "--until", "2026-11-01"], 2, "leaves nothing"),
        (["{log}", "--expiring-days", "-1"], 2, "not a number of days"),
        (["{log}", "--json", "--csv", "-"], 2, "both go to standard output"),
        (["{log}", "--policy", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["{log}", "--html", "/nowhere/page.html"], 1, "cannot write"),
        (["{log}", "--csv", "/dev/null/x"], 1, "cannot write"),
        (["/dev/null"], 1, "no check that was asked for, in 0 lines"),
    ],
)  # fmt: skip
def test_mistakes_are_said(
    run: Run, arguments: list[str], status: int, message: str, log: Path
) -> None:
    """In one line, and never by a traceback."""
    done = run(*(each.replace("{log}", str(log)) for each in arguments))
    said = done.stderr
    assert message in said
    assert "Traceback" not in said
    assert done.returncode == status or (status, done.returncode) == (0, 3)


def test_progress_is_shown_to_whoever_looks_at_a_terminal_and_to_nobody_else(log: Path) -> None:
    """On standard error; the report itself is the same."""
    command = [sys.executable, "-m", "extauthz", "report", str(log), "--json"]
    command += ["--as-of", "2026-11-24"]
    controlling, terminal = pty.openpty()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(terminal)
        shown = b""
        # Linux says so (EIO) when nobody has the terminal open any more.
        with contextlib.suppress(OSError):
            while octets := os.read(controlling, 4096):
                shown += octets
        assert process.stdout is not None
        seen = json.loads(process.stdout.read())
    os.close(controlling)
    unseen = subprocess.run(command, capture_output=True, check=False, timeout=60)

    assert b"Reading the decision logs" in shown
    assert b"%" in shown
    assert unseen.stderr == b""
    assert seen == json.loads(unseen.stdout)


def test_missing_engine_is_told(log: Path) -> None:
    """Which extra it is that is missing."""
    code = (
        "import sys; sys.modules['duckdb'] = None\n"
        "from extauthz.cli import main\n"
        f"sys.exit(main(['report', {str(log)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == b'extauthz report: needs duckdb: pip install "extauthz[report]"\n'

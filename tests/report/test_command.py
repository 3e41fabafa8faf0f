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


def test_gaps_of_any_size_are_counted_or_refused(run: Run, log: Path) -> None:
    """What strangers wrote into a log is never fatal, nor in JSON."""
    gap = {"schema": 1, "record": "gap", "time": "2026-11-01T00:00:00Z"}
    (log / "gaps").write_bytes(
        line(gap | {"dropped": 2**63 - 1}) * 2 + line(gap | {"dropped": 10**12}) * 3
    )
    done = run(str(log), "--json")
    read = json.loads(done.stdout)["report"]["completeness"]
    assert (read["unreadable"], read["dropped"]) == (2, 3 * 10**12)


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


def test_own_files_are_replaced(run: Run, log: Path, tmp_path: Path) -> None:
    """A job that runs every day writes to the same names; the files are nobody else's to read."""
    page, tables = tmp_path / "report.html", tmp_path / "csv"
    arguments = (str(log), "--html", str(page), "--csv", str(tables))
    assert run(*arguments).returncode == 3
    (log / "decisions.jsonl").unlink()
    assert run(*arguments).returncode == 0
    assert "1 person" not in page.read_text()
    assert "bob" not in (tables / "refused.csv").read_text()
    for each in (page, *tables.iterdir()):
        assert not each.stat().st_mode & 0o027, each


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["--html", "{log}/decisions.jsonl", "{log}/decisions.jsonl.1.gz"], "log/decisions.jsonl"),
        (["--html", "{log}/decisions.jsonl", "{log}"], "log/decisions.jsonl"),
        (["{log}", "--html", "{log}/../notes.html"], "notes.html"),
        (["{log}", "--csv", "{log}/.."], "refused.csv"),
        (["{log}", "--csv", "{log}/..", "--what-if", "{log}/../policy.yaml"], "what_if.csv"),
        (["{log}", "--what-if", "{log}/../policy.yaml", "--html", "{log}/../policy.yaml"],
         "policy.yaml"),
    ],
)  # fmt: skip
def test_what_somebody_else_wrote_is_not_replaced(
    run: Run, arguments: list[str], written: str, log: Path, tmp_path: Path, ca_pem: str
) -> None:
    """`--html decisions.jsonl*` without a name gives the first log; nothing is written then."""
    (tmp_path / "ca.pem").write_text(ca_pem)
    (tmp_path / "policy.yaml").write_text(POLICY)
    path = tmp_path / written
    if not path.exists():
        path.write_text("<!doctype html>\nmine\n")
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    done = run(*(each.replace("{log}", str(log)) for each in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert written.rpartition("/")[2] in done.stderr
    assert "name another file" in done.stderr
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before


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
    assert (tables / "what_if.csv").read_text("utf-8-sig").startswith("subscription,change,caller,")
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


@pytest.mark.parametrize(
    ("mode", "status"), [("enforce", 0), ("audit", 0)], ids=["as it was", "milder"]
)
def test_status_with_another_policy_is_the_other_policys(
    mode: str, status: int, run: Run, tmp_path: Path, ca_pem: str
) -> None:
    """Whoever is refused already keeps no new policy from being merged."""
    (tmp_path / "ca.pem").write_text(ca_pem)
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("acme:\n", f"acme:\n    mode: {mode}\n", 1))
    log = tmp_path / "log"
    refused = DENIED | {"mode": "enforce", "allowed": False}
    log.write_bytes(line(check(certificate_problem="certificate_missing", **refused)))
    assert run(str(log)).returncode == 3
    assert run(str(log), "--what-if", str(policy)).returncode == status


def test_nothing_decided_anew_is_no_answer_though_somebody_is_not_ready(
    run: Run, log: Path, tmp_path: Path, ca_pem: str
) -> None:
    """Status 1, as where everybody is ready."""
    (tmp_path / "ca.pem").write_text(ca_pem)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (log / "decisions.jsonl").write_bytes(
        (log / "decisions.jsonl").read_bytes().replace(b"/hooks", b"/")
    )
    done = run(str(log), "--what-if", str(tmp_path / "policy.yaml"), "--json")
    what_if = json.loads(done.stdout)["what_if"]
    assert (done.returncode, what_if["checks"], what_if["replayed"]) == (1, 11, 0)


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
        (["{log}", "--html", "/nowhere/page.html"], 2, "cannot be written"),
        (["{log}", "--csv", "/dev/null/x"], 2, "cannot be written"),
        (["/dev/null"], 1, "no check that was asked for, in 0 lines"),
        (["{log}/../other"], 1, "no check that was asked for, in 1 line; 1 of a later extauthz"),
    ],
)  # fmt: skip
def test_mistakes_are_said(
    run: Run, arguments: list[str], status: int, message: str, log: Path
) -> None:
    """In one line, and never by a traceback."""
    (log.parent / "other").write_bytes(line(check(schema=2)))
    done = run(*(each.replace("{log}", str(log)) for each in arguments))
    said = done.stderr
    assert message in said
    assert "Traceback" not in said
    assert done.returncode == status or (status, done.returncode) == (0, 3)


def test_progress_is_shown_to_whoever_looks_at_a_terminal_and_to_nobody_else(log: Path) -> None:
    """On standard error; the report itself is the same."""
    command = [sys.executable, "-m", "extauthz", "report", str(log), "--json"]
    command += ["--as-of", "2026-11-24"]
    try:
        controlling, terminal = pty.openpty()
    except OSError as error:
        # A container or a chroot may come without /dev/pts.
        pytest.skip(f"there is no pseudo-terminal here: {error}")
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


def test_who_is_left_out_is_told_from_a_subscription_in_audit(run: Run, tmp_path: Path) -> None:
    """`certificate_required_for`: both hold at once, whoever comes last."""
    required = DENIED | {"mode": "enforce", "subscription_mode": "enforce", "allowed": False}
    left_out = DENIED | {"subscription_mode": "enforce", "login": "jared", "accounts": ["jared"]}
    lines = [
        line(check(time="2026-11-01T10:00:00Z", **required)),
        line(check(time="2026-11-02T10:00:00Z", **left_out)),
    ]
    for number, ordered in enumerate((lines, lines[::-1])):
        log = tmp_path / f"log-{number}"
        log.write_bytes(b"".join(ordered))
        (said,) = json.loads(run(str(log), "--json").stdout)["report"]["subscriptions"]
        assert said["verdict"].startswith("1 person is refused, 1 more would be; ")
        assert said["modes"] == ["enforce for some, audit for the others"]
        refused = {each["caller"]["name"]: each["is_refused"] for each in said["refused"]}
        assert refused == {"alice": True, "jared": False}
    log.write_bytes(line(check(**left_out)))
    (said,) = json.loads(run(str(log), "--json").stdout)["report"]["subscriptions"]
    assert said["modes"] == ["enforce for some, audit for the others"]


def test_cutover_and_rollback_are_told_in_turn(run: Run, tmp_path: Path) -> None:
    """Nobody was left out: one mode after the other, whether or not the record has both."""
    modes = ["audit", "enforce", "audit", "enforce"]
    log = tmp_path / "log"
    for has_both in (True, False):
        more = [{"subscription_mode": mode} if has_both else {} for mode in modes]
        log.write_bytes(b"".join(
            line(check(time=f"2026-11-0{day}T10:00:00Z", mode=mode, **own))
            for day, (mode, own) in enumerate(zip(modes, more, strict=True), 1)
        ))  # fmt: skip
        (said,) = json.loads(run(str(log), "--json").stdout)["report"]["subscriptions"]
        assert said["modes"] == ["audit", "enforce"]


def test_accounts_that_never_came_are_told(
    run: Run, log: Path, tmp_path: Path, ca_pem: str
) -> None:
    """With `--policy`: in the verdict, and by login."""
    (tmp_path / "ca.pem").write_text(ca_pem)
    policy = tmp_path / "policy.yaml"
    accounts = "{alice: alice@acme.example, zoe: zoe@acme.example}"
    policy.write_text(POLICY.replace("{alice: alice@acme.example}", accounts))
    acme, quiet = json.loads(run(str(log), "--json", "--policy", str(policy)).stdout)["report"][
        "subscriptions"
    ]
    assert acme["verdict"].endswith("pass, 1 by an exemption. 1 account never came")
    assert (acme["absent"], quiet["absent"]) == (["zoe"], None)
    (alone,) = json.loads(run(str(log), "--json").stdout)["report"]["subscriptions"]
    assert alone["absent"] is None

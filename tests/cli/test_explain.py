"""`extauthz explain`: why a request passes or not, under a policy or from the decision log."""

import gzip
import json
import os
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from extauthz.cli.explained_answers import MAX_BODY_LINES
from extauthz.demo.authority import Validity, authority, name, user
from tests.cli.conftest import Company, Run, forwarded
from tests.report.records import check, line

UNTIL = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"
POLICY = f"""\
subscriptions:
  acme:
    hosts: [acme.example.com, "*.acme.example.com"]
    signing_certificates: [acme-ca.pem]
    login: [basic, {{form: {{paths: [/login], field: user}}}}]
    accounts:
      alice: alice@acme.example
      bob: bob@acme.example
    exempt:
    - {{reason: build server, until: {UNTIL}, logins: [ci], from: [192.0.2.0/24], name: build}}
  watched:
    hosts: [watched.example.com]
    signing_certificates: [acme-ca.pem]
    mode: audit
    accounts: {{alice: alice@acme.example}}
    denial: {{status: 401, body: "no", content_type: text/x-own}}
  asleep:
    hosts: [asleep.example.com]
    signing_certificates: [acme-ca.pem]
    mode: off
    accounts: {{alice: alice@acme.example}}
"""


@pytest.fixture
def acme(company: Company) -> Company:
    """The company with certificates in files."""
    company.write(POLICY)
    company.alice.write(company.directory, "alice")
    (company.directory / "alice.der").write_bytes(company.alice.der)
    old = user(company.ca, "old", "alice@acme.example", validity=Validity.days(-0.9, -0.5))
    old.write(company.directory, "old")
    user(authority(name("Acme CA")), "eve", "alice@acme.example").write(company.directory, "forged")
    return company


@pytest.fixture
def explain(acme: Company, extauthz_here: Run) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Explains a request under the policy: exit status and JSON."""

    def run(*arguments: str, host: str = "acme.example.com") -> tuple[int, dict[str, Any]]:
        given = [
            acme.directory / each if each.endswith((".pem", ".der")) else each for each in arguments
        ]
        done = extauthz_here("explain", "--policy", acme.policy, "--host", host, "--json", *given)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    return run


Explain = Callable[..., tuple[int, dict[str, Any]]]


@pytest.mark.parametrize(
    ("arguments", "status", "reasons"),
    [
        (["--login", "alice", "--certificate", "alice.pem"], 0, []),
        (["--login", "alice", "--certificate", "alice.der"], 0, []),
        (["--certificate", "alice.pem"], 0, []),
        (["--login", "alice", "--login-source", "form", "--path", "/login?next=/",
          "--method", "post", "--certificate", "alice.pem"], 0, []),
        (["--login", "bob", "--certificate", "alice.pem"], 1, ["email_mismatch"]),
        (["--login", "alice"], 1, ["certificate_missing"]),
        (["--certificate", "old.pem"], 1, ["certificate_expired"]),
        (["--certificate", "alice.pem", "--at", "2001-02-03"], 1,
         ["certificate_not_yet_valid", "certificate_not_yet_valid"]),
        (["--certificate", "alice.pem", "--at", "1960-02-03"], 1,
         ["certificate_not_yet_valid", "certificate_not_yet_valid"]),
        (["--certificate", "forged.pem"], 1, ["signature_invalid"]),
        (["--login", "ci", "--client", "192.0.2.7"], 0, []),
        (["--login", "ci", "--client", "192.0.3.7"], 1, ["certificate_missing", "account_unknown"]),
        (["--login", "", "--certificate", "alice.pem"], 1, ["login_malformed"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)  # fmt: skip
def test_request_is_decided_as_the_server_would(
    explain: Explain, arguments: list[str], status: int, reasons: list[str]
) -> None:
    """The exit status says whether it passes, the report why."""
    found, report = explain(*arguments)

    assert (found, report["allowed"]) == (status, status == 0)
    assert report["reasons"] == reasons


def test_explanation_is_read_at_a_terminal(acme: Company, extauthz_here: Run) -> None:
    """Each check in order with a sign and a word, what was compared, what mends it, the answer."""
    done = extauthz_here(
        "explain", "--policy", acme.policy, "--host", "acme.example.com", "--login", "bob",
        "--certificate", acme.directory / "alice.pem", "--client", "192.0.2.1",
    )  # fmt: skip
    lines = done.stdout.splitlines()
    checks = [line for line in lines if line.startswith("[")]

    assert done.returncode == 1
    assert [line[:3] for line in checks] == [
        "[+]", "[+]", "[+]", "[x]", "[+]", "[+]", "[-]", "[-]", "[x]",
    ]  # fmt: skip
    assert "[x] failed     3. It is the account's" in lines
    assert "    ! email_mismatch: the certificate's email is not the account's" in lines
    assert "      found: the account has 'bob@acme.example', the certificate" in lines
    assert (
        "      mend:  Mend the address of the account (`extauthz accounts set-email`, or" in lines
    )
    assert "Refused: the certificate's email is not the account's." in done.stdout
    assert "    403, text/plain; charset=utf-8\n      Invalid user credentials\n" in done.stdout
    assert max(map(len, lines)) <= 80


def test_answers_to_all_kinds_of_clients_are_shown(explain: Explain) -> None:
    """The very ones that the server gives, and none where the service answers."""
    _, refused = explain()
    _, passes = explain("--certificate", "alice.pem")

    assert [(each["status"], each["content_type"]) for each in refused["answer"]] == [
        (403, "text/plain; charset=utf-8"),
        (403, "text/html; charset=utf-8"),
        (403, "application/json"),
    ]
    assert json.loads(refused["answer"][2]["body"]) == {"error": "Invalid user credentials"}
    assert passes["answer"] == []


def test_login_that_the_policy_does_not_read_is_pointed_out(explain: Explain) -> None:
    """It counts for nothing, as in the server: then the certificate alone says who it is."""
    arguments = ("--login", "bob", "--login-source", "form", "--certificate", "alice.pem")
    status, report = explain(*arguments)
    at_login, _ = explain(*arguments, "--path", "/login")

    assert (status, at_login) == (0, 1)
    (note,) = (note for note in report["notes"] if "'bob'" in note)
    assert "reads none from `form` at '/'. It reads: basic, form at '/login'." in note


def test_audit_says_what_would_happen(explain: Explain) -> None:
    """The request passes, and whoever asks learns what `enforce` would do, and its answer."""
    status, report = explain(host="watched.example.com")

    assert (status, report["allowed"], report["decision"]) == (0, True, "deny")
    assert report["answer"] == []
    assert report["if_demanded"]["allowed"] is False
    assert report["if_demanded"]["answer"] == [
        {"status": 401, "content_type": "text/x-own", "body": "no"}
    ]


def test_off_says_what_would_happen(explain: Explain, acme: Company, extauthz_here: Run) -> None:
    """Nothing is checked; yet every check is shown as it would be."""
    status, report = explain("--login", "eve", host="asleep.example.com")
    text = extauthz_here(
        "explain", "--policy", acme.policy, "--host", "asleep.example.com", "--login", "eve"
    ).stdout

    assert (status, report["reasons"]) == (0, [])
    assert report["if_demanded"]["reasons"] == ["certificate_missing", "account_unknown"]
    before, _, after = text.partition("If certificates were demanded of this user:")
    assert "[x]" not in before
    assert "[x] failed     1. A certificate is present" in after


def test_user_of_whom_no_certificate_is_demanded_yet(acme: Company, explain: Explain) -> None:
    """`certificate_required_for` lets the others pass, and it is said what then would not."""
    required = "    certificate_required_for: {logins: [bob]}\n    accounts:\n"
    acme.write(POLICY.replace("    accounts:\n", required))
    alice, report = explain("--login", "alice")
    bob, _ = explain("--login", "bob")

    assert (alice, bob) == (0, 1)
    assert report["if_demanded"]["allowed"] is False


def test_host_of_nobody_is_told_who_is_near(explain: Explain) -> None:
    status, report = explain(host="acme.example.org")

    assert (status, report["reasons"]) == (1, ["subscription_unknown"])
    assert "'acme.example.com'" in report["notes"][0]


def test_chain_is_taken_from_either_file(acme: Company, explain: Explain) -> None:
    """In the file of the certificate, below it, or in one of its own, with or without it."""
    sub = acme.ca.issue(
        name("Acme Sub CA"), [
            (extension.value, extension.critical)
            for extension in acme.ca.certificate.extensions
            if extension.oid.dotted_string != "2.5.29.14"
        ],
    )  # fmt: skip
    bob = user(sub, "bob", "bob@acme.example")
    acme.write(POLICY.replace("    login:", "    max_intermediates: 1\n    login:"))
    for file, text in (("bob", bob.pem), ("sub", sub.pem), ("full", bob.pem + sub.pem)):
        (acme.directory / f"{file}.pem").write_text(text)

    assert explain("--certificate", "bob.pem")[1]["reasons"] == ["chain_incomplete"]
    for arguments in (
        ["--certificate", "full.pem"],
        ["--certificate", "bob.pem", "--chain", "sub.pem"],
        ["--certificate", "bob.pem", "--chain", str(acme.directory / "full.pem")],
    ):
        status, report = explain(*arguments)
        assert (status, report["reasons"]) == (0, [])
        assert report["record"]["certificate"]["sent"] is not None


def test_accounts_that_live_elsewhere_are_asked(acme: Company, explain: Explain) -> None:
    """As in the server: here a file."""
    (acme.directory / "users.csv").write_text("login,email\nalice,alice@acme.example\n")
    accounts = "      alice: alice@acme.example\n      bob: bob@acme.example\n"
    acme.write(POLICY.replace(accounts, "      file: users.csv\n"))

    assert explain("--login", "alice", "--certificate", "alice.pem")[0] == 0
    assert explain("--login", "bob", "--certificate", "alice.pem")[1]["reasons"] == [
        "account_unknown"
    ]


SQL = """\
sql:
        url: postgresql://u@127.0.0.1:9/a
        password: {env: NOWHERE_TO_BE_FOUND}
        query: "SELECT login, email FROM users WHERE login = :login OR email = :identity"
"""


@pytest.mark.parametrize(("accounts", "why"), [
    (SQL, "the environment variable NOWHERE_TO_BE_FOUND is not set"),
    ("http: {url: 'http://127.0.0.1:9/'}", "no connection: Connection refused"),
])  # fmt: skip
def test_directory_that_does_not_answer_is_said_with_its_cause(
    acme: Company, explain: Explain, accounts: str, why: str
) -> None:
    """Though it is asked once, and only here."""
    listed = "      alice: alice@acme.example\n      bob: bob@acme.example\n"
    acme.write(POLICY.replace(listed, f"      {accounts}\n"))
    status, report = explain("--login", "alice", "--certificate", "alice.pem")

    assert (status, report["reasons"]) == (1, ["directory_unavailable"])
    assert report["record"]["details"] == [f"the directory of accounts: {why}"]


def test_email_of_a_directory_that_is_none_is_quoted(
    acme: Company, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever mends the account sees what is wrong in it; it matches nobody."""
    monkeypatch.chdir(acme.directory)
    with sqlite3.connect("users.db") as connection:
        connection.execute("CREATE TABLE users (login TEXT, email TEXT)")
        connection.execute("INSERT INTO users VALUES ('alice', 'not an' || char(10) || 'email')")
    connection.close()
    listed = "      alice: alice@acme.example\n      bob: bob@acme.example\n"
    here = SQL.replace("postgresql://u@127.0.0.1:9/a", "sqlite:///users.db")
    here = "".join(line for line in here.splitlines(keepends=True) if "password" not in line)
    acme.write(POLICY.replace(listed, f"      {here}"))
    status, report = explain("--login", "alice", "--certificate", "alice.pem")

    assert (status, report["reasons"]) == (1, ["email_mismatch"])
    (detail,) = report["record"]["details"]
    assert detail.startswith(r"the account has none (its email 'not an\nemail' is no address), the")


def key_files(company: Company) -> dict[str, bytes]:
    key = company.alice.key
    pem = company.alice.key_pem.encode()
    return {
        "PEM": pem,
        "PEM with its certificate": company.alice.pem.encode() + pem,
        "PEM, damaged": b"-----BEGIN EC PRIVATE KEY-----\nAAAA",
        "PKCS#8": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "SEC1": key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        "PKCS#12": company.alice.pkcs12("secret"),
    }


def test_private_key_is_refused_in_any_form(acme: Company, extauthz_here: Run) -> None:
    """With what to do about it, and without repeating a bit of it."""
    for kind, content in key_files(acme).items():
        file = acme.directory / "mistake.pem"
        file.write_bytes(content)
        done = extauthz_here(
            "explain", "--policy", acme.policy, "--host", "acme.example.com", "--certificate", file
        )

        assert (done.returncode, done.stdout) == (2, ""), kind
        assert "holds a private key" in done.stderr, kind
        assert str(file) in done.stderr
        assert "openssl" in done.stderr
        assert b64encode(content)[:40].decode() not in done.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no certificate"),
        (b"hello", "holds no certificate"),
        (b"\xff\xfe", "is neither PEM nor DER"),
        (b"\x30", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "is broken"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "which is no certificate"),
        (None, "cannot be read: No such file"),
    ],
    ids=str,
)
def test_file_without_a_certificate_is_no_decision(
    acme: Company, extauthz_here: Run, content: bytes | None, why: str
) -> None:
    """It is a mistake of whoever asks."""
    file = acme.directory / "mistake.pem"
    if content is not None:
        file.write_bytes(content)
    done = extauthz_here(
        "explain", "--policy", acme.policy, "--host", "acme.example.com", "--certificate", file
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


def test_certificate_that_cannot_be_read_is_the_servers_finding(
    acme: Company, explain: Explain
) -> None:
    """A client can send that, so it is decided on."""
    text = b64encode(acme.alice.der[:-9]).decode()
    file = acme.directory / "broken.pem"
    file.write_text(f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")

    assert explain("--certificate", "broken.pem")[1]["reasons"] == ["certificate_malformed"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "give --policy and --host, or a REQUEST_ID and --log"),
        (["--host", "acme.example.com"], "give --policy, too"),
        (["--policy", "p", "id"], "give --log FILE"),
        (["--policy", "p", "--host", "a", "id"], "REQUEST_ID and --log are not"),
        (["--policy", "p"], "give --host"),
        (["id"], "give --log FILE"),
        (["--log", "a", "id"], "give the REQUEST_ID before --log"),
        (["id", "--log", "a", "--at", "2026-11-24"], "--at is for a request that you describe"),
        (["--policy", "p", "--host", "https://a/"], "write the host alone"),
        (["--policy", "p", "--host", "a..b"], "is not a host"),
        (["--policy", "p", "--host", "a", "--at", "yesterday"], "'yesterday' is no time"),
        (["--policy", "p", "--host", "a", "--at", "2026-11-24T12:00:00"], "is no time"),
        (["--policy", "p", "--host", "a", "--at", "0001-01-01T00:00:00+23:00"], "is no time"),
        (["--policy", "p", "--host", "a", "--path", "here"], "is not a path"),
        (["--policy", "p", "--host", "a", "--method", "G T"], "is not a method"),
        (["--policy", "p", "--host", "a", "--client", "localhost"], "is not an IP address"),
        (["--policy", "p", "--host", "a", "--chain", "c.pem"], "nothing without --certificate"),
        (["--policy", "p", "--host", "a", "--login-source", "form"], "nothing without --login"),
        (["--policy", "p", "--host", "a", "--login", "a", "--login-source", "x"], "invalid choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_said(extauthz_here: Run, arguments: list[str], why: str) -> None:
    done = extauthz_here("explain", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert why in " ".join(done.stderr.split())


def test_password_is_not_repeated(acme: Company, extauthz_here: Run) -> None:
    """Whoever writes it as with curl is told, and it goes nowhere."""
    done = extauthz_here(
        "explain", "--policy", acme.policy, "--host", "acme.example.com", "--login", "alice:hunter2"
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "without a password" in done.stderr
    assert "hunter2" not in done.stderr


def test_policy_with_a_mistake_decides_nothing(company: Company, extauthz_here: Run) -> None:
    """What is wrong with it is said as `validate` says it."""
    company.write("subscriptions: {acme: {host: a}}\n")
    explained = extauthz_here("explain", "--policy", company.policy, "--host", "acme.example.com")
    validated = extauthz_here("validate", company.policy)

    assert (explained.returncode, explained.stdout) == (2, "")
    assert explained.stderr == validated.stderr != ""


def test_foreign_text_steers_no_terminal(acme: Company, extauthz_here: Run) -> None:
    """Subjects and logins are made printable, wherever they stand."""
    hostile = user(acme.ca, "\x1b[2J\x1b]0;pwned\x07\u202egpj", "\x1bbold@acme.example")
    (acme.directory / "hostile.pem").write_text(hostile.pem)
    done = extauthz_here(
        "explain", "--policy", acme.policy, "--host", "acme.example.com",
        "--certificate", acme.directory / "hostile.pem", "--path", "/é",
    )  # fmt: skip

    assert done.returncode == 1
    assert "pwned" in done.stdout
    assert all(line.isprintable() for line in done.stdout.split("\n"))


@pytest.fixture(scope="module")
def requests_and_log(
    make_company: Callable[[], Company], serving: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Company, Path]:  # fmt: skip
    """The decision log of a real server that was asked what `asked_of_both` says."""
    company = make_company()
    company.write(POLICY)
    old = user(company.ca, "old", "alice@acme.example", validity=Validity.days(-0.9, -0.5))
    forged = user(authority(name("Acme CA")), "eve", "alice@acme.example")
    credentials = {"alice": company.alice, "old": old, "forged": forged}
    for stem, credential in credentials.items():
        credential.write(company.directory, stem)
    log = tmp_path_factory.mktemp("log") / "decisions.jsonl"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with serving(company.policy, stdout=descriptor, close=[descriptor]) as server:
        connection = server.connect()
        for request_id, (host, path, login, certificate, client) in ASKED.items():
            headers = {"Host": host, "x-request-id": request_id}
            if login is not None:
                encoded = b64encode(f"{login}:secret".encode()).decode()
                headers["Authorization"] = f"Basic {encoded}"
            if certificate is not None:
                headers["x-forwarded-client-cert"] = forwarded(credentials[certificate])
            if client is not None:
                headers["x-extauthz-client-address"] = client
            connection.request("GET", f"/check{path}", headers=headers)
            connection.getresponse().read()
        connection.close()
        server.stop()
    return company, log


ASKED: dict[str, tuple[str, str, str | None, str | None, str | None]] = {
    "right": ("acme.example.com", "/", "alice", "alice", "192.0.2.1"),
    "below": ("a.acme.example.com:8443", "/x?q=1", None, "alice", None),
    "other-account": ("acme.example.com", "/", "bob", "alice", None),
    "no-account": ("acme.example.com", "/", "eve", "alice", None),
    "none": ("acme.example.com", "/a/b", "alice", None, None),
    "exempt": ("acme.example.com", "/", "ci", None, "192.0.2.9"),
    "not-exempt": ("acme.example.com", "/", "ci", None, "198.51.100.9"),
    "expired": ("acme.example.com", "/", "alice", "old", None),
    "forged": ("acme.example.com", "/", "alice", "forged", None),
    "audit": ("watched.example.com", "/", "eve", "forged", None),
    "off": ("asleep.example.com", "/", "eve", None, None),
    "nobody": ("acme.example.org", "/", "alice", "alice", None),
}
"""Host, path, login, certificate and client of requests, by their ids."""


def test_answer_of_a_recorded_decision_is_that_of_the_policy_that_is_given(
    requests_and_log: tuple[Company, Path], extauthz_here: Run, tmp_path: Path
) -> None:
    """With its request id; without a policy it is not known, and said how to get it."""
    company, log = requests_and_log

    def answer(request_id: str, *more: str | Path) -> list[dict[str, Any]] | None:
        done = extauthz_here("explain", request_id, "--json", "--log", log, *more)
        (found,) = json.loads(done.stdout)["found"]
        given: list[dict[str, Any]] | None = found["answer"]
        return given

    plain, page, machine = answer("other-account", "--policy", company.policy) or []
    assert (plain["status"], plain["body"]) == (403, "Invalid user credentials\n")
    assert "<code" in page["body"]
    assert json.loads(machine["body"])["request_id"] == "other-account"
    assert len(answer("nobody", "--policy", company.policy) or []) == 3
    assert answer("right", "--policy", company.policy) == answer("audit") == []
    assert answer("other-account") is None

    text = extauthz_here("explain", "other-account", "--log", log)
    assert "With --policy FILE its answer is shown, too." in text.stdout
    text = extauthz_here("explain", "other-account", "--log", log, "--policy", company.policy)
    assert (text.returncode, "403, application/json" in text.stdout) == (1, True)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("subscriptions: 1")
    refused = extauthz_here("explain", "other-account", "--log", log, "--policy", wrong)
    assert (refused.returncode, refused.stdout) == (2, "")


@pytest.mark.parametrize("request_id", ASKED)
def test_server_log_and_policy_say_the_same(
    requests_and_log: tuple[Company, Path], extauthz_here: Run, request_id: str
) -> None:
    """What the server decided, what its log is explained to say, and what `--policy` decides."""
    company, log = requests_and_log
    host, path, login, certificate, client = ASKED[request_id]
    arguments: list[str | Path] = ["--host", host, "--path", path]
    if login is not None:
        arguments += ["--login", login]
    if certificate is not None:
        arguments += ["--certificate", company.directory / f"{certificate}.pem"]
    if client is not None:
        arguments += ["--client", client]
    recorded = extauthz_here("explain", request_id, "--json", "--log", log)
    tried = extauthz_here("explain", "--policy", company.policy, "--json", *arguments)
    (from_log,) = json.loads(recorded.stdout)["found"]
    from_policy = json.loads(tried.stdout)
    (line,) = (
        members
        for members in map(json.loads, log.read_text().splitlines())
        if members.get("request_id") == request_id
    )

    assert from_log["record"] == line
    assert recorded.returncode == tried.returncode == (0 if line["allowed"] else 1)
    own = ("time", "request_id", "duration_us", "policy_generation")
    records = [
        {key: value for key, value in explained["record"].items() if key not in own}
        for explained in (from_log, from_policy)
    ]
    assert records[0] == records[1]
    session, checked = 7, 2
    for number, (logged, rehearsed) in enumerate(
        zip(from_log["checks"], from_policy["checks"], strict=True)
    ):
        if number != session:
            assert logged["outcome"] == rehearsed["outcome"]
            assert logged["faults"] == rehearsed["faults"]
        if number not in {session, checked}:
            assert logged["compared"] == rehearsed["compared"]


def test_recorded_decision_is_read_at_a_terminal(
    requests_and_log: tuple[Company, Path], extauthz_here: Run
) -> None:
    """By the id that stands in Envoy's access log."""
    _, log = requests_and_log
    done = extauthz_here("explain", "expired", "--log", log)

    assert done.returncode == 1
    assert done.stdout.startswith("expired, 20")
    assert "    ! certificate_expired: a certificate of the chain has expired" in done.stdout
    assert "\nRefused: a certificate of the chain has expired." in done.stdout


def test_request_that_is_not_there_is_said_with_where_was_looked(
    requests_and_log: tuple[Company, Path], extauthz_here: Run, tmp_path: Path
) -> None:
    """How many lines, of which time, and what is missing in it."""
    log = tmp_path / "log.gz"
    log.write_bytes(gzip.compress(requests_and_log[1].read_bytes() + b'{"schema":1,"rec\n'))
    done = extauthz_here("explain", "7c0a3e8e", "--log", log)

    assert (done.returncode, done.stdout) == (2, "")
    assert "no check has the request id '7c0a3e8e' in " in done.stderr
    assert " lines of 1 file, from 20" in done.stderr
    assert "1 line could not be read" in done.stderr


def test_log_that_is_not_there_is_said(extauthz_here: Run, tmp_path: Path) -> None:
    done = extauthz_here("explain", "id", "--log", tmp_path / "log")

    assert (done.returncode, done.stdout) == (2, "")
    assert "log: cannot be read: No such file or directory" in done.stderr


def test_log_is_read_from_standard_input(
    requests_and_log: tuple[Company, Path], extauthz_here: Run
) -> None:
    """`zcat … | extauthz explain ID --log -`."""
    saved = os.dup(0)
    descriptor = os.open(requests_and_log[1], os.O_RDONLY)
    try:
        os.dup2(descriptor, 0)
        done = extauthz_here("explain", "exempt", "--log", "-")
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(descriptor)

    assert done.returncode == 0
    assert "The request passes by the exemption 'build'" in done.stdout


def test_standard_input_that_cannot_be_read_is_said(extauthz_here: Run, tmp_path: Path) -> None:
    """It would be 1 else, which is refused."""
    saved = os.dup(0)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        os.dup2(descriptor, 0)
        done = extauthz_here("explain", "id", "--log", "-")
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(descriptor)

    assert (done.returncode, done.stdout) == (2, "")
    assert "standard input: cannot be read: Is a directory" in done.stderr


def test_log_may_be_a_directory(extauthz_here: Run, tmp_path: Path) -> None:
    """Every file in it, but for hidden ones, as `report` has it; directories in it are not."""
    for file, request_id in {"a.jsonl": "a", "b": "b", ".b.gz.part": "hidden"}.items():
        (tmp_path / file).write_bytes(line(check(request_id=request_id)))
    (tmp_path / "c.gz").write_bytes(gzip.compress(line(check(request_id="c"))))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "d").write_bytes(line(check(request_id="d")))
    for request_id in "abc":
        done = extauthz_here("explain", request_id, "--log", tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), request_id

    done = extauthz_here("explain", "hidden", "--log", tmp_path)
    assert done.returncode == 2
    assert "no check has the request id 'hidden' in 3 lines of 3 files" in done.stderr
    done = extauthz_here("explain", "d", "--log", tmp_path / "old", tmp_path / "a.jsonl")
    assert done.returncode == 0


def test_directory_of_logs_that_has_none_is_said(extauthz_here: Run, tmp_path: Path) -> None:
    done = extauthz_here("explain", "id", "--log", tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"extauthz explain: {tmp_path}: no such file, and none in it\n"


def test_log_that_was_compressed_meanwhile_is_found(extauthz_here: Run, tmp_path: Path) -> None:
    """Since its name was listed."""
    (tmp_path / "log-20261101T000000.000000Z.gz").write_bytes(gzip.compress(line(check())))
    done = extauthz_here("explain", "id", "--log", tmp_path / "log-20261101T000000.000000Z")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ("2026-11-01T10:00:00Z", "id, 2026-11-01 10:00:00.000+00:00"),
        ("2026-11-01T10:00:00+05:30", "id, 2026-11-01 04:30:00.000+00:00"),
        ("2026-11-01T10:00:00", None),
        ("1793527200", None),
    ],
)
def test_time_is_read_as_the_report_reads_it(
    extauthz_here: Run, tmp_path: Path, time: str, said: str | None
) -> None:
    """In UTC, whatever the offset; a line whose time has none is no record."""
    log = tmp_path / "log"
    log.write_bytes(line(check(time=time)))
    done = extauthz_here("explain", "id", "--log", log)
    report = json.loads(extauthz_here("explain", "id", "--json", "--log", log).stdout)

    if said is None:
        assert (done.returncode, report["searched"]["torn"]) == (2, 1)
        assert "in 1 line of 1 file; 1 line could not be read" in done.stderr
    else:
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, said)
        assert report["found"][0]["record"]["time"].endswith("Z")
        assert report["searched"]["since"].endswith("+00:00")


def gap(dropped: int) -> bytes:
    return line({
        "schema": 1, "record": "gap", "time": "2026-11-01T10:00:00Z", "dropped": dropped,
        "since": "2026-11-01T09:00:00Z", "why": "full",
    })  # fmt: skip


def test_gap_is_one_however_it_is_spaced(extauthz_here: Run, tmp_path: Path) -> None:
    """As whoever shipped the log may have written it anew. One that nobody could have is none."""
    log = tmp_path / "log"
    log.write_bytes(line(check()) + gap(1) + gap(2**63 - 1))
    done = extauthz_here("explain", "other", "--log", log)

    assert "the log lacks 1 line that could not be written" in done.stderr


def test_long_answer_is_cut_with_a_true_word(acme: Company, extauthz_here: Run) -> None:
    """Of as many lines as are left out."""
    for more, said in ((1, "1 more line; --json has it"), (2, "2 more lines; --json has them")):
        body = "\\n".join(["no"] * (MAX_BODY_LINES + more))
        acme.write(POLICY.replace('body: "no"', f'body: "{body}"').replace("audit", "enforce"))
        done = extauthz_here("explain", "--policy", acme.policy, "--host", "watched.example.com")
        assert f"      … ({said})\n" in done.stdout


def test_several_checks_of_one_request_are_all_explained(
    requests_and_log: tuple[Company, Path], extauthz_here: Run, tmp_path: Path
) -> None:
    """The newest first, and the exit status is its."""
    lines = {
        json.loads(line)["request_id"]: json.loads(line)
        for line in requests_and_log[1].read_text().splitlines()
        if '"record":"check"' in line
    }
    log = tmp_path / "log"
    both = [lines["right"], lines["expired"] | {"request_id": "right"}]
    log.write_text("\n".join(json.dumps(each, separators=(",", ":")) for each in both))
    done = extauthz_here("explain", "right", "--log", log)

    assert done.returncode == 1
    assert done.stdout.startswith("2 checks have this request id. The newest first:")
    refused, passes = done.stdout.index("\nRefused:"), done.stdout.index("\nThe request passes:")
    assert refused < passes

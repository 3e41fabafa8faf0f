"""`extauthz validate`: what an operator reads before a policy goes to the servers."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from extauthz.demo.authority import Validity, authority, name
from tests.cli.conftest import COMMAND, ENVIRONMENT, POLICY, Company, Run, days_from_now, extauthz
from tests.revocation.made import HOUR, NOW, crl
from tests.revocation.servers import HttpServer, content

SECOND = """\
  widget:
    hosts: ["*.widget.example.com", widget.example.com]
    signing_certificates: [widget-ca.pem, acme-ca.pem]
    verify_email: false
    mode: audit
"""


def old_ca(company: Company, subject: str = "Old CA") -> None:
    old = authority(name(subject), validity=Validity.days(-20, -10))
    (company.directory / "acme-ca.pem").write_text(old.pem)


def test_a_good_policy_is_summed_up_in_a_table(company: Company) -> None:
    """A row for each signing certificate, what belongs to the subscription in the first one."""
    widget = authority(name("Widget CA", "Widget Ltd."))
    (company.directory / "widget-ca.pem").write_text(widget.pem)
    company.write(POLICY + SECOND)
    done = extauthz("validate", company.policy)
    assert (done.returncode, done.stderr) == (0, "")
    header, acme, first, second, verdict = done.stdout.splitlines()
    assert header.split() == [
        "SUBSCRIPTION", "MODE", "HOSTS", "ACCOUNTS", "SIGNING", "CERTIFICATE", "EXPIRES", "SHA-256",
    ]  # fmt: skip
    end = f"{company.ca.certificate.not_valid_after_utc:%Y-%m-%d}"
    fingerprint = company.ca.certificate.fingerprint
    assert fingerprint is not None
    assert acme.split()[:7] == ["acme", "enforce", "acme.example.com", "2", "CN=Acme", "CA", end]
    assert acme.split()[7] == second.split()[-1]
    assert len(acme.split()[7]) == 64
    for word in ("widget", "audit", "*.widget.example.com", "not verified", "O=Widget Ltd."):
        assert word in first
    assert second.split()[:2] == ["CN=Acme", "CA"]
    columns = [header.index(word) for word in ("SIGNING", "EXPIRES", "SHA-256")]
    for row in (acme, first, second):
        assert all(row[column] != " " and row[column - 1] == " " for column in columns)
    assert verdict == f"{company.policy} is valid: 0 errors, 0 warnings"


def test_a_bad_policy_is_reported_in_full_on_standard_error(company: Company) -> None:
    """Status 1, a line for each mistake, and a last word on standard output."""
    company.write(POLICY.replace("acme-ca.pem", "acme.pem") + "    mode: adit\n    mod: off\n")
    done = extauthz("validate", company.policy)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        (
            f"{company.policy}:4:28: error: 'acme.pem' cannot be read: No such file or directory;"
            " check the path, and that extauthz may read it"
        ),
        f"{company.policy}:8:11: error: 'mode' cannot be 'adit'; did you mean 'audit'?",
        f"{company.policy}:9:5: error: unknown key 'mod'; did you mean 'mode'?",
    ]
    verdict = "is not valid, and would not take effect: 3 errors, 0 warnings"
    assert done.stdout == f"{company.policy} {verdict}\n"


def test_warnings_leave_a_policy_valid(company: Company, extauthz_here: Run) -> None:
    """What is to be looked at is printed with the table, and the status stays 0."""
    soon = authority(name("Acme CA"), validity=Validity.days(-300, 10))
    (company.directory / "acme-ca.pem").write_text(soon.pem)
    done = extauthz_here("validate", company.policy)
    assert (done.returncode, done.stderr) == (0, "")
    warning, header, *_, verdict = done.stdout.splitlines()
    assert warning.startswith(f"{company.policy}:4:28: warning: the signing certificate 'CN=Acme")
    assert warning.endswith("; name the one that replaces it beside it")
    assert header.startswith("SUBSCRIPTION")
    assert verdict.endswith(" is valid: 0 errors, 1 warning")


def test_a_lapsed_subscription_fails_and_reads_as_what_it_is(company: Company) -> None:
    """It would load, for the sake of the others, but whoever validates is to hear of it."""
    old_ca(company)
    done = extauthz("validate", company.policy)
    assert done.returncode == 1
    lapsed, warning = done.stderr.splitlines()
    assert lapsed == (
        f"{company.policy}:4:27: lapsed: no signing certificate is valid today: no user's"
        " certificate can pass; ask the customer for the new one"
    )
    assert ": warning: the signing certificate 'CN=Old CA' of 'acme-ca.pem' expired at " in warning
    assert done.stdout.splitlines()[-1] == (
        f"{company.policy} would take effect, but 1 subscription would admit nobody: 0 errors,"
        " 1 warning"
    )


def test_subscriptions_are_counted_and_not_what_is_wrong_with_them(
    company: Company, extauthz_here: Run
) -> None:
    """One may lack several things."""
    old_ca(company)
    directory = "accounts: {http: {url: 'http://127.0.0.1:9/'}}"
    store = "session: {cookie: SID, store: 'redis://127.0.0.1:9'}"
    company.write(f"""\
subscriptions:
  acme:
    hosts: [acme.example.com]
    signing_certificates: [acme-ca.pem]
    {directory}
    {store}
  acme-two:
    hosts: [two.example.com]
    signing_certificates: [acme-ca.pem]
    verify_email: false
""")
    done = extauthz_here("validate", company.policy)
    assert "but 2 subscriptions would admit nobody" in done.stdout
    done = extauthz_here("validate", "--online", company.policy)
    assert done.stderr.count(": lapsed: ") == 4
    assert "but 2 subscriptions would admit nobody" in done.stdout
    (company.directory / "acme-ca.pem").write_text(company.ca.pem)
    done = extauthz_here("validate", "--online", company.policy)
    assert done.stderr.count(": lapsed: ") == 2
    assert "but 1 subscription would admit nobody" in done.stdout


@pytest.mark.parametrize("path", ["/", "/dev/zero", "nowhere.yaml", "", "\udcff"])
def test_what_is_no_policy_is_one_clear_sentence(path: str, extauthz_here: Run) -> None:
    """A path that is wrong, whatever it is, ends in status 1 and no traceback."""
    done = extauthz_here("validate", path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == len(done.stdout.splitlines()) == 1
    assert ": error: the policy file " in done.stderr


class TestJson:
    """`--json` is the same report for machines, on standard output alone."""

    def test_a_good_policy(self, company: Company) -> None:
        """Everything that the table says, and the problems, if any."""
        done = extauthz("validate", "--json", company.policy)
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        (subscription,) = report["subscriptions"]
        (signing,) = subscription.pop("signing_certificates")
        assert report == {
            "valid": True,
            "problems": [],
            "decision_log": {"redact": []},
            "subscriptions": [
                {
                    "name": "acme",
                    "mode": "enforce",
                    "hosts": ["acme.example.com"],
                    "verify_email": True,
                    "identity": "email",
                    "max_intermediates": 0,
                    "revocation": None,
                    "accounts": 2,
                    "login": ["basic"],
                    "session": None,
                    "exempt": [],
                }
            ],
        }
        assert set(signing) == {"label", "subject", "not_after", "sha256"}
        assert signing["label"] == "acme-ca.pem"
        assert signing["subject"] == "CN=Acme CA"
        assert 3648 < days_from_now(signing["not_after"]) < 3650
        assert len(signing["sha256"]) == 64

    def test_a_bad_policy(self, company: Company, extauthz_here: Run) -> None:
        """Each problem in its parts; what would be right is one of them."""
        company.write(POLICY + "    mode: adit\n")
        done = extauthz_here("validate", "--json", company.policy)
        assert (done.returncode, done.stderr) == (1, "")
        assert json.loads(done.stdout) == {
            "valid": False,
            "problems": [
                {
                    "file": str(company.policy),
                    "line": 8,
                    "column": 11,
                    "severity": "error",
                    "message": "'mode' cannot be 'adit'",
                    "remedy": "did you mean 'audit'?",
                }
            ],
            "decision_log": {"redact": []},
            "subscriptions": [],
        }

    def test_a_file_as_a_whole(self, tmp_path: Path, extauthz_here: Run) -> None:
        """Where no line is meant, line and column are null."""
        report = json.loads(extauthz_here("validate", "--json", tmp_path).stdout)
        (problem,) = report["problems"]
        assert (problem["line"], problem["column"]) == (None, None)

    def test_a_lapsed_subscription(self, company: Company, extauthz_here: Run) -> None:
        """Not valid, and yet with its subscriptions: it would load."""
        old_ca(company)
        done = extauthz_here("validate", "--json", company.policy)
        assert done.returncode == 1
        report = json.loads(done.stdout)
        assert report["valid"] is False
        assert [problem["severity"] for problem in report["problems"]] == ["lapsed", "warning"]
        assert [subscription["name"] for subscription in report["subscriptions"]] == ["acme"]


@pytest.fixture(scope="module")
def hostile(make_company: Callable[[], Company]) -> Company:
    """A company whose CA has a name that steers terminals."""
    company = make_company()
    old_ca(company, "Evil\x1b]0 owned\x07\r\n\x9b2Jpolicy.yaml is valid\u202e ü")
    return company


class TestHostileText:
    """Names in certificates and policies are other people's text, and the terminal is ours."""

    def test_in_a_table_and_its_warnings(self, hostile: Company) -> None:
        """Escapes reach the terminal as text, on one line; a letter stays a letter."""
        done = extauthz("validate", hostile.policy)
        for output in (done.stdout, done.stderr):
            assert all(line.isprintable() for line in output.split("\n"))
            assert r"CN=Evil\x1b]0 owned\x07\r\n\x9b2Jpolicy.yaml is valid\u202e ü" in output
        assert len(done.stdout.splitlines()) == 3

    def test_in_the_messages_of_a_bad_policy(self, company: Company, extauthz_here: Run) -> None:
        """Whatever a policy holds, its report is printable, and each problem is one line."""
        evil = '"\\e[2J\\r\\n\\u202e\\x9b"'
        company.write(
            f"{evil}: 1\nsubscriptions:\n  {evil}: {{}}\n  acme:\n    hosts: [{evil}]\n"
            f"    signing_certificates: [{evil}]\n    accounts: {{{evil}: {evil}, alice: {evil}}}\n"
            f"    mode: {evil}\n    {evil}: {evil}\n    denial: {{{evil}: 1, content_type: {evil}}}"
        )
        done = extauthz_here("validate", company.policy)
        assert len(done.stderr.splitlines()) == 14
        assert all(line.isprintable() for line in (done.stderr + done.stdout).split("\n"))

    def test_in_the_name_of_the_file(self, tmp_path: Path, extauthz_here: Run) -> None:
        """A file name may hold anything but a slash."""
        done = extauthz_here("validate", tmp_path / "\x1b[2J\npolicy.yaml")
        assert all(line.isprintable() for line in (done.stderr + done.stdout).split("\n"))

    def test_in_json(self, hostile: Company, extauthz_here: Run) -> None:
        """JSON escapes by itself, and gives the subject back as it is."""
        done = extauthz_here("validate", "--json", hostile.policy)
        assert all(line.isprintable() for line in done.stdout.split("\n"))
        (subscription,) = json.loads(done.stdout)["subscriptions"]
        assert subscription["signing_certificates"][0]["subject"].startswith("CN=Evil\x1b]0 ")


class TestOutput:
    """Where the report goes is not always a terminal that takes everything."""

    def test_a_terminal_that_lacks_letters_gets_escapes(self, company: Company) -> None:
        """A letter that the encoding lacks is no reason to fail."""
        named = company.policy.rename(company.directory / "policy-ł.yaml")
        named.write_text(POLICY.replace("alice@", "ałice"))
        done = extauthz("validate", named, PYTHONIOENCODING="ascii")
        assert done.returncode == 1
        assert "'a\\u0142iceacme.example' is not an email address" in done.stderr
        assert "policy-\\u0142.yaml is not valid" in done.stdout

    @pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
    def test_closed_streams_change_nothing_but_the_output(
        self, company: Company, closed: str
    ) -> None:
        """A script that wants the status alone gets it."""
        company.write(POLICY + "    mode: adit\n")
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "validate", company.policy],
            check=False, capture_output=True, env=ENVIRONMENT,
        )  # fmt: skip
        assert done.returncode == 1
        assert b"Traceback" not in done.stdout + done.stderr
        assert (done.stdout == b"") == (">&-" in closed.split())
        assert (done.stderr == b"") == ("2>&-" in closed.split())


@pytest.mark.parametrize("arguments", [[], ["validate"], ["validate", "a", "b"], ["sevre"]])
def test_a_command_line_that_is_wrong_is_answered_with_its_usage(
    arguments: list[str], extauthz_here: Run
) -> None:
    """Status 2, as argparse and most commands have it."""
    done = extauthz_here(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: extauthz")


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "-h"], ["serve", "-h"]])
def test_help_is_on_standard_output(arguments: list[str], extauthz_here: Run) -> None:
    """Who asks for help gets it, with status 0."""
    done = extauthz_here(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: extauthz")


def test_a_large_and_bad_policy_is_reported_whole(company: Company, extauthz_here: Run) -> None:
    """However many mistakes there are, each has its line."""
    company.write("subscriptions:\n" + "".join(f"  s{number}: 7\n" for number in range(1000)))
    done = extauthz_here("validate", company.policy)
    assert len(done.stderr.splitlines()) == 1000
    assert done.stdout.endswith(": 1000 errors, 0 warnings\n")


class TestRevocation:
    """What lists and responders are worth today; from the network only when told so."""

    def write(self, company: Company, revocation: str) -> Path:
        return company.write(POLICY + f"    revocation: {revocation}\n")

    def test_list_that_is_right_is_no_problem(self, company: Company) -> None:
        (company.directory / "acme.crl").write_bytes(crl(company.ca, [1]))
        done = extauthz("validate", "--json", self.write(company, "{crl: [acme.crl]}"))
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert report["problems"] == []
        assert report["subscriptions"][0]["revocation"] == {
            "require": "leaf", "if_unknown": "deny", "ocsp": None, "blocked": 0,
            "crl": [str(company.directory / "acme.crl")],
        }  # fmt: skip

    @pytest.mark.parametrize(("unknown", "severity", "status"), [
        ("deny", "lapsed", 1), ("allow", "warning", 0),
    ])  # fmt: skip
    def test_stale_list_is_told_before_users_are_refused(
        self, company: Company, unknown: str, severity: str, status: int
    ) -> None:
        """uds-core 2393: air-gapped sites must see when each list goes stale."""
        stale = crl(company.ca, this_update=NOW - 3 * HOUR, next_update=NOW - HOUR)
        (company.directory / "acme.crl").write_bytes(stale)
        policy = self.write(company, f"{{crl: [acme.crl], if_unknown: {unknown}}}")
        done = extauthz("validate", policy)
        assert done.returncode == status
        said = f"{severity}: 'acme': no CRL counts today of 'CN=Acme CA'"
        assert said in done.stderr + done.stdout

    def test_file_that_is_no_list_is_named(self, company: Company) -> None:
        (company.directory / "acme.crl").write_text("x")
        done = extauthz("validate", self.write(company, "{crl: [acme.crl, gone.crl]}"))
        first, second, third = done.stderr.splitlines()
        assert "acme.crl': it is not a readable CRL" in first
        assert "gone.crl': cannot be read: No such file or directory" in second
        assert "no CRL counts today" in third

    def test_network_is_tried_only_when_told_so(self, company: Company) -> None:
        with HttpServer() as server:
            server.behaviours["/acme.crl"] = content(crl(company.ca, [1]))
            server.behaviours["/ocsp"] = content(b"<html>")
            crl_url, ocsp_url = server.url("/acme.crl"), server.url("/ocsp")
            policy = self.write(
                company, f"{{crl: ['{crl_url}'], ocsp: {{responder: '{ocsp_url}'}}}}"
            )
            offline = extauthz("validate", policy)
            assert (offline.returncode, offline.stderr, server.asked) == (0, "", [])
            online = extauthz("validate", "--online", policy)
            assert online.returncode == 0
            assert "OCSP responder" in online.stdout
            assert "not readable" in online.stdout
            assert server.count("/acme.crl") == server.count("/ocsp") == 1

    def test_server_that_is_not_there_is_told(self, company: Company) -> None:
        policy = self.write(company, "{crl: ['http://127.0.0.1:1/acme.crl']}")
        done = extauthz("validate", "--online", policy)
        assert done.returncode == 1
        assert "no connection: Connection refused" in done.stderr
        assert "lapsed: 'acme': no CRL counts today" in done.stderr

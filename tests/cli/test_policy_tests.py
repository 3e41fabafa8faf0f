"""`extauthz test`: policy tests, for the CI of whoever keeps a policy in a repository."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from extauthz.demo.authority import Validity, user
from tests.cli.conftest import Company, Run

TODAY = datetime.now(UTC)
UNTIL, BEFORE, AFTER = (f"{TODAY + timedelta(days=days):%Y-%m-%d}" for days in (10, 5, 12))
"""The last day of an exemption, one before it, and one when it has ended."""
POLICY = """\
subscriptions:
  acme:
    hosts: [acme.example.com]
    signing_certificates: [acme-ca.pem]
    login: [basic, {form: {paths: [/login], field: user}}]
    accounts:
      alice: alice@acme.example
      bob: bob@acme.example
    exempt:
    - {reason: hooks, until: UNTIL, paths: [/hooks/*], methods: [POST], name: hooks}
  watched:
    hosts: [watched.example.com]
    signing_certificates: [acme-ca.pem]
    mode: audit
    accounts: {alice: alice@acme.example}
""".replace("UNTIL", UNTIL)
CASES = f"""\
policy: ../policy.yaml
cases:
- name: alice comes in with her own certificate
  host: acme.example.com
  login: alice
  certificate: alice.pem
  expect: allow
  reasons: []
  tolerated: []
  accounts: [alice]
  exempt: null
- name: and with the form
  host: acme.example.com
  logins: [{{login: alice, source: form}}]
  path: /login
  method: post
  certificate: alice.pem
  expect: allow
- name: nobody comes in as somebody else
  host: acme.example.com
  login: bob
  certificate: alice.pem
  expect: deny
  reasons: [email_mismatch]
- name: nor without a certificate, nor without an account
  host: acme.example.com
  login: eve
  expect: deny
  reasons: [account_unknown, certificate_missing]
- name: hooks are exempt
  host: acme.example.com
  method: POST
  path: /hooks/x
  client: 192.0.2.1
  at: {UNTIL}T23:59:59Z
  expect: allow
  tolerated: [certificate_missing]
  exempt: hooks
- name: until they no longer are
  host: acme.example.com
  method: POST
  path: /hooks/x
  at: {AFTER}T00:00:00+01:00
  expect: deny
  exempt: null
- name: where it is only watched, everybody comes in, and it is recorded
  host: watched.example.com
  login: alice
  expect: allow
  reasons: [certificate_missing]
- name: nobody has another host
  host: acme.example.org
  expect: deny
  reasons: [subscription_unknown]
"""


@pytest.fixture
def tests(company: Company) -> Path:
    """A policy repository with a directory of tests."""
    company.write(POLICY)
    directory = company.directory / "tests"
    directory.mkdir()
    company.alice.write(directory, "alice")
    old = user(company.ca, "old", "alice@acme.example", validity=Validity.days(-0.9, -0.5))
    old.write(directory, "old")
    (directory / "cases.yaml").write_text(CASES)
    return directory


@pytest.fixture
def tested(tests: Path, extauthz_here: Run) -> Callable[..., tuple[int, str, str]]:
    """Runs a file with this content: exit status, standard output, standard error."""

    def run(text: str, *options: str | Path) -> tuple[int, str, str]:
        file = tests / "own.yaml"
        file.write_text(text)
        done = extauthz_here("test", file, *options)
        return done.returncode, done.stdout, done.stderr.replace(str(file), "own.yaml")

    return run


Tested = Callable[..., tuple[int, str, str]]


def case(**more: str) -> str:
    """A file with one case, of YAML values."""
    keys = {"name": "c", "host": "acme.example.com", "expect": "deny"} | more
    written = "\n  ".join(f"{key}: {value}" for key, value in keys.items())
    return f"policy: ../policy.yaml\ncases:\n- {written}\n"


def test_policy_that_decides_as_expected(tests: Path, extauthz_here: Run) -> None:
    """A line for each case, and 0."""
    done = extauthz_here("test", tests / "cases.yaml")
    names = [line[12:].strip() for line in CASES.splitlines() if line.startswith("- name: ")]

    assert (done.returncode, done.stderr) == (0, "")
    first, *lines, last = done.stdout.splitlines()
    assert first == str(tests / "cases.yaml")
    assert [line[:10] for line in lines] == ["[+] passed"] * len(names)
    assert all(line.endswith(name) for line, name in zip(lines, names, strict=True))
    assert last == "8 cases: 8 as expected, 0 not"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"login": "alice"}, []),
        ({"login": "alice", "expect": "allow"}, ["expected allow, got deny"]),
        ({"certificate": "alice.pem"}, ["expected deny, got allow"]),
        (
            {"reasons": "[certificate_expired]"},
            ["reasons: expected certificate_expired, got certificate_missing"],
        ),
        (
            {"certificate": "old.pem", "reasons": "[certificate_expired, weak_key]"},
            ["reasons: expected certificate_expired, weak_key, got certificate_expired"],
        ),
        (
            {"certificate": "alice.pem", "accounts": "[bob]", "expect": "allow"},
            ["accounts: expected bob, got alice"],
        ),
        (
            {"certificate": "alice.pem", "exempt": "hooks", "expect": "allow"},
            ["exempt: expected hooks, got none"],
        ),
        (
            {"method": "POST", "path": "/hooks/x", "at": BEFORE, "expect": "allow",
             "reasons": "[]", "tolerated": "[]", "exempt": "null", "accounts": "[]"},
            ["tolerated: expected none, got certificate_missing",
             "exempt: expected none, got hooks"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_whatever_differs_is_said(tested: Tested, keys: dict[str, str], said: list[str]) -> None:
    """What was expected and what came, a line each, and 1."""
    status, text, err = tested(case(**keys), "--json")
    (judged,) = json.loads(text)["files"][0]["cases"]

    assert (status, err) == (1 if said else 0, "")
    assert judged["differences"] == said
    assert judged["as_expected"] == (not said)


def test_failure_explains_the_check_that_failed(tested: Tested) -> None:
    """Found, compared, mended: nobody has to run anything else to see why."""
    status, text, _ = tested(case(login="bob", certificate="alice.pem", expect="allow"))

    assert status == 1
    assert "[x] failed     c\n    expected allow, got deny\n" in text
    assert "    [x] failed     3. It is the account's\n" in text
    assert "the account has 'bob@acme.example', the certificate" in text
    assert "4. Its issuer" not in text
    assert text.endswith("\n1 case: 0 as expected, 1 not\n")
    assert max(map(len, text.splitlines()[1:])) <= 80


def test_reason_that_was_expected_in_vain_is_explained(tested: Tested) -> None:
    """The check that was to fail is shown with what it compared."""
    keys = {"certificate": "alice.pem", "expect": "allow", "reasons": "[certificate_expired]"}
    _, text, _ = tested(case(**keys))

    assert "    [+] passed     2. It is within its validity period\n" in text
    assert "valid from" in text


def test_login_that_the_policy_does_not_read_is_pointed_out(tested: Tested) -> None:
    """A test that names the wrong place tests something else than it says."""
    logins = "[{login: bob, source: form}]"
    status, text, _ = tested(case(logins=logins, certificate="alice.pem"))

    assert status == 1
    assert "Note: The login 'bob' counts for nothing" in text


def test_time_of_the_file_holds_for_cases_without_one(tested: Tested) -> None:
    hooks = case(method="POST", path="/hooks/x", expect="allow")
    before = hooks.replace("cases:", f"at: {BEFORE}\ncases:")
    after = hooks.replace("cases:", f"at: {AFTER}\ncases:")

    assert (tested(before)[0], tested(after)[0]) == (0, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "own.yaml:1:1: error: the file is empty; begin it with `policy:`"),
        ("# nothing\n", "own.yaml:1:1: error: the file is empty; begin it with `policy:`"),
        ("policy: a: b", "own.yaml:1:10: error: not YAML"),
        ("[]", "own.yaml:1:1: error: the file should be a mapping"),
        ("policy: ../policy.yaml", "own.yaml:1:1: error: the key 'cases' is missing"),
        ("policy: ../policy.yaml\ncases: []", "own.yaml:2:8: error: 'cases' is empty"),
        (case(hosts="a"), "own.yaml:6:3: error: unknown key 'hosts'; did you mean 'host'?"),
        (case(expect="alow"), "own.yaml:5:11: error: 'expect' cannot be 'alow'; did you mean"),
        (case(expect=""), "own.yaml:5:10: error: 'expect' is empty"),
        (case(reasons="[certificate_expird]"), "did you mean 'certificate_expired'?"),
        (case(reasons="weak_key"), "own.yaml:6:12: error: 'reasons' should be a list"),
        (case(reasons="[]"), "own.yaml:6:12: error: a request is never refused without a reason"),
        (case(exempt="hooks"), "an exemption lets pass is never refused"),
        (case(login="a", logins="[{login: b}]"), "`login` and `logins` both stand here"),
        (case(logins="[{login: b, source: forms}]"), "did you mean 'form'?"),
        (case(login="alice:hunter2"), "own.yaml:6:10: error: a login of HTTP Basic ends"),
        (case(chain="alice.pem"), "`chain` says nothing without `certificate`"),
        (case(certificate="alice-key.pem"), "alice-key.pem' holds a private key"),
        (case(certificate="eve.pem"), "own.yaml:6:16: error: '"),
        (case(host="https://a/"), "own.yaml:4:9: error: 'https://a/' is not a host"),
        (case(at="soon"), "own.yaml:6:7: error: 'soon' is no time"),
        (case(path="x"), "'x' is not a path"),
        (case(method="'G T'"), "'G T' is not a method"),
        (case(client="x"), "'x' is not an IP address"),
        (case() + "- name: c\n  host: a.example\n  expect: deny\n",
         "own.yaml:6:9: error: there is a case 'c' already; it stands in line 3"),
        (case().replace("../policy", "policy"), "tests/policy.yaml: error: the policy file cannot"),
    ],
    ids=lambda value: None if len(value) > 60 else value,
)  # fmt: skip
def test_file_that_cannot_be_meant_runs_nothing(tested: Tested, text: str, said: str) -> None:
    """Where it is wrong, what would be right, and 2."""
    status, out, err = tested(text)

    assert status == 2
    assert said in err
    assert "hunter2" not in err
    assert out == "0 cases: 0 as expected, 0 not; 1 file could not be run\n"


def test_mistake_in_the_policy_is_said_as_validate_says_it(
    tests: Path, company: Company, extauthz_here: Run
) -> None:
    company.write(POLICY.replace("mode: audit", "mode: adit"))
    done = extauthz_here("test", tests / "cases.yaml")
    validated = extauthz_here("validate", tests / "../policy.yaml")

    assert done.returncode == 2
    assert done.stderr == validated.stderr != ""


def test_results_for_machines_have_what_is_documented(tests: Path, extauthz_here: Run) -> None:
    """docs/explain.md names each member."""
    with_form, _, rest = CASES.partition("- name: nobody comes in")
    wrong_form = with_form.removesuffix("expect: allow\n") + "expect: deny\n"
    (tests / "wrong.yaml").write_text(f"{wrong_form}- name: nobody comes in{rest}")
    (tests / "bad.yaml").write_text("cases: 1\n")
    files = [tests / name for name in ("wrong.yaml", "bad.yaml")]
    done = extauthz_here("test", "--json", *files)
    report = json.loads(done.stdout)
    explained = extauthz_here(
        "explain", "--json", "--policy", tests.parent / "policy.yaml", "--host", "acme.example.com"
    )
    documented = (Path(__file__).parents[2] / "docs" / "explain.md").read_text()
    of_results = documented[documented.index("`--json` has the results") :]

    wrong, bad = report["files"]
    other, case, *others = wrong["cases"]
    assert (report["as_expected"], wrong["errors"], bad["cases"]) == (False, [], [])
    assert done.stderr.splitlines() == bad["errors"]
    assert case["differences"] == ["expected deny, got allow"]
    assert [each["as_expected"] for each in (other, *others)] == [True] * 7
    for member in {*report, *wrong, *case}:
        assert f"`{member}`" in of_results
    assert case["got"].keys() == json.loads(explained.stdout).keys() - {
        "answer", "if_demanded", "notes",
    }  # fmt: skip


def test_one_bad_file_keeps_no_other_from_running(tests: Path, extauthz_here: Run) -> None:
    """All are run, and the worst counts."""
    (tests / "bad.yaml").write_text("cases: []\n")
    done = extauthz_here("test", tests / "bad.yaml", tests / "cases.yaml")

    assert done.returncode == 2
    assert done.stdout.endswith("8 cases: 8 as expected, 0 not; 1 file could not be run\n")


def test_report_for_a_ci_is_xml_whatever_is_in_it(
    tests: Path, company: Company, extauthz_here: Run
) -> None:
    """Names, subjects and paths of all kinds; failures and errors where a CI looks for them."""
    hostile = user(company.ca, 'x"><!--]]>&\x00\x1b\ufffe', "a&@acme.example")
    (tests / "hostile.pem").write_text(hostile.pem)
    (tests / "own.yaml").write_text(
        "policy: ../policy.yaml\ncases:\n"
        '- {name: "]]>\\"<&\\e\\uFFFE\\u202E", host: acme.example.com, certificate: hostile.pem,'
        ' expect: allow, path: "/<\'&"}\n'
    )
    (tests / "bad.yaml").write_text("cases: '&<\"'\n")
    report = tests / "report.xml"
    files = [tests / name for name in ("cases.yaml", "own.yaml", "bad.yaml")]
    done = extauthz_here("test", *files, "--junit", report)
    suites = ET.fromstring(report.read_bytes()).findall("testsuite")
    counts = [tuple(suite.get(key) for key in ("tests", "failures", "errors")) for suite in suites]

    assert done.returncode == 2
    assert counts == [("8", "0", "0"), ("1", "1", "0"), ("2", "0", "2")]
    (failure,) = suites[1].iter("failure")
    assert failure.get("message") == "expected allow, got deny"
    assert "account_unknown: no account has one of" in (failure.text or "")
    assert suites[1].findall("testcase")[0].get("line") == "3"
    assert all(line.isprintable() for line in done.stdout.split("\n"))


def test_report_that_cannot_be_written_is_an_error(tests: Path, extauthz_here: Run) -> None:
    """A CI must not take the report of last time for that of today."""
    done = extauthz_here("test", tests / "cases.yaml", "--junit", tests / "no" / "report.xml")

    assert done.returncode == 2
    assert "report.xml: cannot be written: No such file or directory" in done.stderr


@pytest.mark.parametrize("output", ["cases.yaml", "other.yaml", "alice.pem", "../policy.yaml"])
def test_report_for_a_ci_takes_no_file_that_is_something_else(
    tests: Path, extauthz_here: Run, output: str
) -> None:
    """As `--junit *.yaml` has it, with the name forgotten. Nothing is run then."""
    (tests / "other.yaml").write_text(CASES)
    path = tests / output
    before = path.read_bytes()
    done = extauthz_here("test", "--junit", path, tests / "cases.yaml")

    assert (done.returncode, done.stdout, path.read_bytes()) == (2, "", before)
    assert done.stderr.startswith(f"extauthz test: {path}: is ")
    assert "name another file to write to" in done.stderr


def test_report_for_a_ci_replaces_that_of_last_time(tests: Path, extauthz_here: Run) -> None:
    report = tests / "report.xml"
    extauthz_here("test", "--junit", report, tests / "nothing.yaml")
    before = report.read_bytes()
    done = extauthz_here("test", "--junit", report, tests / "cases.yaml")

    assert done.returncode == 0
    assert (b"<error" in before, b"<error" in report.read_bytes()) == (True, False)


def test_only_what_the_cases_need_is_asked(
    tests: Path, company: Company, extauthz_here: Run
) -> None:
    """Other subscriptions' lists are not fetched: a CI may have no network."""
    unreachable = """\
  other:
    hosts: [other.example.com]
    signing_certificates: [acme-ca.pem]
    accounts: {ldap: {url: "ldap://192.0.2.1", base: dc=x, login_attribute: uid,
      email_attribute: mail}}
    revocation: {crl: ["http://192.0.2.1/crl"]}
"""
    company.write(POLICY + unreachable)
    done = extauthz_here("test", tests / "cases.yaml")

    assert (done.returncode, done.stderr) == (0, "")


def test_cases_do_not_depend_on_each_other(tests: Path, extauthz_here: Run) -> None:
    """In any order, each comes out the same."""
    head, *cases = CASES.split("- name: ")
    (tests / "back.yaml").write_text("- name: ".join([head, *reversed(cases)]))
    reports: list[dict[str, Any]] = []
    for file in ("cases.yaml", "back.yaml"):
        done = extauthz_here("test", "--json", tests / file)
        (report,) = json.loads(done.stdout)["files"]
        reports.append({each["name"]: each["got"]["reasons"] for each in report["cases"]})

    assert reports[0] == reports[1]
    assert len(reports[0]) == 8

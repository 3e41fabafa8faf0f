"""`extauthz envoy`: what it prints, and when it says that something is missing."""

from pathlib import Path

import pytest
import yaml

from extauthz.cli import main
from extauthz.demo.authority import Validity, authority, name
from tests.envoyconfig.conftest import Validate
from tests.wire.envoy_process import TEMPLATE

POLICY = """\
subscriptions:
  acme:
    hosts: [acme.example.com]
    signing_certificates: [acme.pem]
    accounts: {alice: alice@acme.example}
"""
LOGIN = (
    POLICY
    + """\
    login: [basic, {form: {paths: [/login], field: user}}]
    session: {cookie: JSESSIONID}
"""
)
HEADER = POLICY + "    login: [{header: X-User}]\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    ca = authority(name("Acme CA"), validity=Validity.days(-1, 3650))
    (tmp_path / "acme.pem").write_text(ca.pem)
    return tmp_path / "policy.yaml"


def envoy(policy: Path, text: str, *arguments: str | Path) -> int:
    policy.write_text(text)
    return main(["envoy", "--policy", str(policy), *map(str, arguments)])


def test_print(policy: Path, capsys: pytest.CaptureFixture[str], validate: Validate) -> None:
    """The configuration on standard output is one that Envoy takes and that lacks nothing."""
    assert envoy(policy, LOGIN, TEMPLATE) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    validate(printed.out)
    config = policy.with_name("envoy.yaml")
    config.write_text(printed.out)
    assert envoy(policy, LOGIN, "--check", config) == 0
    assert capsys.readouterr() == ("", "")
    assert envoy(policy, LOGIN, config) == 0
    assert capsys.readouterr().out == printed.out


def test_print_what_needs_nothing(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A policy with Basic alone leaves the configuration as it is."""
    assert envoy(policy, POLICY, TEMPLATE) == 0
    assert capsys.readouterr() == (TEMPLATE.read_text(), "")
    assert envoy(policy, POLICY, "--check", TEMPLATE) == 0
    assert capsys.readouterr() == ("", "")


def test_check(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each thing that is missing is a line that begins with the file, and the status is 1."""
    assert envoy(policy, LOGIN, "--check", TEMPLATE) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 6
    assert all(line.startswith(f"{TEMPLATE}: connection manager 'https'") for line in lines)
    assert any(line.endswith("no body is handed over at /login") for line in lines)
    assert printed.err == ""


def test_hints(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What may be meant so is said, and is no failure: here an address that the policy hides."""
    policy.with_name("redact.key").write_text("0123456789abcdef" * 2)
    hiding = POLICY + "decision_log: {redact: [client], key: {file: redact.key}}\n"
    assert envoy(policy, hiding, "--check", TEMPLATE) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{TEMPLATE}: hint: connection manager 'https': the access log")
    assert (printed.out.count("\n"), printed.err) == (1, "")
    assert envoy(policy, hiding, TEMPLATE) == 0
    assert capsys.readouterr() == (TEMPLATE.read_text(), printed.out)


def test_by_hand(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What only a person can do is said, and no configuration is printed that lacks it."""
    assert envoy(policy, HEADER, TEMPLATE) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no filter before ext_authz that could set x-user" in printed.err
    assert envoy(policy, HEADER, "--check", TEMPLATE) == 1
    assert "no filter before ext_authz" in capsys.readouterr().out


@pytest.mark.parametrize("config", ["a: [", "\0", None, "a: \x9b31m[", ""], ids=repr)
def test_no_configuration(
    policy: Path, config: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be used is one line on standard error, harmless to a terminal."""
    path = policy.with_name("envoy.yaml")
    if config is not None:
        path.write_text(config)
    assert envoy(policy, LOGIN, "--check", path) == 1
    printed_by_check = capsys.readouterr()
    assert envoy(policy, LOGIN, path) == 1
    printed = capsys.readouterr()
    assert printed_by_check == printed
    assert printed.out == ""
    assert printed.err.startswith(f"{path}: ")
    assert printed.err.count("\n") == 1
    assert "\x9b" not in printed.err


def test_no_policy(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A policy that would not take effect says nothing about Envoy."""
    assert envoy(policy, POLICY + "    logn: [basic]\n", TEMPLATE) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{policy}:6:5: error" in printed.err


def test_comments_stay(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line that was there is still there, in its order."""
    assert envoy(policy, LOGIN, TEMPLATE) == 0
    printed = iter(capsys.readouterr().out.splitlines())
    assert all(line in printed for line in TEMPLATE.read_text().splitlines())


def test_placed(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The names by which the demonstration and the tests place a configuration are still there."""
    assert envoy(policy, LOGIN, TEMPLATE) == 0
    resources = yaml.safe_load(capsys.readouterr().out)["static_resources"]
    assert [listener["name"] for listener in resources["listeners"]] == ["https"]
    assert [cluster["name"] for cluster in resources["clusters"]] == ["extauthz", "service"]

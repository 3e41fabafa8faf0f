"""Ways past a subscription's certificates that an attacker tried through Envoy."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from extauthz.demo.authority import user
from tests.wire.stack import ACME, Stack, running_stack

ALICE = user(ACME, "Alice", "alice@acme.example")
LATER = f"{datetime.now(UTC) + timedelta(days=100):%Y-%m-%d}"
COMMON = """\
    signing_certificates: [acme.pem]
    accounts: {alice: alice@acme.example, bob: bob@acme.example}
"""
POLICY = f"""\
subscriptions:
  some:
    hosts: [some.example]
{COMMON}
    certificate_required_for: {{logins: [alice]}}
  unverified:
    hosts: [unverified.example]
{COMMON}
    verify_email: false
    login: [{{form: {{paths: [/login], field: username}}}}]
    certificate_required_for: {{logins: [alice]}}
  exempt:
    hosts: [exempt.example]
{COMMON}
    session: {{cookie: SID}}
    exempt: [{{reason: x, until: {LATER}, logins: [robot]}}]
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("attacks"), POLICY, {"acme": ACME}) as running:
        yield running


@pytest.mark.parametrize("login", ["alice", "ALICE", "alice "])
def test_certificate_is_demanded_however_the_login_is_spelled(stack: Stack, login: str) -> None:
    """A service that is generous with spellings knows the user all the same."""
    assert stack.ask(None, host="some.example", login=login).status == 403


@pytest.mark.parametrize("body", [
    "username=alice", "username=alice&username=alice", "Username=alice",
])  # fmt: skip
def test_certificate_is_demanded_of_a_login_in_doubt_without_verified_emails(
    stack: Stack, body: str
) -> None:
    """The service may take what cannot be read for a user of whom one is demanded."""
    answer = stack.ask(None, "--data-binary", body, host="unverified.example", path="/login")

    assert answer.status == 403


def test_stolen_session_does_not_pass_with_an_exempted_login(stack: Stack) -> None:
    """Though the login has no account, the session is another's."""
    cookie = ("--cookie", "SID=stolen")
    assert stack.ask(ALICE, *cookie, host="exempt.example", login="alice").status == 200
    assert stack.ask(None, *cookie, host="exempt.example", login="robot").status == 403

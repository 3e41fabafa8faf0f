"""Passwords and tokens that are not there when a policy takes effect: said, and no error."""

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from extauthz import secret
from extauthz.lookup import Secret
from extauthz.policyfile import live as live_module
from extauthz.policyfile.live import LivePolicy
from extauthz.policyfile.loader import load
from tests.policyfile.conftest import NOW, Workspace, policy

VARIABLE = "EXTAUTHZ_TEST_NOT_SET"
SQL = (
    "{{sql: {{url: 'postgresql://u@db.example/a', password: {}, query: 'SELECT login, email FROM"
    " users WHERE login = :login OR email = :identity'}}}}"
)
LDAP = (
    "{{ldap: {{url: 'ldaps://ldap.example', bind: {{dn: 'cn=x', password: {}}}, base: 'dc=x',"
    " login_attribute: uid, email_attribute: mail}}}}"
)
HTTP = "{{http: {{url: 'https://users.example/x', token: {}}}}}"
INLINE = "{alice: alice@acme.example}"
SESSION = "    session: {cookie: sid, store: 'redis://127.0.0.1', password: {env: %s}}\n"
END = "users who need it are refused until it is there"


@pytest.fixture
def space(make_workspace: Callable[[], Workspace]) -> Workspace:
    return make_workspace()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


@pytest.mark.parametrize(("accounts", "where"), [
    (SQL, "the directory of accounts postgresql://u@db.example/a"),
    (LDAP, "the directory of accounts ldaps://ldap.example"),
    (HTTP, "the directory of accounts https://users.example/x"),
])  # fmt: skip
async def test_secret_of_a_directory_that_is_not_there_is_said(
    space: Workspace, caplog: pytest.LogCaptureFixture, accounts: str, where: str
) -> None:
    """By the name of where it should be, at each time that a policy takes effect."""
    live = LivePolicy(space.path)
    space.write(policy(accounts=accounts.format(f"{{env: {VARIABLE}}}")))
    assert await live.reload()
    said = f"'acme': {where}: the environment variable {VARIABLE} is not set; {END}"
    assert warnings(caplog) == [said]

    caplog.clear()
    space.write(policy(accounts=accounts.format("{file: nofile}")))
    assert await live.reload()
    (warning,) = warnings(caplog)
    assert warning.startswith(f"'acme': {where}: the secret ")
    assert warning.endswith(f"nofile cannot be read: No such file or directory; {END}")


async def test_secret_of_a_store_of_sessions_is_said_too(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    space.write(policy(more=SESSION % VARIABLE))
    assert await LivePolicy(space.path).reload()
    where = "the store of sessions redis://127.0.0.1"
    assert warnings(caplog) == [
        f"'acme': {where}: the environment variable {VARIABLE} is not set; {END}"
    ]


async def test_nothing_is_said_of_secrets_that_are_there(
    space: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of their values, nor of accounts and sessions that need none."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(VARIABLE, "hunter2")
    needed = f"{{env: {VARIABLE}}}"
    for accounts in (SQL.format(needed), LDAP.format(needed), HTTP.format(needed), INLINE):
        space.write(policy(accounts=accounts, more=SESSION % VARIABLE))
        assert await LivePolicy(space.path).reload()
    assert warnings(caplog) == []
    assert "hunter2" not in caplog.text


async def test_policy_that_does_not_take_effect_says_nothing_of_secrets(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """Its errors are what is to be mended."""
    space.write(policy(more=SESSION % VARIABLE + "    mode: adit\n"))
    assert not await LivePolicy(space.path).reload()
    assert VARIABLE not in caplog.text


def test_validation_without_secrets_is_clean(space: Workspace) -> None:
    """A CI that validates a policy does not have them."""
    space.write(policy(more=SESSION % VARIABLE))
    assert load(space.path, NOW).problems == ()


async def test_secret_that_cannot_be_read_in_time_holds_nothing_up(
    space: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file on a share that hangs: the policy is in force, and the next one can be read."""
    goes_on = threading.Event()

    def hangs(_: Secret) -> str:
        goes_on.wait(30)
        return ""

    monkeypatch.setattr(secret, "read", hangs)
    monkeypatch.setattr(live_module, "SECRETS_SECONDS", 0.01)
    space.write(policy(more=SESSION % VARIABLE))
    try:
        async with asyncio.timeout(10):
            assert await LivePolicy(space.path).reload()
        assert warnings(caplog) == ["passwords and tokens of the policy could not be read in time"]
    finally:
        goes_on.set()

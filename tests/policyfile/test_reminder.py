"""CA certificates and exemptions that end soon, while the policy stays as it is."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extauthz.demo.authority import Validity, authority, name
from extauthz.policyfile.live import LivePolicy
from extauthz.policyfile.reminder import remind
from tests.policyfile.conftest import Workspace, policy

LAST = """\
  last:
    hosts: [last.example]
    signing_certificates: [ended.pem]
    verify_email: false
"""
"""The last subscription that is looked at, of which there is always something to say."""


def write(space: Workspace, text: str) -> Path:
    """Write a policy, with the last subscription behind those that are given."""
    ended = authority(name("Ended CA"), validity=Validity.days(-60, -1))
    (space.directory / "ended.pem").write_text(ended.pem)
    return space.write(text + LAST)


async def reminded_twice(live: LivePolicy, caplog: pytest.LogCaptureFixture) -> None:
    """Remind until everything has been looked at for the second time."""
    reminding = asyncio.create_task(remind(live, every=0.02))
    deadline = time.monotonic() + 30
    while sum("of 'last'" in message for message in caplog.messages) < 2:
        assert time.monotonic() < deadline, caplog.messages
        await asyncio.sleep(0.01)
    reminding.cancel()


@pytest.mark.parametrize(("days", "said"), [
    (29, "expires soon"), (-1, "expired at"), (31, None),
])  # fmt: skip
async def test_operator_is_reminded_of_a_certificate_that_ends_soon(
    make_workspace: Callable[[], Workspace],
    caplog: pytest.LogCaptureFixture,
    days: int,
    said: str | None,
) -> None:
    """From 30 days before its end, again and again; not before."""
    space = make_workspace()
    made = authority(name("Short CA"), validity=Validity.days(-60, days))
    (space.directory / "acme-ca.pem").write_text(made.pem)
    live = LivePolicy(write(space, policy()))
    assert await live.reload()
    caplog.clear()
    await reminded_twice(live, caplog)
    about = [message for message in caplog.messages if "'CN=Short CA' of 'acme'" in message]
    if said is None:
        assert about == []
    else:
        assert len(about) > 1
        assert said in about[0]


@pytest.mark.parametrize(("days", "said"), [(13, "ends soon, on"), (-1, "ended on"), (16, None)])
async def test_operator_is_reminded_of_an_exemption_that_ends_soon(
    make_workspace: Callable[[], Workspace],
    caplog: pytest.LogCaptureFixture,
    days: int,
    said: str | None,
) -> None:
    """From 14 days before its end, again and again; not before."""
    space = make_workspace()
    (space.directory / "acme-ca.pem").write_text(authority(name("CA")).pem)
    until = f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"
    exempt = f"    exempt: [{{name: ci, reason: x, until: {until}, logins: [ci]}}]\n"
    live = LivePolicy(write(space, policy(more=exempt)))
    assert await live.reload()
    caplog.clear()
    await reminded_twice(live, caplog)
    about = [message for message in caplog.messages if "the exemption 'ci'" in message]
    if said is None:
        assert about == []
    else:
        assert len(about) > 1
        assert said in about[0]
        assert "of acme" in about[0]

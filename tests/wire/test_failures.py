"""When extauthz cannot answer, nobody comes in; and when it can again, everybody who may does."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.wire.envoy_process import PATIENCE
from tests.wire.stack import (
    ALICE,
    GENERIC,
    POLICY,
    SIGNERS,
    Stack,
    running_stack,
    wait_until_asked,
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), POLICY, SIGNERS) as running:
        yield running


def refusal(stack: Stack) -> tuple[str, str]:
    """Status and body of a request that would be allowed if extauthz were there."""
    done = stack.curl("--include", *stack.files_of(ALICE), "https://acme.example/")
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    return head.split()[1], body.strip()


def recovers(stack: Stack) -> bool:
    """Whether whoever may come in does, within seconds."""
    wait_until_asked(stack)
    return stack.ask(ALICE).status == 200


def test_stopped_authorizer_denies_and_recovers(stack: Stack) -> None:
    """A regular stop and start, as in a deployment."""
    assert stack.ask(ALICE).status == 200
    assert stack.extauthz.stop() == 0
    assert refusal(stack) == ("403", GENERIC)

    stack.start_extauthz()

    assert recovers(stack)


def test_killed_authorizer_denies_and_recovers(stack: Stack) -> None:
    """A crash leaves nothing behind that would be in the way."""
    stack.extauthz.signal(signal.SIGKILL)
    stack.extauthz.stop()
    assert refusal(stack) == ("403", GENERIC)

    stack.start_extauthz()

    assert recovers(stack)


def test_hanging_authorizer_denies_in_time_and_recovers(stack: Stack) -> None:
    """Who waits for an answer that does not come is refused soon, and soon at once."""
    stack.extauthz.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert refusal(stack) == ("403", GENERIC)
        assert time.monotonic() - began < 15
    finally:
        stack.extauthz.signal(signal.SIGCONT)

    assert recovers(stack)


def test_policy_that_breaks_while_serving_changes_nothing(stack: Stack) -> None:
    """The last good policy stays, and readiness says where the new one is wrong."""
    good = stack.policy.read_text()
    stack.policy.write_text(good + "    moode: off\n")
    try:
        assert f"{stack.policy}:" in ready(stack, successful=False)
        assert "did you mean 'mode'?" in stack.extauthz.stderr.read_text()
        assert stack.ask(ALICE).status == 200
        assert stack.ask(None).status == 403
    finally:
        stack.policy.write_text(good)
    assert f"{stack.policy}:" not in ready(stack, successful=True)


def ready(stack: Stack, *, successful: bool) -> str:
    """The text of /readyz, once the last reading of the policy ended as said."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        text = stack.curl_directly(f"http://127.0.0.1:{stack.admin}/readyz")
        if f'"successful": {str(successful).lower()}' in text:
            return text
        time.sleep(0.05)
    raise AssertionError(text)

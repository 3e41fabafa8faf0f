"""The policy changes under load: no request fails for it, and none is allowed wrongly."""

import http.client
import re
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from extauthz.demo.authority import Credential
from tests.ports import LOOPBACK
from tests.wire.envoy_process import PATIENCE
from tests.wire.stack import ALICE, CAROL, POLICY, SIGNERS, Stack, running_stack

ROUNDS = 12
GOOD_ACCOUNT = "alice: alice@acme.example"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, POLICY, SIGNERS) as running:
        yield running


@dataclass
class Load(threading.Thread):
    """One client that asks the same again and again over one connection."""

    stack: Stack
    credential: Credential
    statuses: list[int] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE
        _, certificate, _, key = self.stack.files_of(self.credential)
        self.tls.load_cert_chain(certificate, key)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        connection = http.client.HTTPSConnection(LOOPBACK, self.stack.port, context=self.tls)
        while not self.done.is_set():
            connection.request("GET", "/", headers={"Host": "acme.example"})
            response = connection.getresponse()
            response.read()
            self.statuses.append(response.status)
        connection.close()


def under_load(stack: Stack) -> tuple[Load, Load]:
    """Alice, who may, and Carol, who may not, both at work."""
    loads = Load(stack, ALICE), Load(stack, CAROL)
    for load in loads:
        load.start()
    return loads


def finish(*loads: Load) -> None:
    for load in loads:
        load.done.set()
    for load in loads:
        load.join(20)
        assert not load.is_alive()


def in_force(stack: Stack, generation: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if f'"generation": {generation},' in stack.curl_directly(
            f"http://{LOOPBACK}:{stack.admin}/readyz"
        ):
            return
        time.sleep(0.02)
    raise AssertionError(stack.extauthz.last_words())


def failures(stack: Stack) -> int:
    """How many readings of the policy have failed."""
    metrics = stack.curl_directly(f"http://{LOOPBACK}:{stack.admin}/metrics")
    counted = re.search(
        r'^extauthz_policy_reloads_total\{result="failure"\} (\S+)', metrics, re.MULTILINE
    )
    return 0 if counted is None else int(float(counted[1]))


def test_reload_under_load_fails_nobody_and_lets_nobody_in(stack: Stack) -> None:
    """Every check is decided by one whole policy, the old one or the new one."""
    loads = may, may_not = under_load(stack)
    for generation in range(2, 2 + ROUNDS):
        replacement = stack.policy.with_suffix(".new")
        replacement.write_text(f"# {generation}\n{POLICY}")
        replacement.rename(stack.policy)
        in_force(stack, generation)
    finish(*loads)

    assert set(may.statuses) == {200}
    assert set(may_not.statuses) == {403}
    assert min(len(may.statuses), len(may_not.statuses)) > 10 * ROUNDS


def test_bad_policy_under_load_fails_nobody_and_lets_nobody_in(stack: Stack) -> None:
    """Broken and half-written policies come and go without any effect."""
    loads = may, may_not = under_load(stack)
    before = POLICY.encode()
    for broken in (b"", b"\x00", before[: len(before) // 3], b"subscriptions: {}", before + b"\t:"):
        before_it = failures(stack)
        stack.policy.write_bytes(broken)
        deadline = time.monotonic() + PATIENCE
        while failures(stack) == before_it:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    stack.policy.write_bytes(before)
    in_force(stack, 2)
    finish(*loads)

    assert set(may.statuses) == {200}
    assert set(may_not.statuses) == {403}


def test_account_that_is_removed_is_refused_as_soon_as_the_policy_counts(stack: Stack) -> None:
    """What was kept of an allowed certificate dies with the policy that allowed it."""
    assert stack.ask(ALICE).status == 200
    stack.policy.write_text(POLICY.replace(GOOD_ACCOUNT, "alina: alina@acme.example"))
    in_force(stack, 2)

    assert stack.ask(ALICE).status == 403


def test_account_that_is_removed_is_refused_within_a_second(stack: Stack) -> None:
    """Of the writing, as the README says; the quickest of several, for a machine that is busy."""
    took: list[float] = []
    while len(took) < 10 and min(took, default=1.0) >= 1:
        for text, status in ((POLICY.replace(GOOD_ACCOUNT, "alina: a@acme.example"), 403),
                             (POLICY, 200)):  # fmt: skip
            written = time.monotonic()
            stack.policy.write_text(text)
            while stack.ask(ALICE).status != status:
                assert time.monotonic() - written < PATIENCE
            took.append(time.monotonic() - written)

    assert min(took) < 1

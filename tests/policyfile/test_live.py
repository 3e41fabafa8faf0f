"""The policy in force: what a reading changes, and what it must not."""

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from extauthz.demo.authority import Validity, authority, name
from extauthz.files import read_text, stamp
from extauthz.policy import Mode
from extauthz.policyfile import live as live_module
from extauthz.policyfile import loader as loader_module
from extauthz.policyfile.live import MAX_LOGGED, LivePolicy
from extauthz.policyfile.loader import Loaded, load
from extauthz.snapshot import Snapshot
from tests.policyfile.conftest import Workspace, policy

BAD = policy(more="    mode: adit\n")


@pytest.fixture
def space(make_workspace: Callable[[], Workspace]) -> Workspace:
    """A directory of the test's own, with a good policy."""
    space = make_workspace()
    space.write(policy())
    return space


def in_force(live: LivePolicy) -> Snapshot:
    assert live.snapshot is not None
    return live.snapshot


def mode(live: LivePolicy) -> Mode:
    return in_force(live).policy.subscriptions["acme"].mode


async def test_nothing_is_in_force_before_the_first_reading(space: Workspace) -> None:
    """There is no policy to decide with until one was read."""
    live = LivePolicy(space.path)
    assert live.snapshot is None
    assert live.readings == {"success": 0, "failure": 0}


async def test_a_good_policy_takes_effect_whole(space: Workspace) -> None:
    """A reading swaps the snapshot, counts, and leaves the old one as it was."""
    live = LivePolicy(space.path)
    assert await live.reload()
    first = in_force(live)
    space.write(policy(more="    mode: audit\n"))
    assert await live.reload()
    assert mode(live) is Mode.AUDIT
    assert first.policy.subscriptions["acme"].mode is Mode.ENFORCE
    assert (first.generation, in_force(live).generation) == (1, 2)
    assert live.readings == {"success": 2, "failure": 0}
    assert live.status.errors == ()


async def test_a_reading_begins_with_empty_caches(space: Workspace) -> None:
    """What was verified under one policy is not believed under the next."""
    live = LivePolicy(space.path)
    await live.reload()
    first = in_force(live).verified
    await live.reload()
    assert in_force(live).verified is not first


async def test_a_bad_policy_leaves_the_good_one_in_force(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """The last good policy stays; status, count and log say so, and a mended file takes effect."""
    live = LivePolicy(space.path)
    await live.reload()
    good = in_force(live)
    space.write(BAD)
    assert not await live.reload()
    assert live.snapshot is good
    assert live.readings == {"success": 1, "failure": 1}
    assert [error.message for error in live.status.errors] == ["'mode' cannot be 'adit'"]
    assert f"{space.path}:6:11: error: 'mode' cannot be 'adit'; did you mean 'audit'?" in (
        caplog.messages
    )
    assert caplog.messages[-1] == f"policy {space.path} has 1 error: the last good one stays"
    assert caplog.records[-1].levelno == logging.ERROR
    space.write(policy(more="    mode: audit\n"))
    assert await live.reload()
    assert mode(live) is Mode.AUDIT
    assert live.status.errors == ()
    assert in_force(live).generation == 2


async def test_the_time_of_the_last_reading_is_known(space: Workspace) -> None:
    """Every reading, good or bad, is dated."""
    live = LivePolicy(space.path)
    before = datetime.now(UTC)
    await live.reload()
    first = live.status.at
    space.write(BAD)
    await live.reload()
    assert before <= first <= live.status.at <= datetime.now(UTC)


async def test_a_vanished_file_leaves_the_good_policy_in_force(space: Workspace) -> None:
    """A certificate that can no longer be read takes nobody's protection away."""
    live = LivePolicy(space.path)
    await live.reload()
    good = in_force(live)
    (space.directory / "acme-ca.pem").unlink()
    assert not await live.reload()
    assert live.snapshot is good
    (error,) = live.status.errors
    assert error.message == "'acme-ca.pem' cannot be read: No such file or directory"


async def test_a_lapsed_subscription_takes_effect_and_is_said(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """Time alone makes no policy bad: it is in force, with a warning in the log."""
    old = authority(name("Old CA"), validity=Validity.days(-20, -10))
    (space.directory / "old.pem").write_text(old.pem)
    space.write(policy(certificates="[old.pem]"))
    live = LivePolicy(space.path)
    assert await live.reload()
    assert live.status.errors == ()
    levels = {record.message.split(": ")[1]: record.levelno for record in caplog.records[:2]}
    assert levels == {"lapsed": logging.WARNING, "warning": logging.WARNING}


def many_mistakes(count: int) -> str:
    return "subscriptions:\n" + "".join(f"  s{i}: 7\n" for i in range(count))


async def test_every_mistake_is_logged_while_nobody_serves_yet(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """Who starts a service gets to see everything that keeps it from starting."""
    space.write(many_mistakes(100))
    live = LivePolicy(space.path)
    assert not await live.reload()
    assert sum(": error: " in message for message in caplog.messages) == 100
    assert caplog.messages[-1] == f"policy {space.path} has 100 errors: no policy is in force"


async def test_the_log_of_a_running_service_is_not_flooded(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """Of very many mistakes the first ones are logged, and how many more there are."""
    live = LivePolicy(space.path)
    await live.reload()
    space.write(many_mistakes(100))
    caplog.clear()
    assert not await live.reload()
    assert sum(": error: " in message for message in caplog.messages) == MAX_LOGGED
    assert f"and {100 - MAX_LOGGED} more: see `extauthz validate`" in caplog.messages
    assert len(live.status.errors) == 100


async def test_a_hostile_name_is_escaped_in_the_log(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody writes lines of their own into the operator's log."""
    space.write(policy(hosts='["a\\n2030-01-01 INFO all is well\\e[2K"]'))
    await LivePolicy(space.path).reload()
    assert all(message.isprintable() for message in caplog.messages)


async def test_readings_at_the_same_time_come_one_after_the_other(space: Workspace) -> None:
    """However many ask at once, each reading is whole, and the last one saw the last content."""
    live = LivePolicy(space.path)
    await live.reload()
    reloads = [asyncio.create_task(live.reload()) for _ in range(5)]
    await asyncio.sleep(0)
    new = space.directory / "new.yaml"
    new.write_text(policy(more="    mode: audit\n"))
    new.rename(space.path)
    assert all(await asyncio.gather(*reloads))
    assert mode(live) is Mode.AUDIT
    assert in_force(live).generation == 6


@pytest.mark.parametrize("error", [RuntimeError, type("Panic", (BaseException,), {})])
async def test_a_bug_in_reading_is_an_error_like_any_other(
    space: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    """The good policy stays and the files stay watched, whatever a library throws."""
    live = LivePolicy(space.path)
    await live.reload()
    good, watched = in_force(live), set(live.files)

    def broken(_path: Path, _now: datetime) -> None:
        raise error("oops")

    monkeypatch.setattr(live_module, "load", broken)
    assert not await live.reload()
    assert live.snapshot is good
    assert set(live.files) == watched
    assert live.files[space.path] == stamp(space.path)
    assert "report this as a bug" in str(live.status.errors[0])
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)
    monkeypatch.undo()
    assert await live.reload()


async def test_files_that_change_while_they_are_read_are_read_again(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy and its certificates are of one time: a swap between the two gives no mixture."""

    def lay_out(version: str, certificate: str, mode: str) -> None:
        directory = space.directory / version
        directory.mkdir()
        (directory / "ca.pem").write_bytes((space.directory / certificate).read_bytes())
        text = policy(certificates="[ca.pem]", more=f"    mode: {mode}\n")
        (directory / "policy.yaml").write_text(text)

    def point_to(version: str) -> None:
        (space.directory / "new").symlink_to(version)
        (space.directory / "new").rename(space.directory / "data")

    lay_out("one", "acme-ca.pem", "audit")
    lay_out("two", "widget-ca.pem", "off")
    point_to("one")
    live = LivePolicy(space.directory / "data" / "policy.yaml")
    await live.reload()
    swaps: list[str] = []

    def read_and_swap(path: Path, limit: int) -> str:
        text = read_text(path, limit)
        if swaps:
            point_to(swaps.pop())
        return text

    # By then the policy was read, and of its certificates none.
    monkeypatch.setattr(loader_module, "read_text", read_and_swap)
    versions = {"one": ("CN=Acme CA", Mode.AUDIT), "two": ("CN=Widget CA", Mode.OFF)}
    for version in ("two", "one", "two"):
        swaps.append(version)
        assert await live.reload()
        assert swaps == []
        acme = in_force(live).policy.subscriptions["acme"]
        (signing,) = acme.trust.signing_certificates
        assert (signing.facts.subject, acme.mode) == versions[version]


class TestEventLoop:
    """Checks go on while a policy is read."""

    @pytest.fixture
    def large(self, space: Workspace) -> Workspace:
        accounts = "{" + ", ".join(f"u{i}: u{i}@acme.example" for i in range(20)) + "}"
        space.write(policy() + "".join(
            f"  s{i}: {{hosts: [s{i}.example], signing_certificates: [acme-ca.pem],"
            f" accounts: {accounts}}}\n"
            for i in range(500)
        ))  # fmt: skip
        return space

    async def test_the_loop_turns_during_a_reading(self, large: Workspace) -> None:
        """No check waits for a reading, nor for the old policy to be taken away."""
        live = LivePolicy(large.path)
        await live.reload()
        # What this process works meanwhile, however long a busy machine lets it wait.
        turns = [time.process_time()]
        reload = asyncio.create_task(live.reload())
        while not reload.done():
            await asyncio.sleep(0.001)
            turns.append(time.process_time())
        assert await reload
        assert len(turns) > 10
        assert max(after - before for before, after in pairwise(turns)) < 0.25

    async def test_the_collector_does_not_walk_through_a_policy(self, large: Workspace) -> None:
        """Its walk through a large policy would stop every check, again and again."""
        live = LivePolicy(large.path)
        await live.reload()
        walked: list[int] = []

        def note(phase: str, info: dict[str, int]) -> None:
            if phase == "start":
                walked.append(info["generation"])

        gc.callbacks.append(note)
        try:
            await live.reload()
        finally:
            gc.callbacks.remove(note)
        assert walked == []
        assert gc.isenabled()
        # What lives on is left alone afterwards, too.
        assert not any(obj is live.snapshot for obj in gc.get_objects(generation=2))

    async def test_a_reading_that_fails_or_is_given_up_leaves_the_collector_on(
        self, large: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However a reading ends, garbage is collected afterwards."""
        live = LivePolicy(large.path)
        begun, released = threading.Event(), threading.Event()

        def held(path: Path, now: datetime) -> Loaded:
            begun.set()
            released.wait(60)
            return load(path, now)

        with monkeypatch.context() as patched:
            patched.setattr(live_module, "load", held)
            reload = asyncio.create_task(live.reload())
            assert await asyncio.to_thread(begun.wait, 60)
            assert not gc.isenabled()
            reload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reload
            released.set()
        assert gc.isenabled()
        large.write(BAD)
        await live.reload()
        assert gc.isenabled()


async def test_a_policy_is_judged_as_of_now(space: Workspace) -> None:
    """A reading warns of what is due at the time of the reading."""
    soon = authority(name("Soon CA"), validity=Validity.days(-1, 5))
    (space.directory / "acme-ca.pem").write_text(soon.pem)
    live = LivePolicy(space.path)
    assert await live.reload()
    assert in_force(live).policy.subscriptions["acme"].trust.signing_certificates[
        0
    ].facts.not_after - datetime.now(UTC) < timedelta(days=6)

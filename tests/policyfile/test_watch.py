"""From a write to its effect: whatever way a file changes, the policy follows within a second."""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest

from extauthz import watch as watch_module
from extauthz.accounts import Accounts
from extauthz.files import Stamp, stamp
from extauthz.policy import Mode
from extauthz.policyfile.live import LivePolicy
from extauthz.watch import watch
from tests.policyfile.conftest import Workspace, policy

WITHIN = 1.0
"""Seconds from a write to its effect, as issue 2 has it, where the machine has nothing else to do.

What the watching itself waits for is held against it; what a busy machine adds is not.
"""
AUDIT = policy(more="    mode: audit\n")
BAD = policy(more="    mode: adit\n")


class Kubernetes:
    """A volume of a ConfigMap or Secret, as the kubelet lays it out and changes it.

    The files are links into `..data`, which is a link to a directory with a time in its name. A
    change makes a new directory, and puts a new link over `..data`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._versions = 0

    def put(self, files: Mapping[str, bytes]) -> None:
        self._versions += 1
        version = self.directory / f"..2024_{self._versions}"
        version.mkdir(parents=True)
        for name, content in files.items():
            (version / name).write_bytes(content)
        old = self.directory / "..data"
        previous = old.readlink() if old.is_symlink() else None
        temporary = self.directory / "..data_tmp"
        temporary.symlink_to(version.name)
        temporary.rename(old)
        for name in files:
            visible = self.directory / name
            if not visible.is_symlink():
                visible.symlink_to(Path("..data") / name)
        if previous is not None:
            shutil.rmtree(self.directory / previous)


@pytest.fixture
def space(make_workspace: Callable[[], Workspace]) -> Workspace:
    """A directory of the test's own, with a good policy."""
    space = make_workspace()
    space.write(policy())
    return space


@contextlib.asynccontextmanager
async def watched(path: Path) -> AsyncIterator[LivePolicy]:
    """A policy in force that follows its file."""
    live = LivePolicy(path)
    await live.reload()
    task = asyncio.create_task(watch(lambda: live.files, live.reload))
    try:
        yield live
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def live(space: Workspace) -> AsyncIterator[LivePolicy]:
    async with watched(space.path) as live:
        yield live


def mode(live: LivePolicy) -> Mode:
    assert live.snapshot is not None
    return live.snapshot.policy.subscriptions["acme"].mode


def signers(live: LivePolicy) -> list[str]:
    assert live.snapshot is not None
    trust = live.snapshot.policy.subscriptions["acme"].trust
    return [signing.facts.subject for signing in trust.signing_certificates]


async def effect(condition: Callable[[], bool]) -> None:
    """Wait until something holds, and fail when it never does."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 30, "no effect"
        await asyncio.sleep(0.005)


def test_watching_waits_for_less_than_half_a_second() -> None:
    """One look and one settling are between a write and its reading, which has as much again."""
    waits = watch_module.LOOK_SECONDS + 2 * watch_module.SETTLE_SECONDS
    assert waits < WITHIN / 2
    restless = watch_module.LOOK_SECONDS + watch_module.MAX_SETTLES * watch_module.SETTLE_SECONDS
    assert restless < WITHIN


def replaced(space: Workspace) -> None:
    new = space.directory / "policy.yaml.tmp"
    new.write_text(AUDIT)
    new.rename(space.path)


def written_in_place(space: Workspace) -> None:
    space.write(AUDIT)


def overwritten_without_truncating(space: Workspace) -> None:
    with space.path.open("r+") as file:
        file.write(AUDIT)


def appended(space: Workspace) -> None:
    with space.path.open("a") as file:
        file.write("    mode: audit\n")


def written_and_dated_back(space: Workspace) -> None:
    """As `cp -p`, `rsync -t` and `git` with old files do."""
    before = space.path.stat()
    space.write(AUDIT)
    os.utime(space.path, ns=(before.st_atime_ns, before.st_mtime_ns))


def hard_linked(space: Workspace) -> None:
    (space.directory / "other.yaml").write_text(AUDIT)
    space.path.unlink()
    space.path.hardlink_to(space.directory / "other.yaml")


def symbolically_linked(space: Workspace) -> None:
    (space.directory / "other.yaml").write_text(AUDIT)
    link = space.directory / "link"
    link.symlink_to("other.yaml")
    link.rename(space.path)


def deleted_and_made_again(space: Workspace) -> None:
    space.path.unlink()
    space.write(AUDIT)


@pytest.mark.parametrize(
    "change",
    [
        replaced,
        written_in_place,
        overwritten_without_truncating,
        appended,
        written_and_dated_back,
        hard_linked,
        symbolically_linked,
        deleted_and_made_again,
    ],
    ids=lambda change: change.__name__,
)
async def test_a_changed_policy_takes_effect(
    space: Workspace, live: LivePolicy, change: Callable[[Workspace], None]
) -> None:
    """Editors, tools and people replace a file in different ways; each of them is noticed."""
    assert mode(live) is Mode.ENFORCE
    change(space)
    await effect(lambda: mode(live) is Mode.AUDIT)
    assert live.status.errors == ()


async def test_a_swap_of_kubernetes_data_link_takes_effect(
    pem_files: dict[str, bytes], tmp_path: Path
) -> None:
    """The link is swapped and the old directory removed; policy and certificates change as one."""
    volume = Kubernetes(tmp_path / "etc")
    acme, widget = pem_files["acme-ca.pem"], pem_files["widget-ca.pem"]
    named = policy(certificates="[ca.pem]").encode()
    volume.put({"policy.yaml": named, "ca.pem": acme})
    async with watched(volume.directory / "policy.yaml") as live:
        assert signers(live) == ["CN=Acme CA"]
        volume.put({"policy.yaml": named, "ca.pem": widget})
        await effect(lambda: signers(live) == ["CN=Widget CA"])
        volume.put({"policy.yaml": BAD.encode(), "ca.pem": acme})
        await effect(lambda: bool(live.status.errors))
        assert signers(live) == ["CN=Widget CA"]
        audit = policy(certificates="[ca.pem]", more="    mode: audit\n").encode()
        volume.put({"policy.yaml": audit, "ca.pem": acme})
        await effect(lambda: mode(live) is Mode.AUDIT)
        assert signers(live) == ["CN=Acme CA"]
        assert live.readings["failure"] == 1


async def test_a_file_that_is_truncated_and_completed_is_never_half_in_force(
    space: Workspace, live: LivePolicy
) -> None:
    """While a file is written slowly the old policy serves; complete, it takes effect."""
    before = live.snapshot
    with space.path.open("w") as file:
        file.flush()
        await effect(lambda: bool(live.status.errors))
        assert live.snapshot is before
        file.write(AUDIT[:50])
        file.flush()
        await effect(lambda: live.readings["failure"] == 2)
        assert live.snapshot is before
        file.write(AUDIT[50:])
    await effect(lambda: mode(live) is Mode.AUDIT)


async def test_a_changed_signing_certificate_takes_effect(
    space: Workspace, live: LivePolicy
) -> None:
    """Whatever file the policy names is watched as the policy is."""
    widget = (space.directory / "widget-ca.pem").read_bytes()
    (space.directory / "acme-ca.pem").write_bytes(widget)
    await effect(lambda: signers(live) == ["CN=Widget CA"])


async def test_a_certificate_that_vanishes_is_an_error_until_it_is_back(
    space: Workspace, live: LivePolicy
) -> None:
    """The old policy serves on; the moment the file is there again all is well."""
    before = live.snapshot
    pem = space.directory / "acme-ca.pem"
    pem.rename(space.directory / "away.pem")
    await effect(lambda: bool(live.status.errors))
    assert live.snapshot is before
    (space.directory / "away.pem").rename(pem)
    await effect(lambda: not live.status.errors)
    assert live.snapshot is not before


async def test_a_certificate_that_was_missing_takes_effect_when_it_appears(
    space: Workspace, live: LivePolicy
) -> None:
    """Policy and certificates may be copied in any order, and into new directories."""
    space.write(policy(certificates="[later/ca.pem]"))
    await effect(lambda: bool(live.status.errors))
    assert signers(live) == ["CN=Acme CA"]
    widget = (space.directory / "widget-ca.pem").read_bytes()
    (space.directory / "later").mkdir()
    (space.directory / "later" / "ca.pem").write_bytes(widget)
    await effect(lambda: signers(live) == ["CN=Widget CA"])


async def test_a_service_recovers_from_a_bad_policy(space: Workspace, live: LivePolicy) -> None:
    """Bad, worse and good again: each is noticed, and only the good one takes effect."""
    before = live.snapshot
    space.write(BAD)
    await effect(lambda: live.readings["failure"] == 1)
    space.path.unlink()
    await effect(lambda: live.readings["failure"] == 2)
    assert live.snapshot is before
    space.write(AUDIT)
    await effect(lambda: mode(live) is Mode.AUDIT)


async def test_a_directory_that_is_moved_away_and_back_is_followed(
    space: Workspace, live: LivePolicy
) -> None:
    """A mount that comes and goes is a change of every file in it."""
    away = space.directory.with_name(space.directory.name + "-away")
    space.directory.rename(away)
    await effect(lambda: bool(live.status.errors))
    away.rename(space.directory)
    await effect(lambda: not live.status.errors)


async def test_every_one_of_many_changes_in_a_row_is_noticed(
    space: Workspace, live: LivePolicy
) -> None:
    """No write hides behind the one before it, though it has the same size and follows at once."""
    for login in ("carol", "david", "ellen", "frank"):
        space.write(policy(accounts=f"{{{login}: alice@acme.example}}"))

        def in_force(login: str = login) -> bool:
            assert live.snapshot is not None
            accounts = live.snapshot.policy.subscriptions["acme"].accounts
            assert isinstance(accounts, Accounts)
            return accounts.named(login) is not None

        await effect(in_force)


async def test_a_sighup_amid_changes_loses_none_of_them(space: Workspace, live: LivePolicy) -> None:
    """A reading on demand and the watching may meet: the last content is in force in the end."""
    reloads = []
    for number in range(30):
        space.write(policy(more=f"    denial: {{status: {400 + number}}}\n"))
        reloads.append(asyncio.create_task(live.reload()))
        await asyncio.sleep(0.01)

    def status() -> int:
        assert live.snapshot is not None
        return live.snapshot.policy.subscriptions["acme"].denial.status

    await effect(lambda: status() == 429)
    await asyncio.gather(*reloads)
    assert status() == 429


async def test_a_file_that_never_stands_still_is_read_all_the_same(
    space: Workspace, live: LivePolicy
) -> None:
    """Waiting for a file to settle must not become waiting for ever."""

    async def restless() -> None:
        while True:
            space.write(AUDIT)
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(restless())
    await effect(lambda: mode(live) is Mode.AUDIT)
    writing.cancel()


class TestStandingStill:
    """What has not changed is not read again."""

    @pytest.fixture(autouse=True)
    def look_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(watch_module, "SETTLE_SECONDS", 0.01)

    @staticmethod
    @contextlib.asynccontextmanager
    async def looking(live: LivePolicy) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Watch, and wait on demand until the watcher has looked several times more."""
        looks = 0

        def files() -> Mapping[Path, Stamp]:
            nonlocal looks
            looks += 1
            return live.files

        async def looked() -> None:
            enough = looks + 10
            await effect(lambda: looks >= enough)

        task = asyncio.create_task(watch(files, live.reload))
        yield looked
        task.cancel()

    async def test_an_unchanged_policy_is_not_read_again(self, space: Workspace) -> None:
        """Looking is cheap, reading is not; nor is a file changed by being read."""
        live = LivePolicy(space.path)
        await live.reload()
        async with self.looking(live) as looked:
            await looked()
            space.path.read_text()
            (space.directory / "unrelated.yaml").write_text("x")
            await looked()
        assert live.readings == {"success": 1, "failure": 0}

    @pytest.mark.parametrize(
        "text",
        [BAD, "{", policy(certificates="[nowhere.pem]"), policy(certificates="[.]"), None],
        ids=["shape", "syntax", "missing certificate", "directory", "missing policy"],
    )
    async def test_an_unchanged_bad_policy_is_not_read_again(
        self, space: Workspace, text: str | None
    ) -> None:
        """One mistake is one error in the log, and not four in each second."""
        live = LivePolicy(space.path)
        await live.reload()
        if text is None:
            space.path.unlink()
        else:
            space.write(text)
        async with self.looking(live) as looked:
            await effect(lambda: live.readings["failure"] == 1)
            await looked()
        assert live.readings == {"success": 1, "failure": 1}

    async def test_what_a_sighup_has_read_is_not_read_again(
        self, space: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`write, then SIGHUP` is one reading when the signal comes first to the file."""
        live = LivePolicy(space.path)
        await live.reload()
        has_read = asyncio.Event()
        settle = watch_module._settle  # noqa: SLF001 (where a change was seen and is not read yet)

        async def wait_and_settle(seen: Mapping[Path, Stamp]) -> Mapping[Path, Stamp]:
            await has_read.wait()
            return await settle(seen)

        monkeypatch.setattr(watch_module, "_settle", wait_and_settle)
        async with self.looking(live) as looked:
            await looked()
            space.write(AUDIT)
            await live.reload()
            has_read.set()
            await looked()
        assert live.readings == {"success": 2, "failure": 0}


async def test_a_change_during_a_reading_is_noticed_after_it(tmp_path: Path) -> None:
    """The stamps are those of before the reading, so that nothing falls between two looks."""
    file = tmp_path / "file"
    file.write_text("one")
    known = {file: stamp(file)}
    contents: list[str] = []

    async def read() -> None:
        known[file] = stamp(file)
        contents.append(file.read_text())
        if len(contents) == 1:
            file.write_text("three")

    watching = asyncio.create_task(watch(lambda: dict(known), read))
    # Of another length: what is written at once may be dated alike.
    file.write_text("second")
    await effect(lambda: len(contents) == 2)
    watching.cancel()
    assert contents == ["second", "three"]


async def test_looking_at_many_files_takes_a_small_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of certificates must not cost a twentieth of a processor."""
    files = {tmp_path / f"{i}": stamp(tmp_path / f"{i}") for i in range(2000)}
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async def unreachable() -> None:
        pytest.fail("nothing has changed")

    # Looking seems to take a tenth of a second, a fifth, and no time at all.
    clock = chain([0.0, 0.1, 5.0, 5.2], repeat(10.0))
    monkeypatch.setattr(watch_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        watch_module, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep})
    )
    watching = asyncio.create_task(watch(lambda: files, unreachable))
    await effect(lambda: len(pauses) > 2)
    watching.cancel()
    assert pauses[:3] == pytest.approx([2.0, 4.0, watch_module.LOOK_SECONDS])

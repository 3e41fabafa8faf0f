"""Whatever interrupts a change or goes on beside it, the file is whole, and no change is lost."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import extauthz.mending.change
from extauthz.mending.edit import SetDisabled, SetName
from extauthz.mending.outcome import FailedError
from tests.mending.conftest import Workspace, audit_lines

# From 3.12 on Python warns of threads that other tests may have left.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

PEOPLE = """
      boss: {email: boss@acme.example, role: manager}
      bob: bob@acme.example
"""
MENDING = str(Path(extauthz.mending.change.__file__).parent)
WATCHED = {f"{MENDING}/{name}.py" for name in ("audit", "lock", "replace")}
NEW = SetName("new@acme.example")


def forked(work: Callable[[], object]) -> int:
    """The process id of a child that does a piece of work, and nothing else."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def at_line(number: int, do: Callable[[], object]) -> Any:
    """A trace function that does something before the n-th line of what changes files."""
    left = number

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                do()
        return trace

    return trace


def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(workspace: Workspace) -> None:
    """Killed before each line that is run, one after another, until one comes through."""
    old = workspace.write(PEOPLE).read_bytes()
    new = old.replace(b"bob@acme.example", b"new@acme.example")

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    seen: set[bytes] = set()
    for number in range(1, 1000):
        workspace.policy.write_bytes(old)

        def work(number: int = number) -> None:
            sys.settrace(at_line(number, die))
            workspace.change(NEW, "bob")

        _, status = os.waitpid(forked(work), 0)
        found = workspace.policy.read_bytes()
        assert found in (old, new)
        seen.add(found)
        done = [line for line in workspace.audit if line["result"] == "done"]
        assert found == old or done
        if os.WIFEXITED(status):
            break
    assert os.waitstatus_to_exitcode(status) == 0
    assert number > 50
    assert seen == {old, new}
    assert sorted(path.name for path in workspace.directory.iterdir()) == [
        "acme-ca.pem", "policy.yaml", "policy.yaml.audit.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("own_audit", ["", "own"])
def test_commands_at_the_same_time_lose_no_change(workspace: Workspace, own_audit: str) -> None:
    """Every one of them reads what those before it wrote, whichever audit file each has."""
    users, rounds = 6, 3
    people = "".join(f"      u{i}: u{i}@acme.example\n" for i in range(users))
    workspace.write("\n      boss: {email: boss@acme.example, role: manager}\n" + people)
    ready, go = os.pipe()

    def work(user: int) -> None:
        os.close(go)
        os.read(ready, 1)
        audit = workspace.directory / f"{user}.jsonl" if own_audit else None
        for number in range(rounds):
            workspace.change(SetName(f"n{number}-{user}@acme.example"), f"u{user}", audit=audit)

    children = [forked(lambda user=user: work(user)) for user in range(users)]  # type: ignore[misc]
    os.close(go)
    for child in children:
        assert os.waitpid(child, 0) == (child, 0)
    os.close(ready)
    accounts = workspace.accounts()
    for user in range(users):
        (name,) = accounts[f"u{user}"].identities
        assert str(name) == f"n{rounds - 1}-{user}@acme.example"
    if not own_audit:
        assert len(workspace.audit) == users * rounds


def interrupted(workspace: Workspace, function: str, do: Callable[[], object]) -> None:
    """Change an account, and do something when a function of the change begins."""

    def trace(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == function:
            sys.settrace(before)
            do()

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        workspace.change(NEW, "bob")
    finally:
        sys.settrace(before)


def test_what_another_program_writes_meanwhile_is_not_overwritten(workspace: Workspace) -> None:
    """An editor knows nothing of the lock."""
    workspace.write(PEOPLE)
    other = PEOPLE.replace("bob@", "robert@")
    with pytest.raises(FailedError, match="was changed meanwhile by another program: try again"):
        interrupted(workspace, "_check", lambda: workspace.write(other))
    assert "robert@acme.example" in workspace.policy.read_text()
    assert [line["result"] for line in workspace.audit] == ["failed"]


def test_a_replacement_that_fails_is_told_after_the_line_that_said_done(
    workspace: Workspace,
) -> None:
    """The audit file is written first; what then goes wrong is a second line."""
    workspace.write(PEOPLE)

    def make_a_directory() -> None:
        workspace.policy.unlink()
        workspace.policy.mkdir()

    with pytest.raises(FailedError, match=r"policy.yaml cannot be replaced: Is a directory"):
        interrupted(workspace, "take_place", make_a_directory)
    assert [line["result"] for line in workspace.audit] == ["done", "failed"]
    assert not list(workspace.directory.glob(".policy*"))


def test_what_a_killed_command_left_is_no_obstacle(workspace: Workspace, tmp_path: Path) -> None:
    """Nor is it followed, should it be a link to something else."""
    workspace.write(PEOPLE)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / ".policy.yaml.mending.yaml").symlink_to(precious)
    workspace.change(NEW, "bob")
    assert precious.read_text() == "precious"
    assert len(workspace.audit) == 1


def test_a_rotated_audit_file_is_not_written_to(workspace: Workspace, tmp_path: Path) -> None:
    """A command that waited for the lock of a file that is gone opens the one that is there."""
    workspace.write(PEOPLE)
    workspace.change(NEW, "bob")
    audit = tmp_path / "policy.yaml.audit.jsonl"
    rotated = audit.with_suffix(".1")
    ready, go = os.pipe()

    def hold() -> None:
        import fcntl  # noqa: PLC0415 (the child alone)

        with audit.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.write(go, b"x")
            time.sleep(0.3)
            audit.rename(rotated)

    child = forked(hold)
    os.read(ready, 1)
    workspace.change(SetDisabled(value=True), "bob")
    assert os.waitpid(child, 0) == (child, 0)
    os.close(ready)
    os.close(go)
    assert len(rotated.read_text().splitlines()) == 1
    assert len(audit_lines(workspace.policy)) == 1

"""A change of one account: who may, what is written and where, and what is told the audit file."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from extauthz.accounts import Former
from extauthz.identity import IdentityKind, parse
from extauthz.mending.change import Order, carry_out, look
from extauthz.mending.edit import SetDisabled, SetName
from extauthz.mending.lock import locked
from extauthz.mending.outcome import FailedError, RefusedError
from tests.mending.conftest import Workspace, audit_lines

PEOPLE = """
      # the boss
      boss: {email: boss@acme.example, role: manager}
      lead: {email: lead@acme.example, role: unit_manager, unit: sales}
      bob:
        email: bob@acme.example   # since 2020
        unit: sales
        groups: [pilot]

      alice: alice@acme.example   # and another
"""
TOMORROW = datetime.now(UTC).date() + timedelta(days=1)
NEW = SetName("new@acme.example")
DISABLE = SetDisabled(value=True)


@pytest.fixture
def acme(workspace: Workspace) -> Workspace:
    """A policy with a manager, a unit manager and two users."""
    workspace.write(PEOPLE)
    return workspace


def test_an_email_is_mended_and_told(acme: Workspace) -> None:
    """The line of the account changes; the audit file says who, what, when."""
    before = acme.policy.read_text()
    began = datetime.now(UTC)
    changed = acme.change(NEW, "bob", "lead")
    assert acme.policy.read_text() == before.replace("bob@acme.example", "new@acme.example")
    assert acme.problems() == ()
    assert changed.file == acme.policy
    assert acme.accounts()["bob"] == changed.after
    (line,) = acme.audit
    assert began <= datetime.fromisoformat(line.pop("time")) <= datetime.now(UTC)
    account: dict[str, object] = {
        "login": "bob", "former": {}, "unit": "sales", "role": None, "groups": ["pilot"],
        "disabled": False,
    }  # fmt: skip
    assert line == {
        "as": "lead",
        "os_user": {
            "uid": os.getuid(), "name": line["os_user"]["name"],
            "sudo_user": os.environ.get("SUDO_USER"),
        },
        "subscription": "acme",
        "file": str(acme.policy),
        "command": "test",
        "login": "bob",
        "before": account | {"names": ["bob@acme.example"]},
        "after": account | {"names": ["new@acme.example"]},
        "result": "done",
        "why": None,
    }  # fmt: skip


def test_the_old_email_holds_until_the_end_of_the_day(acme: Workspace) -> None:
    """Both are the account's, as the policy is read."""
    acme.change(SetName("new@acme.example", keep_old_until=TOMORROW), "alice")
    alice = acme.accounts()["alice"]
    old = parse(IdentityKind.EMAIL, "alice@acme.example")
    assert old is not None
    assert alice.former == (Former(old, datetime.combine(TOMORROW, time.max, UTC)),)
    assert "# and another\n" in acme.policy.read_text()


def test_a_policy_in_json_stays_one(workspace: Workspace) -> None:
    """Keys and days are written in quotes where the others are."""
    people = {"boss": {"email": "boss@acme.example", "role": "manager"}, "bob": "bob@acme.example"}
    settings = {
        "hosts": ["acme.example.com"], "signing_certificates": ["acme-ca.pem"], "accounts": people,
    }  # fmt: skip
    workspace.policy.write_text(json.dumps({"subscriptions": {"acme": settings}}, indent=2))
    workspace.change(SetName("new@acme.example", keep_old_until=TOMORROW), "bob")
    workspace.change(DISABLE, "bob")
    written = json.loads(workspace.policy.read_text())["subscriptions"]["acme"]["accounts"]
    assert written == people | {
        "bob": {
            "email": "new@acme.example",
            "former": {"bob@acme.example": TOMORROW.isoformat()},
            "disabled": True,
        }
    }


def test_an_account_is_disabled_and_enabled(acme: Workspace) -> None:
    """A disabled manager may no longer act."""
    acme.change(DISABLE, "lead")
    with pytest.raises(RefusedError, match="'lead' is disabled"):
        acme.change(NEW, "bob", "lead")
    acme.change(SetDisabled(value=False), "lead")
    acme.change(NEW, "bob", "lead")
    assert [line["result"] for line in acme.audit] == ["done", "refused", "done", "done"]


def test_nothing_to_do_writes_nothing(acme: Workspace) -> None:
    """Neither the file nor the audit file is touched."""
    before = acme.standing()
    changed = acme.change(SetName("BOB@acme.example"), "bob")
    assert changed.after is changed.before
    assert acme.standing() == before
    assert acme.audit == []


@pytest.mark.parametrize(("acting", "login", "request_", "why"), [
    ("lead", "alice", NEW, "there is no account 'alice' in the unit 'sales', which is 'lead''s"),
    ("lead", "boss", DISABLE, "there is no account 'boss' in the unit 'sales', which is 'lead''s"),
    ("lead", "nobody", NEW, "there is no account 'nobody' in the unit 'sales', which is 'lead''s"),
    ("lead", "bob", SetName("lead@acme.example"), "is the name of 'lead', too: with --shared"),
    ("lead", "bob", SetName("alice@acme.example"), "is the name of another account, too: with --s"),
    ("bob", "bob", NEW, "'bob' has no role: `role: manager` or `role: unit_manager` is missing"),
    ("nobody", "bob", NEW, "'nobody', who is said to be acting, is no account of 'acme'"),
    ("boss", "nobody", NEW, "there is no account 'nobody'$"),
    ("bob", "nobody", NEW, "'bob' has no role"),
    ("boss", "boss", DISABLE, "may not disable the own account"),
    ("boss", "bob", SetName("alice@acme.example"), "with --shared both have it"),
    ("boss", "bob", SetName("bob"), "'bob' is not an email address"),
    ("boss", "bob", SetName("n@x.example", keep_old_until=date(2020, 1, 1)), "is over"),
])  # fmt: skip
def test_a_refusal_changes_nothing_and_is_told(
    acme: Workspace, acting: str, login: str, request_: SetName | SetDisabled, why: str
) -> None:
    """The audit file says who was refused what, and why."""
    before = acme.standing()
    with pytest.raises(RefusedError, match=why) as refused:
        acme.change(request_, login, acting)
    assert acme.standing() == before
    (line,) = acme.audit
    assert (line["as"], line["login"], line["result"]) == (acting, login, "refused")
    assert line["why"] == str(refused.value)
    assert line["after"] is None


def test_a_refusal_to_show_accounts_is_told_and_a_look_is_not(acme: Workspace) -> None:
    """Looking changes nothing; being refused is of interest."""
    assert [one.login for one in look(Order(acme.policy, "acme", "lead", "list", None))] == [
        "lead", "bob",
    ]  # fmt: skip
    assert acme.audit == []
    for acting, login in (("bob", None), ("lead", "alice")):
        with pytest.raises(RefusedError):
            look(Order(acme.policy, "acme", acting, "show", login))
    assert [(line["as"], line["login"], line["result"]) for line in acme.audit] == [
        ("bob", None, "refused"), ("lead", "alice", "refused"),
    ]  # fmt: skip


@pytest.mark.parametrize(("accounts", "more", "why"), [
    (": {bob: nonsense}", "", "the policy has errors, see `extauthz validate`: .*policy.yaml:5:"),
    (PEOPLE, "  widget: {}\n", "the policy has errors"),
    ((": {sql: {url: 'postgresql+asyncpg://db.example/x', query: 'SELECT login, email FROM u WHERE"
     " login = :login OR email = :identity'}}"), "",
     "live in the database 'postgresql.asyncpg://db.example/x': change them there"),
    (": {http: {url: 'https://users.example/'}}", "",
     "are those of the service at 'https://users.example/': change them there"),
])  # fmt: skip
def test_what_cannot_be_edited_here(
    workspace: Workspace, accounts: str, more: str, why: str
) -> None:
    """A policy with errors is not made worse; a directory is mended where it is."""
    workspace.write(accounts.replace(":", "", 1) if accounts.startswith(":") else accounts, more)
    before = workspace.policy.read_bytes()
    with pytest.raises(FailedError, match=why):
        workspace.change(NEW, "bob")
    assert workspace.policy.read_bytes() == before
    assert workspace.audit == []


def test_an_entry_that_is_edited_wrongly_is_left_alone(workspace: Workspace) -> None:
    """What comes of an edit is read again before it takes effect; an odd layout may break it."""
    accounts = (
        "\n      boss: {email: boss@acme.example, role: manager}\n"
        "      bob:\n      -\n        b@x.example\n      - c@x.example\n"
    )
    before = workspace.write(accounts).read_bytes()
    with pytest.raises(FailedError, match="'bob' is written in a way that cannot be changed"):
        workspace.change(SetName("c@x.example"), "bob")
    assert workspace.policy.read_bytes() == before
    assert [line["result"] for line in workspace.audit] == ["failed"]
    assert not list(workspace.directory.glob(".policy*"))


def test_an_unknown_subscription_is_named(acme: Workspace) -> None:
    """The message says which file has none of that name."""
    with pytest.raises(FailedError, match=r"policy.yaml has no subscription 'other'"):
        carry_out(Order(acme.policy, "other", "boss", "test", "bob"), NEW)


@pytest.mark.parametrize("accounts", [
    " &a\n      boss: {email: b@x.example, role: manager}\n      bob: bob@acme.example\n",
    " &a {boss: {email: b@x.example, role: manager}, bob: bob@acme.example}\n",
])  # fmt: skip
@pytest.mark.parametrize("subscription", ["acme", "widget"])
def test_accounts_that_two_subscriptions_share_can_be_seen_and_not_changed(
    workspace: Workspace, accounts: str, subscription: str
) -> None:
    """An alias makes them one text."""
    more = (
        "  widget:\n    hosts: [widget.example.com]\n    signing_certificates: [acme-ca.pem]\n"
        "    accounts: *a\n"
    )
    before = workspace.write(accounts, more).read_bytes()
    order = Order(workspace.policy, subscription, "boss", "test", "bob")
    assert [one.login for one in look(order)] == ["bob"]
    with pytest.raises(RefusedError, match="alias"):
        carry_out(order, NEW)
    assert workspace.policy.read_bytes() == before


def test_mode_and_owner_stay(acme: Workspace) -> None:
    """Whoever could read the file before can read it afterwards, and nobody else."""
    if os.getuid() == 0:
        os.chown(acme.policy, 1234, 4321)
    acme.policy.chmod(0o640)
    before = acme.policy.stat()
    acme.change(NEW, "bob")
    after = acme.policy.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid,
    )  # fmt: skip
    audit = acme.directory / "policy.yaml.audit.jsonl"
    assert stat.S_IMODE(audit.stat().st_mode) == 0o600


def test_extended_attributes_stay(acme: Workspace) -> None:
    """Access control lists are such attributes."""
    try:
        os.setxattr(acme.policy, "user.note", b"kept")
    except OSError as error:
        pytest.skip(f"the file system of {acme.directory} has no extended attributes: {error}")
    acme.change(NEW, "bob")
    assert os.getxattr(acme.policy, "user.note") == b"kept"


@pytest.mark.parametrize("depth", [1, 2])
def test_a_symbolic_link_is_followed(acme: Workspace, tmp_path: Path, depth: int) -> None:
    """The file is replaced where it is; paths in it go on from where the link is."""
    real = tmp_path / "elsewhere" / "real.yaml"
    real.parent.mkdir()
    acme.policy.rename(real)
    target = real
    for index in range(1, depth):
        link = tmp_path / f"link{index}"
        link.symlink_to(target)
        target = link
    acme.policy.symlink_to(os.path.relpath(target, tmp_path))
    acme.change(NEW, "bob")
    assert acme.policy.is_symlink()
    assert "new@acme.example" in real.read_text()
    assert sorted(path.name for path in real.parent.iterdir()) == [
        "real.yaml", "real.yaml.audit.jsonl",
    ]  # fmt: skip
    assert not [path for path in tmp_path.iterdir() if "mending" in path.name]
    assert len(audit_lines(real)) == 1


def test_the_audit_file_can_be_another(acme: Workspace, tmp_path: Path) -> None:
    """One line after another, whatever is edited."""
    audit = tmp_path / "log" / "audit.jsonl"
    audit.parent.mkdir()
    acme.change(NEW, "bob", audit=audit)
    acme.change(DISABLE, "bob", audit=audit)
    assert [json.loads(line)["result"] for line in audit.read_text().splitlines()] == [
        "done", "done",
    ]  # fmt: skip
    assert acme.audit == []


def test_half_a_line_does_not_spoil_the_next(acme: Workspace) -> None:
    """A disk that was full may have left the beginning of a line."""
    audit = acme.directory / "policy.yaml.audit.jsonl"
    audit.write_text('{"time": "2026')
    acme.change(NEW, "bob")
    broken, line = audit.read_text().splitlines()
    assert broken == '{"time": "2026'
    assert json.loads(line)["result"] == "done"


@pytest.mark.parametrize(("kind", "why"), [
    ("link", "cannot be opened"),
    ("directory", "cannot be opened"),
    ("fifo", "is not a file of its own"),
    ("policy", "is not a file of its own"),
    ("other", "holds something else than an audit"),
    ("nowhere", "cannot be opened"),
])  # fmt: skip
def test_without_an_audit_file_nothing_is_changed(
    acme: Workspace, tmp_path: Path, kind: str, why: str
) -> None:
    """Nor is anything written to a file that is something else."""
    audit = tmp_path / "audit"
    other = tmp_path / "other"
    other.write_text("precious")
    match kind:
        case "link":
            audit.symlink_to(other)
        case "directory":
            audit.mkdir()
        case "fifo":
            os.mkfifo(audit)
        case "policy":
            audit = acme.policy
        case "other":
            audit = other
        case "nowhere":
            audit = tmp_path / "no" / "audit"
    before = acme.policy.read_bytes()
    with pytest.raises(FailedError, match=why):
        acme.change(NEW, "bob", audit=audit)
    assert acme.policy.read_bytes() == before
    assert other.read_text() == "precious"


def test_an_audit_file_that_cannot_be_written_keeps_the_change_from_being_made(
    acme: Workspace,
) -> None:
    """/dev/full is no regular file; a limit on the size of files is as good as a full disk."""
    import resource  # noqa: PLC0415 (this test alone)
    import signal  # noqa: PLC0415

    audit = acme.directory / "audit.jsonl"
    audit.write_text("{}\n" + " " * 100_000 + "\n")
    before = acme.policy.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (audit.stat().st_size + 10, limits[1]))
    try:
        with pytest.raises(FailedError, match="cannot be written"):
            acme.change(NEW, "bob", audit=audit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert acme.policy.read_bytes() == before


def test_a_lock_is_waited_for_only_so_long(acme: Workspace) -> None:
    """The message says which file it is, and to try again."""
    with (
        locked(acme.policy, os.O_RDONLY),
        pytest.raises(FailedError, match=r"policy.yaml is locked by another command"),
        locked(acme.policy, os.O_RDONLY, timeout=0.05),
    ):
        pass
    with locked(acme.policy, os.O_RDONLY, timeout=0.05):
        pass


@contextmanager
def unprivileged(directory: Path) -> Iterator[None]:
    """Be a user whom permissions bind; root's files become theirs."""
    if os.geteuid() != 0:
        yield
        return
    for path in (directory, *directory.iterdir()):
        os.chown(path, 65534, 65534)
    closed = [parent for parent in directory.parents if not parent.stat().st_mode & 1]
    modes = {parent: parent.stat().st_mode for parent in closed}
    for parent in closed:
        parent.chmod(modes[parent] | 1)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        for parent, mode in modes.items():
            parent.chmod(mode)


def test_a_directory_that_cannot_be_written_to_is_left_as_it_was(
    acme: Workspace, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The message names the file that cannot be written; the audit file says that it failed."""
    audit = tmp_path / "audit.jsonl"
    audit.touch()
    before = acme.policy.read_bytes()
    with unprivileged(tmp_path):
        tmp_path.chmod(0o555)
        try:
            with pytest.raises(FailedError, match=r"audit.jsonl cannot be opened: Permission"):
                acme.change(NEW, "bob")
            with pytest.raises(FailedError, match=r"mending.yaml cannot be written: Permission"):
                acme.change(NEW, "bob", audit=audit)
        finally:
            tmp_path.chmod(0o755)
    assert acme.policy.read_bytes() == before
    (line,) = map(json.loads, audit.read_text().splitlines())
    assert (line["result"], line["login"]) == ("failed", "bob")
    assert "cannot be written" in line["why"]


@pytest.mark.parametrize("mode", [0o440, 0o400])
def test_a_file_that_may_not_be_written_is_not_replaced(
    acme: Workspace, tmp_path: Path, mode: int
) -> None:
    """A rename would need the directory's permission alone."""
    before = acme.policy.read_bytes()
    with unprivileged(tmp_path):
        acme.policy.chmod(mode)
        with pytest.raises(FailedError, match=r"/policy.yaml cannot be written: no permission"):
            acme.change(NEW, "bob")
        acme.policy.chmod(0o600)
        assert acme.policy.read_bytes() == before
        assert [path.name for path in tmp_path.glob(".policy*")] == []
        assert [line["result"] for line in acme.audit] == ["failed"]
        acme.change(NEW, "bob")
    assert acme.policy.read_bytes() != before


def test_another_owners_file_is_not_taken_over(acme: Workspace, tmp_path: Path) -> None:
    """Whoever may not give a file its owner back may not replace it."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a file of another owner")
    with unprivileged(tmp_path):
        os.seteuid(0)
        os.chown(acme.policy, 0, 0)
        acme.policy.chmod(0o666)
        os.seteuid(65534)
        before = acme.policy.read_bytes()
        with pytest.raises(FailedError, match="cannot be written: Operation not permitted"):
            acme.change(NEW, "bob")
    assert acme.policy.read_bytes() == before
    assert acme.policy.stat().st_uid == 0
    assert not list(tmp_path.glob(".policy*"))

"""Accounts in a file of their own are mended there, and the policy stays."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extauthz.mending.change import Order, carry_out, look
from extauthz.mending.edit import SetDisabled, SetName
from extauthz.mending.outcome import FailedError, RefusedError
from tests.mending.conftest import Workspace, audit_lines

TOMORROW = datetime.now(UTC).date() + timedelta(days=1)
NEW = SetName("new@acme.example", keep_old_until=TOMORROW)
FILES = {
    "accounts.yaml": (
        ("boss: {email: boss@acme.example, role: manager}\n"
        "bob: {email: bob@acme.example, unit: sales}  # bob\n"
        "alice: alice@acme.example\n"),
        "bob: {email: new@acme.example, unit: sales, former: {bob@acme.example: DAY}}  # bob\n",
    ),
    "accounts.csv": (
        ("login,email,role,unit,former,disabled\r\n"
        "boss,boss@acme.example,manager,,,\r\n"
        'bob,"bob@acme.example",,sales,,\r\n'
        "alice,alice@acme.example,,,,\r\n"),
        'bob,"new@acme.example",,sales,bob@acme.example=DAY,\r\n',
    ),
    "accounts.jsonl": (
        ('{"login":"boss","email":"boss@acme.example","role":"manager"}\n'
        '{"login":"bob","email":"bob@acme.example","unit":"sales"}\n'
        '{"login":"alice","email":"alice@acme.example"}'),
        ('{"login":"bob","email":"new@acme.example","unit":"sales",'
        '"former":{"bob@acme.example":"DAY"}}\n'),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [*FILES, "accounts.YML", "accounts.ndjson"])
def test_the_line_of_the_account_changes(workspace: Workspace, name: str) -> None:
    """In every format; the policy file is not touched, and the audit file is beside the file."""
    before, expected = FILES[
        name.replace("YML", "yaml").replace("ndjson", "jsonl")
    ]  # fmt: skip
    file = workspace.directory / name
    file.write_bytes(before.encode())
    policy = workspace.write(f" {{file: {name}}}\n").read_bytes()
    changed = workspace.change(NEW, "bob")
    assert changed.file == file
    lines = before.splitlines(keepends=True)
    place = next(index for index, line in enumerate(lines) if "bob" in line)
    lines[place] = expected.replace("DAY", TOMORROW.isoformat())
    assert file.read_bytes() == "".join(lines).encode()
    assert workspace.policy.read_bytes() == policy
    assert [line["file"] for line in audit_lines(file)] == [str(file)]
    assert workspace.accounts()["bob"] == changed.after
    assert list(workspace.accounts()) == ["boss", "bob", "alice"]
    workspace.change(SetDisabled(value=True), "bob")
    assert workspace.accounts()["bob"].is_disabled


def test_the_name_of_a_link_says_the_format(workspace: Workspace, tmp_path: Path) -> None:
    """The file that it leads to may have any name."""
    before, _ = FILES["accounts.csv"]
    real = tmp_path / "data" / "accounts-7"
    real.parent.mkdir()
    real.write_bytes(before.encode())
    (tmp_path / "accounts.csv").symlink_to(real)
    workspace.write(" {file: accounts.csv}\n")
    workspace.change(SetName("new@acme.example"), "bob")
    assert real.read_bytes() == before.replace("bob@", "new@").encode()
    assert (tmp_path / "accounts.csv").is_symlink()
    assert sorted(path.name for path in real.parent.iterdir()) == [
        "accounts-7", "accounts-7.audit.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "why"), [
    ("accounts.csv", "login,email\nbob,nonsense\n", "accounts.csv:2: "),
    ("accounts.csv", "login,email\nbob,b@x.example\nbob,b@x.example\n", "'bob' stands twice"),
    ("accounts.jsonl", "{", "accounts.jsonl:1"),
    ("accounts.yaml", "bob: b@x.example\nbob: b@x.example\n", "'bob' stands twice"),
    ("accounts.yaml", None, "accounts.yaml: it cannot be read: No such file"),
])  # fmt: skip
def test_a_file_with_mistakes_is_not_edited(
    workspace: Workspace, name: str, text: str | None, why: str
) -> None:
    """The message says where the mistake is."""
    file = workspace.directory / name
    if text is not None:
        file.write_text(text)
    workspace.write(f" {{file: {name}}}\n")
    with pytest.raises(FailedError, match=why):
        look(Order(workspace.policy, "acme", "boss", "list", None))
    with pytest.raises(FailedError):
        workspace.change(NEW, "bob")
    assert text is None or file.read_text() == text


def test_a_column_that_is_missing_is_named(workspace: Workspace) -> None:
    """To add it would change every line of the file."""
    file = workspace.directory / "accounts.csv"
    text = "login,email,role\nboss,boss@x.example,manager\nbob,bob@x.example,\n"
    file.write_text(text)
    workspace.write(" {file: accounts.csv}\n")
    with pytest.raises(RefusedError, match="no column 'disabled': add it to the header"):
        workspace.change(SetDisabled(value=True), "bob")
    assert file.read_text() == text
    assert [line["result"] for line in audit_lines(file)] == ["refused"]


def test_a_role_in_another_subscription_is_none_here(workspace: Workspace) -> None:
    """Accounts of different subscriptions are different ones, whatever their logins."""
    (workspace.directory / "accounts.jsonl").write_text(FILES["accounts.jsonl"][0])
    more = (
        "  widget:\n    hosts: [widget.example.com]\n    signing_certificates: [acme-ca.pem]\n"
        "    accounts: {boss: boss@x.example, bob: bob@x.example}\n"
    )
    before = workspace.write(" {file: accounts.jsonl}\n", more).read_bytes()
    with pytest.raises(RefusedError, match="'boss' has no role"):
        carry_out(Order(workspace.policy, "widget", "boss", "set-email", "bob"), NEW)
    assert workspace.policy.read_bytes() == before
    assert [line["subscription"] for line in workspace.audit] == ["widget"]

"""A policy file to a policy, or to everything that is wrong with it, each with its place."""

import json
import os
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.accounts import Accounts
from extauthz.email import EmailAddress
from extauthz.policy import DEFAULT_DENIAL, Denial, Mode
from extauthz.policyfile import loader
from extauthz.policyfile.loader import load
from extauthz.policyfile.problems import Severity
from tests.policyfile.conftest import NOW, Workspace, policy

QUOTE_IT = "put the value in quotes"

MISTAKES: dict[str, tuple[str | bytes, list[str]]] = {
    # What is not YAML, or not what a policy may use of it.
    "empty file": ("", [":1:1: error: the file is empty; begin it with `subscriptions:`"]),
    "comments alone": (
        "# soon\n",
        [":1:1: error: the file is empty; begin it with `subscriptions:`"],
    ),
    "tab indentation": (
        policy(more="\tmode: audit\n"),
        [
            (":6:1: error: not YAML: while scanning for the next token found character that cannot"
            " start any token; indent with spaces: YAML allows no tabs there")
        ],
    ),
    "wildcard without quotes": (
        policy(hosts="[*.example.com]"),
        [
            (":3:13: error: not YAML: while scanning an alias did not find expected alphabetic or"
            " numeric character; a text that begins with * stands in quotes, like '*.example.com'")
        ],
    ),
    "a colon in plain text": (
        policy(more="    denial: {body: Sorry}\n    mode: audit: please\n"),
        [
            (":7:16: error: not YAML: mapping values are not allowed in this context; check the"
            " indentation; a text with a colon and a space in it stands in quotes")
        ],
    ),
    "reserved character": (
        policy(accounts="{alice: @acme.example}"),
        [
            (":5:23: error: not YAML: while scanning for the next token found character that cannot"
            " start any token; a text that begins with such a character stands in quotes")
        ],
    ),
    "bracket not closed": (
        policy(hosts="[acme.example.com"),
        [
            (":4:25: error: not YAML: while parsing a flow sequence did not find expected ',' or"
            " ']'; check the indentation, quotes and brackets there and just above")
        ],
    ),
    "NUL": (
        policy(more="    mode: au\0dit\n"),
        [
            (":6:13: error: the character '\\x00' cannot stand in YAML; remove it: the file is to"
            " be text without control characters")
        ],
    ),
    "escape sequence": (
        policy(more="# \x1b[31m\n"),
        [
            (":6:3: error: the character '\\x1b' cannot stand in YAML; remove it: the file is to be"
            " text without control characters")
        ],
    ),
    "Latin-1": (
        policy(more="    # äöü\n").encode("latin-1"),
        [":6:7: error: the policy file is not text in UTF-8; save it as UTF-8"],
    ),
    "UTF-16": (
        policy().encode("utf-16"),
        [":1:1: error: the policy file is not text in UTF-8; it is UTF-16: save it as UTF-8"],
    ),
    "duplicate key": (
        policy(more="    mode: audit\n    mode: enforce\n"),
        [
            (":7:5: error: the key 'mode' stands twice; it stands first in line 6: keep one of the"
            " two")
        ],
    ),
    "duplicate subscription": (
        policy(more="  acme: {}\n"),
        [
            (":6:3: error: the key 'acme' stands twice; it stands first in line 2: keep one of the"
            " two")
        ],
    ),
    "duplicate account": (
        policy(accounts='{alice: alice@acme.example, "alice": eve@acme.example}'),
        [
            (":5:43: error: the key 'alice' stands twice; it stands first in line 5: keep one of"
            " the two")
        ],
    ),
    "merge key": (
        policy(more="    <<: {mode: off}\n"),
        [":6:5: error: a merge key, which YAML 1.2 does not have; write the keys out"],
    ),
    "tag": (
        policy(more="    mode: !!str audit\n"),
        [
            ":6:11: error: the tag '!!str'; leave it out: values have one type here"
        ],
    ),
    "tag that makes objects": (
        policy(more="    mode: !!python/object/apply:os.system [id]\n"),
        [
            (":6:11: error: the tag '!!python/object/apply:os.system'; leave it out: values have"
            " one type here"),
            ":6:11: error: 'mode' cannot be a list; possible here: off, audit, enforce",
        ],
    ),
    "key that is a list": (
        policy(more="    [mode]: audit\n"),
        [":6:5: error: a key that is not text; write the key as one word or in quotes"],
    ),
    "several documents": (
        policy(more="---\n" + policy()),
        [":6:1: error: a second document begins here; keep one document in the file"],
    ),
    "unknown alias": (
        policy(more="    mode: *mode\n"),
        [
            (":6:11: error: the alias 'mode' stands for nothing, or for what it is part of; set its"
            " anchor before it; a text that begins with * stands in quotes")
        ],
    ),
    "recursive alias": (
        policy(hosts="&hosts [*hosts]"),
        [
            (":3:20: error: the alias 'hosts' stands for nothing, or for what it is part of; set"
            " its anchor before it; a text that begins with * stands in quotes")
        ],
    ),
    "deep nesting": (
        "[" * 100_000,
        [":1:34: error: nested deeper than 32 levels; nest less"],
    ),
    # What has another shape than a policy.
    "a list for a policy": (
        "- acme\n",
        [":1:1: error: the file should be a mapping; write `key: value` lines below it"],
    ),
    "one word": (
        "acme\n",
        [":1:1: error: the file should be a mapping; write `key: value` lines below it"],
    ),
    "no subscriptions": (
        "subscriptions: {}\n",
        [":1:16: error: 'subscriptions' is empty; name at least one"],
    ),
    "subscriptions left empty": (
        "subscriptions:\n",
        [
            ":1:15: error: 'subscriptions' should be a mapping; write `key: value` lines below it"
        ],
    ),
    "unknown key at the top": (
        policy(more="version: 1\n"),
        [":6:1: error: unknown key 'version'; possible here: subscriptions, decision_log"],
    ),
    "misspelt key": (
        policy(more="    verify_emial: false\n"),
        [":6:5: error: unknown key 'verify_emial'; did you mean 'verify_email'?"],
    ),
    "key of another file": (
        policy(more="    ca_bundle: x\n"),
        [
            (":6:5: error: unknown key 'ca_bundle'; possible here: hosts, signing_certificates,"
            " max_intermediates, intermediates, accounts, login, session, exempt,"
            " certificate_required_for, identity, mode, verify_email, require,"
            " any_extended_key_usage, revocation, denial")
        ],
    ),
    "misspelt key of a denial": (
        policy(more="    denial:\n      staus: 403\n"),
        [":7:7: error: unknown key 'staus'; did you mean 'status'?"],
    ),
    "missing keys": (
        "subscriptions:\n  acme:\n    accounts: {alice: alice@acme.example}\n",
        [
            (":2:3: error: the key 'hosts' is missing; add it: Hosts of the subscription;"
            " `*.example.com` stands for all hosts below example.com. A host belongs to one"
            " subscription."),
            (":2:3: error: the key 'signing_certificates' is missing; add it: PEM files with the CA"
            " certificates that sign the users' certificates. Relative paths are relative to this"
            " file."),
        ],
    ),
    "impossible name": (
        policy().replace("acme:", '"acme corp":'),
        [
            (":2:3: error: 'acme corp' is not a possible name; use 1 to 63 letters, digits, '.',"
            " '_' and '-', a letter or digit first")
        ],
    ),
    "one host without a list": (
        policy(hosts="acme.example.com"),
        [
            (":3:12: error: 'hosts' should be a list; write it as [first, second] or as lines with"
            " '- '")
        ],
    ),
    "empty lists": (
        policy(hosts="[]", certificates="[]"),
        [
            ":3:12: error: 'hosts' is empty; name at least one",
            ":4:27: error: 'signing_certificates' is empty; name at least one",
        ],
    ),
    "values of another type in lists": (
        policy(hosts="[acme.example.com, 10.0, true, ~, {a: b}]", certificates="[acme-ca.pem, 7]"),
        [
            f":3:31: error: the value should be text; {QUOTE_IT}",
            f":3:37: error: the value should be text; {QUOTE_IT}",
            ":3:43: error: the value is empty; write a value",
            ":3:46: error: the value should be text, not a mapping; write one value",
            f":4:41: error: the value should be text; {QUOTE_IT}",
        ],
    ),
    "mode that is none": (
        policy(more="    mode: enfroce\n"),
        [":6:11: error: 'mode' cannot be 'enfroce'; did you mean 'enforce'?"],
    ),
    "mode true": (
        policy(more="    mode: true\n"),
        [":6:11: error: 'mode' cannot be true; possible here: off, audit, enforce"],
    ),
    "mode left empty": (
        policy(more="    mode:\n"),
        [":6:10: error: 'mode' is empty; write a value"],
    ),
    "boolean of YAML 1.1": (
        policy(more="    verify_email: no\n"),
        [
            (":6:19: error: 'verify_email' should be true or false; write true or false, without"
            " quotes")
        ],
    ),
    "denial of other types": (
        policy(more='    denial: {status: "403", body: 5, content_type: html}\n'),
        [
            ":6:22: error: 'status' should be a whole number; write digits, without quotes",
            f":6:35: error: 'body' should be text; {QUOTE_IT}",
            (":6:52: error: 'content_type' is not a media type; write it like"
            " text/plain; charset=utf-8"),
        ],
    ),
    "denial that is a server error": (
        policy(more="    denial: {status: 503}\n"),
        [":6:22: error: 'status' cannot be 503; it should be less than or equal to 499"],
    ),
    "denial that is a success": (
        policy(more="    denial: {status: 200}\n"),
        [":6:22: error: 'status' cannot be 200; it should be greater than or equal to 400"],
    ),
    "header in a content type": (
        policy(more='    denial: {content_type: "text/plain\\r\\nset-cookie: a=b"}\n'),
        [
            (":6:28: error: 'content_type' is not a media type; write it like"
            " text/plain; charset=utf-8")
        ],
    ),
    # Accounts.
    "accounts left out": (
        ("subscriptions:\n"
        "  acme:\n"
        "    hosts: [acme.example.com]\n"
        "    signing_certificates: [acme-ca.pem]\n"),
        [
            (":3:5: error: no accounts, and yet emails are verified: nobody could come in; list"
            " `accounts`, or set `verify_email: false`")
        ],
    ),
    "no account": (
        policy(accounts="{}"),
        [
            (":5:15: error: no accounts, and yet emails are verified: nobody could come in; list"
            " `accounts`, or set `verify_email: false`")
        ],
    ),
    "accounts as a list": (
        policy(accounts="[alice]"),
        [":5:15: error: 'accounts' should be a mapping; write `key: value` lines below it"],
    ),
    "emails that are none": (
        policy(accounts="{alice: alice, bob: Bob <bob@acme.example>, carol: 7, dave: , [x]: y@z}"),
        [
            (":5:23: error: 'alice' is not an email address; write one plain address like"
            " alice@example.com"),
            (":5:35: error: 'Bob <bob@acme.example>' is not an email address; write one plain"
            " address like alice@example.com"),
            f":5:66: error: 'carol' should be text; {QUOTE_IT}",
            ":5:75: error: 'dave' is empty; write a value",
            ":5:77: error: a key that is not text; write the key as one word or in quotes",
        ],
    ),
    "login that is empty": (
        policy(accounts='{"": alice@acme.example}'),
        [
            (":5:16: error: '' is not a possible login; write the name with which the account logs"
            " in")
        ],
    ),
    "login that pydantic uses as a mark": (
        policy(accounts='{"[key]": 7}'),
        [f":5:25: error: '[key]' should be text; {QUOTE_IT}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_named_with_its_place_and_what_would_be_right(
    workspace: Workspace, text: str | bytes, expected: list[str]
) -> None:
    """A policy with a mistake is no policy; the report has line, column, what, and a remedy."""
    assert workspace.problems(text) == expected


def test_all_mistakes_are_reported_in_one_run(workspace: Workspace) -> None:
    """Mistakes of syntax that can be read over, of shape and of meaning come in one report."""
    text = (
        "subscriptions:\n"
        "  acme:\n"
        "    hosts: [acme.example.com, 'acme.example.com:80']\n"
        "    signing_certificates: [leaf.pem, nowhere.pem, expired.pem]\n"
        "    accounts: {alice: nobody, alice: alice@acme.example}\n"
        "    mode: adit\n"
        "    mode: audit\n"
        "    colour: green\n"
        "  widget:\n"
        "    <<: {}\n"
        "    hosts: [ACME.example.com]\n"
        "    signing_certificates: [expired.pem]\n"
        "    verify_email: !bool false\n"
        "    denial: {status: 1}\n"
    )
    assert [problem.split("; ")[0] for problem in workspace.problems(text)] == [
        ":3:31: error: 'acme.example.com:80' is not a host",
        (
            ":4:28: error: 'leaf.pem' holds a certificate that cannot sign users' certificates: it"
            " is not a CA certificate (its basicConstraints do not say CA:TRUE)"
        ),
        ":4:38: error: 'nowhere.pem' cannot be read: No such file or directory",
        (
            ":4:51: warning: the signing certificate 'CN=Old CA' of 'expired.pem' expired at"
            " 2030-06-01T00:00:00+00:00"
        ),
        ":5:23: error: 'nobody' is not an email address",
        ":5:31: error: the key 'alice' stands twice",
        ":6:11: error: 'mode' cannot be 'adit'",
        ":7:5: error: the key 'mode' stands twice",
        ":8:5: error: unknown key 'colour'",
        ":10:5: error: a merge key, which YAML 1.2 does not have",
        ":11:13: error: the host 'ACME.example.com' (acme.example.com) is already in 'acme'",
        ":12:27: lapsed: no signing certificate is valid today: no user's certificate can pass",
        (
            ":12:28: warning: the signing certificate 'CN=Old CA' of 'expired.pem' expired at"
            " 2030-06-01T00:00:00+00:00"
        ),
        ":13:19: error: the tag '!bool'",
        ":13:19: error: 'verify_email' should be true or false",
        ":14:22: error: 'status' cannot be 1",
    ]


def test_mistakes_before_the_place_where_reading_ends_are_reported_too(
    workspace: Workspace,
) -> None:
    """A syntax error ends the reading, but what was found before it is not withheld."""
    text = policy(more="    mode: audit\n    mode: off\n    denial: {\n")
    assert [problem.split("; ")[0] for problem in workspace.problems(text)] == [
        ":7:5: error: the key 'mode' stands twice",
        ":9:1: error: not YAML: while parsing a flow node did not find expected node content",
    ]


def test_value_under_an_alias_is_wrong_once(workspace: Workspace) -> None:
    """A mistake that an alias repeats is not repeated in the report."""
    text = (
        "subscriptions:\n"
        "  one: {hosts: [one.example.com], signing_certificates: &ca [7], verify_email: false}\n"
        "  two: {hosts: [two.example.com], signing_certificates: *ca, verify_email: false}\n"
    )
    assert workspace.problems(text) == [f":2:62: error: the value should be text; {QUOTE_IT}"]


def test_good_policy_holds_what_the_file_says(workspace: Workspace) -> None:
    """Every setting of the file reaches the subscription."""
    text = policy(
        hosts="[Acme.example.com, '*.acme.example.com', '[2001:DB8::1]']",
        certificates="[bundle.pem]",
        accounts="{alice: Alice@ACME.example, bob: bob@acme.example}",
        more=(
            "    mode: audit\n    denial: {status: 401, body: Go away, content_type: text/x-rude}\n"
        ),
    )
    loaded = workspace.load(text)
    assert loaded.problems == ()
    assert loaded.policy is not None
    acme = loaded.policy.subscriptions["acme"]
    assert acme.hosts == ("acme.example.com", "*.acme.example.com", "[2001:db8::1]")
    assert acme.mode is Mode.AUDIT
    assert acme.verify_email
    assert acme.denial == Denial(401, "Go away", "text/x-rude")
    subjects = [signing.facts.subject for signing in acme.trust.signing_certificates]
    assert subjects == ["CN=Acme CA", "CN=Widget CA"]
    assert isinstance(acme.accounts, Accounts)
    assert len(acme.accounts) == 2
    alice = acme.accounts.named("alice")
    assert alice is not None
    assert alice.identities == (EmailAddress.parse("alice@acme.example"),)


def test_defaults_are_the_strict_ones(workspace: Workspace) -> None:
    """A subscription that says no more than it must enforces everything."""
    loaded = workspace.load(policy())
    assert loaded.policy is not None
    acme = loaded.policy.subscriptions["acme"]
    assert (acme.mode, acme.verify_email) == (Mode.ENFORCE, True)
    assert acme.denial == DEFAULT_DENIAL == Denial(403, "Invalid user credentials", None)


@pytest.mark.parametrize("written", ["off", "'off'", '"off"', "off # for now"])
def test_mode_off_is_the_mode_with_or_without_quotes(workspace: Workspace, written: str) -> None:
    """`off` is no boolean here."""
    loaded = workspace.load(policy(more=f"    mode: {written}\n"))
    assert loaded.policy is not None
    assert loaded.policy.subscriptions["acme"].mode is Mode.OFF


def test_logins_that_look_like_something_else_are_text(workspace: Workspace) -> None:
    """A login is the text that stands there: digits, dates, constants, signs, a quoted `<<`."""
    logins = ["007", "1e3", "0x1F", "true", "null", "~", "off", "2024-01-01", ".5", "-", "é", "="]
    text = policy(accounts="")
    text += "".join(f"      {login}: user@acme.example\n" for login in logins)
    text += "      '<<': user@acme.example\n      '': user@acme.example\n"
    (problem,) = workspace.problems(text)
    assert "'' is not a possible login" in problem
    loaded = workspace.load(text.replace("      '': user@acme.example\n", ""))
    assert loaded.policy is not None
    accounts = loaded.policy.subscriptions["acme"].accounts
    assert isinstance(accounts, Accounts)
    assert len(accounts) == len(logins) + 1
    assert all(accounts.named(login) is not None for login in [*logins, "<<"])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeff" + policy(), id="byte order mark"),
        pytest.param(policy().replace("\n", "\r\n"), id="CRLF"),
        pytest.param("%YAML 1.2\n---\n" + policy() + "...\n", id="markers of one document"),
        pytest.param(policy(certificates="[crlf.pem]"), id="PEM with CRLF"),
        pytest.param(policy(certificates="[./bundle.pem, ../{here}/acme-ca.pem]"), id="paths"),
        pytest.param(policy(certificates="[expired-and-good.pem]"), id="one of two expired"),
        pytest.param(
            policy(accounts="{}", more="    verify_email: false\n"), id="no accounts needed"
        ),
        pytest.param(
            '{"subscriptions": {"acme": {"hosts": ["acme.example.com"], '
            '"signing_certificates": ["acme-ca.pem"], "accounts": {"a": "a@b.example"}}}}',
            id="JSON",
        ),
    ],
)
def test_policy_loads_in_every_dress(workspace: Workspace, text: str) -> None:
    """What editors and generators of YAML write around the same content changes nothing."""
    loaded = workspace.load(text.replace("{here}", workspace.directory.name))
    assert loaded.policy is not None, loaded.problems


def test_aliases_stand_for_what_they_name(workspace: Workspace) -> None:
    """Anchors and aliases spare repetition, of values and of keys that became values."""
    text = (
        "subscriptions:\n"
        "  &first one: {hosts: [one.example.com], signing_certificates: &ca [acme-ca.pem],\n"
        "    accounts: &who {alice: alice@acme.example}, denial: {body: *first}}\n"
        "  two: {hosts: [two.example.com], signing_certificates: *ca, accounts: *who}\n"
    )
    loaded = workspace.load(text)
    assert loaded.policy is not None, loaded.problems
    accounts = loaded.policy.subscriptions["two"].accounts
    assert isinstance(accounts, Accounts)
    assert accounts.named("alice") is not None
    assert loaded.policy.subscriptions["one"].denial.body == "one"


def test_relative_paths_are_relative_to_the_policy_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the process was started plays no part."""
    workspace.write(policy())
    monkeypatch.chdir(tmp_path)
    assert load(workspace.path, NOW).policy is not None
    monkeypatch.chdir(workspace.directory)
    assert load(Path("policy.yaml"), NOW).policy is not None


@contextmanager
def nobody() -> Iterator[None]:
    """Do without the rights of root: root may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def open_files() -> Counter[str]:
    """What this process has open. What other tests have left may be closed at any time."""
    found: Counter[str] = Counter()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found[str(descriptor.readlink())] += 1
    return found


class TestPolicyFile:
    """The policy's own path is as little trusted as the paths in it."""

    def test_missing_file_is_an_error_of_the_whole_file(self, tmp_path: Path) -> None:
        """There is no line to point to."""
        (problem,) = load(tmp_path / "policy.yaml", NOW).problems
        assert str(problem) == (
            f"{tmp_path}/policy.yaml: error: the policy file cannot be read: No such file or"
            " directory; check the path, and that extauthz may read it"
        )

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("/dev", "the policy file is a directory"),
            ("/dev/zero", "the policy file is not a regular file"),
            ("/dev/null", "the policy file is not a regular file"),
            ("/proc/self/mem", "the policy file cannot be read: Input/output error"),
            ("/dev/null/x", "the policy file cannot be read: Not a directory"),
            ("/nowhere\0", "the policy file cannot be read: embedded null byte"),
            ("/" + "x" * 300, "the policy file cannot be read: File name too long"),
        ],
        ids=["directory", "endless", "null", "unreadable", "through a file", "NUL", "long"],
    )
    def test_what_is_no_readable_file_is_refused(self, path: str, message: str) -> None:
        """A directory or a device is one clear problem, at once."""
        loaded = load(Path(path), NOW)
        assert loaded.policy is None
        assert [problem.message for problem in loaded.problems] == [message]

    def test_file_of_the_kernel_with_nothing_to_say_is_empty(self, workspace: Workspace) -> None:
        """A regular file whose reading would wait is not waited for."""
        silent = Path("/proc/kmsg")
        if not (silent.exists() and stat.S_ISREG(silent.stat().st_mode)):
            pytest.skip("no /proc/kmsg here")
        assert workspace.load(policy(certificates=f"[{silent}]")).policy is None

    def test_huge_file_is_refused(self, workspace: Workspace) -> None:
        """What is larger than any policy is refused by its size."""
        with workspace.path.open("wb") as file:
            file.truncate(loader.MAX_POLICY_OCTETS + 1)
        (problem,) = load(workspace.path, NOW).problems
        assert problem.message == "the policy file is larger than 134217728 octets"

    def test_fifo_is_not_waited_for(self, make_workspace: Callable[[], Workspace]) -> None:
        """A named pipe, as the policy or as a certificate, is refused: nobody ever writes to it."""
        workspace = make_workspace()
        os.mkfifo(workspace.directory / "pipe")
        assert workspace.problems(policy(certificates="[pipe]")) == [
            ":4:28: error: 'pipe' is not a regular file; name a file"
        ]
        (problem,) = load(workspace.directory / "pipe", NOW).problems
        assert problem.message == "the policy file is not a regular file"

    def test_unreadable_file_is_an_error(self) -> None:
        """A file without the right to read it is named, not passed over."""
        with tempfile.TemporaryDirectory() as directory:
            workspace = Workspace(Path(directory))
            workspace.directory.chmod(0o755)
            (workspace.directory / "acme-ca.pem").touch(mode=0)
            workspace.write(policy())
            # What is imported by the first reading may lie where only root can read.
            load(workspace.path, NOW)
            with nobody():
                loaded = load(workspace.path, NOW)
        assert [str(problem).removeprefix(str(workspace.path)) for problem in loaded.problems] == [
            (
                ":4:28: error: 'acme-ca.pem' cannot be read: Permission denied; check the path, and"
                " that extauthz may read it"
            )
        ]

    def test_no_file_descriptor_is_lost(self, workspace: Workspace) -> None:
        """Reading what cannot be read leaves nothing open, however often it is tried."""
        open_before = open_files()
        for path in ("/dev", "/dev/zero", "/proc/self/mem", "der.pem", "huge.pem", "leaf.pem"):
            workspace.load(policy(certificates=f"[{path}]"))
        assert open_files() - open_before == Counter()


class TestFiles:
    """Every file that a reading depended on is known, so that it can be watched."""

    def test_every_named_file_is_listed_even_when_it_is_wrong(self, workspace: Workspace) -> None:
        """Files that are missing or broken are watched: their mending is a change."""
        loaded = workspace.load(policy(certificates="[acme-ca.pem, nowhere.pem, empty.pem]"))
        directory = workspace.directory
        assert set(loaded.files) == {
            workspace.path,
            directory / "acme-ca.pem",
            directory / "nowhere.pem",
            directory / "empty.pem",
        }
        assert loaded.files[directory / "nowhere.pem"] == (0, 0, 0, 0, 0)


GOOD = policy(
    hosts='[acme.example.com, "*.acme.example.com"]',
    certificates="&ca [acme-ca.pem, widget-ca.pem]",
    more=(
        "    mode: audit\n"
        "    denial: {status: 401, body: no, content_type: text/plain}\n"
        "  widget:\n"
        "    hosts: [widget.example.com]\n"
        "    signing_certificates: *ca\n"
        "    verify_email: false\n"
    ),
)
FRAGMENTS = [
    ":", ": ", "- ", "[", "]", "{", "}", ",", "&a ", "*a", "*ca", "!!str ", "!x ", "? ", "| ", "> ",
    "'", '"', '"\\ud800"', '"\\0"', "#", "\n", "\t", "  ", "---\n", "...\n", "<<: *ca", "%YAML 9\n",
    "\r", "\x85", "\u2028", "\ufeff", "\0", "\x1b", "null", "true", "1e999", "9" * 40, "off", "ü",
    "subscriptions", "hosts", "[key]", "leaf.pem", "/dev/zero", "..", "@", "\U0001f600", "\ud7ff",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The good policy with a few accidents."""
    text = GOOD
    for _ in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 12)))
        put = draw(st.sampled_from(FRAGMENTS) | st.just(text[begin:end] * 2) | st.just(""))
        text = text[:begin] + put + text[end:]
    return text


THOROUGH = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])


def assert_decided(workspace: Workspace, content: str | bytes) -> None:
    """The content gives a policy, or errors, and never both or neither; and says it on one line."""
    loaded = workspace.load(content)
    errors = [p for p in loaded.problems if p.severity is Severity.ERROR]
    assert (loaded.policy is None) == bool(errors)
    assert all(str(problem).isprintable() for problem in loaded.problems)
    assert workspace.path in loaded.files


class TestAnyInput:
    """Nothing that can be written into a file makes the loader crash, hang or halve a policy."""

    @given(st.text())
    @THOROUGH
    def test_any_text(self, workspace: Workspace, text: str) -> None:
        """Any text is decided on."""
        assert_decided(workspace, text.encode("utf-8", "surrogatepass"))

    @given(st.binary())
    @THOROUGH
    def test_any_octets(self, workspace: Workspace, octets: bytes) -> None:
        """Any octets are decided on."""
        assert_decided(workspace, octets)

    @given(mutated())
    @THOROUGH
    def test_any_accident_to_a_good_policy(self, workspace: Workspace, text: str) -> None:
        """A policy that something happened to is decided on."""
        assert_decided(workspace, text.encode())

    @given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
    @THOROUGH
    def test_any_heap_of_syntax(self, workspace: Workspace, text: str) -> None:
        """YAML's own signs in any order are decided on."""
        assert_decided(workspace, text.encode())

    @given(st.data())
    @THOROUGH
    def test_any_certificate_file(
        self, workspace: Workspace, pem_files: dict[str, bytes], data: st.DataObject
    ) -> None:
        """A damaged certificate file is decided on."""
        content = bytearray(pem_files[data.draw(st.sampled_from(sorted(pem_files)))][:4096])
        for _ in range(data.draw(st.integers(0, 4))):
            position = data.draw(st.integers(0, len(content)))
            content[position : position + data.draw(st.integers(0, 3))] = data.draw(
                st.binary(max_size=3)
            )
        (workspace.directory / "any.pem").write_bytes(content)
        assert_decided(workspace, policy(certificates="[any.pem]"))

    @given(st.text(), st.text(), st.text())
    @THOROUGH
    def test_any_host_email_and_login(
        self, workspace: Workspace, host: str, email: str, login: str
    ) -> None:
        """Values that are text may be any text."""
        document = {
            "subscriptions": {
                "acme": {
                    "hosts": [host],
                    "signing_certificates": ["acme-ca.pem"],
                    "accounts": {login: email},
                }
            }
        }
        assert_decided(workspace, json.dumps(document))


HOSTILE = {
    "alias bomb": "a: &a [" + "x," * 9 + "x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefghi")),
    "alias bomb in the right place": "x: &x [" + "1," * 999 + "1]\nsubscriptions:\n"
    + "".join(f"  s{i}: {{hosts: *x, signing_certificates: *x}}\n" for i in range(2000)),
    "aliases of aliases": "".join(
        f"a{i}: &a{i} {'[' * 30}{f'*a{i - 1}' if i else 'x'}{']' * 30}\n" for i in range(200)
    ),
    "deep blocks": "".join(" " * i + "a:\n" for i in range(2000)),
    "deep sequences": "- " * 20_000,
    "many anchors": "".join(f"a{i}: &a{i} x\n" for i in range(20_000)),
    "one long word": "x" * 5_000_000,
    "long host": policy(hosts=f'["{"ü" * 1_000_000}"]'),
    "host of many labels": policy(hosts=f'["{"ü." * 500_000}"]'),
    "long email": policy(accounts=f'{{a: "a@{"ü" * 1_000_000}"}}'),
    "long login": policy(accounts=f'{{"{"x" * 1_000_000}": 7}}'),
    "long key": policy(more=f'    "{"mode" * 100_000}": 7\n'),
    "long mode": policy(more=f'    mode: "{"e" * 1_000_000}"\n'),
    "long path": policy(certificates=f'["{"/x" * 500_000}"]'),
    "long alias": policy(more=f"    mode: *{'x' * 500_000}\n"),
    "long tag": policy(more=f"    mode: !{'x' * 1000} off\n"),
    "quoted text without an end": policy(more='    mode: "' + "x\n" * 100_000),
    "brackets without an end": policy(more="    mode: " + "[" * 30 + "x," * 100_000),
    "thousands of mistakes": "subscriptions:\n" + "  acme corp: {}\n" * 20_000,
    "comments": "#" * 1_000_000 + policy(),
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_policy_is_refused_soon_and_in_few_words(workspace: Workspace, text: str) -> None:
    """What was written to exhaust the reader is refused within seconds, on lines to be read."""
    # Of work, and not of waiting for a busy machine.
    began = time.thread_time()
    problems = workspace.problems(text)
    assert time.thread_time() - began < 5
    assert problems
    assert max(map(len, problems)) < 1000

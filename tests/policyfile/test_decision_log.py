"""`decision_log` and `denial.help` as the policy file says them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from extauthz.files import stamp
from extauthz.policyfile.live import LivePolicy
from extauthz.redaction import Redacted, Redaction
from tests.policyfile.conftest import NOW, Workspace, policy

SECRET = "8f3a0c5be1d24a7796b2c4d8e0f1a3b5"
VARIABLE = "EXTAUTHZ_TEST_REDACT_KEY"


def log(redact: str = "[email, login, client]", key: str = "{file: redact.key}") -> str:
    """A policy that redacts: `redact` stands in line 7, `key` in line 8."""
    return policy(more=f"decision_log:\n  redact: {redact}\n  key: {key}\n")


@pytest.fixture
def space(make_workspace: Callable[[], Workspace]) -> Workspace:
    space = make_workspace()
    (space.directory / "redact.key").write_text(f"\n {SECRET}\n")
    return space


def redaction(space: Workspace, text: str) -> Redaction | None:
    loaded = space.load(text)
    assert loaded.policy is not None, loaded.problems
    return loaded.policy.redaction


def test_key_is_read_from_its_file_without_the_white_space_around_it(space: Workspace) -> None:
    """What `openssl rand -hex 32 > redact.key` wrote; the file lies beside the policy."""
    assert redaction(space, log()) == Redaction(frozenset(Redacted), SECRET.encode())


def test_key_is_read_from_the_environment(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same key in either place."""
    monkeypatch.setenv(VARIABLE, f"{SECRET}\n")
    found = redaction(space, log("[client]", f"{{env: {VARIABLE}}}"))

    assert found == Redaction(frozenset({Redacted.CLIENT}), SECRET.encode())


def test_octets_make_a_key_too(space: Workspace) -> None:
    """`openssl rand 32 > redact.key` is no text, and as good."""
    (space.directory / "redact.key").write_bytes(bytes(range(0x80, 0xA0)))

    assert redaction(space, log()) == Redaction(frozenset(Redacted), bytes(range(0x80, 0xA0)))


def test_without_the_setting_nothing_is_redacted(space: Workspace) -> None:
    assert redaction(space, policy()) is None


MAKE_ONE = "make one with `openssl rand -hex 32 > redact.key`"

NO_KEY = (
    "the key 'key' is missing; add it: Where the key of the hash is read, such as"
    " {file: redact.key}, made with `openssl rand -hex 32 > redact.key`. With another key everybody"
    " has another hash."
)
NO_FILE = (
    "error: the file of the key cannot be read: No such file or directory; check the path, and that"
    f" extauthz may read it, or {MAKE_ONE}"
)

MISTAKES = {
    "nothing to redact": (
        log("[]"), [":7:11: error: 'redact' is empty; name at least one"],
    ),
    "unknown field": (
        log("[emial]"), [":7:12: error: the value cannot be 'emial'; did you mean 'email'?"],
    ),
    "twice": (
        log("[login, client, login]"), [":7:27: error: 'login' stands twice; leave one out"],
    ),
    "no key": (
        policy(more="decision_log: {redact: [login]}\n"),
        [f":6:1: error: {NO_KEY}"],
    ),
    "nothing to redact and no key": (
        policy(more="decision_log: {}\n"),
        [
            (":6:1: error: the key 'redact' is missing; add it: What is replaced by a keyed hash:"
            " `email` (names in certificates), `login`, `client` (IP addresses)."),
            f":6:1: error: {NO_KEY}",
        ],
    ),
    "two places": (
        log(key="{file: redact.key, env: HOME}"),
        [
            (":8:8: error: either `env` or `file` must be given; say where the secret is read, like"
            " {env: NAME}")
        ],
    ),
    "no place": (
        log(key="{}"),
        [
            (":8:8: error: either `env` or `file` must be given; say where the secret is read, like"
            " {env: NAME}")
        ],
    ),
    "missing file": (
        log(key="{file: absent.key}"),
        [f":8:15: {NO_FILE}"],
    ),
    "missing variable": (
        log(key=f"{{env: {VARIABLE}}}"),
        [
            (":8:14: error: the environment variable of the key is not set; set it where extauthz"
            " runs, for example to what `openssl rand -hex 32` prints")
        ],
    ),
    "short": (
        log(key="{file: short.key}"),
        [
            (":8:15: error: the file of the key holds 15 octets, and a key has 16 at least;"
            f" {MAKE_ONE}")
        ],
    ),
    "empty": (
        log(key="{file: empty.pem}"),
        [
            (":8:15: error: the file of the key holds 0 octets, and a key has 16 at least;"
            f" {MAKE_ONE}")
        ],
    ),
    "the key itself in its place": (
        log(key=SECRET),
        [":8:8: error: 'key' should be a mapping; write `key: value` lines below it"],
    ),
    "the key itself for a variable": (
        log(key=f"{{env: {SECRET}}}"),
        [
            (":8:14: error: the environment variable of the key is not set; set it where extauthz"
            " runs, for example to what `openssl rand -hex 32` prints")
        ],
    ),
    "the key itself for a file": (
        log(key=f"{{file: {SECRET}}}"),
        [f":8:15: {NO_FILE}"],
    ),
    "no mapping": (
        policy(more="decision_log: [email]\n"),
        [
            (":6:15: error: 'decision_log' should be a mapping; write `key: value` lines below it")
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", MISTAKES)
def test_mistake_is_named_with_its_place_and_without_the_key(which: str, space: Workspace) -> None:
    """A policy that would not redact as it says takes no effect, and nobody reads the key."""
    text, expected = MISTAKES[which]
    (space.directory / "short.key").write_text(f"{SECRET[:15]}\n\n")
    problems = space.problems(text)

    assert problems == expected
    assert not any(SECRET[:15] in problem for problem in problems)


@pytest.mark.parametrize("name", ["a\\0b", "", "ü=ü"])
def test_any_name_of_a_variable_is_one_that_is_not_set(name: str, space: Workspace) -> None:
    """No name is an error of ours."""
    (problem,) = space.problems(log(key=f'{{env: "{name}"}}'))

    assert problem.startswith(":8:14: error: ")


def test_key_is_a_file_that_is_watched(space: Workspace) -> None:
    """One that is missing, too, so that the policy takes effect when it is there."""
    key = space.directory / "absent.key"
    loaded = space.load(log(key="{file: absent.key}"))

    assert loaded.policy is None
    assert loaded.files[key] == stamp(key)


async def test_new_key_takes_effect_with_the_next_reading(space: Workspace) -> None:
    """And a broken one leaves the last good one in force: nothing is ever written unredacted."""
    key = space.directory / "redact.key"
    live = LivePolicy(space.write(log()))
    assert await live.reload()
    key.write_text("another key, which is long enough")
    assert await live.reload()
    assert live.snapshot is not None
    assert live.snapshot.policy.redaction == Redaction(
        frozenset(Redacted), b"another key, which is long enough"
    )
    key.write_text("short")
    assert not await live.reload()
    assert live.snapshot.policy.redaction.key == b"another key, which is long enough"


def test_help_is_the_denials(space: Workspace) -> None:
    """Several lines, as they stand there."""
    text = policy(more="    denial:\n      help: |\n        Ask the help desk.\n        Or us.\n")
    loaded = space.load(text)

    assert loaded.policy is not None
    assert loaded.policy.subscriptions["acme"].denial.help == "Ask the help desk.\nOr us.\n"


def test_help_that_nobody_would_read_is_said(space: Workspace) -> None:
    """A denial with its own media type is sent as it stands."""
    text = policy(more="    denial: {body: a, content_type: text/plain, help: Ask us.}\n")

    (problem,) = space.problems(text)
    assert problem == (
        ":6:55: warning: `help` has no effect beside `content_type`: that body is sent as it"
        " stands; write the help into the body"
    )


TOO_LONG = f"cannot be '{'x' * 200}…'; string should have at most 4096 characters"


@pytest.mark.parametrize(("given", "problem"), [
    ('""', "is empty; write a value"), ("[a]", "should be text, not a list; write one value"),
    ("x" * 4097, TOO_LONG),
], ids=["empty", "list", "long"])  # fmt: skip
def test_help_is_text_of_some_length(given: str, problem: str, space: Workspace) -> None:
    problems = space.problems(policy(more=f"    denial: {{help: {given}}}\n"))

    assert problems == [f":6:20: error: 'help' {problem}"]


def test_problem_with_the_key_does_not_hide_others(space: Workspace, tmp_path: Path) -> None:
    """All mistakes are reported at once."""
    problems = space.problems(policy(hosts="[http://a]", more=(
        "decision_log: {redact: [login], key: {file: absent.key}}\n")), NOW)  # fmt: skip

    assert [problem.split(":")[1] for problem in problems] == ["3", "6"]

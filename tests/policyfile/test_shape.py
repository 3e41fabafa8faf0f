"""The shape of a policy, and words for what has another one."""

import pytest

from extauthz.files import Place
from extauthz.policyfile import document, shape
from extauthz.policyfile.problems import Mistake
from extauthz.policyfile.schema import PolicyModel


def misshapen(text: str) -> list[Mistake]:
    root, mistakes = document.parse(text)
    assert root is not None
    assert mistakes == []
    found = shape.read(root)
    assert not isinstance(found, PolicyModel)
    return found


SUBSCRIPTION = "subscriptions: {acme: {hosts: [h], signing_certificates: [c], %s}}"


def test_a_policy_in_its_shape_is_a_model() -> None:
    """What is left out has its default."""
    root, _ = document.parse("subscriptions: {acme: {hosts: [h], signing_certificates: [c]}}")
    assert root is not None
    model = shape.read(root)
    assert isinstance(model, PolicyModel)
    acme = model.subscriptions["acme"]
    assert (acme.mode, acme.verify_email, acme.accounts) == ("enforce", True, {})
    assert (acme.denial.status, acme.denial.content_type) == (403, None)


NEAR_MISSES = {
    "host": "hosts",
    "Hosts": "hosts",
    "signing-certificates": "signing_certificates",
    "signing_certificate": "signing_certificates",
    "account": "accounts",
    "moode": "mode",
    "verify-email": "verify_email",
    "verifyEmail": "verify_email",
    "denials": "denial",
}


@pytest.mark.parametrize(("written", "meant"), NEAR_MISSES.items(), ids=NEAR_MISSES)
def test_a_near_miss_is_answered_with_the_key_that_was_meant(written: str, meant: str) -> None:
    """Somebody who slips by a letter is told the one right word."""
    unknown = [m for m in misshapen(SUBSCRIPTION % f"{written}: x") if "unknown" in m.message]
    assert [(m.message, m.remedy) for m in unknown] == [
        (f"unknown key '{written}'", f"did you mean '{meant}'?")
    ]


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("enforced", "did you mean 'enforce'?"),
        ("Audit", "did you mean 'audit'?"),
        ("of", "did you mean 'off'?"),
        ("disabled", "possible here: off, audit, enforce"),
    ],
)
def test_a_mode_that_is_none_is_answered_with_a_mode(written: str, remedy: str) -> None:
    """The same help for values of a closed list."""
    (mistake,) = misshapen(SUBSCRIPTION % f"mode: {written}")
    assert (mistake.message, mistake.remedy) == (f"'mode' cannot be '{written}'", remedy)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("true", "true"),
        ("7", "7"),
        ("1.5", "1.5"),
        ("[a]", "a list"),
        ("{a: b}", "a mapping"),
        ('"\\e[31m"', "'\\x1b[31m'"),
        ("'O=Acme\\, Inc.'", "'O=Acme\\, Inc.'"),
        ("x" * 300, f"'{'x' * 200}…'"),
    ],
    ids=[
        "boolean",
        "number",
        "fraction",
        "list",
        "mapping",
        "control characters",
        "backslash",
        "long text",
    ],
)
def test_a_value_is_shown_as_yaml_knows_it(written: str, shown: str) -> None:
    """No Python spelling, no control character and no page of text reaches the reader."""
    (mistake,) = misshapen(SUBSCRIPTION % f"mode: {written}")
    assert mistake.message == f"'mode' cannot be {shown}"


NAMES = {
    "acme": True, "a": True, "7": True, "A.b_c-d": True, "x" * 63: True,
    "": False, "x" * 64: False, "-a": False, ".a": False, "a b": False, "ä": False,
    "a\\n": False, "[key]": False, "a/b": False, "acme\\0": False,
}  # fmt: skip


@pytest.mark.parametrize(("name", "good"), NAMES.items(), ids=[n[:20] or "empty" for n in NAMES])
def test_names_of_subscriptions_are_plain_words(name: str, good: bool) -> None:  # noqa: FBT001
    """They become labels of metrics and words of logs, so that they are kept short and plain."""
    body = "{hosts: [h], signing_certificates: [c]}"
    root, _ = document.parse(f'subscriptions: {{"{name}": {body}}}')
    assert root is not None
    found = shape.read(root)
    assert isinstance(found, PolicyModel) == good
    if isinstance(found, list):
        assert [mistake.place for mistake in found] == [Place(1, 17)]
        assert "is not a possible name" in found[0].message


def test_names_that_mark_a_key_are_told_from_the_mark() -> None:
    """Pydantic calls a key `[key]`; an account and a subscription may be called that, too."""
    found = misshapen('subscriptions: {"[key]": 5, acme: {accounts: {"[key]": 5, "": a}}}')
    assert [(m.place.column, m.message) for m in found] == [
        (17, "'[key]' is not a possible name"),
        (26, "'[key]' should be a mapping"),
        (29, "the key 'hosts' is missing"),
        (29, "the key 'signing_certificates' is missing"),
        (56, "'[key]' should be text"),
        (59, "'' is not a possible login"),
    ]


def test_every_mistake_has_a_remedy() -> None:
    """Nothing is called wrong without saying what would be right."""
    found = misshapen(
        "{subscriptions: {acme: {hosts: 1, accounts: 1, mode: 1, verify_email: 1, x: 1,"
        f" denial: {{status: a, body: {'x' * 65_537}, content_type: 1, y: 1}}}}, b: []}}, z: 1}}"
    )
    assert len(found) == 12
    assert all(mistake.remedy for mistake in found)
    assert all(len(mistake.message) < 300 for mistake in found)

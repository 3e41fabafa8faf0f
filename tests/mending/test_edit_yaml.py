"""An account's entry in YAML is changed in place, and nothing else of the file."""

import json
from datetime import date

import pytest

from extauthz.identity import IdentityKind, parse
from extauthz.mending.edit import Edit
from extauthz.mending.edit_yaml import edited
from extauthz.mending.outcome import RefusedError
from extauthz.policyfile import document

PATH = ("subscriptions", "acme", "accounts")
DAY = date(2026, 5, 4)
NEW = "new@x.example"


def rename(
    *old: str, new: str = NEW, keep: date | None = None, kind: IdentityKind = IdentityKind.EMAIL
) -> Edit:
    """Bob gets a new name in the place of old ones."""
    removed = frozenset(identity for text in old if (identity := parse(kind, text)) is not None)
    assert len(removed) == len(old)
    return Edit("bob", kind, new, removed, keep)


DISABLE = Edit("bob", IdentityKind.EMAIL, disabled=True)
ENABLE = Edit("bob", IdentityKind.EMAIL, disabled=False)
ALL = rename("b@x.example")
KEEP = rename("b@x.example", keep=DAY)
TWO = rename("b@x.example", "c@x.example")
SECOND = rename("c@x.example")

BEFORE = "# top\n---\nalice:  a@x.example\n# before bob\n"
AFTER = "\n# after bob\n\ncarol: {  email: c@x.example  }\n...\n"


@pytest.mark.parametrize(("entry", "edit", "expected"), [
    ("bob:   b@x.example   # boss", ALL, "bob:   new@x.example   # boss"),
    ("bob: 'b@x.example'", ALL, "bob: 'new@x.example'"),
    ('bob: "b@x.example"', ALL, 'bob: "new@x.example"'),
    ('"bob": b@x.example', ALL, '"bob": new@x.example'),
    ("bob:\n  b@x.example", ALL, "bob:\n  new@x.example"),
    ("bob: >-\n  b@x.example\n", ALL, "bob: new@x.example\n"),
    ("bob: &unused b@x.example", ALL, "bob: new@x.example"),
    ("bob: b@x.example # boss", KEEP,
     "bob: {email: new@x.example, former: {b@x.example: 2026-05-04}} # boss"),
    ("bob: b@x.example # boss", DISABLE, "bob: {email: b@x.example, disabled: true} # boss"),
    ("bob: [b@x.example,c@x.example]", ALL, "bob: [new@x.example,c@x.example]"),
    ("bob: [b@x.example,c@x.example]", SECOND, "bob: [b@x.example,new@x.example]"),
    ("bob: [b@x.example,c@x.example]", TWO, "bob: [new@x.example]"),
    ("bob: [b@x.example, 'c@x.example']", rename("b@x.example", new="C@x.example"),
     "bob: ['c@x.example']"),
    ("bob: [ b@x.example, c@x.example ]", rename("c@x.example", new="b@x.example"),
     "bob: [ b@x.example ]"),
    ("bob: [b@x.example, # one\n  c@x.example] # two", DISABLE,
     "bob: {email: [b@x.example, # one\n  c@x.example], disabled: true} # two"),
    ("bob:\n- b@x.example  # one\n- c@x.example  # two", ALL,
     "bob:\n- new@x.example  # one\n- c@x.example  # two"),
    ("bob:\n- b@x.example  # one\n- c@x.example  # two", TWO, "bob:\n- new@x.example  # one"),
    ("bob:\n- b@x.example\n- c@x.example", rename("b@x.example", new="c@x.example"),
     "bob:\n- c@x.example"),
    ("bob: # his\n\n  # two\n  - b@x.example  # one\n\n  - c@x.example", DISABLE,
     ("bob: # his\n\n  # two\n  email:\n    - b@x.example  # one\n\n    - c@x.example\n"
     "  disabled: true")),
    ("bob:\n- b@x.example\n- c@x.example # two", rename("c@x.example", keep=DAY),
     ("bob:\n  email:\n  - b@x.example\n  - new@x.example # two\n"
     "  former: {c@x.example: 2026-05-04}")),
    ("bob:\n    unit: sales # u\n    email: b@x.example # mail\n\n    role: manager # r", KEEP,
     ("bob:\n    unit: sales # u\n    email: new@x.example # mail\n\n    role: manager # r\n"
     "    former: {b@x.example: 2026-05-04}")),
    ("bob: {unit: sales, email: b@x.example,}", DISABLE,
     "bob: {unit: sales, email: b@x.example, disabled: true,}"),
    ("bob: {\n  email: b@x.example # mail\n  }", DISABLE,
     "bob: {\n  email: b@x.example, disabled: true # mail\n  }"),
    ("bob: {email: b@x.example, disabled: true} # gone", ENABLE,
     "bob: {email: b@x.example, disabled: false} # gone"),
    ("bob:\n  disabled: TRUE  # gone\n  email: b@x.example", ENABLE,
     "bob:\n  disabled: false  # gone\n  email: b@x.example"),
    ("bob:\n  email: b@x.example\n  former:\n    c@x.example: 2026-01-01 # c\n  unit: x", KEEP,
     ("bob:\n  email: new@x.example\n  former:\n    c@x.example: 2026-01-01 # c\n"
     "    b@x.example: 2026-05-04\n  unit: x")),
    ("bob: {email: b@x.example, former: {B@x.example: '2026-01-01'}}", KEEP,
     "bob: {email: new@x.example, former: {B@x.example: '2026-05-04'}}"),
    ('"bob": "b@x.example"', KEEP,
     '"bob": {"email": "new@x.example", "former": {"b@x.example": "2026-05-04"}}'),
    ('"bob": "b@x.example"', DISABLE, '"bob": {"email": "b@x.example", "disabled": true}'),
    ("'bob': [b@x.example]", DISABLE, "'bob': {'email': [b@x.example], 'disabled': true}"),
    ('"bob": {"email": ["b@x.example"], "former": {"c@x.example": "2026-01-01"}}', KEEP,
     ('"bob": {"email": ["new@x.example"], "former": {"c@x.example": "2026-01-01",'
      ' "b@x.example": "2026-05-04"}}')),
    ('"bob": {"email": "b@x.example", "former": {}}', KEEP,
     '"bob": {"email": "new@x.example", "former": {"b@x.example": "2026-05-04"}}'),
    ('bob:\n  "email":\n  - b@x.example', KEEP,
     'bob:\n  "email":\n  - new@x.example\n  "former": {"b@x.example": "2026-05-04"}'),
    ('"bob":\n- b@x.example\n- c@x.example', DISABLE,
     '"bob":\n  "email":\n  - b@x.example\n  - c@x.example\n  "disabled": true'),
    ("bob: {email: b@x.example, former: {}}", KEEP,
     "bob: {email: new@x.example, former: {b@x.example: 2026-05-04}}"),
    ("bob:\n  email: b@x.example\n  former:\n    new@x.example: 2026-01-01\n    c@x: 2026-01-01",
     KEEP,
     "bob:\n  email: new@x.example\n  former:\n    c@x: 2026-01-01\n    b@x.example: 2026-05-04"),
    ("bob:\n  email: b@x.example\n  former:\n    new@x.example: 2026-01-01", ALL,
     "bob:\n  email: new@x.example"),
    ("bob: {former: {new@x.example: 2026-01-01}, email: b@x.example}", ALL,
     "bob: {email: new@x.example}"),
    ("bob: {email: b@x.example, former: {a@x.example: 2026-01-01, B@x.example: 2026-01-01}}", ALL,
     "bob: {email: new@x.example, former: {a@x.example: 2026-01-01}}"),
    ("bob: b@x.example", rename("b@x.example", new="#@x.example"), "bob: '#@x.example'"),
    ("bob: b@x.example", rename("b@x.example", new="ü'@x.example"), "bob: ü'@x.example"),
    ("bob: [b@x.example]", rename("b@x.example", new="{}'@x.example"), "bob: ['{}''@x.example']"),
    ("bob:\n  email:", rename(), "bob:\n  email: new@x.example"),
])  # fmt: skip
def test_the_entry_changes_and_every_other_character_stays(
    entry: str, edit: Edit, expected: str
) -> None:
    """What is changed is written as the old was: quotes, brackets, comments, blank lines."""
    found = edited(BEFORE + entry + AFTER, (), edit)
    assert found == BEFORE + expected + AFTER
    assert document.parse(found)[1] == []


@pytest.mark.parametrize("shape", [
    ("subscriptions:\n  acme:\n    accounts:\n      alice: a@x.example # a\n      {}\n"
    "      carol: c@x.example\n    hosts: [x.example]\n"),
    "subscriptions:\n    acme:\n        accounts:\n            {}",
    "# 🔑\nsubscriptions: &s\n acme:\n  accounts:\n   {}\n   carol: c\n other: 'ünïcode'\n",
    "subscriptions: {{acme: {{accounts: {{alice: a@x.example, {}, carol: c@x.example}}, m: n}}}}\n",
    "subscriptions: {{acme: {{accounts: {{\n{}\n}} # x\n}}}}",
    "{{subscriptions: {{acme: {{accounts: {{{}}}}}}}}}",
    "? subscriptions\n: acme:\n    hosts: {{bob: c@x.example}}\n    accounts:\n        {}\n",
])  # fmt: skip
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(("entry", "edit", "expected"), [
    ("bob: b@x.example", ALL, "bob: new@x.example"),
    ("bob: b@x.example", KEEP,
     "bob: {email: new@x.example, former: {b@x.example: 2026-05-04}}"),
    ("bob: [b@x.example, c@x.example]", TWO, "bob: [new@x.example]"),
    ("bob: {email: b@x.example}", DISABLE, "bob: {email: b@x.example, disabled: true}"),
])  # fmt: skip
def test_the_shape_of_the_file_makes_no_difference(
    shape: str, line_break: str, mark: str, entry: str, edit: Edit, expected: str
) -> None:
    """Indentation, brackets, markers, line breaks, a byte order mark, no newline at the end."""
    text = mark + shape.format(entry).replace("\n", line_break)
    assert document.parse(text)[1] == []
    assert edited(text, PATH, edit) == mark + shape.format(expected).replace("\n", line_break)


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_new_lines_have_the_breaks_and_the_indentation_of_the_file(line_break: str) -> None:
    """Lines that are put in look like those that are there, also after the last one."""
    text = "accounts:\n    bob:\n    - b@x.example\n    - c@x.example".replace("\n", line_break)
    expected = (
        "accounts:\n    bob:\n        email:\n        - new@x.example\n"
        "        former: {b@x.example: 2026-05-04, c@x.example: 2026-05-04}"
    ).replace("\n", line_break)
    edit = rename("b@x.example", "c@x.example", keep=DAY)
    assert edited(text, ("accounts",), edit) == expected


def test_names_that_mean_something_in_yaml_are_quoted_where_they_need_it() -> None:
    """A distinguished name has commas, which end a value within brackets alone."""
    edit = rename("CN=B", new="CN=New,O=Acme", keep=DAY, kind=IdentityKind.SUBJECT)
    text = "bob: CN=B\n"
    found = edited(text, (), edit)
    assert found == "bob: {subject: 'CN=New,O=Acme', former: {CN=B: 2026-05-04}}\n"
    edit = rename("CN=B", new="CN=New,O=Acme", kind=IdentityKind.SUBJECT)
    assert edited(text, (), edit) == "bob: CN=New,O=Acme\n"


def test_a_login_that_needs_its_quotes_says_nothing_of_how_keys_are_written() -> None:
    """`007` would be a number without them."""
    edit = Edit("007", IdentityKind.EMAIL, disabled=True)
    assert edited('"007": b@x\n', (), edit) == '"007": {email: b@x, disabled: true}\n'


def test_json_stays_json() -> None:
    """A policy that another program may read, too."""
    text = '{"alice": "a@x.example", "bob": "b@x.example"}'
    expected = {
        "alice": "a@x.example",
        "bob": {"email": NEW, "former": {"b@x.example": "2026-05-04"}},
    }
    assert json.loads(edited(text, (), KEEP)) == expected


@pytest.mark.parametrize(("text", "why"), [
    ("alice: &a a@x.example\nbob: *a\n", "written as an alias"),
    ("bob: &b b@x.example\ncarol: *b\n", "an alias elsewhere"),
    ("bob: &b {email: b@x.example}\ncarol: *b\n", "an alias elsewhere"),
    ("bob: [&b b@x.example]\ncarol: [*b]\n", "an alias elsewhere"),
    ("alice: &a a@x.example\nbob: {email: *a}\n", "a part of it is written as an alias"),
    ("alice: [&a a@x.example]\nbob:\n- b@x.example\n- *a\n", "a part of it"),
    ("? bob\n: b@x.example\n",
     "begins with something else: write the entry in the file as 'bob: …' first, without anything"),
])  # fmt: skip
def test_text_that_two_accounts_share_is_not_changed(text: str, why: str) -> None:
    """An anchor and its aliases are one text: a change would be one of several accounts."""
    with pytest.raises(RefusedError, match=why):
        edited(text, (), ALL)


@pytest.mark.parametrize("text", [
    "subscriptions:\n  widget: &w\n    accounts: {bob: b@x.example}\n  acme: *w\n",
    "subscriptions:\n  acme: &a\n    accounts: {bob: b@x.example}\n  widget: *a\n",
    "subscriptions:\n  acme:\n    accounts: &a {bob: b@x.example}\n  widget: {accounts: *a}\n",
    "subscriptions: &a\n  acme: {accounts: {bob: b@x.example}}\nmore: *a\n",
])  # fmt: skip
def test_accounts_that_two_subscriptions_share_are_not_changed(text: str) -> None:
    """An alias may stand for more than an account: for all of them, or a subscription."""
    with pytest.raises(RefusedError, match="alias"):
        edited(text, PATH, ALL)

"""Files of accounts in each format: what they may say, and what is wrong with them, and where."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.accounts import Account, Former, Role
from extauthz.directory import mistakes
from extauthz.directory import reading as reading_module
from extauthz.directory.reading import AccountFileError, Entry, entries, read
from extauthz.email import EmailAddress
from extauthz.identity import Identity, IdentityKind, parse

END_OF_2026 = datetime(2026, 12, 31, 23, 59, 59, 999999, UTC)


def identity(text: str, kind: IdentityKind = IdentityKind.EMAIL) -> Identity:
    found = parse(kind, text)
    assert found is not None
    return found


def listed(
    path: Path, name: str, content: str, kind: IdentityKind = IdentityKind.EMAIL
) -> list[Entry]:
    """The entries of a file that is right."""
    file = path / name
    file.write_text(content, newline="")
    reading = read(file, kind)
    assert [problem.of(file) for problem in reading.problems] == []
    found = list(entries(file, kind))
    assert reading.accounts == len(found)
    return found


def wrong(
    path: Path, name: str, content: str | bytes, kind: IdentityKind = IdentityKind.EMAIL
) -> list[str]:
    """What is wrong with a file, without its path."""
    file = path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    reading = read(file, kind)
    assert len(reading.problems) == reading.count > 0
    return [problem.of(file).removeprefix(f"{file}:").lstrip() for problem in reading.problems]


ALICE = Account("alice", (identity("alice@acme.example"),))
BOB = Account("bob", (identity("bob@acme.example"), identity("b@acme.example")))
CAROL = Account(
    "carol",
    (identity("Carol@acme.example"),),
    former=(Former(identity("c@acme.example"), END_OF_2026),),
    is_disabled=True,
    groups=frozenset({"staff", "field sales"}),
    unit="Süd",
    role=Role.UNIT_MANAGER,
)
FILES = {
    "accounts.yaml": """\
# The users.
alice: alice@acme.example
bob: [bob@acme.example, b@acme.example]
carol:
  email: Carol@acme.example
  former: {c@acme.example: 2026-12-31}
  unit: Süd
  role: unit_manager
  groups: [staff, field sales]
  disabled: true
""",
    "accounts.yml": """\
%YAML 1.2
---
"alice": {email: [alice@acme.example]}

bob:
- bob@acme.example
- b@acme.example
? carol
: email: >-
    Carol@acme.example
  former:
    c@acme.example: '2026-12-31'
  unit: "S\\xFCd"
  role: unit_manager
  groups:
    - staff
    - field sales
  disabled: TRUE
...
""",
    "accounts.csv": """\
login,email,former,disabled,groups,unit,role\r
alice,alice@acme.example,,,,,\r
bob,bob@acme.example|b@acme.example,,false,,,\r
\r
carol,"Carol@acme.example",c@acme.example=2026-12-31,true,staff|field sales,Süd,unit_manager\r
""",
    "accounts.jsonl": """\
{"login": "alice", "email": "alice@acme.example"}
{"email": ["bob@acme.example", "b@acme.example"], "login": "bob"}

{"login":"carol","email":"Carol@acme.example","former":{"c@acme.example":"2026-12-31"},\
"unit":"S\\u00fcd","role":"unit_manager","groups":["staff","field sales"],"disabled":true}
""",
}
LINES = {
    "accounts.yaml": [2, 3, 4], "accounts.yml": [3, 5, 8],
    "accounts.csv": [2, 3, 5], "accounts.jsonl": [1, 2, 4],
}  # fmt: skip


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("name", FILES)
def test_each_format_says_the_same(tmp_path: Path, name: str, mark: str) -> None:
    """Every member, in every form that it may have, with the lines where the entries begin."""
    content = mark + FILES[name]
    if mark and name == "accounts.yml":
        content = content.replace("%YAML 1.2\n", "#\n")
    found = listed(tmp_path, name, content)
    assert [entry.account for entry in found] == [ALICE, BOB, CAROL]
    assert [entry.line for entry in found] == LINES[name]
    assert found[2].written == ("Carol@acme.example",)


@pytest.mark.parametrize("name", ["a.NDJSON", "a.YAML", "a.Csv"])
def test_ending_counts_in_any_case(tmp_path: Path, name: str) -> None:
    """Some systems write file names in capitals."""
    content = {
        "a.NDJSON": '{"login": "alice", "email": "alice@acme.example"}',
        "a.YAML": "alice: alice@acme.example",
        "a.Csv": "email,login\nalice@acme.example,alice",
    }[name]
    assert [entry.account for entry in listed(tmp_path, name, content)] == [ALICE]


NAMES = {
    IdentityKind.UPN: "alice@acme",
    IdentityKind.SUBJECT: "CN=Alice \\, Ltd,O=Acme Ltd",
    IdentityKind.SAN_URI: "spiffe://acme.example/a=b;c,d",
}


@pytest.mark.parametrize("kind", NAMES, ids=str)
def test_other_kinds_stand_under_their_own_key(tmp_path: Path, kind: IdentityKind) -> None:
    """Names with blanks, commas, equals signs and semicolons need no escape but the format's."""
    name = NAMES[kind]
    cell = name.replace('"', '""')
    account = Account("alice", (identity(name, kind),))
    former = Account("bob", (identity(name, kind),), (Former(identity(name, kind), END_OF_2026),))
    files = {
        "a.csv": f'login,former,{kind}\nalice,,"{cell}"\nbob,"{cell}=2026-12-31","{cell}"\n',
        "a.jsonl": json.dumps({"login": "alice", kind: name})
        + "\n"
        + json.dumps({"login": "bob", kind: [name], "former": {name: "2026-12-31"}}),
        "a.yaml": f"alice: '{name}'\nbob: {{{kind}: '{name}', former: {{'{name}': 2026-12-31}}}}\n",
    }
    for file, content in files.items():
        assert [each.account for each in listed(tmp_path, file, content, kind)] == [account, former]


def test_same_address_in_another_spelling_is_one(tmp_path: Path) -> None:
    """What is equal is not an account's twice."""
    (found,) = listed(tmp_path, "a.yaml", "alice: [a@acme.example, A@ACME.example]\n")
    assert found.account.identities == (EmailAddress("a", "acme.example"),)
    assert found.written == ("a@acme.example",)


WRONG = {
    # Entries.
    ("a.yaml", "alice: a@acme.example\nalice: b@acme.example\n"): [
        "2: the login 'alice' stands twice; it stands first in line 1: keep one of them"
    ],
    ("a.csv", "login,email\nbob,b@x.example\nalice,a@x.example\nbob,c@x.example\n"): [
        "4: the login 'bob' stands twice; it stands first in line 2: keep one of them"
    ],
    ("a.yaml", "alice: alice at acme\n"): [
        "1:8: 'alice at acme' is no email address; write it bare, like alice@acme.example"
    ],
    ("a.yaml", "alice:\n  email: a@acme.example\n  unti: x\n"): [
        "3:3: unknown key 'unti'; did you mean 'unit'?"
    ],
    ("a.yaml", "alice: {unit: x}\n"): [
        ("1: the key 'email' is missing: the account has no email address; "
        "write it bare, like alice@acme.example")
    ],
    ("a.yaml", "alice: []\nbob:\ncarol: 7\ndave: {email: [x@y.example, 7]}\n"): [
        "1:8: 'email' is empty; name at least one",
        "2:5: 'email' cannot be empty; write a text, in quotes where it looks like a number",
        "3:8: 'email' cannot be '7'; write a text, in quotes where it looks like a number",
        "4:29: '7' is no text; write it in quotes",
    ],
    ("a.yaml", "a: {email: a@x.example, unit: '', groups: staff, disabled: 'yes', role: boss}\n"): [
        "1:31: the unit is empty; write a value",
        "1:43: 'groups' cannot be 'staff'; write it as a list, also for one group",
        "1:60: 'disabled' cannot be 'yes'; write true or false, without quotes",
        "1:73: 'role' cannot be 'boss'; possible here: manager, unit_manager",
    ],
    ("a.yaml", "a: {email: a@x.example, role: managr, groups: [' x', \"a\\u202eb\"]}\n"): [
        "1:31: 'role' cannot be 'managr'; did you mean 'manager'?",
        "1:48: the group ' x' has a blank at its beginning or end; remove it",
        "1:54: the group 'a\\u202eb' has characters that nobody can see; remove them",
    ],
    ("a.yaml", "a:\n  email: a@x.example\n  former:\n    b@x.example: 2026-02-30\n    b: x\n"): [
        "4:18: 'b@x.example' holds until '2026-02-30', which is no date; write it like 2026-12-31",
        "5:5: 'b' is no email address; write it bare, like alice@acme.example",
        "5:8: 'b' holds until 'x', which is no date; write it like 2026-12-31",
    ],
    ("a.yaml", "a: {email: a@x.example, former: [b@x.example]}\n"): [
        ("1:33: 'former' should be a mapping; write each name with its last day, "
        "like old@acme.example: 2026-12-31")
    ],
    ("a.jsonl", ('{"login":"a","email":"a@x.example","former":{"b@x.example":"2026-01-01",'
                '"B@x.example":"2026-01-02"}}')): [
        "1: the former name 'B@x.example' stands twice; keep one of the two"
    ],
    ("a.jsonl", '{"email":"a@x.example"}\n{"login":7,"email":"a@x.example"}\n'): [
        "1: the login is missing; write the name with which the user logs in",
        "2: the login cannot be '7'; write a text, in quotes where it looks otherwise",
    ],
    ("a.jsonl", '{"login":"a\\u0000","email":null}'): [
        "1: the login 'a\\x00' has characters that nobody can see; remove them",
        "1: 'email' cannot be empty; write a text, in quotes where it looks like a number",
    ],
    # JSON lines.
    ("a.jsonl", '{"login":"a","email":"a@x.example"\n[]\n{"login":"a","login":"b"}\n'): [
        ("1:36: not JSON: unexpected end of data; "
        "write one object a line, with keys and texts in double quotes"),
        '2: the line is no object; write it like {"login": "alice", ...}',
        "3: the key 'login' stands twice; keep one of the two",
    ],
    ("a.jsonl", b'{"login":"a","email":"\xff"}'): [
        "1:23: it is not text in UTF-8; save the file as UTF-8"
    ],
    ("a.jsonl", ('{"login":"a","email":"a@x.example","former":{"b@x.example":"2026-01-01",'
                '"b@x.example":"2026-01-02"}}')): [
        "1: the key 'b@x.example' stands twice; keep one of the two"
    ],
    # CSV.
    ("a.csv", "login;email\na;a@x.example\n"): [
        "1: unknown column 'login;email'; did you mean 'login'?"
    ],
    ("a.csv", "login,unit\n"): [
        "1: the column 'email' is missing; begin the file with a line like `login,email`"
    ],
    ("a.csv", "login,email,login\n"): ["1: the column 'login' stands twice; keep one of the two"],
    ("a.csv", 'login,email\na,"a@x.example"b\n'): [
        ("2: not CSV: ',' expected after '\"'; "
        "check the quotes there and above: a quote within quotes is written twice")
    ],
    ("a.csv", 'login,email\n"a\nb",a@x.example\nc,d\n,e@x.example\nf\n'): [
        "2: the login 'a\\nb' has characters that nobody can see; remove them",
        "4: 'd' is no email address; write it bare, like alice@acme.example",
        "5: the login is missing; write the name with which the user logs in",
        ("6: the line has 1 cells, and the header 2; "
        "write a comma for each empty cell, and quotes around one with a comma"),
    ],
    ("a.csv", ("login,email,former,disabled\na,a@x.example,b@x.example,\nc,c@x.example|,,no\n"
              "d,d@x.example,b@x.example=2026-01-01|b@x.example=2026-01-01,\n")): [
        ("2: the former name 'b@x.example' has no date; "
        "write it once, with its last day, like old@acme.example=2026-12-31"),
        "3: '' is no email address; write it bare, like alice@acme.example",
        "3: 'disabled' cannot be 'no'; write true or false, without quotes",
        ("4: the former name 'b@x.example' stands twice; "
        "write it once, with its last day, like old@acme.example=2026-12-31"),
    ],
    ("a.csv", b"login,email\nb\xc3\xbcb,a\xff@x.example\n"): [
        "2:6: it is not text in UTF-8; save the file as UTF-8"
    ],
    # YAML.
    ("a.yaml", "a: &x a@x.example\nb: *x\n<<: c@x.example\n? [d]\n: d@x.example\n"): [
        "1:4: the anchor 'x'; leave it out: there are no aliases here",
        "2:4: the alias 'x'; write the value out; a text that begins with * stands in quotes",
        "3:1: a merge key, which YAML 1.2 does not have; write the keys out",
        "4:3: a key that is not text; write it as one word or in quotes",
    ],
    ("a.yaml", "a: !!str a@x.example\nb: {email: b@x.example, email: c@x.example}\n"): [
        "1:4: the tag '!!str'; leave it out: values have one type here",
        "2:25: the key 'email' stands twice; it stands first in line 2: keep one of them",
    ],
    ("a.yaml", "a: a@x.example\n---\nb: b@x.example\n"): [
        "2:1: a second document begins here; keep one document in the file"
    ],
    ("a.yaml", "- a\n"): [
        "1:1: the file should be a mapping; write a line `LOGIN: NAME` for each account"
    ],
    ("a.yaml", "a: a@x.example\nb: 'b\n"): [
        ("3:1: not YAML: while scanning a quoted scalar found unexpected end of stream; "
        "check the indentation, quotes and brackets there and just above")
    ],
    ("a.yaml", 'a: a@x.example\nb: "x\x07"\n'): [
        "2:6: the character '\\x07' cannot stand in YAML; remove it"
    ],
    ("a.yaml", b"a: a@x.example\nb: \xc3\xbc\xff\n"): [
        "2:5: it is not text in UTF-8; save the file as UTF-8"
    ],
    ("a.yaml", "a: [[[[[[[[[[x]]]]]]]]]]\n"): [
        "1:12: nested deeper than 8 levels; nest less"
    ],
    # The file as a whole.
    ("a.txt", "alice"): [
        ("'.txt' is the ending of no format that is known; "
        "possible here: .yaml, .yml, .csv, .jsonl, .ndjson")
    ],
    ("a.yaml", " \n"): ["the file is empty; check that it is the right file"],
    ("a.csv", "login,email\n"): ["the file holds no account; check that it is the right file"],
    ("a.yaml", "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n"): [
        ("it holds a private key; "
        "name the file with the accounts, and keep the key where nobody else reads it")
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [(name, content, problems) for (name, content), problems in WRONG.items()],
    ids=[f"{name} {problems[0][:40]}" for (name, _), problems in WRONG.items()],
)
def test_each_mistake_is_said_with_its_line(
    tmp_path: Path, name: str, content: str | bytes, problems: list[str]
) -> None:
    """All mistakes at once, each with its line, its column where that is known, and a remedy."""
    assert wrong(tmp_path, name, content) == problems


@pytest.mark.parametrize("kind", NAMES, ids=str)
def test_what_is_no_name_of_the_kind_is_a_mistake(tmp_path: Path, kind: IdentityKind) -> None:
    (problem,) = wrong(tmp_path, "a.yaml", f"alice: {{{kind}: al ice}}\n", kind)
    assert problem.startswith(f"1:{len(kind) + 11}: 'al ice' is no ")


def test_mistakes_beyond_the_first_are_counted(tmp_path: Path) -> None:
    """A file that is wrong in every line is not repeated in the log."""
    file = tmp_path / "a.csv"
    file.write_text("login,email\n" + "".join(f"u{n},nobody\n" for n in range(1000)))
    reading = read(file, IdentityKind.EMAIL)
    assert (len(reading.problems), reading.count) == (mistakes.MAX_KEPT, 1000)
    assert (reading.why(file) or "").endswith("(and 999 more problems)")
    assert [problem.line for problem in reading.problems] == list(range(2, 22))


def test_one_name_for_everybody_is_a_mistake(tmp_path: Path) -> None:
    """A question by that name would be answered with every account of the file."""
    rows = "".join(f"u{n},all@x.example\n" for n in range(1001))
    (problem,) = wrong(tmp_path, "a.csv", "login,email\n" + rows)
    assert problem.startswith("2: 'all@x.example' is the name of 1001 accounts; at most 1000")


@pytest.mark.parametrize(
    ("member", "what"),
    [
        ('"email": ["' + '","'.join(["a@x.example"] * 1001) + '"]', "'email' has more than 1000"),
        ('"email": "' + "a" * 10_000 + '"', "is longer than 8192 characters"),
        ('"email": "a@x.example", "unit": "' + "a" * 1025 + '"', "is longer than 1024 characters"),
        ('"email": "a@x.example", "unit": "' + "a" * 1048576 + '"', "line is longer than 1048576"),
    ],
)
def test_what_is_too_much_for_an_account_is_a_mistake(
    tmp_path: Path, member: str, what: str
) -> None:
    (problem,) = wrong(tmp_path, "a.jsonl", f'{{"login": "a", {member}}}')
    assert what in problem


def test_yaml_account_with_too_many_values_ends_the_reading(tmp_path: Path) -> None:
    (problem,) = wrong(tmp_path, "a.yaml", "a: [" + ",".join("x" * 10_001) + "]")
    assert "an account with more than 10000 values" in problem


def test_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "MAX_OCTETS", 20)
    (problem,) = wrong(tmp_path, "a.yaml", "alice: alice@acme.example")
    assert problem == "it is larger than 20 octets; check that it is the right file"


def test_accounts_are_listed_up_to_the_first_mistake(tmp_path: Path) -> None:
    """Whoever lists the accounts of a file that is wrong is told so."""
    file = tmp_path / "a.csv"
    file.write_text("login,email\na,a@x.example\nb,b@x.example\nc,nobody\n")
    found = entries(file, IdentityKind.EMAIL)
    assert [next(found).line, next(found).line] == [2, 3]
    with pytest.raises(AccountFileError, match=r"a\.csv:4: 'nobody' is no email address"):
        next(found)
    with pytest.raises(AccountFileError, match="cannot be read"):
        next(entries(tmp_path / "none.csv", IdentityKind.EMAIL))


@pytest.mark.parametrize("name", ["a.yaml", "a.csv", "a.jsonl"])
@given(content=st.binary() | st.text().map(str.encode))
def test_any_content_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    """Nothing but a reading comes of a file, whatever it holds."""
    file = tmp_path_factory.getbasetemp() / name
    file.write_bytes(content)
    reading = read(file, IdentityKind.EMAIL)
    assert (reading.accounts > 0 and reading.is_good) or reading.problems

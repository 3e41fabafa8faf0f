"""Two readers of YAML, one rule: what the fast one reads, PyYAML reads the same."""

from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extauthz.directory import yaml_plain
from extauthz.directory.mistakes import UnreadableError
from extauthz.directory.records import Records
from extauthz.directory.rows import Row
from extauthz.directory.yaml_plain import Plain
from extauthz.directory.yaml_rows import places_of_entry, rows, rows_of_any
from extauthz.identity import IdentityKind


class Outcome(NamedTuple):
    rows: list[tuple[Any, ...]]
    problems: tuple[Any, ...]


def outcome(octets: bytes, read: Any) -> Outcome:
    """All that came of a reading, with the place of everything."""
    records = Records(IdentityKind.EMAIL)
    found: list[Row] = []
    try:
        found.extend(read(octets, records))
    # The file takes no effect then, however far it was read and whatever PyYAML calls it.
    except UnreadableError:
        return Outcome([], ("unreadable",))
    listed = [(row.line, row.login, row.members, dict(row.places())) for row in found]
    return Outcome(listed, records.mistakes.kept)


def plain(text: str) -> tuple[int, bool]:
    """How many rows are read without PyYAML, and whether these are all."""
    reader = Plain(text.encode(), "email", places_of_entry)
    return len(list(reader)), reader.is_at_end


USUAL = st.sampled_from(
    ["a", "b", "email", "unit", "groups", "former", "a@x.example", "1e5", "true", "7", "0x1F",
     "null", "staff", "a b", "'a b'", '"it: is"', "'#'", "Süd", "2026-12-31", "a-b", "''", '""',
     "a,b", "_a"]
)  # fmt: skip
ODD = st.sampled_from(
    ["spiffe://x/y", "CN=A,O=B", "12:30", "~", "-", "- a", "?", "*a", "&a", "!a", "|", ">", "a:",
     "#", ":a", "a #b", "a\u2028b", "\u00a0", "\ufeff", "'it''s'", '"\\n"', "'a", '"a', "a\tb",
     "<<", "%a", "\u00a0a", "a, b", "[a]", "{a: b}", "a" * 300, "---", "...", "@a", "`a", "=", "=a"]
)  # fmt: skip
WORDS = USUAL | USUAL | USUAL | ODD
MEMBERS = st.lists(st.tuples(WORDS, WORDS | st.lists(WORDS, max_size=3)), max_size=4)


@st.composite
def values(draw: st.DrawFn) -> str:
    """What may stand after `login:`, in one of the forms in which programs write it."""
    form = draw(st.sampled_from(["word", "list", "items", "brackets", "lines"]))
    if form == "word":
        return f" {draw(WORDS)}\n"
    if form == "list":
        return f" [{', '.join(draw(st.lists(WORDS, max_size=3)))}]\n"
    indent = draw(st.sampled_from(["", " ", "  ", "    "]))
    if form == "items":
        return "\n" + "".join(f"{indent}- {word}\n" for word in draw(st.lists(WORDS, min_size=1)))
    members = draw(MEMBERS)
    if form == "brackets":
        return f" {{{', '.join(_in_brackets(key, value) for key, value in members)}}}\n"
    return "\n" + "".join(_lines(draw, indent, key, value) for key, value in members)


def _in_brackets(key: str, value: str | list[str]) -> str:
    return f"{key}: {value if isinstance(value, str) else '[' + ', '.join(value) + ']'}"


def _lines(draw: st.DrawFn, indent: str, key: str, value: str | list[str]) -> str:
    if isinstance(value, str):
        return f"{indent}{key}: {value}\n"
    deeper = indent + draw(st.sampled_from(["", "  ", "   "]))
    below = draw(st.sampled_from(["- ", "x: ", "{word}: "]))
    return f"{indent}{key}:\n" + "".join(
        f"{deeper}{below.format(word=word)}{word}\n" for word in value
    )


BETWEEN = st.sampled_from(
    ["", "", "", "\n", "# comment\n", "  # comment\n", "  \n", "---\n", " a\n"]
)
DOCUMENTS = st.lists(st.tuples(BETWEEN, WORDS, values()), max_size=5).map(
    lambda entries: "".join(f"{between}{key}:{value}" for between, key, value in entries)
)


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
@given(text=DOCUMENTS | st.text(alphabet="ab:-# \n'\"[]{},@&*!\t\r\u2028é", max_size=30))
@example("a: b\n# comment\n c: d\n")
@example("a: b\n\n c\n")
@example("a: b")
@example("a: 'b\nc: d'\ne: f\n")
@example("a: {b: \"c, d: e\", f: ['g, h', i]}\n")
@example("a:\n  b:\n  - c\n  d:\n    e: f\n    g: h\n  i: j\n")
@example("a:\n  b:\n    c: d\n   e: f\n")
@example("a:\n  b: c\n  b: d\n")
@example("a: {b: c, b: d}\n")
@example("---\na: b\n---\nc: d\n")
@example("a: b\n...\n")
@example("{a: b,\nc: d}\n")
@example("a: b\n\ufeffc: d\n")
def test_fast_reader_reads_nothing_else_than_pyyaml(ending: str, text: str) -> None:
    """The same rows at the same places with the same mistakes, whatever the text."""
    octets = text.replace("\n", ending).encode()
    assert outcome(octets, rows) == outcome(octets, rows_of_any)


PLAIN = """\
# Written by a program.

alice: alice@acme.example
"bob": ['bob@acme.example', b@acme.example]
carol:
  email: Carol@acme.example
  unit: Field Sales, North
  former:
    c@acme.example: 2026-12-31
  groups:
  - staff
  - "sales: north"
# Another.
dave: {email: [d@acme.example], groups: [staff, 'a, b'], former: {e@x.example: '2026-12-31'}}
erin:
- erin@acme.example
frank: spiffe://acme.example/frank
"""


def test_usual_forms_are_read_by_the_fast_reader() -> None:
    """Otherwise a million accounts take longer than they may."""
    assert plain(PLAIN) == (6, True)
    assert outcome(PLAIN.encode(), rows) == outcome(PLAIN.encode(), rows_of_any)


def test_places_are_found_for_what_was_read_fast() -> None:
    """A mistake in such an entry has its line and column all the same."""
    row = list(Plain(PLAIN.encode(), "email", places_of_entry))[2]
    assert (row.line, row.login) == (5, "carol")
    place = row.places()["former", "c@acme.example"]
    assert (place.line, place.column) == (9, 21)


def test_entries_go_on_over_the_pieces_in_which_a_file_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No entry is lost, torn or counted twice where a piece ends; nor where PyYAML takes over."""
    monkeypatch.setattr(yaml_plain, "CHUNK", 4096)
    entry = "u{0}:\n  email: u{0}@acme.example\n  groups:\n  - staff\n"
    count = 3 * yaml_plain.CHUNK // len(entry)
    text = "".join(entry.format(number) for number in range(count))
    assert plain(text) == (count, True)
    text += "v: &anchor v@acme.example\nw: w@acme.example\n"
    assert plain(text) == (count, False)
    records = Records(IdentityKind.EMAIL)
    found = list(rows(text.encode(), records))
    assert [row.login for row in found] == [*(f"u{number}" for number in range(count)), "w"]
    assert [row.line for row in found] == [*range(1, 4 * count, 4), 4 * count + 2]
    (mistake,) = records.mistakes.kept
    assert (mistake.line, mistake.column) == (4 * count + 1, 4)

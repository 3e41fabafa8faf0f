"""YAML text to a tree that knows its places."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.files import Place
from extauthz.policyfile import document
from extauthz.policyfile.document import MAX_DEPTH, Mapping, Node, Scalar, ScalarValue, parse
from extauthz.policyfile.document import Sequence as SequenceNode


def read(text: str) -> Node:
    """The tree of a document without mistakes."""
    root, mistakes = parse(text)
    assert mistakes == []
    assert root is not None
    return root


SCALARS: dict[str, ScalarValue] = {
    "acme": "acme",
    "two words": "two words",
    "off": "off", "on": "on", "yes": "yes", "no": "no", "Off": "Off", "y": "y",
    "true": True, "True": True, "TRUE": True, "tRue": "tRue",
    "false": False, "False": False, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "nUll": "nUll",
    "0": 0, "403": 403, "-1": -1, "+7": 7, "007": 7, "9" * 18: int("9" * 18),
    "9" * 19: 1e19, "1_000": "1_000", "0x1F": "0x1F", "0o17": "0o17", "190:20:30": "190:20:30",
    "1.5": 1.5, ".5": 0.5, "1.": 1.0, "1e3": 1000.0, "-1E-2": -0.01, "1.2.3": "1.2.3",
    ".inf": ".inf", ".nan": ".nan", "٣": "٣",
    "2024-01-01": "2024-01-01", "=": "=", "127.0.0.1": "127.0.0.1",
    "'403'": "403", '"true"': "true", "''": "", '"~"': "~", '"\\x41"': "A",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=SCALARS)
def test_plain_scalars_resolve_by_the_core_schema(text: str, value: ScalarValue) -> None:
    """YAML 1.2 10.3.2, in decimal: what is in quotes, and whatever else, is text."""
    node = read(f"- {text}\n")
    assert isinstance(node, SequenceNode)
    (item,) = node.items
    assert isinstance(item, Scalar)
    assert (item.value, type(item.value)) == (value, type(value))


@pytest.mark.parametrize("text", ["true", "7", "~", "1.5", "off", "2024-01-01", "'7'"])
def test_keys_are_text(text: str) -> None:
    """A key is what stands there, whatever it would be as a value."""
    node = read(f"{text}: x\n")
    assert node.plain() == {text.strip("'"): "x"}


def test_block_scalars_are_text() -> None:
    """Literal and folded text keep their lines as YAML says."""
    assert read("a: |\n  7\nb: >\n  true\n  x\n").plain() == {"a": "7\n", "b": "true x\n"}


def test_every_node_and_key_knows_its_place() -> None:
    """Lines and columns count from 1, in characters and not in octets."""
    root = read("# é\nä: [é, {b: c}]\nd:\n  - e\n")
    assert isinstance(root, Mapping)
    assert root.place == Place(2, 1)
    assert root.keys == {"ä": Place(2, 1), "d": Place(3, 1)}
    sequence = root.values["ä"]
    assert isinstance(sequence, SequenceNode)
    assert sequence.place == Place(2, 4)
    assert [item.place for item in sequence.items] == [Place(2, 5), Place(2, 8)]
    assert root.values["d"].place == Place(4, 3)


def test_an_alias_stands_at_its_own_place() -> None:
    """What is wrong with a value is mended where it is used."""
    root = read("a: &x y\nb: *x\n")
    assert isinstance(root, Mapping)
    assert root.plain() == {"a": "y", "b": "y"}
    assert root.values["b"].place == Place(2, 4)


def test_a_later_anchor_replaces_an_earlier_one_of_its_name() -> None:
    """YAML 1.2 3.2.2.2: an alias stands for the most recent anchor before it."""
    assert read("[&x 1, *x, &x 2, *x]").plain() == [1, 1, 2, 2]


def test_a_duplicate_key_keeps_the_first_value_and_reading_goes_on() -> None:
    """What comes after the second key is read, so that its mistakes can be told as well."""
    root, mistakes = parse("a: 1\na: {b: 1, b: 2}\nc: 3\n")
    assert root is not None
    assert root.plain() == {"a": 1, "c": 3}
    assert [mistake.place for mistake in mistakes] == [Place(2, 1), Place(2, 11)]


def test_equal_keys_of_different_mappings_are_no_duplicates() -> None:
    """Each mapping has keys of its own."""
    assert read("{a: {a: 1}, b: {a: 2}}").plain() == {"a": {"a": 1}, "b": {"a": 2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{<<: {a: 1}}", "a merge key, which YAML 1.2 does not have", id="merge key"),
        pytest.param("{[a]: 1}", "a key that is not text", id="list for a key"),
        pytest.param("{{a: 1}: 1}", "a key that is not text", id="mapping for a key"),
        pytest.param("[&a x, {*a : 1}]", "a key that is not text", id="alias for a key"),
        pytest.param("!x {a: 1}", "the tag '!x'", id="tag of a mapping"),
        pytest.param("[!!int 7]", "the tag '!!int'", id="tag of a scalar"),
        pytest.param("{!!str a: 1}", "the tag '!!str'", id="tag of a key"),
        pytest.param("! a", "the tag '!'", id="tag without a name"),
    ],
)
def test_what_can_be_read_over_is_a_mistake_beside_a_tree(text: str, message: str) -> None:
    """One such mistake does not hide the next one."""
    root, mistakes = parse(text)
    assert root is not None
    assert [mistake.message for mistake in mistakes] == [message]


def test_a_quoted_merge_key_is_a_key() -> None:
    """Quotes make text of anything."""
    assert read("{'<<': 1}").plain() == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        pytest.param("a: 1\n--- b\n", Place(2, 1), "a second document begins here", id="second"),
        pytest.param("a\n...\n---\n", Place(3, 1), "a second document begins here", id="empty"),
        pytest.param("", Place(1, 1), "the file is empty", id="nothing"),
        pytest.param("\ufeff\n# x\n", Place(1, 1), "the file is empty", id="mark and comment"),
        pytest.param("[*a]", Place(1, 2), "the alias 'a' stands for nothing", id="no anchor"),
        pytest.param("&a [*a]", Place(1, 5), "the alias 'a' stands for nothing", id="recursive"),
        pytest.param("&a {b: *a}", Place(1, 8), "the alias 'a' stands for nothing", id="in a map"),
        pytest.param("a: 'b", Place(1, 6), "not YAML: while scanning a quoted", id="quote"),
        pytest.param("%YAML 3.0\n---\na", Place(1, 1), "not YAML: found incompatible", id="3.0"),
        pytest.param("a\x07", Place(1, 2), "the character '\\x07' cannot stand", id="bell"),
        pytest.param("é: \x9b", Place(1, 4), "the character '\\x9b' cannot stand", id="CSI"),
        pytest.param("a\n\ufffe", Place(2, 1), "the character '\\ufffe' cannot", id="swapped mark"),
        pytest.param("a: \ufeff", Place(1, 4), "the character '\\ufeff' cannot", id="inner mark"),
        pytest.param('"\\ud83d\\ude00"', Place(1, 4), "not YAML: while parsing a", id="pair"),
        pytest.param("[" * 40, Place(1, 34), "nested deeper than 32 levels", id="deep"),
    ],
)
def test_where_reading_ends_there_is_no_tree(text: str, place: Place, message: str) -> None:
    """What follows cannot be understood: the mistake says where."""
    root, mistakes = parse(text)
    assert root is None
    assert mistakes[-1].place == place
    assert mistakes[-1].message.startswith(message)
    assert mistakes[-1].remedy


def test_depth_is_bounded_with_aliases_written_out() -> None:
    """Aliases of aliases must not nest deeper than a document may."""
    half = MAX_DEPTH // 2
    shallow = f"- &a {'[' * half}{']' * half}\n- {'[' * (half - 1)}*a{']' * (half - 1)}\n"
    assert parse(shallow)[1] == []
    deep = f"- &a {'[' * half}{']' * half}\n- {'[' * (half + 1)}*a{']' * (half + 1)}\n"
    root, (mistake,) = parse(deep)
    assert root is None
    assert mistake.message == "nested deeper than 32 levels"


def test_aliases_may_repeat_much_but_not_without_bound() -> None:
    """A thousand uses of a list of a hundred are work saved; ten thousand are a bomb."""
    shared = "- &x [" + "x, " * 99 + "x]\n"
    assert parse(shared + "- *x\n" * 900)[1] == []
    root, (mistake,) = parse(shared + "- *x\n" * 10_000)
    assert root is None
    assert mistake.message.endswith("values, too many for such a file")


def is_short(text: str) -> bool:
    return len(json.dumps(text)) < 1000


# What lies beyond the basic plane JSON may escape as two surrogates, which YAML does not know.
basic = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]))


def test_a_document_has_a_bounded_number_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump of something else, named by mistake, is given up before memory is."""
    monkeypatch.setattr(document, "MAX_NODES", 1000)
    assert parse("- x\n" * 999)[1] == []
    root, (mistake,) = parse("- x\n" * 1000)
    assert root is None
    assert mistake.place == Place(1000, 3)
    assert mistake.message == "the file has more than 1000 values"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | basic,
    # A key may have 1,024 characters, escapes written out (YAML 1.2, 7.4.2).
    lambda inner: st.lists(inner) | st.dictionaries(basic.filter(is_short), inner),
    max_leaves=30,
)


@given(json_values)
def test_json_reads_as_itself(value: object) -> None:
    """JSON is YAML, so that a generator may write either."""
    root, mistakes = parse(json.dumps(value))
    assert mistakes == []
    assert root is not None
    assert root.plain() == value

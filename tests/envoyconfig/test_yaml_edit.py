"""YAML text is changed where its values change, and nowhere else."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from extauthz.envoyconfig.yaml_edit import EditError, edited, parsed

TEXT = """\
# About everything.
listeners:
# About the first.
- name: one   # its name
  ports: [1, 2]  # its ports

  # About the filters.
  filters:
  - {name: a}
  # About b.
  - name: b
    text: |
      one
      # two

# About clusters.
clusters: {}
"""
VALUE: dict[str, Any] = yaml.safe_load(TEXT)


def changed(**first: Any) -> dict[str, Any]:
    """The value with other entries in its first listener."""
    return {**VALUE, "listeners": [{**VALUE["listeners"][0], **first}]}


A: Any
B: Any
C: Any
A, B = VALUE["listeners"][0]["filters"]
C = {"name": "c", "on": [{"d": 1}]}
C_LINES = "  - name: c\n    'on':\n    - {d: 1}\n"


def test_nothing_to_change() -> None:
    """The very same text comes back, whatever its style."""
    text = "a:   {b:  'c'}\n\n\n# end"
    assert edited(text, {"a": {"b": "c"}}) == text


@pytest.mark.parametrize(("wanted", "old", "new"), [
    (changed(name="two"), "- name: one ", "- name: two "),
    (changed(ports=[1, 2, 3]), "[1, 2]", "[1, 2, 3]"),
    (changed(filters=[A, B, C]), "      # two\n", "      # two\n" + C_LINES),
    (changed(filters=[A, C, B]), "  # About b.\n", C_LINES + "  # About b.\n"),
    (changed(filters=[C, A, B]), "  - {name: a}\n", C_LINES + "  - {name: a}\n"),
    (changed(filters=[B]), "  - {name: a}\n", ""),
    (changed(filters=[A]), "  - name: b\n    text: |\n      one\n      # two\n", ""),
    (changed(filters=[A, {**B, "more": {"x": None}}]), "      # two\n",
     "      # two\n    more: {x: null}\n"),
    (changed(filters=[A, {"name": "b"}]), "    text: |\n      one\n      # two\n", ""),
    ({**VALUE, "clusters": {"x": 1}}, "clusters: {}", "clusters: {x: 1}"),
    ({**VALUE, "more": [{"a": 1, "b": 2}]}, "clusters: {}\n",
     "clusters: {}\nmore:\n- {a: 1, b: 2}\n"),
])  # fmt: skip
def test_the_rest_stays(wanted: Any, old: str, new: str) -> None:
    """One part of the text is another one, comments are where they were, and the value is right."""
    assert TEXT.count(old) == 1
    result = edited(TEXT, wanted)
    expected = TEXT.replace(old, new)
    assert result.replace("- name: c\n    'on':", "- name: c\n    on:") == expected.replace(
        "'on':", "on:"
    )
    assert yaml.safe_load(result) == wanted


def test_remarks_come_and_go() -> None:
    """A comment of ours above an item of ours leaves with it."""
    remarks = {"c": "Ours.\nWritten."}
    added = edited(TEXT, changed(filters=[A, C, B]), remarks)
    assert "  # Ours.\n  # Written.\n  - name: c\n" in added
    assert edited(added, VALUE, remarks) == TEXT


def test_a_list_of_ours_has_its_remark_above_it() -> None:
    """The key of a list that is new stands below what is said of its first item."""
    added = edited(TEXT, {**VALUE, "more": [C]}, {"c": "Ours."})
    assert "# Ours.\nmore:\n- name: c\n" in added
    assert edited(added, VALUE, {"c": "Ours."}) == TEXT


def test_lines_end_as_they_did() -> None:
    """A file of Windows stays one."""
    text = "a: 1 # one\r\nb:\r\n- c: 2\r\n  d: 3\r\n"
    assert edited(text, {"a": 1, "x": 9, "b": [{"c": 2, "d": 3}, {"c": 4, "d": 5}]}) == (
        "a: 1 # one\r\nx: 9\r\nb:\r\n- c: 2\r\n  d: 3\r\n- {c: 4, d: 5}\r\n"
    ).replace("- {c: 4, d: 5}", "- {c: 4, d: 5}")


def test_aliases() -> None:
    """What two places share is changed once, and what one of them is to have alone is not."""
    text = "a: &x\n  b: 1\nc: *x\nd: 2\n"
    both = edited(text, {"a": {"b": 3}, "c": {"b": 3}, "d": 2})
    assert both == "a: &x\n  b: 3\nc: *x\nd: 2\n"
    with pytest.raises(EditError):
        edited(text, {"a": {"b": 3}, "c": {"b": 1}, "d": 2})


def test_after_an_alias() -> None:
    """An alias is a line like others."""
    text = "a: &x {b: 1}\nc: *x # again\n"
    wanted: Any = {"a": {"b": 1}, "c": {"b": 1}, "d": 1}
    assert edited(text, wanted) == "a: &x {b: 1}\nc: *x # again\nd: 1\n"


def test_merge_keys() -> None:
    """A value that came by a merge key is overridden, and its origin stays."""
    text = "a: &x {b: 1}\nc:\n  <<: *x\n  d: 1\n"
    wanted: Any = {"a": {"b": 1}, "c": {"b": 2, "d": 1}}
    assert yaml.safe_load(edited(text, wanted)) == wanted


def test_json_stays_json() -> None:
    """A configuration in JSON can be read as JSON afterwards."""
    wanted: Any = {"a": [1, "ü"], "b": None}
    assert json.loads(edited('{"a": [1]}', wanted)) == wanted


@pytest.mark.parametrize("text", ["a: [", "a: 1\n---\nb: 2", "\ta: 1", "a: !x 1", "- " * 9999])
def test_no_yaml(text: str) -> None:
    """What cannot be read is not changed."""
    with pytest.raises(EditError, match="is not YAML"):
        parsed(text)


def test_a_tree_without_end() -> None:
    """A list that contains itself is an error and not the end of the program."""
    with pytest.raises(EditError, match="part of"):
        parsed("a: &a [*a]")


def test_a_tree_of_aliases() -> None:
    """A few lines do not become a billion values."""
    lines = [
        "a0: &a0 [x]",
        *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)),
    ]
    with pytest.raises(EditError, match="more than"):
        parsed("\n".join(lines))


keys = st.text("abc:# -'\"é", min_size=1, max_size=4)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-99, 99), st.text("ab: #-\n'\"é{[*&", max_size=6)
)
trees = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(keys, below, max_size=4),
    max_leaves=15,
)


@given(
    st.dictionaries(keys, trees, min_size=1, max_size=4),
    st.dictionaries(keys, trees, min_size=1, max_size=4),
    st.sampled_from([True, False, None]),
)
def test_any_tree_becomes_any_other(
    current: dict[str, Any],
    wanted: dict[str, Any],
    flow: bool | None,  # noqa: FBT001 (PyYAML's)
) -> None:
    """The result says what it should, or there is none."""
    text: str = yaml.safe_dump(current, default_flow_style=flow, sort_keys=False, width=1000)
    assume(parsed(text) == current)
    try:
        result = edited(text, wanted)
    except EditError:
        return
    assert yaml.safe_load(result) == wanted


@given(
    st.lists(st.dictionaries(keys, scalars, min_size=2, max_size=3), min_size=1, max_size=5),
    st.data(),
)
def test_items_come_and_go_in_place(items: list[dict[str, Any]], data: st.DataObject) -> None:
    """Lists of mappings, as configurations have them, can always be changed; comments stay."""
    wanted = data.draw(st.lists(st.sampled_from([*items, {"n": 1, "m": [1]}]), min_size=1))
    text = "list:\n# kept\n" + yaml.safe_dump(items, default_flow_style=False, sort_keys=False)
    result = edited(text, {"list": wanted})
    assert yaml.safe_load(result) == {"list": wanted}
    assert "# kept\n" in result

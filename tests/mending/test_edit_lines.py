"""An account's line in CSV or JSON lines is changed, and no other line."""

import csv
import io
import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.identity import IdentityKind, parse
from extauthz.mending.edit import Edit
from extauthz.mending.edit_lines import edited_csv, edited_json_lines
from extauthz.mending.outcome import RefusedError

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
BOTH = rename("b@x.example", "c@x.example", keep=DAY)

HEADER = 'unit,login,"email",former,disabled\n'
ALICE = '"sales, north","al""ice", a@x.example,,\n\n'
CAROL = "sales,carol,c@x.example|d@x.example,bob=2026-01-01,true"


@pytest.mark.parametrize(("line", "edit", "expected"), [
    (",bob,b@x.example,,", ALL, ",bob,new@x.example,,"),
    ('"",bob,"b@x.example",,', ALL, '"",bob,"new@x.example",,'),
    ('"a\nb ""c""","bob",b@x.example,,false', ALL, '"a\nb ""c""","bob",new@x.example,,false'),
    (",bob,b@x.example,,", KEEP, ",bob,new@x.example,b@x.example=2026-05-04,"),
    (",bob,b@x.example,a@x.example=2026-01-01,", KEEP,
     ",bob,new@x.example,a@x.example=2026-01-01|b@x.example=2026-05-04,"),
    (",bob,b@x.example,B@x.example=2026-01-01|new@x.example=2026-01-01,", ALL,
     ",bob,new@x.example,,"),
    (",bob,b@x.example|c@x.example,,", ALL, ",bob,new@x.example|c@x.example,,"),
    (",bob,b@x.example|c@x.example,,", BOTH,
     ",bob,new@x.example,b@x.example=2026-05-04|c@x.example=2026-05-04,"),
    (",bob,b@x.example|c@x.example,,", rename("b@x.example", new="C@x.example"),
     ",bob,c@x.example,,"),
    ('x,bob,"b@x.example",,', DISABLE, 'x,bob,"b@x.example",,true'),
    ("x,bob,b@x.example,,true", ENABLE, "x,bob,b@x.example,,false"),
])  # fmt: skip
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_one_csv_record_changes(
    line: str,
    edit: Edit,
    expected: str,
    line_break: str,
    last: bool,  # noqa: FBT001
    mark: str,
) -> None:
    """The other lines and the other cells stay as they are written, line breaks and quotes too."""

    def file(record: str) -> str:
        after = "" if last else "\n" + CAROL + "\n"
        return mark + (HEADER + ALICE + record + after).replace("\n", line_break)

    assert edited_csv(file(line), edit) == file(expected)


def test_a_name_with_a_comma_gets_quotes() -> None:
    """A distinguished name has commas, which part cells."""
    edit = rename("CN=Bob,O=Acme", new="CN=Bob,O=New", keep=DAY, kind=IdentityKind.SUBJECT)
    text = 'login,subject,former\nbob,"CN=Bob,O=Acme",\n'
    expected = 'login,subject,former\nbob,"CN=Bob,O=New","CN=Bob,O=Acme=2026-05-04"\n'
    assert edited_csv(text, edit) == expected


@pytest.mark.parametrize(("text", "edit", "why"), [
    ("login,email\nbob,b@x.example\n", KEEP, "no column 'former'"),
    ("login,email\nbob,b@x.example\n", DISABLE, "no column 'disabled'"),
    ("login,email\nbob,b@x.example\n", rename("b@x.example", new="a|b@x.example"), "use YAML"),
    ("login,email\nalice,b@x.example\n", ALL, "does not stand in the file"),
])  # fmt: skip
def test_what_csv_cannot_say_is_refused(text: str, edit: Edit, why: str) -> None:
    """A new column would change every line; a bar in a name would part it in two."""
    with pytest.raises(RefusedError, match=why):
        edited_csv(text, edit)


@pytest.mark.parametrize(("line", "edit", "expected"), [
    ('{"login": "bob", "email": "b@x.example", "unit": "ü"}', ALL,
     '{"login": "bob", "email": "new@x.example", "unit": "ü"}'),
    ('{"email":"b@x.example","unit":"\\u00fc","login":"bob"}', ALL,
     '{"email":"new@x.example","unit":"\\u00fc","login":"bob"}'),
    ('{"login":"bob","email":["b@x.example","c@x.example"]}', ALL,
     '{"login":"bob","email":["new@x.example","c@x.example"]}'),
    ('{"login":"bob","email":["b@x.example"]}', ALL, '{"login":"bob","email":["new@x.example"]}'),
    ('{"login":"bob","email":["b@x.example","c@x.example"],"former":{"new@x.example":"2026-01-01"}}',
     BOTH, ('{"login":"bob","email":["new@x.example"],'
     '"former":{"b@x.example":"2026-05-04","c@x.example":"2026-05-04"}}')),
    ('{"login":"b\\u006fb","email":"b@x.example"}', KEEP,
     '{"login": "bob", "email": "new@x.example", "former": {"b@x.example": "2026-05-04"}}'),
    ('  {"login": "bob", "email": "b@x.example"} ', DISABLE,
     '  {"login": "bob", "email": "b@x.example", "disabled": true} '),
    ('{"login": "bob", "disabled": true, "email": "b@x.example"}', ENABLE,
     '{"login": "bob", "disabled": false, "email": "b@x.example"}'),
])  # fmt: skip
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_one_json_line_changes(
    line: str, edit: Edit, expected: str, line_break: str, mark: str
) -> None:
    """Order, spaces and escapes of the line stay where they are one of the usual ways."""
    alice, carol = '{  "login" : "alice" , "email":"a\u2028@x"}', '{"login":"carol","unit":"bob"}'

    def file(middle: str) -> str:
        return mark + f"{alice}\n\n{middle}\n{carol}".replace("\n", line_break)

    assert edited_json_lines(file(line), edit) == file(expected)


def test_an_account_that_is_not_there_is_no_line() -> None:
    """Nothing is added to a file."""
    with pytest.raises(RefusedError, match="does not stand"):
        edited_json_lines('{"login":"alice"}\n', ALL)


CELLS = st.lists(
    st.text(st.sampled_from('ab,"\n\r |=;\'ü'), max_size=6), min_size=3, max_size=3
)  # fmt: skip


@given(st.lists(CELLS, max_size=4), st.lists(CELLS, max_size=4), CELLS, st.booleans())
def test_any_cells_around_stay(
    before: list[list[str]],
    after: list[list[str]],
    own: list[str],
    quotes: bool,  # noqa: FBT001
) -> None:
    """Whatever stands in other cells and lines, only the cell in question is another."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL if quotes else csv.QUOTE_MINIMAL)
    writer.writerow(["a", "login", "email", "b", "c"])
    for a, b, c in [*before, own, *after]:
        login = "bob" if (a, b, c) == tuple(own) else "other"
        writer.writerow([a, login, "b@x.example", b, c])
    text = file.getvalue()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    first = next(index for index, row in enumerate(rows) if row[1] == "bob")
    rows[first][2] = NEW
    changed = edited_csv(text, ALL)
    assert list(csv.reader(io.StringIO(changed, newline=""))) == rows
    assert len(changed) == len(text) + len(NEW) - len("b@x.example")


@given(
    st.dictionaries(
        st.text(max_size=5).filter(lambda key: key != "former"),
        st.text(max_size=5) | st.booleans(),
        max_size=4,
    )
)
def test_any_members_of_the_object_stay(members: dict[str, str | bool]) -> None:
    """Members that the edit does not name are as they were, in their order."""
    found = members | {"login": "bob", "email": "b@x.example"}
    text = json.dumps(found) + "\n"
    changed = json.loads(edited_json_lines(text, ALL))
    assert list(changed.items()) == list((found | {"email": NEW}).items())

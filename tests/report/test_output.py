"""The report on a terminal, as JSON and as CSV: whole, readable, and harmless."""

import csv
import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from extauthz.records.user_agent import CallerKind
from extauthz.report.model import (
    PARTLY,
    Caller,
    Completeness,
    Readiness,
    Report,
    SubscriptionReport,
)
from extauthz.report.terminal import console, show
from extauthz.report.what_if_model import Change
from extauthz.report.written import TABLES, as_csv, as_json, changes_as_csv, write_csv
from tests.report.example_reports import HOSTILE, changed, empty, many, month, ordinary, written


def shown(report: Report, *logs: str) -> str:
    text = io.StringIO()
    show(report, console(text), logs)
    return text.getvalue()


@pytest.mark.parametrize("made", [many, written, empty], ids=["ordinary", "hostile", "empty"])
def test_terminal_output_fits_and_steers_nothing(made: object) -> None:
    """Eighty columns, no control character, nothing that a person cannot see."""
    text = shown(made())  # type: ignore[operator]
    assert text
    assert all(char.isprintable() or char == "\n" for char in text)
    # Wide characters take two columns each.
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())


def test_markup_of_clients_is_text() -> None:
    """What looks like rich's markup stays as it was written."""
    report = ordinary(month())
    first = report.subscriptions[0]
    evil = replace(
        first.refused[0], user_agent="[red]x[/] [link=http://x]y[/link]", request_id="$(x)"
    )
    text = shown(replace(report, subscriptions=(replace(first, refused=(evil,)),)))
    assert "[red]x[/] [link=http://x]y[/link]" in " ".join(text.split())
    assert "extauthz explain '$(x)' --log FILE" in text


def test_terminal_says_all_that_there_is_to_know() -> None:
    """Verdict, who, why, with what, from where, what mends it, and how to look further."""
    report = many()
    text = " ".join(shown(report).split())
    for subscription in report.subscriptions:
        assert (subscription.verdict[:1].upper() + subscription.verdict[1:]) in text
        for each in [each for each in subscription.refused if each.caller.is_known][:20]:
            assert each.caller.name in text
            assert f"extauthz explain {each.request_id} --log FILE" in text
        for reason in subscription.reasons:
            assert reason.reason in text
            assert reason.remedy.split()[0] in text
    assert "NOT READY" in text
    assert "\x1b" not in text


def test_command_to_look_further_can_be_copied() -> None:
    """With the files that were read, whole, however long their names are."""
    log = "/var/log/a b/" + "long-" * 60
    text = "".join(shown(ordinary(), log).split("\n"))
    first = month().refused[0].request_id
    assert f"extauthz explain {first} --log '{log}'".replace(" ", "") in text.replace(" ", "")


def mixed() -> SubscriptionReport:
    """Enforced for some, in audit for the others."""
    first = month()
    refused = (first.refused[0], replace(first.refused[1], is_refused=True))
    return replace(first, modes=("audit", PARTLY), refused=refused)


def test_who_is_refused_is_told_from_who_would_be() -> None:
    """Where both hold at once, for each of them."""
    text = " ".join(shown(ordinary(mixed())).split())
    assert "mode: audit, then enforce for some, audit for the others" in text
    assert "Who is refused, and who would be, by user agent" in text
    assert "1. bob (person, would be)" in text
    assert "2. deploy@acme.example (integration, refused)" in text


@pytest.mark.parametrize(
    ("name", "is_refused", "title"),
    [
        ("acme", True, "Who is refused, by user agent"),
        ("acme", False, "Who would be refused, by user agent"),
        (None, True, "Who is refused, by user agent"),
    ],
)
def test_title_goes_by_what_became_of_those_below(
    name: str | None, title: str, *, is_refused: bool
) -> None:
    """And not by the mode of whoever came last."""
    refused = tuple(replace(each, is_refused=is_refused) for each in month().refused)
    text = shown(ordinary(replace(month(name), modes=("enforce", "audit"), refused=refused)))
    assert title in " ".join(text.split())
    assert "1. bob  (person)" in text


def test_accounts_that_never_came_are_named() -> None:
    """A few, and how many there are."""
    names = tuple(f"user{number}" for number in range(30))
    text = shown(ordinary(replace(month(), absent=names, absent_unlisted=7)))
    told = " ".join(text.split())
    assert "Accounts that never came user0, user1, user2, user3, user4, … (37)" in told
    assert "never came" not in shown(ordinary(replace(month(), absent=())))


def test_callers_that_are_not_listed_are_counted() -> None:
    """Of an exemption, and of a certificate that expires."""
    first = month()
    names = tuple(f"u{number}" for number in range(10))
    cut = replace(
        first,
        expiring=(replace(first.expiring[0], callers=names, unlisted=90),),
        exemptions=(replace(first.exemptions[0], callers=names, unlisted=190),),
    )
    told = "".join(shown(ordinary(cut)).split())
    assert "…(100)" in told
    assert "…(200)" in told


@pytest.mark.parametrize(
    ("completeness", "told"),
    [
        (Completeness(1, 1, 0, 0), "Read 1 line of 1 file."),
        (Completeness(1, 2, 1, 0), "Read 2 lines of 1 file. 1 could not be read and is not in"),
    ],
)
def test_one_is_one(completeness: Completeness, told: str) -> None:
    assert told in shown(replace(empty(), completeness=completeness))


def test_what_could_not_be_read_is_told() -> None:
    """At the end, where it is not overlooked."""
    read = Completeness(2, 10, 3, 4, other_schema=1, damaged=("a\x1b.gz",))
    text = " ".join(shown(replace(many(), completeness=read)).split())
    assert "Read 10 lines of 2 files. 3 could not be read" in text
    assert "does not know: 1." in text
    assert "could not write 4 more" in text
    assert "Damaged: a\\x1b.gz" in text


def test_long_name_does_not_hide_whether_it_is_ready() -> None:
    """The name is cut, not the word."""
    text = shown(ordinary(replace(month(), name="long-" * 40)))
    assert text.startswith("[!] NOT READY  long-")


def test_very_many_subscriptions_take_no_longer_than_their_number() -> None:
    """A terminal is no place for thousands of tables: a few are shown, in seconds."""
    one, other = month("a"), replace(month("b"), readiness=Readiness.READY)
    begin = time.process_time()
    text = shown(ordinary(*[one, other] * 15_000))
    assert "and 29,950 more" in text
    assert time.process_time() - begin < 20


def test_json_has_every_field() -> None:
    """By the names of the model, times in UTC."""
    report = many()
    said = json.loads(as_json(report))
    assert said.keys() == {"schema", "report"}
    assert said["schema"] == 1
    assert said["report"]["made_at"].endswith("Z")
    first, theirs = report.subscriptions[0], said["report"]["subscriptions"][0]
    assert theirs["verdict"] == first.verdict
    assert [each["caller"]["name"] for each in theirs["refused"]] == [
        each.caller.name for each in first.refused
    ]
    assert json.loads(as_json(report, changed("new")))["what_if"]["policy"] == "new"


def test_csv_has_every_row(tmp_path: Path) -> None:
    """A file for each kind of row, the subscription first."""
    report = many()
    write_csv(report, changed(), tmp_path / "new" / "directory")
    assert {path.stem for path in (tmp_path / "new" / "directory").iterdir()} == {
        *TABLES,
        "what_if",
    }
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    refused = [each for of in report.subscriptions for each in of.refused]
    assert [row["caller"] for row in rows] == [each.caller.name for each in refused]
    assert [row["request_id"] for row in rows] == [each.request_id or "" for each in refused]
    for table in (*TABLES, "what_if"):
        text = (tmp_path / "new" / "directory" / f"{table}.csv").read_text("utf-8-sig")
        assert len({len(row) for row in csv.reader(io.StringIO(text))}) == 1, table


@pytest.mark.parametrize(
    "text",
    ["x;=1", 'x; "=1"', "=1+1", "+1", "-1", "@x", "\t=1", " =1", "|x", "%x", "\uff1d1", *HOSTILE],
    ids=range(11 + len(HOSTILE)),
)
def test_csv_holds_no_formula_and_no_second_line(text: str) -> None:
    """A spreadsheet shows what a client calls itself, and computes nothing."""
    report = ordinary(month())
    first = report.subscriptions[0]
    evil = replace(
        first.refused[0], caller=Caller(text, CallerKind.PERSON, is_known=True), user_agent=text
    )
    told = as_csv(replace(report, subscriptions=(replace(first, refused=(evil,)),)))
    (row,) = csv.DictReader(io.StringIO(told))
    changes = [*csv.DictReader(io.StringIO(changes_as_csv(changed(text))))]
    assert len(changes) == len(Change)
    of_changes = [each[of] for each in changes for of in ("caller", "detail", "request_ids")]
    for cell in (row["caller"], row["user_agent"], *of_changes):
        for part in cell.split(";"):
            assert not part.lstrip(' "').startswith(tuple("=+-@|%\uff1d"))
        assert cell.isprintable()
    assert told.count("\n") == 2


def test_cells_with_several_names_can_be_parted() -> None:
    """Names have blanks and commas."""
    first = month()
    one = replace(first.expiring[0], callers=("CN=a b, O=c", "d"))
    report = ordinary(replace(first, expiring=(one,)))
    (row,) = csv.DictReader(io.StringIO(as_csv(report, "expiring")))
    assert row["callers"].split(" | ") == ["CN=a b, O=c", "d"]


def test_a_formula_stays_text_where_cells_are_parted_at_semicolons() -> None:
    """As by a spreadsheet of a country where a comma is in numbers."""
    first = month()
    evil = replace(first.refused[0], user_agent="x;=cmd|'/C calc'!A0;", detail='x;"=1+1"')
    told = as_csv(ordinary(replace(first, refused=(evil,))))
    cells = [cell for row in csv.reader(io.StringIO(told), delimiter=";") for cell in row]
    assert not [cell for cell in cells if cell.lstrip(' "')[:1] in "=+-@|%" and cell]
    assert "'=cmd|'/C calc'!A0" in cells


def test_what_a_table_leaves_out_stands_in_it() -> None:
    """Of callers by a number beside each; of a subscription in its row."""
    report = ordinary(replace(month(), unlisted=20_000, absent=("eve", "zoe"), absent_unlisted=3))
    for row in csv.DictReader(io.StringIO(as_csv(report))):
        assert row["unlisted"] == "20000"
        assert row["is_refused"] == "False"
    (row,) = csv.DictReader(io.StringIO(as_csv(report, "subscriptions")))
    assert (row["unlisted"], row["absent"]) == ("20000", "5")
    rows = [*csv.DictReader(io.StringIO(as_csv(report, "absent")))]
    assert [(row["login"], row["unlisted"]) for row in rows] == [("eve", "3"), ("zoe", "3")]
    (row,) = csv.DictReader(io.StringIO(as_csv(ordinary(), "subscriptions")))
    assert row["absent"] == ""


def test_spreadsheets_are_told_that_files_are_utf8(tmp_path: Path) -> None:
    """By a mark at the begin (BOM); what goes into a pipe has none."""
    write_csv(many(), None, tmp_path)
    assert all(path.read_bytes().startswith(b"\xef\xbb\xbf") for path in tmp_path.iterdir())
    assert not as_csv(many()).startswith("\ufeff")

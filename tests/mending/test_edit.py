"""What a request comes to, and what is refused of it."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from extauthz.accounts import Account, Former, Role
from extauthz.identity import Identity, IdentityKind, parse
from extauthz.mending.edit import Edit, SetDisabled, SetName, intended, plan, same
from extauthz.mending.outcome import RefusedError

NOW = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
TODAY = NOW.date()


def email(text: str) -> Identity:
    identity = parse(IdentityKind.EMAIL, text)
    assert identity is not None
    return identity


def until(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 23, 59, 59, 999999, tzinfo=UTC)


def account(login: str, *names: str, **former: date) -> Account:
    """An account with emails, and with former ones `login@old.example`."""
    before = tuple(Former(email(f"{who}@old.example"), until(day)) for who, day in former.items())
    return Account(login, tuple(map(email, names)), before)


BOSS = Account("boss", (), role=Role.MANAGER)
BOB = account("bob", "b@x.example", "c@x.example")


def planned(request: SetName | SetDisabled, who: Account = BOB, *others: Account) -> Edit | None:
    return plan(request, who, others, IdentityKind.EMAIL, NOW, actor=BOSS)


@pytest.mark.parametrize(("request_", "names", "former"), [
    (SetName("n@x.example"), {"n@x.example"}, {}),
    (SetName("C@x.example"), {"c@x.example"}, {}),
    (SetName("n@x.example", replaces="B@X.example"), {"n@x.example", "c@x.example"}, {}),
    (SetName("b@x.example", replaces="c@x.example"), {"b@x.example"}, {}),
    (SetName("n@x.example", keep_old_until=TODAY), {"n@x.example"},
     {"b@x.example": TODAY, "c@x.example": TODAY}),
    (SetName("b@x.example", "c@x.example", TODAY), {"b@x.example"}, {"c@x.example": TODAY}),
])  # fmt: skip
def test_the_new_name_takes_the_place_of_all_or_of_one(
    request_: SetName, names: set[str], former: dict[str, date]
) -> None:
    """What it replaces is gone, or holds until the end of the day that is given."""
    edit = planned(request_)
    assert edit is not None
    after = intended(BOB, edit)
    assert set(after.identities) == {email(name) for name in names}
    assert {each.identity: each.until for each in after.former} == {
        email(name): until(day) for name, day in former.items()
    }


@pytest.mark.parametrize(("new", "keep", "former"), [
    ("n@x.example", None, {"old": date(2026, 4, 1)}),
    ("old@old.example", None, {}),
    ("old@old.example", TODAY, {"b": TODAY}),
    ("n@x.example", TODAY, {"old": date(2026, 4, 1), "b": TODAY}),
])  # fmt: skip
def test_a_name_that_comes_back_is_no_former_one(
    new: str, keep: date | None, former: dict[str, date]
) -> None:
    """Former names stay, but for the one that is current again."""
    who = account("bob", "b@old.example", old=date(2026, 4, 1))
    edit = planned(SetName(new, keep_old_until=keep), who)
    assert edit is not None
    assert same(intended(who, edit), account("bob", new, **former))


def test_a_name_that_ends_at_once_does_not_hold_as_a_former_one() -> None:
    """Whoever does not say `--keep-old-until` means that the old name ends."""
    who = account("bob", "b@old.example", b=date(2026, 4, 1))
    edit = planned(SetName("n@x.example"), who)
    assert edit is not None
    assert intended(who, edit) == account("bob", "n@x.example")


@pytest.mark.parametrize(("request_", "who"), [
    (SetName("b@x.example"), account("bob", "b@x.example")),
    (SetName("B@X.EXAMPLE", keep_old_until=TODAY), account("bob", "b@x.example")),
    (SetName("b@x.example", replaces="b@x.example"), BOB),
    (SetDisabled(value=False), BOB),
    (SetDisabled(value=True), Account("bob", (), is_disabled=True)),
])  # fmt: skip
def test_what_is_so_already_is_nothing_to_do(request_: SetName | SetDisabled, who: Account) -> None:
    """The same address in other letters is the same."""
    assert planned(request_, who) is None


@pytest.mark.parametrize(("request_", "why"), [
    (SetName("no address"), "'no address' is not an email address"),
    (SetName("a@b@c"), "is not an email address"),
    (SetName("n@x.example\n"), r"'n@x.example\\n' is not an email address"),
    (SetName("n@x.example", replaces="z@x.example"), "'bob' has no email 'z@x.example'"),
    (SetName("n@x.example", replaces="z"), "'z' is not an email address"),
    (SetName("n@x.example", keep_old_until=TODAY - timedelta(1)), "is over"),
    (SetName("n@x.example", keep_old_until=date(2027, 3, 2)), "more than a year ahead"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(request_: SetName, why: str) -> None:
    """The message says what would be right."""
    with pytest.raises(RefusedError, match=why):
        planned(request_)


@pytest.mark.parametrize("day", [TODAY, date(2027, 3, 1)])
def test_old_names_hold_from_today_on_for_a_year_at_most(day: date) -> None:
    """Both ends are within."""
    assert planned(SetName("n@x.example", keep_old_until=day)) is not None


@pytest.mark.parametrize(("other", "is_taken"), [
    (account("carol", "N@x.example"), True),
    (account("carol", "c@x.example", n=TODAY), True),
    (account("carol", "c@x.example", n=TODAY - timedelta(1)), False),
    (account("carol", "n@y.example"), False),
])  # fmt: skip
def test_a_name_that_another_account_has_is_refused_unless_it_is_said(
    other: Account,
    is_taken: bool,  # noqa: FBT001
) -> None:
    """A former name of another account counts while it holds."""
    new = "n@old.example" if other.former else "n@x.example"
    assert planned(SetName(new, is_shared=True), BOB, other) is not None
    if is_taken:
        with pytest.raises(RefusedError, match="'carol', too: with --shared"):
            planned(SetName(new), BOB, other)
    else:
        assert planned(SetName(new), BOB, other) is not None


@pytest.mark.parametrize(("kind", "good", "bad"), [
    (IdentityKind.UPN, "bob@corp.example", "bob"),
    (IdentityKind.SUBJECT, "CN=Bob,O=Acme", "Bob"),
    (IdentityKind.SAN_URI, "spiffe://x.example/bob", "x.example/bob"),
])  # fmt: skip
def test_a_name_is_of_the_kind_that_the_subscription_goes_by(
    kind: IdentityKind, good: str, bad: str
) -> None:
    """An email is just one kind of name."""
    edit = plan(SetName(good), Account("bob", ()), (), kind, NOW, actor=BOSS)
    assert edit is not None
    assert edit.identity == parse(kind, good)
    with pytest.raises(RefusedError, match="is not a"):
        plan(SetName(bad), Account("bob", ()), (), kind, NOW, actor=BOSS)


@pytest.mark.parametrize(("unit", "named"), [("sales", "'carol'"), ("law", "another account")])
def test_another_account_is_named_to_who_may_see_it(unit: str, named: str) -> None:
    """A unit manager does not learn whose a name is outside of the unit."""
    lead = Account("lead", (), role=Role.UNIT_MANAGER, unit="sales")
    carol = replace(account("carol", "n@x.example"), unit=unit)
    with pytest.raises(RefusedError, match=f"'n@x.example' is the name of {named}, too: with"):
        plan(SetName("n@x.example"), BOB, (carol,), IdentityKind.EMAIL, NOW, actor=lead)

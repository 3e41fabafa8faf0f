"""Any sequence of changes: the accounts are what a model says, and every other one as it was."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.accounts import Account, Former
from extauthz.identity import IdentityKind, parse
from extauthz.mending.edit import Request, SetDisabled, SetName, same
from extauthz.mending.outcome import RefusedError
from extauthz.policyfile.loader import load
from tests.mending.conftest import Workspace

LOGINS = ("anna", "béla", "c: d", "#e")
NAMES = ("a@x.example", "B@x.example", "ü@x.example", "{d}@x.example", "'e@x.example")
Person: TypeAlias = dict[str, Any]


def in_days(days: int) -> date:
    """Reckoned when it is needed: midnight may come between the collection of tests and theirs."""
    return datetime.now(UTC).date() + timedelta(days)


day = st.integers(1, 300).map(lambda days: in_days(days).isoformat())
person = st.fixed_dictionaries(
    {"email": st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique_by=str.lower)},
    optional={
        "former": st.dictionaries(st.sampled_from(("f@x.example", "a@x.example")), day, max_size=2),
        "unit": st.sampled_from(("sales", "north, south: both")),
        "groups": st.lists(st.sampled_from(("g", "h i")), max_size=2, unique=True),
        "disabled": st.booleans(),
    },
)  # fmt: skip
people = st.dictionaries(st.sampled_from(LOGINS), person, min_size=1)
change = st.one_of(
    st.builds(
        SetName,
        st.sampled_from(NAMES),
        keep_old_until=st.none() | st.integers(0, 300).map(in_days),
        is_shared=st.sampled_from([True]),
    ),
    st.builds(SetDisabled, st.booleans()),
)
changes = st.lists(st.tuples(st.sampled_from(LOGINS), change), min_size=1, max_size=4)


@dataclass(frozen=True)
class Layout:
    """How YAML is laid out, where there is a choice."""

    picks: Sequence[int]

    def write(self, everybody: Mapping[str, Person]) -> str:
        lines = ["# everybody"]
        for number, (login, one) in enumerate(everybody.items()):
            pick = self.picks[number % len(self.picks)]
            key = json.dumps(login, ensure_ascii=False)
            lines.append(f"{key}:{self._value(pick, one)}  # {number}")
            lines += ["", "# between"][: pick % 3]
        return "\n".join(lines)

    def _value(self, pick: int, one: Person) -> str:
        if list(one) == ["email"] and pick % 4 == 0:
            names = one["email"]
            return f" {json.dumps(names[0] if len(names) == 1 else names, ensure_ascii=False)}"
        if list(one) == ["email"] and pick % 4 == 1:
            return "".join(f"\n- {json.dumps(name, ensure_ascii=False)}" for name in one["email"])
        if pick % 2:
            return f" {json.dumps(one, ensure_ascii=False)}"
        step = " " * (1 + pick % 4)
        return "  # his" + "".join(
            f"\n{step}{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in one.items()
        )


def csv_of(everybody: Mapping[str, Person]) -> str:
    rows = ["login,email,role,former,unit,groups,disabled"]
    for login, one in everybody.items():
        former = "|".join(f"{name}={last}" for name, last in one.get("former", {}).items())
        cells = (
            login, "|".join(one["email"]), one.get("role", ""), former, one.get("unit", ""),
            "|".join(one.get("groups", ())), str(one.get("disabled", "")).lower(),
        )  # fmt: skip
        rows.append(",".join(f'"{cell}"' if "," in cell else cell for cell in cells))
    return "\n".join(rows)


def files(everybody: Mapping[str, Person], layout: Layout) -> dict[str, str]:
    """The same accounts in every place, by file name; "" is the policy."""
    everybody = {**everybody, "boss": {"email": ["boss@x.example"], "role": "manager"}}
    text = layout.write(everybody)
    return {
        "": "\n" + "\n".join(f"      {line}" for line in text.split("\n")) + "\n",
        "a.yaml": text,
        "a.csv": csv_of(everybody),
        "a.jsonl": "\n".join(json.dumps({"login": who} | one) for who, one in everybody.items()),
    }


def expected(account: Account, request: Request) -> Account:
    """What the account is to be, told in another way than the code tells it."""
    if isinstance(request, SetDisabled):
        return replace(account, is_disabled=request.value)
    new = parse(IdentityKind.EMAIL, request.new)
    assert new is not None
    if account.identities == (new,):
        return account
    old = [name for name in account.identities if name != new]
    former = [each for each in account.former if each.identity not in (new, *old)]
    if request.keep_old_until is not None:
        end = datetime.combine(request.keep_old_until, datetime.max.time(), UTC)
        former += [Former(name, end) for name in old]
    return replace(account, identities=(new,), former=tuple(former))


@pytest.mark.parametrize("name", ["", "a.yaml", "a.csv", "a.jsonl"])
@settings(max_examples=20, deadline=None)
@given(people, st.lists(st.integers(0, 11), min_size=1, max_size=4), changes)
def test_any_sequence_of_changes_leaves_the_other_accounts_as_they_were(
    ca_pem: str,
    name: str,
    everybody: dict[str, Person],
    picks: list[int],
    asked: list[tuple[str, Request]],
) -> None:
    """The file can be read after each of them, and says what it should."""
    with tempfile.TemporaryDirectory() as directory:
        workspace = Workspace(Path(directory))
        (workspace.directory / "acme-ca.pem").write_text(ca_pem)
        text = files(everybody, Layout(picks))[name]
        if name:
            (workspace.directory / name).write_text(text)
            text = f" {{file: {name}}}\n"
        assert load(workspace.write(text), datetime.now(UTC)).policy is not None
        accounts = workspace.accounts()
        assert set(accounts) == {*everybody, "boss"}
        for login, request in asked:
            if login not in accounts:
                with pytest.raises(RefusedError, match="there is no account"):
                    workspace.change(request, login)
                continue
            accounts[login] = expected(accounts[login], request)
            workspace.change(request, login)
            found = workspace.accounts()
            assert list(found) == list(accounts)
            assert all(same(found[who], account) for who, account in accounts.items())

"""Ten thousand subscriptions: loading them, and finding one."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from extauthz.demo.authority import authority, name
from extauthz.files import stamp
from extauthz.policy import Policy
from extauthz.policyfile.loader import Loaded, load

SUBSCRIPTIONS = 10_000
"""As issue 2 has it."""


def write(directory: Path, count: int) -> Path:
    """A policy whose every subscription has a host, a wildcard, a certificate file and users."""
    pems = [authority(name(f"CA {number}")).pem for number in range(min(count, 100))]
    for number in range(count):
        file = directory / f"{number}.pem"
        if number < len(pems):
            file.write_text(pems[number])
        else:
            file.hardlink_to(directory / f"{number % len(pems)}.pem")
    path = directory / "policy.yaml"
    path.write_text(
        "subscriptions:\n"
        + "".join(
            f"  s{number}:\n"
            f'    hosts: [s{number}.example.com, "*.s{number}.example.com"]\n'
            f"    signing_certificates: [{number}.pem]\n"
            "    accounts:\n"
            f"      alice: alice@s{number}.example\n"
            f"      bob: bob@s{number}.example\n"
            for number in range(count)
        )
    )
    return path


def lines(path: Path) -> int:
    """How many lines of Python are run to load a policy, however long each of them takes."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        load(path, datetime.now(UTC))
    finally:
        sys.settrace(before)
    return count


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Ten thousand subscriptions."""
    return load(write(tmp_path_factory.mktemp("large"), SUBSCRIPTIONS), datetime.now(UTC))


@pytest.fixture(scope="module")
def large(loaded: Loaded) -> Policy:
    assert loaded.policy is not None
    return loaded.policy


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    policy = load(write(tmp_path_factory.mktemp("small"), 1), datetime.now(UTC)).policy
    assert policy is not None
    return policy


def test_ten_thousand_subscriptions_load(loaded: Loaded) -> None:
    """With a certificate file each."""
    assert loaded.problems == ()
    assert loaded.policy is not None
    assert len(loaded.policy.subscriptions) == SUBSCRIPTIONS


def test_twenty_times_the_subscriptions_are_twenty_times_the_work(tmp_path: Path) -> None:
    """One line for each pair of subscriptions would be half as much again."""
    paths = []
    for count in (25, 500):
        (tmp_path / str(count)).mkdir()
        paths.append(write(tmp_path / str(count), count))
    # The first time, a table of a library may be filled.
    lines(paths[0])
    few, many = map(lines, paths)
    assert 15 * few < many < 22 * few


def test_every_file_of_a_large_policy_is_known(loaded: Loaded) -> None:
    """Each certificate file is watched, and as it was."""
    assert len(loaded.files) == SUBSCRIPTIONS + 1
    assert {file: stamp(file) for file in loaded.files} == loaded.files


def work(policy: Policy, host: str) -> list[str]:
    """Every call, in Python and in C, that finding the subscription of a host makes."""
    calls: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)
        elif event == "c_call":
            calls.append(getattr(argument, "__qualname__", repr(argument)))

    sys.setprofile(note)
    try:
        policy.subscription_for(host)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    "host",
    [
        "s0.example.com",
        "S0.Example.COM:443",
        "app.s0.example.com",
        "a.b.c.d.s0.example.com",
        "nobody.example.com",
        "no host",
        "[2001:db8::1]",
        "bücher.example",
    ],
)
def test_finding_a_subscription_is_the_same_work_among_one_and_ten_thousand(
    small: Policy, large: Policy, host: str
) -> None:
    """The same calls are made, so that the number of subscriptions costs nothing."""
    # The first time, a table of a library may be filled.
    work(small, host)
    assert work(small, host) == work(large, host)


def test_the_last_subscription_is_found_as_the_first_one(large: Policy) -> None:
    """A subscription's place in the file makes no difference to the work."""
    first, last = work(large, "app.s0.example.com"), work(large, "app.s9999.example.com")
    assert first == last
    found = large.subscription_for("app.s9999.example.com")
    assert found is not None
    assert found.name == "s9999"


def test_looking_for_a_host_looks_into_the_index_and_nowhere_else(large: Policy) -> None:
    """A host in its normal form is one look-up; a wildcard is one more for each of its labels."""
    assert [call for call in work(large, "s77.example.com") if call == "dict.get"] == ["dict.get"]
    assert len(work(large, "a.b.s77.example.com")) < 40

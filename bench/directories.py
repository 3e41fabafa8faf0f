"""What a check costs whose account lives in a directory of a million: known, and asked for.

Run by itself: `python bench/directories.py [accounts]`. The baseline is the same check with a
mapping in the policy, in turn with it: A B A B. The medians are printed. The CPU is that of the
process with extauthz in it, where the file and SQLite are as well; that of a server is not in it.

What is asked for has never been asked before. Those accounts share addresses by the hundred, so
that a few certificates do for all: the first sight of one is `first_sight`'s business.
"""

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest
import uvloop
from filled import PLACES
from wrk import median

from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.demo.authority import authority, name, user
from extauthz.directory.gathered import GatheredDirectories
from extauthz.email import EmailAddress
from extauthz.login import Login
from extauthz.lookup import AccountFile, Directory, Lookup
from extauthz.policy import Policy, Subscription
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors

__all__ = ["cost"]

ACCOUNTS = 1_000_000
ROUNDS = 5
CHECKS = 400
"""One after another, and as many more at once, in each round."""
AGAIN = 10
"""How often those are repeated whose accounts are known."""
AT_ONCE = 50
ASKED = ROUNDS * 2 * CHECKS
TEAM = 500
"""How many of those that are asked for have one address."""
MAPPING, ELSEWHERE = "mapping.example", "elsewhere.example"
READ_SECONDS = 120.0
CA = authority(name("Bench CA"))


@dataclass(frozen=True)
class Measured:
    """One check of many, in µs."""

    cpu: float
    took: float


Pairs: TypeAlias = dict[str, list[tuple[Measured, Measured]]]
"""By kind, and of each round: with a mapping, and with the directory."""


def cost(count: int = ACCOUNTS) -> None:
    """Print it for each place whose server is installed."""
    print(f"{f'A directory of {count:,} accounts':34}{'µs a check':>18}{'times the mapping':>20}")
    print(f"{'':34}{'CPU':>9}{'elapsed':>9}{'CPU':>10}{'elapsed':>10}{'checks/s':>11}")
    mapping: defaultdict[str, list[Measured]] = defaultdict(list)
    for label, place in PLACES.items():
        with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as directory:
            try:
                with place(Path(directory), rows(count)) as settings:
                    pairs = uvloop.run(measure(settings, count))
            except pytest.skip.Exception as missing:
                print(f"  {label}: left out: {missing.msg}")
                continue
        for kind, of in pairs.items():
            show(f"{label}, {kind}", of)
            mapping[kind] += [inline for inline, _ in of]
    for kind, inline in mapping.items():
        show(f"mapping in the policy, {kind}", [(each, each) for each in inline])
    print()


def show(label: str, pairs: list[tuple[Measured, Measured]]) -> None:
    took = median(ours.took for _, ours in pairs)
    print(
        f"{label:>34}{median(ours.cpu for _, ours in pairs):9.1f}{took:9.1f}"
        f"{median(ours.cpu / theirs.cpu for theirs, ours in pairs):10.1f}"
        f"{median(ours.took / theirs.took for theirs, ours in pairs):10.1f}{1e6 / took:11,.0f}",
        flush=True,
    )


def login(number: int, count: int) -> str:
    """Of an account that is asked for; they are all over the directory."""
    return f"user{number * (count // ASKED)}"


def team(number: int) -> str:
    return f"team{number // TEAM}@acme.example"


def rows(count: int) -> Iterator[tuple[str, str]]:
    asked = {login(number, count): team(number) for number in range(ASKED)}
    for number in range(count):
        of = f"user{number}"
        yield of, asked.get(of, f"{of}@acme.example")


async def measure(place: Directory, count: int) -> Pairs:
    pairs: defaultdict[str, list[tuple[Measured, Measured]]] = defaultdict(list)
    async with GatheredDirectories() as directories:
        checks = Checks(place, count, directories)
        await checks.prepare()
        for of in range(0, ASKED, 2 * CHECKS):
            first, more = range(of, of + CHECKS), range(of + CHECKS, of + 2 * CHECKS)
            for kind, numbers, at_once in (
                ("asked for", first, 1),
                (f"{AT_ONCE} at once", more, AT_ONCE),
                ("known", [*first] * AGAIN, 1),
            ):
                inline = await measured(checks.all(MAPPING, numbers, at_once), len(numbers))
                elsewhere = await measured(checks.all(ELSEWHERE, numbers, at_once), len(numbers))
                pairs[kind].append((inline, elsewhere))
    if checks.refused:
        print(f"  {checks.refused} of {ASKED:,} checks would have been refused: no answer in time")
    return pairs


async def measured(work: Awaitable[None], checks: int) -> Measured:
    began, cpu = time.perf_counter(), time.process_time()
    await work
    took, used = time.perf_counter() - began, time.process_time() - cpu
    return Measured(used / checks * 1e6, took / checks * 1e6)


class Checks:
    """Of users who pass, with a mapping in the policy and with a directory."""

    def __init__(self, place: Directory, count: int, directories: GatheredDirectories) -> None:
        self.refused = 0
        """Checks that waited for an answer as long as a check may, in vain."""
        self._place = place
        self._count = count
        self._directories = directories
        trust = TrustAnchors([SigningCertificate.read(CA.der)])
        mapping = Accounts(
            Account(login(number, count), (address(team(number)),)) for number in range(ASKED)
        )
        self._policy = Policy([
            Subscription("mapping", (MAPPING,), trust, mapping),
            Subscription("elsewhere", (ELSEWHERE,), trust, place),
        ])  # fmt: skip
        self._snapshot = Snapshot(self._policy, 1, directories=directories)
        self._peers = [peer(team(first)) for first in range(0, ASKED, TEAM)]

    async def prepare(self) -> None:
        """Have the file read, a connection made, and every certificate seen once."""
        await self._directories.prepare(self._policy)
        if isinstance(self._place, AccountFile):
            await read(self._directories, self._place)
        for each in self._peers:
            for host in (MAPPING, ELSEWHERE):
                await self._check(host, "user1", each)

    async def all(self, host: str, numbers: Iterable[int], at_once: int) -> None:
        """Have accounts checked that all pass, so many at a time."""
        waiting = iter(numbers)

        async def one_by_one() -> None:
            for number in waiting:
                named = login(number, self._count)
                assert await self._check(host, named, self._peers[number // TEAM])

        await asyncio.gather(*(one_by_one() for _ in range(at_once)))

    async def _check(self, host: str, named: str, certificate: PeerCertificate) -> bool:
        """As the check listener does it: decide, ask what is not known, decide again."""
        subscription = self._snapshot.policy.subscription_for(host)
        logins = (Login(named, "basic"),)
        request = CheckRequest(
            host, "GET", "/", subscription, logins, (), certificate, "id", "203.0.113.9"
        )
        decision = self._snapshot.check(request, datetime.now(UTC))
        if decision.unanswered:
            decision = await self._asked(request, decision)
        return decision.allowed

    async def _asked(self, request: CheckRequest, decision: Decision) -> Decision:
        """Ask until there is an answer: a check that is refused would cost next to nothing."""
        while True:
            asked = [each for each in decision.unanswered if isinstance(each, Lookup)]
            await self._directories.ask(asked)
            decision = self._snapshot.check(request, datetime.now(UTC))
            if not decision.unanswered:
                return decision
            self.refused += 1


async def read(directories: GatheredDirectories, place: AccountFile) -> None:
    """Wait until a file is in force, for longer than a policy does."""
    file = directories.files[place]
    async with asyncio.timeout(READ_SECONDS):
        while not file.accounts:
            assert file.problem is None, file.problem
            await asyncio.sleep(0.1)


def peer(email: str) -> PeerCertificate:
    certificate = PeerCertificate.read(user(CA, "U", email).der)
    assert isinstance(certificate, PeerCertificate)
    return certificate


def address(text: str) -> EmailAddress:
    parsed = EmailAddress.parse(text)
    assert parsed is not None
    return parsed


if __name__ == "__main__":
    cost(int(sys.argv[1]) if len(sys.argv) > 1 else ACCOUNTS)

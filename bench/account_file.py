"""A file of a million accounts, in each format, and what it costs: to read, to keep, to ask.

Run by itself: `python bench/account_file.py [accounts]`. What is promised is that a file of
a million takes effect within SECONDS and MEGABYTES, in whichever format; the exit status is 1 when
one does not, or when that cannot be told because others keep the processors busy. (A file is read
at a low priority.)
"""

import asyncio
import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from extauthz.directory.file import FileDirectory
from extauthz.email import EmailAddress
from extauthz.lookup import AccountFile, ByIdentity, ByLogin, Found

ACCOUNTS = 1_000_000
ASKED = 50_000
SECONDS, MEGABYTES = 20.0, 1000.0
"""What is promised of a million accounts or fewer: the time, and the memory of all processes."""
KEPT, BROKEN, UNTOLD = "kept", "BROKEN", "untold"
VERDICTS = {KEPT: 0, BROKEN: 3, UNTOLD: 4}
"""With the exit status of a measurement; 1 is an exception's."""
BUSY = 0.1
"""A share of the processors that, taken by others, leaves no measure of time."""


def accounts(count: int, version: int) -> Iterator[tuple[str, str, str, str]]:
    """Login, address, unit and group of each."""
    for number in range(count):
        login = f"user{number * 7_919 % count:07d}"
        yield login, f"{login}@acme.example", f"unit{number % 50}", f"group{version}"


def yaml_of_addresses(count: int, version: int) -> Iterator[str]:
    yield f"# {version}\n"
    for login, email, _, _ in accounts(count, version):
        yield f"{login}: {email}\n"


def yaml_in_brackets(count: int, version: int) -> Iterator[str]:
    for login, email, unit, group in accounts(count, version):
        yield f"{login}: {{email: {email}, unit: {unit}, groups: [staff, {group}]}}\n"


def yaml_in_lines(count: int, version: int) -> Iterator[str]:
    for login, email, unit, group in accounts(count, version):
        yield f"{login}:\n  email: {email}\n  unit: {unit}\n  groups:\n  - staff\n  - {group}\n"


def yaml_for_pyyaml(count: int, version: int) -> Iterator[str]:
    """An escape in the first entry, so that PyYAML reads all of it."""
    yield f'first: "f\\x{60 + version}@acme.example"\n'
    yield from yaml_of_addresses(count - 1, version)


def csv(count: int, version: int) -> Iterator[str]:
    yield "login,email,unit,groups\r\n"
    for login, email, unit, group in accounts(count, version):
        yield f"{login},{email},{unit},staff|{group}\r\n"


def jsonl(count: int, version: int) -> Iterator[str]:
    for login, email, unit, group in accounts(count, version):
        entry = {"login": login, "email": email, "unit": unit, "groups": ["staff", group]}
        yield json.dumps(entry) + "\n"


FORMS: dict[str, tuple[str, Callable[[int, int], Iterator[str]]]] = {
    "YAML, login: address": ("a.yaml", yaml_of_addresses),
    "YAML, mappings in brackets": ("a.yaml", yaml_in_brackets),
    "YAML, one member a line": ("a.yaml", yaml_in_lines),
    "YAML, by PyYAML alone": ("a.yaml", yaml_for_pyyaml),
    "CSV": ("a.csv", csv),
    "JSON lines": ("a.jsonl", jsonl),
}


class Watcher:
    """The most memory that this process and all below it held at one time."""

    def __init__(self) -> None:
        self.most = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.02):
            self.most = max(self.most, sum(map(_resident, (os.getpid(), *_children()))))


def _children() -> list[int]:
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        # A thread may end meanwhile.
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _resident(pid: int) -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        return kib * 1024 / 1e6
    return 0.0


async def _stall(gaps: list[float]) -> None:
    """How long the event loop was kept from its work, again and again."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.002)
        gaps.append((time.perf_counter() - began - 0.002) * 1e3)


def _busy() -> float:
    """Seconds for which the machine's processors have worked, or were taken from it."""
    user, nice, system, _, _, *more = map(int, Path("/proc/stat").read_text().split()[1:9])
    return sum((user, nice, system, *more)) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Of that, what was for this process and the ended ones below it."""
    return sum(os.times()[:4])


def _put(path: Path, lines: Iterator[str]) -> int:
    """Write a file; how many octets it has."""
    with path.open("w", newline="") as file:
        file.writelines(lines)
    return path.stat().st_size


def _microseconds(directory: FileDirectory, keys: list[ByLogin] | list[ByIdentity]) -> float:
    began = time.perf_counter()
    for key in keys:
        assert isinstance(directory.known(key), Found)
    return (time.perf_counter() - began) / len(keys) * 1e6


def _looked_up(directory: FileDirectory, count: int) -> str:
    """What a look-up by login costs, one by name, and one that was answered before."""
    logins = [ByLogin(f"user{n * 31 % (count - 1):07d}") for n in range(min(ASKED, count))]
    names = [ByIdentity(EmailAddress(key.login, "acme.example")) for key in logins]
    cold = _microseconds(directory, logins)
    by_name = _microseconds(directory, names)
    few = logins[:1000]
    _microseconds(directory, few)
    return f"{cold:8.1f}{by_name:8.1f}{_microseconds(directory, few):8.1f}"


async def _measure(label: str, path: Path, write: Callable[[int, int], Iterator[str]],
                   count: int) -> str:  # fmt: skip
    """Print what a format costs; the verdict on what is promised."""
    size = _put(path, write(count, 1)) / 1e6
    directory = FileDirectory(AccountFile(str(path)))
    await directory.load()
    assert directory.accounts == count, directory.problem
    _put(path, write(count, 2))
    gaps: list[float] = []
    stalling = asyncio.create_task(_stall(gaps))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, busy, own = time.perf_counter(), _busy(), _own()
    with Watcher() as watcher:
        await directory.reload()
        await asyncio.sleep(0.1)
    elapsed = time.perf_counter() - began
    took = elapsed - 0.1
    others = max(0.0, _busy() - busy - _own() + own) / elapsed / (os.cpu_count() or 1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    stalling.cancel()
    assert directory.readings["new"] == 2, directory.problem
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    verdict = KEPT if count > ACCOUNTS else _verdict(took, watcher.most, others)
    quantile = statistics.quantiles(gaps, n=100)[98]
    print(
        f"  {label:28}{size:6.0f} MB{took:7.1f} s{cpu:7.1f} s{watcher.most:8.0f} MB"
        f"{quantile:9.1f}{max(gaps):9.1f}{_looked_up(directory, count)}{others:8.0%}{verdict:>9}",
        flush=True,
    )
    await directory.close()
    return verdict


def _verdict(took: float, megabytes: float, others: float) -> str:
    if megabytes <= MEGABYTES and took <= SECONDS:
        return KEPT
    return UNTOLD if megabytes <= MEGABYTES and others > BUSY else BROKEN


def cost(count: int = ACCOUNTS) -> bool:
    """What a reload costs while the version before it is in force, and what a look-up costs.

    Whether every format keeps what is promised.
    """
    print(f"A file of {count:,} accounts is replaced while the one before it is in force")
    print(
        f"{'memory':>66}{'stall, ms':>18}{'look-up, µs':>24}{'others':>8}\n"
        f"  {'':28}{'file':>9}{'time':>9}{'CPU':>9}{'in all':>11}{'p99':>9}{'longest':>9}"
        f"{'login':>8}{'name':>8}{'again':>8}{'took':>8}{'promise':>9}",
        # Before there are processes that would print it again.
        flush=True,
    )
    by_status = {status: verdict for verdict, status in VERDICTS.items()}
    verdicts: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as directory:
        for label, (name, write) in FORMS.items():
            # Each by itself: memory that one gave back is no measure for the next.
            child = os.fork()
            if child == 0:
                verdict = asyncio.run(_measure(label, Path(directory) / name, write, count))
                os._exit(VERDICTS[verdict])
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert status in by_status, f"{label}: it ended with {status}"
            verdicts[label] = by_status[status]
    print(f"  promised: {ACCOUNTS:,} accounts within {SECONDS:.0f} s and {MEGABYTES:.0f} MB")
    for label, verdict in verdicts.items():
        if verdict == BROKEN:
            print(f"  {label}: the promise is broken")
        if verdict == UNTOLD:
            print(f"  {label}: cannot be told, others keep the processors busy")
    print()
    return set(verdicts.values()) == {KEPT}


if __name__ == "__main__":
    raise SystemExit(0 if cost(int(sys.argv[1]) if len(sys.argv) > 1 else ACCOUNTS) else 1)

"""Processes that share a log, and are killed: what was counted as written is there, once."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from extauthz.observe.log_archive import LogArchive
from extauthz.observe.log_file import Keeping, LogFile
from extauthz.records.line import Record
from tests.observe.log_lines import files_of, gaps_in, ids_in, records_of

REPOSITORY = Path(__file__).parents[2]

WRITER = """
import sys, time
from pathlib import Path
from extauthz.observe.decision_log import DecisionLog
from extauthz.observe.log_archive import LogArchive
from extauthz.observe.log_file import Keeping, LogFile
from tests.observe.log_lines import line
name, path, keep, capacity = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])
keeping = Keeping(max_octets=200_000, keep_octets=keep or None)
log = DecisionLog(LogFile(path, keeping), capacity)
number = 0
while not path.with_name("stop").exists():
    log.write([line(f"{name}-{number + each}") for each in range(20)])
    number += 20
    print(log.written, flush=True)
    time.sleep(0.005)
log.close()
print("end", number, log.written, log.dropped, flush=True)
"""


def writer(
    name: str, path: Path, keep_octets: int = 0, capacity: int = 100_000
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, name, path, str(keep_octets), str(capacity)],
        stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=os.environ,
    )  # fmt: skip


def said_by(process: "subprocess.Popen[str]", lines: int) -> list[str]:
    """The first lines that it says."""
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(lines)]


def numbers_in(records: list[Record]) -> dict[str, list[int]]:
    """What each writer wrote, in the order of the files."""
    numbers = defaultdict(list)
    for each in ids_in(records):
        name, _, number = str(each).partition("-")
        numbers[name].append(int(number))
    return numbers


def test_nothing_that_was_counted_as_written_is_lost(tmp_path: Path) -> None:
    """Several write, the file is rotated every few hundred lines, and some of them are killed.

    Each line is whole, in the order of its writer, and there once; what a writer that ended dropped
    is what its count says, and what the gaps say.
    """
    path = tmp_path / "decisions.log"
    lasting = {name: writer(name, path) for name in ("a", "b")}
    said: dict[str, list[str]] = {}
    for names in (("k", "l"), ("m",)):
        pair = {name: writer(name, path) for name in names}
        for name, process in pair.items():
            said[name] = said_by(process, 30)
            time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        for name, process in pair.items():
            said[name] += process.communicate(timeout=30)[0].splitlines()
    killed = list(said)
    path.with_name("stop").touch()
    for name, process in lasting.items():
        said[name] = process.communicate(timeout=30)[0].splitlines()
    # Whoever comes next mends what a killed one tore, and finishes what it left uncompressed.
    LogFile(path, Keeping()).close()
    records = records_of(path)

    numbers = numbers_in(records)
    assert all(own == sorted(set(own)) for own in numbers.values())
    dropped = 0
    for name in lasting:
        end, *counts = said[name][-1].split()
        handed_over, written, lost = map(int, counts)
        assert end == "end"
        assert len(numbers[name]) == written == handed_over - lost
        dropped += lost
    for name in killed:
        # The last one may be half a word.
        counted = int(said[name][-2])
        assert len(numbers[name]) >= counted > 0
    assert sum(gap.dropped for gap in gaps_in(records)) >= dropped
    assert len(files_of(path)) > 3
    packed = [file for file in files_of(path) if file.suffix == ".gz"]
    subprocess.run(["gzip", "--test", *packed], check=True)


def test_what_is_kept_of_a_shared_log_has_no_hole(tmp_path: Path) -> None:
    """Two write, finish files and delete the oldest; one is killed while it does.

    What stays of each writer is the newest, to the last line, and no more than the bound.
    """
    path, bound = tmp_path / "decisions.log", 60_000
    writers = {name: writer(name, path, bound, capacity=50_000_000) for name in ("a", "b", "k")}
    for each in writers.values():
        said_by(each, 1)
    until = time.monotonic() + 60
    while not (seen := sorted(path.parent.glob(f"{path.name}-*.gz"))):
        assert time.monotonic() < until
        time.sleep(0.005)
    while seen[0].exists():
        assert time.monotonic() < until
        time.sleep(0.005)
    killed = writers.pop("k")
    killed.kill()
    killed.communicate(timeout=30)
    path.with_name("stop").touch()
    said = {name: each.communicate(timeout=30)[0].splitlines() for name, each in writers.items()}
    # Whoever comes next sees to what the end left.
    LogFile(path, Keeping()).close()
    LogArchive(path, None, bound).tidy()

    numbers = numbers_in(records_of(path))
    for name in writers:
        _, handed_over, written, lost = said[name][-1].split()
        assert (written, lost) == (handed_over, "0")
        own = numbers[name]
        assert own == list(range(int(handed_over) - len(own), int(handed_over)))
    finished = files_of(path)[:-1]
    assert finished[0] > seen[0]
    assert 0 < sum(file.stat().st_size for file in finished) <= bound

"""Processes that share a log, and are killed: what was counted as written is there, once."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from extauthz.observe.log_file import Keeping, LogFile
from extauthz.records.line import Record
from tests.observe.log_lines import files_of, gaps_in, ids_in, records_of

REPOSITORY = Path(__file__).parents[2]

WRITER = """
import sys, time
from pathlib import Path
from extauthz.observe.decision_log import DecisionLog
from extauthz.observe.log_file import Keeping, LogFile
from tests.observe.log_lines import line
name, path = sys.argv[1], Path(sys.argv[2])
log = DecisionLog(LogFile(path, Keeping(max_octets=200_000)), capacity=100_000)
number = 0
while not path.with_name("stop").exists():
    log.write([line(f"{name}-{number + each}") for each in range(20)])
    number += 20
    print(log.written, flush=True)
    time.sleep(0.005)
log.close()
print("end", number, log.written, log.dropped, flush=True)
"""


def writer(name: str, path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, name, path], stdout=subprocess.PIPE, text=True,
        cwd=REPOSITORY, env=os.environ,
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

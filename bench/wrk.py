"""Loads a server with wrk, and says what that cost.

Each server has processor 0 for itself and wrk has processor 1, so that requests/s say what one
processor can do.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from extauthz.demo.processes import Program

__all__ = [
    "CONNECTIONS",
    "HOST",
    "Measured",
    "check_metrics",
    "floor",
    "load",
    "median",
    "on_processor",
    "peak_mb",
]

HOST = "127.0.0.1"
CONNECTIONS = 16
TICKS = os.sysconf("SC_CLK_TCK")
STILL_SECONDS = 0.4


@dataclass(frozen=True)
class Measured:
    """One load of one server."""

    rate: float
    p50_us: float
    p99_us: float
    cpu_us: float
    """Processor time of the server for one request."""


def on_processor(number: int) -> list[str]:
    """What goes before a command that is to have one processor, where there are several."""
    if shutil.which("taskset") and (os.cpu_count() or 1) > 1:
        return ["taskset", "-c", str(number)]
    return []


def floor(port: int, processor: int = 0) -> list[str]:
    """The command of the server that only says yes."""
    script = str(Path(__file__).with_name("floor.py"))
    return [*on_processor(processor), sys.executable, script, str(port)]


def load(program: Program, port: int, script: Path, seconds: int) -> Measured:
    """Load it, and wait until it has done what it put off."""
    before = cpu_seconds(program)
    command = [*on_processor(1), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    command += ["-s", str(script), f"http://{HOST}:{port}/"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said = done.stdout
    assert "Non-2xx" not in said, said
    count = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    return Measured(
        rate=float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),  # type: ignore[index]
        p50_us=latency_us(said, "50%"),
        p99_us=latency_us(said, "99%"),
        cpu_us=(settled(program) - before) * 1e6 / count,
    )


def settled(program: Program) -> float:
    """The processor time that it has used, once that stands still."""
    used = -1.0
    while used != (used := cpu_seconds(program)):
        time.sleep(STILL_SECONDS)
    return used


def latency_us(said: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", said)
    assert found is not None, said
    return float(found[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[found[2]]


def cpu_seconds(program: Program) -> float:
    fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mb(program: Program) -> float:
    status = Path(f"/proc/{program.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1000  # type: ignore[index]


def check_metrics(port: int) -> None:
    """A bench of refusals, or one whose log is dropped, would measure something else."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics") as response:
        metrics = response.read().decode()
    assert 'decision="allow"' in metrics
    assert 'decision="deny"' not in metrics
    name = "extauthz_decision_log_dropped_lines_total"
    assert set(re.findall(rf"^{name}(?:{{.*}})? (.*)$", metrics, re.MULTILINE)) <= {"0.0"}


def median(values: Iterable[float]) -> float:
    return statistics.median(values)

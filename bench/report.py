"""How fast is `extauthz report`? Ten million lines in under a minute on two cores is promised.

A month of a log like a busy service's is made, plain and compressed, in files as rotation leaves
them, beside a baseline that only finds line ends: `wc -l`, `zcat | wc -l`. The report runs in a
process of its own. It needs some 12 GB of disk for a while.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

FILES = 10
"""How many a log consists of."""

# Most come without a login and with a certificate; one caller in ten is a script, and one in a
# hundred would be refused. Few do most of it.
MONTH = """
    COPY (
        SELECT 1 AS schema, 'check' AS record,
            strftime(TIMESTAMP '2026-10-25' + to_microseconds((i * {step})::BIGINT),
                '%Y-%m-%dT%H:%M:%S.%fZ') AS time,
            uuid()::VARCHAR AS request_id, 's' || s || '.example.com' AS host, 'GET' AS method,
            '/api/v2/items/' || i % 1000 AS path,
            '203.0.' || who % 200 || '.' || (who % 50 + i % 3) AS client,
            CASE WHEN who % 10 = 0 THEN 'python-requests/2.' || who % 20 || '.0'
            ELSE 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/'
                || 140 + i * 3 // {lines} || '.0.0.0 Safari/537.36' END AS user_agent,
            CASE WHEN r % 10 < 3 THEN 'user' || who END AS login,
            CASE WHEN r % 10 < 3 THEN 'basic' END AS login_source, [] AS other_logins,
            NULL AS login_problem, 1 AS policy_generation, [] AS redacted, 42 AS duration_us,
            's' || s AS subscription, 'audit' AS mode,
            CASE WHEN bad THEN 'deny' ELSE 'allow' END AS decision, true AS allowed,
            CASE WHEN bad THEN ['email_mismatch'] ELSE [] END AS reasons,
            CASE WHEN bad THEN ['the certificate has ''x@s.example'', the account ''y@s.example''']
            ELSE [] END AS details,
            [] AS tolerated, [] AS tolerated_details, NULL AS exempt, ['revocation'] AS not_asked,
            ['user' || who] AS accounts,
            {{'label': 'ca-' || s || '.pem', 'sha256': sha256('ca' || s)}} AS signing_certificate,
            {{'sha256': sha256('user' || who), 'sent': NULL,
                'serial': substr(sha256('serial' || who), 1, 40),
                'subject': 'CN=User ' || who || ',O=Acme', 'issuer': 'CN=CA ' || s || ',O=Acme',
                'not_before': '2026-01-01T00:00:00Z', 'not_after': '2027-01-01T00:00:00Z',
                'names': ['user' || who || '@s.example']}} AS certificate,
            NULL AS certificate_problem
        FROM (
            SELECT i, hash(i) AS r, sqrt((hash(i) % 25000000)::DOUBLE)::BIGINT AS who,
                who % 20 AS s, who % 100 = 0 AS bad
            FROM range({begin}, {end}) AS lines(i)
        )
    ) TO '{path}' (FORMAT json)"""


def speed(lines: int) -> None:
    """Print how long a report on so many lines takes, plain and compressed."""
    print(f"A report on {lines:,} lines, on {os.cpu_count()} cores\n")
    print(f"{'':26}{'seconds':>10}{'lines/s':>12}{'CPU s':>8}{'peak MB':>9}{'baseline s':>12}")
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-report-") as name:
        directory = Path(name)
        if shutil.disk_usage(directory).free < lines * 1_300:
            print("too little disk", file=sys.stderr)
            return
        plain = directory / "plain"
        plain.mkdir()
        _make(lines, plain)
        size = sum(each.stat().st_size for each in plain.iterdir()) / 1e9
        _measure(f"plain, {size:.1f} GB", lines, plain, "cat {} | wc -l")
        for each in plain.iterdir():
            subprocess.run(["gzip", "-1", str(each)], check=True)
        size = sum(each.stat().st_size for each in plain.iterdir()) / 1e9
        _measure(f"compressed, {size:.1f} GB", lines, plain, "zcat {} | wc -l")
    print()


def _make(lines: int, directory: Path) -> None:
    each, step = lines // FILES, 30 * 86_400 * 1_000_000 / lines
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        for number in range(FILES):
            connection.execute(MONTH.format(
                lines=lines, step=step, begin=number * each, end=(number + 1) * each,
                path=directory / f"decisions.jsonl.{FILES - number}",
            ))  # fmt: skip


def _measure(label: str, lines: int, directory: Path, baseline: str) -> None:
    began = time.perf_counter()
    files = " ".join(str(each) for each in directory.iterdir())
    subprocess.run(baseline.format(files), shell=True, check=True, capture_output=True)
    counting = time.perf_counter() - began
    with _used() as used:
        command = [sys.executable, "-m", "extauthz", "report", str(directory), "--json"]
        done = subprocess.run(command, check=False, capture_output=True, timeout=600)
    said = json.loads(done.stdout)["report"]
    # A report that lost lines, or found nobody, would have been quick for nothing.
    assert said["completeness"]["lines"] == lines // FILES * FILES, said["completeness"]
    assert said["completeness"]["unreadable"] == 0, said["completeness"]
    assert sum(each["breaking_integrations"] for each in said["subscriptions"]) > 10
    print(
        f"{label:26}{used['seconds']:10.1f}{lines / used['seconds']:12,.0f}{used['cpu']:8.0f}"
        f"{used['peak_mb']:9.0f}{counting:12.1f}"
    )


@contextlib.contextmanager
def _used() -> Iterator[dict[str, float]]:
    """Seconds, processor seconds and peak memory of the program that runs meanwhile."""
    import resource  # noqa: PLC0415 (Unix alone has it)

    used: dict[str, float] = {}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    yield used
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used["seconds"] = time.perf_counter() - began
    used["cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # The largest child so far: nothing else here takes as much.
    used["peak_mb"] = after.ru_maxrss / 1000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000_000)
    speed(parser.parse_args().lines)

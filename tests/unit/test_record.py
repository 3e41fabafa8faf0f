"""The decision log: one line of JSON for each check, whatever is in it, and none is lost."""

import json
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.check import CheckRequest
from extauthz.decision import undecided
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.observe.decision_log import DecisionLog
from extauthz.observe.record import MAX_TEXT, Entry, LineEncoder

NOW = datetime(2026, 11, 24, 3, 4, 5, 678901, tzinfo=UTC)
KEYS = {
    "time", "request_id", "host", "method", "path", "client", "login", "login_source",
    "policy_generation",
    "duration_us", "subscription", "mode", "decision", "allowed", "reasons", "details", "accounts",
    "certificate", "tolerated", "signing_certificate", "exempt",
}  # fmt: skip
ANY = st.text(st.characters(exclude_categories=()))


@given(ANY, ANY, ANY, ANY, ANY)
def test_any_text_makes_exactly_one_line(a: str, b: str, c: str, d: str, e: str) -> None:
    """No input makes a second line, another key, or an error; lone surrogates included."""
    finding = Finding(Reason.SUBSCRIPTION_UNKNOWN, e)
    request = CheckRequest(a, "GET", b, None, (Login(c, "basic"),), (), finding, d, e)
    line = LineEncoder().line(Entry(undecided(finding), request, d, 1, NOW, 0.0000421))
    record = json.loads(line)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert not any(octet < 0x20 for octet in line[:-1])
    assert record.keys() == KEYS
    assert record["time"] == "2026-11-24T03:04:05.678901Z"
    assert (record["duration_us"], record["reasons"]) == (42, ["subscription_unknown"])
    if a.isascii():
        assert record["host"] == a


def test_long_text_is_cut() -> None:
    """A client cannot fill the disk with one request."""
    finding = Finding(Reason.SUBSCRIPTION_UNKNOWN, "x" * 10**6)
    request = CheckRequest(
        "h" * 10**6, "GET", "/" * 10**6, None, (), (), finding, "i" * 10**6, "c" * 10**6
    )
    line = LineEncoder().line(Entry(undecided(finding), request, "i" * 10**6, 1, NOW, 0))

    assert len(line) < 6 * MAX_TEXT


def lines(count: int) -> list[bytes]:
    return [b'{"line":%d}\n' % number for number in range(count)]


def test_lines_come_out_whole_and_in_order(tmp_path: Path) -> None:
    """Closing the log has everything out."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    log = DecisionLog(descriptor)
    for line in lines(10_000):
        log.write([line])
    log.close()
    os.close(descriptor)

    assert path.read_bytes() == b"".join(lines(10_000))
    assert log.dropped == 0


def test_reader_that_stands_still_stops_nobody_and_drops_are_counted() -> None:
    """What does not fit in memory is dropped, and said; what fits comes out later."""
    reading, writing = os.pipe()
    log = DecisionLog(writing, capacity=100_000)
    many = [b"x" * 99 + b"\n"] * 5000
    log.write(many)
    assert log.dropped == len(many) - 1000
    got: list[bytes] = []

    def read() -> None:
        while octets := os.read(reading, 65536):
            got.append(octets)

    reader = threading.Thread(target=read)
    reader.start()
    log.close()
    os.close(writing)
    reader.join(10)
    os.close(reading)

    assert b"".join(got) == b"".join(many[: len(many) - log.dropped])


def test_reader_that_is_gone_stops_nobody() -> None:
    """A closed pipe is counted, and no error reaches a check."""
    reading, writing = os.pipe()
    os.close(reading)
    log = DecisionLog(writing)
    log.write(lines(3))
    log.close()
    os.close(writing)

    assert log.dropped == 3


def test_drops_are_announced_without_filling_the_operators_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A reader that is gone is mentioned as the losses double, not fifty times a second."""
    reading, writing = os.pipe()
    os.close(reading)
    log = DecisionLog(writing)
    for _ in range(40):
        log.write(lines(1))
        time.sleep(0.025)
    log.close()
    os.close(writing)

    assert log.dropped == 40
    assert 1 <= len(caplog.messages) <= 7
    assert "Broken pipe" in caplog.messages[0]

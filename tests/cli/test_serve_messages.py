"""Messages of `extauthz serve`: nobody needs to read them."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.cli import serve_messages
from extauthz.cli.serve_messages import Messages
from tests.cli.conftest import ENVIRONMENT, PATIENT_COMMAND, Company, UnixConnection, check


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end waits for the thread that writes for as long as a busy machine may need."""
    monkeypatch.setattr(serve_messages, "_CLOSE_SECONDS", 60.0)


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, int]]:
    """One into which nothing fits: where it is read, and where it is written."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while os.write(writing, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("name", logging.INFO, "path", 1, text, None, None)


def read_all(reading: int) -> bytes:
    os.set_blocking(reading, False)
    got = b""
    try:
        while octets := os.read(reading, 65_536):
            got += octets
    except BlockingIOError:
        pass
    return got


def test_they_come_in_order_and_whole(patient: None) -> None:
    """Whatever characters are in them."""
    reading, writing = os.pipe()
    messages = Messages(writing)
    for number in range(100):
        messages.emit(record(f"{number} \udc80"))
    messages.finish()

    assert read_all(reading).decode().splitlines() == [f"{each} \\udc80" for each in range(100)]
    os.close(reading)
    os.close(writing)


def test_a_reader_that_stands_still_holds_up_nobody(
    full_pipe: tuple[int, int], patient: None
) -> None:
    """What does not fit in memory is left out, and that is said once somebody reads."""
    reading, writing = full_pipe
    messages = Messages(writing)
    # Nobody reads: did any of these wait for that, the test would stand still.
    for number in range(1_500):
        messages.emit(record(str(number)))
    began = time.monotonic()
    messages.finish()
    assert time.monotonic() - began < 30
    lines, until = 0, time.monotonic() + 30
    while lines < 1_000:
        lines += read_all(reading).count(b"\n")
        assert time.monotonic() < until
    messages.emit(record("later"))
    messages.finish()

    assert b" messages are left out here)\nlater\n" in read_all(reading)


def test_a_reader_that_is_gone_is_no_error(patient: None) -> None:
    before = set(threading.enumerate())
    reading, writing = os.pipe()
    os.close(reading)
    messages = Messages(writing)
    messages.emit(record("one"))
    messages.emit(record("other"))
    began = time.monotonic()
    messages.finish()

    # It does not wait for a thread that has died of it.
    assert time.monotonic() - began < 30
    assert set(threading.enumerate()) <= before
    os.close(writing)


def test_a_server_answers_and_ends_whoever_does_not_read(
    company: Company, full_pipe: tuple[int, int]
) -> None:
    """Neither its messages nor an operator who begins a request and goes away hold it up."""
    listen, admin = (company.directory / each for each in ("listen", "admin"))
    process = subprocess.Popen(
        [
            *PATIENT_COMMAND, "serve", "--policy", company.policy, "--decision-log", "off",
            "--listen", f"unix:{listen}", "--admin", f"unix:{admin}",
        ],
        stderr=full_pipe[1], env=ENVIRONMENT,
    )  # fmt: skip
    try:
        with socket.socket(socket.AF_UNIX) as half:
            connect(half, admin)
            half.sendall(
                b"POST /attempt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc"
            )
            for _ in range(3):
                # It is asked first: before it answers, SIGHUP has its usual meaning.
                with contextlib.closing(UnixConnection(listen)) as connection:
                    assert check(connection, company.alice) == 200
                process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def connect(client: socket.socket, path: Path) -> None:
    """Wait for the server to be there."""
    until = time.monotonic() + 60
    while True:
        try:
            client.connect(str(path))
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.01)
        else:
            return

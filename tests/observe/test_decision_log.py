"""The decision log in front of its destinations: checks never wait, and no line vanishes unsaid."""

import fcntl
import os
import resource
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from extauthz.observe import decision_log
from extauthz.observe.decision_log import DecisionLog, DecisionLogs
from extauthz.observe.log_file import Keeping, LogFile
from extauthz.observe.log_metrics import LogMetrics
from extauthz.observe.log_queue import BATCH
from extauthz.observe.log_stream import LogStream
from extauthz.records.line import CheckRecord, GapRecord, parse
from tests.observe.log_lines import gaps_in, ids_in, lines, octets_of, records_of


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def await_threads() -> None:
    """Wait for the threads of logs that were closed: one that is late would find another's file."""
    for thread in threading.enumerate():
        if thread.name.startswith("decision-log"):
            thread.join(60)
            assert not thread.is_alive()


class Pipe:
    """A pipe that holds much less than a batch, and what has been read of it."""

    def __init__(self, fifo: Path | None = None) -> None:
        self.reading: int | None
        if fifo is None:
            self.reading, self.writing = os.pipe()
        else:
            os.mkfifo(fifo)
            self.reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            self.writing = os.open(fifo, os.O_WRONLY)
        # Where pages are large, so are pipes.
        if fcntl.fcntl(self.writing, fcntl.F_GETPIPE_SZ) > BATCH // 4:
            fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, BATCH // 4)
        self.got = bytearray()
        self._reader: threading.Thread | None = None

    def log(self, capacity: int = 10_000_000) -> DecisionLog:
        return DecisionLog(LogStream(self.writing, "stdout"), capacity)

    def is_full(self) -> bool:
        """Whether who writes more has to wait."""
        return not select.select([], [self.writing], [], 0)[1]

    def read(self) -> None:
        """Begin to read, to the end."""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.reading is not None
        while octets := os.read(self.reading, 65_536):
            self.got += octets

    def leave(self) -> None:
        """Read no more, if somebody still can."""
        if self.reading is not None:
            os.close(self.reading)
            self.reading = None

    def end(self) -> bytes:
        """What was read, once the logs are closed."""
        if self._reader is None:
            self.leave()
        await_threads()
        os.close(self.writing)
        if self._reader is not None:
            self._reader.join(60)
            assert not self._reader.is_alive()
        self.leave()
        return bytes(self.got)


@pytest.fixture(autouse=True)
def _quicker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """How long it waits is not what is tested. Of whoever still reads, no line may be given up."""
    monkeypatch.setattr(decision_log, "_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(decision_log, "_LAST_TRY_SECONDS", 0.3)
    monkeypatch.setattr(decision_log, "_STALL_SECONDS", 60.0)
    monkeypatch.setattr(decision_log, "_CLOSE_SECONDS", 60.0)
    yield
    await_threads()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


@contextmanager
def full_device() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


class TestReaderOfAPipe:
    """Standard output, mostly."""

    def test_lines_come_out_whole_and_in_order(self, pipe: Pipe) -> None:
        """Closing the log has everything out."""
        log = pipe.log()
        pipe.read()
        many = lines(5_000)
        for line in many:
            log.write([line])
        log.close()

        assert pipe.end() == b"".join(many)
        assert (log.written, log.dropped, log.waiting) == (5_000, 0, 0)

    def test_reader_that_stands_still_stops_nobody_and_is_told_what_it_missed(
        self, pipe: Pipe, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What does not fit in memory is dropped; in its place, a gap says how many lines."""
        before, more, after = lines(2_000, "a"), lines(500, "b"), lines(10, "c")
        log = pipe.log(capacity=sum(map(len, before)))
        log.write(before)
        began = datetime.now(UTC)
        log.write(more)
        assert (log.written, log.dropped) == (0, 500)
        # Nobody reads yet: the one who is stuck is not the one to say it.
        eventually(lambda: "500 lines dropped so far" in caplog.text)
        pipe.read()
        eventually(lambda: log.waiting == 0)
        log.write(after)
        log.close()
        got = [parse(line) for line in pipe.end().splitlines(keepends=True)]

        gap = got[2_000]
        assert isinstance(gap, GapRecord)
        assert (gap.dropped, gap.why) == (500, "it is not written as fast as lines come")
        assert began <= gap.since <= gap.time <= datetime.now(UTC)
        assert [*got[:2_000], *got[2_001:]] == [parse(line) for line in (*before, *after)]
        assert (log.written, log.dropped, log.beginnings) == (2_010, 500, 1)

    def test_a_gap_is_recorded_although_no_line_follows(self, pipe: Pipe) -> None:
        """Traffic may end with the lines that were dropped."""
        log = pipe.log(capacity=10)
        pipe.read()
        log.write(lines(3))
        eventually(lambda: log.beginnings == 1)
        log.close()
        (gap,) = [parse(line) for line in pipe.end().splitlines()]

        assert isinstance(gap, GapRecord)
        assert gap.dropped == log.dropped == 3

    def test_every_line_is_written_or_in_a_gap_whatever_the_pace(self, pipe: Pipe) -> None:
        """A slow reader and four quick writers: nothing is lost unsaid, and none comes twice."""
        log = pipe.log(capacity=100_000)

        def check(name: str) -> None:
            for line in lines(2_000, name):
                log.write([line])

        writers = [threading.Thread(target=check, args=[name]) for name in "abcd"]
        for writer in writers:
            writer.start()
        eventually(lambda: log.dropped > 0)
        pipe.read()
        for writer in writers:
            writer.join()
        log.close()
        got = [parse(line) for line in pipe.end().splitlines()]

        assert len(ids_in(got)) == log.written == 8_000 - log.dropped
        assert sum(gap.dropped for gap in gaps_in(got)) == log.dropped > 0
        for name in "abcd":
            own = [int(each[1:]) for each in ids_in(got) if each and each[0] == name]
            assert own == sorted(set(own))

    def test_reader_that_is_gone_stops_nobody(self, pipe: Pipe) -> None:
        """A closed pipe is counted, and no error reaches a check."""
        pipe.leave()
        log = pipe.log()
        log.write(lines(3))
        log.close()
        pipe.end()

        assert (log.written, log.dropped, log.waiting) == (0, 3, 0)

    def test_a_reader_that_comes_back_is_told(self, tmp_path: Path) -> None:
        """A named pipe can be read again."""
        fifo = tmp_path / "fifo"
        pipe = Pipe(fifo)
        log = pipe.log()
        pipe.leave()
        log.write(lines(3))
        eventually(lambda: log.dropped == 3)
        pipe.reading = os.open(fifo, os.O_RDONLY)
        pipe.read()
        eventually(lambda: log.beginnings == 1)
        log.write(lines(2))
        log.close()
        got = [parse(line) for line in pipe.end().splitlines()]

        assert [gap.dropped for gap in gaps_in(got)] == [3]
        assert isinstance(got[0], GapRecord)
        assert ids_in(got) == ["0", "1"]

    def test_a_line_that_a_reader_left_in_the_middle_spoils_no_other(self, tmp_path: Path) -> None:
        """The next one finds what is left of it in the pipe; the gap has a line of its own."""
        fifo = tmp_path / "fifo"
        pipe = Pipe(fifo)
        log = pipe.log()
        log.write(lines(1_000))
        eventually(pipe.is_full)
        pipe.leave()
        eventually(lambda: log.dropped == 1_000)
        pipe.reading = os.open(fifo, os.O_RDONLY)
        pipe.read()
        eventually(lambda: log.beginnings == 1)
        log.write(lines(2, "b"))
        log.close()
        *before, torn, gap, first, last, end = pipe.end().split(b"\n")

        assert ids_in(parse(line) for line in before) == [str(each) for each in range(len(before))]
        assert lines(1_000)[len(before)].startswith(torn)
        assert isinstance(parse(gap), GapRecord)
        assert ids_in([parse(first), parse(last)]) == ["b0", "b1"]
        assert end == b""

    def test_the_end_waits_for_slow_readers_together_and_not_for_long(
        self, pipe: Pipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One takes a little all the time, others take nothing; what they leave is counted."""
        monkeypatch.setattr(decision_log, "_CLOSE_SECONDS", 1.0)
        stuck = [Pipe() for _ in range(9)]
        logs = DecisionLogs([each.log() for each in (pipe, *stuck)])
        logs.write(lines(10_000))
        is_over = threading.Event()

        def sip() -> None:
            assert pipe.reading is not None
            while not is_over.wait(0.01) and os.read(pipe.reading, 8_192):
                pass

        reader = threading.Thread(target=sip)
        reader.start()
        began = time.monotonic()
        logs.close()
        took = time.monotonic() - began
        is_over.set()
        reader.join()

        # One after the other they would take ten seconds.
        assert took < 8
        for log in logs.logs:
            assert log.written + log.dropped == 10_000
            assert log.dropped > 0
        assert "the reader takes no more; 10000 lines are lost" in caplog.text
        for each in (pipe, *stuck):
            each.leave()
        for each in (pipe, *stuck):
            each.end()

    def test_drops_are_announced_without_filling_the_operators_log(
        self, pipe: Pipe, caplog: pytest.LogCaptureFixture
    ) -> None:
        """They are mentioned as they double, not fifty times a second."""
        log = pipe.log(capacity=0)
        first, *more = lines(40)
        log.write([first])
        eventually(lambda: len(caplog.messages) == 1)
        for line in more:
            log.write([line])
            time.sleep(0.01)
        eventually(lambda: len(caplog.messages) >= 2)
        log.close()
        pipe.end()

        assert log.dropped == 40
        assert 2 <= len(caplog.messages) <= 7
        assert "decision log stdout: 1 lines dropped so far: it is not written" in caplog.text

    def test_a_pipe_that_somebody_makes_non_blocking_loses_nothing(self, pipe: Pipe) -> None:
        """Who shares a terminal shares that."""
        log = pipe.log()
        os.set_blocking(pipe.writing, False)
        many = lines(2_000)
        log.write(many)
        eventually(pipe.is_full)
        pipe.read()
        log.close()

        assert pipe.end() == b"".join(many)


class TestFullDisk:
    """What cannot be written waits, as long as there is room for it."""

    def test_it_is_tried_again_and_said_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """At the end, what could not be written counts as dropped."""
        with full_device() as descriptor:
            log = DecisionLog(LogStream(descriptor, "stdout"))
            log.write(lines(3))
            eventually(lambda: log.failures >= 2)
            assert (log.written, log.dropped) == (0, 0)
            log.close()

        said = [message for message in caplog.messages if "No space left on device" in message]
        assert said[0] == "decision log stdout: it cannot be written: No space left on device"
        assert said[1] == "decision log stdout: No space left on device; 3 lines are lost"
        assert said[2:] in ([], ["decision log stdout: 3 lines dropped so far: " + os.strerror(28)])
        assert log.dropped == 3

    def test_it_is_why_lines_are_dropped(self, caplog: pytest.LogCaptureFixture) -> None:
        """When more come than can wait."""
        with full_device() as descriptor:
            log = DecisionLog(LogStream(descriptor, "stdout"), capacity=1_000)
            log.write(lines(1))
            eventually(lambda: log.failures >= 1)
            log.write(lines(5))
            dropped = log.dropped
            eventually(lambda: "dropped so far" in caplog.text)
            log.close()

        assert 3 <= dropped <= 5
        assert f"{dropped} lines dropped so far: No space left on device" in caplog.text

    def test_a_gap_stands_where_lines_are_missing(self, tmp_path: Path) -> None:
        """Once there is room again: every line is there, or counted and in the gap."""
        path = tmp_path / "log"
        kept, missed, later = lines(3, "a"), lines(1_000, "b"), lines(2, "c")
        log = DecisionLog(LogFile(path, Keeping()), capacity=sum(map(len, kept)) + 10)
        before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept[0]) + 10, most))
        try:
            log.write(kept)
            eventually(lambda: log.failures >= 1)
            log.write(missed)
            assert (log.written, log.dropped, path.read_bytes()) == (0, 1_000, b"")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
        eventually(lambda: log.beginnings == 1)
        log.write(later)
        log.close()
        records = records_of(path)

        assert isinstance(records[3], GapRecord)
        assert (records[3].dropped, records[3].why) == (1_000, "File too large")
        assert ids_in(records) == ["a0", "a1", "a2", "c0", "c1"]
        assert (log.written, log.dropped, log.waiting) == (5, 1_000, 0)


class TestSeveralDestinations:
    """None waits for another."""

    def test_a_blocked_pipe_does_not_hold_up_a_file(self, pipe: Pipe, tmp_path: Path) -> None:
        """Each has a thread of its own."""
        file = DecisionLog(LogFile(tmp_path / "log", Keeping()))
        logs = DecisionLogs([pipe.log(), file])
        many = lines(2_000)
        logs.write(many)
        eventually(lambda: file.written == 2_000)

        assert octets_of(tmp_path / "log") == b"".join(many)
        assert logs.logs[0].written == 0
        pipe.read()
        logs.close()
        assert pipe.end() == b"".join(many)

    def test_the_metrics_say_where_each_line_is(self, pipe: Pipe, tmp_path: Path) -> None:
        """Written, dropped or waiting, by destination."""
        path = tmp_path / "log"
        logs = DecisionLogs([pipe.log(capacity=0), DecisionLog(LogFile(path, Keeping()))])
        registry = CollectorRegistry()
        registry.register(LogMetrics(logs))
        logs.write(lines(5))
        logs.logs[1].close()

        def value(name: str, destination: str) -> float | None:
            labels = {"destination": destination}
            return registry.get_sample_value(f"extauthz_decision_log_{name}", labels)

        assert value("written_lines_total", f"file:{path}") == 5
        assert value("dropped_lines_total", f"file:{path}") == 0
        assert value("waiting_bytes", f"file:{path}") == 0
        assert value("rotations_total", f"file:{path}") == 0
        assert value("failures_total", f"file:{path}") == 0
        assert value("written_lines_total", "stdout") == 0
        assert value("dropped_lines_total", "stdout") == 5
        pipe.read()
        logs.close()
        pipe.end()


def test_a_long_queue_is_written_in_batches(tmp_path: Path) -> None:
    """So that the lock on a shared file is never held for long, and files end where they should."""
    path = tmp_path / "log"
    many = lines(3_000)
    assert sum(map(len, many)) > 4 * BATCH
    log = DecisionLog(LogFile(path, Keeping(max_octets=2 * BATCH)))
    for begin in range(0, len(many), 50):
        log.write(many[begin : begin + 50])
    log.close()

    assert all(isinstance(record, CheckRecord) for record in records_of(path))
    assert octets_of(path) == b"".join(many)
    assert log.destination.rotations >= 2

"""Whatever happens to a log, in whatever order: each line that was written is there, once."""

import os
import resource
import shutil
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from extauthz.observe.log_archive import LogArchive
from extauthz.observe.log_file import Keeping, LogFile
from tests.observe.log_lines import ids_in, line, records_of

SIZE = len(line("0000"))
KEEPING = Keeping(max_octets=5 * SIZE, max_seconds=86_400)


class SharedLog(RuleBasedStateMachine):
    """Three that write one log, somebody who meddles with its files, and a disk that fills."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "log"
        self.files = [LogFile(self.path, KEEPING) for _ in range(3)]
        self.written: list[str] = []
        self.number = 0

    def teardown(self) -> None:
        for file in self.files:
            file.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def batch(self, count: int) -> list[str]:
        self.number += count
        return [f"{number:04}" for number in range(self.number - count, self.number)]

    @rule(who=st.integers(0, 2), count=st.integers(1, 8))
    def write(self, who: int, count: int) -> None:
        names = self.batch(count)
        self.files[who].write(b"".join(map(line, names)))
        self.written += names

    @rule(who=st.integers(0, 2), count=st.integers(1, 8), room=st.integers(0, 6 * SIZE))
    def write_to_a_full_disk(self, who: int, count: int, room: int) -> None:
        names = self.batch(count)
        before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
        try:
            self.files[who].write(b"".join(map(line, names)))
        except OSError:
            return
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
        self.written += names

    @precondition(lambda self: self.path.exists())
    @rule(who=st.integers(0, 2), torn=st.integers(1, SIZE - 1))
    def be_killed_while_writing(self, who: int, torn: int) -> None:
        names = self.batch(1)
        with self.path.open("ab") as file:
            file.write(b"".join(map(line, names)) + line("torn")[:torn])
        self.written += names
        self.restart(who)

    @precondition(lambda self: self.directory.exists())
    @rule(who=st.integers(0, 2))
    def restart(self, who: int) -> None:
        self.files[who].close()
        self.files[who] = LogFile(self.path, KEEPING)

    @rule()
    def become_a_day_older(self) -> None:
        for file in self.files:
            file._written_at -= 86_400  # noqa: SLF001 (nobody can wait for it)
        yesterday = time.time() - 86_400
        if self.path.exists():
            os.utime(self.path, (yesterday, yesterday))

    @rule(who=st.integers(0, 2))
    def tend(self, who: int) -> None:
        self.files[who].tend()

    @precondition(lambda self: self.path.exists())
    @rule()
    def rotate_as_another_program(self) -> None:
        self.path.rename(self.path.with_name(f"log-{self.number:04}-{time.monotonic_ns()}"))

    @rule()
    def tidy(self) -> None:
        LogArchive(self.path, None).tidy()

    @rule()
    def remove_the_directory(self) -> None:
        # A thread may just be making a compressed file.
        while self.directory.exists():
            shutil.rmtree(self.directory, ignore_errors=True)
        self.written = []

    @invariant()
    def every_line_is_there_once(self) -> None:
        if self.path.exists() and not self.path.read_bytes().endswith((b"\n", b"}")):
            # Torn, until somebody writes or opens it.
            return
        found: list[str | None] = []
        until = time.monotonic() + 5
        while time.monotonic() < until:
            # Another thread may just replace one by its compressed form.
            with suppress(FileNotFoundError):
                found = ids_in(records_of(self.path))
                if Counter(found) == Counter(self.written):
                    return
        assert sorted(map(str, found)) == sorted(self.written)


SharedLog.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
TestSharedLog = SharedLog.TestCase

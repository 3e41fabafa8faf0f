"""Programs that run while something is shown, and end with it."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

__all__ = ["NotStartedError", "Program", "is_free", "wait_until"]

STOP_SECONDS = 10.0


class NotStartedError(RuntimeError):
    """A program did not come up; the message has its last words."""


class Program:
    """A child process with its output in files. Leaving the `with` block ends it."""

    def __init__(self, name: str, command: Sequence[str], directory: Path) -> None:
        self.name = name
        self.command = list(command)
        self.stdout = directory / f"{name}.out"
        self.stderr = directory / f"{name}.err"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, in a process group of its own: Ctrl-C is ours to handle."""
        with self.stdout.open("ab") as out, self.stderr.open("ab") as err:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """Its process id. Raises NotStartedError before it was started."""
        if self._process is None:
            raise NotStartedError(f"{self.name} was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self) -> int | None:
        """End it, by force if it takes longer than STOP_SECONDS; its exit status."""
        if self._process is None:
            return None
        if self.is_running:
            self.signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            return self._process.wait()

    def last_words(self) -> str:
        """The end of what it wrote, for a message about it."""
        texts = [file.read_text(errors="replace") for file in (self.stderr, self.stdout)]
        return "\n".join(line for text in texts for line in text.splitlines()[-5:])


def is_free(host: str, port: int) -> bool:
    """Whether a TCP port can be listened on."""
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True


def wait_until(program: Program, host: str, port: int, seconds: float = 60.0) -> None:
    """Wait until a program accepts connections. Raises NotStartedError when it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and program.is_running:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise NotStartedError(f"{program.name} did not start:\n{program.last_words()}")

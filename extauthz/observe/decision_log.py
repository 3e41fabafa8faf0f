"""The decision log: lines go out in order, whole, and never in the way of a check.

A check hands its line over and goes on; a thread of its own writes what has gathered. When the
reader of the log is slower than the checks, lines wait in memory, up to a bound. Beyond it a line
is dropped, and that is counted and said: a log that stands still must not stop the service.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence

__all__ = ["DecisionLog"]

CAPACITY = 64 * 1024 * 1024
"""Octets of lines that may wait: at 600 octets a line, about 110,000 checks."""
_GATHER_SECONDS = 0.02
"""How long a line may wait for others before they are written together."""
_STALL_SECONDS = 5.0
"""How long `close` waits for a reader that does not read."""

logger = logging.getLogger(__name__)


class DecisionLog:
    """Writes lines to a file descriptor, from any thread. Close it to have everything out."""

    def __init__(self, descriptor: int, capacity: int = CAPACITY) -> None:
        # A parent may have left the pipe non-blocking, and half a line must not be an error.
        os.set_blocking(descriptor, True)
        self._descriptor = descriptor
        self._capacity = capacity
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self.dropped = 0
        """Lines that were not written, since the start."""
        self._announced = 0
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)
        self._thread.start()

    def write(self, lines: Sequence[bytes]) -> None:
        """Hand over lines, each with its line feed. Never blocks on the reader, never raises."""
        with self._lock:
            for line in lines:
                if self._size + len(line) > self._capacity:
                    self.dropped += 1
                else:
                    self._waiting.append(line)
                    self._size += len(line)
        self._wake.set()

    def close(self) -> None:
        """Write what waits and end; give up on a reader that takes nothing for seconds."""
        self._closing.set()
        self._wake.set()
        while self._thread.is_alive():
            before = self._size
            self._thread.join(_STALL_SECONDS)
            if self._thread.is_alive() and self._size == before:
                logger.error(
                    "decision log: the reader takes no more; %d lines are lost", len(self._waiting)
                )
                return

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(_GATHER_SECONDS)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while True:
            with self._lock:
                batch = b"".join(self._waiting)
                lines = len(self._waiting)
            if not lines:
                break
            written = self._write_all(batch)
            with self._lock:
                for _ in range(lines):
                    self._size -= len(self._waiting.popleft())
                self.dropped += 0 if written else lines
        self._announce()

    def _announce(self) -> None:
        """Say that lines were dropped: once when it begins, and then as their number doubles."""
        if self.dropped >= max(1, 2 * self._announced):
            reason = self._failure or "the reader is too slow"
            logger.error("decision log: %d lines dropped so far: %s", self.dropped, reason)
            self._announced = self.dropped

    def _write_all(self, batch: bytes) -> bool:
        view = memoryview(batch)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            self._failure = error.strerror
            return False
        return True

"""Messages for the operator, on standard error, which nobody may be reading.

Standard error is often the same pipe as standard output. A check that logs, or the end of the
server, must not wait for it: so a thread of its own writes, and what does not fit in front of it is
counted and left out.
"""

import logging
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Messages", "heard"]

_WAITING = 1_000
"""How many messages may wait."""
_CLOSE_SECONDS = 1.0
"""How long the end waits for their reader."""


class Messages(logging.Handler):
    """Writes messages to a descriptor, in order, from any thread; never waits for its reader."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._queue: queue.Queue[str | None] = queue.Queue(_WAITING)
        self._left_out = 0
        self._writer = threading.Thread(target=self._run, name="messages", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a message over."""
        try:
            text = self.format(record)
            if self._left_out:
                text = f"({self._left_out} messages are left out here)\n{text}"
            self._queue.put_nowait(text)
            self._left_out = 0
        except queue.Full:
            self._left_out += 1
        except Exception:  # noqa: BLE001 (as every handler does: what is logged must not raise)
            self.handleError(record)

    def finish(self) -> None:
        """Have out what waits, if somebody reads it; what comes later is not heard."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._writer.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        # Not through sys.stderr: its buffer's lock, held by a thread that waits for ever, would
        # make the interpreter's end a crash.
        while (text := self._queue.get()) is not None:
            rest = f"{text}\n".encode("utf-8", "backslashreplace")
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                # The reader is gone, or the disk is full: there is nobody to tell.
                continue


@contextmanager
def heard(descriptor: int) -> Iterator[None]:
    """Have what is logged written to a descriptor, unless somebody listens already."""
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    messages = Messages(descriptor)
    logging.basicConfig(
        handlers=[messages], level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        yield
    finally:
        messages.finish()

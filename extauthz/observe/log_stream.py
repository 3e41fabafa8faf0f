"""Decision logs on a descriptor that this process was given: standard output."""

import os

__all__ = ["LogStream"]

_NEVER = 3600.0
_LINE_FEED = 0x0A


class LogStream:
    """A pipe, a terminal, or a file that the parent opened. Whoever reads it also keeps it."""

    beginnings = 0
    rotations = 0
    failures = 0

    def __init__(self, descriptor: int, name: str) -> None:
        # A parent may have left the pipe non-blocking, and half a line must not be an error.
        os.set_blocking(descriptor, True)
        self.name = name
        self._descriptor = descriptor
        self._gone_out = 0
        """Octets of a batch that failed in the middle: it goes on from there."""
        self._before = b""
        """What ends a line that a reader left in the middle: the next one may find it."""

    def write(self, batch: bytes) -> None:
        """See `Destination`. What went out cannot be taken back."""
        octets = self._before + batch
        rest = memoryview(octets)[self._gone_out :]
        try:
            while rest:
                try:
                    written = os.write(self._descriptor, rest)
                except BlockingIOError:
                    # Whoever shares the pipe can change that for all.
                    os.set_blocking(self._descriptor, True)
                    continue
                self._gone_out += written
                rest = rest[written:]
        except ConnectionError:
            if self._gone_out:
                self._before = b"" if octets[self._gone_out - 1] == _LINE_FEED else b"\n"
            self._gone_out = 0
            raise
        self._gone_out, self._before = 0, b""

    def tend(self) -> float:
        """See `Destination`: nothing to do."""
        return _NEVER

    def close(self) -> None:
        """See `Destination`: the descriptor stays open, for the messages of others."""

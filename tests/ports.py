"""Ports for servers that tests start, which nobody else is given meanwhile.

A port that the kernel chose is free again as soon as it is let go, and the kernel may give it to a
connection, or to a test in another process, before the server that it was meant for is there. So
ports come from below those that the kernel gives away, and each process of a test run takes them
from a block that is its own for as long as it lives.
"""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

LOOPBACK = "127.0.0.1"
FIRST, END, BLOCK = 12_000, 32_000, 500
LOCKS = Path(tempfile.gettempdir()) / f"extauthz-test-ports-{os.getuid()}"


def _block() -> range:
    """Ports that are this process's until it ends: the kernel lets go of its lock then."""
    LOCKS.mkdir(exist_ok=True)
    for first in range(FIRST, END, BLOCK):
        descriptor = os.open(LOCKS / str(first), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return range(first, first + BLOCK)
    message = f"all ports from {FIRST} to {END} are taken by other test runs"
    raise RuntimeError(message)


def _ports() -> Iterator[int]:
    block = _block()
    while True:
        yield from block


_next = _ports()


def free_port() -> int:
    """A port of loopback that nobody listens on, and that no other test is given soon."""
    for _ in range(BLOCK):
        port = next(_next)
        try:
            socket.create_server((LOOPBACK, port)).close()
        except OSError:
            continue
        return port
    message = "every port of this process's block is in use"
    raise RuntimeError(message)

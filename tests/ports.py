"""Ports for servers that tests start, which nobody else is given meanwhile.

A port that the kernel chose is free again as soon as it is let go, and the kernel may give it to a
connection, or to a test in another process, before the server that it was meant for is there. So
ports come from below those that the kernel gives away, and each process of a test run takes them
from a block that is its own for as long as it lives: who has a block holds its first port.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = "127.0.0.1"
FIRST, END, BLOCK = 12_000, 32_000, 500
ENOUGH = 8
"""Blocks that there have to be for the workers of a few test runs."""
_GIVEN_AWAY = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TURN = FIRST - 1
"""The port that is held by whoever has the turn to use ports that are fixed."""


def _end() -> int:
    """Where the kernel begins to give ports away by itself, if that leaves enough."""
    try:
        lowest = int(_GIVEN_AWAY.read_text().split()[0])
    except FileNotFoundError:
        return END
    return lowest if FIRST + ENOUGH * BLOCK <= lowest < END else END


def _hold(port: int) -> socket.socket | None:
    """Hold a port until it is closed or this process ends; None where somebody else has it.

    It is bound, and nobody listens. Unlike a file, that keeps out the tests of other users as well.
    """
    held = socket.socket()
    try:
        held.bind((LOOPBACK, port))
    except OSError:
        held.close()
        return None
    return held


def _block() -> range:
    """Ports that are this process's until it ends."""
    for first in range(FIRST, _end() - BLOCK + 1, BLOCK):
        held = _hold(first)
        if held is not None:
            held.detach()
            return range(first + 1, first + BLOCK)
    message = f"all ports from {FIRST} to {_end()} are taken by other test runs"
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


@contextmanager
def turn(seconds: float = 90.0) -> Iterator[None]:
    """Wait until no other test run of this machine uses ports that are the same for all."""
    deadline = time.monotonic() + seconds
    while (held := _hold(_TURN)) is None:
        assert time.monotonic() < deadline, f"port {_TURN} of {LOOPBACK} is in use"
        time.sleep(0.05)
    with held:
        yield

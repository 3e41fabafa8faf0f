"""A page's work, done beside the checks and not before them.

It runs in a thread; but the interpreter runs one thread at a time, and lets a waiting one in after
5 ms only, again and again. So whoever works on a page pauses of their own accord, and a check
waits for a fraction of a millisecond.
"""

import asyncio
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["Pace", "Turns"]

WORK_SECONDS = 0.0004
"""Longest work between two pauses, about."""
PAUSE_SECONDS = 0.0001

P = ParamSpec("P")
T = TypeVar("T")


class Pace:
    """Pauses now and then, when it is called often."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + WORK_SECONDS

    def __call__(self) -> None:
        if time.perf_counter() >= self._until:
            time.sleep(PAUSE_SECONDS)
            self._until = time.perf_counter() + WORK_SECONDS


class Turns:
    """Has one page made after the other, in a thread."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def made(self, make: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What `make` returns."""
        async with self._turn:
            return await asyncio.to_thread(make, *given, **named)

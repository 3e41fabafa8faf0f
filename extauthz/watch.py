"""Notices when a policy, or a file that it names, has changed.

The files are looked at a few times a second, by `stat`. That sees a write in place, a rename over
the file and the swap of a symbolic link anywhere on the way to it (Kubernetes' `..data`), and it
does so on every file system: notification does not cross NFS or many container mounts, and its
kernel-wide limits fail at the worst time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from extauthz.files import Stamp, stamp

__all__ = ["watch"]

LOOK_SECONDS = 0.25
"""How often the files are looked at."""
MAX_SHARE = 0.05
"""Looking takes at most this share of the time; with many files it is done less often."""
SETTLE_SECONDS = 0.05
"""How long the files must have stood still before they are read. Longer than the steps in which
any kernel counts a file's time, so that no write can hide behind the one before it."""
MAX_SETTLES = 10
"""How often that is waited for: files that never stand still are read all the same."""


async def watch(
    files: Callable[[], Mapping[Path, Stamp]], changed: Callable[[], Awaitable[object]]
) -> None:
    """Await `changed` whenever a file is no longer as `files()` says, until cancelled.

    `files` must say how the files were before they were last read, so that no change is lost
    between a reading and the next look.
    """
    while True:
        known = files()
        began = time.monotonic()
        seen = await asyncio.to_thread(_look, known)
        took = time.monotonic() - began
        # What was read meanwhile, because of a SIGHUP, is not read again.
        if seen != known and await _settle(seen) != files():
            await changed()
        await asyncio.sleep(max(LOOK_SECONDS, took / MAX_SHARE))


async def _settle(seen: Mapping[Path, Stamp]) -> Mapping[Path, Stamp]:
    for _ in range(MAX_SETTLES):
        await asyncio.sleep(SETTLE_SECONDS)
        before, seen = seen, await asyncio.to_thread(_look, seen)
        if before == seen:
            break
    return seen


def _look(files: Iterable[Path]) -> dict[Path, Stamp]:
    return {file: stamp(file) for file in files}

"""Reads files of accounts where that does not keep checks from being answered.

Small files are read in a thread. What is larger would hold the interpreter for seconds, and is
read in a process of its own, one at a time. That process leaves the finished index in a file that
exists in memory alone and hands over its descriptor, so that nothing is copied through a pipe and
nothing of it stays behind, whatever becomes of either side.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from mmap import PROT_READ, mmap
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import BinaryIO

from extauthz.directory.halves import in_halves
from extauthz.directory.index import Index
from extauthz.directory.mistakes import Problem
from extauthz.directory.reading import Reading, read_into_index
from extauthz.files import stamp
from extauthz.identity import IdentityKind

__all__ = ["LARGE_OCTETS", "Reader"]

READERS = 4
"""Small files that are read at a time: one on a share that hangs must not keep the others."""
LARGE_OCTETS = 512 * 1024
"""From this size on a file is read in a process of its own."""
NICENESS = 5
READ_SECONDS = 300.0
"""For how long a large file may be read before that is given up."""


class Reader:
    """Threads and a process for the files of any number of directories."""

    def __init__(self) -> None:
        self._small = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="accounts")
        self._large = ThreadPoolExecutor(max_workers=1, thread_name_prefix="accounts-large")
        self._process: BaseProcess | None = None
        self._is_closed = False
        self._turn = threading.Lock()
        """Of small files one at a time is understood: the interpreter is the checks', too."""

    async def read(
        self, path: Path, kind: IdentityKind, known: bytes
    ) -> tuple[Reading, Index | None]:
        """Read a file; its index when it is good and its content has another digest than known."""
        loop = asyncio.get_running_loop()
        if (await loop.run_in_executor(self._small, stamp, path))[2] < LARGE_OCTETS:
            return await loop.run_in_executor(self._small, self._read_small, path, kind, known)
        return await loop.run_in_executor(self._large, self._read_large, path, kind, known)

    def close(self) -> None:
        self._is_closed = True
        self._small.shutdown(wait=False, cancel_futures=True)
        self._large.shutdown(wait=False, cancel_futures=True)
        if self._process is not None:
            with contextlib.suppress(ValueError):
                self._process.kill()

    def _read_small(
        self, path: Path, kind: IdentityKind, known: bytes
    ) -> tuple[Reading, Index | None]:
        reading, image = read_into_index(path, kind, known, turn=self._turn)
        return reading, None if image is None else Index(image, kind)

    def _read_large(
        self, path: Path, kind: IdentityKind, known: bytes
    ) -> tuple[Reading, Index | None]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, path, kind, known, os.getpid())
        process = context.Process(target=_hand_over, args=arguments, daemon=True)
        with ours:
            with theirs:
                process.start()
            self._process = process
            try:
                # It may have begun just when it was to end.
                if self._is_closed:
                    return _failed("extauthz stops"), None
                if not ours.poll(READ_SECONDS):
                    return _failed(f"reading takes longer than {READ_SECONDS:.0f} s"), None
                reading, size = ours.recv()
                return reading, _receive(ours, size, kind) if size else None
            except (EOFError, OSError):
                return _failed("the process that read it died: is there enough memory?"), None
            finally:
                self._process = None
                process.kill()
                process.join()
                process.close()


def _failed(why: str) -> Reading:
    return Reading(0, (Problem(why, "try again with a smaller file"),), 1)


def _receive(connection: Connection, size: int, kind: IdentityKind) -> Index:
    descriptor = recv_handle(connection)
    try:
        with mmap(descriptor, size, prot=PROT_READ) as image:
            return Index(image, kind)
    finally:
        os.close(descriptor)


def _hand_over(
    connection: Connection, path: Path, kind: IdentityKind, known: bytes, parent: int
) -> None:
    """What the process does: read the file, say what came of it, and hand over the index."""
    # The end of the server ends this process too, when it is time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nothing that is made here has cycles.
    gc.disable()
    # Checks come first.
    os.nice(NICENESS)
    reading, image = read_into_index(path, kind, known, in_halves)
    connection.send((reading, 0 if image is None else len(image)))
    if image is not None:
        with _memory_file() as file:
            file.write(image)
            file.flush()
            del image
            send_handle(connection, file.fileno(), parent)


def _memory_file() -> BinaryIO:
    """A file without a name: in memory where the system has such, or else a temporary one."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("accounts"), "wb")
    return tempfile.TemporaryFile()

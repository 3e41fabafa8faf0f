"""Finding records in decision logs, however many gigabytes these have.

What is looked for is searched in octets, many lines at a time; only lines that have it are parsed.
A log may be in use and rotated meanwhile, and may have been cut off in the middle of a line:
neither is an error, and what could not be read is counted.
"""

import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import IO, Final

import orjson

from extauthz.files import FileProblemError
from extauthz.records.line import CheckRecord, GapRecord, NotALineError, Record, parse

__all__ = ["MAX_FOUND", "STANDARD_INPUT", "Search", "search", "siblings"]

STANDARD_INPUT: Final = "-"
MAX_FOUND: Final = 100
"""How many checks of one request id are kept, the newest."""
BLOCK: Final = 4 * 1024 * 1024
"""Octets that are looked at together. A line that is longer is none of ours."""
_GZIP: Final = b"\x1f\x8b"
_GZIP_MEMBER: Final = 16 + zlib.MAX_WBITS
_GAPS: Final = (b'"record":"gap"', b'"record": "gap"')
"""As it is written here, and as others write it anew. No text in a line can have these quotes."""
_BEGIN: Final = b'{"schema":'


@dataclass(slots=True)
class Search:
    """What was found of a request, and in what."""

    checks: list[CheckRecord] = field(default_factory=list)
    """The newest first; the same line twice is found once."""
    files: list[str] = field(default_factory=list)
    """Names of the files that were read; untrusted text."""
    lines: int = 0
    since: datetime | None = None
    """Time of the first record, as far as files begin with their oldest."""
    until: datetime | None = None
    torn: int = 0
    """Lines that are no whole record."""
    dropped: int = 0
    """Lines that could not be written, by the records of gaps."""
    damaged: list[str] = field(default_factory=list)
    """Names of compressed files that could be read in part alone."""


def search(names: Iterable[str], request_id: str) -> Search:
    """Look for the checks of a request in files, and in what they were rotated to.

    Raises FileProblemError, with the name in its message, for a file that cannot be read.
    """
    return _Searching(request_id).run(names)


def siblings(path: Path) -> list[Path]:
    """The files that a log of this name was rotated to: `PATH-TIME`, compressed or not."""
    try:
        with os.scandir(path.parent) as entries:
            return sorted(
                path.parent / entry.name
                for entry in entries
                if entry.name.startswith(f"{path.name}-")
                and entry.name[len(path.name) + 1 :][:1].isdecimal()
                and entry.is_file()
            )
    except OSError:
        return []


class _Searching:
    """One search: what was found so far, and what was looked at."""

    def __init__(self, request_id: str) -> None:
        # As it is written; an id of Envoy's is the same in every encoder's JSON.
        self._request_id = request_id.encode("utf-8", "backslashreplace").decode()
        self._needle = orjson.dumps(self._request_id)
        self._found = Search()
        self._lines: set[bytes] = set()
        self._inodes: set[tuple[int, int]] = set()

    def run(self, names: Iterable[str]) -> Search:
        for name in names:
            self._log(name)
        self._keep_newest()
        return self._found

    def _log(self, name: str) -> None:
        """A log, with what it was rotated to."""
        if name == STANDARD_INPUT:
            self._standard_input()
            return
        path = Path(name)
        missing: FileProblemError | None = None
        try:
            self._file(path)
        except FileNotFoundError as error:
            missing = _problem(name, error)
            # It may have been compressed since its name was listed.
            with suppress(FileNotFoundError):
                self._file(path.with_name(f"{path.name}.gz"))
                missing = None
        done: set[Path] = set()
        # What is compressed meanwhile goes away under one name and comes back under another.
        while fresh := [each for each in siblings(path) if each not in done]:
            missing = None
            for sibling in fresh:
                done.add(sibling)
                with suppress(FileNotFoundError):
                    self._file(sibling)
        if missing is not None:
            raise missing

    def _standard_input(self) -> None:
        try:
            with open(0, "rb", closefd=False) as stream:
                self._stream(STANDARD_INPUT, stream)
        except OSError as error:
            raise _problem("standard input", error) from error

    def _file(self, path: Path) -> None:
        """Raises FileNotFoundError, and FileProblemError for what else goes wrong."""
        try:
            with path.open("rb") as stream:
                found = os.fstat(stream.fileno())
                inode = found.st_dev, found.st_ino
                if inode not in self._inodes or not stat.S_ISREG(found.st_mode):
                    self._inodes.add(inode)
                    self._stream(str(path), stream)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise _problem(str(path), error) from error

    def _stream(self, name: str, stream: IO[bytes]) -> None:
        self._found.files.append(name)
        chunks = iter(lambda: stream.read(BLOCK), b"")
        head = next(chunks, b"")
        if head.startswith(_GZIP):
            self._blocks(self._unpacked(name, chain([head], chunks)))
        else:
            self._blocks(chain([head], chunks))

    def _unpacked(self, name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """What is compressed (RFC 1952), as far as it can be read."""
        unpacker = zlib.decompressobj(_GZIP_MEMBER)
        try:
            for chunk in chunks:
                packed = chunk
                while packed:
                    if unpacker.eof:
                        unpacker = zlib.decompressobj(_GZIP_MEMBER)
                    yield unpacker.decompress(packed, BLOCK)
                    packed = unpacker.unconsumed_tail or unpacker.unused_data.lstrip(b"\0")
            yield unpacker.flush()
        except zlib.error:
            self._found.damaged.append(name)
        else:
            if not unpacker.eof:
                self._found.damaged.append(name)

    def _blocks(self, chunks: Iterable[bytes]) -> None:
        first = last = b""
        for block in self._whole_lines(chunks):
            first = first or block
            last = block
            newlines = block.count(b"\n")
            unended = not block.endswith(b"\n")
            self._found.lines += newlines + unended
            self._found.torn += newlines - block.count(b"}\n")
            if b"\r" in block:
                self._found.torn -= block.count(b"}\r\n")
            self._found.torn += unended and not block.endswith(b"}")
            self._candidates(block)
        self._period(first, last)

    def _whole_lines(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """What a file holds, cut at ends of lines alone."""
        kept = b""
        is_too_long = False
        for chunk in chunks:
            begin = chunk.find(b"\n") + 1 if is_too_long else 0
            if is_too_long and not begin:
                continue
            is_too_long = False
            end = chunk.rfind(b"\n") + 1
            if end > begin:
                yield kept + chunk[begin:end]
                kept = b""
            kept += chunk[max(begin, end) :]
            if len(kept) > BLOCK:
                kept, is_too_long = b"", True
                self._found.torn += 1
        if kept:
            yield kept

    def _candidates(self, block: bytes) -> None:
        for line in _lines_with(block, self._needle):
            if line in self._lines:
                continue
            self._lines.add(line)
            record = _record(line)
            if isinstance(record, CheckRecord) and record.request_id == self._request_id:
                self._found.checks.append(record)
                if len(self._found.checks) >= 2 * MAX_FOUND:
                    self._keep_newest()
            elif record is None and line.endswith(b"}"):
                # That does not end in a brace is counted already.
                self._found.torn += 1
        for line in chain.from_iterable(_lines_with(block, gap) for gap in _GAPS):
            # A file and its compressed form may both be there, for a while.
            record = None if line in self._lines else _record(line)
            if isinstance(record, GapRecord):
                self._lines.add(line)
                self._found.dropped += record.dropped

    def _keep_newest(self) -> None:
        self._found.checks.sort(key=lambda record: record.time, reverse=True)
        del self._found.checks[MAX_FOUND:]

    def _period(self, first: bytes, last: bytes) -> None:
        for lines in (first.split(b"\n", 8)[:8], last.rsplit(b"\n", 8)[:0:-1]):
            for line in lines:
                if (record := _record(line)) is not None:
                    time = record.time
                    self._found.since = min(time, self._found.since or time)
                    self._found.until = max(time, self._found.until or time)
                    break


def _lines_with(block: bytes, needle: bytes) -> Iterator[bytes]:
    at = block.find(needle)
    while at >= 0:
        start = block.rfind(b"\n", 0, at) + 1
        end = block.find(b"\n", at)
        end = len(block) if end < 0 else end
        yield block[start:end].rstrip(b"\r")
        at = block.find(needle, end)


def _record(line: bytes) -> Record | None:
    """The record of a line, or the one that stands whole behind a torn one."""
    with suppress(NotALineError):
        return parse(line)
    begin = line.rfind(_BEGIN)
    if begin > 0:
        with suppress(NotALineError):
            return parse(line[begin:])
    return None


def _problem(name: str, error: OSError | ValueError) -> FileProblemError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    remedy = "check the path, and that you may read it"
    return FileProblemError(f"{name}: cannot be read: {reason}", remedy)

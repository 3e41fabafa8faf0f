"""The CRLs of all sources that a policy names: read, verified, and kept up to date.

Nothing of this is in the path of a check. A check looks into `crls`, which is swapped when a newer
list has been read in a worker and verified. A list once accepted counts until a newer one of its
CA takes its place or its nextUpdate has passed, whatever happens to the source meanwhile.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import random
import signal
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from extauthz.ca import CaCertificate
from extauthz.crl import Crl
from extauthz.evidence.kept import KeptFile
from extauthz.evidence.reading import MAX_OCTETS, Reading, read_large, read_lists
from extauthz.evidence.source import Source
from extauthz.fetch.exchange import FetchError
from extauthz.fetch.fetcher import Fetcher, Validators
from extauthz.files import Stamp, stamp
from extauthz.quoting import printable, quoted
from extauthz.revocation import CrlSource

__all__ = ["Lists"]

READERS = 4
"""Small files that are read at a time: one on a share that hangs must not keep the others."""
PREPARE_SECONDS = 30.0
"""How long a new policy waits for its lists, large ones included, before it takes effect."""
LARGE_OCTETS = 512 * 1024
"""From this size on a file is read in a process of its own: reading holds the interpreter."""
FETCH_SECONDS = 120.0
FIRST_FETCH_SECONDS = 3.0
"""How long a new policy waits for the first list of a URL of which none is kept."""
FIRST_RETRY_SECONDS = 2.0
JITTER = 0.1
"""Share by which the time of a fetch is moved, so that many servers do not ask at once."""

logger = logging.getLogger(__name__)


class Lists:
    """Holds the sources, reads them in workers, and follows their changes."""

    def __init__(self, fetcher: Fetcher, directory: Path) -> None:
        self._fetcher = fetcher
        self._directory = directory
        """Where fetched lists are kept."""
        self.sources: dict[CrlSource, Source] = {}
        self._followers: dict[CrlSource, asyncio.Task[None]] = {}
        self._reading: dict[CrlSource, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="crl")
        self._processes: Executor | None = None

    def crls(self, source: CrlSource, issuer: bytes) -> Sequence[Crl]:
        """The lists of one CA from one source."""
        found = self.sources.get(source)
        return () if found is None else found.by_issuer.get(issuer, ())

    async def prepare(self, wanted: Mapping[CrlSource, frozenset[CaCertificate]]) -> None:
        """Have the lists of these sources ready, as far as they are to be had at once."""
        fresh: list[Source] = []
        for source, authorities in wanted.items():
            known = self.sources.get(source)
            if known is None:
                known = self.sources[source] = Source(source, authorities)
                fresh.append(known)
            elif known.authorities != authorities:
                known.authorities = authorities
                fresh.append(known)
        reading = [self._begin(each.source, self._read_at_once(each)) for each in fresh]
        if reading:
            # What takes longer goes on: a share that hangs must not hold up everybody's policy.
            await asyncio.wait(reading, timeout=PREPARE_SECONDS)

    def retain(self, wanted: Iterable[CrlSource]) -> None:
        """Forget all other sources."""
        for source in set(self.sources).difference(wanted):
            del self.sources[source]
            if (follower := self._followers.pop(source, None)) is not None:
                follower.cancel()

    @property
    def files(self) -> dict[Path, Stamp]:
        """The local files as they were before they were read last."""
        return {path: seen for each in self.sources.values() for path, seen in each.files.items()}

    async def begin_rereading(self) -> None:
        """Begin to read the local sources of which a file has changed, each by itself."""
        for source in await asyncio.to_thread(_changed, list(self.sources.values())):
            if source.source not in self._reading:
                self._begin(source.source, self._read_local(source))

    async def reread(self) -> None:
        """Read the local sources again of which a file has changed."""
        await self.begin_rereading()
        await asyncio.gather(*self._reading.values())

    async def close(self) -> None:
        tasks = [*self._followers.values(), *self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._processes is not None:
            self._processes.shutdown(wait=False, cancel_futures=True)

    def _begin(self, source: CrlSource, reading: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Read a source in a task of its own, which goes on whoever waits for it."""
        task = asyncio.create_task(reading)
        self._reading[source] = task

        def ended(_: asyncio.Task[None]) -> None:
            if self._reading.get(source) is task:
                del self._reading[source]
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.critical("reading CRLs failed by a bug", exc_info=error)

        task.add_done_callback(ended)
        return task

    async def _read_at_once(self, source: Source) -> None:
        if not source.source.is_url:
            await self._read_local(source)
            return
        kept = KeptFile(self._directory, source.source.location)
        if await asyncio.to_thread(kept.content.exists):
            await self._take(source, [kept.content])
        if source.source not in self._followers:
            first = asyncio.Event()
            follower = asyncio.create_task(self._follow(source, kept, first))
            self._followers[source.source] = follower
            if not source.by_issuer:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FIRST_FETCH_SECONDS):
                        await first.wait()

    async def _read_local(self, source: Source) -> None:
        paths, source.files = await asyncio.to_thread(_local, Path(source.source.location))
        await self._take(source, paths)

    async def _take(self, source: Source, paths: Sequence[Path]) -> bool:
        """Read files and take over what they hold; say whether all of it was good."""
        problems: list[str] = [] if paths else ["it holds no file"]
        before = set(map(id, source.lists))
        for path in paths:
            read = await self._run(path, source)
            is_alone = source.source.is_url or str(path) == source.source.location
            where = "" if is_alone else f"{path.name}: "
            problems += [
                where + problem for problem in (*read.problems, *source.accept(read.lists))
            ]
        source.results["failed" if problems else "new"] += 1
        self._tell(source, "; ".join(problems) or None, before)
        return not problems

    def _tell(self, source: Source, problem: str | None, before: set[int]) -> None:
        location = printable(source.source.location)
        for crl in source.lists:
            if id(crl) not in before:
                number = "without number" if crl.number is None else f"number {crl.number}"
                logger.info("CRL of %s from %s: %s, %d entries, until %s", quoted(crl.issuer),
                            location, number, crl.entries, crl.next_update.isoformat())  # fmt: skip
        if problem is not None and problem != source.problem:
            logger.warning("CRLs from %s: %s", location, printable(problem))
        elif problem is None and source.problem is not None:
            logger.info("CRLs from %s: good again", location)
        source.problem = problem

    async def _run(self, path: Path, source: Source) -> Reading:
        """Read one file where it does not keep checks from being answered."""
        loop = asyncio.get_running_loop()
        try:
            if await asyncio.to_thread(_size, path) < LARGE_OCTETS:
                return await loop.run_in_executor(self._threads, read_lists, path)
            ders = tuple(ca.parsed.public_bytes(Encoding.DER) for ca in source.authorities)
            return await loop.run_in_executor(self._process(), read_large, path, ders)
        except asyncio.CancelledError:
            raise
        except BrokenProcessPool:
            self._processes = None
            return Reading((), ("the process that read it died: is there enough memory?",))
        # A panic of a Rust library is no Exception; whatever it is, the others are read on.
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            logger.critical("reading a CRL failed by a bug", exc_info=True)
            return Reading((), (f"extauthz failed to read it: {type(error).__name__}",))

    def _process(self) -> Executor:
        if self._processes is None:
            self._processes = ProcessPoolExecutor(
                max_workers=1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=signal.signal,
                initargs=(signal.SIGINT, signal.SIG_IGN),
                # What a large list took is given back when its reader ends.
                max_tasks_per_child=1,
            )
        return self._processes

    async def _follow(self, source: Source, kept: KeptFile, first: asyncio.Event) -> None:
        """Fetch a URL again and again, until cancelled."""
        failures = 0
        while True:
            usual = source.source.refresh.total_seconds()
            # A list that is stale is asked for again like one that could not be had.
            if await self._fetch(source, kept) and source.is_current(datetime.now(UTC)):
                failures = 0
                pause = max(1.0, min([usual, *_seconds_left(source)]))
            else:
                pause = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 16), max(2.0, usual))
                failures += 1
            first.set()
            await asyncio.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311

    async def _fetch(self, source: Source, kept: KeptFile) -> bool:
        """Fetch a URL once; say whether that went well."""
        arriving = kept.arriving()
        try:
            await asyncio.to_thread(kept.make_room)
            validators = await asyncio.to_thread(kept.validators) if source.by_issuer else None
            fetched = await self._fetcher.download(
                source.source.location, arriving, ca_file=source.source.ca_file,
                validators=validators or Validators(), limit=MAX_OCTETS, seconds=FETCH_SECONDS,
            )  # fmt: skip
            if fetched is None:
                source.results["unchanged"] += 1
                self._tell(source, None, set(map(id, source.lists)))
            elif await self._take(source, [arriving]):
                await asyncio.to_thread(kept.keep, arriving, fetched)
            else:
                return False
        except FetchError as error:
            return self._failed(source, str(error))
        except OSError as error:
            return self._failed(source, f"it cannot be kept in {kept.directory}: {error.strerror}")
        # The source is asked again all the same.
        except Exception as error:
            logger.critical("fetching a CRL failed by a bug", exc_info=True)
            return self._failed(source, f"extauthz failed to fetch it: {type(error).__name__}")
        finally:
            await asyncio.to_thread(_remove, arriving)
        return True

    def _failed(self, source: Source, problem: str) -> bool:
        source.results["failed"] += 1
        self._tell(source, problem, set(map(id, source.lists)))
        return False


def _local(location: Path) -> tuple[list[Path], dict[Path, Stamp]]:
    """The files of a source, and everything whose change is a reason to read them again.

    Of a directory, what is hidden is left out, as are directories in it: Kubernetes' `..data`.
    """
    seen = {location: stamp(location)}
    if not location.is_dir():
        return [location], seen
    try:
        found = sorted(path for path in location.iterdir() if not path.name.startswith("."))
    except OSError:
        found = []
    files = [path for path in found if not path.is_dir()]
    return files, seen | {path: stamp(path) for path in files}


def _changed(sources: Iterable[Source]) -> list[Source]:
    """The local sources of which a file is not as it was."""
    return [
        source
        for source in sources
        if any(stamp(path) != seen for path, seen in source.files.items())
    ]


def _size(path: Path) -> int:
    return stamp(path)[2]


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _seconds_left(source: Source) -> Iterable[float]:
    """Until each list that is not stale has to be replaced."""
    now = datetime.now(UTC)
    left = ((crl.next_update - now) / timedelta(seconds=1) for crl in source.lists)
    return (seconds for seconds in left if seconds > 0)

"""A large file read by two processes, each a half of it, where there are two processors.

Nearly all of the time goes into reading entries, one like the other. A process that does nothing
else forks: its copy reads the second half of the text that both have in memory, and sends what is
to be indexed. Its parent reads the first half, and then takes over what has been sent. What comes
of it is the same as without.
"""

import marshal
import os
import pickle
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe

from extauthz.directory.formats import Format
from extauthz.directory.index import Batch, batches
from extauthz.directory.mistakes import UnreadableError
from extauthz.directory.records import Records
from extauthz.directory.rows import Division, Row

__all__ = ["DIVIDED_OCTETS", "at_once", "in_halves"]

DIVIDED_OCTETS = 8 * 1024 * 1024
"""From this size on a file is divided."""


def at_once(form: Format, octets: bytes, records: Records) -> Iterator[Batch]:
    """What is to be indexed of a file. Raises UnreadableError."""
    return _batches(form.rows(octets, records, 1), records)


def in_halves(form: Format, octets: bytes, records: Records) -> Iterator[Batch]:
    """The same with two processes. Only for a process without threads.

    Raises UnreadableError, and EOFError when the other process dies.
    """
    is_worth_it = len(octets) >= DIVIDED_OCTETS and _processors() > 1
    division = form.divide(octets) if is_worth_it else None
    if division is None:
        yield from at_once(form, octets, records)
        return
    receiving, sending = Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        # Whatever happens to the copy, it must not go on with what is its parent's to do.
        try:
            receiving.close()
            _read_second(form, octets, records, division, sending)
        finally:
            os._exit(0)
    sending.close()
    try:
        sent: list[bytes] = []
        for batch in _batches(form.first_rows(octets, records, division), records):
            yield batch
            if division.holds:
                _receive(receiving, sent)
            else:
                os.kill(pid, signal.SIGKILL)
        if division.holds:
            yield from _second(receiving, sent, records)
    finally:
        receiving.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _processors() -> int:
    """How many this process may use; one, where the system does not say (it is no Linux)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _batches(rows: Iterator[Row], records: Records) -> Iterator[Batch]:
    return batches(filter(None, map(records.record, rows)))


def _read_second(
    form: Format, octets: bytes, records: Records, division: Division, sending: Connection
) -> None:
    """What the copy does: send all of the second half, and then what is wrong with it."""
    first_line = octets.count(b"\n", 0, division.cut) + 1 - bool(division.header)
    part = division.header + octets[division.cut :]
    own = Records(records.kind)
    try:
        for batch in _batches(form.rows(part, own, first_line), own):
            sending.send_bytes(marshal.dumps(batch))
    except UnreadableError as error:
        own.mistakes.add(error.problem)
    sending.send_bytes(b"")
    sending.send_bytes(pickle.dumps((own.mistakes.count, own.mistakes.kept)))


def _receive(receiving: Connection, sent: list[bytes]) -> None:
    """Take what is there, so that the other process can go on; nothing after the end."""
    while (not sent or sent[-1]) and receiving.poll():
        sent.append(receiving.recv_bytes())


def _second(receiving: Connection, sent: list[bytes], records: Records) -> Iterator[Batch]:
    for octets in sent:
        if octets:
            yield marshal.loads(octets)  # noqa: S302 (of our own copy)
    is_ended = bool(sent) and not sent[-1]
    while not is_ended and (octets := receiving.recv_bytes()):
        yield marshal.loads(octets)  # noqa: S302
    count, kept = pickle.loads(receiving.recv_bytes())  # noqa: S301
    records.mistakes.also(count, kept)

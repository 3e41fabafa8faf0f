"""The `extauthz` command. Each subcommand is one file: its options and what it does.

Its exit status is a verdict only if it was reached and could be told. Output that nobody takes is
2, as options that are wrong are, or 141 where its reader has gone, as shells have it of SIGPIPE;
130 is Ctrl-C, as there; an error of ours is 70 (sysexits.h), with a traceback.
"""

import argparse
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TextIO

from extauthz import __version__

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["build_parser", "main"]

COMMANDS = ("serve", "validate", "report", "explain", "test", "schema", "envoy", "accounts")
UNTOLD: Final = 2
READER_GONE: Final = 128 + signal.SIGPIPE
INTERRUPTED: Final = 128 + signal.SIGINT


def build_parser(commands: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line, whole, or with some of its commands: each costs the time to import it."""
    parser = argparse.ArgumentParser(
        prog="extauthz",
        description="Accept only users with a client certificate, in front of any service.",
    )
    parser.add_argument("--version", action="version", version=f"extauthz {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        importlib.import_module(f"{__name__}.{command}").add_to(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    _secure_standard_streams()
    given = sys.argv[1:] if arguments is None else arguments
    named = [command for command in COMMANDS if command in given[:1]]
    try:
        options = build_parser(named or COMMANDS).parse_args(given)
        run = options.run
        status: int = run(options)
    except SystemExit:
        # Help was asked for, or the options are wrong.
        untold = _untold(named)
        if untold is None:
            raise
        return untold
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:  # noqa: BLE001 (1 would be a verdict, and is what Python ends with)
        traceback.print_exc()
        return os.EX_SOFTWARE
    untold = _untold(named)
    return status if untold is None else untold


def _untold(named: Sequence[str]) -> int | None:
    """The exit status if something that was printed did not arrive. That is said, if need be."""
    sys.stdout.flush()
    buffer = sys.stdout.buffer if isinstance(sys.stdout, io.TextIOWrapper) else None
    raw = buffer.raw if isinstance(buffer, io.BufferedWriter) else None
    if not isinstance(raw, _Descriptor) or raw.failure is None:
        return None
    if isinstance(raw.failure, BrokenPipeError):
        # As `| head` does: nobody is left to tell.
        return READER_GONE
    command = " ".join(["extauthz", *named])
    reason = raw.failure.strerror
    print(f"{command}: standard output cannot be written: {reason}", file=sys.stderr)
    return UNTOLD


class _Descriptor(io.FileIO):
    """Where a standard stream goes; from when that fails, nowhere.

    So what prints need not know of it, wherever it is, and whatever else a command writes is
    written. Of messages that nobody takes, nobody can be told.
    """

    failure: OSError | None = None

    def write(self, octets: "ReadableBuffer", /) -> int:
        if self.failure is None:
            try:
                return super().write(octets)
            except OSError as error:
                self.failure = error
        return memoryview(octets).nbytes


def _secure_standard_streams() -> None:
    """Keep output from failing, or from going where it must not.

    A stream that the parent closed would leave its number to the next socket, which would then
    get what is meant for the stream: such a number is given to /dev/null first. A character that
    the terminal's encoding lacks is escaped.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 (standard error)
        pass
    os.close(descriptor)
    is_closed = sys.stdout is None
    sys.stderr = _secured(sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False))
    sys.stdout = _secured(sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False))
    if is_closed:
        print("extauthz: standard output is closed: what goes there is lost", file=sys.stderr)


def _secured(stream: TextIO) -> TextIO:
    """The stream, on a descriptor that does not fail; or itself where it is something else."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO:
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(raw.fileno(), "w", closefd=False)),
        encoding=stream.encoding, errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )  # fmt: skip

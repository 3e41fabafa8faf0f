"""The `extauthz` command. Each subcommand is one file: its options and what it does."""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Iterable, Sequence

from extauthz import __version__

__all__ = ["build_parser", "main"]

COMMANDS = ("serve", "validate", "report", "explain", "test", "schema", "envoy", "accounts")


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
    options = build_parser(named or COMMANDS).parse_args(given)
    run = options.run
    try:
        status: int = run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has gone, as `| head` does: nobody is left to tell, nor may
        # the interpreter try once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _secure_standard_streams() -> None:
    """Keep output from failing, or from going where it must not.

    A stream that the parent closed would leave its number to the next socket, which would then
    get what is meant for the stream: such a number is given to /dev/null first. A character that
    the terminal's encoding lacks is escaped.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 (standard error)
        pass
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    if sys.stdout is None:
        print("extauthz: standard output is closed: what goes there is lost", file=sys.stderr)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

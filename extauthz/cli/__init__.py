"""The `extauthz` command. Each subcommand is one file: its options and what it does."""

import argparse
from collections.abc import Sequence

from extauthz import __version__
from extauthz.cli import schema, serve, validate

__all__ = ["build_parser", "main"]


def build_parser() -> argparse.ArgumentParser:
    """The command line, whole."""
    parser = argparse.ArgumentParser(
        prog="extauthz",
        description="Accept only users with a client certificate, in front of any service.",
    )
    parser.add_argument("--version", action="version", version=f"extauthz {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (serve, validate, schema):
        command.add_to(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    options = build_parser().parse_args(arguments)
    run = options.run
    try:
        status: int = run(options)
    except BrokenPipeError:
        # The reader of the output has gone, as `| head` does: nobody is left to tell.
        return 1
    return status

"""The options of `extauthz serve` about decision logs."""

import argparse
import os
import re
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from extauthz.observe.decision_log import DecisionLog, DecisionLogs, Destination
from extauthz.observe.log_file import Keeping, LogFile
from extauthz.observe.log_stream import LogStream

__all__ = ["UnusableLogError", "add_to", "opened"]

MEGABYTE = 1_000_000
HOUR_SECONDS = 3600
LARGEST = 1_000_000
LONGEST_SYNC_SECONDS = 3600


class UnusableLogError(Exception):
    """A decision log cannot be written to, or kept, as asked; the message says which and why."""


class _Word(Enum):
    STDOUT = "stdout"
    OFF = "off"


_Choice: TypeAlias = _Word | Path


def add_to(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = command.add_argument_group("decision log")
    group.add_argument(
        "--decision-log",
        type=_choice,
        action=_Choose,
        default=(_Word.STDOUT,),
        metavar="stdout|file:PATH|off",
        help="where decisions are recorded; may be given again (default: stdout)",
    )
    group.add_argument(
        "--decision-log-max-mb",
        type=_number(0, LARGEST),
        default=100,
        metavar="N",
        help="finish a file that would get larger, in MB; 0 for never (default: %(default)s)",
    )
    group.add_argument(
        "--decision-log-max-hours",
        type=_number(0, LARGEST),
        default=24,
        metavar="N",
        help="finish a file at every multiple of N hours, UTC; 0 for never (default: %(default)s,"
        " at midnight)",
    )
    group.add_argument(
        "--decision-log-keep-days",
        type=_number(1, LARGEST),
        metavar="N",
        help="delete files N days after they were finished (default: they are never deleted)",
    )
    group.add_argument(
        "--decision-log-keep-mb",
        type=_number(1, LARGEST),
        metavar="N",
        help="delete the oldest finished files of a log when they are more than N MB together, as"
        " they are on the disk (default: there is no bound)",
    )
    group.add_argument(
        "--decision-log-fsync-seconds",
        type=_number(0, LONGEST_SYNC_SECONDS),
        default=1,
        metavar="N",
        help="have lines safe on the disk within N seconds; 0 for with each batch"
        " (default: %(default)s)",
    )


def opened(options: argparse.Namespace) -> DecisionLogs:
    """The decision logs that the options ask for. Raises UnusableLogError."""
    keeping = _keeping(options)
    chosen: tuple[_Choice, ...] = options.decision_log
    destinations: list[Destination] = []
    seen: dict[tuple[int, int], _Choice] = {}
    with ExitStack() as undo:
        for choice in chosen:
            if choice is _Word.OFF:
                continue
            try:
                destination = _destination(choice, keeping)
                undo.callback(destination.close)
                destinations.append(destination)
                facts = choice.stat() if isinstance(choice, Path) else os.fstat(sys.stdout.fileno())
            except OSError as error:
                reason = error.strerror or str(error)
                raise UnusableLogError(f"decision log {_shown(choice)}: {reason}") from error
            other = seen.setdefault((facts.st_dev, facts.st_ino), choice)
            if other is not choice and stat.S_ISREG(facts.st_mode):
                text = f"decision log {_shown(choice)}: this is the same file as {_shown(other)}"
                raise UnusableLogError(text)
        undo.pop_all()
    return DecisionLogs([DecisionLog(destination) for destination in destinations])


def _keeping(options: argparse.Namespace) -> Keeping:
    most: int = options.decision_log_max_mb
    kept: int | None = options.decision_log_keep_mb
    # A file that is more than all that is kept would be lost as soon as it is finished.
    if kept is not None and not most:
        raise UnusableLogError(
            "--decision-log-keep-mb goes with no --decision-log-max-mb 0: a single file could be"
            " more than all that is to be kept"
        )
    if kept is not None and kept < most:
        raise UnusableLogError(
            f"--decision-log-keep-mb {kept} is less than a single file may have: {most} MB"
            " (--decision-log-max-mb)"
        )
    return Keeping(
        max_octets=most * MEGABYTE,
        max_seconds=options.decision_log_max_hours * HOUR_SECONDS,
        keep_days=options.decision_log_keep_days,
        keep_octets=None if kept is None else kept * MEGABYTE,
        sync_seconds=options.decision_log_fsync_seconds,
    )


def _destination(choice: _Choice, keeping: Keeping) -> Destination:
    if isinstance(choice, Path):
        return LogFile(choice, keeping)
    return LogStream(sys.stdout.fileno(), choice.value)


def _shown(choice: object) -> str:
    return str(choice.value) if isinstance(choice, _Word) else f"file:{choice}"


def _choice(text: str) -> _Choice:
    if text.startswith("file:"):
        path = text.removeprefix("file:")
        if not path:
            raise argparse.ArgumentTypeError("file: needs a path")
        return Path(path)
    try:
        return _Word(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither stdout, nor file:PATH, nor off"
        ) from None


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")

    return number


class _Choose(argparse.Action):
    """Gathers the choices; the first one replaces the default."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 (argparse's signature)
        namespace: argparse.Namespace,
        value: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        before = getattr(namespace, self.dest)
        chosen = () if before is self.default else before
        if chosen and _Word.OFF in {value, *chosen}:
            raise argparse.ArgumentError(self, "off goes with no other")
        if _place(value) in map(_place, chosen):
            raise argparse.ArgumentError(self, f"{_shown(value)} is given twice")
        setattr(namespace, self.dest, (*chosen, value))


def _place(choice: object) -> object:
    return choice.resolve() if isinstance(choice, Path) else choice

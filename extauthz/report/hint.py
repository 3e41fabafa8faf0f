"""The command that tells one decision in full, ready to be copied to a shell.

A client may have chosen the request id, and anybody the names of files: everything is quoted.
"""

import os
import shlex
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from extauthz.report.files import STANDARD_INPUT

__all__ = ["explain", "where_to_look"]

MOST: Final = 3
"""So many names stay readable; of more, their directories are named."""


def explain(request_id: str, logs: Sequence[str] = ()) -> str:
    """The command; `logs` are names for its `--log`."""
    named = shlex.join(logs) if logs else "FILE"
    return f"extauthz explain {shlex.quote(request_id)} --log {named}"


def where_to_look(given: Iterable[str], files: Iterable[str]) -> tuple[str, ...]:
    """What to look in: the names that were `given`, as long as they lead to what was read.

    `files` are those that were. None where nobody can read them twice, as from a pipe.
    """
    names = [*dict.fromkeys(given)]
    if not all(os.path.lexists(name) for name in names):
        # Patterns, which only a report reads, and files that were compressed meanwhile.
        names = [*files]
    if not all(map(_is_lasting, names)):
        return ()
    if len(names) > MOST:
        names = [*dict.fromkeys(map(_directory, names))]
    return tuple(map(_no_option, names)) if len(names) <= MOST else ()


def _directory(name: str) -> str:
    return name if Path(name).is_dir() else str(Path(name).parent)


def _is_lasting(name: str) -> bool:
    if name == STANDARD_INPUT:
        return False
    try:
        mode = Path(name).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _no_option(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name

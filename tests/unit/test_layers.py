"""Imports run downwards, and the core does no I/O: pyproject.toml has the contracts."""

import re
import subprocess
import sys
from pathlib import Path


def test_import_contracts_hold() -> None:
    """What may import what is checked like any other behaviour."""
    # In a process of its own: it turns off the loggers of the one that it runs in.
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_no_group_is_repeated_possessively() -> None:
    """Python before 3.11.5 matches such groups wrongly (gh-106052): an atomic group does the same.

    `/LOGIN/` was no login's path there.
    """
    package = Path(__file__).parents[2] / "extauthz"
    groups = re.compile(r"(?<!\()\)(?:[*+?]|\{[0-9,{}]+\})\+")
    wrong = [str(path) for path in package.rglob("*.py") if groups.search(path.read_text())]
    assert wrong == []

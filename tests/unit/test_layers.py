"""Imports run downwards, and the core does no I/O: pyproject.toml has the contracts."""

from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_import_contracts_hold() -> None:
    """What may import what is checked like any other behaviour."""
    config = Path(__file__).parents[2] / "pyproject.toml"

    assert lint_imports(config_filename=str(config), no_cache=True) == EXIT_STATUS_SUCCESS

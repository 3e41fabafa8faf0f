"""A progress bar on standard error, while somebody looks at it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from extauthz.report.source import Progress, silent

__all__ = ["bar"]


@contextmanager
def bar() -> Iterator[Progress]:
    """A bar for each query; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console  # noqa: PLC0415 (an extra)
    from rich.progress import (  # noqa: PLC0415 (an extra)
        BarColumn,
        TaskID,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as Bars  # noqa: PLC0415 (an extra)

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        known: dict[str, TaskID] = {}

        def tell(doing: str, percent: float) -> None:
            if doing not in known:
                known[doing] = bars.add_task(doing, total=100)
            bars.update(known[doing], completed=percent)

        yield tell

"""Decision logs, open for questions in SQL: many files, plain and compressed, gigabytes of them.

The engine is DuckDB, inside this process: it opens no connection and installs nothing. Every line
counts once and is of one `LineKind`: what is no record of a schema that is known here is counted
and never fatal, whatever is in it. The rules of what makes a record are in `_KIND`, and nowhere
else. Times are UTC without a zone (TIMESTAMP; see `times`); `cells.aware` gives them one.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final, Protocol

from extauthz.findings import Reason
from extauthz.records.line import SCHEMA
from extauthz.report.cells import Row
from extauthz.report.files import MAX_LINE, LogFile, UnreadableFileError, found, mended, taken
from extauthz.report.times import utc

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "MAX_DROPPED",
    "LineKind",
    "Progress",
    "Selection",
    "Source",
    "literal",
    "opened",
    "silent",
    "timestamp",
]

MAX_DROPPED: Final = 10**12
"""Lines that a gap may lack; a sum of such gaps stays a number that JSON has."""
MEMORY = "1GB"
"""What the engine takes before it writes to a temporary directory."""
_POLL_SECONDS = 0.1


class LineKind(StrEnum):
    """What a line is. Unreadable ones have kind NULL."""

    CHECK = "check"
    CERTIFICATE = "certificate"
    GAP = "gap"
    OTHER_SCHEMA = "other schema"
    """Of a version that is not known here."""


class Progress(Protocol):
    """Is told how far a query is."""

    def __call__(self, doing: str, percent: float) -> None:
        """`doing` is the same text as long as it is the same query; 100 at its end."""


def silent(doing: str, percent: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which checks are meant."""

    subscription: str | None = None
    since: datetime | None = None
    """First instant (aware)."""
    until: datetime | None = None
    """Where it ends (aware): what is decided at this instant is out."""


_EVERY_LINE: Final[Mapping[str, str]] = {
    "schema": "VARCHAR",
    "record": "VARCHAR",
    "time": "VARCHAR",
    "subscription": "VARCHAR",
    "decision": "VARCHAR",
    "allowed": "BOOLEAN",
    "reasons": "VARCHAR[]",
    "id": "VARCHAR",
    "dropped": "BIGINT",
}
"""The members that say what a line is."""

_REASONS = ", ".join(f"'{reason}'" for reason in Reason)
_TIME = utc('"time"')
_KIND = f"""
    CASE
    WHEN schema IS NULL OR record IS NULL THEN NULL
    WHEN schema <> '{SCHEMA}' THEN '{LineKind.OTHER_SCHEMA}'
    WHEN "time" IS NULL OR NOT "time" BETWEEN '1970-01-01' AND '9999-01-01' THEN NULL
    WHEN record = 'check' AND allowed IS NOT NULL AND (
        decision = 'allow' AND len(reasons) = 0
        OR decision = 'deny' AND len(reasons) > 0 AND list_has_all([{_REASONS}], reasons)
    ) THEN '{LineKind.CHECK}'
    WHEN record = 'certificate' AND id IS NOT NULL THEN '{LineKind.CERTIFICATE}'
    WHEN record = 'gap' AND dropped BETWEEN 1 AND {MAX_DROPPED} THEN '{LineKind.GAP}'
    END"""


class Source:
    """Decision logs, and an engine that answers questions about them."""

    def __init__(
        self,
        connection: "duckdb.DuckDBPyConnection",
        files: Sequence[LogFile],
        selection: Selection,
        progress: Progress,
    ) -> None:
        self._connection = connection
        self._files = list(files)
        self._progress = progress
        self.selection = selection
        self._name_files()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files, as the user knows them; untrusted text."""
        return tuple(file.name for file in self._files)

    @property
    def lost(self) -> int:
        """Lines that no query sees, because they are too long or the file is damaged there.

        Known once a query came across them.
        """
        return sum(file.lost for file in self._files)

    @property
    def damaged(self) -> tuple[str, ...]:
        """Names of the files in which they are."""
        return tuple(file.name for file in self._files if file.lost)

    def lines(self, columns: Mapping[str, str]) -> str:
        """A relation, for FROM: every line, with these columns besides `time` and `kind`.

        `columns` maps members of a line to types of DuckDB. A member that is missing, or does not
        fit its type, is NULL.
        """
        every = {**columns, **_EVERY_LINE}
        types = ", ".join(f'"{name}": {literal(kind)}' for name, kind in every.items())
        return (
            f'(SELECT *, {_KIND} AS kind FROM (SELECT * REPLACE ({_TIME} AS "time")'  # noqa: S608 (ours)
            f" FROM read_json(getvariable('files'), format = 'newline_delimited',"
            f" columns = {{{types}}}, ignore_errors = true, maximum_object_size = {MAX_LINE})))"
        )

    def checks(self, columns: Mapping[str, str]) -> str:
        """A relation, for FROM: the checks that are selected, with these columns besides `time`."""
        return f"(SELECT * FROM {self.lines(columns)} WHERE {self.is_selected})"  # noqa: S608

    @property
    def is_selected(self) -> str:
        """A condition on `lines`: it is a check that is selected."""
        condition = f"kind = '{LineKind.CHECK}' AND {self.is_within}"
        if self.selection.subscription is not None:
            condition += f" AND subscription = {literal(self.selection.subscription)}"
        return condition

    @property
    def is_within(self) -> str:
        """A condition on `lines`: it is of the time that is selected."""
        conditions = ["true"]
        if self.selection.since is not None:
            conditions.append(f'"time" >= {timestamp(self.selection.since)}')
        if self.selection.until is not None:
            conditions.append(f'"time" < {timestamp(self.selection.until)}')
        return " AND ".join(conditions)

    def certificates(self) -> dict[str, tuple[str, ...]]:
        """The certificates that were recorded, by `id`: DER in base64, the peer's first."""
        relation = self.lines({"der": "VARCHAR[]"})
        rows = self.rows(
            f"SELECT id, any_value(der) FROM {relation}"  # noqa: S608 (our own text)
            f" WHERE kind = '{LineKind.CERTIFICATE}' AND len(der) > 0 GROUP BY id",
            "Looking for certificates",
        )
        return {str(id_): tuple(map(str, der)) for id_, der in rows if isinstance(der, list)}

    def rows(self, sql: str, doing: str) -> list[Row]:
        """What a query answers. `doing` says what it is for, in a few words.

        Raises UnreadableFileError when a file went away, or cannot be read even in part.
        """
        import duckdb  # noqa: PLC0415 (an extra)

        try:
            try:
                return self._answer(sql, doing)
            except (duckdb.IOException, duckdb.InvalidInputException):
                if not self._mend():
                    raise
            return self._answer(sql, doing)
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            said = str(error).partition("\n")[0]
            raise UnreadableFileError(f"the logs cannot be worked through: {said}") from error

    def run(self, sql: str, doing: str) -> None:
        """Run what answers nothing, such as CREATE TABLE … AS. Raises as `rows` does."""
        self.rows(sql, doing)

    def _answer(self, sql: str, doing: str) -> list[Row]:
        """The rows; meanwhile, this thread tells how far it is."""
        rows: list[Row] = []
        failed: list[BaseException] = []

        def work() -> None:
            try:
                rows.extend(self._connection.execute(sql).fetchall())
            except BaseException as error:  # noqa: BLE001 (raised below, in the thread that asked)
                failed.append(error)

        thread = Thread(target=work, name="query", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                self._progress(doing, max(0.0, self._connection.query_progress()))
                thread.join(_POLL_SECONDS)
        except BaseException:  # as Ctrl-C
            self._connection.interrupt()
            thread.join()
            raise
        if failed:
            raise failed[0]
        self._progress(doing, 100.0)
        return rows

    def _mend(self) -> bool:
        """Replace the files that the engine gives up on; whether there were any."""
        import duckdb  # noqa: PLC0415 (an extra)

        replaced = False
        for number, file in enumerate(self._files):
            self._connection.execute("SET VARIABLE files = $1", [[str(file.path)]])
            try:
                self._answer(f"SELECT count(*) FROM {self.lines({})}", "Looking for damage")  # noqa: S608
            except (duckdb.IOException, duckdb.InvalidInputException):
                self._files[number] = mended(file)
                replaced = True
        self._name_files()
        return replaced

    def _name_files(self) -> None:
        paths = [str(file.path) for file in self._files]
        self._connection.execute("SET VARIABLE files = $1", [paths])


@contextmanager
def opened(
    names: Iterable[str],
    selection: Selection = Selection(),
    progress: Progress = silent,
    threads: int | None = None,
) -> Iterator[Source]:
    """The decision logs of that name; see `files.found`. `-` is standard input.

    Raises UnreadableFileError, and ImportError where the engine is not installed.
    """
    import duckdb  # noqa: PLC0415 (an extra)

    with tempfile.TemporaryDirectory(prefix="extauthz-report-") as name:
        directory = Path(name)
        files = [taken(file, number, directory) for number, file in enumerate(found(names))]
        settings: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": MEMORY,
            "preserve_insertion_order": "false",
            "temp_directory": str(directory / "spilled"),
            "threads": str(threads or os.cpu_count() or 1),
        }
        with duckdb.connect(config=settings) as connection:
            connection.execute("SET enable_progress_bar = true")
            connection.execute("SET enable_progress_bar_print = false")
            yield Source(connection, files, selection, progress)


def literal(text: str) -> str:
    """A text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def timestamp(moment: datetime) -> str:
    """A moment (aware) as SQL has it."""
    return f"TIMESTAMP '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"

"""`extauthz report`: who would be refused, and why, from decision logs."""

import argparse
import logging
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from extauthz.cli.output_file import IsOurs, ensure_replaceable, replace
from extauthz.cli.policies import policy_of
from extauthz.files import FileProblemError
from extauthz.policy import Policy
from extauthz.quoting import printable, quoted
from extauthz.report.engine import Wanted, report
from extauthz.report.files import STANDARD_INPUT, UnreadableFileError
from extauthz.report.hint import where_to_look
from extauthz.report.model import Readiness, Report
from extauthz.report.progress import bar
from extauthz.report.source import Progress, Selection, Source, opened
from extauthz.report.terminal import console, show
from extauthz.report.what_if_model import Change, WhatIf
from extauthz.report.written import TABLES, as_csv, as_json, changes_as_csv, write_csv

__all__ = ["add_to", "run"]

READY, NOTHING_READ, UNUSABLE, NOT_READY, INTERRUPTED = 0, 1, 2, 3, 130
_AGO: Final = re.compile(r"([0-9]{1,5})([mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_EXAMPLES = """\
  extauthz report /var/log/extauthz
  extauthz report decisions.jsonl* --subscription acme --since 7d
  zcat old.gz | extauthz report - --json
  extauthz report /var/log/extauthz --what-if new-policy.yaml

Exit status: 0 when every subscription is ready, 3 when one is not, 1 when nothing could be read,
2 for wrong options, a policy with errors, or a file that may not or cannot be written.
With --what-if it tells of the other policy alone: 0 when nothing changes for the worse, 3 when a
check that passed would be refused, 1 when none could be decided anew.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "report",
        help="say from decision logs who would be refused, and why",
        description="Say, for each subscription, who would be refused if it were enforced, why,"
        " and what mends it: from decision logs.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="decision logs, plain or gzip: files, directories, patterns; - is standard input",
    )
    command.add_argument("--subscription", metavar="NAME", help="report on this one alone")
    command.add_argument(
        "--since", metavar="TIME", help="leave out what came before: 2026-11-01, or 7d ago"
    )
    command.add_argument("--until", metavar="TIME", help="leave out what came then or after")
    command.add_argument(
        "--as-of", metavar="TIME", help="time of the report, from which certificates expire (now)"
    )
    command.add_argument(
        "--expiring-days",
        type=_days,
        default=30,
        metavar="N",
        help="tell of certificates that expire within so many days (default: 30)",
    )
    command.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="for the reasons and ends of exemptions, and those that nobody used",
    )
    command.add_argument(
        "--what-if",
        type=Path,
        metavar="FILE",
        help="say what another policy would change for the checks in the logs",
    )
    command.add_argument("--json", action="store_true", help="report as JSON")
    command.add_argument(
        "--csv",
        metavar="DIRECTORY",
        help="write CSV files there; - prints who would be refused (with --what-if, what changes)",
    )
    command.add_argument("--html", type=Path, metavar="FILE", help="write a page to send")
    command.set_defaults(run=run, fail=command.error)


def run(options: argparse.Namespace) -> int:
    missing = _missing()
    if missing:
        _say(f'needs {missing}: pip install "extauthz[report]"')
        return UNUSABLE
    if options.json and options.csv == "-":
        options.fail("--json and --csv - both go to standard output: give --csv a directory")
    try:
        return _reported(options)
    except UnreadableFileError as error:
        _say(str(error))
        return NOTHING_READ
    except FileProblemError as error:
        _say(f"{error}; {error.remedy}")
        return UNUSABLE
    except KeyboardInterrupt:
        return INTERRUPTED


def _reported(options: argparse.Namespace) -> int:
    """Raises UnreadableFileError for inputs, and FileProblemError for outputs."""
    now = datetime.now(UTC)
    as_of = _moment(options, "as_of", now) or now
    since, until = _moment(options, "since", as_of), _moment(options, "until", as_of)
    if since and until and since >= until:
        options.fail("--since is not before --until, which leaves nothing")
    policies: dict[Path, Policy] = {}
    for path in {options.policy, options.what_if} - {None}:
        policy = policy_of(path, as_of)
        if policy is None:
            return UNUSABLE
        policies[path] = policy
    wanted = Wanted(as_of, options.expiring_days, policies.get(options.policy))
    selection = Selection(options.subscription, since, until)
    what_if: WhatIf | None = None
    with bar() as progress, opened(options.files, selection, progress) as source:
        logs = where_to_look(options.files, source.files)
        inputs = [*map(_as_path, source.files), *policies]
        for output, is_ours in _outputs(options):
            ensure_replaceable(output, inputs, is_ours)
        made = report(source, wanted)
        if options.what_if is not None and _is_something(made):
            what_if = _replayed(source, policies[options.what_if], options.what_if, progress)
    _write_files(options, made, what_if, inputs)
    _print(options, made, what_if, logs)
    return _status(made, what_if) if _is_something(made) else NOTHING_READ


def _replayed(source: Source, policy: Policy, path: Path, progress: Progress) -> WhatIf:
    from extauthz.report.what_if import what_if  # noqa: PLC0415 (a server's parts)

    # What fetching lists and asking directories logs, the replay's notes say.
    logging.disable(logging.CRITICAL)
    try:
        return what_if(source, policy, str(path), progress)
    finally:
        logging.disable(logging.NOTSET)


def _status(made: Report, what_if: WhatIf | None) -> int:
    """What a pipeline goes by; of another policy, what that one changes alone."""
    if what_if is None:
        is_ready = all(each.readiness is not Readiness.NOT_READY for each in made.subscriptions)
        return READY if is_ready else NOT_READY
    if any(each.change is Change.REFUSED and each.checks for each in what_if.totals):
        return NOT_READY
    return READY if what_if.replayed else NOTHING_READ


def _missing() -> str | None:
    """What is not installed, of what reports are made with."""
    return next((each for each in ("duckdb", "rich") if find_spec(each) is None), None)


def _moment(options: argparse.Namespace, option: str, as_of: datetime) -> datetime | None:
    """A moment, or so long before `as_of`."""
    text = getattr(options, option)
    if text is None:
        return None
    try:
        ago = _AGO.fullmatch(text)
        if ago is not None:
            return as_of - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        # What has no zone is UTC, as the records are.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        name = "--" + option.replace("_", "-")
        options.fail(
            f"{name}: not a time: {quoted(text)}; give 2026-11-01, 2026-11-01T08:00Z or 7d"
        )
        return None


def _days(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise argparse.ArgumentTypeError(f"not a number of days: {quoted(text)}")
    return int(text)


def _is_something(made: Report) -> bool:
    return any(each.checks or each.unchecked for each in made.subscriptions)


def _as_path(name: str) -> Path:
    return Path("/dev/stdin" if name == STANDARD_INPUT else name)


def _outputs(options: argparse.Namespace) -> Iterator[tuple[Path, IsOurs]]:
    """The files that are asked for, and how one of ours is told."""
    if options.html is not None:
        yield options.html, _is_page
    if options.csv not in {None, "-"}:
        for table in (*TABLES, *([] if options.what_if is None else ["what_if"])):
            yield Path(options.csv) / f"{table}.csv", _is_table


def _is_page(start: bytes) -> bool:
    return b'<meta name="generator" content="extauthz">' in start


def _is_table(start: bytes) -> bool:
    return start.removeprefix(_BYTE_ORDER_MARK).startswith(b"subscription,")


def _write_files(
    options: argparse.Namespace, made: Report, what_if: WhatIf | None, inputs: Sequence[Path]
) -> None:
    """Raises FileProblemError."""
    try:
        if options.html is not None:
            from extauthz.report.page import page  # noqa: PLC0415 (templates, and only for this)

            replace(options.html, page(made, what_if).encode(), inputs, _is_page)
        if options.csv not in {None, "-"}:
            directory = Path(options.csv)
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="extauthz-report-") as name:
                write_csv(made, what_if, Path(name))
                for table in sorted(Path(name).iterdir()):
                    replace(directory / table.name, table.read_bytes(), inputs, _is_table)
    except (OSError, ValueError) as error:
        remedy = "name another place, or make room there"
        raise FileProblemError(f"what was asked for cannot be written: {error}", remedy) from error


def _print(
    options: argparse.Namespace, made: Report, what_if: WhatIf | None, logs: Sequence[str]
) -> None:
    if options.json:
        sys.stdout.write(as_json(made, what_if).decode())
    elif options.csv == "-":
        sys.stdout.write(as_csv(made) if what_if is None else changes_as_csv(what_if))
    elif _is_something(made):
        out = console(sys.stdout)
        show(made, out, logs)
        if what_if is not None:
            from extauthz.report.what_if_text import show as show_what_if  # noqa: PLC0415

            show_what_if(what_if, out, logs)
    if not _is_something(made):
        read = made.completeness
        lines = "1 line" if read.lines == 1 else f"{read.lines:,} lines"
        why = f"no check that was asked for, in {lines}"
        if read.other_schema:
            why += f"; {read.other_schema:,} of a later extauthz"
        _say(f"{why}; {read.unreadable:,} could not be read")


def _say(text: str) -> None:
    print(printable(f"extauthz report: {text}"), file=sys.stderr)

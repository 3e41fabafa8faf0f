"""`extauthz report`: who would be refused, and why, from decision logs."""

import argparse
import logging
import re
import sys
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from extauthz.policy import Policy
from extauthz.policyfile.loader import load
from extauthz.quoting import printable, quoted
from extauthz.report.engine import Wanted, report
from extauthz.report.files import UnreadableFileError
from extauthz.report.model import Readiness, Report
from extauthz.report.progress import bar
from extauthz.report.source import Progress, Selection, Source, opened
from extauthz.report.terminal import console, show
from extauthz.report.what_if_model import Change, WhatIf
from extauthz.report.written import as_csv, as_json, changes_as_csv, write_csv

__all__ = ["add_to", "run"]

READY, NOTHING_READ, UNUSABLE, NOT_READY, INTERRUPTED = 0, 1, 2, 3, 130
_AGO: Final = re.compile(r"([0-9]{1,5})([mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_EXAMPLES = """\
  extauthz report /var/log/extauthz
  extauthz report decisions.jsonl* --subscription acme --since 7d
  zcat old.gz | extauthz report - --json
  extauthz report /var/log/extauthz --what-if new-policy.yaml

Exit status: 0 when every subscription is ready, 3 when one is not, 1 when nothing could be read,
2 for wrong options or a policy with errors. With --what-if it is 3, too, when the other policy
would refuse a check that passed, and 1 when it could decide none of them.
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
    now = datetime.now(UTC)
    as_of = _moment(options, "as_of", now) or now
    since, until = _moment(options, "since", as_of), _moment(options, "until", as_of)
    if since and until and since >= until:
        options.fail("--since is not before --until, which leaves nothing")
    policies: dict[Path, Policy] = {}
    for path in {options.policy, options.what_if} - {None}:
        policy = _policy(path, as_of)
        if policy is None:
            return UNUSABLE
        policies[path] = policy
    wanted = Wanted(as_of, options.expiring_days, policies.get(options.policy))
    selection = Selection(options.subscription, since, until)
    what_if: WhatIf | None = None
    try:
        with bar() as progress, opened(options.files, selection, progress) as source:
            made = report(source, wanted)
            if options.what_if is not None and _is_something(made):
                what_if = _replayed(source, policies[options.what_if], options.what_if, progress)
        _write(options, made, what_if)
    except UnreadableFileError as error:
        _say(str(error))
        return NOTHING_READ
    except KeyboardInterrupt:
        return INTERRUPTED
    if not _is_something(made):
        return NOTHING_READ
    return _status(made, what_if)


def _replayed(source: Source, policy: Policy, path: Path, progress: Progress) -> WhatIf:
    from extauthz.report.what_if import what_if  # noqa: PLC0415 (a server's parts)

    # What fetching lists and asking directories logs, the replay's notes say.
    logging.disable(logging.CRITICAL)
    try:
        return what_if(source, policy, str(path), progress)
    finally:
        logging.disable(logging.NOTSET)


def _status(made: Report, what_if: WhatIf | None) -> int:
    """What a pipeline goes by: in doubt, not that all is well."""
    if any(each.readiness is Readiness.NOT_READY for each in made.subscriptions):
        return NOT_READY
    if what_if is None:
        return READY
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


def _policy(path: Path, now: datetime) -> Policy | None:
    """The policy; None, and said why, when it has errors."""
    loaded = load(path, now)
    if loaded.policy is None:
        for problem in loaded.problems:
            print(problem, file=sys.stderr)
    return loaded.policy


def _is_something(made: Report) -> bool:
    return any(each.checks or each.unchecked for each in made.subscriptions)


def _write(options: argparse.Namespace, made: Report, what_if: WhatIf | None) -> None:
    """Everything that was asked for. Raises UnreadableFileError for what cannot be written."""
    try:
        if options.html is not None:
            from extauthz.report.page import page  # noqa: PLC0415 (templates, and only for this)

            options.html.write_text(page(made, what_if), encoding="utf-8")
        if options.csv not in {None, "-"}:
            write_csv(made, what_if, Path(options.csv))
    except (OSError, ValueError) as error:
        raise UnreadableFileError(f"cannot write: {error}") from error
    if options.json:
        sys.stdout.write(as_json(made, what_if).decode())
    elif options.csv == "-":
        sys.stdout.write(as_csv(made) if what_if is None else changes_as_csv(what_if))
    elif _is_something(made):
        out = console(sys.stdout)
        show(made, out)
        if what_if is not None:
            from extauthz.report.what_if_text import show as show_what_if  # noqa: PLC0415

            show_what_if(what_if, out)
    if not _is_something(made):
        read = made.completeness
        why = f"no check that was asked for, in {read.lines:,} lines"
        if read.other_schema:
            why += f"; {read.other_schema:,} are of a later extauthz"
        _say(f"{why}; {read.unreadable:,} could not be read")


def _say(text: str) -> None:
    print(printable(f"extauthz report: {text}"), file=sys.stderr)

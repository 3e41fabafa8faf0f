"""`extauthz test`: does a policy decide what its authors expect? For a policy repository's CI."""

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from extauthz.cli.explained import Style, as_json, paragraph, step_lines
from extauthz.cli.output_file import ensure_replaceable, replace
from extauthz.explanation import Outcome
from extauthz.files import FileProblemError
from extauthz.policyfile.problems import counted
from extauthz.quoting import printable
from extauthz.trial import case_file, judged
from extauthz.trial.judged import Judged
from extauthz.trial.junit import Result, is_junit, junit

__all__ = ["add_to", "run"]

_DESCRIPTION = """\
Try requests under a policy, with the server's own engine, and compare what
comes of them with what is expected.
"""
_EPILOG = """\
A file of policy tests:

  policy: policy.yaml           # relative to this file
  at: 2026-11-24T12:00:00Z      # else now
  cases:
  - name: alice comes in with her own certificate
    host: acme.example.com
    login: alice
    certificate: tests/alice.pem
    expect: allow               # whether the request passes
  - name: nobody comes in without a certificate
    host: acme.example.com
    login: alice
    expect: deny
    reasons: [certificate_missing]

Exit status: 0 when all is as expected, 1 when something is not, 2 when a file
could not be run, or the results not be written.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "test",
        help="test a policy: requests, and what is to come of them",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="YAML with cases")
    command.add_argument("--json", action="store_true", help="report as JSON")
    command.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="write the results as JUnit's XML, too; replaces those of last time",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    try:
        if options.junit is not None:
            ensure_replaceable(options.junit, options.files, is_junit)
        results = _printed(options)
        if options.junit is not None:
            replace(options.junit, junit(results), options.files, is_junit)
    except FileProblemError as error:
        print(printable(f"extauthz test: {error}; {error.remedy}"), file=sys.stderr)
        return 2
    if any(result.errors for result in results):
        return 2
    return 1 if any(_unexpected(result) for result in results) else 0


def _printed(options: argparse.Namespace) -> list[Result]:
    """What came of each file; it is printed as it comes."""
    results: list[Result] = []
    style = Style.of_output()
    for file in options.files:
        result = asyncio.run(_result(file))
        results.append(result)
        for error in result.errors:
            print(error, file=sys.stderr)
        if not options.json:
            for line in _text(result, style):
                print(line)
    if options.json:
        print(json.dumps(_report(results), indent=2))
    else:
        print(_summary(results))
    return results


async def _result(file: Path) -> Result:
    suite = case_file.read(file, datetime.now(UTC))
    if isinstance(suite, list):
        return Result(file, (), tuple(map(str, suite)))
    return Result(file, [each async for each in judged.run(suite)])


def _unexpected(result: Result) -> list[Judged]:
    return [each for each in result.judged if not each.is_as_expected]


def _text(result: Result, style: Style) -> Iterator[str]:
    """A line for each case; below those that are not as expected, in what, and why."""
    if result.errors:
        return
    inner = dataclasses.replace(style, width=style.width - 4)
    yield printable(str(result.file))
    for each in result.judged:
        if each.is_as_expected:
            yield f"{style.marked(Outcome.PASSED)}  {printable(each.case.name)}"
            continue
        yield f"{style.marked(Outcome.FAILED)}  {printable(each.case.name)}"
        for difference in each.differences:
            yield from paragraph(difference, style, "    ", "      ")
        for note in each.case.notes:
            yield from paragraph(f"Note: {note}", style, "    ", "      ")
        for step in each.telling:
            for line in step_lines(step, inner):
                yield f"    {line}"


def _summary(results: Sequence[Result]) -> str:
    cases = sum(len(result.judged) for result in results)
    failed = sum(len(_unexpected(result)) for result in results)
    unread = sum(bool(result.errors) for result in results)
    told = [f"{counted(cases, 'case')}: {cases - failed} as expected, {failed} not"]
    if unread:
        told.append(f"{counted(unread, 'file')} could not be run")
    return "; ".join(told)


def _report(results: Sequence[Result]) -> dict[str, object]:
    return {
        "as_expected": all(not (result.errors or _unexpected(result)) for result in results),
        "files": [
            {
                "file": str(result.file),
                "errors": list(result.errors),
                "cases": [_case_json(each) for each in result.judged],
            }
            for result in results
        ],
    }


def _case_json(judged: Judged) -> dict[str, object]:
    return {
        "name": judged.case.name,
        "line": judged.case.line,
        "as_expected": judged.is_as_expected,
        "differences": judged.differences,
        "notes": judged.case.notes,
        "got": as_json(judged.tried.explanation),
    }

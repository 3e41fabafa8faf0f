"""`extauthz explain REQUEST_ID --log FILE`: a decision that was recorded.

A record does not hold what the client was answered: that is the policy's `denial`, and is told
where the policy is given.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from extauthz.cli.explained import Style, as_json, lines, paragraph
from extauthz.cli.explained_answers import Answer, answer_lines, answers_json, answers_of
from extauthz.cli.policies import policy_of
from extauthz.explanation import Explanation, explain
from extauthz.files import FileProblemError
from extauthz.policy import DEFAULT_DENIAL, Policy
from extauthz.policyfile.problems import counted
from extauthz.quoting import printable, quoted
from extauthz.records.line import CheckRecord
from extauthz.records.reading import MAX_FOUND, STANDARD_INPUT, Search, search
from extauthz.redaction import PREFIX
from extauthz.report.files import UnreadableFileError
from extauthz.report.files import found as files_of

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    request_id = options.request_id.strip()
    policy = None
    now = datetime.now(UTC)
    if options.policy is not None and (policy := policy_of(options.policy, now)) is None:
        return 2
    try:
        found = search(_files(options.log), request_id)
    except UnreadableFileError as error:
        print(printable(f"extauthz explain: {error}"), file=sys.stderr)
        return 2
    except FileProblemError as error:
        print(printable(f"extauthz explain: {error}; {error.remedy}"), file=sys.stderr)
        return 2
    explanations = [explain(record) for record in found.checks]
    if options.json:
        print(json.dumps(_report(request_id, explanations, found, policy), indent=2))
    elif explanations:
        for line in _text(request_id, explanations, found, policy, Style.of_output()):
            print(line)
    else:
        print(_not_found(request_id, found), file=sys.stderr)
    if not explanations:
        return 2
    return 0 if explanations[0].record.allowed else 1


def _files(names: Iterable[str]) -> Iterator[str]:
    """Files as they are named, and those that a directory means. Raises UnreadableFileError."""
    for name in names:
        if name != STANDARD_INPUT and os.path.isdir(name):  # noqa: PTH112 (False for what fails)
            yield from files_of([name])
        else:
            yield name


def _text(
    request_id: str,
    explanations: list[Explanation],
    found: Search,
    policy: Policy | None,
    style: Style,
) -> Iterator[str]:
    if len(explanations) > 1:
        more = " or more" if len(explanations) >= MAX_FOUND else ""
        yield f"{len(explanations)}{more} checks have this request id. The newest first:"
        yield ""
    for number, explanation in enumerate(explanations):
        if number:
            yield ""
            yield "-" * style.width
            yield ""
        record = explanation.record
        time = record.time.isoformat(sep=" ", timespec="milliseconds")
        yield from paragraph(f"{request_id}, {time}", style)
        yield ""
        yield from lines(explanation, style)
        answers = _answers(record, policy)
        if answers is not None:
            yield from answer_lines(answers, style)
        elif policy is not None:
            yield from paragraph("The policy has no such subscription any more.", style)
        elif not record.allowed:
            yield from paragraph("With --policy FILE its answer is shown, too.", style)
        if record.redacted:
            yield from paragraph(
                f"Hidden in this log: {', '.join(record.redacted)}. Such a value reads"
                f" `{PREFIX}…`, the same each time that it occurs.",
                style,
            )
    for doubt in _doubts(found):
        yield from paragraph(f"{doubt[:1].upper()}{doubt[1:]}.", style)


def _not_found(request_id: str, found: Search) -> str:
    looked = f"{counted(found.lines, 'line')} of {counted(len(found.files), 'file')}"
    period = ""
    if found.since is not None and found.until is not None:
        period = f", from {_time(found.since)} until {_time(found.until)}"
    parts = [f"no check has the request id {quoted(request_id)} in {looked}{period}"]
    return printable("extauthz explain: " + "; ".join([*parts, *_doubts(found)]))


def _doubts(found: Search) -> Iterator[str]:
    """Why there may be more of it than was found."""
    if found.torn:
        yield f"{counted(found.torn, 'line')} could not be read"
    if found.dropped:
        yield f"the log lacks {counted(found.dropped, 'line')} that could not be written"
    for name in found.damaged:
        yield f"{quoted(name)} is damaged, and was read in part"


def _answers(record: CheckRecord, policy: Policy | None) -> list[Answer] | None:
    """What the client gets under a policy; none where the service answers, None if unknown."""
    if record.allowed:
        return []
    if policy is None:
        return None
    denial = DEFAULT_DENIAL
    if record.subscription is not None:
        subscription = policy.subscriptions.get(record.subscription)
        if subscription is None:
            return None
        denial = subscription.denial
    return answers_of(denial, record.request_id or "")


def _answer_json(record: CheckRecord, policy: Policy | None) -> list[dict[str, object]] | None:
    answers = _answers(record, policy)
    return None if answers is None else answers_json(answers)


def _report(
    request_id: str, explanations: list[Explanation], found: Search, policy: Policy | None
) -> dict[str, object]:
    return {
        "request_id": request_id,
        "found": [
            {**as_json(explanation), "answer": _answer_json(explanation.record, policy)}
            for explanation in explanations
        ],
        "searched": {
            "files": found.files,
            "lines": found.lines,
            "since": found.since and found.since.isoformat(),
            "until": found.until and found.until.isoformat(),
            "torn": found.torn,
            "dropped": found.dropped,
            "damaged": found.damaged,
        },
    }


def _time(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="seconds")

"""What if another policy were in force? Recorded checks, decided anew, beside what they were.

Checks that the new policy cannot tell apart are decided together (`what_if_tables`), each as of its
own time (`what_if_replay`). What a record does not tell is counted and said, and never guessed.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from extauthz.certificate import PeerCertificate
from extauthz.login import Login
from extauthz.policy import Policy
from extauthz.rehearsal import Facts, Rehearsal, narrowed, rehearsal
from extauthz.report.cells import Row, integer, text
from extauthz.report.source import Progress, Source, silent
from extauthz.report.what_if_facts import Recorded, certificate, facts
from extauthz.report.what_if_model import Unknown, WhatIf
from extauthz.report.what_if_notes import notes
from extauthz.report.what_if_replay import FOREVER, Outcome, Replay, Span, at_once
from extauthz.report.what_if_result import result
from extauthz.report.what_if_tables import Tables, staged

__all__ = ["what_if"]

GROUPS_AT_ONCE: Final = 5_000
"""How many groups, with their certificates, are in memory at once."""
TIMES_AT_ONCE: Final = 500_000
"""How many times of checks are."""

_GROUP: Final = """
    SELECT number, checks, first, last, host, unreadable, session, claimed, claimed_source,
        claimed_besides, CASE WHEN malformed THEN login_problem END, peer, no_peer, hidden,
        at_path, with_method, from_client
    FROM what_if.groups"""


@dataclass(frozen=True, slots=True)
class _Group:
    """Checks that are decided at once."""

    number: int
    checks: int
    first: int
    last: int
    facts: Facts | Unknown


def what_if(source: Source, policy: Policy, name: str, progress: Progress = silent) -> WhatIf:
    """What would change under a policy; `name` is how the user knows it.

    Asks the directories and responders of the policy, and fetches its CRLs. Raises as
    `Source.rows` does.
    """
    with staged(source) as tables:
        rows = tables.rows(
            "SELECT DISTINCT host FROM what_if.seen WHERE host IS NOT NULL", "Grouping checks"
        )
        hosts = [str(host) for (host,) in rows]
        concerned = narrowed(policy, hosts)
        tables.add_hosts(concerned, hosts)
        tables.add_paths(concerned)
        count = tables.group()
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            rehearsed = runner.run(stack.enter_async_context(rehearsal(concerned)))
            try:
                tables.add_spans(_decided(tables, rehearsed, runner, count, progress))
                said = notes(tables, concerned, rehearsed.around.evidence.lists)
            finally:
                runner.run(stack.aclose())
        return result(tables, policy, name, said)


def _decided(
    tables: Tables, rehearsed: Rehearsal, runner: asyncio.Runner, count: int, progress: Progress
) -> Iterator[dict[str, object]]:
    """The outcomes of all groups, as rows of the table of spans."""
    policy = rehearsed.snapshot.policy
    replay = Replay(policy, rehearsed.around)
    split: dict[int, int] = {}
    for begin in range(0, count, GROUPS_AT_ONCE):
        window = f"number BETWEEN {begin} AND {begin + GROUPS_AT_ONCE - 1}"
        groups = _groups(tables, policy, window)
        progress("Deciding anew", 100.0 * begin / count)
        spans = runner.run(_at_ends(replay, groups))
        for group in groups:
            if group.number in spans:
                yield _row(group.number, spans[group.number])
            else:
                split[group.number] = group.checks
    progress("Deciding anew", 100.0)
    if split:
        tables.note_times(split)
    for numbers in _batches(split):
        groups = _groups(tables, policy, f"number IN ({', '.join(map(str, numbers))})")
        several = runner.run(_between(replay, groups, tables.times(numbers)))
        for number, found in several.items():
            yield from (_row(number, each) for each in found)


async def _at_ends(replay: Replay, groups: Sequence[_Group]) -> dict[int, Span]:
    """The outcome of each group that has but one."""
    spans: dict[int, Span] = {}

    async def one(group: _Group) -> None:
        if isinstance(group.facts, Unknown):
            spans[group.number] = Span(-FOREVER, FOREVER, group.facts)
        elif (span := await replay.ends(group.facts, group.first, group.last)) is not None:
            spans[group.number] = span

    await at_once(partial(one, group) for group in groups)
    return spans


async def _between(
    replay: Replay, groups: Sequence[_Group], times: Mapping[int, Sequence[int]]
) -> dict[int, list[Span]]:
    """The outcomes of each group that may have several."""
    spans: dict[int, list[Span]] = {}

    async def one(group: _Group) -> None:
        if not isinstance(group.facts, Unknown):
            spans[group.number] = await replay.spans(group.facts, times[group.number])

    await at_once(partial(one, group) for group in groups)
    return spans


def _batches(sizes: Mapping[int, int]) -> Iterator[list[int]]:
    """Groups, as many at once as there may be times in memory."""
    batch: list[int] = []
    total = 0
    for number, size in sizes.items():
        if batch and (total + size > TIMES_AT_ONCE or len(batch) >= GROUPS_AT_ONCE):
            yield batch
            batch, total = [], 0
        batch.append(number)
        total += size
    if batch:
        yield batch


def _groups(tables: Tables, policy: Policy, where: str) -> list[_Group]:
    """Some groups, with their facts."""
    rows = tables.rows(f"{_GROUP} WHERE {where}", "Taking groups")
    found = tables.rows(
        "SELECT id, der FROM what_if.certificates"  # noqa: S608 (our own text)
        f" WHERE id IN (SELECT peer FROM what_if.groups WHERE {where})",
        "Taking groups",
    )
    read = {
        str(id_): certificate(str(id_), [str(each) for each in der])
        for id_, der in found
        if isinstance(der, list)
    }
    certificates = {id_: peer for id_, peer in read.items() if peer is not None}
    groups: list[_Group] = []
    for row in rows:
        number, checks, first, last = map(integer, row[:4])
        groups.append(_Group(number, checks, first, last, _facts(row[4:], policy, certificates)))
    return groups


def _facts(
    row: Row, policy: Policy, certificates: Mapping[str, PeerCertificate]
) -> Facts | Unknown:
    (
        host, unreadable, session, claimed, claimed_source, besides, problem, peer, no_peer,
        hidden, path, method, client,
    ) = row  # fmt: skip
    logins = [] if claimed is None else [Login(str(claimed), str(claimed_source))]
    if isinstance(besides, list):
        logins += [Login(str(each["login"]), str(each["source"])) for each in besides]
    recorded = Recorded(
        text(host), bool(unreadable), bool(session), tuple(logins), text(problem), text(peer),
        text(no_peer), bool(hidden), text(path), text(method), text(client),
    )  # fmt: skip
    return facts(recorded, policy, certificates)


def _row(number: int, span: Span) -> dict[str, object]:
    row: dict[str, object] = {"number": number, "since": span.since, "until": span.until}
    outcome = span.outcome
    if isinstance(outcome, Outcome):
        return row | {
            "allowed": outcome.allowed,
            "reasons": ",".join(outcome.reasons),
            "exemption": outcome.exemption,
            "detail": outcome.detail,
        }
    return row | {"unknown": outcome}

"""Trying a request: decided by the server's engine, recorded as in its log, explained from that."""

from dataclasses import dataclass
from datetime import datetime

from extauthz.decision import Decision
from extauthz.explanation import Explanation, rehearsed
from extauthz.observe.record import Entry, LineEncoder
from extauthz.records.line import CheckRecord, parse
from extauthz.rehearsal import Facts, Rehearsal

__all__ = ["Tried", "tried"]


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a request. Nothing in it is redacted."""

    decision: Decision
    explanation: Explanation

    @property
    def record(self) -> CheckRecord:
        return self.explanation.record


async def tried(rehearsal: Rehearsal, facts: Facts, at: datetime) -> Tried:
    """Decide on a request, as of `at` (aware), and explain it."""
    decision = await rehearsal.decided(facts, at)
    request = facts.under(rehearsal.snapshot.policy)
    generation = rehearsal.snapshot.generation
    line = LineEncoder().line(Entry(decision, request, facts.request_id, generation, at, 0.0))
    record = parse(line)
    if not isinstance(record, CheckRecord):
        message = "a check was recorded as something else"
        raise TypeError(message)
    return Tried(decision, rehearsed(record))

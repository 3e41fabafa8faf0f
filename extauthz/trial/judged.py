"""Running policy tests: what came of each case, and where that is not what was expected."""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from extauthz.explanation import Step
from extauthz.findings import Reason
from extauthz.rehearsal import narrowed, rehearsal
from extauthz.remedies import REMEDIES
from extauthz.trial.case_file import Case, Suite
from extauthz.trial.tried import Tried, tried

__all__ = ["Judged", "run"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a case."""

    case: Case
    tried: Tried
    differences: tuple[str, ...]
    """In what that is not as expected, a line each; none when it is. Untrusted text."""

    @property
    def is_as_expected(self) -> bool:
        return not self.differences

    @property
    def telling(self) -> tuple[Step, ...]:
        """The checks that say why: those with faults, those that were to have some, the policy."""
        expected = self.case.expected
        awaited = {
            REMEDIES[reason].check.value[0]
            for reason in (expected.reasons or frozenset()) | (expected.tolerated or frozenset())
        }
        *checks, conclusion = self.tried.explanation.steps
        telling = (step for number, step in enumerate(checks) if step.faults or number in awaited)
        return (*telling, conclusion)


async def run(suite: Suite) -> AsyncIterator[Judged]:
    """Run the cases, in their order; none knows of another."""
    hosts = (case.facts.host for case in suite.cases)
    async with rehearsal(narrowed(suite.policy, hosts)) as rehearsed:
        for case in suite.cases:
            anew = rehearsed.under(rehearsed.snapshot.policy)
            came = await tried(anew, case.facts, case.at or datetime.now(UTC))
            yield Judged(case, came, tuple(_differences(case, came)))


def _differences(case: Case, came: Tried) -> Iterator[str]:
    expected, record = case.expected, came.record
    if expected.allowed != record.allowed:
        yield f"expected {_answer(expected.allowed)}, got {_answer(record.allowed)}"
    yield from _reasons("reasons", expected.reasons, record.reasons)
    yield from _reasons("tolerated", expected.tolerated, record.tolerated)
    accounts = {account.login for account in came.decision.accounts}
    if expected.accounts is not None and expected.accounts != accounts:
        yield f"accounts: expected {_listed(expected.accounts)}, got {_listed(accounts)}"
    if expected.says_exempt and expected.exempt != record.exempt:
        yield f"exempt: expected {expected.exempt or 'none'}, got {record.exempt or 'none'}"


def _reasons(
    what: str, expected: frozenset[Reason] | None, found: Iterable[Reason]
) -> Iterator[str]:
    if expected is not None and expected != (got := frozenset(found)):
        yield f"{what}: expected {_listed(expected)}, got {_listed(got)}"


def _answer(allowed: bool) -> str:  # noqa: FBT001 (it is what is worded)
    return "allow" if allowed else "deny"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(sorted(texts)) or "none"

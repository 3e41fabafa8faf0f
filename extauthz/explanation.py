"""A decision, check by check, for whoever has to mend what is wrong.

An explanation is made of a record and of nothing else: so the record says enough, and the server's
own decision is what is explained. Nothing is decided here: a check failed when one of its reasons
stands in the record, and what is said beside that is what the record has of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from extauthz.compared import compared
from extauthz.findings import Reason
from extauthz.policy import Mode
from extauthz.quoting import quoted
from extauthz.records.line import CheckRecord
from extauthz.remedies import REMEDIES, Check

__all__ = ["Explanation", "Fault", "Outcome", "Step", "explain", "rehearsed"]


class Outcome(StrEnum):
    """How a check went."""

    PASSED = "passed"
    FAILED = "failed"
    TOLERATED = "tolerated"
    """It failed, and the policy lets that pass."""
    NOT_MADE = "not made"
    """The subscription does not ask for it, or there was nothing to make it on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and what mends it."""

    reason: Reason
    detail: str | None
    """What was compared; None where the record hides it. Untrusted text."""
    remedy: str


@dataclass(frozen=True, slots=True)
class Step:
    """One check."""

    title: str
    """Such as `2. It is within its validity period`."""
    outcome: Outcome
    compared: tuple[str, ...] = ()
    """What was looked at, a line each; untrusted text."""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A whole decision."""

    record: CheckRecord
    steps: tuple[Step, ...]
    """In order: the request, the six checks, the session, and what the policy makes of it."""
    verdict: str
    """A sentence: what was found, and what the client gets."""


def explain(record: CheckRecord) -> Explanation:
    """Explain a decision by its record."""
    steps = (*(_step(record, check) for check in Check), _conclusion(record))
    return Explanation(record, steps, _verdict(record))


def rehearsed(record: CheckRecord) -> Explanation:
    """Explain a decision of `rehearsal`: nobody asked whose the session is."""
    explanation = explain(record)
    title = _title(Check.SESSION)
    steps = (
        replace(
            step, outcome=Outcome.NOT_MADE,
            compared=("sessions are known to a server that runs, and left out here",),
        )
        if step.title == title and step.outcome is Outcome.PASSED
        else step
        for step in explanation.steps
    )  # fmt: skip
    return replace(explanation, steps=tuple(steps))


def _step(record: CheckRecord, check: Check) -> Step:
    failed = tuple(_faults(check, record.reasons, record.details))
    tolerated = tuple(_faults(check, record.tolerated, record.tolerated_details))
    looked = compared(record, check)
    lines = looked.lines
    if failed:
        outcome = Outcome.FAILED
        if tolerated:
            lines = (*lines, _let_pass(fault.reason for fault in tolerated))
    elif tolerated:
        outcome = Outcome.TOLERATED
    elif looked.not_made is not None:
        outcome, lines = Outcome.NOT_MADE, (*lines, looked.not_made)
    else:
        outcome = Outcome.PASSED
    return Step(_title(check), outcome, lines, (*failed, *tolerated))


def _title(check: Check) -> str:
    number, name = check.value
    return f"{number}. {name}" if check not in {Check.REQUEST, Check.SESSION} else name


def _faults(
    check: Check, reasons: Sequence[Reason], details: Sequence[str | None]
) -> Iterator[Fault]:
    for number, reason in enumerate(reasons):
        if (known := REMEDIES[reason]).check is check:
            detail = details[number] if number < len(details) else None
            yield Fault(reason, detail, known.remedy)


def _let_pass(reasons: Iterable[Reason]) -> str:
    return f"let pass by the policy: {', '.join(dict.fromkeys(reasons))}"


def _conclusion(record: CheckRecord) -> Step:
    lines = [] if record.mode is None else [_MODES[record.mode]]
    if record.is_left_out:
        lines = [_LEFT_OUT]
    if record.exempt is not None:
        lines.append(f"the exemption {quoted(record.exempt)} lets it pass")
    elif record.tolerated:
        lines.append(_let_pass(record.tolerated))
    lines.append("the request passes" if record.allowed else "the request is refused")
    if not record.allowed:
        outcome = Outcome.FAILED
    elif record.reasons or record.tolerated or record.exempt is not None:
        outcome = Outcome.TOLERATED
    else:
        outcome = Outcome.NOT_MADE if record.mode is Mode.OFF else Outcome.PASSED
    return Step("What the policy makes of it", outcome, tuple(lines))


_MODES: Mapping[Mode, str] = MappingProxyType(
    {
        Mode.OFF: "mode off: nothing is checked, and everybody passes",
        Mode.AUDIT: "mode audit: what is found is recorded, and everybody passes",
        Mode.ENFORCE: "mode enforce: whoever fails a check is refused",
    }
)
_LEFT_OUT = (
    "mode enforce, but `certificate_required_for` leaves this user out: what is found is recorded,"
    " and the request passes"
)


def _verdict(record: CheckRecord) -> str:
    found, excused = _meanings(record.reasons), _meanings(record.tolerated)
    if not record.allowed:
        if Reason.INTERNAL_ERROR in record.reasons:
            return f"Refused: {found}. Envoy is told of an error, and refuses the client with 403."
        answer = (
            "403, as for every host that nobody answers for"
            if record.subscription is None
            else "the subscription's `denial`, the same answer whichever check fails"
        )
        return f"Refused: {found or 'the record does not say why'}. The client gets {answer}."
    if record.mode is Mode.OFF:
        return "The request passes: `mode: off`, so nothing was checked."
    if record.reasons and record.is_left_out:
        return (
            "The request passes, because `certificate_required_for` leaves this user out. If a"
            f" certificate were demanded, it would be refused: {found}."
        )
    if record.reasons:
        mode = "" if record.mode is None else f", because its mode is `{record.mode}`"
        return f"The request passes{mode}. In `enforce` it would be refused: {found}."
    if record.exempt is not None:
        why = f" ({excused})" if excused else ""
        return f"The request passes by the exemption {quoted(record.exempt)}{why}."
    if excused:
        return f"The request passes, and the policy tolerates this: {excused}."
    return "The request passes: nothing was found against it."


def _meanings(reasons: Iterable[Reason]) -> str:
    """What reasons mean, each once, in the order of the checks."""
    known = sorted((REMEDIES[reason] for reason in reasons), key=lambda each: each.check.value)
    return "; ".join(dict.fromkeys(each.meaning for each in known))

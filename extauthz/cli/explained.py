"""An explanation as text for a terminal, and as JSON.

Everything in it that is somebody else's is made printable here. Each outcome has a sign and a word
of its own; colour only repeats them.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from extauthz.explanation import Explanation, Fault, Outcome, Step
from extauthz.quoting import printable
from extauthz.remedies import REMEDIES

__all__ = ["Style", "as_json", "lines", "paragraph", "step_lines"]

MIN_WIDTH, MAX_WIDTH = 60, 100
HIDDEN = "hidden in this log"


@dataclass(frozen=True, slots=True)
class _Mark:
    sign: str
    colour: str


_MARKS: Mapping[Outcome, _Mark] = MappingProxyType(
    {
        Outcome.PASSED: _Mark("+", "32"),
        Outcome.FAILED: _Mark("x", "31"),
        Outcome.TOLERATED: _Mark("~", "33"),
        Outcome.NOT_MADE: _Mark("-", "2"),
    }
)
_WORD = max(len(outcome) for outcome in Outcome)


@dataclass(frozen=True, slots=True)
class Style:
    """How a terminal is written to."""

    width: int = 80
    is_coloured: bool = False

    @classmethod
    def of_output(cls) -> "Style":
        """That of standard output; https://no-color.org is heard."""
        width = min(max(shutil.get_terminal_size().columns, MIN_WIDTH), MAX_WIDTH)
        is_coloured = (
            sys.stdout.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb"
        )
        return cls(width, is_coloured)

    def marked(self, outcome: Outcome) -> str:
        """`[+] passed`, as wide for each outcome."""
        mark = _MARKS[outcome]
        text = f"[{mark.sign}] {outcome.value}".ljust(_WORD + 4)
        return f"\x1b[{mark.colour}m{text}\x1b[0m" if self.is_coloured else text


def lines(explanation: Explanation, style: Style) -> Iterator[str]:
    """Every check, in order, and the verdict."""
    for step in explanation.steps:
        yield from step_lines(step, style)
    yield ""
    yield from paragraph(explanation.verdict, style)


def step_lines(step: Step, style: Style) -> Iterator[str]:
    """One check: how it went, what was compared, what is wrong and what mends it."""
    yield f"{style.marked(step.outcome)}  {step.title}"
    for compared in step.compared:
        yield from paragraph(compared, style, "    ", "      ")
    for fault in step.faults:
        yield from _fault_lines(fault, style)


def _fault_lines(fault: Fault, style: Style) -> Iterator[str]:
    meaning = REMEDIES[fault.reason].meaning
    for label, text in (
        (f"{fault.reason}: ", meaning),
        ("found: ", HIDDEN if fault.detail is None else fault.detail),
        ("mend:  ", fault.remedy),
    ):
        again = "             "
        indent = "    ! " if text is meaning else "      "
        yield from paragraph(label + text, style, indent, again)


def paragraph(text: str, style: Style, indent: str = "", again: str = "") -> list[str]:
    """A text, printable, in lines of the style's width."""
    return textwrap.wrap(
        printable(text), style.width, initial_indent=indent, subsequent_indent=again,
        break_on_hyphens=False,
    )  # fmt: skip


def as_json(explanation: Explanation) -> dict[str, object]:
    """The same for a machine."""
    record = explanation.record
    return {
        "allowed": record.allowed,
        "decision": record.decision,
        "mode": record.mode,
        "reasons": list(record.reasons),
        "tolerated": list(record.tolerated),
        "exempt": record.exempt,
        "verdict": explanation.verdict,
        "checks": [_step_json(step) for step in explanation.steps],
        "record": record.model_dump(mode="json", by_alias=True),
    }


def _step_json(step: Step) -> dict[str, object]:
    return {
        "title": step.title,
        "outcome": step.outcome,
        "compared": step.compared,
        "faults": list(_faults_json(step.faults)),
    }


def _faults_json(faults: Iterable[Fault]) -> Iterator[dict[str, object]]:
    for fault in faults:
        yield {
            "reason": fault.reason,
            "meaning": REMEDIES[fault.reason].meaning,
            "detail": fault.detail,
            "remedy": fault.remedy,
        }

"""Results of policy tests as JUnit's XML, which every CI reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from extauthz.quoting import printable
from extauthz.trial.judged import Judged

__all__ = ["Result", "is_junit", "junit"]

_NAME: Final = "extauthz test"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a file of policy tests."""

    file: Path
    judged: Sequence[Judged]
    errors: Sequence[str] = ()
    """Why it was not run; untrusted text."""


def junit(results: Sequence[Result]) -> bytes:
    """The document. No text in it can end a value, or is what XML does not allow."""
    root = ET.Element("testsuites", name=_NAME)
    for result in results:
        _suite(root, result)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def is_junit(start: bytes) -> bool:
    """Whether a file that starts so is such a document."""
    return start.startswith(b"<?xml ") and f'<testsuites name="{_NAME}"'.encode() in start


def _suite(root: ET.Element, result: Result) -> None:
    failures = sum(not judged.is_as_expected for judged in result.judged)
    name = printable(str(result.file))
    suite = ET.SubElement(
        root, "testsuite", name=name, tests=str(len(result.judged) + len(result.errors)),
        failures=str(failures), errors=str(len(result.errors)), skipped="0",
    )  # fmt: skip
    for error in result.errors:
        case = ET.SubElement(suite, "testcase", classname=name, name="the file is right")
        ET.SubElement(case, "error", message=printable(error))
    for judged in result.judged:
        case = ET.SubElement(
            suite, "testcase", classname=name, name=printable(judged.case.name),
            file=name, line=str(judged.case.line),
        )  # fmt: skip
        if not judged.is_as_expected:
            message = "; ".join(map(printable, judged.differences))
            failure = ET.SubElement(case, "failure", message=message)
            found = (
                f"{fault.reason}: {fault.detail}"
                for step in judged.telling
                for fault in step.faults
            )
            texts = (judged.tried.explanation.verdict, *judged.case.notes, *found)
            failure.text = "\n".join(map(printable, texts))

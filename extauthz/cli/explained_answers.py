"""The answers that a refused client gets, in words: the server's own, for each kind of client."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aiohttp import hdrs

from extauthz.cli.explained import Style, paragraph
from extauthz.policy import Denial
from extauthz.quoting import printable
from extauthz.wire.answer import HTML, JSON, PLAIN, denied

__all__ = ["Answer", "answer_lines", "answers_json", "answers_of"]

MAX_BODY_LINES = 12
"""How many lines of a body are shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets who is refused."""

    status: int
    content_type: str
    body: str
    is_page: bool
    """Whether it is our own page for browsers."""


def answers_of(denial: Denial, request_id: str = "") -> list[Answer]:
    """The answers to clients that accept this or that."""
    answers: list[Answer] = []
    for accept in (PLAIN, HTML, JSON) if denial.content_type is None else (PLAIN,):
        response = denied(denial, accept, request_id)
        body = response.body if isinstance(response.body, bytes) else b""
        content_type = response.headers[hdrs.CONTENT_TYPE]
        answers.append(Answer(response.status, content_type, body.decode(), accept == HTML))
    return answers


def answer_lines(answers: Iterable[Answer], style: Style) -> Iterator[str]:
    """The answers for a terminal."""
    for answer in answers:
        yield from paragraph(f"{answer.status}, {answer.content_type}", style, "    ", "      ")
        if answer.is_page:
            text = "a page with the same words, for browsers; --json has it"
            yield from paragraph(text, style, "      ", "      ")
            continue
        body = answer.body.splitlines()
        for line in body[:MAX_BODY_LINES]:
            yield "      " + printable(line)
        more = len(body) - MAX_BODY_LINES
        if more > 0:
            words = "line; --json has it" if more == 1 else "lines; --json has them"
            yield f"      … ({more} more {words})"


def answers_json(answers: Iterable[Answer]) -> list[dict[str, object]]:
    """The answers for a machine."""
    return [
        {"status": answer.status, "content_type": answer.content_type, "body": answer.body}
        for answer in answers
    ]

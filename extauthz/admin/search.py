"""Finding decisions among those that are in memory.

A line is looked at as octets before it is parsed, which is many times quicker; what is found by
that is held against the question once it is parsed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

import orjson

from extauthz.admin.history import Kept
from extauthz.admin.pacing import Pace
from extauthz.findings import Reason
from extauthz.records.line import CheckRecord

__all__ = [
    "MAX_TEXT", "NOBODYS", "Found", "Outcome", "QuestionError", "Wanted", "matching", "search",
]  # fmt: skip

NOBODYS = "-"
"""Stands for hosts of no subscription; no subscription can have this name."""
MAX_TEXT = 256
"""Longest text that can be looked for, in characters."""


class Outcome(StrEnum):
    """What a decision was."""

    PASSED = "passed"
    """Nothing was found."""
    TOLERATED = "tolerated"
    """The policy lets pass what was found."""
    FAILED = "failed"
    """Something was found, whether or not the request passed."""
    REFUSED = "refused"
    """Something was found, and the request did not pass."""


class QuestionError(ValueError):
    """There is no such thing to look for; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; what is empty or None is not asked for."""

    subscription: str = ""
    outcome: Outcome | None = None
    reason: Reason | None = None
    who: str = ""
    """Part of a login, an account or a name in a certificate, in any case."""
    request_id: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Wanted":
        """What the query of a URL asks for. Raises QuestionError."""
        texts = {name: query.get(name, "").strip() for name in _TEXTS}
        for name, text in texts.items():
            if len(text) > MAX_TEXT:
                raise QuestionError(f"{name}: at most {MAX_TEXT} characters can be looked for")
        try:
            outcome = Outcome(text) if (text := query.get("outcome", "")) else None
            reason = Reason(text) if (text := query.get("reason", "")) else None
        except ValueError as error:
            raise QuestionError(f"{error}: choose one that the form offers") from error
        return cls(outcome=outcome, reason=reason, **texts)

    @classmethod
    def whose(cls, subscription: str | None) -> "Wanted":
        """All of one subscription, or with None of those for hosts of no subscription."""
        return cls(subscription=NOBODYS if subscription is None else subscription)

    def query(self) -> dict[str, str]:
        """The same as members of a query."""
        members = {name: str(getattr(self, name) or "") for name in (*_TEXTS, "outcome", "reason")}
        return {name: text for name, text in members.items() if text}

    def hints(self) -> list[bytes]:
        """Octets that every line has that is wanted, in lower case."""
        members: dict[str, str | None] = {}
        if self.subscription:
            members["subscription"] = None if self.subscription == NOBODYS else self.subscription
        if self.request_id:
            members["request_id"] = self.request_id
        hints = [_encoded({name: value})[1:-1] for name, value in members.items()]
        if self.reason is not None:
            hints.append(_encoded(self.reason))
        # What is beyond ASCII has other letters in lower case than the octets would say.
        if self.who.isascii() and self.who.isprintable():
            hints.append(_encoded(self.who)[1:-1])
        return [hint.lower() for hint in hints if hint]

    def fits(self, record: CheckRecord) -> bool:
        """Whether a record is wanted."""
        whose = record.subscription or NOBODYS
        return (
            (not self.subscription or whose == self.subscription)
            and (not self.request_id or record.request_id == self.request_id)
            and (self.outcome is None or _is(self.outcome, record))
            and (self.reason is None or self.reason in {*record.reasons, *record.tolerated})
            and (not self.who or self._names(record))
        )

    def _names(self, record: CheckRecord) -> bool:
        wanted = self.who.casefold()
        others = (each.login for each in record.other_logins)
        names = [record.login or "", *others, *record.accounts]
        if record.certificate is not None:
            names += [record.certificate.subject, *record.certificate.names]
        return any(wanted in name.casefold() for name in names)


_TEXTS = ("subscription", "who", "request_id")


@dataclass(frozen=True, slots=True)
class Found:
    """A part of what was looked for."""

    records: Sequence[tuple[int, CheckRecord]]
    """With their numbers, the newest first."""
    before: int | None
    """The number before which to go on; None where there is no more."""


def matching(
    lines: Iterable[Kept], wanted: Wanted, pace: Callable[[], None]
) -> Iterator[tuple[int, CheckRecord]]:
    """The records that are wanted, with their numbers, in the order of the lines."""
    hints = wanted.hints()
    for kept in lines:
        pace()
        if hints:
            octets = kept.line.lower()
            if not all(hint in octets for hint in hints):
                continue
        record = kept.record()
        if record is not None and wanted.fits(record):
            yield kept.number, record


def search(lines: Iterable[Kept], wanted: Wanted, limit: int, before: int | None = None) -> Found:
    """At most so many records that are wanted, of lines that come the newest first."""
    if before is not None:
        lines = (kept for kept in lines if kept.number < before)
    found = list(islice(matching(lines, wanted, Pace()), limit + 1))
    if len(found) <= limit:
        return Found(found, None)
    return Found(found[:limit], found[limit - 1][0])


def _is(outcome: Outcome, record: CheckRecord) -> bool:
    is_failed = record.decision == "deny"
    match outcome:
        case Outcome.PASSED:
            return not is_failed and not record.tolerated
        case Outcome.TOLERATED:
            return not is_failed and bool(record.tolerated)
        case Outcome.FAILED:
            return is_failed
        case Outcome.REFUSED:
            return is_failed and not record.allowed


def _encoded(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # A surrogate: the records hold none, so nothing is found.
        return b""

"""What another policy would change: plain values, which terminal, JSON and page all show."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from extauthz.findings import Reason
from extauthz.report.model import Caller

__all__ = [
    "MEANINGS", "Change", "Changed", "Meaning", "NotReplayed", "ReasonTotal", "SubscriptionChange",
    "Total", "Unknown", "WhatIf",
]  # fmt: skip


class Change(StrEnum):
    """What becomes of a check. Each check has at most one of these."""

    REFUSED = "refused"
    """It passed, and would be refused."""
    ADMITTED = "admitted"
    """It was refused, and would pass."""
    FAILING = "failing"
    """It passes either way, but something would be found against it: `enforce` would refuse it."""
    MENDED = "mended"
    """It passes either way, and what was found against it would be found no more."""
    OTHER_REASONS = "other_reasons"
    """It fails either way, for other reasons."""


class Unknown(StrEnum):
    """Why a check cannot be decided anew."""

    CERTIFICATE = "certificate_not_in_log"
    REDACTED = "redacted"
    SESSION = "session"
    UNREADABLE = "unreadable"
    CUT = "cut"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What that means, and what to do about it."""

    meaning: str
    """Half a sentence."""
    remedy: str
    """A sentence."""


MEANINGS: Final[Mapping[Unknown, Meaning]] = MappingProxyType({
    Unknown.CERTIFICATE: Meaning(
        "the log does not hold the certificate",
        "Give the older files of the log, too; certificates that are very large with their chain"
        " are never in it.",
    ),
    Unknown.REDACTED: Meaning(
        "`redact` hides what the policy decides by",
        "Certificates are not recorded where `redact` hides people: leave it out while you try.",
    ),
    Unknown.SESSION: Meaning(
        "something was found against the session, and sessions are not replayed",
        "Nothing: whose a session is, only a server that runs knows.",
    ),
    Unknown.UNREADABLE: Meaning(
        "the request was not read",
        "Look at `request_malformed` and `internal_error` in the report itself.",
    ),
    Unknown.CUT: Meaning(
        "the record holds only the beginning of something that the policy decides by",
        "Nothing: such paths and lists of logins are too long for the log.",
    ),
    Unknown.NO_ANSWER: Meaning(
        "a CRL, a responder or a directory of the policy cannot be read from here",
        "See `extauthz validate --online`, and run this where the server runs.",
    ),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Changed:
    """Checks of one caller, by one user agent, that would change in the same way."""

    change: Change
    subscription: str | None
    """Under the new policy; None where the host would be nobody's."""
    recorded_subscription: str | None
    caller: Caller
    user_agent: str | None
    """Untrusted text."""
    before: tuple[Reason, ...]
    """What was found, each reason once."""
    after: tuple[Reason, ...]
    """What would be found."""
    detail: str | None
    """What would be compared, of the first reason found. Untrusted text."""
    exemption: str | None
    """The exemption by which they passed, and would no more; or the other way round."""
    checks: int
    first_seen: datetime
    last_seen: datetime
    goes_on: bool
    """Whether the last of all its checks by that user agent is among them. Who does not go on so
    was mended since."""
    request_ids: tuple[str, ...]
    """A few, the latest first, for `extauthz explain`. Untrusted text."""


@dataclass(frozen=True, slots=True)
class Total:
    """How many checks change in one way."""

    change: Change
    checks: int
    callers: int
    going_on: int
    """How many of the callers end with such a check (see `Changed.goes_on`)."""


@dataclass(frozen=True, slots=True)
class ReasonTotal:
    """How many checks of a subscription change in one way because of one reason."""

    change: Change
    subscription: str | None
    reason: Reason
    """What would be found; of checks that would pass, what was found."""
    checks: int
    callers: int
    remedy: str


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """What becomes of the checks that would be one subscription's."""

    name: str | None
    """None for hosts that would be nobody's."""
    mode: str | None
    """Under the new policy."""
    checks: int
    replayed: int
    """How many of them could be decided anew."""
    totals: tuple[Total, ...]
    """Of every change, in order."""


@dataclass(frozen=True, slots=True)
class NotReplayed:
    """Checks that cannot be decided anew: what would become of them is not known."""

    why: Unknown
    checks: int
    callers: int
    first_seen: datetime
    last_seen: datetime
    request_ids: tuple[str, ...]
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The whole of it."""

    policy: str
    """Name of the file; untrusted text."""
    checks: int
    """All that were selected, replayed or not."""
    replayed: int
    verdict: str
    """`412 of 41,338 checks would be refused that pass today, by 3 callers; 20 would pass …`."""
    totals: tuple[Total, ...]
    """Of every change, in order."""
    subscriptions: tuple[SubscriptionChange, ...]
    reasons: tuple[ReasonTotal, ...]
    """By change; the most frequent first."""
    changes: tuple[Changed, ...]
    """By change; the most frequent first."""
    left_out: int
    """Checks of changes beyond those that are listed; the totals have all of them."""
    not_replayed: tuple[NotReplayed, ...]
    notes: tuple[str, ...]
    """What to know about these numbers, a sentence or two each; untrusted text."""

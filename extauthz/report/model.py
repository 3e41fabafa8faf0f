"""What a report says: plain values, which terminal, JSON, CSV and page all show."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from extauthz.findings import Reason
from extauthz.records.user_agent import CallerKind

__all__ = [
    "Caller", "Completeness", "ExemptionUse", "Expiring", "Period", "Readiness",
    "ReasonCount", "Refused", "Report", "SigningUse", "SubscriptionReport",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who uses a subscription, as far as the records tell."""

    name: str
    """The account or the login; else the certificate's name or subject; else address and user
    agent. Untrusted text."""
    kind: CallerKind
    is_known: bool
    """Whether it has an account, a certificate, or a login that was not refused as unknown."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A caller whose requests, by one user agent, would be refused if it went on as it ended."""

    caller: Caller
    reasons: tuple[Reason, ...]
    """What was found at its last check."""
    detail: str | None
    """What was compared then, of the first reason. Untrusted text."""
    checks: int
    """How many of its checks failed."""
    first_seen: datetime
    """First and last time that one failed."""
    last_seen: datetime
    user_agent: str | None
    clients: tuple[str, ...]
    """IP addresses, the most frequent first, a few."""
    request_id: str | None
    """Of the last one, for `extauthz explain`."""


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How often something was found."""

    reason: Reason
    checks: int
    callers: int
    first_seen: datetime
    last_seen: datetime
    remedy: str


@dataclass(frozen=True, slots=True)
class SigningUse:
    """A signing certificate to which paths of passing checks led."""

    label: str
    sha256: str
    checks: int
    callers: int
    names: tuple[str, ...]
    """Who still uses it: callers, a few, the latest first."""
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Expiring:
    """A certificate in use that expires soon."""

    subject: str
    sha256: str
    not_after: datetime
    callers: tuple[str, ...]
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class ExemptionUse:
    """An exemption, and whether anybody needs it."""

    name: str
    reason: str | None
    """The operator's words, and its last day, where the policy was given."""
    until: date | None
    checks: int
    """0 for one that the policy has and nobody used."""
    callers: tuple[str, ...]
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class Period:
    """Checks within an hour or a day."""

    begin: datetime
    passed: int
    failed: int
    """What was found, whether or not it was let pass."""
    exempt: int


class Readiness(StrEnum):
    """Whether the subscription can be enforced."""

    READY = "ready"
    """Nobody would be refused who is known, or who is not and came over an hour or longer; and
    somebody passed."""
    NOT_READY = "not ready"
    NO_DATA = "no data"
    """Nobody came, or nothing was checked: `mode: off`."""


@dataclass(frozen=True, slots=True)
class SubscriptionReport:
    """What the records say of one subscription."""

    name: str | None
    """None for hosts of no subscription."""
    modes: tuple[str, ...]
    """Modes that held, the latest last."""
    checks: int
    passed: int
    """Checks against which nothing was found; exempted ones are among them."""
    exempt: int
    people: int
    """Known callers."""
    integrations: int
    breaking_people: int
    """People and integrations that would be refused."""
    breaking_integrations: int
    readiness: Readiness
    verdict: str
    """`3 integrations and 2 people would break; 99.2 % of 41,338 checks pass`."""
    first_seen: datetime | None
    last_seen: datetime | None
    periods: tuple[Period, ...]
    reasons: tuple[ReasonCount, ...]
    """The most frequent first."""
    refused: tuple[Refused, ...]
    """Who would be refused: known callers first, then by number of checks."""
    signing: tuple[SigningUse, ...]
    expiring: tuple[Expiring, ...]
    """The first to expire first."""
    exemptions: tuple[ExemptionUse, ...]
    unchecked: int = 0
    """Requests in `mode: off`, which are not among the checks."""
    unnamed: int = 0
    """Callers that are not known."""
    breaking_unnamed: int = 0
    """Those that would be refused."""
    unlisted: int = 0
    """Ways in that would break and are not in `refused`, which lists the busiest."""


@dataclass(frozen=True, slots=True)
class Completeness:
    """How much of the log could be read."""

    files: int
    lines: int
    unreadable: int
    """Lines that are no records: torn, or of another schema."""
    dropped: int
    """Lines that the server says it could not write."""
    other_schema: int = 0
    """Those of `unreadable` that are of a schema that this version does not know."""
    damaged: tuple[str, ...] = ()
    """Files of which a part could not be read. Untrusted text."""


@dataclass(frozen=True, slots=True)
class Report:
    """The whole of it."""

    made_at: datetime
    since: datetime | None
    until: datetime | None
    expiring_within_days: int
    completeness: Completeness
    subscriptions: tuple[SubscriptionReport, ...]
    """By name; hosts of no subscription last."""

"""What a report says: plain values, which terminal, JSON, CSV and page all show."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from extauthz.findings import Reason
from extauthz.policy import Mode
from extauthz.records.user_agent import CallerKind

__all__ = [
    "PARTLY", "Caller", "Completeness", "ExemptionUse", "Expiring", "Fate", "Period", "Readiness",
    "ReasonCount", "Refused", "Report", "SigningUse", "SubscriptionReport",
]  # fmt: skip

PARTLY: Final = "enforce for some, audit for the others"
"""The mode of a subscription that demands certificates of some users alone, as by
`certificate_required_for`."""


class Fate(StrEnum):
    """What becomes of those whose checks fail."""

    REFUSED = "refused"
    WOULD_BE = "would be"
    """They are let pass as yet: in `audit`, or left out by `certificate_required_for`."""
    BOTH = "both"
    """Some are refused, and others would be."""


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
    is_refused: bool = True
    """Whether its last check was refused; else that was let pass, and would be refused."""


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
    unlisted: int = 0
    """How many callers it has besides."""


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
    unlisted: int = 0
    """How many callers it has besides."""


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
    somebody passed, in checks of an hour or longer."""
    NOT_READY = "not ready"
    NO_DATA = "no data"
    """Nobody came, nothing was checked (`mode: off`), or for less than an hour."""


@dataclass(frozen=True, slots=True)
class SubscriptionReport:
    """What the records say of one subscription."""

    name: str | None
    """None for hosts of no subscription."""
    modes: tuple[str, ...]
    """Modes that held, the latest last; `PARTLY` is one of them."""
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
    absent: tuple[str, ...] | None = None
    """Logins of accounts that never came; None where it is not known which accounts there are."""
    absent_unlisted: int = 0
    """How many there are besides."""

    @property
    def fate(self) -> Fate:
        """What becomes of those who are in `refused`."""
        fates = {each.is_refused for each in self.refused}
        if len(fates) > 1:
            return Fate.BOTH
        is_enforced = self.name is None or self.modes[-1:] == (Mode.ENFORCE,)
        is_refused = fates.pop() if fates else is_enforced
        return Fate.REFUSED if is_refused else Fate.WOULD_BE


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

"""Who makes requests, as far as the records in memory tell: people, integrations, nobody known."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from extauthz.findings import Reason
from extauthz.records.line import CheckRecord
from extauthz.records.user_agent import CallerKind, is_browser

__all__ = ["Caller", "Callers", "Use", "caller_of"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who uses a subscription."""

    name: str
    """The account or the login; else the certificate's name or subject; else the address.
    Untrusted text."""
    kind: CallerKind
    is_known: bool
    """Whether it has an account, or a certificate, or a login that somebody has."""


def caller_of(record: CheckRecord) -> Caller:
    """Who made a request."""
    certificate = record.certificate
    kind = CallerKind.PERSON if is_browser(record.user_agent) else CallerKind.INTEGRATION
    # A name that anybody can make up is nobody's.
    is_made_up = certificate is None and Reason.ACCOUNT_UNKNOWN in record.reasons
    names: Iterable[str | None] = (
        *record.accounts[:1],
        None if is_made_up else record.login,
        *([] if certificate is None else [*certificate.names[:1], certificate.subject]),
    )
    known = next(filter(None, names), None)
    return Caller(known or record.login or record.client or "unknown", kind, known is not None)


@dataclass(slots=True)
class Use:
    """What one caller did."""

    caller: Caller
    last_seen: datetime
    would_be_refused: bool
    """Whether it would be, if it goes on as it ended."""
    user_agent: str | None
    client: str | None
    """Of its last check. Untrusted text."""
    checks: int = 0
    failed: int = 0
    failed_last: datetime | None = None
    reasons: tuple[Reason, ...] = ()
    """What was found the last time that one failed."""
    request_id: str | None = None
    """Of that one."""


class Callers:
    """Everybody in a number of records."""

    def __init__(self) -> None:
        self._uses: dict[Caller, Use] = {}

    def add(self, record: CheckRecord) -> Caller:
        """Take note of a record that is older than all before it."""
        caller, is_failed = caller_of(record), record.decision == "deny"
        use = self._uses.get(caller)
        if use is None:
            use = self._uses[caller] = Use(
                caller, record.time, is_failed, record.user_agent, record.client
            )
        use.checks += 1
        if is_failed:
            use.failed += 1
            if use.failed_last is None:
                use.failed_last, use.reasons = record.time, tuple(dict.fromkeys(record.reasons))
                use.request_id = record.request_id
        return caller

    def sorted(self) -> list[Use]:
        """Those first who would be refused, and known ones before the others; then the busiest."""
        return sorted(
            self._uses.values(),
            key=lambda use: (not use.would_be_refused, not use.caller.is_known, -use.checks),
        )

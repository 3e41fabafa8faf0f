"""What each check of a recorded decision looked at, a line each, or why it was not made.

A record tells it, and nothing else: what the record hides or lacks is said to be hidden or is left
out. Whether the check failed is not asked here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from extauthz.policy import Mode
from extauthz.quoting import quoted
from extauthz.records.line import MAX_NAMES, CheckRecord
from extauthz.remedies import Check

__all__ = ["Compared", "compared"]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a check looked at."""

    lines: tuple[str, ...]
    """Untrusted text."""
    not_made: str | None = None
    """Why it was not made, where nothing was found."""


def compared(record: CheckRecord, check: Check) -> Compared:
    """What a check looked at, by the record."""
    return _COMPARED[check](record)


def _request(record: CheckRecord) -> Compared:
    if record.host is None:
        return Compared(("the request could not be read",))
    asked = f"{record.method} {record.path} at the host {quoted(record.host)}"
    lines = [asked if record.method and record.path else f"the host {quoted(record.host)}"]
    if record.client is not None:
        hidden = " (hidden in this log)" if "client" in record.redacted else ""
        lines.append(f"from {record.client}{hidden}")
    if record.subscription is None:
        return Compared(tuple(lines), "no subscription answers for it")
    return Compared((*lines, f"the subscription {quoted(record.subscription)} has this host"))


def _present(record: CheckRecord) -> Compared:
    certificate = record.certificate
    if certificate is None:
        what = "was not read" if record.certificate_problem is None else "is not there to be read"
        return Compared((), _unchecked(record) or f"a certificate {what}")
    above = "" if certificate.sent is None else ", with certificates above it"
    lines = (
        f"subject {quoted(certificate.subject)}{above}",
        f"serial {certificate.serial}",
        f"SHA-256 {certificate.sha256}",
    )
    return Compared(lines, _unchecked(record))


def _valid(record: CheckRecord) -> Compared:
    certificate = record.certificate
    if certificate is None:
        return _nothing(record)
    lines = [
        f"valid from {_time(certificate.not_before)} until {_time(certificate.not_after)}",
        f"checked at {_time(record.time)}",
    ]
    if record.signing_certificate is None and _unchecked(record) is None:
        lines.append("no CA certificate above it was found, so only its own dates were looked at")
    return Compared(tuple(lines), _unchecked(record))


def _account(record: CheckRecord) -> Compared:
    lines = list(_claims(record))
    if record.certificate is not None:
        lines.append(f"names in the certificate: {_listed(record.certificate.names)}")
    if record.accounts:
        lines.append(f"accounts: {_listed(record.accounts)}")
    if {"email", "login"} & set(record.redacted):
        lines.append(f"hidden in this log: {', '.join(record.redacted)}")
    why = _unchecked(record)
    if why is None and "email" in record.not_asked:
        why = "the subscription does not compare names (`verify_email: false`)"
    elif why is None and record.certificate is None:
        why = "there is no certificate to compare with the account"
    elif why is None and not record.accounts:
        why = "no account was looked up: the certificate is refused already"
    return Compared(tuple(lines), why)


def _claims(record: CheckRecord) -> Iterator[str]:
    if record.login is not None:
        yield f"the request claims the login {quoted(record.login)} ({record.login_source})"
    for other in record.other_logins:
        yield f"it also claims the login {quoted(other.login)} ({other.source})"
    if len(record.other_logins) >= MAX_NAMES - 1:
        yield f"there may be more logins: a line holds {MAX_NAMES}"
    if record.login_problem is not None:
        yield f"a login that cannot be read: {record.login_problem}"
    elif record.login is None:
        yield "the request claims no login"


def _listed(names: Sequence[str]) -> str:
    """Names of which a line holds so many at most."""
    more = f" (a line holds {MAX_NAMES}: there may be more)" if len(names) >= MAX_NAMES else ""
    return (", ".join(map(quoted, names)) or "none") + more


def _issuer(record: CheckRecord) -> Compared:
    if record.certificate is None:
        return _nothing(record)
    lines = [f"issuer {quoted(record.certificate.issuer)}"]
    why = _unchecked(record)
    if (signing := record.signing_certificate) is not None:
        lines.append(f"signing certificate {quoted(signing.label)}")
        lines.append(f"SHA-256 {signing.sha256}")
    elif why is None:
        why = "no way to a signing certificate was found"
    return Compared(tuple(lines), why)


def _fitness(record: CheckRecord) -> Compared:
    if record.certificate is None:
        return _nothing(record)
    return Compared(("key, signature, usages, extensions, `require`",), _unchecked(record))


def _revocation(record: CheckRecord) -> Compared:
    if record.certificate is None:
        return _nothing(record)
    why = _unchecked(record)
    if why is None and "revocation" in record.not_asked:
        why = "the subscription does not say how to find out (`revocation`)"
    elif why is None and record.signing_certificate is None:
        why = "no way to a signing certificate was found, so nobody can say"
    return Compared((f"serial {record.certificate.serial}",), why)


def _session(record: CheckRecord) -> Compared:
    why = _unchecked(record)
    return Compared(() if why else ("no session of another account",), why)


def _unchecked(record: CheckRecord) -> str | None:
    """Why no check of the certificate was made at all."""
    if record.subscription is None:
        return "no subscription says what is to be checked"
    return "the subscription's `mode` is off" if record.mode is Mode.OFF else None


def _nothing(record: CheckRecord) -> Compared:
    return Compared((), _unchecked(record) or "there is no certificate")


def _time(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")


_COMPARED: Mapping[Check, Callable[[CheckRecord], Compared]] = MappingProxyType(
    {
        Check.REQUEST: _request,
        Check.PRESENT: _present,
        Check.VALID: _valid,
        Check.ACCOUNT: _account,
        Check.ISSUER: _issuer,
        Check.FITNESS: _fitness,
        Check.REVOCATION: _revocation,
        Check.SESSION: _session,
    }
)

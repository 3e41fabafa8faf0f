"""A decision, check by check, for whoever has to mend what is wrong.

An explanation is made of a record and of nothing else: so the record says enough, and the server's
own decision is what is explained. Nothing is decided here: a check failed when one of its reasons
stands in the record, and what is said beside that is what the record has of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

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


@dataclass(frozen=True, slots=True)
class _Look:
    """What a check looked at."""

    compared: tuple[str, ...]
    not_made: str | None = None
    """Why it was not made, where nothing was found."""


def _step(record: CheckRecord, check: Check) -> Step:
    failed = tuple(_faults(check, record.reasons, record.details))
    tolerated = tuple(_faults(check, record.tolerated, record.tolerated_details))
    looked = _LOOKS[check](record)
    compared = looked.compared
    if failed:
        outcome = Outcome.FAILED
        if tolerated:
            reasons = ", ".join(dict.fromkeys(fault.reason for fault in tolerated))
            compared = (*compared, f"let pass by the policy: {reasons}")
    elif tolerated:
        outcome = Outcome.TOLERATED
    elif looked.not_made is not None:
        outcome, compared = Outcome.NOT_MADE, (*compared, looked.not_made)
    else:
        outcome = Outcome.PASSED
    return Step(_title(check), outcome, compared, (*failed, *tolerated))


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


def _request(record: CheckRecord) -> _Look:
    if record.host is None:
        return _Look(("the request could not be read",))
    asked = f"{record.method} {record.path} at the host {quoted(record.host)}"
    lines = [asked if record.method and record.path else f"the host {quoted(record.host)}"]
    if record.client is not None:
        hidden = " (hidden in this log)" if "client" in record.redacted else ""
        lines.append(f"from {record.client}{hidden}")
    if record.subscription is None:
        return _Look(tuple(lines), "no subscription answers for it")
    return _Look((*lines, f"the subscription {quoted(record.subscription)} has this host"))


def _present(record: CheckRecord) -> _Look:
    certificate = record.certificate
    if certificate is None:
        what = "was not read" if record.certificate_problem is None else "is not there to be read"
        return _Look((), _unchecked(record) or f"a certificate {what}")
    above = "" if certificate.sent is None else ", with certificates above it"
    lines = (
        f"subject {quoted(certificate.subject)}{above}",
        f"serial {certificate.serial}",
        f"SHA-256 {certificate.sha256}",
    )
    return _Look(lines, _unchecked(record))


def _valid(record: CheckRecord) -> _Look:
    certificate = record.certificate
    if certificate is None:
        return _nothing(record)
    lines = [
        f"valid from {_time(certificate.not_before)} until {_time(certificate.not_after)}",
        f"checked at {_time(record.time)}",
    ]
    if record.signing_certificate is None and _unchecked(record) is None:
        lines.append("no CA certificate above it was found, so only its own dates were looked at")
    return _Look(tuple(lines), _unchecked(record))


def _account(record: CheckRecord) -> _Look:
    lines = list(_claims(record))
    if record.certificate is not None:
        names = ", ".join(map(quoted, record.certificate.names)) or "none"
        lines.append(f"names in the certificate: {names}")
    if record.accounts:
        lines.append(f"accounts: {', '.join(map(quoted, record.accounts))}")
    if {"email", "login"} & set(record.redacted):
        lines.append(f"hidden in this log: {', '.join(record.redacted)}")
    why = _unchecked(record)
    if why is None and "email" in record.not_asked:
        why = "the subscription does not compare names (`verify_email: false`)"
    elif why is None and record.certificate is None:
        why = "there is no certificate to compare with the account"
    elif why is None and not record.accounts:
        why = "no account was looked up: the certificate is refused already"
    return _Look(tuple(lines), why)


def _claims(record: CheckRecord) -> Iterator[str]:
    if record.login is not None:
        yield f"the request claims the login {quoted(record.login)} ({record.login_source})"
    for other in record.other_logins:
        yield f"it also claims the login {quoted(other.login)} ({other.source})"
    if record.login_problem is not None:
        yield f"a login that cannot be read: {record.login_problem}"
    elif record.login is None:
        yield "the request claims no login"


def _issuer(record: CheckRecord) -> _Look:
    if record.certificate is None:
        return _nothing(record)
    lines = [f"issuer {quoted(record.certificate.issuer)}"]
    why = _unchecked(record)
    if (signing := record.signing_certificate) is not None:
        lines.append(f"signing certificate {quoted(signing.label)}")
        lines.append(f"SHA-256 {signing.sha256}")
    elif why is None:
        why = "no way to a signing certificate was found"
    return _Look(tuple(lines), why)


def _fitness(record: CheckRecord) -> _Look:
    if record.certificate is None:
        return _nothing(record)
    return _Look(("key, signature, usages, extensions, `require`",), _unchecked(record))


def _revocation(record: CheckRecord) -> _Look:
    if record.certificate is None:
        return _nothing(record)
    why = _unchecked(record)
    if why is None and "revocation" in record.not_asked:
        why = "the subscription does not say how to find out (`revocation`)"
    elif why is None and record.signing_certificate is None:
        why = "no way to a signing certificate was found, so nobody can say"
    return _Look((f"serial {record.certificate.serial}",), why)


def _session(record: CheckRecord) -> _Look:
    why = _unchecked(record)
    return _Look(() if why else ("no session of another account",), why)


_LOOKS: Mapping[Check, Callable[[CheckRecord], _Look]] = MappingProxyType(
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


def _unchecked(record: CheckRecord) -> str | None:
    """Why no check of the certificate was made at all."""
    if record.subscription is None:
        return "no subscription says what is to be checked"
    return "the subscription's `mode` is off" if record.mode is Mode.OFF else None


def _nothing(record: CheckRecord) -> _Look:
    return _Look((), _unchecked(record) or "there is no certificate")


def _conclusion(record: CheckRecord) -> Step:
    lines = [] if record.mode is None else [_MODES[record.mode]]
    if record.exempt is not None:
        lines.append(f"the exemption {quoted(record.exempt)} lets it pass")
    elif record.tolerated:
        lines.append(f"let pass by the policy: {', '.join(dict.fromkeys(record.tolerated))}")
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


def _time(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")

"""Is a certificate of a path revoked, by all that is known at this moment?

`Revocation` is what a subscription's policy says; `Evidence` is what has been gathered: CRLs and
OCSP answers. Judging looks things up and nothing else, so it is done anew at each check: a
verdict cannot outlive the list or the answer that it rests on. What would have to be asked of a
responder first is handed back as an `Inquiry`.

The rules, in order, for each certificate in scope:

1. What the policy blocks is revoked.
2. What any list or answer calls revoked is revoked, a stale list included: revocation is for good.
3. An answer `unknown` of a responder leaves it unknown, whatever a list says.
4. A current list of its issuer, or a current answer, that has nothing against it makes it good.
5. Anything else is unknown, and the policy says what that means.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, assert_never

from extauthz.crl import Crl
from extauthz.findings import Finding, Reason
from extauthz.fingerprint import fingerprints
from extauthz.inquiry import Answered, Inquiry, NotAnswered, OcspPolicy
from extauthz.ocsp import Answer, CertStatus
from extauthz.trust import Link

__all__ = [
    "CLEAR",
    "CLOCK_TOLERANCE",
    "NO_EVIDENCE",
    "Blocked",
    "CrlSource",
    "Evidence",
    "Revocation",
    "Scope",
    "Verdict",
]

CLOCK_TOLERANCE = timedelta(seconds=60)
"""How far our clock and that of a CA may be apart: a list or an answer counts for so much longer
than its nextUpdate, and so much before its thisUpdate."""


class Scope(StrEnum):
    """Which certificates of a path must not be revoked."""

    LEAF = "leaf"
    CHAIN = "chain"
    """The intermediates, too. A signing certificate is revoked by taking it out of the policy."""


@dataclass(frozen=True, slots=True)
class CrlSource:
    """Where CRLs come from."""

    location: str
    """An http or https URL, or the path of a file or a directory."""
    ca_file: str | None = None
    """PEM file with the CAs that an https server is checked against; else those of the system."""
    refresh: timedelta = timedelta(minutes=5)
    """How often a URL is asked for something newer."""

    @property
    def is_url(self) -> bool:
        return self.location.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Blocked:
    """Certificates that the policy itself calls revoked."""

    fingerprints: frozenset[str] = frozenset()
    """SHA-256 of the DER, lower-case hex."""
    serials: frozenset[int] = frozenset()
    """Serial numbers; they count for certificates below this subscription's CAs alone."""


class Evidence(Protocol):
    """What has been gathered about revocation."""

    def crls(self, source: CrlSource, issuer: bytes) -> Sequence[Crl]:
        """The lists of that CA (`CaCertificate.identity`) from that source; all are authentic."""

    def answered(self, inquiry: Inquiry) -> Answered | NotAnswered | None:
        """What the responder said; None when it has not been asked lately."""


class _NoEvidence:
    def crls(self, source: CrlSource, issuer: bytes) -> Sequence[Crl]:  # noqa: ARG002
        return ()

    def answered(self, inquiry: Inquiry) -> Answered | NotAnswered | None:  # noqa: ARG002
        return None


NO_EVIDENCE: Evidence = _NoEvidence()
"""Nothing is known, and nobody was asked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What revocation has against a path."""

    against: tuple[Finding, ...]
    tolerated: tuple[Finding, ...]
    """What is unknown, where the policy lets that pass."""
    unanswered: tuple[Inquiry, ...]
    """What a responder could still say."""


CLEAR = Verdict((), (), ())
"""Nothing is against it, and nobody need be asked."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """How a subscription finds out about revocation."""

    scope: Scope = Scope.LEAF
    allow_unknown: bool = False
    crls: tuple[CrlSource, ...] = ()
    ocsp: OcspPolicy | None = None
    blocked: Blocked = Blocked()

    def judge(self, links: Sequence[Link], evidence: Evidence, now: datetime) -> Verdict:
        """Judge a path, from the peer certificate upwards, as of `now` (aware)."""
        findings = [found for link in links if (found := self._blocked(link)) is not None]
        unanswered: list[Inquiry] = []
        if self.crls or self.ocsp is not None:
            for link in links if self.scope is Scope.CHAIN else links[:1]:
                found, inquiry = self._look_up(link, evidence, now)
                if found is not None:
                    findings.append(found)
                if inquiry is not None:
                    unanswered.append(inquiry)
        if not findings and not unanswered:
            return CLEAR
        tolerated: tuple[Finding, ...] = ()
        if self.allow_unknown:
            tolerated = tuple(f for f in findings if f.reason is Reason.REVOCATION_UNKNOWN)
        against = tuple(finding for finding in findings if finding not in tolerated)
        return Verdict(against, tolerated, tuple(unanswered))

    def _blocked(self, link: Link) -> Finding | None:
        blocked = self.blocked
        if link.serial in blocked.serials or (
            blocked.fingerprints
            and not blocked.fingerprints.isdisjoint(
                fingerprints(link.certificate, link.issuer.parsed)
            )
        ):
            detail = f"the policy blocks {_name(link)}, serial {link.serial:x}"
            return Finding(Reason.CERTIFICATE_REVOKED, detail)
        return None

    def _look_up(
        self, link: Link, evidence: Evidence, now: datetime
    ) -> tuple[Finding | None, Inquiry | None]:
        """What is found against one certificate, and what a responder could still say of it."""
        is_good = False
        doubts: list[str] = []
        for crl in self._lists(link, evidence):
            entry = crl.entry(link.serial)
            if entry is not None:
                detail = (
                    f"{_name(link)}, serial {link.serial:x}, is revoked by the CRL of"
                    f" {crl.issuer!r} since {entry.revoked_at.isoformat()}: {entry.reason}"
                )
                return Finding(Reason.CERTIFICATE_REVOKED, detail), None
            if crl.is_delta:
                continue
            doubt = _not_current(crl, now)
            if doubt is None:
                is_good = True
            else:
                doubts.append(doubt)
        inquiry = None
        if self.ocsp is not None:
            inquiry = self.ocsp.inquiry(link)
            answered = None if inquiry is None else evidence.answered(inquiry)
            if answered is not None and answered.until < now:
                answered = None
            if isinstance(answered, Answered) and not self._is_delegate_revoked(
                link, answered, evidence
            ):
                return _by_answer(link, answered.answer), None
            doubts.append(_silence(inquiry, answered))
            inquiry = inquiry if answered is None else None
        if is_good:
            return None, inquiry
        why = "; ".join(doubts) or f"there is no CRL of {link.issuer.facts.subject!r}"
        return Finding(Reason.REVOCATION_UNKNOWN, f"{_name(link)}: {why}"), inquiry

    def _lists(self, link: Link, evidence: Evidence) -> Iterator[Crl]:
        for source in self.crls:
            for crl in evidence.crls(source, link.issuer.identity):
                if crl.covers_cas if link.is_ca else crl.covers_users:
                    yield crl

    def _is_delegate_revoked(self, link: Link, answered: Answered, evidence: Evidence) -> bool:
        """Whether the certificate that signed the answer is revoked (RFC 6960 4.2.2.2.1)."""
        delegate = answered.answer.delegate
        return delegate is not None and (
            delegate in self.blocked.serials
            or any(
                crl.entry(delegate) is not None
                for source in self.crls
                for crl in evidence.crls(source, link.issuer.identity)
            )
        )


def _by_answer(link: Link, answer: Answer) -> Finding | None:
    name = f"{_name(link)}, serial {link.serial:x},"
    match answer.status:
        case CertStatus.GOOD:
            return None
        case CertStatus.REVOKED:
            since = "" if answer.revoked_at is None else f" since {answer.revoked_at.isoformat()}"
            detail = f"{name} is revoked by OCSP{since}: {answer.reason or 'unspecified'}"
            return Finding(Reason.CERTIFICATE_REVOKED, detail)
        case CertStatus.UNKNOWN:
            detail = f"{name} is unknown to the OCSP responder"
            return Finding(Reason.REVOCATION_UNKNOWN, detail)
    assert_never(answer.status)


def _silence(inquiry: Inquiry | None, answered: Answered | NotAnswered | None) -> str:
    """Why nothing is known from a responder."""
    if inquiry is None:
        return "it names no OCSP responder that the policy allows"
    match answered:
        case None:
            return f"{inquiry.responder} has not answered yet"
        case NotAnswered():
            return f"{inquiry.responder} did not say: {answered.why}"
        case Answered():
            return f"the certificate of {inquiry.responder} is revoked"


def _not_current(crl: Crl, now: datetime) -> str | None:
    if now > crl.next_update + CLOCK_TOLERANCE:
        return f"the CRL of {crl.issuer!r} is stale since {crl.next_update.isoformat()}"
    if now < crl.this_update - CLOCK_TOLERANCE:
        return f"the CRL of {crl.issuer!r} is of {crl.this_update.isoformat()}, in the future"
    return None


def _name(link: Link) -> str:
    return f"the CA {link.certificate.subject.rfc4514_string()!r}" if link.is_ca else "it"

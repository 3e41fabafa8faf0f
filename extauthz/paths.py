"""Path building (RFC 4158): which ways could lead from a peer certificate to a trust anchor?

A way is made of what the client sent, in any order, with strangers in between, and of what the
policy gives; nothing is fetched. Building only proposes: each proposal is validated as a whole
by `trust`. What it does promise is bounded work, whatever a client sends, and a precise word where
a way ends too soon.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from extauthz.ca import CaCertificate, UnusableError
from extauthz.certificate import UNREADABLE, PeerCertificate
from extauthz.findings import Finding, Reason

__all__ = ["MAX_ROUTES", "MAX_SIGNATURES", "Builder", "DeadEnd", "Found", "Route", "is_signed_by"]

MAX_SIGNATURES = 64
"""Signatures that are checked to tell candidates of one name apart."""
MAX_ROUTES = 8
"""Ways that are proposed. Cross-signed CAs make two or three."""

ByName: TypeAlias = Mapping[bytes, Sequence[CaCertificate]]


@dataclass(frozen=True, slots=True)
class Route:
    """A way to a trust anchor, by names and key identifiers."""

    intermediates: tuple[CaCertificate, ...]
    """From the issuer of the peer certificate upwards; none when the anchor itself issued it."""
    anchor: CaCertificate


class DeadEnd(IntEnum):
    """How a way can end, from the one that says most about what is wrong."""

    WRONG_KEY_IDENTIFIER = 0
    WRONG_SIGNATURE = 1
    TOO_LONG = 2
    TOO_MUCH_WORK = 3
    UNUSABLE_ISSUER = 4
    OTHER_ROOT = 5
    ISSUER_MISSING = 6


@dataclass(frozen=True, slots=True)
class Found:
    """What path building found."""

    routes: tuple[Route, ...]
    dead_ends: tuple[tuple[DeadEnd, Finding], ...]


class Builder:
    """Builds paths to one set of trust anchors."""

    def __init__(
        self,
        anchors: Iterable[CaCertificate],
        intermediates: Iterable[CaCertificate],
        max_intermediates: int,
    ) -> None:
        self.anchors: ByName = _by_name(anchors)
        self.intermediates: ByName = _by_name(intermediates)
        self.max_intermediates = max_intermediates
        known = {anchor.facts.subject for each in self.anchors.values() for anchor in each}
        self.known = " or ".join(map(repr, sorted(known))) or "none"
        """The names of the trust anchors, for people."""

    def build(self, peer: PeerCertificate) -> Found:
        """Find the ways for a peer certificate, shortest first."""
        search = _Search(self, peer)
        search.walk(peer.parsed, peer.authority_key_identifier, ())
        routes = sorted(search.routes, key=lambda route: len(route.intermediates))
        return Found(tuple(routes), tuple(search.dead_ends))


class _Sent:
    """The certificates that the client sent, each read when its name is asked for."""

    def __init__(self, ders: Iterable[bytes]) -> None:
        self._unread: dict[bytes, list[bytes]] = {}
        self._read: dict[bytes, tuple[list[CaCertificate], list[str]]] = {}
        for der in dict.fromkeys(ders):
            try:
                subject = x509.load_der_x509_certificate(der).subject.public_bytes()
            except UNREADABLE:
                continue  # A stranger: what nobody can read is no part of any way.
            self._unread.setdefault(subject, []).append(der)

    def named(self, subject: bytes) -> tuple[list[CaCertificate], list[str]]:
        """Those that may issue certificates, and why others of that name may not."""
        if subject not in self._read:
            usable: list[CaCertificate] = []
            unusable: list[str] = []
            # More of one name could not be told apart within the bound anyway.
            for der in self._unread.get(subject, ())[:MAX_SIGNATURES]:
                try:
                    usable.append(CaCertificate.read(der))
                except UnusableError as error:
                    unusable.append(str(error))
            self._read[subject] = usable, unusable
        return self._read[subject]


@dataclass(slots=True)
class _Search:
    """One search, depth first and bounded."""

    builder: Builder
    peer: PeerCertificate
    routes: list[Route] = field(default_factory=list)
    dead_ends: list[tuple[DeadEnd, Finding]] = field(default_factory=list)
    signatures: dict[tuple[int, bytes], bool] = field(default_factory=dict)
    exhausted: bool = False
    _sent: _Sent | None = None

    def walk(
        self,
        child: x509.Certificate,
        key_identifier: bytes | None,
        below: tuple[CaCertificate, ...],
    ) -> None:
        """Go on from `child`, the last certificate of the way so far; `below` is the way to it."""
        issuer = child.issuer.public_bytes()
        anchors = self.builder.anchors.get(issuer, ())
        above, unusable = self._candidates(issuer, below, anchors)
        for anchor in self._issuers(child, key_identifier, anchors):
            if len(self.routes) < MAX_ROUTES:
                self.routes.append(Route(below, anchor))
        if len(below) < self.builder.max_intermediates:
            for candidate in self._issuers(child, key_identifier, above):
                if len(self.routes) < MAX_ROUTES and len(self.dead_ends) < MAX_SIGNATURES:
                    above_it = candidate.authority_key_identifier
                    self.walk(candidate.parsed, above_it, (*below, candidate))
        elif above and self.builder.max_intermediates > 0:
            most = self.builder.max_intermediates
            detail = f"more than {most} intermediate CAs (`max_intermediates`) are in its chain"
            self._dead_end(DeadEnd.TOO_LONG, Reason.CHAIN_INVALID, detail)
            return
        if not anchors and not (above and self.builder.max_intermediates):
            self._nobody(child, at_leaf=not below, unusable=unusable)

    def _candidates(
        self, issuer: bytes, below: tuple[CaCertificate, ...], anchors: Sequence[CaCertificate]
    ) -> tuple[list[CaCertificate], list[str]]:
        """CA certificates of that name that the way does not hold yet (RFC 4158 2.4.2)."""
        if not self.builder.max_intermediates:
            return [], []
        if self._sent is None:
            self._sent = _Sent(self.peer.chain)
        sent, unusable = self._sent.named(issuer)
        visited = {ca.identity for ca in below}
        given = dict.fromkeys((*self.builder.intermediates.get(issuer, ()), *sent))
        return [ca for ca in given if ca.identity not in visited and ca not in anchors], unusable

    def _issuers(
        self,
        child: x509.Certificate,
        key_identifier: bytes | None,
        named: Sequence[CaCertificate],
    ) -> Sequence[CaCertificate]:
        """Those of the right name that also have the right key, as far as can be told cheaply.

        A single candidate is taken as it is: validation checks its signature anyway.
        """
        identified = [
            ca
            for ca in named
            if None in (key_identifier, ca.key_identifier) or key_identifier == ca.key_identifier
        ]
        if len(named) == len(identified) == 1:
            return identified
        signed = [ca for ca in identified if self._is_signed(child, ca)]
        if named and not signed:
            who = child.issuer.rfc4514_string()
            if len(identified) < len(named):
                wrong, reason = DeadEnd.WRONG_KEY_IDENTIFIER, Reason.ISSUER_MISMATCH
                detail = f"the authority key identifier is of another key than that of {who!r}"
                # Only where that is all: a signature of nobody's is the graver fault.
                if any(self._is_signed(child, ca) for ca in named):
                    self._dead_end(wrong, reason, detail)
                    return signed
            detail = f"the key of {who!r} did not make the signature"
            self._dead_end(DeadEnd.WRONG_SIGNATURE, Reason.SIGNATURE_INVALID, detail)
        return signed

    def _is_signed(self, child: x509.Certificate, ca: CaCertificate) -> bool:
        key = id(child), ca.identity
        if key not in self.signatures:
            if len(self.signatures) >= MAX_SIGNATURES:
                if not self.exhausted:
                    self.exhausted = True
                    detail = f"no way was found among the first {MAX_SIGNATURES} candidates"
                    self._dead_end(DeadEnd.TOO_MUCH_WORK, Reason.CHAIN_INVALID, detail)
                return False
            self.signatures[key] = is_signed_by(child, ca)
        return self.signatures[key]

    def _nobody(self, child: x509.Certificate, *, at_leaf: bool, unusable: Sequence[str]) -> None:
        """Say why the way ends at `child`: no issuer of it is there."""
        issuer, known = child.issuer.rfc4514_string(), self.builder.known
        if not self.builder.max_intermediates:
            detail = f"issued by {issuer!r}; the subscription's signing certificates are {known}"
            self._dead_end(DeadEnd.OTHER_ROOT, Reason.ISSUER_MISMATCH, detail)
        elif child.issuer == child.subject:
            end = "it is self-signed" if at_leaf else f"its chain ends at the root {issuer!r}"
            detail = f"{end}; the subscription's signing certificates are {known}"
            self._dead_end(DeadEnd.OTHER_ROOT, Reason.ISSUER_MISMATCH, detail)
        elif unusable:
            detail = f"its issuer {issuer!r} cannot be used: {unusable[0]}"
            self._dead_end(DeadEnd.UNUSABLE_ISSUER, Reason.CHAIN_INVALID, detail)
        else:
            whose = "" if at_leaf else f" of {child.subject.rfc4514_string()!r}"
            detail = (
                f"the issuer {issuer!r}{whose} is missing: the client did not send it, it is not"
                f" among `intermediates`, and the signing certificates are {known}"
            )
            self._dead_end(DeadEnd.ISSUER_MISSING, Reason.CHAIN_INCOMPLETE, detail)

    def _dead_end(self, kind: DeadEnd, reason: Reason, detail: str) -> None:
        self.dead_ends.append((kind, Finding(reason, detail)))


def is_signed_by(child: x509.Certificate, ca: CaCertificate) -> bool:
    """Whether the CA's key made the certificate's signature, and its name is the issuer's."""
    try:
        child.verify_directly_issued_by(ca.parsed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _by_name(certificates: Iterable[CaCertificate]) -> ByName:
    named: dict[bytes, list[CaCertificate]] = {}
    for certificate in dict.fromkeys(certificates):
        named.setdefault(certificate.subject.public_bytes(), []).append(certificate)
    return named

"""One source of CRLs, and which of the lists that came from it count.

A list counts when a CA that the policy names has signed it, and when it is not older than the one
that it would replace. Nothing else that a source does takes a list away.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from extauthz.ca import CaCertificate
from extauthz.crl import Crl
from extauthz.files import Stamp
from extauthz.revocation import CrlSource

__all__ = ["Source"]


@dataclass(slots=True)
class Source:
    """What has come from one source so far."""

    source: CrlSource
    authorities: frozenset[CaCertificate]
    """The CAs whose lists are looked for: those of all subscriptions that name the source."""
    by_issuer: dict[bytes, tuple[Crl, ...]] = field(default_factory=dict)
    """The lists that count, by `CaCertificate.identity`."""
    problem: str | None = None
    """What was wrong with the last reading."""
    results: Counter[str] = field(default_factory=Counter)
    """Readings of a file or directory, fetches of a URL: `new`, `unchanged`, `failed`."""
    files: Mapping[Path, Stamp] = field(default_factory=dict)
    """Local files as they were before they were read last."""

    @property
    def lists(self) -> Iterable[Crl]:
        return (crl for crls in self.by_issuer.values() for crl in crls)

    def accept(self, crls: Sequence[Crl]) -> list[str]:
        """Take over lists that are authentic and not older than those that are here.

        Returns what is wrong with the others.
        """
        problems: list[str] = []
        named: dict[bytes, list[CaCertificate]] = {}
        for ca in self.authorities:
            named.setdefault(ca.subject.public_bytes(), []).append(ca)
        for crl in crls:
            candidates = named.get(crl.issuer_name, [])
            faults = {ca: crl.fault_as_issued_by(ca) for ca in candidates}
            why = next(filter(None, faults.values()), "it is of no CA that the policy names")
            own = next((ca for ca, fault in faults.items() if fault is None), None)
            if own is not None:
                why = self._replace(own.identity, crl) or ""
            if why:
                problems.append(f"the CRL of {crl.issuer!r}: {why}")
        return problems

    def is_current(self, now: datetime) -> bool:
        """Whether any list of the source is not stale."""
        return any(crl.next_update > now for crl in self.lists)

    def _replace(self, issuer: bytes, crl: Crl) -> str | None:
        """Put a list in the place of the one that covers the same certificates, or say why not."""
        others: list[Crl] = []
        for known in self.by_issuer.get(issuer, ()):
            if known == crl:
                return None
            if _part(known) != _part(crl):
                others.append(known)
            elif (why := _goes_back(known, crl)) is not None:
                return why
        self.by_issuer[issuer] = (*others, crl)
        return None


def _part(crl: Crl) -> tuple[bool, bool, bool]:
    """Which of a CA's lists it is; each kind has its own succession."""
    return crl.covers_users, crl.covers_cas, crl.is_delta


def _goes_back(known: Crl, crl: Crl) -> str | None:
    """RFC 5280 5.2.3: the number of a CA's lists only ever grows."""
    if known.number is not None and (crl.number is None or crl.number < known.number):
        return f"its number {crl.number} is older than {known.number}, which is known already"
    if crl.this_update < known.this_update:
        return f"it is of {crl.this_update.isoformat()}, and a newer one is known already"
    return None

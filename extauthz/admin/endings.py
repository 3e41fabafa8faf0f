"""What ends next by itself: signing certificates and CRLs, of all subscriptions."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from extauthz.admin.observed import Observed
from extauthz.admin.pacing import Pace
from extauthz.admin.standing import Level, authorities, sources

__all__ = ["Ending", "Endings", "endings"]

MAX_ENDINGS = 20
"""How many of them a page shows."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A signing certificate or a CRL."""

    what: str
    name: str
    """The certificate's file, or the list's issuer. Untrusted text."""
    subscription: str
    since: datetime
    """notBefore, or thisUpdate: its age is the time since."""
    until: datetime
    """notAfter, or nextUpdate."""
    level: Level


@dataclass(frozen=True, slots=True)
class Endings:
    first: Sequence[Ending]
    """The first to end first."""
    more: int


def endings(observed: Observed, now: datetime, pace: Pace) -> Endings:
    """The first to end, as of `now`."""
    every = list(_every(observed, now, pace))
    first = heapq.nsmallest(MAX_ENDINGS, every, key=lambda each: each.until)
    return Endings(first, len(every) - len(first))


def _every(observed: Observed, now: datetime, pace: Pace) -> Iterator[Ending]:
    if observed.live.snapshot is None:
        return
    for subscription in observed.live.snapshot.policy.subscriptions.values():
        pace()
        name = subscription.name
        for authority in authorities(subscription, now):
            facts, label = authority.ca.facts, authority.label
            if label is not None:
                yield Ending(
                    "Signing certificate", label, name, facts.not_before, facts.not_after,
                    authority.level,
                )  # fmt: skip
        for source in sources(subscription, observed.around.evidence.lists, now):
            for crl in source.lists:
                yield Ending(
                    "CRL", crl.issuer, name, crl.this_update, crl.next_update, crl.level
                )  # fmt: skip

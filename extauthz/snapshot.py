"""A policy in force: one generation of it, with what has been worked out under it.

A snapshot never changes what it decides. A reload makes a whole new one and swaps one reference;
the cache of verified certificates lives in here and dies with it.
"""

from datetime import datetime

from extauthz.cache import BoundedCache
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Decision, decide, unchecked, undecided
from extauthz.findings import Finding, Reason
from extauthz.policy import Mode, Policy, Subscription
from extauthz.trust import VerifiedPeer

__all__ = ["Snapshot"]

VERIFIED_CAPACITY = 32 * 1024 * 1024
"""Octets that the verified certificates of a snapshot may take, about."""
_VERIFIED_OVERHEAD = 1536
"""What an entry takes besides its certificates, in octets; read off with tracemalloc."""


class Snapshot:
    """Answers checks under one policy."""

    def __init__(self, policy: Policy, generation: int) -> None:
        self.policy = policy
        self.generation = generation
        """Counts the policies that this process has had in force, from 1."""
        self.verified: BoundedCache[tuple[str, PeerCertificate], VerifiedPeer] = BoundedCache(
            VERIFIED_CAPACITY
        )

    def check(self, request: CheckRequest, now: datetime) -> Decision:
        """Decide on a request, as of `now` (aware)."""
        subscription = self.policy.subscription_for(request.host)
        if subscription is None:
            detail = f"no subscription has the host {request.host!r}"
            return undecided(Finding(Reason.SUBSCRIPTION_UNKNOWN, detail))
        if subscription.mode is Mode.OFF:
            return unchecked(subscription)
        peer = request.peer
        verified = peer if isinstance(peer, Finding) else self._verify(subscription, peer)
        return decide(subscription, request.logins, verified, now)

    def _verify(self, subscription: Subscription, peer: PeerCertificate) -> VerifiedPeer:
        key = (subscription.name, peer)
        verified = self.verified.get(key)
        if verified is None:
            verified = subscription.trust.verify(peer)
            self.verified.put(key, verified, peer.size + _VERIFIED_OVERHEAD)
        return verified

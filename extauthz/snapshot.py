"""A policy in force: one generation of it, with what has been worked out under it.

A snapshot never changes what it decides. A reload makes a whole new one and swaps one reference;
the caches live in here and die with it. What they hold does not depend on the time nor on what is
known of revocation (see `trust` and `decision`), so that nothing in them can be believed for too
long.
"""

from datetime import datetime
from typing import TypeAlias

from extauthz.cache import BoundedCache
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest, Login
from extauthz.decision import Assessment, Decision, assess, unchecked, undecided
from extauthz.findings import Finding, Reason
from extauthz.policy import Mode, Policy, Subscription
from extauthz.revocation import NO_EVIDENCE, Evidence
from extauthz.trust import VerifiedPeer

__all__ = ["Snapshot"]

CAPACITY = 32 * 1024 * 1024
"""Octets that each cache of a snapshot may take, about."""
_OVERHEAD = 2048
"""What an entry takes besides its certificates, in octets."""

_Question: TypeAlias = tuple[str, bytes, tuple[Login | Finding, ...]]
"""What an assessment depends on: the host, the peer certificate's identity, the logins."""


class Snapshot:
    """Answers checks under one policy."""

    def __init__(self, policy: Policy, generation: int, evidence: Evidence = NO_EVIDENCE) -> None:
        self.policy = policy
        self.generation = generation
        """Counts the policies that this process has had in force, from 1."""
        self._evidence = evidence
        self.verified: BoundedCache[tuple[str, bytes], VerifiedPeer] = BoundedCache(CAPACITY)
        self.assessed: BoundedCache[_Question, Assessment] = BoundedCache(CAPACITY)

    def check(self, request: CheckRequest, now: datetime) -> Decision:
        """Decide on a request, as of `now` (aware)."""
        peer = request.peer
        if not isinstance(peer, Finding):
            assessment = self.assessed.get((request.host, peer.identity, request.logins))
            if assessment is not None:
                return assessment.at(now, self._evidence)
        subscription = self.policy.subscription_for(request.host)
        if subscription is None:
            detail = f"no subscription has the host {request.host!r}"
            return undecided(Finding(Reason.SUBSCRIPTION_UNKNOWN, detail))
        if subscription.mode is Mode.OFF:
            return unchecked(subscription)
        verified = peer if isinstance(peer, Finding) else self._verify(subscription, peer)
        assessment = assess(subscription, request.logins, verified)
        # Who fails is looked at again each time: failures must not push out who passes.
        if not isinstance(peer, Finding) and assessment.passing is not None:
            question = (request.host, peer.identity, request.logins)
            self.assessed.put(question, assessment, peer.size + _OVERHEAD)
        return assessment.at(now, self._evidence)

    def _verify(self, subscription: Subscription, peer: PeerCertificate) -> VerifiedPeer:
        key = (subscription.name, peer.identity)
        verified = self.verified.get(key)
        if verified is None:
            verified = subscription.trust.verify(peer)
            self.verified.put(key, verified, peer.size + _OVERHEAD)
        return verified

"""A policy in force: one generation of it, with what has been worked out under it.

A snapshot never changes what it decides. A reload makes a whole new one and swaps one reference;
the caches live in here and die with it. What they hold does not depend on the time nor on what is
known of revocation (see `trust` and `decision`), and what was found of accounts is part of the
question, so that nothing in them can be believed for too long.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from extauthz.account_check import Answer, answer_of, lookup_keys
from extauthz.accounts import Accounts
from extauthz.cache import BoundedCache
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import (
    Assessment,
    Claims,
    Decision,
    assess,
    exempted,
    unchecked,
    undecided,
)
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.lookup import NO_DIRECTORIES, Directories, Lookup, LookupKey
from extauthz.policy import Mode, Policy, Subscription
from extauthz.revocation import NO_EVIDENCE, Evidence
from extauthz.session import Holder, PinsUnavailable
from extauthz.trust import VerifiedPeer

__all__ = ["Holders", "Snapshot"]

CAPACITY = 32 * 1024 * 1024
"""Octets that each cache of a snapshot may take, about."""
_OVERHEAD = 2048
"""What an entry takes besides its certificates, in octets."""

Holders: TypeAlias = tuple[Holder, ...] | PinsUnavailable
"""Who the sessions of a request are bound to, as far as they are."""
_Question: TypeAlias = tuple[str, bytes, tuple[Login | Finding, ...], tuple[Answer, ...], Holders]
"""What an assessment depends on: the subscription, the peer certificate's identity, the logins,
what a directory answered about them, and whom the sessions belong to."""


class Snapshot:
    """Answers checks under one policy."""

    def __init__(
        self,
        policy: Policy,
        generation: int,
        evidence: Evidence = NO_EVIDENCE,
        directories: Directories = NO_DIRECTORIES,
    ) -> None:
        self.policy = policy
        self.generation = generation
        """Counts the policies that this process has had in force, from 1."""
        self._evidence = evidence
        self._directories = directories
        self.verified: BoundedCache[tuple[str, bytes], VerifiedPeer] = BoundedCache(CAPACITY)
        self.assessed: BoundedCache[_Question, Assessment] = BoundedCache(CAPACITY)

    def check(self, request: CheckRequest, now: datetime, holders: Holders = ()) -> Decision:
        """Decide on a request, as of `now` (aware). Its subscription is one of this policy."""
        subscription, peer = request.subscription, request.peer
        if subscription is None:
            detail = f"no subscription has the host {request.host!r}"
            return undecided(Finding(Reason.SUBSCRIPTION_UNKNOWN, detail))
        if subscription.mode is Mode.OFF:
            return unchecked(subscription)
        # The policy's own accounts never change what they answer, so they need not be asked yet.
        known: tuple[Answer, ...] = ()
        answers: Mapping[LookupKey, Answer] | None = None
        is_elsewhere = not isinstance(subscription.accounts, Accounts)
        if is_elsewhere:
            answers = self._answers(request, subscription, holders, now)
            known = () if answers is None else tuple(answers.values())
        # Without a certificate no request passes, so there is nothing to keep.
        question: _Question | None = None
        if not isinstance(peer, Finding) and not (is_elsewhere and answers is None):
            question = (subscription.name, peer.identity, request.logins, known, holders)
            kept = self.assessed.get(question)
            if kept is not None and kept.since <= now <= kept.until:
                decision = kept.at(now, self._evidence)
                return exempted(decision, request, now) if decision.findings else decision
        if not is_elsewhere:
            answers = self._answers(request, subscription, holders, now)
        return self._anew(
            request, subscription, Claims(request.logins, answers, holders), now, question
        )

    def _anew(
        self,
        request: CheckRequest,
        subscription: Subscription,
        claims: Claims,
        now: datetime,
        question: _Question | None,
    ) -> Decision:
        """Decide without what is kept, and keep what may be of use for the same question."""
        assessment = assess(subscription, claims, self._verified(request, subscription), now)
        # Who fails is looked at again each time: failures must not push out who passes.
        if question is not None and assessment.passing is not None:
            self.assessed.put(question, assessment, _size(request.peer) + _OVERHEAD)
        decision = assessment.at(now, self._evidence)
        if claims.answers is None and not decision.findings:
            message = "a request would pass whose account was not looked up"
            raise RuntimeError(message)
        return exempted(decision, request, now) if decision.findings else decision

    def _answers(
        self, request: CheckRequest, subscription: Subscription, holders: Holders, now: datetime
    ) -> Mapping[LookupKey, Answer] | None:
        """What is known at this moment of all that has to be known of accounts.

        None where the request is refused without it: a stranger must not be able to have a
        directory asked.
        """
        accounts = subscription.accounts
        certificate = None if isinstance(request.peer, Finding) else request.peer
        logins: set[str] = set()
        if not isinstance(holders, PinsUnavailable):
            logins.update(*(holder.logins for holder in holders))
        keys = lookup_keys(subscription, request.logins, certificate, sorted(logins))
        if isinstance(accounts, Accounts):
            return {key: answer_of(accounts, key) for key in keys}
        if not _must_be_known(request, subscription, self._verified(request, subscription), now):
            return None
        return {key: self._directories.known(Lookup(accounts, key)) for key in keys}

    def _verified(
        self, request: CheckRequest, subscription: Subscription
    ) -> VerifiedPeer | Finding:
        peer = request.peer
        if isinstance(peer, Finding):
            return peer
        key = (subscription.name, peer.identity)
        verified = self.verified.get(key)
        if verified is None:
            verified = subscription.trust.verify(peer)
            self.verified.put(key, verified, peer.size + _OVERHEAD)
        return verified


def _size(peer: PeerCertificate | Finding) -> int:
    return 0 if isinstance(peer, Finding) else peer.size


def _must_be_known(
    request: CheckRequest, subscription: Subscription, peer: VerifiedPeer | Finding, now: datetime
) -> bool:
    """Whether the decision depends on accounts, and not on the certificate alone."""
    if subscription.mode is Mode.AUDIT or subscription.required_for is not None:
        return True
    asked = (request.logins, request.method, request.path, request.client)
    if any(now <= each.until and each.covers(*asked) for each in subscription.exemptions):
        return True
    return (
        not isinstance(peer, Finding)
        and not peer.faults
        and any(path.not_before <= now <= path.not_after for path in peer.paths)
    )

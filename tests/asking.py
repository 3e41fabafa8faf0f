"""Requests for the core, as the edge would have read them."""

from datetime import datetime

from extauthz.account_check import answer_of, lookup_keys
from extauthz.accounts import Accounts
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Claims, Decision, decide
from extauthz.findings import Finding
from extauthz.login import Login
from extauthz.policy import Policy, Subscription
from extauthz.revocation import NO_EVIDENCE, Evidence
from extauthz.session import Pin
from extauthz.trust import VerifiedPeer


def decided(
    subscription: Subscription,
    logins: tuple[Login | Finding, ...],
    peer: VerifiedPeer | Finding,
    now: datetime,
    evidence: Evidence = NO_EVIDENCE,
) -> Decision:
    """The decision on a request of a subscription that has its accounts in the policy."""
    assert isinstance(subscription.accounts, Accounts)
    certificate = None if isinstance(peer, Finding) else peer.certificate
    keys = lookup_keys(subscription, logins, certificate)
    answers = {key: answer_of(subscription.accounts, key) for key in keys}
    return decide(subscription, Claims(logins, answers), peer, now, evidence)


def asked(
    policy: Policy,
    host: str,
    peer: PeerCertificate | Finding,
    *logins: Login | Finding,
    method: str = "GET",
    path: str = "/",
    pins: tuple[Pin, ...] = (),
    client: str = "192.0.2.1",
) -> CheckRequest:
    """A request at a host."""
    subscription = policy.subscription_for(host)
    return CheckRequest(host, method, path, subscription, logins, pins, peer, "id", client)

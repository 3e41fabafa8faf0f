"""What `validate` says of CRLs and OCSP responders: today's state, no part of the policy."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from extauthz.evidence.gathered import GatheredEvidence
from extauthz.inquiry import Inquiry, NotAnswered
from extauthz.ocsp import Question
from extauthz.policy import Policy, Subscription
from extauthz.policyfile.problems import Problem, Severity, quoted
from extauthz.revocation import CLOCK_TOLERANCE, Revocation

__all__ = ["problems"]

PROBE_SERIAL = 1
"""What a responder is asked about to see whether it answers; that it knows none is an answer."""


async def problems(file: Path, policy: Policy, *, online: bool) -> list[Problem]:
    """Read the lists of a policy, from the network only when told so, and say what is wrong."""
    with tempfile.TemporaryDirectory() as state:
        async with GatheredEvidence(Path(state)) as evidence:
            await evidence.prepare(policy, online=online)
            return [
                problem
                for subscription in policy.subscriptions.values()
                if subscription.revocation is not None
                for problem in [
                    *_lists(file, subscription, subscription.revocation, evidence, online=online),
                    *await _responder(
                        file, subscription, subscription.revocation, evidence, online=online
                    ),
                ]
            ]


def _lists(
    file: Path,
    subscription: Subscription,
    revocation: Revocation,
    evidence: GatheredEvidence,
    *,
    online: bool,
) -> Iterator[Problem]:
    """What is wrong with the sources, and which CAs are without a list that counts today."""
    tried = [source for source in revocation.crls if online or not source.is_url]
    for source in tried:
        if (why := evidence.lists.sources[source].problem) is not None:
            yield _problem(
                file, subscription, Severity.WARNING, f"CRLs from {quoted(source.location)}: {why}",
                "mend the source, or ask the CA for a right list",
            )  # fmt: skip
    if len(tried) < len(revocation.crls) or not tried:
        return
    now = datetime.now(UTC)
    without = [
        quoted(ca.facts.subject)
        for ca in subscription.trust.authorities
        if not any(
            crl.next_update + CLOCK_TOLERANCE >= now and not crl.is_delta
            for source in tried
            for crl in evidence.crls(source, ca.identity)
        )
    ]
    if not without:
        return
    message = f"no CRL counts today of {', '.join(without)}"
    everywhere = len(without) == len(subscription.trust.authorities)
    lapsed = everywhere and revocation.ocsp is None and not revocation.allow_unknown
    severity = Severity.LAPSED if lapsed else Severity.WARNING
    remedy = "get its newest list: users of that CA are unknown"
    yield _problem(file, subscription, severity, message, remedy)


async def _responder(
    file: Path,
    subscription: Subscription,
    revocation: Revocation,
    evidence: GatheredEvidence,
    *,
    online: bool,
) -> list[Problem]:
    """Whether the responder answers at all; one that certificates name cannot be tried."""
    ocsp = revocation.ocsp
    if not online or ocsp is None or ocsp.responder is None:
        return []
    issuer = subscription.trust.authorities[0]
    inquiry = Inquiry(ocsp.responder, Question(issuer, PROBE_SERIAL), ocsp)
    await evidence.responders.try_out(inquiry)
    said = evidence.answered(inquiry)
    if not isinstance(said, NotAnswered):
        return []
    message = f"OCSP responder {quoted(ocsp.responder)}: {said.why}"
    is_vital = not revocation.crls and not revocation.allow_unknown
    severity = Severity.LAPSED if is_vital else Severity.WARNING
    remedy = "check that it is reachable from here"
    return [_problem(file, subscription, severity, message, remedy)]


def _problem(
    file: Path, subscription: Subscription, severity: Severity, message: str, remedy: str
) -> Problem:
    name = subscription.name
    return Problem(file, None, severity, f"{quoted(name)}: {message}", remedy, name)

"""Reminds the operator, day after day, of CA certificates and exemptions that end soon.

A reload warns of them, too; but a policy may well stay as it is for longer than they last.
"""

import asyncio
import logging
from datetime import UTC, datetime

from extauthz.policyfile import exemptions, signing
from extauthz.policyfile.live import LivePolicy
from extauthz.policyfile.problems import printable

__all__ = ["remind"]

DAY_SECONDS = 86_400.0

logger = logging.getLogger(__name__)


async def remind(live: LivePolicy, every: float = DAY_SECONDS) -> None:
    """Log what is wrong, or soon will be, with dates in the policy, until cancelled."""
    while True:
        await asyncio.sleep(every)
        snapshot = live.snapshot
        if snapshot is None:
            continue
        now = datetime.now(UTC)
        for subscription in snapshot.policy.subscriptions.values():
            for ca in subscription.trust.authorities:
                if (fault := signing.date_fault(ca.facts, now)) is not None:
                    text = f"{ca.facts.subject!r} of {subscription.name!r} {fault.message}"
                    logger.warning("the CA certificate %s; %s", printable(text), fault.remedy)
            for exemption in subscription.exemptions:
                if (end := exemptions.ending(exemption, now)) is not None:
                    logger.warning("%s, of %s", printable(end), subscription.name)

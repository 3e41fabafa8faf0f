"""What `validate` says of stores of sessions: whether each does today what checks ask of it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from extauthz.pins.gathered import GatheredPins
from extauthz.pins.trouble import Cause
from extauthz.policy import Mode, Policy
from extauthz.policyfile.problems import Problem, Severity, quoted

__all__ = ["problems"]

_REMEDIES: Final[Mapping[Cause, str]] = MappingProxyType({
    Cause.SETTINGS: "see docs/logins.md",
    Cause.SECRET: "provide it where `extauthz serve` runs, and here to try it",
    Cause.CA_FILE: "name a PEM file with the store's CA in `ca_file`",
    Cause.UNREACHABLE:
        "start it, or mend host and port in `store`, or what is between here and there: it has to"
        " be reached from where `extauthz serve` runs",
    Cause.SILENT:
        "look whether it hangs or is overloaded, whether a firewall swallows what is sent, and"
        " whether TLS is spoken there: a check waits no longer",
    Cause.UNTRUSTED:
        "name its CA in `ca_file`, and call it in `store` by a name that its certificate has",
    Cause.STRANGER: "mend host and port in `store`; look whether TLS is spoken there (rediss://)",
    Cause.DENIED: "mend `password`, or the user in the URL of `store`",
    Cause.RIGHTS:
        "grant its user: ACL SETUSER NAME ~extauthz:pin:* +getex +set +get +multi +exec",
    Cause.FULL: "give it more `maxmemory`: sessions that begin now are refused",
    Cause.READ_ONLY: "name its primary in `store`",
    Cause.LOADING: "wait until it has",
    Cause.OLD:
        "use Redis 6.2 or later, or Valkey, and one in which none of these is renamed or forbidden",
    Cause.FOREIGN: "give whoever else writes there a database of its own",
    Cause.ERROR: "look up that error in its documentation, and look into its log",
})  # fmt: skip
"""For each cause, what mends it."""


async def problems(file: Path, policy: Policy) -> list[Problem]:
    """Ask each store what checks ask it; nothing changes there."""
    found: list[Problem] = []
    async with GatheredPins() as pins:
        await pins.prepare(policy)
        for subscription in policy.subscriptions.values():
            trouble = await pins.try_out(subscription)
            if trouble is None:
                continue
            # Of a subscription that is off no request is asked about.
            severity = Severity.WARNING if subscription.mode is Mode.OFF else Severity.LAPSED
            message = f"{quoted(subscription.name)}: the store of sessions: {trouble.why}"
            remedy = _REMEDIES[trouble.cause]
            found.append(Problem(file, None, severity, message, remedy, subscription.name))
    return found

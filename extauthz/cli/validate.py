"""`extauthz validate`: everything that is wrong with a policy file, or what it says."""

import argparse
import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from extauthz.accounts import Accounts
from extauthz.cli import directories, evidence, session_stores
from extauthz.lookup import AccountFile, Directory
from extauthz.policy import Policy, Subscription
from extauthz.policyfile.loader import load
from extauthz.policyfile.problems import Problem, Severity, counted, printable
from extauthz.policyfile.signing import is_valid
from extauthz.revocation import Revocation

__all__ = ["add_to", "run"]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "validate",
        help="check a policy file",
        description="Check a policy file and the files that it names. Exit status 1 when it has"
        " errors, or when a subscription admits nobody because its signing certificates or CRLs"
        " lapsed.",
    )
    command.add_argument("file", type=Path, metavar="FILE", help="the policy file")
    command.add_argument("--json", action="store_true", help="report as JSON")
    command.add_argument(
        "--online",
        action="store_true",
        help="fetch the CRLs, and ask the OCSP responders, directories of accounts and stores of"
        " sessions, too",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    loaded = load(options.file, now)
    problems = list(loaded.problems)
    if loaded.policy is not None:
        problems += asyncio.run(_today(options.file, loaded.policy, online=options.online))
    bad = any(problem.severity is not Severity.WARNING for problem in problems)
    if options.json:
        print(json.dumps(_report(loaded.policy, problems, valid=not bad), indent=2))
    else:
        for problem in problems:
            print(problem, file=sys.stderr if bad else sys.stdout)
        if loaded.policy is not None:
            subscriptions = loaded.policy.subscriptions.values()
            print(_table(subscriptions))
            if any(subscription.exemptions for subscription in subscriptions):
                print(_exemptions(subscriptions))
            if loaded.policy.redaction is not None:
                print(f"redacted in the decision log: {', '.join(_redacted(loaded.policy))}")
        shut = 0 if loaded.policy is None else _shut(loaded.policy, problems, now)
        print(_verdict(options.file, problems, shut))
    return 1 if bad else 0


async def _today(file: Path, policy: Policy, *, online: bool) -> list[Problem]:
    """What is wrong today with what the policy names: lists, responders, directories, stores."""
    subscriptions = policy.subscriptions.values()
    # What the gathering logs is reported here, each with what to do about it.
    logging.disable(logging.CRITICAL)
    try:
        found: list[Problem] = []
        if any(subscription.revocation for subscription in subscriptions):
            found += await evidence.problems(file, policy, online=online)
        if any(not isinstance(subscription.accounts, Accounts) for subscription in subscriptions):
            found += await directories.problems(file, policy, online=online)
        if online:
            found += await session_stores.problems(file, policy)
        return found
    finally:
        logging.disable(logging.NOTSET)


def _shut(policy: Policy, problems: Iterable[Problem], now: datetime) -> int:
    """How many subscriptions would admit nobody, each for one reason or for several."""
    lapsed = {each.subscription for each in problems if each.severity is Severity.LAPSED}
    return sum(
        not any(is_valid(each.facts, now) for each in subscription.trust.signing_certificates)
        or subscription.name in lapsed
        for subscription in policy.subscriptions.values()
    )


def _verdict(file: Path, problems: Iterable[Problem], shut: int) -> str:
    found = Counter(problem.severity for problem in problems)
    errors = found[Severity.ERROR]
    if errors:
        word = "is not valid, and would not take effect"
    elif shut:
        word = f"would take effect, but {counted(shut, 'subscription')} would admit nobody"
    else:
        word = "is valid"
    counts = f"{counted(errors, 'error')}, {counted(found[Severity.WARNING], 'warning')}"
    return printable(f"{file} {word}: {counts}")


def _report(
    policy: Policy | None, problems: Iterable[Problem], *, valid: bool
) -> dict[str, object]:
    subscriptions = () if policy is None else policy.subscriptions.values()
    return {
        "valid": valid,
        "problems": [
            {
                "file": str(problem.file),
                "line": problem.place and problem.place.line,
                "column": problem.place and problem.place.column,
                "severity": problem.severity,
                "message": problem.message,
                "remedy": problem.remedy,
            }
            for problem in problems
        ],
        "decision_log": {"redact": _redacted(policy)},
        "subscriptions": [_described(subscription) for subscription in subscriptions],
    }


def _described(subscription: Subscription) -> dict[str, object]:
    return {
        "name": subscription.name,
        "mode": subscription.mode,
        "hosts": subscription.hosts,
        "verify_email": subscription.verify_email,
        "identity": subscription.identity,
        "max_intermediates": subscription.trust.max_intermediates,
        "revocation": _revocation(subscription.revocation),
        "accounts": _accounts(subscription.accounts),
        "login": [source.source for source in subscription.login],
        "session": subscription.session and subscription.session.cookie,
        "exempt": [
            {
                "name": exemption.name,
                "reason": exemption.reason,
                "until": f"{exemption.until:%Y-%m-%d}",
                "logins": sorted(exemption.logins),
                "paths": [str(path) for path in exemption.paths],
                "methods": sorted(exemption.methods),
                "from": [str(network) for network in exemption.networks],
            }
            for exemption in subscription.exemptions
        ],
        "signing_certificates": [
            {
                "label": signing.label,
                "subject": signing.facts.subject,
                "not_after": signing.facts.not_after.isoformat(),
                "sha256": signing.facts.fingerprint,
            }
            for signing in subscription.trust.signing_certificates
        ],
    }


def _redacted(policy: Policy | None) -> list[str]:
    redaction = None if policy is None else policy.redaction
    return [] if redaction is None else sorted(redaction.fields)


def _accounts(accounts: Accounts | Directory) -> int | str:
    """How many there are, or where they live."""
    match accounts:
        case Accounts():
            return len(accounts)
        case AccountFile():
            return accounts.path
        case _:
            return accounts.url


def _exemptions(subscriptions: Iterable[Subscription]) -> str:
    """A row for each exemption, the first to end first."""
    rows = [("EXEMPT", "SUBSCRIPTION", "UNTIL", "WHO", "REASON")]
    every = [
        (exemption, subscription.name)
        for subscription in subscriptions
        for exemption in subscription.exemptions
    ]
    for exemption, name in sorted(every, key=lambda each: each[0].until):
        conditions = [
            *sorted(exemption.logins),
            *sorted(exemption.methods),
            *(str(path) for path in exemption.paths),
            *(f"from {network}" for network in exemption.networks),
        ]
        until = f"{exemption.until:%Y-%m-%d}"
        who, reason = printable(" ".join(conditions)), printable(exemption.reason)
        rows.append((exemption.name, name, until, who, reason))
    return _columns(rows)


def _revocation(revocation: Revocation | None) -> dict[str, object] | None:
    if revocation is None:
        return None
    ocsp = revocation.ocsp
    return {
        "require": revocation.scope,
        "if_unknown": "allow" if revocation.allow_unknown else "deny",
        "crl": [source.location for source in revocation.crls],
        "ocsp": None if ocsp is None else ocsp.responder or sorted(ocsp.allowed_hosts),
        "blocked": len(revocation.blocked.fingerprints) + len(revocation.blocked.serials),
    }


def _table(subscriptions: Iterable[Subscription]) -> str:
    """A row for each signing certificate; what belongs to the subscription stands in its first."""
    rows = [
        ("SUBSCRIPTION", "MODE", "HOSTS", "ACCOUNTS", "SIGNING CERTIFICATE", "EXPIRES", "SHA-256")
    ]
    for subscription in subscriptions:
        accounts = "not verified"
        if subscription.verify_email:
            accounts = printable(str(_accounts(subscription.accounts)))
        first = (subscription.name, str(subscription.mode), " ".join(subscription.hosts), accounts)
        for signing in subscription.trust.signing_certificates:
            facts = signing.facts
            subject, end = printable(facts.subject), f"{facts.not_after:%Y-%m-%d}"
            rows.append((*first, subject, end, facts.fingerprint))
            first = ("", "", "", "")
    return _columns(rows)


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )

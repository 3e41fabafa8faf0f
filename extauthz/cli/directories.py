"""What `validate` says of files and directories of accounts: today's state, no part of the policy.

A file with a mistake is reported as an error: serving goes on with what was read before, and after
a restart with nothing.
"""

import asyncio
from pathlib import Path

from extauthz.accounts import Accounts
from extauthz.directory import mistakes, reading
from extauthz.directory.backend import UnreachableError
from extauthz.directory.gathered import GatheredDirectories
from extauthz.files import Place
from extauthz.lookup import AccountFile, ByLogin, Lookup
from extauthz.policy import Policy, Subscription
from extauthz.policyfile.problems import Problem, Severity, quoted

__all__ = ["problems"]

PROBE = ByLogin("extauthz-validate")
"""What a directory is asked to see whether it answers; that it knows no such account is an
answer."""


async def problems(file: Path, policy: Policy, *, online: bool) -> list[Problem]:
    """Read the files of accounts and, only when told so, ask the directories."""
    found: list[Problem] = []
    for subscription in policy.subscriptions.values():
        accounts = subscription.accounts
        if isinstance(accounts, AccountFile):
            found += await asyncio.to_thread(_account_file, accounts)
    if online:
        async with GatheredDirectories() as directories:
            await directories.prepare(policy)
            for subscription in policy.subscriptions.values():
                found += await _asked(file, subscription, directories)
    return found


def _account_file(accounts: AccountFile) -> list[Problem]:
    path = Path(accounts.path)
    read = reading.read(path, accounts.kind)
    found = [
        Problem(path, _place(each), Severity.ERROR, each.message, each.remedy)
        for each in read.problems
    ]
    if (rest := read.count - len(found)) > 0:
        found.append(Problem(path, None, Severity.ERROR, f"and {rest} more", "mend these first"))
    return found


def _place(problem: mistakes.Problem) -> Place | None:
    return None if problem.line is None else Place(problem.line, problem.column or 1)


async def _asked(
    file: Path, subscription: Subscription, directories: GatheredDirectories
) -> list[Problem]:
    """Whether a directory answers."""
    accounts = subscription.accounts
    if isinstance(accounts, Accounts | AccountFile):
        return []
    fault = await directories.try_out(Lookup(accounts, PROBE))
    if fault is None:
        return []
    message = f"{quoted(subscription.name)}: the directory of accounts: {fault}"
    to_do = "mend that"
    if isinstance(fault, UnreachableError):
        to_do = "check that it is reachable from here"
    remedy = f"{to_do}: nobody whose account is not known can pass"
    return [Problem(file, None, Severity.LAPSED, message, remedy, subscription.name)]

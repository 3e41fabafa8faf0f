"""Passwords and tokens: read where the operator keeps them, when they are needed.

So one can be changed while extauthz runs, and it stands neither in the policy nor in memory for
long. No message repeats one.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from extauthz.files import FileProblemError, read_text
from extauthz.lookup import HttpDirectory, LdapDirectory, Secret, SqlDirectory
from extauthz.policy import Policy, Subscription
from extauthz.quoting import printable, quoted

__all__ = ["SecretError", "missing", "read"]

MAX_OCTETS = 64 * 1024


class SecretError(Exception):
    """There is no secret where one should be; the message names the place."""


def read(secret: Secret) -> str:
    """The secret as it is now. Raises SecretError."""
    if secret.variable is not None:
        value = os.environ.get(secret.variable)
        if value is None:
            raise SecretError(f"the environment variable {secret.variable} is not set")
        return value
    if secret.file is None:
        raise SecretError("a secret without a place")
    try:
        return read_text(Path(secret.file), MAX_OCTETS).rstrip()
    except FileProblemError as error:
        raise SecretError(f"the secret {secret.file} {error}") from error


def missing(policy: Policy) -> list[str]:
    """The secrets of a policy that are not there: whose, what for, where; a line for each use."""
    faults: dict[Secret, str | None] = {}
    lines: list[str] = []
    for subscription in policy.subscriptions.values():
        for user, needed in _needed(subscription):
            if needed not in faults:
                faults[needed] = _fault(needed)
            if (fault := faults[needed]) is not None:
                lines.append(printable(f"{quoted(subscription.name)}: {user}: {fault}"))
    return lines


def _needed(subscription: Subscription) -> Iterator[tuple[str, Secret]]:
    accounts, session = subscription.accounts, subscription.session
    if isinstance(accounts, SqlDirectory | LdapDirectory | HttpDirectory):
        needed = accounts.token if isinstance(accounts, HttpDirectory) else accounts.password
        if needed is not None:
            yield f"the directory of accounts {accounts.url}", needed
    if session is not None and session.password is not None:
        yield f"the store of sessions {session.store}", session.password


def _fault(secret: Secret) -> str | None:
    try:
        read(secret)
    except SecretError as error:
        return str(error)
    return None

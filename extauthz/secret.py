"""Passwords and tokens: read where the operator keeps them, when they are needed.

So one can be changed while extauthz runs, and it stands neither in the policy nor in memory for
long. No message repeats one.
"""

import os
from pathlib import Path

from extauthz.files import FileProblemError, read_text
from extauthz.lookup import Secret

__all__ = ["SecretError", "read"]

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

"""The policy that a command is given: usable, or all that is wrong with it on standard error."""

import sys
from datetime import datetime
from pathlib import Path

from extauthz.policy import Policy
from extauthz.policyfile.loader import load

__all__ = ["policy_of"]


def policy_of(file: Path, now: datetime) -> Policy | None:
    """The policy of a file as of `now` (aware); None, and said why, when it has errors."""
    loaded = load(file, now)
    if loaded.policy is None:
        for problem in loaded.problems:
            print(problem, file=sys.stderr)
    return loaded.policy

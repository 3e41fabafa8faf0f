"""`extauthz envoy`: an Envoy configuration with what a policy needs, or what it lacks of it."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from extauthz.cli.policies import policy_of
from extauthz.envoyconfig.needs import needs_of
from extauthz.envoyconfig.weave import UnusableError, Woven, weave
from extauthz.files import FileProblemError, read_text
from extauthz.quoting import printable

__all__ = ["add_to", "run"]

MAX_CONFIG_OCTETS = 16 * 1024 * 1024


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "envoy",
        help="work what a policy needs into an Envoy configuration",
        description="Print an Envoy configuration with what the login sources and sessions of a"
        " policy need; comments and order stay. Exit status 1, and no configuration, when there is"
        " something that only a person can do.",
    )
    command.add_argument("--policy", type=Path, required=True, metavar="FILE", help="policy file")
    command.add_argument(
        "--check",
        action="store_true",
        help="print what the configuration lacks instead, and exit with status 1 if that is"
        " anything; what would be better besides is a hint",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="Envoy's configuration, YAML or JSON"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    policy = policy_of(options.policy, datetime.now(UTC))
    if policy is None:
        return 1
    try:
        text = read_text(options.config, MAX_CONFIG_OCTETS)
        woven = weave(text, needs_of(policy))
    except FileProblemError as error:
        print(printable(f"{options.config}: {error}; {error.remedy}"), file=sys.stderr)
        return 1
    except UnusableError as error:
        print(printable(f"{options.config}: {error}"), file=sys.stderr)
        return 1
    return _checked(options.config, woven) if options.check else _printed(options.config, woven)


def _checked(config: Path, woven: Woven) -> int:
    lacking = [*woven.by_hand, *woven.missing]
    for line in lacking:
        print(printable(f"{config}: {line}"))
    for line in woven.hints:
        print(printable(f"{config}: hint: {line}"))
    return 1 if lacking else 0


def _printed(config: Path, woven: Woven) -> int:
    for line in woven.by_hand:
        print(printable(f"{config}: {line}"), file=sys.stderr)
    if woven.by_hand:
        return 1
    for line in woven.hints:
        print(printable(f"{config}: hint: {line}"), file=sys.stderr)
    print(woven.text, end="")
    return 0

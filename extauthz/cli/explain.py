"""`extauthz explain`: why a request passes or not, check by check.

Either of a request that somebody describes, or of one that the server decided: see
`explain_policy` and `explain_log`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from extauthz.cli import explain_log, explain_policy
from extauthz.trial import written
from extauthz.trial.claims import SOURCES
from extauthz.trial.written import WrittenError

__all__ = ["add_to", "run"]

T = TypeVar("T")

_DESCRIPTION = """\
Say why a request passes or not: each check in order, what was compared, what
mends it, and the answer that the client gets. The request is one that you
describe (--policy), or one that was decided (REQUEST_ID and --log; with
--policy, too, its answer is told).
"""
_EXAMPLES = """\
  extauthz explain --policy policy.yaml --host acme.example.com --login alice \\
      --certificate alice.pem
  extauthz explain 7c0a3e8e-4a1b-9b6e-9c52-0f2d8a3f1c77 --log decisions.jsonl

Exit status: 0 when the request passes, 1 when it is refused, 2 when that cannot
be said: wrong options, a policy with errors, an id that is not in the log.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "explain",
        help="say why a request passes or not, check by check",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="explain as JSON")
    recorded = command.add_argument_group("a request that was decided")
    recorded.add_argument(
        "request_id",
        nargs="?",
        metavar="REQUEST_ID",
        help="Envoy's id of the request (X-Request-ID), as in its access log",
    )
    recorded.add_argument(
        "--log",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="decision logs: files, or directories of them; - for standard input. Compressed ones"
        " are read too, and those that a log was rotated to are found",
    )
    _add_described(command.add_argument_group("a request that you describe"))
    command.set_defaults(run=run, fail=command.error)


def _add_described(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--policy", type=Path, metavar="FILE", help="the policy file")
    group.add_argument("--host", type=_reading(written.host), metavar="HOST")
    group.add_argument("--login", help="login that the request claims")
    group.add_argument(
        "--login-source",
        choices=SOURCES,
        metavar="KIND",
        help=f"where it stands: {', '.join(SOURCES)}; else the first place that the policy reads",
    )
    group.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="the client's certificate, PEM or DER; those after it in the file are its chain."
        " Without it the client presents none",
    )
    group.add_argument("--chain", type=Path, metavar="FILE", help="what the client sends above it")
    group.add_argument(
        "--at",
        type=_reading(written.instant),
        metavar="TIME",
        help="when: RFC 3339, or a day, which begins at 00:00 UTC; else now",
    )
    group.add_argument("--path", type=_reading(written.path), metavar="PATH", help="else /")
    group.add_argument("--method", type=_reading(written.method), metavar="METHOD", help="else GET")
    group.add_argument(
        "--client", type=_reading(written.client), metavar="IP", help="address of the client"
    )


def run(options: argparse.Namespace) -> int:
    described = [
        f"--{name.replace('_', '-')}"
        for name in ("policy", "host", "login", "login_source", "certificate", "chain", "at",
                     "path", "method", "client")
        if getattr(options, name) is not None
    ]  # fmt: skip
    is_recorded = options.request_id is not None or options.log is not None
    others = [option for option in described if option != "--policy"]
    if is_recorded and others:
        options.fail(
            f"{others[0]} is for a request that you describe, REQUEST_ID and --log are not"
        )
    if is_recorded or options.policy is None:
        if others:
            options.fail(f"{others[0]} is for a request that you describe: give --policy, too")
        if options.request_id is None and options.log is None:
            options.fail("give --policy and --host, or a REQUEST_ID and --log")
        if options.request_id is None:
            options.fail("give the REQUEST_ID before --log")
        if options.log is None:
            options.fail("give --log FILE, where the request is to be looked for")
        return explain_log.run(options)
    if options.host is None:
        options.fail("give --host: it says whose request it is")
    if options.login_source is not None and options.login is None:
        options.fail("--login-source says nothing without --login")
    if options.chain is not None and options.certificate is None:
        options.fail("--chain says nothing without --certificate")
    return explain_policy.run(options)


def _reading(read: Callable[[str], T]) -> Callable[[str], T]:
    """What is written there, for argparse, which says where it stands."""

    def reading(text: str) -> T:
        try:
            return read(text)
        except WrittenError as error:
            raise argparse.ArgumentTypeError(f"{error}; {error.remedy}") from error

    return reading

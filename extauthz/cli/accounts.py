"""`extauthz accounts`: look at the accounts of a subscription, and mend one.

For whoever is a manager there, and works on the machine: `--as` says on whose authority, and is
no authentication. The audit file names the user of the operating system as well.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from extauthz.accounts import Account
from extauthz.days import end_of_day
from extauthz.mending.change import Order, as_json, carry_out, look
from extauthz.mending.edit import Request, SetDisabled, SetName
from extauthz.mending.outcome import MendingError
from extauthz.quoting import printable, quoted

__all__ = ["add_to"]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "accounts",
        help="look at accounts, and mend an email",
        description="Look at the accounts of a subscription, change the email of one, disable or"
        " enable it. The policy file or the file of accounts is edited in place; who, what and"
        " when is appended to an audit file beside it.",
    )
    actions = command.add_subparsers(required=True, metavar="ACTION")
    listing = _action(actions, "list", "list the accounts that --as may see", _list)
    listing.add_argument("--json", action="store_true", help="as JSON")
    showing = _action(actions, "show", "show one account", _show)
    showing.add_argument("--json", action="store_true", help="as JSON")
    setting = _action(actions, "set-email", "give an account another email", _set_email)
    for action in (showing, setting):
        action.add_argument("login", metavar="LOGIN", help="the account")
    _add_set_email_options(setting)
    for name, help_text, run in (
        ("disable", "refuse an account, whatever the certificate", _disable),
        ("enable", "admit an account again", _enable),
    ):
        action = _action(actions, name, help_text, run)
        action.add_argument("login", metavar="LOGIN", help="the account")


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    help_text: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=help_text)
    action.add_argument(
        "--policy", type=Path, required=True, metavar="FILE", help="the policy file"
    )
    action.add_argument(
        "--subscription", required=True, metavar="NAME", help="whose accounts they are"
    )
    action.add_argument(
        "--as", required=True, dest="acting", metavar="LOGIN",
        help="the manager on whose authority it is done: an account of the subscription with"
        " `role: manager`, or `role: unit_manager` for the own unit",
    )  # fmt: skip
    action.add_argument(
        "--audit", type=Path, metavar="FILE",
        help="the audit file (default: beside the edited file, with .audit.jsonl at its end)",
    )  # fmt: skip
    action.set_defaults(run=run, command=name)
    return action


def _add_set_email_options(setting: argparse.ArgumentParser) -> None:
    setting.add_argument(
        "new", metavar="NEW_EMAIL", help="the new email, or what the subscription's `identity` is"
    )
    setting.add_argument(
        "--keep-old-until", type=_day, metavar="YYYY-MM-DD",
        help="the last day (UTC) on which what it replaces still holds; without it that ends now",
    )  # fmt: skip
    setting.add_argument(
        "--replace", metavar="OLD_EMAIL", help="replace this one alone (default: all of them)"
    )
    setting.add_argument(
        "--shared", action="store_true", help="even if another account has the new email, too"
    )


def _day(text: str) -> date:
    end = end_of_day(text)
    if end is None:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no day like 2026-12-31")
    return end.date()


def _list(options: argparse.Namespace) -> int:
    return _look(options, None, _table)


def _show(options: argparse.Namespace) -> int:
    return _look(options, options.login, _sheet)


def _look(
    options: argparse.Namespace, login: str | None, words: Callable[[Sequence[Account]], str]
) -> int:
    try:
        accounts = look(_order(options, login))
    except MendingError as error:
        return _failed(error)
    if options.json:
        found = [as_json(account) for account in accounts]
        print(json.dumps(found if login is None else found[0], indent=2))
    else:
        print(words(accounts))
    return 0


def _set_email(options: argparse.Namespace) -> int:
    request = SetName(options.new, options.replace, options.keep_old_until, options.shared)
    return _carry_out(options, request)


def _disable(options: argparse.Namespace) -> int:
    return _carry_out(options, SetDisabled(value=True))


def _enable(options: argparse.Namespace) -> int:
    return _carry_out(options, SetDisabled(value=False))


def _carry_out(options: argparse.Namespace, request: Request) -> int:
    try:
        changed = carry_out(_order(options, options.login), request)
    except MendingError as error:
        return _failed(error)
    if changed.after is changed.before:
        print(printable(f"{options.login}: nothing to do"))
    else:
        print(printable(f"{options.login} is changed in {changed.file}:"))
        print(_sheet([changed.after]))
    return 0


def _order(options: argparse.Namespace, login: str | None) -> Order:
    return Order(
        policy=options.policy,
        subscription=options.subscription,
        acting=options.acting,
        command=options.command,
        login=login,
        audit=options.audit,
    )


def _failed(error: MendingError) -> int:
    print(printable(f"extauthz accounts: {error}"), file=sys.stderr)
    return 1


def _cells(account: Account) -> dict[str, str]:
    former = (f"{each.identity} until {each.until:%Y-%m-%d}" for each in account.former)
    return {
        "LOGIN": account.login,
        "NAMES": ", ".join(map(str, account.identities)),
        "FORMER": ", ".join(former),
        "UNIT": account.unit or "",
        "ROLE": account.role or "",
        "GROUPS": ", ".join(sorted(account.groups)),
        "STATE": "disabled" if account.is_disabled else "",
    }


def _table(accounts: Sequence[Account]) -> str:
    """A row for each account."""
    cells = [_cells(account) for account in accounts]
    rows = [list(cells[0]), *(list(map(printable, each.values())) for each in cells)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _sheet(accounts: Sequence[Account]) -> str:
    """A line for each thing that there is to say about an account."""
    (account,) = accounts
    return "\n".join(
        printable(f"  {name.lower() + ':':<8}{cell}")
        for name, cell in _cells(account).items()
        if cell
    )

"""The options of `extauthz serve` about the admin listener and its pages."""

import argparse
import ipaddress
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extauthz import secret
from extauthz.admin.access import Rules
from extauthz.admin.tokens import Token, TokenError
from extauthz.listeners import Address, Tcp
from extauthz.lookup import Secret
from extauthz.secret import SecretError

__all__ = ["Admission", "AdmissionError", "add_to", "admission", "tell"]

VARIABLE: Final = "EXTAUTHZ_ADMIN_TOKEN"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)

logger = logging.getLogger(__name__)


class AdmissionError(Exception):
    """The admin listener cannot be set up as the options say; the message says why."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may see the admin pages."""

    rules: Rules
    token: Token | None


def add_to(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    command.add_argument(
        "--admin-token-file",
        type=Path,
        metavar="FILE",
        help="have the admin pages ask for the token in this file; without it, for the one in the"
        f" environment variable {VARIABLE}, if that is set",
    )
    command.add_argument(
        "--admin-from",
        type=_network,
        action="append",
        default=[],
        metavar="CIDR",
        help="who may see the admin pages without a token, besides loopback: a proxy that has"
        " authenticated the user; may be given again",
    )
    command.add_argument(
        "--admin-host",
        type=_host,
        action="append",
        default=[],
        metavar="NAME",
        help="a host name under which the admin pages are reached, besides localhost; may be given"
        " again",
    )


def admission(options: argparse.Namespace) -> Admission:
    """Who may see the admin pages, by the options. Raises AdmissionError."""
    return Admission(
        Rules(frozenset(options.admin_host), tuple(options.admin_from)),
        _token(options.admin_token_file),
    )


def tell(admitted: Admission, address: Address) -> None:
    """Say for whom the pages are closed, where that may surprise."""
    is_closed = admitted.token is None and not admitted.rules.networks
    if is_closed and isinstance(address, Tcp) and not _is_loopback(address.host):
        logger.info(
            "the admin pages on %s are closed to all but this machine: --admin-token-file or"
            " --admin-from opens them; /healthz, /readyz and /metrics are open",
            address,
        )


def _token(file: Path | None) -> Token | None:
    if file is not None:
        place, where = Secret(file=str(file)), f"--admin-token-file {file}"
    elif os.environ.get(VARIABLE):
        place, where = Secret(variable=VARIABLE), f"the environment variable {VARIABLE}"
    else:
        return None
    try:
        return Token(secret.read(place))
    except SecretError as error:
        raise AdmissionError(f"--admin-token-file: {error}") from error
    except TokenError as error:
        raise AdmissionError(f"{where}: {error}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _host(text: str) -> str:
    if not _NAME.fullmatch(text):
        message = f"{text!r} is no host name: write it as in a URL, without a port"
        raise argparse.ArgumentTypeError(message)
    return text.lower()

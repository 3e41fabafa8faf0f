"""Who may see the pages. The rules, and nothing of HTTP besides the fields that they go by.

- A connection over a Unix socket may: the socket's file mode says who can make one.
- Who shows the token may, from anywhere; so does a browser that logged in with it.
- Without a token, loopback may, and whoever comes from `--admin-from`. Where a person is let in
  for where the connection comes from, the Host field has to be a name of ours: else any web site
  could have that person's browser read the pages, by a DNS name that it points at us; and an Envoy
  that asks for checks here by mistake, with the users' hosts, would read a page as an allow.
- Where a token is set, loopback has to show it, too: other users share the machine.
- Everybody else is told how it is set up, and nothing more.

What a header says of where a request comes from (`X-Forwarded-For` and the like) is never read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from multidict import CIMultiDictProxy

__all__ = [
    "CLOSED", "LOCAL_NAMES", "WRONG_HOST", "Address", "Closed", "Networks", "Rules",
    "is_from_another_site", "same_origin",
]  # fmt: skip

Address: TypeAlias = IPv4Address | IPv6Address
Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[^\[\]:/@\s]{1,255})(?P<port>:[0-9]{1,5})?")

CLOSED = """\
These pages are closed to you: you come from {address}, which is not this machine.

Either have extauthz ask for a token:        extauthz serve --admin-token-file FILE
or name the proxy that authenticates users:  extauthz serve --admin-from CIDR --admin-host NAME
or look at them from the machine itself, for instance through `ssh -L`.

/healthz, /readyz and /metrics are open. docs/admin.md has the whole of it.
"""
WRONG_HOST = """\
These pages are not known by the name in the Host field.

Use http://localhost:PORT/, or name it: extauthz serve --admin-host NAME
(Otherwise any web site could have your browser read these pages, by DNS rebinding; and an Envoy
whose ext_authz asks here by mistake would let everybody in.)
"""


@dataclass(frozen=True, slots=True)
class Closed:
    """Why somebody may not see the pages."""

    why: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows."""

    hosts: frozenset[str] = frozenset()
    """Names besides `LOCAL_NAMES` by which the pages are known, in lower case."""
    networks: Networks = ()
    """From where a connection needs no token: a proxy that has authenticated the user."""

    def closed_to(
        self, address: Address | None, host: Sequence[str], *, has_token: bool, is_known: bool
    ) -> Closed | None:
        """Why somebody may not see the pages; None for who may.

        `address` is that of the connection, None for a Unix socket; `host` are the values of the
        Host field; `has_token` says whether there is a token, and `is_known` whether it, or what
        was given for it, was shown.
        """
        if is_known:
            return None
        if address is not None:
            actual = unmapped(address)
            is_trusted = any(actual in network for network in self.networks)
            if not is_trusted and (has_token or not actual.is_loopback):
                return Closed(CLOSED.format(address=actual))
        return None if self._is_ours(host) else Closed(WRONG_HOST)

    def _is_ours(self, host: Sequence[str]) -> bool:
        if len(host) != 1 or (found := _HOST.fullmatch(host[0])) is None:
            return False
        name = found["name"].lower()
        return name in LOCAL_NAMES or name in self.hosts


def unmapped(address: Address) -> Address:
    """An IPv4 address as such, where it comes as one of IPv6 (RFC 4291 2.5.5.2)."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def same_origin(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a POST was sent by a page of ours, or by no browser at all.

    Browsers say it by Sec-Fetch-Site; older ones, and all on plain HTTP beyond localhost, by
    Origin. What has neither is no browser, and nobody can make it send anything.
    """
    sites = headers.getall("Sec-Fetch-Site", [])
    if sites:
        return sites == ["same-origin"]
    origins = headers.getall("Origin", [])
    if not origins:
        return True
    scheme, separator, authority = origins[0].partition("://")
    return (
        len(origins) == 1
        and bool(separator)
        and scheme in {"http", "https"}
        and [authority] == headers.getall("Host", [])
    )


def is_from_another_site(headers: Mapping[str, str]) -> bool:
    """Whether a page of another site wants to use this as a part of itself.

    Following a link from elsewhere is no such thing.
    """
    return (
        headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}
        and headers.get("Sec-Fetch-Mode") != "navigate"
    )

"""One form for every way to write a host. Used when a policy is loaded and when a check is read.

Two spellings of one host must never lead to two answers (CVE-2022-23632 in Traefik is what
happens otherwise), so both sides come through `normalise`, and nothing else compares hosts.
"""

import ipaddress
import re
from typing import Final

import idna

__all__ = ["WILDCARD", "normalise", "parents"]

WILDCARD: Final = "*."
"""What a host pattern begins with that stands for every host below a domain."""

_MAX_LENGTH = 253  # RFC 1035 2.3.4, without the trailing dot
_PORT = re.compile(r":[0-9]{1,5}\Z")
# The underscore is no host name by RFC 1123, but container networks and Windows hosts have it.
_NAME = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\Z"
)


def normalise(authority: str) -> str | None:
    """Reduce a Host header, `:authority` or configured host to the form in which hosts are equal.

    Lower case, A-labels (RFC 5891, with the mapping of UTS 46 that browsers use), no port, no
    trailing dot; IPv6 literals in brackets and compressed (RFC 5952). Returns None for what is
    no host.
    """
    if authority.startswith("["):
        return _ipv6_literal(authority)
    name = _PORT.sub("", authority).removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    name = name.lower()
    return name if len(name) <= _MAX_LENGTH and _NAME.match(name) else None


def parents(host: str) -> list[str]:
    """The domains above a normalised host, nearest (longest) first."""
    found = []
    _, dot, rest = host.partition(".")
    while dot:
        found.append(rest)
        _, dot, rest = rest.partition(".")
    return found


def _ipv6_literal(authority: str) -> str | None:
    literal, bracket, port = authority[1:].partition("]")
    # A zone identifier is local to the host that wrote it and never belongs into a request.
    if not bracket or "%" in literal or (port and not _PORT.fullmatch(port)):
        return None
    try:
        return f"[{ipaddress.IPv6Address(literal).compressed}]"
    except ValueError:
        return None

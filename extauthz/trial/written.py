"""What an operator writes of a request, read as the server would read it of Envoy.

What the server could never be sent is an error here, and not a decision.
"""

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from extauthz.findings import Finding
from extauthz.hosts import normalise
from extauthz.login import Basic, Login, claimed
from extauthz.quoting import quoted

__all__ = ["METHOD_REMEDY", "WrittenError", "client", "host", "instant", "login", "method", "path"]

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# RFC 3339 5.6.
_INSTANT: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}", re.ASCII)
METHOD_REMEDY: Final = "write it like POST"


class WrittenError(ValueError):
    """This is no such thing; the message says what is wrong, `remedy` what would be right."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def instant(text: str) -> datetime:
    """An instant (RFC 3339), aware, UTC; of a day alone, its first one. Raises WrittenError."""
    try:
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    remedy = "write it like 2026-11-24T15:04:05Z, or a day like 2026-11-24, which begins at 00:00Z"
    raise WrittenError(f"{quoted(text)} is no time", remedy)


def login(name: str, source: str) -> Login | Finding:
    """A login that stands in a request; a finding, as in the server, for what nobody is called.

    Raises WrittenError for what no request can say.
    """
    if source == Basic.source and ":" in name:
        # It may be a password that stands behind the colon: so it is not repeated.
        message = "a login of HTTP Basic ends at its first colon"
        raise WrittenError(message, "write the login alone, without a password")
    return claimed(name, source)


def host(text: str) -> str:
    """A Host header. Raises WrittenError for a URL; any other text is for the policy to know."""
    if "/" in text or not text or text.split() != [text]:
        remedy = "write the host alone, like acme.example.com"
        raise WrittenError(f"{quoted(text)} is not a host", remedy)
    if normalise(text) is None:
        raise WrittenError(f"{quoted(text)} is not a host", "write it like acme.example.com")
    return text


def path(text: str) -> str:
    """A path as the server has it: without the query. Raises WrittenError."""
    bare = text.partition("#")[0].partition("?")[0]
    if not (bare.startswith("/") or bare == "*") or not bare.isprintable() or " " in bare:
        raise WrittenError(
            f"{quoted(text)} is not a path", "write it like /path, escaped as in URLs"
        )
    return bare


def method(text: str) -> str:
    """An HTTP method, in capitals. Raises WrittenError."""
    written = text.upper()
    if not _METHOD.fullmatch(written):
        raise WrittenError(f"{quoted(text)} is not a method", METHOD_REMEDY)
    return written


def client(text: str) -> str:
    """An IP address. Raises WrittenError."""
    try:
        ip_address(text)
    except ValueError:
        message = f"{quoted(text)} is not an IP address"
        raise WrittenError(message, "write it like 192.0.2.1 or 2001:db8::1") from None
    return text

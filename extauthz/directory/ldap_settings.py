"""Whether the settings of an LDAP directory can work, as far as it shows without asking it.

Nothing here connects, and python-ldap is used where it is installed alone.
"""

import importlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urlsplit

from extauthz.lookup import LdapDirectory
from extauthz.quoting import quoted

__all__ = ["Server", "problem_with", "problems_with", "server"]

PORTS = {"ldap": 389, "ldaps": 636}
_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}")
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
"""A keystring of RFC 4512 1.4. No OID: whoever asks by OID is answered with the name."""
_ITEM = re.compile(r"\([A-Za-z0-9.:;-]+[~<>]?=(?:[^()\\\0]|\\[0-9A-Fa-f]{2})*\)")
_LIST = re.compile(r"\((?:[&|]\0*|!\0)\)")
_DN_FORMAT_LDAPV3 = 0x10


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect."""

    uri: str
    host: str
    """Of an IPv6 address without the brackets."""
    has_tls: bool
    """Whether a connection begins with TLS."""


class _DnSyntax(Protocol):
    """`ldap.dn`."""

    def is_dn(self, s: str, flags: int) -> bool: ...


def problem_with(settings: LdapDirectory) -> str | None:
    """The first thing that is wrong with the settings; None when nothing is."""
    return next((message for _, message in problems_with(settings)), None)


def problems_with(settings: LdapDirectory) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the settings, and what would be right; each with the setting's keys."""
    about_url = list(_problems_with_url(settings.url))
    for message in about_url:
        yield ("url",), message
    if settings.start_tls and settings.url.lower().startswith("ldaps:"):
        message = "`start_tls` is for ldap://, and the URL is of ldaps://, which begins with TLS"
        yield ("start_tls",), message
    yield from _problems_with_names(settings)
    yield from _problems_with_bind(settings)
    if not about_url and _would_tell_the_password(settings):
        message = "the password would be sent in the clear: use ldaps://, or `start_tls`"
        yield ("url",), message
    if (why := _problem_with_filter(settings.filter)) is not None:
        yield ("filter",), why


def server(url: str) -> Server:
    """The server that a URL without problems names."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    uri = f"{parts.scheme}://{named}:{parts.port or PORTS[parts.scheme]}"
    return Server(uri, host, parts.scheme == "ldaps")


def _problems_with_url(url: str) -> Iterator[str]:
    # Where there may be a password, nothing of the URL is repeated.
    shown = "the URL" if "@" in url else f"the URL {quoted(url)}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        yield f"{shown} cannot be read" + ("" if "@" in url else f": {error}")
        return
    if parts.scheme not in PORTS:
        yield f"{shown} begins with neither ldap:// nor ldaps://"
    # libldap takes what is behind a space or a comma for one more URL.
    elif not _HOST.fullmatch(host) and not (_is_address(host) and f"[{host}]" in url.lower()):
        yield f"{shown} has no host, or one that is no host name"
    if port == 0 or parts.netloc.endswith(":"):
        yield f"{shown} has a port that is none"
    if "@" in parts.netloc:
        yield "the URL names a user: whom to bind as is `bind_dn`'s to say"
    if parts.path not in {"", "/"} or "?" in url or "#" in url:
        yield f"{shown} has more than host and port: the rest has its own settings"


def _problems_with_names(settings: LdapDirectory) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, attribute in (
        ("login_attribute", settings.login_attribute),
        ("email_attribute", settings.email_attribute),
        ("disabled_attribute", settings.disabled_attribute),
        ("group_attribute", settings.group_attribute),
    ):
        if attribute is not None and not _ATTRIBUTE.fullmatch(attribute):
            what = "is no attribute's name (RFC 4512 1.4), such as uid or mail"
            yield (key,), f"{quoted(attribute)} {what}"
    for keys, dn in ((("base",), settings.base), (("bind", "dn"), settings.bind_dn)):
        if dn is not None and not _is_dn(dn):
            what = "is no distinguished name (RFC 4514), such as dc=acme,dc=example"
            yield keys, f"{quoted(dn)} {what}"


def _problems_with_bind(settings: LdapDirectory) -> Iterator[tuple[tuple[str, ...], str]]:
    if settings.bind_dn is None:
        if settings.password is not None:
            yield ("bind",), "there is a password, but no `bind_dn` that it is of"
    elif not settings.bind_dn:
        yield ("bind", "dn"), "`bind_dn` is empty: leave it out for an anonymous bind"
    elif settings.password is None:
        yield ("bind",), "`bind_dn` without a password would bind as nobody (RFC 4513 5.1.2)"


def _would_tell_the_password(settings: LdapDirectory) -> bool:
    """Whether it would go over the network unencrypted, to a server that the URL names."""
    if not settings.bind_dn or settings.password is None or settings.start_tls:
        return False
    where = server(settings.url)
    return not where.has_tls and not _is_local(where.host)


def _problem_with_filter(text: str) -> str | None:
    """Take away, from the inside out, whatever RFC 4515 3 allows; one mark is what must be left."""
    if "\0" not in text:
        left, count = _ITEM.sub("\0", text), 1
        while count:
            left, count = _LIST.subn("\0", left)
        if left == "\0":
            return None
    return f"{quoted(text)} is no filter (RFC 4515), such as (objectClass=person)"


def _is_dn(text: str) -> bool:
    if not text.isprintable():
        return False
    try:
        syntax = cast("_DnSyntax", importlib.import_module("ldap.dn"))
    except ImportError:
        return not text or "=" in text
    return syntax.is_dn(text, _DN_FORMAT_LDAPV3)


def _is_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6  # noqa: PLR2004 (the one in brackets)
    except ValueError:
        return False


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

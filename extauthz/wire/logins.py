"""The logins that a request claims. Each way to say one is one function of the headers.

A login that cannot be read is a finding and not "no login": the service behind may be more
lenient in what it reads, and would then know a user whom nobody compared with the certificate.
"""

import binascii
import re
from collections.abc import Sequence

from extauthz.check import Login
from extauthz.findings import Finding, Reason

__all__ = ["MAX_LENGTH", "basic"]

MAX_LENGTH = 1024
"""Longest login, in characters."""

# A tab or nothing at all after the scheme is no Basic, but a lenient service may take it for one.
_BASIC = re.compile(r"basic(?:[ \t]+|\Z)", re.IGNORECASE)


def basic(authorization: Sequence[str]) -> tuple[Login | Finding, ...]:
    """The user name of HTTP Basic (RFC 7617), in UTF-8, from all Authorization fields.

    Other schemes claim nothing that could be read here.
    """
    if not authorization:
        return ()
    if len(authorization) > 1:
        return (_malformed("the request has more than one Authorization field"),)
    scheme = _BASIC.match(authorization[0])
    if scheme is None:
        return ()
    try:
        octets = binascii.a2b_base64(authorization[0][scheme.end() :], strict_mode=True)
        user, colon, _ = octets.decode("utf-8").partition(":")
    except ValueError:
        return (_malformed("the Basic credentials are not base64 of UTF-8"),)
    if not colon:
        return (_malformed("the Basic credentials have no colon"),)
    # RFC 7617 2: neither part may contain control characters.
    if not 0 < len(user) <= MAX_LENGTH or not user.isprintable():
        return (_malformed("the Basic user name is empty, too long or has control characters"),)
    return (Login(user, "basic"),)


def _malformed(detail: str) -> Finding:
    return Finding(Reason.LOGIN_MALFORMED, detail)

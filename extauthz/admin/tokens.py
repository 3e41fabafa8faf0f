"""The token that opens the pages beyond loopback, and the browsers that logged in with it.

What a browser keeps is a random value that stands for a login and not the token; here there is
only its SHA-256. Logging out forgets it. Whoever fails to show the token again and again is not
listened to for a while; the addresses that are remembered for that are bounded in number.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network
from typing import Final, TypeAlias

from extauthz.admin.access import Address, unmapped

__all__ = ["LOGIN_SECONDS", "MIN_TOKEN", "Token", "TokenError"]

MIN_TOKEN: Final = 20
"""Shortest token, in characters."""
MAX_TOKEN: Final = 4096
LOGIN_SECONDS: Final = 12 * 3600
"""How long a login lasts."""
MAX_LOGINS: Final = 1000
"""Logins that are remembered; the oldest make room."""
MAX_FAILURES: Final = 5
"""How often an address may fail in `FAILURE_SECONDS`."""
FAILURE_SECONDS: Final = 60.0
MAX_ADDRESSES: Final = 10_000
"""Addresses whose failures are remembered. Beyond that, the others are taken for one."""
_IPV6_PREFIX: Final = 64
"""Whoever has one address of IPv6 has so many more."""

_Source: TypeAlias = str


class TokenError(ValueError):
    """This cannot be the token; the message says why, and does not repeat it."""


class Token:
    """The token. For use in one event loop."""

    def __init__(self, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises TokenError."""
        if not MIN_TOKEN <= len(text) <= MAX_TOKEN:
            raise TokenError(
                f"it has {len(text)} characters, and should have {MIN_TOKEN} or more: make one with"
                " `openssl rand -hex 32`"
            )
        if not text.isascii() or not text.isprintable() or " " in text:
            raise TokenError("it has characters that a header field cannot have: write one word")
        self._digest = _digest(text)
        self._clock = clock
        self._logins: dict[bytes, float] = {}
        """Until when each lasts, the oldest first."""
        self._failures: dict[_Source, tuple[int, float]] = {}
        """How often an address failed, and until when that counts; the first to end first."""

    @property
    def remembered(self) -> int:
        """How many addresses' failures are remembered."""
        return len(self._failures)

    def pause(self, address: Address | None) -> float:
        """For how many seconds more a token from there is not looked at; 0 when it is."""
        count, until = self._failures.get(self._source(address), (0, 0.0))
        left = until - self._clock()
        return left if count >= MAX_FAILURES and left > 0 else 0.0

    def is_shown(self, text: str, address: Address | None) -> bool:
        """Whether this is the token. It never is while there is a `pause`."""
        if self.pause(address):
            return False
        if hmac.compare_digest(_digest(text), self._digest):
            return True
        self._fail(self._source(address))
        return False

    def log_in(self) -> str:
        """A value that stands for a login, for who has shown the token."""
        value = secrets.token_urlsafe(32)
        while len(self._logins) >= MAX_LOGINS:
            del self._logins[next(iter(self._logins))]
        self._logins[_digest(value)] = self._clock() + LOGIN_SECONDS
        return value

    def is_login(self, value: str) -> bool:
        """Whether the value stands for a login that lasts."""
        until = self._logins.get(_digest(value))
        return until is not None and self._clock() < until

    def log_out(self, value: str) -> None:
        """Forget a login."""
        self._logins.pop(_digest(value), None)

    def _source(self, address: Address | None) -> _Source:
        source = "unix"
        if address is not None:
            actual = unmapped(address)
            source = str(actual)
            if isinstance(actual, IPv6Address):
                source = str(ip_network((actual, _IPV6_PREFIX), strict=False))
        is_room = source in self._failures or len(self._failures) < MAX_ADDRESSES
        return source if is_room else "others"

    def _fail(self, source: _Source) -> None:
        now = self._clock()
        for old in list(self._failures):
            if self._failures[old][1] > now:
                break
            del self._failures[old]
        count, until = self._failures.get(source, (0, now + FAILURE_SECONDS))
        self._failures[source] = (count + 1, until)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

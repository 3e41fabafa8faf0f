"""Personal data in decision records, replaced so that one person's records still belong together.

A value becomes an HMAC (RFC 2104) of it under the operator's key: the same value gives the same
text in every line and in every process with that key, and nobody without the key can find out, or
try out, what it was.
"""

import hmac
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["MIN_KEY_OCTETS", "PREFIX", "Redacted", "Redaction"]

PREFIX = "redacted:"
"""How a replaced value begins; what follows is 32 hexadecimal digits."""
MIN_KEY_OCTETS = 16
_OCTETS = 16


class Redacted(StrEnum):
    """What can be replaced."""

    EMAIL = "email"
    """Names in certificates: addresses and whatever else `identity` goes by, and the subject."""
    LOGIN = "login"
    """Logins, claimed or of accounts."""
    CLIENT = "client"
    """IP addresses of clients."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is replaced, and under which key."""

    fields: frozenset[Redacted]
    key: bytes = field(repr=False)
    """At least MIN_KEY_OCTETS where anything is replaced."""

    def __post_init__(self) -> None:
        if self.fields and len(self.key) < MIN_KEY_OCTETS:
            message = f"a key of fewer than {MIN_KEY_OCTETS} octets can be tried out"
            raise ValueError(message)

    @property
    def hides_people(self) -> bool:
        """Whether records are not to say who somebody is."""
        return bool(self.fields & {Redacted.EMAIL, Redacted.LOGIN})

    def of(self, kind: Redacted, value: str) -> str:
        """What is recorded in place of a value; the value itself where that kind is not hidden."""
        if kind not in self.fields:
            return value
        text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return PREFIX + hmac.digest(self.key, text, "sha256")[:_OCTETS].hex()

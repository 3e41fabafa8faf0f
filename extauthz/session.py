"""Sessions of the service, and whose they are: a session is pinned to the account that began it.

What a session's cookie holds is the service's business and cannot be read; the first check that
was allowed with it says whose it is. Who keeps that is `pins`' business. Of the cookie's value
there is nothing here but its SHA-256, and that is a secret too: it is in no message and no log.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from extauthz.lookup import Secret

__all__ = ["Holder", "Pin", "Pins", "PinsUnavailable", "SessionPolicy"]


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """Which cookie is the session of a subscription's service, and where its pins are kept."""

    cookie: str
    idle: timedelta = timedelta(hours=12)
    """How long a pin lasts after its last use."""
    store: str | None = None
    """None: in this process. Else the URL of a Redis that replicas share, redis:// or rediss://,
    without a password."""
    password: Secret | None = None
    ca_file: str | None = None
    """PEM file with the CAs that the store is checked against, for rediss://."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A session of a subscription's service."""

    subscription: str
    digest: bytes = field(repr=False)
    """SHA-256 of the session's value."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a session is bound to."""

    logins: frozenset[str]
    """One, unless several accounts have the certificate's name."""


@dataclass(frozen=True, slots=True, eq=False)
class PinsUnavailable:
    """Nobody can say at this moment whose a session is. That is not the same as nobody's."""

    why: str
    """For the operator: no secret is in it."""


class Pins(Protocol):
    """A place where pins are kept."""

    async def holder(
        self, pins: Sequence[Pin], idle: timedelta
    ) -> Sequence[Holder | None] | PinsUnavailable:
        """Whom each is bound to, None for nobody. Those that are found last `idle` from now."""

    async def bind(
        self, pins: Sequence[Pin], holder: Holder, idle: timedelta
    ) -> Sequence[Holder] | PinsUnavailable:
        """Bind each that is nobody's, for `idle` from now; return whose each is after that.

        When two checks race for one session, both are told the same holder. Nothing changes of a
        pin that is bound already, to whomever.
        """

    async def close(self) -> None:
        """Give back every connection."""

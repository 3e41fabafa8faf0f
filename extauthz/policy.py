"""What holds for whom: subscriptions, and which one a host belongs to. Frozen, built once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from extauthz import hosts
from extauthz.accounts import Accounts
from extauthz.exemption import Exemption, RequiredFor
from extauthz.identity import IdentityKind
from extauthz.login import Basic, LoginSource
from extauthz.lookup import Directory
from extauthz.redaction import Redaction
from extauthz.requirements import Requirements
from extauthz.revocation import Revocation
from extauthz.session import SessionPolicy
from extauthz.trust import TrustAnchors

__all__ = ["DEFAULT_DENIAL", "Denial", "Mode", "Policy", "Subscription"]


class Mode(StrEnum):
    """What a subscription does with its decisions."""

    OFF = "off"
    """Allow without checking."""
    AUDIT = "audit"
    """Check and record as `enforce` would, and allow."""
    ENFORCE = "enforce"
    """Check, record, and refuse whoever fails."""


@dataclass(frozen=True, slots=True)
class Denial:
    """The answer to a client that is refused: the same one, whichever check failed."""

    status: int = 403
    body: str = "Invalid user credentials"
    content_type: str | None = None
    """The media type of `body`, which is then sent as it stands. With None the body is plain
    text, and wrapped in HTML or JSON for a client that prefers these."""
    help: str | None = None
    """What a person who is refused can do, in the subscription's words: plain text, for the page
    that browsers get and for JSON. It says the same whatever was found."""


BASIC = (Basic(),)
NO_REQUIREMENTS = Requirements()
DEFAULT_DENIAL = Denial()
"""For whoever cannot be told apart any further, such as a client of an unknown host."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One customer of the protected service."""

    name: str
    hosts: tuple[str, ...]
    """Normalised hosts; one that begins with `*.` stands for all hosts below that domain."""
    trust: TrustAnchors
    accounts: Accounts | Directory
    """The accounts, or where they live."""
    mode: Mode = Mode.ENFORCE
    verify_email: bool = True
    """Whether the name in the certificate, of whatever kind, must be that of the account."""
    identity: IdentityKind = IdentityKind.EMAIL
    """Which name of the certificate says whose it is."""
    requirements: Requirements = NO_REQUIREMENTS
    revocation: Revocation | None = None
    """None when nobody asks whether certificates are revoked."""
    login: tuple[LoginSource, ...] = BASIC
    """Where requests say who logs in; every source that finds a login counts."""
    session: SessionPolicy | None = None
    """Which cookie is the service's session, where sessions are pinned to accounts."""
    exemptions: tuple[Exemption, ...] = ()
    required_for: RequiredFor | None = None
    """Whom certificates are demanded of; None for everybody. The others are treated as in
    `audit`."""
    denial: Denial = DEFAULT_DENIAL


class Policy:
    """All subscriptions, indexed by host. Finding one does not depend on how many there are."""

    def __init__(
        self, subscriptions: Iterable[Subscription], redaction: Redaction | None = None
    ) -> None:
        by_name: dict[str, Subscription] = {}
        exact: dict[str, Subscription] = {}
        below: dict[str, Subscription] = {}
        for subscription in subscriptions:
            by_name[subscription.name] = subscription
            for host in subscription.hosts:
                index, key = exact, host
                if host.startswith(hosts.WILDCARD):
                    index, key = below, host.removeprefix(hosts.WILDCARD)
                if index.setdefault(key, subscription) is not subscription:
                    message = f"host {host!r} is in {subscription.name!r} and {index[key].name!r}"
                    raise ValueError(message)
        self.subscriptions: Mapping[str, Subscription] = MappingProxyType(by_name)
        self.redaction = redaction
        """What decision records are not to say; None when they say everything."""
        self._exact = exact
        self._below = below

    def subscription_for(self, authority: str) -> Subscription | None:
        """The subscription of a Host header: its own name first, then the longest wildcard.

        There is no default subscription: None is a deny.
        """
        # A host that is written in its normal form already is the common case.
        if (subscription := self._exact.get(authority)) is not None:
            return subscription
        host = hosts.normalise(authority)
        if host is None:
            return None
        if (subscription := self._exact.get(host)) is not None or not self._below:
            return subscription
        return next(
            (self._below[domain] for domain in hosts.parents(host) if domain in self._below), None
        )

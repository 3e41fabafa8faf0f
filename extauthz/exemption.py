"""Integrations that cannot present a certificate yet, and users who need not do so yet.

Both are settings of a subscription that end: an `Exemption` at its date, `RequiredFor` when
everybody is in it. What an exemption covers is decided here; what it may excuse, in `decision`.
"""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from extauthz.findings import Finding
from extauthz.login import Login
from extauthz.request_path import PathPattern, exact

__all__ = ["Exemption", "RequiredFor"]


@dataclass(frozen=True, slots=True)
class Exemption:
    """Requests that pass without a certificate that would. All conditions given must hold."""

    name: str
    reason: str
    """Why, in the operator's words."""
    until: datetime
    """Last instant at which it holds (aware)."""
    logins: frozenset[str] = frozenset()
    """The request must claim one of these, and no other."""
    paths: tuple[PathPattern, ...] = ()
    methods: frozenset[str] = frozenset()
    """In capitals."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """The client must be in one of these, by what Envoy says of its address."""

    def __post_init__(self) -> None:
        if not (self.logins or self.paths or self.networks):
            message = "an exemption without conditions would exempt everybody"
            raise ValueError(message)

    def covers(
        self, logins: tuple[Login | Finding, ...], method: str, path: str, client: str
    ) -> bool:
        """Whether a request is meant. What cannot be read whole is not."""
        return (
            (not self.logins or self._claims(logins))
            and (not self.paths or self._is_at(path))
            and (not self.methods or method in self.methods)
            and (not self.networks or self._comes_from(client))
        )

    def _claims(self, logins: tuple[Login | Finding, ...]) -> bool:
        return bool(logins) and all(
            isinstance(login, Login) and login.name in self.logins for login in logins
        )

    def _is_at(self, path: str) -> bool:
        normal = exact(path)
        return normal is not None and any(pattern.matches(normal) for pattern in self.paths)

    def _comes_from(self, client: str) -> bool:
        try:
            address = ip_address(client)
        except ValueError:
            return False
        addresses = {address, _mapped(address), _unmapped(address)}
        return any(each in network for each in addresses for network in self.networks)


def _mapped(address: IPv4Address | IPv6Address) -> IPv6Address:
    """An address as an IPv4-mapped one (RFC 4291 2.5.5.2), as a listener for both sees it."""
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


@dataclass(frozen=True, slots=True)
class RequiredFor:
    """Whom a subscription demands certificates of that switches its users over one by one."""

    logins: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

"""Whether a host goes to one virtual host, however it is written.

To extauthz `host`, `host.`, `HOST` and `host:PORT` are one host (`hosts`), of one subscription.
Envoy compares `domains` as they stand there, but for the case: what is missing goes to whichever
virtual host takes the rest, with a certificate that was judged for this one. Envoy looks for a
whole name first, then for the longest `*.example.com`, then for the longest `example.*`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from extauthz.envoyconfig.tree import Mapping, listed, mapping
from extauthz.quoting import quoted

__all__ = ["hints", "taker"]

_PORT: Final = re.compile(r":(?:\*|[0-9]+)\Z")
_SOME_PORT: Final = ":65535"
_SOME_LABEL: Final = "extauthz-some-host"
_IGNORE_PORT: Final = "ignore_port_in_host_matching"


def hints(manager: Mapping) -> Iterator[str]:
    """Which spellings of its hosts a virtual host leaves to another one; a line for each."""
    routes = mapping(manager, "route_config")
    hosts = listed(routes, "virtual_hosts")
    for host in hosts:
        missing: dict[str | None, None] = {}
        takers: dict[str, None] = {}
        for base in _bases(host, hosts):
            for spelling, domain in _spellings(base, manager, routes):
                other = taker(spelling, hosts)
                if other is not None and _rest(other) != _rest(host) and _leads_on(other):
                    missing[domain] = None
                    takers[quoted(str(other.get("name")))] = None
        if missing:
            domains = [domain for domain in missing if domain is not None]
            to_do = [f"add to its `domains` {_listed(domains)}"] if domains else []
            if None in missing:
                to_do.append(f"set `{_IGNORE_PORT}: true` in the `route_config`")
            yield (
                f"virtual host {quoted(str(host.get('name')))}: {_listed(to_do)}: to extauthz that"
                " is no other host, but as it is, whoever has a certificate for this one reaches"
                f" virtual host {_listed([*takers])}, too"
            )


def _bases(host: Mapping, hosts: Sequence[Mapping]) -> Iterator[str]:
    """The hosts of a virtual host, without ports and dots, if no other has them so."""
    whole = {base: other for other in hosts for base in _domains(other) if base == _base(base)}
    for base in dict.fromkeys(map(_base, _domains(host))):
        if base is not None and whole.get(base, host) is host:
            yield base


def _base(domain: str) -> str | None:
    """A domain without port and dot; None for one that ends with an asterisk."""
    base = _PORT.sub("", domain).removesuffix(".")
    return None if base.endswith("*") else base


def _spellings(base: str, manager: Mapping, routes: Mapping) -> Iterator[tuple[str, str | None]]:
    """Each way to write a host that Envoy compares with domains, and the domain that takes it.

    None for a port behind a wildcard: there is no domain with two asterisks.
    """
    host = _SOME_LABEL + base[1:] if base.startswith("*") else base
    can_have_port = not (manager.get("strip_any_host_port") or routes.get(_IGNORE_PORT))
    can_have_dot = not (manager.get("strip_trailing_host_dot") or base.endswith("]"))
    for dot in ("", ".") if can_have_dot else ("",):
        yield host + dot, base + dot
        if can_have_port:
            yield host + dot + _SOME_PORT, None if base.startswith("*") else f"{base}{dot}:*"


def taker(host: str, hosts: Sequence[Mapping]) -> Mapping | None:
    """The virtual host to which Envoy takes requests for a host (in lower case); None for a 404."""
    found: tuple[tuple[int, int], Mapping] | None = None
    for each in hosts:
        for domain in _domains(each):
            if (rank := _rank(domain, host)) is not None and (found is None or rank > found[0]):
                found = rank, each
    return None if found is None else found[1]


def _rank(domain: str, host: str) -> tuple[int, int] | None:
    """How well a domain matches: the greater wins."""
    if domain == "*":
        return 0, 0
    if domain == host:
        return 3, 0
    if len(host) < len(domain):
        return None
    if domain.startswith("*") and host.endswith(domain[1:]):
        return 2, len(domain)
    return (1, len(domain)) if domain.endswith("*") and host.startswith(domain[:-1]) else None


def _domains(host: Mapping) -> list[str]:
    domains = host.get("domains")
    return [str(each).lower() for each in domains] if isinstance(domains, list) else []


def _rest(host: Mapping) -> Mapping:
    """What a virtual host does, whatever it is called."""
    return {key: value for key, value in host.items() if key not in {"name", "domains"}}


def _leads_on(host: Mapping) -> bool:
    """Whether there may be a service behind a virtual host, and not Envoy's own answer alone."""
    own = {"direct_response", "redirect"}
    return "matcher" in host or any(own.isdisjoint(route) for route in listed(host, "routes"))


def _listed(texts: Sequence[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last

"""The `exempt` and `certificate_required_for` of a subscription: who is let off, until when."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from extauthz import days
from extauthz.exemption import Exemption, RequiredFor
from extauthz.policyfile import document
from extauthz.policyfile.document import Scalar, says, texts
from extauthz.policyfile.problems import Report, quoted
from extauthz.policyfile.schema_logins import ExemptionModel, RequiredForModel
from extauthz.request_path import PathPattern

__all__ = [
    "END_WARNING",
    "METHODS",
    "check",
    "ending",
    "exemptions",
    "is_for_everybody",
    "required_for",
]

END_WARNING = timedelta(days=14)
"""How long before its end an exemption is warned about."""
METHODS = frozenset({
    "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK",
    "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH",
    "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT", "QUERY", "REBIND", "REPORT", "SEARCH",
    "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
})  # fmt: skip
"""Those that aiohttp's parser knows: a check with another one is refused before it is one."""
_EVERY_IPV4 = IPv4Network("0.0.0.0/0")
_EVERY_IPV6 = (IPv6Network("::ffff:0:0/96"), IPv6Network("2000::/3"))
"""The addresses of IPv4 (RFC 4291 2.5.5.2), and the public ones (RFC 4291 2.4)."""


def check(node: document.Mapping, now: datetime, report: Report) -> None:
    """Report what cannot be meant as of `now` (aware), wherever the shape is right."""
    listed = node.values.get("exempt")
    if isinstance(listed, document.Sequence):
        names: set[str] = set()
        for number, item in enumerate(listed.items, 1):
            if isinstance(item, document.Mapping):
                _check_exemption(item, now, report)
                _check_name(item, number, names, report)
    given = node.values.get("certificate_required_for")
    if isinstance(given, document.Mapping) and not any(
        True for key in ("logins", "groups") for _ in texts(given.values.get(key))
    ):
        message = "`certificate_required_for` names nobody: no certificate would be demanded"
        report(given.place, message, "list `logins` or `groups`; `mode: audit` demands none")


def exemptions(models: list[ExemptionModel]) -> tuple[Exemption, ...]:
    """The exemptions in which `check` found nothing wrong."""
    return tuple(_exemption(number, model) for number, model in enumerate(models, 1))


def required_for(model: RequiredForModel | None) -> RequiredFor | None:
    """Whom certificates are demanded of; None for everybody."""
    return None if model is None else RequiredFor(frozenset(model.logins), frozenset(model.groups))


def ending(exemption: Exemption, now: datetime) -> str | None:
    """What is to be said of an exemption's end as of `now` (aware); None while that is far."""
    day = f"{exemption.until:%Y-%m-%d}"
    if now > exemption.until:
        return f"the exemption {quoted(exemption.name)} ended on {day}"
    if now > exemption.until - END_WARNING:
        return f"the exemption {quoted(exemption.name)} ends soon, on {day}"
    return None


def is_for_everybody(exemption: Exemption) -> bool:
    """Whether its conditions leave nobody out, though there are some."""
    return (
        not exemption.logins
        and (not exemption.paths or PathPattern("/", is_prefix=True) in exemption.paths)
        and (not exemption.networks or _is_everywhere(exemption.networks))
    )


def _is_everywhere(networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    listed = list(networks)
    ipv4 = collapse_addresses(each for each in listed if isinstance(each, IPv4Network))
    ipv6 = list(collapse_addresses(each for each in listed if isinstance(each, IPv6Network)))
    return _EVERY_IPV4 in ipv4 or any(
        whole.subnet_of(each) for whole in _EVERY_IPV6 for each in ipv6
    )


def _exemption(number: int, model: ExemptionModel) -> Exemption:
    until = days.end_of_day(model.until)
    patterns = (PathPattern.parse(path) for path in model.paths)
    if until is None:
        message = f"{model.until!r} is no day"
        raise ValueError(message)
    return Exemption(
        name=model.name or _default_name(number),
        reason=model.reason,
        until=until,
        logins=frozenset(model.logins),
        paths=tuple(pattern for pattern in patterns if pattern is not None),
        methods=frozenset(method.upper() for method in model.methods),
        networks=tuple(map(ip_network, model.from_)),
    )


def _default_name(number: int) -> str:
    return f"exempt-{number}"


def _check_name(node: document.Mapping, number: int, names: set[str], report: Report) -> None:
    given = node.values.get("name")
    name = says(node, "name", otherwise=_default_name(number))
    if isinstance(name, str):
        if name in names:
            place = node.place if given is None else given.place
            message = f"there is an exemption {quoted(name)} already"
            report(place, message, "give each a name of its own: the log and the metrics have it")
        names.add(name)


def _check_exemption(node: document.Mapping, now: datetime, report: Report) -> None:
    until = node.values.get("until")
    if isinstance(until, Scalar) and isinstance(until.value, str) and until.value:
        end = days.end_of_day(until.value)
        if end is None:
            report(until.place, f"{quoted(until.value)} is not a day", days.REMEDY)
        elif end.date() > days.year_after(now.astimezone(UTC).date()):
            message = f"the exemption would hold until {until.value}, for more than a year"
            report(until.place, message, "give it at most a year, and renew it when it is due")
    if not any(True for key in ("logins", "paths", "from") for _ in texts(node.values.get(key))):
        message = "an exemption without conditions would exempt everybody"
        report(node.place, message, "give `logins`, `paths` or `from`")
    if "methods" in node.values and "paths" not in node.values:
        message = "`methods` says nothing without `paths`"
        report(node.keys["methods"], message, "name the paths at which they are exempt")
    for wrong, message, remedy in _wrong_items(node):
        report(wrong.place, message, remedy)


def _wrong_items(node: document.Mapping) -> Iterator[tuple[Scalar, str, str]]:
    for item in texts(node.values.get("paths")):
        if PathPattern.parse(str(item.value)) is None:
            remedy = "write it as the service knows it: /hooks/github, or /hooks/* for all below"
            yield item, f"{quoted(str(item.value))} is not a path in its normal form", remedy
    for item in texts(node.values.get("from")):
        try:
            ip_network(str(item.value))
        except ValueError as error:
            remedy = "write it as CIDR, like 192.0.2.0/24"
            yield item, f"{quoted(str(item.value))} is not a network: {error}", remedy
    for item in texts(node.values.get("methods")):
        if str(item.value).upper() not in METHODS:
            message = f"{quoted(str(item.value))} is not a method that is let in, whoever asks"
            yield item, message, "write one like POST"

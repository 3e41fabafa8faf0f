"""The routes at which Envoy hands over a body: copies of those that would have been taken.

A copy matches what its original matches, and besides a path that is a login's however it is
spelled; it stands just before its original. So every request goes where it went before, and the
check alone sees more. Settings for ext_authz are added and never taken away: a copy of a route
without a check would be one more route without a check.

The path is matched as Envoy has it after normalisation: case, slashes at the end and parameters
(`;x=y`) there are free. What services take for the same path beyond that is extauthz' business:
it knows such a path for a login's, sees that no body was handed over, and refuses.
"""

import copy
import re
from typing import Final
from urllib.parse import quote

from extauthz.envoyconfig.needs import MAX_BODY_OCTETS
from extauthz.envoyconfig.tree import List, Mapping, Node, WrongShapeError, listed, mapping

__all__ = [
    "LOGIN_ROUTE",
    "METADATA",
    "METADATA_KEY",
    "UncheckedRouteError",
    "is_login_route",
    "with_login_routes",
]

LOGIN_ROUTE: Final = "extauthz-login"
"""The name of every route that is made here. A route of that name is ours to take away."""

METADATA: Final = "extauthz"
METADATA_KEY: Final = "body_limit"
"""Where a route says that bodies are handed over on it, and up to where."""

BODY_BUFFER_OCTETS: Final = 2 * MAX_BODY_OCTETS
"""What one request may have Envoy hold back. What came with the octet at which Envoy asks belongs
to it: with no more than MAX_BODY_OCTETS a larger body would be a 413 and not a check."""

BODY_IDLE_SECONDS: Final = 300
"""How long Envoy waits for more of a body of which nobody knows yet whose it is."""

_PER_ROUTE: Final = (
    "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
)
_WEBSOCKET: Final = "websocket"
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]")  # RFC 3986 2.3
# Envoy's limit is a program size of 100; one takes about an instruction for an octet.
_MAX_REGEX_PATH: Final = 40
_AFTER_PATH: Final = r"(?:/|;[^/?]*)*(?:\?.*)?"


class UncheckedRouteError(ValueError):
    """A route where no login may be: the check is turned off or changed there by hand."""


def is_login_route(route: Node) -> bool:
    return isinstance(route, dict) and route.get("name") == LOGIN_ROUTE


def with_login_routes(
    routes: List, paths: tuple[str, ...], filter_name: str, idle_timeout: str | None
) -> List:
    """The routes of a virtual host, with those that the paths of the policy need and no others.

    `idle_timeout` is the connection manager's, which holds where a route has none. Raises
    UncheckedRouteError, and WrongShapeError where a route is none.
    """
    woven: List = []
    is_reachable = True
    for route in routes:
        if is_login_route(route):
            continue
        if not isinstance(route, dict):
            raise WrongShapeError("`routes` has an item that is not a mapping")
        match = mapping(route, "match")
        if is_reachable:
            ways = [path for path in map(_on_the_wire, paths) if _may_lead_to(match, path)]
            woven += [_login_route(route, path, filter_name, idle_timeout) for path in ways]
        woven.append(route)
        is_reachable = is_reachable and match not in ({"prefix": "/"}, {"prefix": ""})
    return woven


def _on_the_wire(path: str) -> str:
    """A path as Envoy has it after normalisation, without slashes at its end."""
    escaped = quote(path, safe="/%:@!$&'()*+,;=~")
    unescaped = _ESCAPE.sub(_unescaped, escaped)
    return unescaped.rstrip("/") or "/"


def _unescaped(escape: re.Match[str]) -> str:
    char = chr(int(escape[0][1:], 16))
    return char if _UNRESERVED.match(char) else escape[0]


def _may_lead_to(match: Mapping, path: str) -> bool:
    """Whether a route can match a spelling of a path. What cannot be told apart may."""
    path = path.lower()
    if "connect_matcher" in match:
        return False
    if isinstance(prefix := match.get("prefix"), str):
        return path.startswith(prefix.lower()) or _spells(prefix, path)
    if isinstance(separated := match.get("path_separated_prefix"), str):
        return path.startswith(f"{separated.lower()}/") or _spells(separated, path)
    if isinstance(exact := match.get("path"), str):
        return _spells(exact, path)
    return True


def _spells(text: str, path: str) -> bool:
    """Whether a text is a path, or begins like one with a slash or parameters behind it."""
    text = text.lower()
    return text == path or (text.startswith(path) and text[len(path)] in "/;")


def _login_route(route: Mapping, path: str, filter_name: str, idle_timeout: str | None) -> Mapping:
    """A copy of a route for one path."""
    made: Mapping = {"name": LOGIN_ROUTE}
    made |= {key: copy.deepcopy(value) for key, value in route.items() if key != "name"}
    match = mapping(made, "match")
    match["headers"] = [*listed(match, "headers"), *_conditions(path)]
    metadata = made["metadata"] = mapping(made, "metadata")
    by_filter = metadata["filter_metadata"] = mapping(metadata, "filter_metadata")
    by_filter[METADATA] = {METADATA_KEY: str(MAX_BODY_OCTETS)}
    made.pop("per_request_buffer_limit_bytes", None)
    made["request_body_buffer_limit"] = BODY_BUFFER_OCTETS
    per_filter = made["typed_per_filter_config"] = mapping(made, "typed_per_filter_config")
    per_filter[filter_name] = _with_body(mapping(per_filter, filter_name), path)
    if "route" in made:
        _limit(mapping(made, "route"), filter_name, path, idle_timeout)
    return made


def _conditions(path: str) -> list[Node]:
    """Header matchers that hold for every spelling of a path; all of them have to."""
    if path == "/":
        return [_path_matcher({"safe_regex": {"regex": _AFTER_PATH}})]
    if len(path) <= _MAX_REGEX_PATH:
        regex = f"(?i:{re.escape(path)}){_AFTER_PATH}"
        return [_path_matcher({"safe_regex": {"regex": regex}})]
    # A path that is too long for a regular expression: how it begins, and how it ends.
    regex = f"[^?]*(?i:{re.escape(path[-_MAX_REGEX_PATH:])}){_AFTER_PATH}"
    return [
        _path_matcher({"prefix": path, "ignore_case": True}),
        _path_matcher({"safe_regex": {"regex": regex}}),
    ]


def _path_matcher(string_match: Mapping) -> Node:
    return {"name": ":path", "string_match": string_match}


def _with_body(per_route: Mapping, path: str) -> Mapping:
    """Settings of a route for ext_authz, with the body."""
    if per_route.get("@type", _PER_ROUTE) != _PER_ROUTE or "disabled" in per_route:
        raise UncheckedRouteError(
            f"a route that leads to {path} has ext_authz settings of its own: take them away,"
            " for a request that is not checked is one that everybody may send"
        )
    settings = {
        key: value
        for key, value in mapping(per_route, "check_settings").items()
        if key != "disable_request_body_buffering"
    }
    settings["with_request_body"] = {
        "max_request_bytes": MAX_BODY_OCTETS,
        # Who is not checked, or only watched, may send what he likes.
        "allow_partial_message": True,
    }
    return {"@type": _PER_ROUTE, "check_settings": settings}


def _limit(action: Mapping, filter_name: str, path: str, idle_timeout: str | None) -> None:
    """What a body that nobody has checked yet may not do."""
    for cluster in listed(mapping(action, "weighted_clusters"), "clusters"):
        if filter_name in mapping(cluster, "typed_per_filter_config"):
            raise UncheckedRouteError(
                f"a weighted cluster of a route that leads to {path} has ext_authz settings of its"
                " own: take them away, or no body is handed over"
            )
    # Envoy hands over no body of such a request, and a service may ignore that it is one.
    upgrades = listed(action, "upgrade_configs")
    others: List = [
        entry for entry in upgrades if str(entry.get("upgrade_type")).lower() != _WEBSOCKET
    ]
    action["upgrade_configs"] = [*others, {"upgrade_type": _WEBSOCKET, "enabled": False}]
    if "idle_timeout" not in action and _is_long(idle_timeout):
        action["idle_timeout"] = f"{BODY_IDLE_SECONDS}s"


def _is_long(timeout: str | None) -> bool:
    """Whether a timeout (a Duration in JSON) is too long for a body; none stands for 5 minutes."""
    if timeout is None:
        return False
    try:
        seconds = float(timeout.removesuffix("s"))
    except ValueError:
        return True
    return seconds == 0 or seconds > BODY_IDLE_SECONDS

"""What a policy needs, worked into an Envoy configuration, or named where it is missing.

Every connection manager that asks extauthz gets the same: it removes from what clients send the
fields that say who logs in, passes on in the check what extauthz has to see, and hands over the
body at the paths of logins. Doing it again changes nothing, and what a policy no longer needs
goes, where it can be told from what a person wrote.

Nothing that lets a request pass is written here, and nothing that a person has to think about is
guessed: that is told, and then the configuration stays as it is. What only logs are the poorer for
is a hint, for no policy needs it; so is what may be meant as it is.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from extauthz.envoyconfig import virtual_hosts
from extauthz.envoyconfig.header_lists import matches, patterns
from extauthz.envoyconfig.logs import addresses, hints, leaks
from extauthz.envoyconfig.needs import BODY_LIMIT_HEADER, PATH_PREFIX, Needs
from extauthz.envoyconfig.routes import (
    LOGIN_ROUTE,
    METADATA,
    METADATA_KEY,
    UncheckedRouteError,
    is_login_route,
    with_login_routes,
)
from extauthz.envoyconfig.tree import (
    List,
    Mapping,
    Node,
    WrongShapeError,
    listed,
    mapping,
    mappings,
    named,
)
from extauthz.envoyconfig.yaml_edit import EditError, edited, parsed
from extauthz.quoting import quoted

__all__ = ["EXTENSION", "UnusableError", "Woven", "weave"]

EXTENSION: Final = "extauthz"
"""The name of the early header mutation that is made here."""

BODY_FIELDS: Final = ("content-type", "content-encoding")
_HEADER_MUTATION: Final = (
    "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3"
    ".HeaderMutation"
)
_REMARKS: Final = {
    EXTENSION: "Written by `extauthz envoy`: what no client may say. The filter that sets a field\n"
    "which names a user is yours, and stands before ext_authz.",
    LOGIN_ROUTE: "Written by `extauthz envoy`: here, and only here, the check has the body.",
}
_LIMIT_FIELD: Final = {
    "key": BODY_LIMIT_HEADER,
    "value": f"%METADATA(ROUTE:{METADATA}:{METADATA_KEY})%",
}


class UnusableError(ValueError):
    """A text is no Envoy configuration that could be worked on; the message says why."""


@dataclass(frozen=True, slots=True)
class Woven:
    """What came of a configuration."""

    text: str
    """With all that is needed; when something is left to do by hand, as it was."""
    missing: tuple[str, ...]
    """What was not as it has to be, and is now; a line each."""
    by_hand: tuple[str, ...]
    """What a person has to do first; a line each."""
    hints: tuple[str, ...] = ()
    """What the logs could say besides, or say too much, and what else is worth a thought; a line
    each."""


def weave(text: str, needs: Needs) -> Woven:
    """Work what is needed into a configuration (YAML or JSON). Raises UnusableError."""
    try:
        current = parsed(text)
        if current is None:
            raise UnusableError("is empty: no configuration stands in it")
        weaver = _Weaver(needs)
        wanted = weaver.woven(copy.deepcopy(current))
        if weaver.by_hand:
            return Woven(text, tuple(weaver.missing), tuple(weaver.by_hand))
        result = edited(text, wanted, _REMARKS)
        return Woven(result, tuple(weaver.missing), (), tuple(weaver.hints))
    except (EditError, WrongShapeError) as error:
        raise UnusableError(str(error)) from error


class _Weaver:
    """Changes a configuration, and keeps what it changed and what it could not."""

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._removed = needs.fields + ((BODY_LIMIT_HEADER,) if needs.body_paths else ())
        self.missing: list[str] = []
        self.by_hand: list[str] = []
        self.hints: list[str] = []

    def woven(self, root: Node) -> Node:
        found = False
        for manager in mappings(root):
            if named(manager, "HttpConnectionManager"):
                filters = listed(manager, "http_filters")
                positions = [index for index, entry in enumerate(filters) if _asks_us(entry)]
                for position in positions:
                    self._manager(manager, filters, position)
                if positions:
                    found = True
                    self._hint(root, manager)
        if not found:
            self.by_hand.append(
                "no connection manager asks extauthz: add an ext_authz filter with an http_service"
                f" and `path_prefix: {PATH_PREFIX}`, as in envoy/envoy.yaml"
            )
        return root

    def _hint(self, root: Node, manager: Mapping) -> None:
        """What is to be known of a connection manager, however it asks."""
        lines = [*virtual_hosts.hints(manager)]
        lines += addresses(root, manager) if self._needs.hides_clients else ()
        self.hints += (f"{_named(manager)}: {line}" for line in lines)

    def _manager(self, manager: Mapping, filters: list[Mapping], position: int) -> None:
        where = _named(manager)
        self._sources(where, manager, filters[:position])
        self._mutation(where, manager)
        authorizer = mapping(filters[position], "typed_config")
        self._authorizer(where, authorizer)
        self.by_hand += (f"{where}: {line}" for line in leaks(authorizer))
        self.hints += (f"{where}: {line}" for line in hints(authorizer))
        self._routes(where, manager, str(filters[position].get("name")))

    def _sources(self, where: str, manager: Mapping, before: list[Mapping]) -> None:
        """Whether there is somebody who sets the fields that say who logs in."""
        payload_fields = set(_payload_fields(before))
        for name in self._needs.payload_fields:
            if name not in payload_fields:
                self.by_hand.append(
                    f"{where}: no jwt_authn filter before ext_authz has a provider with"
                    f" `forward_payload_header: {name}`: add one"
                )
        others = [
            entry
            for entry in listed(manager, "early_header_mutation_extensions")
            if entry.get("name") != EXTENSION
        ]
        if not before and not others:
            for name in self._needs.fields:
                if name not in self._needs.payload_fields:
                    self.by_hand.append(
                        f"{where}: there is no filter before ext_authz that could set {name}:"
                        " add the one that knows who logs in"
                    )

    def _mutation(self, where: str, manager: Mapping) -> None:
        """No client sends what only a filter may say: that is removed before any filter runs."""
        key = "early_header_mutation_extensions"
        extensions = listed(manager, key)
        wanted: list[Mapping] = [entry for entry in extensions if entry.get("name") != EXTENSION]
        if self._removed:
            removals: list[Node] = [{"remove": name} for name in self._removed]
            typed_config: Mapping = {"@type": _HEADER_MUTATION, "mutations": removals}
            wanted.insert(0, {"name": EXTENSION, "typed_config": typed_config})
        if extensions == wanted:
            return
        before = {name for entry in extensions for name in _removals(entry)}
        new = [name for name in self._removed if name not in before]
        for name in new:
            self.missing.append(f"{where}: clients could send {name}: it has to be removed early")
        if not new:
            self.missing.append(f"{where}: the removal of fields early is not up to date")
        if wanted:
            _put(manager, key, [*wanted], before="http_filters")
        else:
            del manager[key]

    def _authorizer(self, where: str, authorizer: Mapping) -> None:
        """What a check consists of."""
        names = list(self._needs.fields)
        names += BODY_FIELDS if self._needs.body_paths else ()
        names += ("cookie",) if self._needs.has_sessions else ()
        question = mapping(mapping(authorizer, "http_service"), "authorization_request")
        # Envoy takes the list in either place, but not in both.
        place = question if "allowed_headers" in question else authorizer
        for name in names:
            if any(
                matches(pattern, name) for pattern in patterns(authorizer, "disallowed_headers")
            ):
                self.by_hand.append(f"{where}: take {name} out of `disallowed_headers`")
            elif not any(matches(pattern, name) for pattern in patterns(place, "allowed_headers")):
                self.missing.append(f"{where}: checks lack {name}: add it to `allowed_headers`")
                allowed = place["allowed_headers"] = mapping(place, "allowed_headers")
                allowed["patterns"] = [*listed(allowed, "patterns"), {"exact": name}]
        self._limit_field(where, mapping(authorizer, "http_service"))

    def _limit_field(self, where: str, service: Mapping) -> None:
        """Checks say whether bodies are handed over: that there is none does not."""
        question = mapping(service, "authorization_request")
        present = listed(question, "headers_to_add")
        wanted: list[Mapping] = [
            entry for entry in present if str(entry.get("key")).lower() != BODY_LIMIT_HEADER
        ]
        if self._needs.body_paths:
            wanted.append(dict(_LIMIT_FIELD))
        if wanted == present:
            return
        self.missing.append(
            f"{where}: checks do not say where bodies are handed over: `headers_to_add` has to"
            f" have {BODY_LIMIT_HEADER}"
            if self._needs.body_paths
            else f"{where}: checks have {BODY_LIMIT_HEADER}, which nobody needs any more"
        )
        service["authorization_request"] = question
        question["headers_to_add"] = [*wanted]
        if not wanted:
            del question["headers_to_add"]

    def _routes(self, where: str, manager: Mapping, filter_name: str) -> None:
        """At the paths of logins the check has the body."""
        paths = self._needs.body_paths
        hosts = listed(mapping(manager, "route_config"), "virtual_hosts")
        if paths and not hosts:
            self.by_hand.append(
                f"{where}: its routes are not in this file: write them as `route_config` here,"
                f" or have whoever serves them hand over bodies at {' '.join(paths)}"
            )
        timeout = manager.get("stream_idle_timeout")
        idle_timeout = None if timeout is None else str(timeout)
        for host in hosts:
            place = f"{where}, virtual host {quoted(str(host.get('name')))}"
            if paths and "matcher" in host:
                self.by_hand.append(f"{place}: write its `matcher` as `routes`")
                continue
            routes: List = [*listed(host, "routes")]
            try:
                wanted = with_login_routes(routes, paths, filter_name, idle_timeout)
            except UncheckedRouteError as error:
                self.by_hand.append(f"{place}: {error}")
                continue
            if wanted != routes:
                self.missing.append(f"{place}: {_difference(routes, wanted, paths)}")
                host["routes"] = wanted


def _named(manager: Mapping) -> str:
    return f"connection manager {quoted(str(manager.get('stat_prefix')))}"


def _difference(routes: Iterable[Node], wanted: Iterable[Node], paths: tuple[str, ...]) -> str:
    if not any(is_login_route(route) for route in wanted):
        return "bodies are handed over that nobody needs any more"
    if not any(is_login_route(route) for route in routes):
        return f"no body is handed over at {' '.join(paths)}"
    return f"the routes that hand over bodies, at {' '.join(paths)}, are not up to date"


def _asks_us(entry: Mapping) -> bool:
    authorizer = mapping(entry, "typed_config")
    return (
        named(authorizer, "ExtAuthz")
        and mapping(authorizer, "http_service").get("path_prefix") == PATH_PREFIX
    )


def _payload_fields(filters: Iterable[Mapping]) -> Iterator[str]:
    for entry in filters:
        verifier = mapping(entry, "typed_config")
        if named(verifier, "JwtAuthentication"):
            for provider in mapping(verifier, "providers").values():
                if isinstance(provider, dict):
                    yield str(provider.get("forward_payload_header")).lower()


def _removals(extension: Mapping) -> Iterator[str]:
    for mutation in listed(mapping(extension, "typed_config"), "mutations"):
        yield str(mutation.get("remove")).lower()


def _put(parent: Mapping, key: str, value: Node, *, before: str) -> None:
    """Set a key, a new one just before another."""
    if key in parent:
        parent[key] = value
        return
    items = list(parent.items())
    parent.clear()
    for name, item in items:
        if name == before:
            parent[key] = value
        parent[name] = item

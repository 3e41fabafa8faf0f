"""What Envoy's access log and the decision log get to know: for people, never for a decision.

Without it everything works; so what is missing is a hint, and stands in no file unasked. That what
is for the log alone reaches a client is more than that: then it has to be mended first.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from extauthz.envoyconfig.header_lists import matches, may_match, patterns
from extauthz.envoyconfig.needs import ACCESS_LOG_HEADER, LOGGED_HEADERS
from extauthz.envoyconfig.tree import Mapping, Node, listed, mapping, mappings, named

__all__ = ["addresses", "hints", "leaks"]

_OF_USE: Final = {
    "user-agent": "which program a request came from",
    "traceparent": "which trace it belongs to",
}
_TO_CLIENT: Final = "allowed_client_headers"
_TO_OTHERS: Final = (
    _TO_CLIENT,
    "allowed_client_headers_on_success",
    "allowed_upstream_headers",
    "allowed_upstream_headers_to_append",
)
_METADATA: Final = "dynamic_metadata_from_headers"

_ADDRESS: Final = re.compile(
    r"""%(?: DOWNSTREAM_(?:DIRECT_)?REMOTE_ADDRESS [^%]*
        | REQ[A-Z_]* \( [^%)]*
          (?:FORWARDED(?:-FOR)?|EXTERNAL-ADDRESS|REAL-IP|CLIENT-IP|CONNECTING-IP) \b(?!-) [^%]*
        | CEL\( [^%]* (?:SOURCE\.ADDRESS|X-FORWARDED-FOR) [^%]*
        )%""",
    re.VERBOSE | re.IGNORECASE,
)
_WITH_DEFAULT: Final = ("FileAccessLog", "StdoutAccessLog", "StderrAccessLog")
_FORMATS: Final = frozenset({"format", "json_format", "typed_json_format", "log_format"})


def leaks(authorizer: Mapping) -> Iterator[str]:
    """Where the client or the service would read what was decided, and why; a line each."""
    service = mapping(authorizer, "http_service")
    if not _asks_for_decision(service):
        return
    answer = mapping(service, "authorization_response")
    if not patterns(answer, _TO_CLIENT):
        yield (
            f"a refused client would read the reason: with {ACCESS_LOG_HEADER} there has to be"
            f" `{_TO_CLIENT}`, as in envoy/envoy.yaml"
        )
    for key in _TO_OTHERS:
        for name in LOGGED_HEADERS:
            if any(may_match(pattern, name) for pattern in patterns(answer, key)):
                yield f"{name} is for the access log alone: `{key}` must not match it"


def hints(authorizer: Mapping) -> Iterator[str]:
    """What could be logged besides; a line each."""
    service = mapping(authorizer, "http_service")
    question = mapping(service, "authorization_request")
    place = question if "allowed_headers" in question else authorizer
    for name, what in _OF_USE.items():
        if not any(matches(pattern, name) for pattern in patterns(place, "allowed_headers")):
            yield f"the decision log does not know {what}: {name} is not in `allowed_headers`"
    metadata = patterns(mapping(service, "authorization_response"), _METADATA)
    if not _asks_for_decision(service) or not all(
        any(matches(pattern, name) for pattern in metadata) for name in LOGGED_HEADERS
    ):
        yield (
            "the access log does not know why a request is refused: see"
            f" {ACCESS_LOG_HEADER} and `{_METADATA}` in envoy/envoy.yaml"
        )


def _asks_for_decision(service: Mapping) -> bool:
    added = listed(mapping(service, "authorization_request"), "headers_to_add")
    return any(str(entry.get("key")).lower() == ACCESS_LOG_HEADER for entry in added)


def addresses(root: Node, manager: Mapping) -> Iterator[str]:
    """Where an access log of a connection manager, or of its listener, has clients' addresses."""
    entries = listed(manager, "access_log")
    for extension in listed(manager, "http_filters"):
        entries += listed(mapping(extension, "typed_config"), "upstream_log")
    for listener in mappings(root):
        is_listener = not listener.keys().isdisjoint({"filter_chains", "default_filter_chain"})
        if is_listener and any(each is manager for each in mappings(listener)):
            entries += listed(listener, "access_log")
    if found := dict.fromkeys(_addresses_in(entries)):
        yield (
            f"the access log has the addresses of clients ({', '.join(found)}), which the policy"
            " hides in the decision log: whoever reads both finds them by the request id"
        )


def _addresses_in(entries: Iterable[Mapping]) -> Iterator[str]:
    for entry in entries:
        config = mapping(entry, "typed_config")
        if str(config.get("@type")).endswith("GrpcAccessLogConfig"):
            yield "all of gRPC's records"
        elif any(named(config, kind) for kind in _WITH_DEFAULT) and _FORMATS.isdisjoint(config):
            yield "X-Forwarded-For in the default format"
        yield from _ADDRESS.findall(json.dumps(entry, default=str))

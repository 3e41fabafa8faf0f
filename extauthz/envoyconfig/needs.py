"""What the login sources of a policy need of Envoy. How Envoy is told is `weave`'s business.

A field that says who logs in is believed because no client can send it: Envoy removes it before
the first filter runs. That is why a field which clients have to send, or which Envoy writes for
another purpose, can be no login source; `refused_header` knows them.
"""

import re
from dataclasses import dataclass
from typing import Final

from extauthz.login import Bearer, Form, HeaderField, JsonBody, Jwt
from extauthz.policy import Policy
from extauthz.redaction import Redacted

__all__ = [
    "ACCESS_LOG_HEADER",
    "BODY_LIMIT_HEADER",
    "DECISION_HEADER",
    "LOGGED_HEADERS",
    "MAX_BODY_OCTETS",
    "NOTHING",
    "PATH_PREFIX",
    "REASONS_HEADER",
    "SUBSCRIPTION_HEADER",
    "Needs",
    "needs_of",
    "refused_header",
]

PATH_PREFIX: Final = "/check"
"""What Envoy puts before the path of the request that it asks about."""

BODY_LIMIT_HEADER: Final = "x-extauthz-body-limit"
"""The field by which Envoy says, in a check, that it hands over the body, up to so many octets.

Without it nothing is known of a body: neither `Content-Length: 0` nor that
`x-envoy-auth-partial-body` is missing says that there is none. With it, and without
`x-envoy-auth-partial-body`, there is none.
"""

MAX_BODY_OCTETS: Final = 65536
"""Where Envoy stops. A body of that length may go on although Envoy says that it is whole."""

ACCESS_LOG_HEADER: Final = "x-extauthz-access-log"
"""The field by which Envoy says, in a check, that its access log, and nobody else, gets what the
answer says of the decision.

Without it the answer says nothing: an Envoy that has no `allowed_client_headers` hands whatever
stands in a refusal to the client.
"""

DECISION_HEADER: Final = "x-extauthz-decision"
REASONS_HEADER: Final = "x-extauthz-reasons"
SUBSCRIPTION_HEADER: Final = "x-extauthz-subscription"
LOGGED_HEADERS: Final = (DECISION_HEADER, REASONS_HEADER, SUBSCRIPTION_HEADER)
"""What the answer says of the decision, by the names of the decision log."""

_MAX_NAME = 128
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+\Z")  # RFC 9110 5.6.2, but for the underscore
_FRAMING = "it says how a connection or a message is framed"
_CLIENTS = "clients send it for another purpose, and could do so no more"
_ENVOYS = "Envoy, or another proxy, writes it for another purpose"
_REFUSED: Final = {
    "authorization": "the source of that is `basic` or `bearer`",
    "cookie": "cookies are what `session` is for",
    "host": "it says which service is meant",
    **dict.fromkeys(
        (
            "connection", "expect", "http2-settings", "keep-alive", "proxy-connection", "te",
            "trailer", "transfer-encoding", "upgrade",
        ),
        _FRAMING,
    ),
    **dict.fromkeys(
        (
            "accept", "cache-control", "date", "dnt", "early-data", "from", "last-event-id",
            "max-forwards", "origin", "pragma", "prefer", "priority", "proxy-authorization",
            "range", "referer", "save-data", "soapaction", "upgrade-insecure-requests",
            "user-agent", "want-digest", "x-csrf-token", "x-http-method-override",
            "x-requested-with", "x-xsrf-token",
        ),
        _CLIENTS,
    ),
    **dict.fromkeys(
        (
            "forwarded", "traceparent", "tracestate", "via", "x-client-trace-id", "x-original-host",
            "x-original-url", "x-real-ip", "x-request-id", "x-rewrite-url",
        ),
        _ENVOYS,
    ),
}  # fmt: skip
_REFUSED_PREFIXES: Final = {
    "accept-": _CLIENTS,
    "access-control-": _CLIENTS,
    "content-": "it describes the body",
    "grpc-": _CLIENTS,
    "if-": _CLIENTS,
    "sec-": _CLIENTS,
    "x-b3-": _ENVOYS,
    "x-envoy-": _ENVOYS,
    "x-extauthz-": "it is for Envoy and extauthz alone",
    "x-forwarded-": _ENVOYS,
}


@dataclass(frozen=True, slots=True)
class Needs:
    """What Envoy has to do for a policy. Whatever it is, it is in order and without repetition."""

    fields: tuple[str, ...] = ()
    """Names, in lower case, of fields that a filter sets, and that no client may send."""
    payload_fields: tuple[str, ...] = ()
    """Those among them that `jwt_authn` sets."""
    body_paths: tuple[str, ...] = ()
    """Where extauthz has to see the body, as the policy has it."""
    has_sessions: bool = False
    """Whether extauthz has to see cookies."""
    hides_clients: bool = False
    """Whether no log is to have the addresses of clients. Nothing depends on it: it is a hint."""


NOTHING = Needs()


def needs_of(policy: Policy) -> Needs:
    """What all subscriptions need together: one Envoy serves them all."""
    fields, payload_fields, body_paths = set[str](), set[str](), set[str]()
    subscriptions = policy.subscriptions.values()
    for source in (source for subscription in subscriptions for source in subscription.login):
        match source:
            case HeaderField():
                fields.add(source.name.lower())
            case Bearer() | Jwt():
                payload_fields.add(source.header.lower())
            case Form() | JsonBody():
                body_paths.update(source.paths)
            case _:
                pass
    return Needs(
        tuple(sorted(fields | payload_fields)),
        tuple(sorted(payload_fields)),
        tuple(sorted(body_paths)),
        any(subscription.session is not None for subscription in subscriptions),
        policy.redaction is not None and Redacted.CLIENT in policy.redaction.fields,
    )


def refused_header(name: str) -> str | None:
    """Why a header field can be no login source; None when it can."""
    lowered = name.lower()
    if name.startswith(":"):
        return "it is a pseudo-header field of HTTP/2"
    if "_" in name:
        return "many services cannot tell an underscore from a dash"
    if not _TOKEN.match(name):
        return "it is not the name of a header field (RFC 9110 5.1)"
    if len(name) > _MAX_NAME:
        return f"it is longer than {_MAX_NAME} characters"
    prefixes = (why for prefix, why in _REFUSED_PREFIXES.items() if lowered.startswith(prefix))
    return _REFUSED.get(lowered) or next(prefixes, None)

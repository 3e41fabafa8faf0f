"""An ext_authz request of Envoy, as aiohttp parsed it, to a `CheckRequest`.

Believed is what Envoy alone can have written. A header that a client can set is a claim (the
Authorization field, the cookie of a session) or is not read at all: no `x-forwarded-*`,
`x-original-*` or `x-envoy-*` changes a decision, but for the ones by which Envoy marks a body.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from aiohttp import hdrs
from aiohttp.web import BaseRequest
from multidict import CIMultiDictProxy, istr

from extauthz.cache import BoundedCache
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.envoyconfig.needs import BODY_LIMIT_HEADER, MAX_BODY_OCTETS, PATH_PREFIX
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.policy import Mode, Policy, Subscription
from extauthz.session import Pin
from extauthz.wire import cookies, logins, xfcc
from extauthz.wire.logins import Body

__all__ = ["RequestReader", "request_id"]

CERTIFICATE: Final = istr("x-forwarded-client-cert")
REQUEST_ID: Final = istr("x-request-id")
CLIENT_ADDRESS: Final = istr("x-extauthz-client-address")
BODY_LIMIT: Final = istr(BODY_LIMIT_HEADER)
PARTIAL_BODY: Final = istr("x-envoy-auth-partial-body")
"""Envoy's mark of a body that it hands over: `false` when that is the whole body."""

PEERS_CAPACITY = 64 * 1024 * 1024
"""Octets that the certificate headers seen last may take with their certificates, about."""

_NO_CERTIFICATE = Finding(Reason.CERTIFICATE_MISSING, "the client presented no certificate")
_SEVERAL_CERTIFICATES = Finding(
    Reason.CERTIFICATE_MALFORMED, "the request has more than one certificate header"
)


class RequestReader:
    """Reads requests; a certificate header that was read before is not parsed again."""

    def __init__(self) -> None:
        self.peers: BoundedCache[str, PeerCertificate] = BoundedCache(PEERS_CAPACITY)

    def read(
        self, request: BaseRequest, octets: bytes | None, policy: Policy
    ) -> CheckRequest | Finding:
        """The check that Envoy asks for; a finding when this is not Envoy's question.

        `octets` is the body, and None one that is too large to be read.
        """
        headers = request.headers
        # Two Host fields would be two answers to the question whose policy holds.
        host = headers.getall(hdrs.HOST, ())
        if len(host) != 1:
            return Finding(Reason.REQUEST_MALFORMED, f"the request has {len(host)} Host fields")
        target = request.raw_path
        # Of `/check` and a path, or `*` (RFC 9110 9.3.7): anything else Envoy did not send.
        if not target.startswith((f"{PATH_PREFIX}/", f"{PATH_PREFIX}*")):
            detail = f"the target is not below {PATH_PREFIX}: is path_prefix set in Envoy?"
            return Finding(Reason.REQUEST_MALFORMED, detail)
        path, _, query = target[len(PATH_PREFIX) :].partition("#")[0].partition("?")
        subscription = policy.subscription_for(host[0])
        claimed: tuple[Login | Finding, ...] = ()
        pins: tuple[Pin, ...] = ()
        if subscription is not None:
            body = None
            if BODY_LIMIT in headers:
                body = _body(octets, headers.getall(PARTIAL_BODY, ()))
            claimed = logins.read(subscription.login, headers, path, body, query)
            pins, unreadable = _pins(subscription, headers)
            claimed += unreadable
        client = headers.getall(CLIENT_ADDRESS, ())
        return CheckRequest(
            host[0],
            request.method,
            path,
            subscription,
            claimed,
            pins,
            self._peer(headers.getall(CERTIFICATE, ())),
            request_id(request),
            client[0] if len(client) == 1 else "",
            headers.get(hdrs.USER_AGENT, ""),
        )

    def _peer(self, values: "list[str] | tuple[()]") -> PeerCertificate | Finding:
        if not values:
            return _NO_CERTIFICATE
        if len(values) > 1:
            return _SEVERAL_CERTIFICATES
        header = values[0]
        peer = self.peers.get(header)
        if peer is not None:
            return peer
        read = xfcc.read(header)
        if isinstance(read, PeerCertificate):
            self.peers.put(header, read, len(header) + read.size)
        return read


def request_id(request: BaseRequest) -> str:
    """Envoy's id of the request, by which the operator finds the decision; empty without one."""
    return request.headers.get(REQUEST_ID, "")


def _body(octets: bytes | None, marks: Sequence[str]) -> Body:
    """What Envoy hands over of a body, where it says that it does; empty without a body.

    One that reaches the limit may go on, whatever the mark says.
    """
    if octets is None:
        return Body(b"", is_whole=False)
    is_marked_whole = list(marks) == ["false"] or not (marks or octets)
    return Body(octets, is_whole=is_marked_whole and len(octets) < MAX_BODY_OCTETS)


def _pins(
    subscription: Subscription, headers: CIMultiDictProxy[str]
) -> tuple[tuple[Pin, ...], tuple[Finding, ...]]:
    """The sessions of a request, or that they cannot be read."""
    # Where nothing is checked, nobody waits for a store of sessions.
    if subscription.session is None or subscription.mode is Mode.OFF:
        return (), ()
    fields = headers.getall(hdrs.COOKIE, ())
    values = cookies.session_values(fields, subscription.session.cookie)
    if isinstance(values, Finding):
        return (), (values,)
    return tuple(Pin(subscription.name, hashlib.sha256(value).digest()) for value in values), ()

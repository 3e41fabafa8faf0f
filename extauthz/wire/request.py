"""An ext_authz request of Envoy, as aiohttp parsed it, to a `CheckRequest`.

Believed is what Envoy alone can have written. A header that a client can set is a claim (the
Authorization field) or is not read at all: no `x-forwarded-*`, `x-original-*` or `x-envoy-*`
changes a decision.
"""

from typing import Final

from aiohttp import hdrs
from aiohttp.web import BaseRequest
from multidict import istr

from extauthz.cache import BoundedCache
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.findings import Finding, Reason
from extauthz.wire import logins, xfcc

__all__ = ["PATH_PREFIX", "RequestReader", "request_id"]

PATH_PREFIX: Final = "/check"
"""Envoy's `path_prefix`: what it puts before the path of the request that it asks about."""

CERTIFICATE: Final = istr("x-forwarded-client-cert")
REQUEST_ID: Final = istr("x-request-id")
CLIENT_ADDRESS: Final = istr("x-extauthz-client-address")

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

    def read(self, request: BaseRequest) -> CheckRequest | Finding:
        """The check that Envoy asks for; a finding when this is not Envoy's question."""
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
        return CheckRequest(
            host[0],
            request.method,
            target[len(PATH_PREFIX) :].partition("?")[0].partition("#")[0],
            logins.basic(headers.getall(hdrs.AUTHORIZATION, ())),
            self._peer(headers.getall(CERTIFICATE, ())),
            request_id(request),
            headers.get(CLIENT_ADDRESS, ""),
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

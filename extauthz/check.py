"""One ext_authz question, read once at the edge. After this nobody looks at a header again."""

from typing import NamedTuple

from extauthz.certificate import PeerCertificate
from extauthz.findings import Finding
from extauthz.login import Login
from extauthz.policy import Subscription
from extauthz.session import Pin

__all__ = ["CheckRequest"]


class CheckRequest(NamedTuple):
    """What Envoy asks: may this request pass? All text in it is the client's, so untrusted.

    The exceptions are what Envoy itself wrote: `peer`, `request_id` and `client`.
    """

    host: str
    """The Host header as sent."""
    method: str
    path: str
    """The path as Envoy forwards it, without the query: that one may hold secrets."""
    subscription: Subscription | None
    """Whose host it is: it says where logins stand. None when it is nobody's."""
    logins: tuple[Login | Finding, ...]
    """Every login that the request claims; a claim that cannot be read is a finding."""
    pins: tuple[Pin, ...]
    """The sessions that the request belongs to: one, unless their cookie stands there twice."""
    peer: PeerCertificate | Finding
    """The peer certificate, or why there is none."""
    request_id: str
    client: str
    """IP address of the client; empty when Envoy did not say."""
    user_agent: str = ""
    """What the client calls itself: for whoever reads the record, never for the decision."""

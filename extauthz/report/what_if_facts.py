"""What a record tells of a request, as facts that can be decided on again; or why it cannot be.

Nothing is guessed: a record that lacks something by which the new policy decides gives `Unknown`.
"""

import hashlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extauthz.certificate import PeerCertificate
from extauthz.findings import Finding, Reason
from extauthz.login import ClientCertificate, Login
from extauthz.observe.record import MAX_NAMES, MAX_TEXT
from extauthz.policy import Mode, Policy, Subscription
from extauthz.redaction import PREFIX
from extauthz.rehearsal import NO_CERTIFICATE, Facts, read_at
from extauthz.report.what_if_model import Unknown

__all__ = ["MAX_CERTIFICATE", "Recorded", "certificate", "facts"]

MAX_CERTIFICATE: Final = 64 * 1024
"""Longest base64 of a recorded certificate with its chain that is looked at, in characters. The
server records none above a third of it."""
_MALFORMED: Final = Finding(
    Reason.CERTIFICATE_MALFORMED, "what was presented is no readable certificate"
)
_PROBLEMS: Final[Mapping[str, Finding]] = {
    NO_CERTIFICATE.reason: NO_CERTIFICATE, _MALFORMED.reason: _MALFORMED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the records of one or more checks agree on, as far as the new policy decides by it."""

    host: str | None
    is_unreadable: bool = False
    """Whether the server could not read the request, or failed."""
    has_session_fault: bool = False
    """Whether something was found against its session, and the new policy has sessions there."""
    logins: tuple[Login, ...] = ()
    login_problem: str | None = None
    certificate: str | None = None
    """The `id` of its record."""
    certificate_problem: str | None = None
    hides_people: bool = False
    """Whether certificates are left out of the log."""
    path: str | None = None
    """None where no path that it can be changes the decision; so with `method` and `client`."""
    method: str | None = None
    client: str | None = None


def facts(
    recorded: Recorded, policy: Policy, certificates: Mapping[str, PeerCertificate]
) -> Facts | Unknown:
    """The facts as the policy decides by them; `certificates` are those of the log."""
    if recorded.is_unreadable or recorded.host is None:
        return Unknown.UNREADABLE
    subscription = policy.subscription_for(recorded.host)
    if subscription is None or subscription.mode is Mode.OFF:
        return Facts(recorded.host)
    if recorded.has_session_fault:
        return Unknown.SESSION
    path = recorded.path or ""
    read = {source.source for source in read_at(path, subscription)}
    logins = [login for login in recorded.logins if login.source in read]
    hidden = [login.name for login in logins]
    if any(each.networks for each in subscription.exemptions):
        hidden.append(recorded.client or "")
    if any(value.startswith(PREFIX) for value in hidden):
        return Unknown.REDACTED
    if len(path) > MAX_TEXT or len(recorded.logins) >= MAX_NAMES:
        return Unknown.CUT
    peer: PeerCertificate | Finding | Unknown
    if recorded.certificate is not None:
        absent = Unknown.REDACTED if recorded.hides_people else Unknown.CERTIFICATE
        peer = certificates.get(recorded.certificate, absent)
    else:
        peer = _PROBLEMS.get(recorded.certificate_problem or "", Unknown.UNREADABLE)
    if isinstance(peer, Unknown):
        return peer
    claims: list[Login | Finding] = [*logins]
    if recorded.login_problem is not None and _may_be_read(subscription):
        claims.append(Finding(Reason.LOGIN_MALFORMED, recorded.login_problem))
    return Facts(
        recorded.host, tuple(claims), peer, recorded.method or "GET", path, recorded.client or ""
    )


def _may_be_read(subscription: Subscription) -> bool:
    """Whether it reads claims from requests at all.

    Where one stood that is malformed, no record says.
    """
    return subscription.session is not None or any(
        not isinstance(source, ClientCertificate) for source in subscription.login
    )


def certificate(id_: str, der: Sequence[str]) -> PeerCertificate | None:
    """A recorded certificate; None for what is not what its `id` says."""
    try:
        ders = [b64decode(each, validate=True) for each in der]
    except ValueError:
        return None
    digest = hashlib.sha256(b"".join(ders))
    if not ders or digest.hexdigest() != id_:
        return None
    peer = PeerCertificate.read(ders[0], ders[1:])
    return peer if isinstance(peer, PeerCertificate) else None

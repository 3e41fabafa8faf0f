"""Checks and certificates as lines of JSON: what the decision log holds of them.

Never in it: a password, a cookie, an Authorization value, a query string, a private key. Whatever
a client can choose goes through the JSON encoder as a value, so that no input makes a second line
or a key. Every line has every key; what does not apply is null. `records.line` is the shape.

What a policy has redacted stands in no member: neither as such nor in a detail, nor in the issuer
that a certificate claims where that is no CA of the policy. Host, path and user agent are not
covered, nor are the names that the policy itself gives (to subscriptions, exemptions, CAs): whoever
writes a login there gives it away. A certificate's hash and serial number stay. Its own record,
which holds all of it, is not written where people are hidden (`recorder`).
"""

from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import orjson
from cryptography.hazmat.primitives.serialization import Encoding

from extauthz.cache import BoundedCache
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.findings import Finding, Reason
from extauthz.identity import IdentityKind
from extauthz.login import Login
from extauthz.policy import Subscription
from extauthz.records.line import MAX_NAMES, SCHEMA
from extauthz.redaction import Redacted, Redaction
from extauthz.trust import SigningCertificate

__all__ = [
    "MAX_NAMES", "MAX_TEXT", "NAMES_NOBODY", "Entry", "LineEncoder", "certificate_line",
]  # fmt: skip

MAX_TEXT = 2048
"""Longest text of a client that a line holds, in characters; what is longer is cut."""
CAPACITY = 16 * 1024 * 1024
"""Octets of encoded decisions that are kept."""
NO_REDACTION = Redaction(frozenset(), b"")

NAMES_NOBODY = frozenset({
    # Fixed words, numbers, names of algorithms, and the host, which the record has anyway.
    Reason.REQUEST_MALFORMED, Reason.SUBSCRIPTION_UNKNOWN, Reason.CERTIFICATE_MISSING,
    Reason.WEAK_KEY, Reason.NOT_FOR_CLIENT_AUTH, Reason.LOGIN_MALFORMED, Reason.EMAIL_MISSING,
    Reason.IDENTITY_MISSING, Reason.SESSION_UNAVAILABLE, Reason.INTERNAL_ERROR,
    # And names of CAs that are on the path to a signing certificate.
    Reason.CERTIFICATE_EXPIRED, Reason.CERTIFICATE_NOT_YET_VALID, Reason.CERTIFICATE_REVOKED,
    Reason.REVOCATION_UNKNOWN,
})  # fmt: skip
"""Reasons whose details hold no name of a person, so that redaction leaves them.

Not among them: `issuer_mismatch`, `chain_incomplete`, `signature_invalid`, `chain_invalid` repeat
the issuer or the addresses that a stranger's certificate claims; `certificate_malformed` and
`directory_unavailable` the words of others about what they could not read.
"""


class Entry(NamedTuple):
    """One check that was decided."""

    decision: Decision
    request: CheckRequest | None
    """None for a request that could not be read."""
    request_id: str
    generation: int
    """Of the policy that was in force; 0 when there was none."""
    time: datetime
    """As of when it was decided (aware): its beginning, unless somebody had to be asked."""
    seconds: float
    """How long that took."""
    redaction: Redaction | None = None
    """What that policy wants hidden."""
    traceparent: str = ""
    """The trace that the check belongs to, as the request says it; untrusted text."""


class LineEncoder:
    """Encodes checks. A decision that comes again, as it does for who passes, is encoded once."""

    def __init__(self) -> None:
        self._encoded: BoundedCache[tuple[Decision, bytes], bytes] = BoundedCache(CAPACITY)

    def line(self, entry: Entry) -> bytes:
        """The line, with its line feed."""
        request, hidden = entry.request, entry.redaction or NO_REDACTION
        check: dict[str, object] = {
            "schema": SCHEMA,
            "record": "check",
            "time": entry.time,
            "request_id": _text(entry.request_id) or None,
            "host": None,
            "method": None,
            "path": None,
            "client": None,
            "user_agent": None,
            "login": None,
            "login_source": None,
            "other_logins": [],
            "login_problem": None,
            "policy_generation": entry.generation,
            "redacted": sorted(hidden.fields),
            "duration_us": int(entry.seconds * 1e6),
        }
        peer: PeerCertificate | Finding | None = None
        if request is not None:
            check["host"] = _text(request.host)
            check["method"] = request.method
            check["path"] = _text(request.path)
            if request.client:
                check["client"] = hidden.of(Redacted.CLIENT, _text(request.client))
            check["user_agent"] = _text(request.user_agent) or None
            if request.logins:
                _add_logins(check, request.logins, hidden)
            peer = request.peer
        # Two JSON objects become one: `{"time":…` without its last brace, and `"subscription":…}`.
        return b"%b,%b\n" % (
            orjson.dumps(check, option=orjson.OPT_UTC_Z)[:-1],
            self._decision(entry.decision, peer, hidden),
        )

    def _decision(
        self, decision: Decision, peer: PeerCertificate | Finding | None, hidden: Redaction
    ) -> bytes:
        """The members of the decision, and the closing brace."""
        # Those are made anew for each check, and would only push out what comes again.
        if (
            not isinstance(peer, PeerCertificate)
            or decision.findings
            or decision.tolerated
            or decision.path is None
        ):
            return _decision(decision, peer, hidden)
        # A decision that is kept is one policy's, and so is what that policy wants hidden.
        key = (decision, peer.identity)
        encoded = self._encoded.get(key)
        if encoded is None:
            encoded = _decision(decision, peer, hidden)
            self._encoded.put(key, encoded, len(encoded))
        return encoded


def certificate_line(peer: PeerCertificate, time: datetime) -> bytes:
    """The record of a certificate, with its line feed."""
    ders = (peer.parsed.public_bytes(Encoding.DER), *peer.chain)
    members = {
        "schema": SCHEMA,
        "record": "certificate",
        "time": time,
        "id": _sent(peer) or peer.facts.fingerprint,
        "der": [b64encode(der).decode("ascii") for der in ders],
    }
    return orjson.dumps(members, option=orjson.OPT_UTC_Z) + b"\n"


def _add_logins(
    check: dict[str, object], logins: Iterable[Login | Finding], hidden: Redaction
) -> None:
    readable: list[dict[str, str]] = []
    for login in logins:
        if isinstance(login, Login):
            name = hidden.of(Redacted.LOGIN, _text(login.name))
            readable.append({"login": name, "source": login.source})
        elif check["login_problem"] is None:
            check["login_problem"] = _text(login.detail)
    if readable:
        check["login"], check["login_source"] = readable[0]["login"], readable[0]["source"]
        check["other_logins"] = readable[1:MAX_NAMES]


def _decision(
    decision: Decision, peer: PeerCertificate | Finding | None, hidden: Redaction
) -> bytes:
    subscription = decision.subscription
    signing = None if decision.path is None else decision.path.signing_certificate
    members = {
        "subscription": None if subscription is None else subscription.name,
        "mode": decision.mode,
        "subscription_mode": None if subscription is None else subscription.mode,
        "decision": "deny" if decision.findings else "allow",
        "allowed": decision.allowed,
        "reasons": [finding.reason for finding in decision.findings],
        "details": [_detail(finding, hidden) for finding in decision.findings],
        "tolerated": [finding.reason for finding in decision.tolerated],
        "tolerated_details": [_detail(finding, hidden) for finding in decision.tolerated],
        "exempt": None if decision.exemption is None else decision.exemption.name,
        "not_asked": [] if subscription is None else _not_asked(subscription),
        "accounts": [
            hidden.of(Redacted.LOGIN, account.login) for account in decision.accounts[:MAX_NAMES]
        ],
        "signing_certificate": None if signing is None else _signing_certificate(signing),
        "certificate": None,
        "certificate_problem": None,
    }
    if isinstance(peer, PeerCertificate):
        kind = IdentityKind.EMAIL if subscription is None else subscription.identity
        issuer = _issuer(decision, peer, hidden)
        members["certificate"] = _certificate(peer, kind, issuer, hidden)
    elif peer is not None:
        members["certificate_problem"] = peer.reason
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)[1:]


def _detail(finding: Finding, hidden: Redaction) -> str | None:
    if hidden.hides_people and finding.reason not in NAMES_NOBODY:
        return None
    return _text(finding.detail)


def _not_asked(subscription: Subscription) -> list[str]:
    not_asked = [] if subscription.verify_email else ["email"]
    return not_asked if subscription.revocation is not None else [*not_asked, "revocation"]


def _signing_certificate(signing: SigningCertificate) -> dict[str, object]:
    return {"label": _text(signing.label), "sha256": signing.facts.fingerprint}


def _issuer(decision: Decision, peer: PeerCertificate, hidden: Redaction) -> str:
    """The issuer that a certificate claims; in one that its user made it may name him, too."""
    issuer, subscription = peer.facts.issuer, decision.subscription
    is_known = decision.path is not None or (
        subscription is not None
        and any(issuer == ca.facts.subject for ca in subscription.trust.authorities)
    )
    return _text(issuer) if is_known else hidden.of(Redacted.EMAIL, _text(issuer))


def _certificate(
    peer: PeerCertificate, kind: IdentityKind, issuer: str, hidden: Redaction
) -> dict[str, object]:
    facts = peer.facts
    return {
        "sha256": facts.fingerprint,
        "sent": _sent(peer),
        "serial": facts.serial,
        "subject": hidden.of(Redacted.EMAIL, _text(facts.subject)),
        "issuer": issuer,
        "not_before": facts.not_before,
        "not_after": facts.not_after,
        "names": [hidden.of(Redacted.EMAIL, _text(each)) for each in peer.names(kind)[:MAX_NAMES]],
    }


def _sent(peer: PeerCertificate) -> str | None:
    return peer.identity.hex() if peer.chain else None


def _text(text: str) -> str:
    """At most MAX_TEXT characters, and all of them characters.

    Octets of a header that are no UTF-8 reach us as surrogates, which JSON cannot carry; they
    are written as `\\udc80`.
    """
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "…"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")

"""One check as one line of JSON: what the decision log holds of it.

Never in it: a password, a cookie, an Authorization value, a query string. Whatever a client can
choose goes through the JSON encoder as a value, so that no input makes a second line or a key.
Every line has every key; what does not apply is null.
"""

from datetime import datetime
from typing import NamedTuple

import orjson

from extauthz.cache import BoundedCache
from extauthz.certificate import CertificateFacts, PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.findings import Finding
from extauthz.login import Login
from extauthz.trust import SigningCertificate

__all__ = ["MAX_TEXT", "Entry", "LineEncoder"]

MAX_TEXT = 2048
"""Longest text of a client that a line holds, in characters; what is longer is cut."""
CAPACITY = 16 * 1024 * 1024
"""Octets of encoded decisions that are kept."""


class Entry(NamedTuple):
    """One check that was decided."""

    decision: Decision
    request: CheckRequest | None
    """None for a request that could not be read."""
    request_id: str
    generation: int
    """Of the policy that was in force; 0 when there was none."""
    time: datetime
    """When it was decided (aware)."""
    seconds: float
    """How long that took."""


class LineEncoder:
    """Encodes checks. A decision that comes again, as it does for who passes, is encoded once."""

    def __init__(self) -> None:
        self._encoded: BoundedCache[tuple[Decision, bytes], bytes] = BoundedCache(CAPACITY)

    def line(self, entry: Entry) -> bytes:
        """The line, with its line feed."""
        request = entry.request
        check: dict[str, object] = {
            "time": entry.time,
            "request_id": _text(entry.request_id) or None,
            "host": None,
            "method": None,
            "path": None,
            "client": None,
            "login": None,
            "login_source": None,
            "policy_generation": entry.generation,
            "duration_us": int(entry.seconds * 1e6),
        }
        peer: PeerCertificate | Finding | None = None
        if request is not None:
            check["host"] = _text(request.host)
            check["method"] = request.method
            check["path"] = _text(request.path)
            check["client"] = _text(request.client) or None
            for login in request.logins:
                if isinstance(login, Login):
                    check["login"] = _text(login.name)
                    check["login_source"] = login.source
                    break
            peer = request.peer
        # Two JSON objects become one: `{"time":…` without its last brace, and `"subscription":…}`.
        return b"%b,%b\n" % (
            orjson.dumps(check, option=orjson.OPT_UTC_Z)[:-1],
            self._decision(entry.decision, peer),
        )

    def _decision(self, decision: Decision, peer: PeerCertificate | Finding | None) -> bytes:
        """The members of the decision, and the closing brace."""
        if not isinstance(peer, PeerCertificate):
            return _decision(decision, None)
        # Those are made anew for each check, and would only push out what comes again.
        if decision.findings or decision.tolerated:
            return _decision(decision, peer.facts)
        key = (decision, peer.identity)
        encoded = self._encoded.get(key)
        if encoded is None:
            encoded = _decision(decision, peer.facts)
            self._encoded.put(key, encoded, len(encoded))
        return encoded


def _decision(decision: Decision, facts: CertificateFacts | None) -> bytes:
    subscription = decision.subscription
    signing = None if decision.path is None else decision.path.signing_certificate
    members = {
        "subscription": None if subscription is None else subscription.name,
        "mode": decision.mode,
        "decision": "deny" if decision.findings else "allow",
        "allowed": decision.allowed,
        "reasons": [finding.reason for finding in decision.findings],
        "details": [_text(finding.detail) for finding in decision.findings],
        "accounts": [account.login for account in decision.accounts],
        "tolerated": [_text(f"{each.reason}: {each.detail}") for each in decision.tolerated],
        "exempt": None if decision.exemption is None else decision.exemption.name,
        "signing_certificate": None if signing is None else _signing_certificate(signing),
        "certificate": None if facts is None else _certificate(facts),
    }
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)[1:]


def _signing_certificate(signing: SigningCertificate) -> dict[str, object]:
    return {"label": _text(signing.label), "sha256": signing.facts.fingerprint}


def _certificate(facts: CertificateFacts) -> dict[str, object]:
    return {
        "sha256": facts.fingerprint,
        "serial": facts.serial,
        "subject": _text(facts.subject),
        "issuer": _text(facts.issuer),
        "not_after": facts.not_after,
    }


def _text(text: str) -> str:
    """At most MAX_TEXT characters, and all of them characters.

    Octets of a header that are no UTF-8 reach us as surrogates, which JSON cannot carry; they
    are written as `\\udc80`.
    """
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "…"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")

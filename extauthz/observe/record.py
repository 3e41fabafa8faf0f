"""One check as one line of JSON: what the decision log holds of it.

Never in it: a password, a cookie, an Authorization value, a query string. Whatever a client can
choose goes through the JSON encoder as a value, so that no input makes a second line or a key.
Every line has every key; what does not apply is null.
"""

from datetime import datetime

import orjson

from extauthz.certificate import CertificateFacts, PeerCertificate
from extauthz.check import CheckRequest, Login
from extauthz.decision import Decision

__all__ = ["MAX_TEXT", "line"]

MAX_TEXT = 2048
"""Longest text of a client that a line holds, in characters; what is longer is cut."""


def line(  # noqa: PLR0913 (each is a column of the log)
    decision: Decision,
    request: CheckRequest | None,
    *,
    request_id: str,
    generation: int,
    time: datetime,
    seconds: float,
) -> bytes:
    """The line, with its line feed. `request` is None for one that could not be read.

    `time` is when the check was decided (aware), `seconds` how long it took.
    """
    subscription = decision.subscription
    peer = None if request is None else request.peer
    entry: dict[str, object] = {
        "time": time,
        "request_id": _text(request_id) or None,
        "subscription": None if subscription is None else subscription.name,
        "mode": None if subscription is None else subscription.mode,
        "decision": "deny" if decision.findings else "allow",
        "allowed": decision.allowed,
        "reasons": [finding.reason for finding in decision.findings],
        "details": [_text(finding.detail) for finding in decision.findings],
        "accounts": [account.login for account in decision.accounts],
        "login": None,
        "host": None,
        "method": None,
        "path": None,
        "client": None,
        "certificate": _certificate(peer.facts) if isinstance(peer, PeerCertificate) else None,
        "policy_generation": generation,
        "duration_us": round(seconds * 1e6),
    }
    if request is not None:
        entry["login"] = next(
            (_text(login.name) for login in request.logins if isinstance(login, Login)), None
        )
        entry["host"] = _text(request.host)
        entry["method"] = _text(request.method)
        entry["path"] = _text(request.path)
        entry["client"] = _text(request.client) or None
    return orjson.dumps(entry, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


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

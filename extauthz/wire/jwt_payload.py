"""The payload of a token that Envoy's `jwt_authn` verified, in its `forward_payload_header`.

Envoy writes the payload as the token has it: base64url (RFC 7515 2) of a JSON object, and padded
where `pad_forward_payload_header` is set. Nothing here verifies a token.
"""

import binascii
import re

from extauthz.findings import Finding, Reason
from extauthz.wire.json_body import JsonError, load, text_at

__all__ = ["read"]

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_STANDARD = str.maketrans("-_", "+/")


def read(value: str, claim: tuple[str, ...]) -> str | Finding:
    """The claim of a payload. A verified token that does not say who is a finding."""
    if not _BASE64URL.fullmatch(value):
        return _malformed("it is not base64url")
    padded = value.translate(_STANDARD) + "=" * (-len(value) % 4)
    try:
        document = load(binascii.a2b_base64(padded, strict_mode=True))
        text = text_at(document, claim) if isinstance(document, dict) else None
    except JsonError as error:
        return _malformed(str(error))
    except binascii.Error:
        return _malformed("it is not base64url")
    return _malformed("it lacks the claim of the login") if text is None else text


def _malformed(why: str) -> Finding:
    return Finding(Reason.LOGIN_MALFORMED, f"in the payload of the token: {why}")

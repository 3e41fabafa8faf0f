"""Envoy's `x-forwarded-client-cert` header, as `SANITIZE_SET` writes it.

Grammar (Envoy, "HTTP header manipulation", x-forwarded-client-cert): elements joined by `,`, one
for each proxy; in an element, `key=value` pairs joined by `;`; a value may be in double quotes,
with `\\"` for a quote inside. `Cert` and `Chain` hold URL-encoded PEM, `Chain` with the leaf first.

Only Envoy writes this header, and it writes it alone, so what it would not write is refused: two
elements, a key twice, a leaf that is not the first of its chain, a hash of another certificate.
"""

import hashlib
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from extauthz import pem
from extauthz.certificate import PeerCertificate
from extauthz.findings import Finding, Reason

__all__ = ["MAX_LENGTH", "read"]

MAX_LENGTH = 256 * 1024
"""Longest header that is read, in characters. A chain of ten RSA-4096 certificates is 40 KiB."""

_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_BARE = re.compile(r'[^",;=\\]*')
_KEY = re.compile(r"[A-Za-z]{1,32}=")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# A certificate may have several URI and DNS names, and a proxy several URIs of its own.
_MAY_REPEAT = frozenset({"by", "uri", "dns"})


class _MalformedError(ValueError):
    """The header is not what Envoy writes; the message says where it differs."""


def read(header: str) -> PeerCertificate | Finding:
    """The peer certificate of a header; whatever cannot be read whole is a finding."""
    if not header:
        return Finding(Reason.CERTIFICATE_MISSING, "the certificate header is empty")
    if len(header) > MAX_LENGTH:
        detail = f"the certificate header has {len(header)} characters, more than {MAX_LENGTH}"
        return Finding(Reason.CERTIFICATE_MALFORMED, detail)
    try:
        fields = _fields(header)
        ders = _certificates(fields)
    except (_MalformedError, pem.PemError) as error:
        return Finding(Reason.CERTIFICATE_MALFORMED, f"in the certificate header: {error}")
    if not ders:
        detail = "the certificate header has neither Cert nor Chain: is `cert: true` set in Envoy?"
        return Finding(Reason.CERTIFICATE_MISSING, detail)
    return PeerCertificate.read(ders[0], ders[1:])


def _certificates(fields: dict[str, str]) -> list[bytes]:
    """The DER of the leaf and of what is above it, from whichever of Cert and Chain is there."""
    leaf = _pem(fields["cert"]) if "cert" in fields else []
    chain = _pem(fields["chain"]) if "chain" in fields else []
    if len(leaf) > 1:
        message = "Cert holds more than one certificate"
        raise _MalformedError(message)
    if leaf and chain and leaf[0] != chain[0]:
        message = "Cert is not the first certificate of Chain"
        raise _MalformedError(message)
    ders = chain or leaf
    claimed = fields.get("hash")
    if ders and claimed is not None and claimed != hashlib.sha256(ders[0]).hexdigest():
        message = "Hash is not that of the certificate"
        raise _MalformedError(message)
    return ders


def _pem(value: str) -> list[bytes]:
    try:
        # Percent-decoding alone: a plus sign is a plus sign, and base64 has many.
        text = unquote_to_bytes(value).decode("ascii")
    except UnicodeError as error:
        message = "a certificate holds octets outside ASCII"
        raise _MalformedError(message) from error
    return pem.certificates_only(text)


def _fields(header: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for key, value in _pairs(header):
        if key in fields and key not in _MAY_REPEAT:
            message = f"the key {key!r} stands twice"
            raise _MalformedError(message)
        fields[key] = value
    return fields


def _pairs(header: str) -> Iterator[tuple[str, str]]:
    position = 0
    while True:
        key = _KEY.match(header, position)
        if key is None:
            message = f"no key at character {position}"
            raise _MalformedError(message)
        value = _QUOTED.match(header, key.end()) or _BARE.match(header, key.end())
        assert value is not None  # noqa: S101 (_BARE matches the empty text)
        text = value[0]
        yield key[0][:-1].lower(), _ESCAPE.sub(r"\1", value[1]) if value.re is _QUOTED else text
        position = value.end()
        if position == len(header):
            return
        if header[position] == ",":
            message = "there is more than one element: is another proxy in front that appends?"
            raise _MalformedError(message)
        if header[position] != ";":
            message = f"unexpected character after a value, at {position}"
            raise _MalformedError(message)
        position += 1

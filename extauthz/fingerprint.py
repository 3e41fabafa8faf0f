"""Under which fingerprints can one and the same signed certificate appear?

An ECDSA signature (r, s) has a twin (r, n - s) that verifies as well, and anybody can work it out.
So the holder of a certificate that an EC key signed can present it with another SHA-256, and would
slip past a list of blocked fingerprints. Whoever blocks by fingerprint has to look for both.
"""

import hashlib
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding

__all__ = ["fingerprints"]

_BIT_STRING, _SEQUENCE = 0x03, 0x30
_LONG_FORM = 0x80


@lru_cache(maxsize=4096)
def fingerprints(certificate: x509.Certificate, issuer: x509.Certificate) -> frozenset[str]:
    """SHA-256, in lower-case hex, of the certificate and of its twin where it has one."""
    der = certificate.public_bytes(Encoding.DER)
    found = {hashlib.sha256(der).hexdigest()}
    key = issuer.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        r, s = decode_dss_signature(certificate.signature)
        found |= {
            _with_signature(certificate, r, other) for other in (s, key.curve.group_order - s)
        }
    return frozenset(found)


def _with_signature(certificate: x509.Certificate, r: int, s: int) -> str:
    """SHA-256 of the certificate with that signature."""
    signed = certificate.tbs_certificate_bytes
    der = certificate.public_bytes(Encoding.DER)
    begin = der.index(signed) + len(signed)
    # The signature is the last element; what is left between is its algorithm.
    old = _tlv(_BIT_STRING, b"\x00" + certificate.signature)
    algorithm = der[begin : len(der) - len(old)]
    new = _tlv(_BIT_STRING, b"\x00" + encode_dss_signature(r, s))
    return hashlib.sha256(_tlv(_SEQUENCE, signed + algorithm + new)).hexdigest()


def _tlv(tag: int, content: bytes) -> bytes:
    """DER of a tag, a length and a content (X.690 8.1, 10.1)."""
    length = len(content)
    if length < _LONG_FORM:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, _LONG_FORM | len(octets)]) + octets + content

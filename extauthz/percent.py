"""Percent-decoding (RFC 3986 2.1): by one reader who is strict, and by many, one after another.

What a text means in its place (a path, a form, a cookie) is said there and not here.
"""

import re
from string import hexdigits
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["decoded", "decoded_whole"]

_MALFORMED = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_HEX: Final = frozenset(hexdigits.encode("ascii"))


def decoded(octets: bytes) -> bytes | None:
    """Decode every escape once; None when one of them is malformed."""
    if b"%" not in octets:
        return octets
    return None if _MALFORMED.search(octets) else unquote_to_bytes(octets)


def decoded_whole(octets: bytes) -> bytes:
    """Decode until nothing is left to decode, `%u0041` of IIS too; malformed escapes stay.

    Takes linear time: no escape can begin inside another, so the order does not matter, and each
    is decoded where it ends.
    """
    if b"%" not in octets:
        return octets
    text = bytearray()
    for octet in octets:
        text.append(octet)
        while text[-1] in _HEX:
            if _ends_in_escape(text):
                text[-3:] = bytes([int(text[-2:], 16)])
            elif _ends_in_wide_escape(text):
                text[-6:] = chr(int(text[-4:], 16)).encode("utf-8", "surrogatepass")
            else:
                break
    return bytes(text)


def _ends_in_escape(text: bytearray) -> bool:
    return text[-3:-2] == b"%" and text[-2] in _HEX


def _ends_in_wide_escape(text: bytearray) -> bool:
    return text[-6:-4].lower() == b"%u" and _HEX.issuperset(text[-4:])

"""PEM text (RFC 7468) to DER octets, strictly.

Two dialects: what Envoy writes is certificates and nothing else, so anything else there is an
attack or a fault; a file that a person hands in may have explanatory text around the blocks
(RFC 7468 2 tells readers to skip it), but every block in it must be accounted for.
"""

import binascii
import re
from dataclasses import dataclass

__all__ = ["Block", "PemError", "certificates_only", "in_file"]

_BLOCK = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]{1,64})-----[ \t]*\r?\n"
    r"(?P<body>[^-]*)"
    r"-----END (?P=label)-----[ \t]*(?:\r?\n|\Z)"
)


class PemError(ValueError):
    """The text is not the PEM that was expected; the message says what it is instead."""


@dataclass(frozen=True, slots=True)
class Block:
    """One encapsulated structure: its label, such as `CERTIFICATE`, and its octets."""

    label: str
    der: bytes


def certificates_only(text: str) -> list[bytes]:
    """The DER of each certificate of a text that holds certificates and line breaks alone.

    Raises PemError for any other octet, any other label, or no certificate at all.
    """
    ders: list[bytes] = []
    end = 0
    for match in _BLOCK.finditer(text):
        if text[end : match.start()].strip("\r\n"):
            break
        if match["label"] != "CERTIFICATE":
            message = f"a PEM block is labelled {match['label']!r}, not 'CERTIFICATE'"
            raise PemError(message)
        ders.append(_octets(match["body"]))
        end = match.end()
    if not ders or text[end:].strip("\r\n"):
        message = "the text is not a sequence of PEM certificates"
        raise PemError(message)
    return ders


def in_file(text: str) -> list[Block]:
    """Every PEM block of a file, whatever its label; text around the blocks is skipped.

    Raises PemError when a block is broken: one that begins and is not read would be passed over
    in silence.
    """
    blocks = [Block(match["label"], _octets(match["body"])) for match in _BLOCK.finditer(text)]
    if text.count("-----BEGIN ") != len(blocks):
        message = "a PEM block begins but does not end, or its first and last line differ"
        raise PemError(message)
    return blocks


def _octets(body: str) -> bytes:
    try:
        return binascii.a2b_base64("".join(body.split()).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeError) as error:
        message = f"a PEM block is not base64: {error}"
        raise PemError(message) from error

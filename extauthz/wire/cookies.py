"""Cookies (RFC 6265 4.2.1), of which one is the session of the service behind.

Whoever stole a session may write it in another way, so that it looks like a new one here and is the
stolen one there. So values come in one form for all their spellings, and a cookie that only some
readers take for the session's is refused. Other cookies do not matter, however odd they are.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from extauthz import percent
from extauthz.findings import Finding, Reason

__all__ = ["MAX_LENGTH", "MAX_VALUES", "session_values"]

MAX_VALUES: Final = 8
"""Most sessions that a request may name."""
MAX_LENGTH: Final = 4096
"""Longest value, in octets."""

# RFC 6265 4.1.1: no white space, quote, comma, semicolon or backslash.
_VALUE = re.compile(r'("?)([!#-+\--:<-\[\]-~]*+)\1')
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# Pairs that begin at the same places for everybody: what browsers send, nearly always.
_PLAIN = re.compile(r'[^\s;,"=]++=[^\s;,"]*+(?>(?:; [^\s;,"=]++=[^\s;,"]*+)*)')
_KEY = re.compile(r"([^; =]++)=[^;]*+")
# Where a cookie begins for somebody: at a comma for RFC 2109, at white space and behind a quoted
# text for Python's http.cookies, at what one more equals sign hides from others (CVE-2023-23934).
_SEPARATORS = re.compile(r'[;,"\s]')
_SPACES_BEFORE_EQUALS = re.compile(r"(?<!\s)\s++=")
_UNDERSCORES = str.maketrans("[. ", "___")
_LONGEST_ESCAPE: Final = 9
"""Characters that an escaped character of a name may take: `%25u0041`, and one more."""
# Plus signs for spaces as forms have them, both alphabets of base64 (RFC 4648 5), no case: MySQL
# compares without, and so do the file systems of Windows.
_COARSE: Final = bytes.maketrans(b" -_ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"++/abcdefghijklmnopqrstuvwxyz")


def session_values(fields: Sequence[str], name: str) -> tuple[bytes, ...] | Finding:
    """The values of a cookie in all Cookie fields, each once; without values that are empty.

    Each is in the form that all its spellings share: without the quotes around it, decoded until
    nothing is left to decode, without case, and more. That form is for comparison alone: values
    that are random differ in it as they did before.
    """
    values: dict[bytes, None] = {}
    count = 0
    for field in fields:
        written = _written(field, name)
        if len(written) != sum(_is_named(key, name) for key in _names(field)):
            return _malformed("a cookie is only almost the session's")
        count += len(written)
        if count > MAX_VALUES:
            return _malformed(f"the session's cookie stands there more than {MAX_VALUES} times")
        for text in written:
            value = _canonical(text)
            if value is None:
                return _malformed("the value of the session's cookie is malformed")
            if value:
                values[value] = None
    return tuple(values)


def _written(field: str, name: str) -> list[str]:
    """The values under exactly that name, as RFC 6265 separates cookies."""
    if name not in field:
        return []
    pairs = (pair.partition("=") for pair in field.split(";"))
    return [
        value.strip(" \t") for key, equals, value in pairs if equals and key.lstrip(" \t") == name
    ]


def _names(field: str) -> Iterable[str]:
    """What some reader takes for the name of a cookie, wherever one may begin."""
    return _KEY.findall(field) if _PLAIN.fullmatch(field) else _names_anywhere(field)


def _names_anywhere(field: str) -> Iterator[str]:
    # PHP makes an underscore of a space within a name, where others begin a cookie.
    for pair in field.split(";"):
        key = pair.strip().lstrip("=").partition("=")[0].strip()
        if " " in key:
            yield key
    for piece in _SEPARATORS.split(_SPACES_BEFORE_EQUALS.sub("=", field)):
        key, equals, _ = piece.lstrip("=").partition("=")
        if equals:
            yield key


def _is_named(key: str, name: str) -> bool:
    if key == name:
        return True
    if key.isascii() and "%" not in key and "[" not in key:
        return len(key) == len(name) and _folded(key) == _folded(name)
    octets = key[: _LONGEST_ESCAPE * len(name)].encode("utf-8", "replace")
    decoded = percent.decoded_whole(octets).decode("utf-8", "replace").partition("\0")[0]
    return _folded(name) in (_folded(decoded), _folded(decoded.partition("[")[0]))


def _folded(name: str) -> str:
    """What names become for PHP, without case."""
    return name.strip().translate(_UNDERSCORES).casefold()


def _canonical(text: str) -> bytes | None:
    match = _VALUE.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        return None
    octets = percent.decoded_whole(match[2].encode("ascii")).strip(b' "')
    return None if _CONTROL.search(octets) else octets.rstrip(b"=").translate(_COARSE)


def _malformed(detail: str) -> Finding:
    return Finding(Reason.LOGIN_MALFORMED, detail)

"""The path of a request, as other readers may read it. Two questions, which err to opposite sides.

`exact` is for what a path excuses: it knows one reading, and of a path that has two it knows none.
`loose` and `readings` are for what a path obliges to: they know every reading, so that no spelling
of a login's path hides that it is one.

A path here is what Envoy forwards, without the query; octets that are no UTF-8 are surrogates, as
PEP 383 makes them.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote

from extauthz import percent

__all__ = ["MAX_LENGTH", "PathPattern", "exact", "loose", "readings"]

MAX_LENGTH: Final = 4096
"""Longest path with a normal form, in characters, or with readings when it is not plain."""

# RFC 3986 3.3: pchar. The semicolon is left out, which begins a parameter for some and not for
# others.
_CHARS = r"[A-Za-z0-9\-._~!$&'()*+,=:@]"
_EXACT = re.compile(rf"(?>(?:/(?>(?:{_CHARS}|%[0-9A-Fa-f]{{2}})*))+)")
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NEVER_ESCAPED: Final = frozenset("/\\;%?#")

# What needs no loosening but that of case: no escape, no parameter, no dot at a segment's end.
_PLAIN = re.compile(r"(?>(?:/(?>(?:\.*+[a-z0-9\-_~!$&'()*+,=:@]++)+))+)")
_NO_OCTET = re.compile("[\ud800-\udc7f\udd00-\udfff]")
# Control characters, and a percent sign that is left after decoding, which IIS drops too. NFKC
# makes one of its full-width and its small form.
_DROPPED: Final = dict.fromkeys([*range(1, 0x20), 0x7F, ord("%"), 0xFF05, 0xFE6A])
_PARAMETERS = re.compile(r";[^/]*")


def exact(path: str) -> str | None:
    """The path in normal form (RFC 3986 6.2.2), or None when some reader could take it for another.

    Escapes of unreserved characters are decoded, the others in upper case. Nothing is resolved:
    services that know no dot segments, or do not merge slashes, would read what stood there
    before. Beyond ASCII, letters, marks and numbers alone may be escaped: code pages make slashes
    and dots of the rest.
    """
    if len(path) > MAX_LENGTH or not _EXACT.fullmatch(path):
        return None
    normal = _ESCAPES.sub(_normal_escapes, path) if "%" in path else path
    segments = normal.split("/")[1:]
    # The last one may be empty: a slash at the end is part of the path.
    if not all(segments[:-1]) or any(_is_dotted(segment) for segment in segments):
        return None
    return None if "%" in normal and not _has_plain_escapes(normal) else normal


def loose(path: str) -> str:
    """The coarsest form: what any one service takes for the same path has the same.

    Decoded until nothing is left to decode, without parameters, control characters, and whatever
    follows a NUL; without regard to case and compatibility forms (NFKC); backslashes as slashes;
    slashes merged, dot segments resolved; without spaces and dots at the end of a segment.
    """
    lowered = path.lower()
    if _PLAIN.fullmatch(lowered):
        return lowered
    octets = _NO_OCTET.sub("\ufffd", path).encode("utf-8", "surrogateescape")
    text = _folded(percent.decoded_whole(octets).decode("utf-8", "surrogateescape"))
    segments: list[str] = []
    for written in text.replace("\\", "/").split("/"):
        segment = written.partition(";")[0].rstrip(" ")
        if segment == "..":
            del segments[-1:]
        elif segment := segment.rstrip(" ."):
            segments.append(segment)
    return "/" + "/".join(segments)


def readings(path: str) -> frozenset[str] | None:
    """The loose forms of all that a service could take the path for; None when it is too long.

    Readers disagree about the order: whether dot segments are resolved, and parameters cut, before
    escapes are decoded or after it, or not at all. `/a%2Fb/../login` is `/login` for one of them
    and `/a/login` for another.
    """
    lowered = path.lower()
    if _PLAIN.fullmatch(lowered):
        return frozenset((lowered,))
    if len(path) > MAX_LENGTH:
        return None
    once = unquote(path, errors="surrogateescape")
    twice = unquote(once, errors="surrogateescape")
    written = {path, once, twice}
    written |= {_PARAMETERS.sub("", text) for text in written}
    written |= {_without_dot_segments(text) for text in written}
    return frozenset(map(loose, written))


@dataclass(frozen=True, slots=True)
class PathPattern:
    """One path, or all below one: `/hooks/*` is what lies below `/hooks/`, at any depth."""

    path: str
    """In normal form. It ends in a slash when `is_prefix`."""
    is_prefix: bool = False

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a pattern; None when it has a star elsewhere, or no normal form."""
        is_prefix = text.endswith("/*")
        path = exact(text[:-1] if is_prefix else text)
        return None if path is None or "*" in path else cls(path, is_prefix)

    def matches(self, exact_path: str | None) -> bool:
        """Whether a path that came from `exact` is meant; None never is."""
        if exact_path is None:
            return False
        if not self.is_prefix:
            return exact_path == self.path
        return exact_path != self.path and exact_path.startswith(self.path)

    def __str__(self) -> str:
        return self.path + ("*" if self.is_prefix else "")


def _normal_escapes(escapes: re.Match[str]) -> str:
    return re.sub(
        "%..",
        lambda escape: (
            char if (char := chr(int(escape[0][1:], 16))) in _UNRESERVED else escape[0].upper()
        ),
        escapes[0],
    )


def _has_plain_escapes(normal: str) -> bool:
    """Whether what is escaped is what it seems, whoever decodes it."""
    for escapes in _ESCAPES.findall(normal):
        try:
            text = unquote(escapes, errors="strict")
        except UnicodeDecodeError:
            return False
        for char in text:
            if char in _NEVER_ESCAPED or not char.isprintable():
                return False
            if not char.isascii() and unicodedata.category(char)[0] not in "LMN":
                return False
    return True


def _is_dotted(segment: str) -> bool:
    """Whether it is a dot segment, or Windows reads one: dots and spaces at an end are nothing."""
    return bool(segment) and not segment.replace("%20", "").strip(".")


def _folded(text: str) -> str:
    folded = text.partition("\0")[0].translate(_DROPPED)
    if folded.isascii():
        return folded.lower()
    while (again := unicodedata.normalize("NFKC", folded).casefold()) != folded:
        folded = again
    return folded


def _without_dot_segments(path: str) -> str:
    """RFC 3986 5.2.4, to the letter: an empty segment is a segment."""
    segments: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    return "/" + "/".join(segments)

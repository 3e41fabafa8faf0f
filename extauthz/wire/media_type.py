"""The media type of a body (RFC 9110 8.3.1), read strictly or not at all."""

import re
from typing import NamedTuple, Self

__all__ = ["MediaType"]

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105 (RFC 9110 5.6.2)
# A quoted text that holds more than a token could hide a parameter from one reader and not from
# another.
_MEDIA_TYPE = re.compile(
    rf'({_TOKEN}/{_TOKEN})((?>(?:[ \t]*+;[ \t]*+(?>(?:{_TOKEN}=(?:{_TOKEN}|"{_TOKEN}"))?))*))'
)
_PARAMETER = re.compile(rf'({_TOKEN})="?({_TOKEN})')


class MediaType(NamedTuple):
    """A media type with the one parameter that matters here; both in lower case."""

    essence: str
    """Type and subtype, such as `application/json`."""
    charset: str | None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a Content-Type field; None when it is malformed, or has a parameter twice."""
        match = _MEDIA_TYPE.fullmatch(text)
        if match is None:
            return None
        parameters = [(name.lower(), value.lower()) for name, value in _PARAMETER.findall(match[2])]
        named = dict(parameters)
        if len(named) != len(parameters):
            return None
        return cls(match[1].lower(), named.get("charset"))

    @property
    def is_utf8(self) -> bool:
        """Whether text of this type is in UTF-8, said or by default."""
        return self.charset in (None, "utf-8")

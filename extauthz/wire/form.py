"""HTML forms: `application/x-www-form-urlencoded` (URL standard, section 5.1).

The standard takes any octets for a form. Here a form is what a browser writes: ASCII, with
everything else escaped. What one reader would read as the login's field and another would not (its
name in other words, a second one, one that begins behind a semicolon) is refused.
"""

import re
from typing import Final
from urllib.parse import unquote_plus

from extauthz import percent
from extauthz.findings import Finding, Reason
from extauthz.login import Form, Login, claimed
from extauthz.wire.lenient import flat
from extauthz.wire.media_type import MediaType

__all__ = ["ESSENCE", "MAX_FIELDS", "is_in_query", "read"]

ESSENCE: Final = "application/x-www-form-urlencoded"
MAX_FIELDS: Final = 1000
"""As many as PHP and Django read. What comes after these is there for some and not for others."""

_BRACKETS = re.compile(r"[\[\]]")
_SEPARATORS = re.compile(r"[&;]")


class _MalformedError(ValueError):
    """The form cannot be read by all in one way; the message says why."""


def read(body: bytes, content_type: str, field: str) -> Login | Finding | None:
    """The login in a field of a form; None when no reader finds that field."""
    media_type = MediaType.parse(content_type)
    if media_type is None or media_type.essence != ESSENCE or not media_type.is_utf8:
        return _malformed("the form is not of the media type of forms in UTF-8")
    try:
        value = _value(body, field)
    except _MalformedError as error:
        return _malformed(str(error))
    return None if value is None else claimed(value, Form.source)


def is_in_query(query: str, field: str) -> bool:
    """Whether some reader finds the field in a query string.

    Servlets and PHP's `$_REQUEST` have one map for both, and a parameter of the query may come
    first in it. A query with too many parameters counts as one that has it.
    """
    if not query:
        return False
    pieces = _SEPARATORS.split(query)
    return len(pieces) > MAX_FIELDS or any(
        _is_alike(unquote_plus(piece.partition("=")[0]), field) for piece in pieces
    )


def _value(body: bytes, field: str) -> str | None:
    if not body.isascii() or b"\0" in body:
        raise _MalformedError("the form holds octets that belong escaped")
    if body.lstrip()[:1] in (b"{", b"["):
        # Services that never look at Content-Type would read it.
        raise _MalformedError("what is said to be a form looks like JSON")
    text = body.decode("ascii")
    if len(_SEPARATORS.findall(text)) >= MAX_FIELDS:
        raise _MalformedError(f"the form has more than {MAX_FIELDS} fields")
    found = _pieces_with(field, text.split("&"))
    if ";" in text and _pieces_with(field, _SEPARATORS.split(text)) != found:
        raise _MalformedError("the login's field is another where semicolons separate, too")
    if not found:
        return None
    if len(found) > 1:
        raise _MalformedError("the form has the login's field more than once")
    name, _, value = found[0].partition("=")
    if _decoded(name) != field:
        raise _MalformedError("the form has a field that is only almost the login's")
    decoded = _decoded(value)
    if decoded is None:
        raise _MalformedError("the login in the form is not escaped UTF-8")
    return decoded


def _pieces_with(field: str, pieces: list[str]) -> list[str]:
    """The pieces of a form in which some reader finds the field."""
    found = []
    for piece in pieces:
        written, _, value = piece.partition("=")
        name = _decoded(written)
        if name is None or "\0" in name:
            raise _MalformedError("the name of a field is not escaped UTF-8")
        if name.casefold() == "_charset_" and value.lower() != "utf-8":
            raise _MalformedError("the form says that it is in another charset than UTF-8")
        if name == field or _is_alike(name, field):
            found.append(piece)
    return found


def _decoded(text: str) -> str | None:
    octets = percent.decoded(text.replace("+", " ").encode("ascii"))
    try:
        return None if octets is None else octets.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_alike(name: str, field: str) -> bool:
    """Whether a reader takes the one name for the other, or the one for a part of the other.

    `user[]`, `user[0]` and `user[x]` are `user` made a list or an object; `user[email` is
    `user_email` for PHP. Whoever decodes twice reads `%75ser` as `user`.
    """
    if "%" in name:
        name = percent.decoded_whole(name.encode("utf-8", "replace")).decode("utf-8", "replace")
    if flat(name) == flat(field):
        # Of names without a letter none is like another.
        return bool(flat(field)) or name == field
    if "[" not in name and "[" not in field:
        return False
    ours, theirs = _steps(field), _steps(name)
    length = min(len(ours), len(theirs))
    return ours[:length] == theirs[:length] and length > 0


def _steps(name: str) -> list[str]:
    return [step for part in _BRACKETS.split(name) if (step := flat(part))]


def _malformed(detail: str) -> Finding:
    return Finding(Reason.LOGIN_MALFORMED, detail)

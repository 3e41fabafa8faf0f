"""JSON (RFC 8259) that every reader reads alike, and the texts in it.

RFC 8259 leaves open what a name means that an object has twice, and readers differ about more than
that: which names are the same, what NaN is, what a lone surrogate becomes. Whatever they may differ
about is refused, wherever in the document it stands.
"""

import json
import re
from collections.abc import Iterable
from typing import NoReturn, TypeAlias

from extauthz.findings import Finding, Reason
from extauthz.login import JsonBody, Login, claimed
from extauthz.wire.lenient import flat
from extauthz.wire.media_type import MediaType

__all__ = ["Json", "JsonError", "is_json", "load", "read", "text_at"]

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_INDEX = re.compile("0|[1-9][0-9]{0,8}")  # RFC 6901 4
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """The document cannot be read by all in one way; the message says why and quotes nothing."""


def read(body: bytes, content_type: str, pointer: tuple[str, ...]) -> Login | Finding | None:
    """The login at a place in a JSON body; None when no reader finds anything there."""
    media_type = MediaType.parse(content_type)
    if media_type is None or not is_json(media_type) or not media_type.is_utf8:
        return _malformed("the body is not of a media type of JSON in UTF-8")
    try:
        text = text_at(load(body), pointer)
    except JsonError as error:
        return _malformed(f"in the JSON body: {error}")
    return None if text is None else claimed(text, JsonBody.source)


def is_json(media_type: MediaType) -> bool:
    """`application/json`, or an application type with that structured syntax (RFC 6839 3.1)."""
    essence = media_type.essence
    return essence == "application/json" or (
        essence.startswith("application/") and essence.endswith("+json")
    )


def load(octets: bytes) -> Json:
    """Read a whole document. Raises JsonError."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonError("it is not UTF-8") from error
    try:
        document: Json = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except JsonError:
        raise
    except UnicodeEncodeError as error:
        raise JsonError("it holds half of a surrogate pair") from error
    except RecursionError as error:
        raise JsonError("it is nested too deeply") from error
    # A number with too many digits for Python is a ValueError of its own.
    except ValueError as error:
        raise JsonError("it is no JSON") from error
    return document


def text_at(document: Json, pointer: tuple[str, ...]) -> str | None:
    """The text that a JSON pointer leads to; None when there is nothing.

    Raises JsonError when something else than a text is there, or on the way there, or when some
    readers take another member for the one that is asked for.
    """
    value = document
    for token in pointer:
        if isinstance(value, list):
            if not _INDEX.fullmatch(token):
                raise JsonError("a list stands on the way to the login")
            if int(token) >= len(value):
                return None
            value = value[int(token)]
        elif isinstance(value, dict):
            _refuse_lookalikes(value, token)
            if token not in value:
                return None
            value = value[token]
        else:
            raise JsonError("what stands on the way to the login is no object")
    if not isinstance(value, str):
        raise JsonError("the login is no text")
    return value


def _refuse_lookalikes(names: Iterable[str], token: str) -> None:
    asked = flat(token)
    for name in names:
        # Whoever merges objects in JavaScript may inherit from `__proto__` what is not there.
        if name != token and (flat(name) == asked or name == "__proto__"):
            raise JsonError("a name is almost that of the login")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonError("an object has a name twice")
    return members


def _no_constant(_: str) -> NoReturn:
    raise JsonError("it holds NaN or Infinity")


def _malformed(detail: str) -> Finding:
    return Finding(Reason.LOGIN_MALFORMED, detail)

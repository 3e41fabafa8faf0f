"""The body of a form that a browser sent, to its fields.

Whoever sends one may be nobody that is let in, and checks are answered by the same process: so the
work grows with the length of the body and no faster, whatever is in it. (Python's own parser of
mails takes seconds for what fits into 128 KiB.)
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl

__all__ = ["MAX_FIELDS", "fields_of"]

MAX_FIELDS: Final = 32
_MAX_HEAD: Final = 4096
"""Longest head of a part, in octets."""
# RFC 2046 5.1.1.
_BOUNDARY: Final = re.compile(
    r"multipart/form-data *;(?:.*;)? *boundary=(\"?)([\w'()+,./:=?-]{1,70})\1 *(?:;.*)?",
    re.ASCII | re.IGNORECASE,
)
# RFC 7578 4.2. A quote in a name, or in that of a file, is sent as `%22`.
_NAME: Final = re.compile(
    rb'(?:^|\r\n)content-disposition: *form-data[^\r\n"]*[; ]name="([^"\r\n]*)"', re.IGNORECASE
)


def fields_of(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form, in either encoding. Raises ValueError."""
    if content_type.lower().startswith("application/x-www-form-urlencoded"):
        text = body.decode("utf-8", "replace")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    boundary = _BOUNDARY.fullmatch(content_type)
    if boundary is None:
        raise ValueError("this is no form")
    return dict(_parts(body, boundary[2].encode("ascii")))


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, str]]:
    """The parts of a multipart/form-data (RFC 7578). No file is written for one."""
    delimiter = b"\r\n--" + boundary
    _, *pieces = (b"\r\n" + body).split(delimiter, MAX_FIELDS + 1)
    for number, piece in enumerate(pieces):
        if piece.startswith(b"--"):
            return
        head, end, octets = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head) if len(head) <= _MAX_HEAD else None
        if not end or name is None or number >= MAX_FIELDS:
            break
        # DER is no text. As one character for each octet it is not lost.
        is_binary = name[1] == b"file" and octets.startswith(b"\x30")
        encoding = "latin-1" if is_binary else "utf-8"
        yield name[1].decode("utf-8", "replace"), octets.decode(encoding, "replace")
    raise ValueError("this is no whole form")

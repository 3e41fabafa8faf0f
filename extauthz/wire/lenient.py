"""Which names readers take for one that are not one. What is alike here is refused, never read.

Known readers, of form fields and of JSON members: case is ignored (Go's encoding/json, cJSON,
ASP.NET), and dashes and underscores too (Go's json/v2, protobuf); spaces, dots and brackets are
underscores (PHP); a NUL ends the name (C); lone surrogates and control characters are dropped.
"""

import unicodedata

__all__ = ["flat"]


def flat(name: str) -> str:
    """What is left of a name for a reader who cares about letters and digits only."""
    text = name.partition("\0")[0]
    if text.isascii():
        return text.lower() if text.isalnum() else "".join(filter(str.isalnum, text)).lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(filter(str.isalnum, folded))

"""Other people's text in messages: readable, on one line, and harmless to a terminal."""

__all__ = ["MAX_QUOTED", "printable", "quoted"]

MAX_QUOTED = 200
"""Longest text that a message repeats, in characters."""


def quoted(text: str) -> str:
    """Text of a file as a message repeats it: in quotes, printable, and not too long to read.

    Unlike Python's own, these quotes leave a backslash single: names in certificates have them.
    """
    return f"'{printable(text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + '…')}'"


def printable(text: str) -> str:
    """Text on one line, with escapes for whatever would steer a terminal instead of being read.

    Names in certificates, of files and in the policy are other people's input.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )

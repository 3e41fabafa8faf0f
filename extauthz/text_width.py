"""How wide text is at most where nobody can measure it, in widths of a digit."""

from unicodedata import east_asian_width

from extauthz.quoting import printable

__all__ = ["cut", "width_of"]


def width_of(text: str) -> int:
    """Of text that is shown as `printable` makes it."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in printable(text))


def cut(text: str, width: int) -> str:
    """Text that is at most so wide."""
    if width_of(text) <= width:
        return text
    kept, room = "", width - 1
    for char in printable(text):
        room -= width_of(char)
        if room < 0:
            break
        kept += char
    return f"{kept}…"

"""Templates to pages. Every value is escaped, and made harmless to read, in this one place.

What a template writes out is text of certificates, requests and files unless this module made it:
it is escaped for HTML, and characters that nobody sees or that turn the line around are written as
escapes. The only markup that is let through is that of the charts and of what is made here.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.resources import files
from typing import Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from extauthz import __version__, charts
from extauthz.admin.pacing import Pace
from extauthz.findings import Reason
from extauthz.policyfile.problems import counted
from extauthz.quoting import printable

__all__ = ["STATIC", "Renderer"]

MAX_SHOWN: Final = 120
"""Longest text in a cell of a table, in characters."""
_CODE: Final = re.compile(r"`([^`]{1,200})`")
NOTHING: Final = "\N{EN DASH}"
"""Stands where there is no value."""
_WORDS: Final = {
    "good": "Good", "warning": "Warning", "bad": "Problem", "passed": "Passed",
    "failed": "Failed", "tolerated": "Tolerated", "not made": "Not made",
    "enforce": "enforce", "audit": "audit", "off": "off",
}  # fmt: skip


def _read(name: str) -> bytes:
    return files("extauthz.admin").joinpath("static", name).read_bytes()


STATIC: Final[Mapping[str, tuple[str, bytes]]] = {
    "style.css": ("text/css", _read("style.css") + charts.STYLE.encode()),
    "icon.svg": ("image/svg+xml", _read("icon.svg")),
}
"""Media type and octets of what pages refer to."""


class Renderer:
    """Makes pages of templates; from any thread."""

    def __init__(self) -> None:
        environment = Environment(
            loader=PackageLoader("extauthz.admin"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_harmless,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {"version": __version__, "every_reason": [str(r) for r in Reason]}
        filters: Mapping[str, Callable[..., object]] = {
            "ago": _ago, "coded": _coded, "counted": counted, "cut": _cut,
            "number": _number, "query": urlencode,
            "segment": lambda text: quote(text, safe=""), "share": _share, "svg": Markup,
            "textarea": _textarea, "when": _when, "word": lambda value: _WORDS[str(value)],
        }  # fmt: skip
        environment.filters |= filters
        self._environment = environment

    def page(self, template: str, values: Mapping[str, object]) -> bytes:
        """A whole page, in UTF-8."""
        pace = Pace()
        pieces: list[str] = []
        for piece in self._environment.get_template(template).generate(values):
            pieces.append(piece)
            pace()
        # A surrogate, as in the name of a file that is no UTF-8, is no character of a page.
        return "".join(pieces).encode("utf-8", "backslashreplace")


def _harmless(value: object) -> object:
    """What a template writes out in the place of a value."""
    if value is None:
        return NOTHING
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def _coded(text: str) -> Markup:
    """Text in which what stands in backquotes is code: escaped first, so that nothing else is."""
    pieces = _CODE.split(printable(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece)
        for number, piece in enumerate(pieces)
    )


def _cut(text: str, length: int = MAX_SHOWN) -> str:
    return text if len(text) <= length else text[:length] + "…"


def _number(value: int) -> str:
    return f"{value:,}"


def _share(part: int, whole: int) -> str:
    """A part in per cent. What is not all of it is not called 100 %."""
    if not whole:
        return NOTHING
    tenths = part * 1000 // whole
    return f"{tenths / 10:.1f} %" if tenths % 10 else f"{tenths // 10} %"


def _when(moment: datetime | None) -> str | Markup:
    if moment is None:
        return "never"
    written = f"{moment:%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}Z">{}</time>').format(written.replace(" ", "T"), written)


def _ago(moment: datetime | None, now: datetime) -> str:
    """How long ago, roughly; or how long until."""
    if moment is None:
        return "never"
    seconds = int((now - moment).total_seconds())
    size = abs(seconds)
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if size >= 2 * length or (unit == "minute" and size >= length):
            text = counted(size // length, unit)
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "just now" if seconds >= 0 else "in a moment"


def _textarea(text: str) -> Markup:
    """Text on several lines, which a parser takes the first line feed of."""
    return Markup("\n") + Markup("\n").join(escape(printable(line)) for line in text.split("\n"))

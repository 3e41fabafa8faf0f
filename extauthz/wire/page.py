"""The page that a person in a browser gets who is refused.

All of it is in the page: no script, no picture, nothing from elsewhere, and the Content Security
Policy allows nothing but the style sheet: browsers do not even ask for an icon, which would be one
more refusal. Every value is text: what a subscription wrote is escaped, and only what begins with
http, https or mailto becomes a link.
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from string import Template
from typing import Final

__all__ = ["CONTENT_SECURITY_POLICY", "identified", "page"]

_MAX_TITLE: Final = 100

# Colours are the browser's own, of its light or its dark scheme: it sees to their contrast.
_STYLE = """\
:root { color-scheme: light dark }
body { margin: 0; font: 1.0625rem/1.6 system-ui, sans-serif; overflow-wrap: anywhere }
main { max-width: 36rem; margin: 0 auto; padding: 12vh 1.25rem 2rem }
h1 { margin: 0 0 1.5rem; font-size: 1.5rem; line-height: 1.3 }
h1, .help { white-space: pre-line }
p { margin: 0 0 1.5rem }
a:focus-visible { outline: 3px solid; outline-offset: 2px }
code { font: 0.9375rem ui-monospace, monospace; user-select: all }
"""

CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
    "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>$style</style></head>
<body><main>
<h1 dir="auto">$text</h1>
$help""")
_END = "</main></body>\n</html>\n"

_LINK = re.compile(r"(?<![\w+.-])(?:https?://|mailto:)[^\s<>\"'`]+", re.IGNORECASE)
_MAILTO = "mailto:"


def page(text: str, help_text: str | None) -> tuple[str, str]:
    """The page up to where the request id belongs, and what comes behind it."""
    lines = text.split("\n", 1)
    given = "" if help_text is None else f'<p class="help" dir="auto">{_linked(help_text)}</p>\n'
    before = _PAGE.substitute(
        title=escape(lines[0][:_MAX_TITLE]), style=_STYLE, text=escape(text), help=given
    )
    return before, _END


def identified(request_id: str) -> str:
    """How the page says by which id the operator finds the request."""
    return f'<p>Request ID: <code dir="ltr">{escape(request_id)}</code></p>\n'


def _linked(text: str) -> str:
    return "".join(_parts(text.strip()))


def _parts(text: str) -> Iterator[str]:
    done = 0
    for match in _LINK.finditer(text):
        url = _without_punctuation(match[0])
        if not _LINK.fullmatch(url):
            continue
        yield escape(text[done : match.start()])
        yield f'<a href="{escape(url)}" rel="noreferrer">{escape(_shown(url))}</a>'
        done = match.start() + len(url)
    yield escape(text[done:])


def _shown(url: str) -> str:
    """A link as it is read: of an email link, the address."""
    if url[: len(_MAILTO)].lower() != _MAILTO:
        return url
    return url[len(_MAILTO) :].partition("?")[0] or url


def _without_punctuation(url: str) -> str:
    """A URL without what ends the sentence or the brackets that it stands in."""
    while url[-1] in ".,;:!?" or (url[-1] == ")" and url.count(")") > url.count("(")):
        url = url[:-1]
    return url

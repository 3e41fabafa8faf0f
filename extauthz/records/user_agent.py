"""Who made a request, by what its client calls itself: a person's browser, or an integration.

The two patterns are the whole rule. They are searched both by Python's `re` and, in SQL, by the
report's engine (RE2); so they have nothing in them that the two read differently: no flags, no
`.`, no class that holds other letters here than there.
"""

import re
from enum import StrEnum
from typing import Final

__all__ = ["BROWSER", "NO_BROWSER", "CallerKind", "is_browser"]


class CallerKind(StrEnum):
    PERSON = "person"
    """Comes with a browser."""
    INTEGRATION = "integration"
    """Comes with anything else: a script, an SDK, a build server."""


def _in_any_case(word: str) -> str:
    """A pattern for an ASCII word. Flags fold more than ASCII, and each engine other letters."""
    return "".join(f"[{each}{each.upper()}]" if each.isalpha() else each for each in word)


BROWSER: Final = r"\AMozilla/[\s\S]*(?:AppleWebKit/|Gecko/|Trident/|; MSIE |Presto/)"
"""What browsers say, and much else besides."""
NO_BROWSER: Final = "|".join(
    map(
        _in_any_case,
        ("bot", "crawl", "spider", "scan", "headless", "monitor", "https?:", "curl", "python"),
    )
)
"""What those say that only say so. Goes before `BROWSER`."""

_BROWSER: Final = re.compile(BROWSER)
_NO_BROWSER: Final = re.compile(NO_BROWSER)


def is_browser(user_agent: str | None) -> bool:
    """Whether it is a person's, as far as it says."""
    return (
        user_agent is not None
        and _BROWSER.search(user_agent) is not None
        and _NO_BROWSER.search(user_agent) is None
    )

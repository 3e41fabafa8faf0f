"""People have browsers: one rule, which the engine and Python must read alike."""

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.records.user_agent import CallerKind, is_browser
from extauthz.report.callers import KIND
from tests.report.records import CHROME

BROWSERS = [
    CHROME,
    "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1)",
    "Mozilla/5.0\n(X11) Gecko/1",
    "Mozilla/5.0 (X11) Gecko/1 \u017fcanner",  # a long s is no s
    "Mozilla/5.0 (X11) Gecko/1 sp\u0131der",  # and a dotless i no i
]
OTHERS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    CHROME.replace("Chrome/", "HeadlessChrome/"),
    "Mozilla/5.0 (Windows NT; Windows NT 10.0) WindowsPowerShell/5.1",
    "Mozilla/5.0 zgrab/0.x",
    f" {CHROME}",
    f"x\n{CHROME}",
    f"{CHROME} PyThOn",
    f"{CHROME} HTTPS:",
    "mozilla/5.0 Gecko/1",
    "AppleWebKit/537.36 Mozilla/",
    "python-requests/2.32",
    "",
    None,
]


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


@pytest.mark.parametrize(
    ("agents", "expected"), [(BROWSERS, True), (OTHERS, False)], ids=["browsers", "others"]
)
def test_browsers_are_people(
    agents: list[str | None], engine: duckdb.DuckDBPyConnection, *, expected: bool
) -> None:
    """By the user agent, which is all that there is; for the report as for the admin page."""
    for agent in agents:
        assert is_browser(agent) is expected, agent
        assert told(engine, agent) is expected, agent


PARTS = st.sampled_from([
    "Mozilla/5.0 ", "Gecko/1", "AppleWebKit/", "; MSIE ", "bot", "BOT", "http:", "httpsx:", "cUrl",
    "curl", "\n", "\r", "\u2028", "\x00", "\u212a", "\u017fcan", "\u0131", "\u0130",
])  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(PARTS | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)).map("".join))
def test_engine_and_python_agree_on_any_text(engine: duckdb.DuckDBPyConnection, agent: str) -> None:
    """A caller is not a person here and an integration there."""
    assert told(engine, agent) is is_browser(agent)


def told(engine: duckdb.DuckDBPyConnection, agent: str | None) -> bool:
    """What the report says."""
    found = engine.execute(f"SELECT {KIND} FROM (SELECT $1::VARCHAR AS user_agent)", [agent])
    (kind,) = found.fetchone() or ()
    return CallerKind(kind) is CallerKind.PERSON

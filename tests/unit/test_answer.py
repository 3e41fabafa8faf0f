"""What a refused client reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.policy import Denial
from extauthz.wire.answer import HTML, JSON, PLAIN, denied, preferred, refusal

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(("accept", "media_type"), [
    ("", PLAIN), ("*/*", PLAIN), (CHROME, HTML), ("application/json", JSON),
    ("application/json, text/plain, */*", JSON), ("text/plain, application/json", PLAIN),
    ("text/html;q=0.1, application/json;q=0.5", JSON), ("text/*", PLAIN), ("application/*", JSON),
    ("text/html;q=0, */*", PLAIN), ("image/png", PLAIN), ("TEXT/HTML", HTML),
    ("text/html;q=x", PLAIN),
    ("application/json;q=1.0;x=y", JSON), (",;,;q=", PLAIN), ("text/html;q=nan", PLAIN),
    ("*/*;q=0", PLAIN), ("application/json;q=0, text/html;q=0", PLAIN),
])  # fmt: skip
def test_client_gets_what_it_likes_best(accept: str, media_type: str) -> None:
    """RFC 9110 12.5.1; plain text when in doubt."""
    assert preferred(accept) == media_type


@given(st.text())
def test_any_accept_is_read_without_error(accept: str) -> None:
    """There is always an answer."""
    assert preferred(accept) in {PLAIN, HTML, JSON}


def test_body_is_escaped_in_html_and_json() -> None:
    """The operator's words are text in every representation."""
    denial = Denial(body='<b>"No" & no</b>')

    assert b"&lt;b&gt;&quot;No&quot; &amp; no&lt;/b&gt;" in refusal(denial, HTML).body
    assert refusal(denial, JSON).body == b'{"error": "<b>\\"No\\" & no</b>"}\n'
    assert refusal(denial, PLAIN).body == b'<b>"No" & no</b>\n'


def test_fixed_media_type_is_sent_whatever_the_client_accepts() -> None:
    """A subscription that words its own body has the last word."""
    response = denied(Denial(418, "<p>no</p>", "text/html; charset=utf-8"), "application/json")

    assert (response.status, response.body) == (418, b"<p>no</p>")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"

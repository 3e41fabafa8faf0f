"""What a refused client reads, and what Envoy is told besides."""

import asyncio
import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from extauthz.accounts import Accounts
from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.envoyconfig.needs import ACCESS_LOG_HEADER, LOGGED_HEADERS
from extauthz.findings import Finding, Reason
from extauthz.policy import DEFAULT_DENIAL, Denial, Mode, Subscription
from extauthz.rehearsal import NO_CERTIFICATE
from extauthz.trust import TrustAnchors
from extauthz.wire.answer import (
    HTML,
    JSON,
    MAX_REQUEST_ID,
    PLAIN,
    answer,
    denied,
    failed,
    preferred,
    refusal,
)

ID = "f4979e60-b37d-4e40-8238-aef737631863"
FRAME = {"html", "head", "meta", "title", "style", "body", "main", "h1"}
"""The elements of every page."""
HELP = """\
Your certificate may have expired. Renew it at https://pki.acme.example/renew?a=b&c=d.

Else write to mailto:help@acme.example?subject=Access (or call 1234)."""
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

    assert b"&lt;b&gt;&quot;No&quot; &amp; no&lt;/b&gt;" in refusal(denial, HTML).body("")
    assert refusal(denial, JSON).body("") == b'{"error": "<b>\\"No\\" & no</b>"}\n'
    assert refusal(denial, PLAIN).body("") == b'<b>"No" & no</b>\n'


def test_fixed_media_type_is_sent_whatever_the_client_accepts() -> None:
    """A subscription that words its own body has the last word."""
    denial = Denial(418, "<p>no</p>", "text/html; charset=utf-8", help="Ask.")
    response = denied(denial, "application/json", ID)

    assert (response.status, response.body) == (418, b"<p>no</p>")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Content-Security-Policy" not in response.headers


class Page(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, octets: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._within: list[str] = []
        self.feed(octets.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._within.pop() == tag

    def handle_data(self, data: str) -> None:
        within = self._within[-1] if self._within else ""
        self.texts[within] = self.texts.get(within, "") + data

    @property
    def links(self) -> list[str | None]:
        return [attributes["href"] for tag, attributes in self.tags if tag == "a"]

    @property
    def kinds(self) -> set[str]:
        return {tag for tag, _ in self.tags}


def body(response: web.Response) -> bytes:
    assert isinstance(response.body, bytes)
    return response.body


def test_page_says_no_more_than_what_helps() -> None:
    """The denial's words, the subscription's help with its links, and the request id."""
    page = Page(body(denied(Denial(help=HELP), CHROME, ID)))

    assert page.texts["title"] == page.texts["h1"] == "Invalid user credentials"
    assert page.links == [
        "https://pki.acme.example/renew?a=b&c=d", "mailto:help@acme.example?subject=Access",
    ]  # fmt: skip
    assert page.texts["a"] == "https://pki.acme.example/renew?a=b&c=dhelp@acme.example"
    assert page.texts["code"] == ID
    assert "may have expired" in page.texts["p"]
    assert "(or call 1234)." in page.texts["p"]


def test_page_needs_nothing_from_anywhere() -> None:
    """No script, no resource, and a policy that allows the one style sheet and nothing else."""
    response = denied(Denial(help=HELP), CHROME, ID)
    page = Page(body(response))
    digest = b64encode(sha256(page.texts["style"].encode()).digest()).decode()

    assert page.kinds == FRAME | {"p", "a", "code"}
    assert not any({"src", "style", "onclick"} & attributes.keys() for _, attributes in page.tags)
    assert page.tags[0] == ("html", {"lang": "en"})
    assert response.headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    )


@pytest.mark.parametrize("given", [
    "<script>alert(1)</script>", "javascript:alert(1)", "JaVaScRiPt:https:", "https://",
    "mailto:", "mailto:...", 'https://a"onclick="b', "https://a'b", "data:text/html,a",
    "file:///etc", "//evil.example", "xhttps://evil.example", "ftp://a", "http:/a",
])  # fmt: skip
def test_nothing_in_the_help_becomes_more_than_text_or_a_link(given: str) -> None:
    """What is no http, https or mailto link is text, and what ends an attribute ends the link."""
    page = Page(body(denied(Denial(help=given), CHROME)))

    assert page.links in ([], ["https://a"])
    assert page.texts["p"] == (given.replace("https://a", "") if page.links else given)
    assert page.kinds <= FRAME | {"p", "a"}


@pytest.mark.parametrize(("given", "link"), [
    ("See https://a.example/x.", "https://a.example/x"),
    ("(https://a.example/x)", "https://a.example/x"),
    ("https://a.example/x_(y)!", "https://a.example/x_(y)"),
    ("HTTPS://A.example", "HTTPS://A.example"),
    ("http://[2001:db8::1]:8080/ü?a=%20#b", "http://[2001:db8::1]:8080/ü?a=%20#b"),
    ("<https://a.example>", "https://a.example"),
    ("mailto:a@b.example,", "mailto:a@b.example"),
])  # fmt: skip
def test_link_ends_where_a_reader_would_end_it(given: str, link: str) -> None:
    """Brackets and what ends a sentence do not belong to a link."""
    assert Page(body(denied(Denial(help=given), CHROME))).links == [link]


@given(st.text(), st.text(), st.text(st.characters(exclude_categories=())))
def test_any_text_is_text_on_the_page(words: str, help_text: str, request_id: str) -> None:
    """Whatever an operator or a client writes, the page has its own elements and no others."""
    page = Page(body(denied(Denial(body=words, help=help_text), CHROME, request_id)))

    assert page.kinds <= FRAME | {"p", "a", "code"}
    assert all(str(link).lower().startswith(("http", "mailto:")) for link in page.links)
    assert page.texts["h1"]
    assert page.texts["title"]


def test_json_has_the_request_id_and_the_help() -> None:
    """What a program can show to its user; what is not there is not a member."""
    assert json.loads(body(denied(Denial(help=HELP), JSON, ID))) == {
        "error": "Invalid user credentials", "help": HELP, "request_id": ID,
    }  # fmt: skip
    assert body(denied(Denial(), JSON, ID)) == (
        b'{"error": "Invalid user credentials", "request_id": "%b"}\n' % ID.encode()
    )
    assert json.loads(body(denied(Denial(), JSON))) == {"error": "Invalid user credentials"}


def test_plain_text_stays_as_it_is() -> None:
    """Scripts compare it."""
    assert body(denied(Denial(help=HELP), "", ID)) == b"Invalid user credentials\n"


@pytest.mark.parametrize("accept", [HTML, JSON])
@pytest.mark.parametrize("request_id", ["<b>&\"'", "\udc80\x1b[31m\r\n", "ü" * 10_000],
                         ids=["markup", "controls", "long"])  # fmt: skip
def test_request_id_is_escaped_and_bounded(request_id: str, accept: str) -> None:
    """An Envoy that passes on the client's own id does not make it a part of the page."""
    octets = body(denied(DEFAULT_DENIAL, accept, request_id))
    told = json.loads(octets)["request_id"] if accept == JSON else Page(octets).texts["code"]

    assert len(told) <= 8 * MAX_REQUEST_ID
    assert told.isprintable()
    assert request_id[:2] == told[:2] or told.startswith("\\udc80\\x1b[31m")


def subscription(mode: Mode = Mode.ENFORCE) -> Subscription:
    return Subscription("acme", ("a.example",), TrustAnchors(()), Accounts(()), mode,
                        denial=Denial(help=HELP))  # fmt: skip


def asked(**more: str) -> CIMultiDict[str]:
    return CIMultiDict({"Accept": CHROME, "X-Request-ID": ID} | more)


LOGGING = {ACCESS_LOG_HEADER: "true"}


@pytest.mark.parametrize("accept", [CHROME, JSON, PLAIN])
def test_refusal_is_the_same_whatever_was_found(accept: str) -> None:
    """Status, fields and body do not depend on the reason, unless Envoy has asked for it."""
    answers = set()
    for reason in Reason:
        decision = Decision(subscription(), (Finding(reason, "secret"),), mode=Mode.ENFORCE)
        response = answer(decision, asked(Accept=accept), None)
        assert isinstance(response, web.Response)
        answers.add((response.status, tuple(response.headers.items()), response.body))

    assert len(answers) == 1


def test_envoy_is_told_the_decision_where_it_asks() -> None:
    """By the names of the decision log; a reason that was found twice is said once."""
    twice = [Finding(Reason.REQUIREMENT_NOT_MET, "a"), Finding(Reason.REQUIREMENT_NOT_MET, "b")]
    findings = (Finding(Reason.CERTIFICATE_EXPIRED, "c"), *twice)
    refused = Decision(subscription(), findings, mode=Mode.ENFORCE)
    response = answer(refused, asked(**LOGGING), None)

    assert {name: response.headers[name] for name in LOGGED_HEADERS} == {
        "x-extauthz-decision": "deny",
        "x-extauthz-reasons": "certificate_expired,requirement_not_met",
        "x-extauthz-subscription": "acme",
    }
    nobodys = Decision(None, (Finding(Reason.SUBSCRIPTION_UNKNOWN, "d"),))
    response = answer(nobodys, asked(**LOGGING), None)
    assert response.headers["x-extauthz-reasons"] == "subscription_unknown"
    assert "x-extauthz-subscription" not in response.headers


def test_envoy_is_told_nothing_where_it_does_not_ask() -> None:
    """An Envoy that is set up otherwise would pass the reason on to the client."""
    for decision in (
        Decision(subscription(), (Finding(Reason.CERTIFICATE_EXPIRED, ""),), mode=Mode.ENFORCE),
        Decision(subscription(), (), mode=Mode.ENFORCE),
    ):
        assert not set(LOGGED_HEADERS) & set(answer(decision, asked(), None).headers)
    assert not set(LOGGED_HEADERS) & set(failed().headers)


def test_request_id_is_that_of_the_check() -> None:
    """Of a request that could not be read, the one that its header has."""
    check = CheckRequest(
        "a.example", "GET", "/", None, (), (), NO_CERTIFICATE, "of the check", "192.0.2.1"
    )
    refused = Decision(subscription(), (NO_CERTIFICATE,), mode=Mode.ENFORCE)
    for asked_with, told in ((check, "of the check"), (None, ID)):
        response = answer(refused, asked(), asked_with)
        assert isinstance(response, web.Response)
        assert Page(body(response)).texts["code"] == told


async def octets_of(decision: Decision, line: str, headers: dict[str, str]) -> bytes:
    """What stands on the connection after a check was answered."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return answer(decision, request.headers, None)

    server = web.Server(handler)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET /check/ {line}\r\nHost: a.example\r\n{fields}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    listener.close()
    await server.shutdown()
    return re.sub(rb"(?i)(date: )[^\r]*", rb"\1now", head).lower()


@pytest.mark.parametrize(("mode", "findings", "said"), [
    (Mode.ENFORCE, (), b"x-extauthz-decision: allow\r\nx-extauthz-subscription: acme\r\n"),
    (Mode.AUDIT, (NO_CERTIFICATE,),
     (b"x-extauthz-decision: deny\r\nx-extauthz-reasons: certificate_missing\r\n"
      b"x-extauthz-subscription: acme\r\n")),
])  # fmt: skip
async def test_allow_is_one_head_however_it_is_written(
    mode: Mode, findings: tuple[Finding, ...], said: bytes
) -> None:
    """What is prepared says the same as what aiohttp writes where the connection is to end."""
    decision = Decision(subscription(mode), findings, mode=mode)
    plain = b"http/1.1 200 ok\r\ncontent-length: 0\r\n"

    assert await octets_of(decision, "HTTP/1.1", {}) == plain + b"date: now\r\n\r\n"
    head = await octets_of(decision, "HTTP/1.1", LOGGING)
    assert head == plain + said + b"date: now\r\n\r\n"
    closing = await octets_of(decision, "HTTP/1.1", LOGGING | {"Connection": "close"})
    assert set(head.splitlines()) <= set(closing.splitlines())

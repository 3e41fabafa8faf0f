"""Each admin page, of a real server with real traffic, as an operator asks for it."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.admin.conftest import Operator, Serving, counts, operator_of
from tests.admin.traffic import HOSTILE, LONG, TURNED, World, ask, make_traffic
from tests.cli.conftest import Server, forwarded, replace
from tests.ports import free_port

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
INLINE = {"a", "bdi", "code", "span", "strong", "time"}
VOID = {"meta", "link", "input", "br", "img"}
OUR_ATTRIBUTES = """
action aria-current aria-describedby aria-invalid aria-label aria-labelledby autocomplete autofocus
charset class content d data-label datetime enctype fill for height href http-equiv id lang list
maxlength method name placeholder preserveaspectratio r rel required role rows scope selected
spellcheck stroke-width tabindex text-anchor type value viewbox width x xmlns y cx cy patternunits
"""
OUR_ELEMENTS = """
a bdi body br button caption code datalist dd details div dl dt figcaption figure footer form h1 h2
h3 head header html input label li link main meta nav ol option p section select small span strong
summary table tbody td textarea th thead time title tr ul
svg g path rect circle text desc defs pattern
"""
ATTRIBUTES, ELEMENTS = frozenset(OUR_ATTRIBUTES.split()), frozenset(OUR_ELEMENTS.split())


class Seen(HTMLParser):
    """A page as a browser reads it: its elements, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag not in INLINE:
            self.text.append(" ")
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id" and value is not None:
                self.ids.append(value)
            if name in {"href", "action"} and value is not None:
                self.links.add(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> ends nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        """The text, with single blanks."""
        return " ".join("".join(self.text).split())


def decision_of(operator: Operator, request_id: str) -> str:
    """Path of the page of a decision."""
    page = operator.page(f"/decisions?{urlencode({'request_id': request_id})}")
    found = re.findall(r'href="(/decisions/[0-9a-f]+-\d+)"', page)
    assert len(found) == 1, found
    return str(found[0])


def rows_of(page: str) -> list[str]:
    """The rows of the first table with such cells, as text."""
    return [
        Seen(row).words
        for row in re.findall(r'<tr role="row">\s*<th role="rowheader".*?</tr>', page, re.DOTALL)
    ]


class TestOverview:
    """What an operator sees first."""

    def test_it_says_what_needs_a_look(self, operator: Operator) -> None:
        """Problems before warnings, with the subscription that they are of."""
        words = Seen(operator.page("/")).words
        for text in (
            "Problem acme: The exemption old-monitoring ended on 2024-01-31",
            "Problem acme: There is no CRL from", "missing.crl: cannot be read",
            "Warning acme: The CA certificate CN=Acme CA G2,O=Acme expires soon",
        ):  # fmt: skip
            assert text in words
        assert words.index("Problem acme") < words.index("Warning acme")

    def test_it_counts(self, operator: Operator) -> None:
        """Checks of 24 hours, by subscription and all together; charts have their numbers."""
        page = operator.page("/")
        rows = rows_of(page)
        acme = next(row for row in rows if row.startswith("acme"))
        assert "enforce acme.example.com, *.acme.example.com 56 11 80.3 %" in acme
        unchecked = next(row for row in rows if row.startswith("unchecked"))
        assert "off off.example.com 1 0 not checked" in unchecked
        assert "Last 24 hours 74" in Seen(page).words
        assert page.count("<svg ") == 2
        assert page.count("<details>") == 2
        assert re.search(r"</time></th><td class=\"n\">\d+</td>", page)

    def test_it_says_how_old_certificates_and_lists_are_and_when_they_end(
        self, operator: Operator
    ) -> None:
        """Of all subscriptions, the first to end first, whether or not they are in trouble."""
        rows = [row for row in rows_of(operator.page("/")) if re.search("Signing cert|CRL", row)]
        kinds = {re.search("Signing certificate|CRL", row)[0] for row in rows}  # type: ignore[index]
        assert kinds == {"Signing certificate", "CRL"}
        ends = [re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row)[-1] for row in rows]
        assert ends == sorted(ends)
        assert any("acme-ca.pem Signing certificate acme" in row for row in rows)
        assert any("Good in 3" in row for row in rows if "Signing certificate audited" in row)

    def test_it_says_that_a_store_of_sessions_is_down(self, world: World, serving: Serving) -> None:
        """For as long as it does not do what it is asked."""
        store = f"redis://127.0.0.1:{free_port()}"
        text = world.policy.read_text().replace(
            "  audited:\n", f"    session: {{cookie: SID, store: '{store}'}}\n  audited:\n"
        )
        policy = replace(world.policy.with_name("stored.yaml"), text)
        said = f"Problem acme: The store of sessions {store} did not do what it was asked last."
        with serving(policy) as server:
            operator = operator_of(server)
            assert said not in Seen(operator.page("/")).words
            connection = server.connect()
            headers = {
                "Host": "acme.example.com", "Cookie": "SID=1",
                "x-forwarded-client-cert": forwarded(world.alice),
            }  # fmt: skip
            connection.request("GET", "/check/", headers=headers)
            assert connection.getresponse().status == 403
            connection.close()
            assert said in Seen(operator.page("/")).words

    def test_it_says_where_the_decision_log_goes(self, operator: Operator) -> None:
        """And how many lines were written and dropped."""
        words = Seen(operator.page("/")).words
        assert re.search(r"Decision log stdout: \d+ lines written, none dropped", words)

    def test_it_says_that_the_log_is_not_written(
        self, world: World, serving: Serving, tmp_path: Path
    ) -> None:
        """While that lasts, and not only once lines are lost."""
        log = tmp_path / "logs" / "decisions.log"
        log.parent.mkdir()
        said = f"Problem The decision log file:{log}: it cannot be written:"
        with serving(world.policy, "--decision-log", f"file:{log}") as server:
            operator, connection = operator_of(server), server.connect()
            ask(connection, "acme.example.com", world.alice)
            server.eventually(lambda: log.read_bytes().count(b"\n") > 0)
            assert said not in Seen(operator.page("/")).words
            log.unlink()
            log.mkdir()
            ask(connection, "acme.example.com", world.alice)
            server.eventually(lambda: said in Seen(operator.page("/")).words)
            words = Seen(operator.page("/")).words
            log.rmdir()
            server.eventually(lambda: said not in Seen(operator.page("/")).words)
            connection.close()
        waiting = r"[1-9]\d* KiB wait in memory, where 65,536 have room\."
        assert re.search(rf"{re.escape(said)} Is a directory\. {waiting}", words)

    def test_it_says_that_the_log_waits(self, world: World, serving: Serving) -> None:
        """Long before lines are lost: whoever reads it stands still."""
        reader, writer = os.pipe()
        said = "Warning The decision log stdout is not written as fast as lines come."
        with serving(world.policy, stdout=writer) as server:
            operator, connection = operator_of(server), server.connect()
            assert said not in Seen(operator.page("/")).words
            for _ in range(900):
                ask(connection, "acme.example.com", agent="x" * 2_000)
            assert said in Seen(operator.page("/")).words
            connection.close()
        os.close(reader)
        os.close(writer)

    def test_it_says_that_the_policy_does_not_load(self, world: World, serving: Serving) -> None:
        """And why, with line and column; the last good one stays in force."""
        text = world.policy.read_text()
        # A file of its own: other servers watch the other one.
        policy = replace(world.policy.with_name("broken.yaml"), text)
        with serving(policy) as server:
            operator = operator_of(server)
            replace(policy, text + "  broken: {hosts: [<b>x</b>]}\n")
            server.eventually(lambda: not server.ready()["last_reload"]["successful"])
            words, ready = Seen(operator.page("/")).words, operator.page("/readyz")
        assert "The policy file has" in words
        assert "The last good one stays in force (generation 1)" in words
        assert f"{policy}:" in words
        assert "<b>x</b>" in words
        # Which is open to whoever can reach it.
        assert f"{policy}:" in ready
        assert "<b>x</b>" not in ready

    def test_subscriptions_are_found_by_name_or_host(self, operator: Operator) -> None:
        """Whatever is asked for."""
        assert [row.split()[0] for row in rows_of(operator.page("/?q=AUDIT"))] == ["audited"]
        assert [row.split()[0] for row in rows_of(operator.page("/?q=off.example"))] == [
            "unchecked"
        ]
        assert "No subscription has that" in operator.page(f"/?q={quote('<script>')}")


class TestSubscription:
    """One customer."""

    def test_it_says_who_would_be_refused_and_why(self, operator: Operator) -> None:
        """People and integrations; what was found, how often, and what mends it."""
        words = Seen(operator.page("/subscriptions/acme")).words
        assert (
            "2 people are refused. 1 caller without an account or a certificate failed, too."
            in words
        )
        assert "email_mismatch 8 the certificate's email is not the account's" in words
        assert "extauthz accounts set-email" in words
        # On a busy machine, some minutes may have gone by.
        assert re.search(
            r"bob \(person\) Failed (just now|\d+ minutes? ago) 7 7"
            r" issuer_mismatch, email_mismatch",
            words,
        )
        assert "203.0.113.80 (integration, without an account or a certificate)" in words
        assert "python-requests/2.32" in words

    def test_it_tells_who_is_refused_from_who_is_left_out(
        self, world: World, serving: Serving
    ) -> None:
        """`certificate_required_for` demands no certificate of the others yet."""
        text = world.policy.read_text().replace(
            "  audited:\n", "    certificate_required_for: {logins: [bob]}\n  audited:\n", 1
        )
        policy = replace(world.policy.with_name("left-out.yaml"), text)
        with serving(policy) as server:
            operator = operator_of(server)
            connection = server.connect()
            statuses = [
                ask(connection, "acme.example.com", login=login) for login in ("bob", "alice")
            ]
            connection.close()
            assert statuses == [403, 200]
            words = Seen(operator.page("/subscriptions/acme")).words
            assert "1 person is refused, 1 more would be." in words

    def test_it_says_what_it_rests_on(self, operator: Operator) -> None:
        """So that nobody takes an hour for a year."""
        words = Seen(operator.page("/subscriptions/acme")).words
        assert "This rests on all 56 checks in memory, the oldest of 20" in words

    def test_it_shows_certificates_lists_exemptions_and_accounts(self, operator: Operator) -> None:
        """Their state in words, and who uses them."""
        acme = Seen(operator.page("/subscriptions/acme")).words
        for text in (
            "acme-ca.pem Good valid for 3649 days", "40 alice",
            "acme-new-ca.pem Warning expires soon",
            "acme.crl Good", "3 hours ago", "number 7", "in 3 days", "missing.crl Problem",
            "exempt-1 Good until", "build server until it has a certificate",
            "logins ci from 192.0.2.0/24 5 ci", "old-monitoring Problem ended on 2024-01-31",
            "paths /health/* 0 nobody", "Good the policy itself: 2 accounts",
        ):  # fmt: skip
            assert text in acme, text
        audited = Seen(operator.page("/subscriptions/audited")).words
        assert "Good file" in audited
        assert "accounts.csv: 1 account" in audited
        assert "Revocation not checked" in audited

    def test_hosts_of_no_subscription_have_a_page_too(self, operator: Operator) -> None:
        """Somebody comes for a host that the policy does not have."""
        words = Seen(operator.page("/subscriptions/-")).words
        assert "Hosts of no subscription" in words
        assert "subscription_unknown 1" in words

    def test_a_subscription_that_is_not_there_is_not_found(self, operator: Operator) -> None:
        """As in a link that is older than the policy."""
        answer = operator.ask("/subscriptions/nobody")
        assert (answer.status, answer.body) == (
            404, "There is no such subscription in the policy in force.\n",
        )  # fmt: skip


class TestDecisions:
    """The decisions in memory."""

    @pytest.mark.parametrize(
        ("query", "count", "first"),
        [
            ({"subscription": "acme", "outcome": "failed"}, 11, "certificate_missing"),
            ({"subscription": "acme", "outcome": "refused"}, 11, "certificate_missing"),
            ({"subscription": "audited", "outcome": "failed"}, 8, "let pass: audit"),
            ({"subscription": "audited", "outcome": "refused"}, 0, ""),
            ({"outcome": "tolerated"}, 5, "by the exemption exempt-1"),
            ({"subscription": "unchecked"}, 1, "Not checked"),
            ({"subscription": "-"}, 1, "subscription_unknown"),
            ({"reason": "issuer_mismatch"}, 1, "issuer_mismatch"),
            ({"reason": "certificate_missing"}, 8, "certificate_missing"),
            ({"who": "BOB"}, 7, "Refused"),
            ({"who": "robert@acme.example"}, 6, "Refused"),
            ({"who": "ci", "outcome": "tolerated"}, 5, "ci"),
            ({"who": "bob", "outcome": "passed"}, 0, ""),
            ({"request_id": "bob-3"}, 1, "bob"),
            ({"request_id": "bob"}, 0, ""),
            ({"subscription": "nobody"}, 0, ""),
        ],
        ids=str,
    )  # fmt: skip
    def test_they_are_found(
        self, operator: Operator, query: dict[str, str], count: int, first: str
    ) -> None:
        """By subscription, by what was decided, by reason, by who it was, by request id."""
        rows = rows_of(operator.page(f"/decisions?{urlencode(query)}"))
        assert len(rows) == count
        assert not rows or first in rows[0]

    def test_the_newest_come_first_a_page_at_a_time(self, operator: Operator) -> None:
        """Every decision is on one of the pages, and on one alone."""
        seen: list[str] = []
        path = "/decisions"
        while True:
            page = operator.page(path)
            seen += re.findall(r'href="/decisions/[0-9a-f]+-(\d+)"', page)
            older = re.search(r'rel="next" href="([^"]+)"', page)
            if older is None:
                break
            path = older[1].replace("&amp;", "&")
        assert list(map(int, seen)) == list(range(74, 0, -1))

    def test_it_loads_itself_again_where_that_is_asked_for(self, operator: Operator) -> None:
        """By a link, and at the newest alone."""
        refresh = '<meta http-equiv="refresh" content="{}">'
        assert "http-equiv" not in operator.page("/decisions")
        assert refresh.format(5) in operator.page("/decisions?refresh=5&who=bob")
        assert "http-equiv" not in operator.page("/decisions?refresh=1")
        assert "http-equiv" not in operator.page("/decisions?refresh=5&before=40")

    @pytest.mark.parametrize(
        "query", ["reason=nonsense", "outcome=nonsense", f"who={'x' * 257}"], ids=lambda q: q[:20]
    )
    def test_a_question_that_makes_no_sense_is_told(self, operator: Operator, query: str) -> None:
        """And not answered with everything."""
        assert operator.ask(f"/decisions?{query}").status == 400

    @pytest.mark.parametrize("before", ["", "x", "-1", "1e9", "9" * 5000, "٣"])
    def test_a_page_that_is_no_number_is_the_first(self, operator: Operator, before: str) -> None:
        """Whatever stands in its place."""
        page = operator.page(f"/decisions?{urlencode({'before': before})}")
        assert len(rows_of(page)) == 50


class TestDecision:
    """One decision, explained."""

    def test_it_is_explained_check_by_check(self, operator: Operator) -> None:
        """With what was compared, and what mends it."""
        words = Seen(operator.page(decision_of(operator, "bob-3"))).words
        assert "Refused: the certificate's email is not the account's" in words
        assert "Passed 2. It is within its validity period" in words
        assert "Failed 3. It is the account's" in words
        assert (
            "the account has 'bob@acme.example', the certificate ['robert@acme.example']" in words
        )
        assert "What mends it: Mend the address of the account" in words
        assert "GET acme.example.com/mail" in words

    def test_a_decision_that_is_not_in_memory_is_in_the_log(self, operator: Operator) -> None:
        """After a restart, numbers begin anew: a link never shows another decision."""
        path = decision_of(operator, "bob-3")
        run, _, number = path.rpartition("-")
        for other in (
            f"{run}-9999",
            f"{run}-",
            f"{run}0-{number}",
            "/decisions/x",
            "/decisions/-1",
        ):
            answer = operator.ask(other)
            assert answer.status == 404
            assert "extauthz explain REQUEST_ID --log FILE" in answer.body

    def test_it_is_found_by_its_request_id(self, world: World, serving: Serving) -> None:
        """As the page of refusal and the logs have it; where there are several, by the list."""
        with serving(world.policy) as server:
            operator, connection = operator_of(server), server.connect()
            for request_id in ("0bca6b8e-12", "a/b ?", "twice", "twice"):
                ask(connection, "acme.example.com", world.bob, request_id=request_id)
            connection.close()
            for request_id in ("0bca6b8e-12", "a/b ?"):
                answer = operator.ask(f"/decisions/{quote(request_id, safe='')}")
                assert answer.status == 303
                assert answer.headers["location"] == decision_of(operator, request_id)
            answer = operator.ask("/decisions/twice")
            assert answer.status == 303
            assert answer.headers["location"] == "/decisions?request_id=twice"
            assert operator.ask("/decisions/thrice").status == 404
            assert operator.ask(f"/decisions/{'x' * 1000}").status == 404


class TestEveryAnswer:
    """What every answer has in common."""

    def paths(self, operator: Operator) -> list[str]:
        return [
            "/", "/subscriptions/acme", "/subscriptions/audited", "/subscriptions/-", "/decisions",
            "/decisions?outcome=failed", decision_of(operator, "bob-1"),
            *(decision_of(operator, f"hostile-{number}") for number in range(len(HOSTILE))), "/try",
        ]  # fmt: skip

    def test_pages_are_well_formed_and_have_nothing_but_what_we_wrote(
        self, operator: Operator
    ) -> None:
        """No element and no attribute that a certificate, a login or a header brought along."""
        for path in self.paths(operator):
            seen = Seen(operator.page(path))
            assert seen.open == [], path
            assert seen.elements <= ELEMENTS, path
            assert seen.attributes <= ATTRIBUTES, path
            assert len(seen.ids) == len(set(seen.ids)), path
            assert not [link for link in seen.links if not link.startswith(("/", "#"))], path

    def test_hostile_values_are_shown_as_text(self, operator: Operator) -> None:
        """From certificates, logins, user agents and paths, through the whole server."""
        page = operator.page("/decisions?subscription=audited")
        words = Seen(page).words
        for text in HOSTILE[:3]:
            assert text in words
        assert str(7919 * 7907) not in words
        assert "&lt;script&gt;document.title=" in page
        assert "\\u202egnirts\\u202c" in words
        assert (
            "CN=\\<script\\>document.title"
            in Seen(operator.page(decision_of(operator, "hostile-0"))).words
        )

    def test_nothing_turns_the_line_around_or_cannot_be_seen(self, operator: Operator) -> None:
        """Whatever is no printable character is written as an escape."""
        for path in self.paths(operator):
            page = operator.page(path)
            assert TURNED[0] not in page
            assert not [char for char in page if not char.isprintable() and char != "\n"], path

    def test_a_value_of_a_query_is_shown_as_text(self, operator: Operator) -> None:
        """In fields and in links, whatever it is."""
        for text in (*HOSTILE, "%", "\udc80"):
            query = quote(text.encode("utf-8", "surrogateescape")[:200])
            for path in (
                f"/decisions?who={query}&subscription={query}&request_id={query}",
                f"/?q={query}",
                f"/try?host={query}&login={query}&path={query}",
            ):
                answer = operator.ask(path)
                assert answer.status == 200
                seen = Seen(answer.body)
                assert seen.elements <= ELEMENTS
                assert seen.attributes <= ATTRIBUTES

    def test_a_long_name_makes_no_long_page(self, operator: Operator) -> None:
        """Lists show its beginning; the decision has it whole."""
        assert LONG not in operator.page("/decisions?subscription=audited")
        assert LONG[:1_000] in operator.page(decision_of(operator, "hostile-4"))

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/", 200), ("/decisions", 200), ("/try", 200), ("/static/style.css", 200),
            ("/static/icon.svg", 200), ("/healthz", 200), ("/readyz", 200), ("/metrics", 200),
            ("/nothing", 404), ("/static/", 404), ("/static/..%2faccess.py", 404),
            ("/decisions/x", 404), ("/favicon.ico", 404), ("/decisions?reason=x", 400),
        ],
    )  # fmt: skip
    def test_headers_forbid_what_no_page_needs(
        self, operator: Operator, path: str, status: int
    ) -> None:
        """Pages, files, errors: all of them; HEAD says what GET does."""
        answer, head = operator.ask(path), operator.ask(path, "HEAD")
        for each in (answer, head):
            assert each.status == status
            assert each.headers["content-security-policy"] == CSP
            assert each.headers["x-content-type-options"] == "nosniff"
            assert each.headers["referrer-policy"] == "same-origin"
            assert each.headers["cache-control"] == "no-store"
            assert each.headers["cross-origin-resource-policy"] == "same-origin"
            assert each.headers["server"] == "extauthz"
        assert head.body == ""
        assert answer.headers["content-type"] == head.headers["content-type"]
        if status >= 400:
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
    def test_pages_are_for_reading(self, operator: Operator, method: str) -> None:
        """Other methods are answered plainly."""
        answer = operator.ask("/", method)
        assert answer.status == 405
        assert answer.headers["content-security-policy"] == CSP

    def test_no_request_makes_the_server_write_markup(self, operator: Operator) -> None:
        """What aiohttp answers before us repeats nothing."""
        answer = operator.ask("/", Host="<script>alert(1)</script>")
        assert (answer.status, "<script>" in answer.body) == (403, False)
        answer = operator.ask("/", X="x" * 20_000)
        assert answer.status == 400
        assert answer.headers["content-type"].startswith("text/plain")

    def test_a_page_is_recorded_nowhere(self, operator: Operator, server: Server) -> None:
        """It reads, and changes nothing."""
        before = counts(server)
        for path in self.paths(operator):
            operator.page(path)
        assert counts(server) == before


def test_redacted_records_are_shown_as_they_are(world: World, serving: Serving) -> None:
    """On every page: nobody reads there what the log hides. What the form was sent is no secret."""
    key = world.policy.with_name("redaction.key")
    key.write_text("0123456789abcdef0123456789abcdef")
    policy = world.policy.with_name("redacted.yaml")
    hidden = f"decision_log: {{redact: [email, login, client], key: {{file: {key}}}}}\n"
    policy.write_text(hidden + world.policy.read_text())
    with serving(policy) as server:
        make_traffic(server, world)
        operator = operator_of(server)
        paths = ["/decisions", "/subscriptions/acme", decision_of(operator, "bob-1")]
        pages = [operator.page(path) for path in paths]
        body = urlencode({"host": "acme.example.com", "login": "bob", "certificate": world.bob.pem})
        tried = operator.ask(
            "/try", "POST", body=body, Content_Type="application/x-www-form-urlencoded"
        )
    assert tried.status == 200
    for page in pages:
        assert "redacted:" in page
        assert "robert@acme.example" not in page
        assert "198.51.100.7" not in page
    assert "robert@acme.example" in tried.body
    assert "bob@acme.example" not in tried.body


def test_before_the_first_check_the_pages_say_so(world: World, serving: Serving) -> None:
    """No chart fails for having nothing to show; very many subscriptions come by the page."""
    many = world.policy.with_name("many.yaml")
    each = "  s{0:04}: {{hosts: [h{0}.example], mode: {1}, verify_email: false, {2}}}\n"
    signing = "signing_certificates: [acme-ca.pem]"
    modes = ("enforce", "off")
    lines = (each.format(number, modes[number % 2], signing) for number in range(2_000))
    many.write_text("subscriptions:\n" + "".join(lines))
    with serving(many) as server:
        operator = operator_of(server)
        page = operator.page("/?page=20")
        assert "There were no checks." in page
        rows = rows_of(page)
        assert len([row for row in rows if re.match(r"s\d{4} ", row)]) == 100
        assert len([row for row in rows if "Signing certificate" in row]) == 20
        assert "1,980 more are on the pages of their subscriptions" in page
        assert "s1999" in page
        assert len(page) < 200_000
        for asked, shown in (("999", 20), ("-5", 1), ("x", 1), ("9" * 99, 1)):
            assert f"Page {shown} of 20" in operator.page(f"/?page={asked}")
        assert "Nobody came since" in operator.page("/subscriptions/s0000")
        assert "Nothing is checked" in operator.page("/subscriptions/s0001")
        assert "No decision in memory is like that" in operator.page("/decisions")

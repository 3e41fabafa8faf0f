"""The admin listener's door, from outside: a real server with each way to let people in."""

import os
import re
import socket
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.admin.conftest import Operator, Serving, operator_of
from tests.admin.traffic import World
from tests.cli.conftest import Run, Server, extauthz_here

__all__ = ["extauthz_here"]

WORD = "a-token-for-the-tests-0123456789"
FORM = "application/x-www-form-urlencoded"
HTML = "text/html,*/*;q=0.8"
PAGES = ["/", "/decisions", "/subscriptions/acme", "/try", "/decisions/x-1", "/nothing"]


def own_address() -> str:
    """An address of this machine that is not loopback; connections to it come from it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


def from_outside(server: Server, path: str = "/", method: str = "GET", **headers: str) -> int:
    port = operator_of(server).where.rpartition(":")[2]
    return Operator(f"{own_address()}:{port}").ask(path, method, **headers).status


def raw(operator: Operator, octets: bytes, *, reset: bool = False) -> None:
    """Send octets and go away."""
    host, _, port = operator.where.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(octets)
        if reset:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


class TestLoopback:
    """As it is unless told otherwise."""

    def test_pages_are_there_for_this_machine_by_its_own_names(self, operator: Operator) -> None:
        """A name that a web site points here is not one of them."""
        port = operator.where.rpartition(":")[2]
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "localhost"):
            assert operator.ask("/", Host=host).status == 200
        for host in ("attacker.example", f"localhost.attacker.example:{port}", "192.0.2.1"):
            answer = operator.ask("/", Host=host)
            assert answer.status == 403
            assert "--admin-host" in answer.body

    def test_what_machines_ask_is_open_by_any_name(self, operator: Operator) -> None:
        """Envoy's health check has a Host of its own."""
        for path in ("/healthz", "/readyz", "/metrics"):
            assert operator.ask(path, Host="extauthz").status == 200

    def test_no_header_says_where_a_request_comes_from(self, operator: Operator) -> None:
        """Neither to let somebody in nor to keep somebody out."""
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host"):
            assert operator.ask("/", Host="attacker.example", **{name: "127.0.0.1"}).status == 403
            assert operator.ask("/", **{name: "203.0.113.1"}).status == 200

    def test_another_site_cannot_make_a_page_a_part_of_itself(self, operator: Operator) -> None:
        """Following a link from there is fine."""
        from_there = {"Sec_Fetch_Site": "cross-site"}
        assert operator.ask("/", Sec_Fetch_Mode="no-cors", **from_there).status == 403
        assert operator.ask("/", Sec_Fetch_Mode="navigate", **from_there).status == 200

    @pytest.mark.parametrize("path", ["/", "/decisions", "/try", "/static/style.css", "/healthz"])
    def test_an_envoy_that_asks_here_by_mistake_is_told_no(
        self, operator: Operator, path: str
    ) -> None:
        """Each answer of 200 would be an allow: whatever host the client says."""
        for field in ("x_extauthz_client_address", "X_Extauthz_Body_Limit"):
            for host in ("localhost", "acme.example.com"):
                answer = operator.ask(path, Host=host, **{field: "203.0.113.9"})
                assert answer.status == 403
        if path != "/healthz":
            assert operator.ask(path, Host="acme.example.com").status == 403

    def test_there_is_nothing_to_log_in_to(self, operator: Operator) -> None:
        """Without a token."""
        assert operator.ask("/login").status == 404
        assert operator.ask("/login", "POST", body="token=x", Content_Type=FORM).status == 404
        assert "Log out" not in operator.page("/")


class TestBeyondLoopback:
    """Bound to every address, as in a container."""

    def test_without_a_token_pages_are_closed_and_that_is_said(
        self, world: World, serving: Serving
    ) -> None:
        """To the log, and to whoever comes; /metrics and the like stay open."""
        with serving(world.policy, "--admin", "0.0.0.0:0") as server:
            server.said("the admin pages on .* are closed to all but this machine")
            for path in PAGES:
                assert from_outside(server, path) == 403
                assert from_outside(server, path, Host="localhost") == 403
                assert from_outside(server, path, X_Forwarded_For="127.0.0.1") == 403
            for path in ("/healthz", "/readyz", "/metrics"):
                assert from_outside(server, path) == 200
            assert from_outside(server, "/static/style.css") == 403
            assert from_outside(server, "/login") == 403
            assert operator_of(server).ask("/").status == 200

    def test_a_proxy_that_is_named_may_come(self, world: World, serving: Serving) -> None:
        """By the names that are given; nobody else of the network."""
        address = own_address()
        options = ("--admin-from", address, "--admin-host", "admin.example.com")
        with serving(world.policy, "--admin", "0.0.0.0:0", *options) as server:
            assert from_outside(server, Host="admin.example.com") == 200
            assert from_outside(server, Host="Admin.Example.Com:9001") == 200
            assert from_outside(server, Host="attacker.example") == 403
            assert "closed" not in server.stderr


class TestToken:
    """With a token, which opens the pages from anywhere."""

    @pytest.fixture(scope="class")
    def guarded(
        self, world: World, serving: Serving, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Server]:
        file = tmp_path_factory.mktemp("token") / "token"
        file.write_text(WORD + "\n")
        options = ("--admin-token-file", str(file))
        with serving(world.policy, "--admin", "0.0.0.0:0", *options) as server:
            yield server

    @pytest.fixture
    def operator(self, guarded: Server) -> Operator:
        return operator_of(guarded)

    def test_it_opens_every_page_from_anywhere(self, guarded: Server, operator: Operator) -> None:
        """As Bearer."""
        shown = {"Authorization": f"Bearer {WORD}"}
        for path in ("/", "/decisions", "/subscriptions/acme", "/try"):
            assert operator.ask(path, **shown).status == 200
            assert from_outside(guarded, path, **shown) == 200
            assert from_outside(guarded, path, Host="any.example", **shown) == 200

    def test_nobody_comes_in_without_it(self, guarded: Server, operator: Operator) -> None:
        """Loopback neither; whether a page is there is not told."""
        for path in PAGES:
            assert from_outside(guarded, path) == 401
            answer = operator.ask(path)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="extauthz"'
            assert "Authorization: Bearer" in answer.body
            assert operator.ask(path, Cookie="extauthz_admin=x").status == 401
            assert operator.ask(path, Cookie=f"extauthz_admin={WORD}").status == 401
        for path in ("/healthz", "/readyz", "/metrics"):
            assert from_outside(guarded, path) == 200

    def test_a_browser_logs_in_goes_on_and_logs_out(self, operator: Operator) -> None:
        """It keeps a value that is not the token, which ends with the logout."""
        asked = operator.ask("/decisions?who=bob", Accept=HTML)
        assert asked.status == 401
        assert 'name="next" value="/decisions?who=bob"' in asked.body
        assert 'type="password"' in asked.body
        assert operator.ask("/static/style.css").status == 200

        body = urlencode({"token": WORD, "next": "/decisions?who=bob"})
        answer = operator.ask("/login", "POST", body=body, Content_Type=FORM)
        assert (answer.status, answer.headers["location"]) == (303, "/decisions?who=bob")
        cookie = answer.headers["set-cookie"]
        assert re.fullmatch(
            r"extauthz_admin=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=Strict",
            cookie,
        )
        login = cookie.partition(";")[0]
        assert WORD not in cookie
        page = operator.ask("/decisions?who=bob", Cookie=login)
        assert page.status == 200
        assert "Log out" in page.body

        for origin in ("http://attacker.example", "null"):
            assert operator.ask("/logout", "POST", Cookie=login, Origin=origin).status == 403
        assert operator.ask("/logout", "GET", Cookie=login).status == 405
        assert operator.ask("/", Cookie=login).status == 200
        answer = operator.ask("/logout", "POST", Cookie=login)
        assert (answer.status, answer.headers["location"]) == (303, "/")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert operator.ask("/", Cookie=login).status == 401

    @pytest.mark.parametrize(
        "place",
        [
            "https://attacker.example/", "//attacker.example", "/\\attacker.example",
            "javascript:x", "/\tx", "/a\r\nSet-Cookie: x=y", "", "decisions",
            '/"><script>', "/" + "x" * 3_000,
            "/login", "/logout",
        ],
    )  # fmt: skip
    def test_a_login_leads_nowhere_else(self, operator: Operator, place: str) -> None:
        """Whatever the link says that led to it."""
        body = urlencode({"token": WORD, "next": place})
        answer = operator.ask("/login", "POST", body=body, Content_Type=FORM)
        assert (answer.status, answer.headers["location"]) == (303, "/")
        asked = operator.ask(f"/login?{urlencode({'next': place})}", Accept=HTML)
        assert 'name="next" value="/"' in asked.body

    def test_wrong_tokens_are_throttled(self, world: World, serving: Serving) -> None:
        """By address, however they are shown; one who is logged in does not notice."""
        with serving(world.policy, "--admin-token-file", str(_file(world, WORD))) as server:
            operator = operator_of(server)
            body = urlencode({"token": WORD})
            answer = operator.ask("/login", "POST", body=body, Content_Type=FORM)
            login = answer.headers["set-cookie"].partition(";")[0]
            for number in range(5):
                if number % 2:
                    assert operator.ask("/", Authorization="Bearer wrong").status == 401
                else:
                    wrong = urlencode({"token": "wrong", "next": "/try"})
                    answer = operator.ask(
                        "/login", "POST", body=wrong, Content_Type=FORM, Accept=HTML
                    )
                    assert answer.status == 403
                    assert "This is not the token." in answer.body
                    assert 'name="next" value="/try"' in answer.body
            for answer in (
                operator.ask("/", Authorization=f"Bearer {WORD}"),
                operator.ask("/login", "POST", body=body, Content_Type=FORM),
            ):
                assert answer.status == 429
                assert 0 < int(answer.headers["retry-after"]) <= 60
            assert operator.ask("/", Cookie=login).status == 200
            assert operator.ask("/metrics").status == 200
            server.said("a wrong token from 127.0.0.1")
            assert WORD not in server.stderr

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [("text/plain", "token=x"), ("multipart/form-data; boundary=x", ""), (FORM, "a=b&" * 99)],
        ids=["text", "no parts", "many fields"],
    )
    def test_what_is_no_form_is_refused(
        self, guarded: Server, operator: Operator, content_type: str, body: str
    ) -> None:
        """Nobody fills the log with failures of ours."""
        answer = operator.ask("/login", "POST", body=body, Content_Type=content_type)
        assert answer.status == 400
        assert "bug" not in guarded.stderr

    def test_a_body_that_breaks_off_is_no_failure_of_ours(
        self, guarded: Server, operator: Operator
    ) -> None:
        """Nor one that is said to be compressed: it is not unpacked."""
        head = (
            "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 9\r\n"
        )
        raw(operator, (head % FORM).encode() + b"\r\nabc")
        answer = operator.ask(
            "/login", "POST", body="abcde", Content_Type=FORM, Content_Encoding="gzip"
        )
        assert answer.status == 403
        assert "bug" not in guarded.stderr

    def test_a_few_octets_do_not_keep_the_server_busy(
        self, guarded: Server, operator: Operator
    ) -> None:
        """As what unpacks to gigabytes would, for seconds, however busy the machine is besides."""
        packing = zlib.compressobj(9, wbits=31)
        packed = b"".join(packing.compress(bytes(1_000_000)) for _ in range(400)) + packing.flush()
        before = guarded.metric("process_cpu_seconds_total")
        for _ in range(3):
            answer = operator.ask("/login", "POST", body=packed, Content_Encoding="gzip")
            assert answer.status == 413
        assert guarded.metric("process_cpu_seconds_total") - before < 1

    def test_a_connection_that_was_reset_is_no_unix_socket(
        self, world: World, serving: Serving
    ) -> None:
        """Of either, uvloop has no address; whoever reset it comes in nowhere."""
        body = urlencode({"token": "wrong"}).encode()
        head = (
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\n"
            b"Content-Length: %d\r\n\r\n"
        )
        with serving(world.policy, "--admin-token-file", str(_file(world, WORD))) as server:
            for _ in range(100):
                raw(operator_of(server), head % (FORM.encode(), len(body)) + body, reset=True)
            assert operator_of(server).ask("/healthz").status == 200
            assert "a Unix socket" not in server.stderr

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("short", "it has 5 characters, and should have 20 or more"),
            ("", "it has 0 characters"),
            ("two words are no token in HTTP", "write one word"),
            (None, "cannot be read: No such file or directory"),
        ],
    )
    def test_a_server_does_not_start_with_one_that_will_not_do(
        self, world: World, extauthz_here: Run, tmp_path: Path, text: str | None, told: str
    ) -> None:
        """And says why, without repeating it."""
        file = tmp_path / "token"
        if text is not None:
            file.write_text(text)
        done = extauthz_here("serve", "--policy", world.policy, "--admin-token-file", file)
        assert done.returncode == 1
        assert told in done.stderr
        assert str(file) in done.stderr
        assert not text or text not in done.stderr.replace(str(file), "")


class TestOptions:
    """What is wrong on the command line is told there."""

    @pytest.mark.parametrize(
        ("option", "value", "told"),
        [
            ("--admin-from", "10.0.0.1/8", "has host bits set"),
            ("--admin-from", "envoy", "does not appear to be an IPv4 or IPv6 network"),
            ("--admin-host", "http://admin.example.com/", "is no host name"),
            ("--admin-host", "admin.example.com:9001", "without a port"),
        ],
    )
    def test_it_is_told(
        self, world: World, extauthz_here: Run, option: str, value: str, told: str
    ) -> None:
        """With the option's name."""
        done = extauthz_here("serve", "--policy", world.policy, option, value)
        assert done.returncode == 2
        assert option in done.stderr
        assert told in done.stderr


def test_over_a_unix_socket_pages_need_no_token(
    world: World, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may connect is said by its file mode; the token of the environment is for others."""
    environment = {**os.environ, "EXTAUTHZ_ADMIN_TOKEN": WORD}
    monkeypatch.setattr("tests.cli.conftest.ENVIRONMENT", environment)
    path = world.policy.with_name("admin.sock")
    with serving(world.policy, "--admin", f"unix:{path}") as server:
        operator = operator_of(server)
        assert operator.where == f"unix:{path}"
        assert operator.ask("/").status == 200
        assert operator.ask("/", Host="acme.example.com").status == 401
        assert operator.ask("/login", Accept=HTML).status == 200
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def _file(world: World, token: str) -> Path:
    file = world.policy.with_name("token")
    file.write_text(token)
    return file

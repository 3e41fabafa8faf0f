"""What Envoy makes of the login sources of a policy, with the configuration that we write.

extauthz believes what stands here: which field says that a body was handed over and whole, that a
field which names a user is no client's, that a service gets what it would have got.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from extauthz.demo.envoy import place
from extauthz.envoyconfig.needs import MAX_BODY_OCTETS, Needs
from extauthz.envoyconfig.weave import weave
from tests.wire.envoy_process import (
    OK,
    PATIENCE,
    TEMPLATE,
    Message,
    Wire,
    ask_http2,
    client_context,
    make_certificates,
    running_envoy,
    serving,
)
from tests.wire.test_envoy_config import World, placement, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = ec.generate_private_key(ec.SECP256R1())


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def jwks() -> str:
    numbers = KEY.public_key().public_numbers()
    x, y = (base64url(number.to_bytes(32)) for number in (numbers.x, numbers.y))
    return json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y}]})


def token(**claims: object) -> str:
    """A token of the provider, which holds for longer than any run of the tests."""
    usual = {"iss": "https://login.example.com", "aud": "service", "exp": time.time() + 86_400}
    parts = ({"alg": "ES256"}, usual | claims)
    signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    r, s = decode_dss_signature(KEY.sign(signed.encode(), ec.ECDSA(SHA256())))
    return f"{signed}.{base64url(r.to_bytes(32) + s.to_bytes(32))}"


# As docs/logins.md has it.
JWT_AUTHN = """\
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                login:
                  issuer: https://login.example.com
                  audiences: [service]
                  local_jwks: {filename: /certs/jwks.json}
                  # The service still gets the token.
                  forward: true
                  forward_payload_header: x-jwt-payload
              rules:
              - match: {prefix: /}
                requires:
                  requires_any:
                    requirements:
                    - {provider_name: login}
                    # Who has none may log in otherwise; a token that is not valid is a 401.
                    - {allow_missing: {}}
"""  # noqa: E501
# In place of whatever knows who logs in.
LUA = """\
          - name: envoy.filters.http.lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  function envoy_on_request(handle)
                    local who = handle:headers():get("x-who")
                    if who then handle:headers():add("x-user", who) end
                  end
"""
# A route of the user's: its login is elsewhere, and it waits for no one.
ROUTE = """\
              - match: {prefix: /hasty}
                route: {cluster: service, prefix_rewrite: /elsewhere, idle_timeout: 2s}
"""
NEEDS = Needs(
    fields=("x-jwt-payload", "x-user"), payload_fields=("x-jwt-payload",),
    body_paths=("/hasty/login", "/login", "/caf%C3%A9/" + "long" * 20), has_sessions=True,
)  # fmt: skip


def configuration() -> str:
    """The project's configuration with a user's own additions, and what the policy needs."""
    text = TEMPLATE.read_text()
    for anchor, addition in {
        "              - match: {prefix: /}\n": ROUTE,
        "          - name: envoy.filters.http.ext_authz\n": JWT_AUTHN + LUA,
    }.items():
        assert text.count(anchor) == 1
        text = text.replace(anchor, addition + anchor)
    woven = weave(text, NEEDS)
    assert not woven.by_hand
    return woven.text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("envoy")
    make_certificates(directory)
    (directory / "jwks.json").write_text(jwks())
    async with serving() as authorizer, serving() as admin, serving() as service:
        where = placement(
            directory, check=authorizer.address, admin=admin.address, service=service.address
        )
        config = place(configuration(), where)
        async with running_envoy(where, directory, config=config) as envoy:
            yield World(envoy, authorizer, admin, service, directory)


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: World) -> AsyncIterator[World]:
    """The Envoy of all tests here, with everybody as they are by default."""
    for server in (shared.authorizer, shared.admin, shared.service):
        server.answer = OK
        server.received.clear()
    yield shared
    shared.hang_up()


MARK = "x-envoy-auth-partial-body"
LIMIT = "x-extauthz-body-limit"
BODY = b"user=alice&password=x"
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = b"5\r\nuser=\r\n10\r\nalice&password=x\r\n0\r\n\r\n"
POST = "POST /login HTTP/1.1"


async def exchange(world: World, octets: bytes) -> tuple[Message, Message]:
    """A request's check, and the request as the service got it."""
    response = await (await world.connect()).ask(octets)
    assert response.line == "HTTP/1.1 200 OK"
    (check,), (served,) = world.authorizer.received, world.service.received
    return check, served


async def over_http2(
    world: World, *fields: tuple[str, str], path: str = "/login", body: bytes = b""
) -> Message:
    """The check of a request over HTTP/2."""
    pseudo = {":method": "POST", ":scheme": "https", ":authority": "service.example", ":path": path}
    every = [*pseudo.items(), *fields]
    response = await ask_http2(
        world.envoy.port,
        client_context(world.certificates),
        [(name.encode(), value.encode()) for name, value in every],
        body,
    )
    assert (b":status", b"200") in response.fields
    (check,) = world.authorizer.received
    return check


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


class TestBody:
    """At the paths of logins, and only there, a check has the body."""

    @pytest.mark.parametrize(("octets", "body"), [
        (request(LENGTH, line=POST) + BODY, BODY),
        (request("Transfer-Encoding: chunked", line=POST) + CHUNKED, BODY),
        (request("Transfer-Encoding: chunked", line=POST) + b"0\r\n\r\n", b""),
        (request(LENGTH, line="GET /login HTTP/1.1") + BODY, BODY),
        (request(LENGTH, line="DELETE /login?a=b HTTP/1.1") + BODY, BODY),
        (request("Content-Length: 5", line=POST) + b"\xff\xfe\x00\xe9!", b"\xff\xfe\x00\xe9!"),
        (request(LENGTH, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings",
                 "HTTP2-Settings: AAMAAABk", line=POST) + BODY, BODY),
    ], ids=["length", "chunked", "empty", "GET", "DELETE", "octets", "h2c"])  # fmt: skip
    async def test_is_handed_over(self, world: World, octets: bytes, body: bytes) -> None:
        """A body is in the check octet by octet, marked as whole, and the service gets it too."""
        check, served = await exchange(world, octets)
        assert (check.values(MARK), check.values(LIMIT)) == (["false"], [str(MAX_BODY_OCTETS)])
        assert (check.body, served.body) == (body, body)
        assert check.values("content-length") == [str(len(body))]

    @pytest.mark.parametrize("fields", [(), (("content-length", str(len(BODY))),)])
    async def test_is_handed_over_from_http2(
        self, world: World, fields: tuple[tuple[str, str], ...]
    ) -> None:
        """Over HTTP/2 no field has to say that there is one."""
        check = await over_http2(world, *fields, body=BODY)
        assert (check.values(MARK), check.values(LIMIT)) == (["false"], [str(MAX_BODY_OCTETS)])
        assert check.body == world.service.received[0].body == BODY

    @pytest.mark.parametrize("octets", [
        request(line="GET /login HTTP/1.1"), request(line=POST),
        request("Content-Length: 0", line=POST), request(f"{MARK}: false", line=POST),
        request(f"{LIMIT}: 1", line=POST),
    ], ids=["GET", "POST", "length", "mark forged", "limit forged"])  # fmt: skip
    async def test_is_not_there(self, world: World, octets: bytes) -> None:
        """Without a body there is no mark, which the client cannot write; the limit is Envoy's."""
        check, _ = await exchange(world, octets)
        assert (check.values(MARK), check.values(LIMIT)) == ([], [str(MAX_BODY_OCTETS)])
        assert check.body == b""

    async def test_is_not_there_from_http2(self, world: World) -> None:
        """Over HTTP/2 neither."""
        check = await over_http2(world, (MARK, "false"), (LIMIT, "1"))
        assert (check.values(MARK), check.values(LIMIT)) == ([], [str(MAX_BODY_OCTETS)])

    @pytest.mark.parametrize("fields", [(), (f"{MARK}: false",), (f"{LIMIT}: 1",) * 2])
    @pytest.mark.parametrize("path", ["/", "/other", "/logins", "/login/x", "/x/login"])
    async def test_is_not_handed_over_elsewhere(
        self, world: World, path: str, fields: tuple[str, ...]
    ) -> None:
        """At other paths the check has no body, and neither mark nor limit, whoever writes them."""
        octets = request(LENGTH, *fields, line=f"POST {path} HTTP/1.1") + BODY
        check, served = await exchange(world, octets)
        assert (check.values(MARK), check.values(LIMIT), check.body) == ([], [], b"")
        assert served.body == BODY
        assert served.values(LIMIT) == []

    async def test_is_not_waited_for_elsewhere(self, world: World) -> None:
        """At other paths the service is asked while the body is still to come."""
        wire = await world.connect()
        await wire.send(request(LENGTH, line="POST /upload HTTP/1.1"))
        await eventually(lambda: bool(world.service.received))
        assert (await wire.ask(BODY)).line == "HTTP/1.1 200 OK"

    @pytest.mark.parametrize("path", [
        "/login?a=/other", "/LogIn", "/login/", "/login;a=b", "/login/;a", "//login", "/./login",
        "/x/../login", "/log%69n", "/login/.", "/login//", "/caf%c3%a9/" + "lOng" * 20 + "/",
        "/hasty/login",
    ])  # fmt: skip
    async def test_other_spellings(self, world: World, path: str) -> None:
        """What services take for the same path is the same path."""
        octets = request(LENGTH, line=f"POST {path} HTTP/1.1") + BODY
        check, _ = await exchange(world, octets)
        assert (check.values(MARK), check.values(LIMIT)) == (["false"], [str(MAX_BODY_OCTETS)])

    @pytest.mark.parametrize("path", ["/login%20", "/login%3B", "/log%C4%B1n", "/a;b/../login%2E"])
    async def test_spellings_that_are_left(self, world: World, path: str) -> None:
        """Of spellings beyond that a check does not say that a body was handed over."""
        octets = request(LENGTH, line=f"POST {path} HTTP/1.1") + BODY
        check, _ = await exchange(world, octets)
        assert (check.values(MARK), check.values(LIMIT)) == ([], [])

    async def test_the_route_is_the_same(self, world: World) -> None:
        """A login goes where its route leads."""
        octets = request(LENGTH, line="POST /hasty/login HTTP/1.1") + BODY
        check, served = await exchange(world, octets)
        assert check.line == "POST /check/hasty/login HTTP/1.1"
        assert served.line == "POST /elsewhere/login HTTP/1.1"

    async def test_expect(self, world: World) -> None:
        """Envoy waits for a body that the client holds back, and passes one that is sent anyway."""
        wire = await world.connect()
        await wire.send(request(LENGTH, "Expect: 100-continue", line=POST))
        await asyncio.sleep(0.1)
        assert not world.authorizer.received
        assert (await wire.ask(BODY)).line == "HTTP/1.1 200 OK"
        assert world.authorizer.received[0].body == world.service.received[0].body == BODY

    async def test_never_ends(self, world: World) -> None:
        """A body that stops coming is a 408 after a while, and nobody is asked."""
        wire = await world.connect()
        response = await wire.ask(request(LENGTH, line="POST /hasty/login HTTP/1.1") + BODY[:-1])
        assert response.line == "HTTP/1.1 408 Request Timeout"
        assert not world.authorizer.received

    @pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "websocket, x"])
    @pytest.mark.parametrize("line", ["GET /login HTTP/1.1", "POST /login HTTP/1.1"])
    async def test_upgrade(self, world: World, line: str, upgrade: str) -> None:
        """An upgrade, whose body Envoy would not hand over, is turned away at a login."""
        wire = await world.connect()
        fields = (f"Upgrade: {upgrade}", "Connection: keep-alive, Upgrade", LENGTH)
        assert (await wire.ask(request(*fields, line=line) + BODY)).line == "HTTP/1.1 403 Forbidden"
        assert not world.authorizer.received
        assert not world.service.received

    async def test_upgrade_elsewhere(self, world: World) -> None:
        """Elsewhere WebSocket works."""
        world.service.answer = (
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        fields = ("Upgrade: websocket", "Connection: Upgrade")
        response = await world.ask(*fields, line="GET /other HTTP/1.1")
        assert response.line.split()[1] == "101"


class TestSize:
    """Where Envoy stops handing over, and what it says then."""

    @pytest.mark.parametrize("size", [32768, 32769, MAX_BODY_OCTETS - 1])
    async def test_whole(self, world: World, size: int) -> None:
        """A body below the limit is whole, though it is more than a connection's buffer."""
        octets = request(f"Content-Length: {size}", line=POST) + b"a" * size
        check, served = await exchange(world, octets)
        assert check.values(MARK) == ["false"]
        assert len(check.body) == len(served.body) == size

    @pytest.mark.parametrize("size", [MAX_BODY_OCTETS + 1, 2 * MAX_BODY_OCTETS, 10**6])
    async def test_larger(self, world: World, size: int) -> None:
        """Of a larger body the check has the beginning, and the service has all of it."""
        octets = request(f"Content-Length: {size}", line=POST) + b"a" * (size - 1) + b"z"
        check, served = await exchange(world, octets)
        assert len(check.body) == MAX_BODY_OCTETS
        assert served.body == b"a" * (size - 1) + b"z"

    async def test_larger_from_http2(self, world: World) -> None:
        """Over HTTP/2 as well."""
        check = await over_http2(world, body=b"a" * 10**6)
        assert len(check.body) == MAX_BODY_OCTETS
        assert world.service.received[0].body == b"a" * 10**6

    async def test_the_mark_lies_at_the_limit(self, world: World) -> None:
        """A body of the limit's length is said to be whole, although more of it is to come."""
        wire, checks = await world.connect(), world.authorizer.received
        head = request(f"Content-Length: {MAX_BODY_OCTETS + 12}", line=POST)
        await wire.send(head + b"a" * MAX_BODY_OCTETS)
        await eventually(lambda: bool(checks and checks[0].body))
        (check,) = checks
        assert (check.values(MARK), len(check.body)) == (["false"], MAX_BODY_OCTETS)
        assert (await wire.ask(b"&user=victim")).line == "HTTP/1.1 200 OK"
        assert world.service.received[0].body.endswith(b"a&user=victim")

    @pytest.mark.parametrize("size", [10, MAX_BODY_OCTETS + 1, 10**6])
    async def test_refused(self, world: World, size: int) -> None:
        """The service gets nothing of a login that is refused, however large it is."""
        world.authorizer.answer = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
        wire = await world.connect()
        wire.writer.write(request(f"Content-Length: {size}", line=POST) + b"a" * size)
        assert (await wire.message()).line == "HTTP/1.1 403 Forbidden"
        assert not world.service.received


class TestFields:
    """Fields that say who logs in come from a filter, and from nobody else."""

    @pytest.mark.parametrize("name", ["X-User", "x-jwt-payload"])
    @pytest.mark.parametrize("more", [(), ("Connection: x-user, x-jwt-payload",)])
    async def test_a_client_sends_it(self, world: World, name: str, more: tuple[str, ...]) -> None:
        """What a client writes there reaches neither extauthz nor the service."""
        check, served = await world.allowed(f"{name}: evil", f"{name.upper()}: evil", *more)
        assert check.values(name.lower()) == served.values(name.lower()) == []

    async def test_a_client_sends_it_over_http2(self, world: World) -> None:
        """Over HTTP/2 neither."""
        names = ("x-user", "x-jwt-payload")
        check = await over_http2(world, *((name, "evil") for name in names * 2))
        (served,) = world.service.received
        assert [message.values(name) for message in (check, served) for name in names] == [[]] * 4

    @pytest.mark.parametrize("more", [(), ("Connection: x-user",)])
    async def test_a_filter_sets_it(self, world: World, more: tuple[str, ...]) -> None:
        """What a filter writes is what extauthz gets, and there is no other beside it."""
        check, _ = await world.allowed("X-User: evil", "X-Who: alice", *more)
        assert check.values("x-user") == ["alice"]

    @pytest.mark.parametrize("forged", [(), ("X-Jwt-Payload: evil",) * 2])
    async def test_a_token(self, world: World, forged: tuple[str, ...]) -> None:
        """A token's payload is in the check, in base64url, when Envoy has verified it."""
        bearer = f"Bearer {token(sub='alice')}"
        check, served = await world.allowed(f"Authorization: {bearer}", *forged)
        (payload,) = check.values("x-jwt-payload")
        padded = payload + "=" * (-len(payload) % 4)
        assert json.loads(base64.urlsafe_b64decode(padded))["sub"] == "alice"
        assert check.values("authorization") == served.values("authorization") == [bearer]

    @pytest.mark.parametrize("credentials", [
        f"Bearer {token(iss='https://other.example')}", f"Bearer {token(exp=1)}", "Bearer x",
        f"Bearer {token(sub='alice').rpartition('.')[0]}.{base64url(bytes(64))}",
    ], ids=["issuer", "expired", "no token", "signature"])  # fmt: skip
    async def test_a_bad_token(self, world: World, credentials: str) -> None:
        """A token that does not verify is Envoy's to refuse."""
        response = await world.ask(f"Authorization: {credentials}")
        assert response.line == "HTTP/1.1 401 Unauthorized"
        assert not world.authorizer.received

    async def test_no_token(self, world: World) -> None:
        """Who has none gets as far as the check, which has no payload."""
        check, _ = await world.allowed("Authorization: Basic YTpi")
        assert check.values("x-jwt-payload") == []
        assert check.values("authorization") == ["Basic YTpi"]


class TestJoined:
    """A field that stands twice is one field of a check, and commas tell of it."""

    async def test_cookies(self, world: World) -> None:
        """Two Cookie fields, which RFC 6265 does not allow, are joined by a comma."""
        check, served = await world.allowed("Cookie: a=b; sid=1", "Cookie: sid=2")
        assert check.values("cookie") == ["a=b; sid=1,sid=2"]
        assert served.values("cookie") == ["a=b; sid=1", "sid=2"]

    async def test_cookies_over_http2(self, world: World) -> None:
        """Over HTTP/2, which allows it (RFC 9113 8.2.3), by a semicolon, for the service too."""
        check = await over_http2(world, ("cookie", "a=b"), ("cookie", "sid=1"), ("cookie", "c=d"))
        (served,) = world.service.received
        assert check.values("cookie") == served.values("cookie") == ["a=b; sid=1; c=d"]

    async def test_media_types(self, world: World) -> None:
        """A second Content-Type can be seen, and so can a second Content-Encoding."""
        types = ("Content-Type: application/json", "Content-Type: text/plain")
        check, _ = await world.allowed(*types, "Content-Encoding: gzip", "Content-Encoding: br")
        assert check.values("content-type") == ["application/json,text/plain"]
        assert check.values("content-encoding") == ["gzip,br"]


async def test_extauthz_is_gone(world: World) -> None:
    """A login that cannot be checked is refused like everything else."""

    async def gone(_: Message, wire: Wire) -> None:
        wire.abort()

    world.authorizer.answer = gone
    wire = await world.connect()
    response = await wire.ask(request(LENGTH, line=POST) + BODY)
    assert response.line == "HTTP/1.1 403 Forbidden"
    assert response.body == b"Invalid user credentials\n"
    assert not world.service.received

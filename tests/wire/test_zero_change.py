"""The service notices nothing: what reaches it with ext_authz is what reaches it without.

Two Envoys stand before one service, alike but for the ext_authz filter. Each request goes through
both, and what the service got is compared octet by octet; so is what the client got back.

What may differ is the value of X-Request-ID, which is new for every request, and where a body is
cut into chunks, which is up to the moment at which its parts arrive. Compared with a service that
nothing stands before, Envoy itself adds X-Forwarded-For, X-Forwarded-Proto and X-Request-ID; a
test says so, and that it is all. (A connection from loopback is forwarded for an address of the
machine's own that Envoy chooses: the same one in both cases.)
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
import yaml

from extauthz.demo.envoy import Placement, place
from tests.ports import LOOPBACK, free_port
from tests.wire.envoy_process import (
    OK,
    PATIENCE,
    TEMPLATE,
    Envoy,
    Fields,
    Message,
    Server,
    Wire,
    ask_http2,
    client_context,
    make_certificates,
    running_envoy,
    serving,
    without_id,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")

MEGABYTE = 2**20


def without_ext_authz(config: str) -> str:
    """The same configuration, but nobody is asked."""
    tree: dict[str, Any] = yaml.safe_load(config)
    (listener,) = tree["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    filters = chain["filters"][0]["typed_config"]["http_filters"]
    names = [entry["name"] for entry in filters]
    del filters[names.index("envoy.filters.http.ext_authz")]
    return yaml.safe_dump(tree, sort_keys=False)


@dataclass(slots=True)
class Pair:
    """The two ways to the service."""

    guarded: Envoy
    bare: Envoy
    authorizer: Server
    service: Server
    certificates: Path
    opened: list[Wire] = field(default_factory=list)

    async def connect(self, envoy: Envoy) -> Wire:
        wire = await Wire.to(envoy.port, client_context(self.certificates))
        self.opened.append(wire)
        return wire

    async def compare(self, act: Callable[[Envoy], Awaitable[T]]) -> tuple[Message, T]:
        """Do the same through both Envoys.

        Says what the service got and what the client got, which was the same both times.
        """
        outcomes = []
        for envoy, checks in ((self.guarded, 1), (self.bare, 0)):
            self.authorizer.received.clear()
            self.service.received.clear()
            seen = await act(envoy)
            assert len(self.authorizer.received) == checks
            (served,) = self.service.received
            outcomes.append((served, seen))
        (with_check, seen), (without, seen_without) = outcomes
        assert without_id(with_check) == without_id(without)
        assert (with_check.body, with_check.trailers) == (without.body, without.trailers)
        assert seen == seen_without
        return with_check, seen

    async def send(self, *parts: bytes) -> tuple[Message, Message]:
        """Compare one HTTP/1.1 request; the request and the response."""

        async def act(envoy: Envoy) -> Message:
            wire = await self.connect(envoy)
            for part in parts:
                await wire.send(part)
            return await wire.message()

        return await self.compare(act)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    directory = tmp_path_factory.mktemp("envoys")
    make_certificates(directory)
    async with serving() as authorizer, serving() as admin, serving() as service:

        def placement() -> Placement:
            listen = (LOOPBACK, free_port())
            return Placement(listen, authorizer.address, admin.address, service.address, directory)

        guarded, bare = placement(), placement()
        config = without_ext_authz(place(TEMPLATE.read_text(), bare))
        async with (
            running_envoy(guarded, directory) as one,
            running_envoy(bare, directory, config=config) as other,
        ):
            yield Pair(one, other, authorizer, service, directory)


@pytest_asyncio.fixture(loop_scope="module")
async def pair(shared: Pair) -> AsyncIterator[Pair]:
    # The allow is a talkative one: nothing of it may be seen on either side.
    shared.authorizer.answer = OK.replace(
        b"\r\n\r\n", b"\r\nX-Extauthz: a\r\nSet-Cookie: b=c\r\n\r\n"
    )
    shared.service.answer = ANSWER
    yield shared
    for wire in shared.opened:
        wire.abort()
    shared.opened.clear()


DATE = b"Date: Tue, 24 Nov 2026 06:00:00 GMT\r\n"
"""Envoy gives a response the time where the service gives none."""

ANSWER = b"HTTP/1.1 200 Fine, thanks\r\nServer: old/1.0\r\n" + DATE + b"Content-Length: 2\r\n\r\nOK"


def request(*fields: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: service.example", *fields, b"", b""])


class TestHead:
    async def test_added(self, pair: Pair) -> None:
        """As it was written, in case and order; and Envoy's three fields behind."""
        sent = request(
            b"user-agent: curl/8", b"ACCEPT: */*", b"X-Camel-Case: two  spaces",
            b"Authorization: Basic YTpi", b"Cookie: a=1; b=2", b"x-empty: ",
        )  # fmt: skip
        served, response = await pair.send(sent)
        written = sent.removesuffix(b"\r\n")
        assert served.head.startswith(written)
        added = Message(b"\r\n" + served.head.removeprefix(written))
        assert [name for name, _ in added.fields] == [
            b"x-forwarded-for", b"x-forwarded-proto", b"x-request-id",
        ]  # fmt: skip
        assert response.head + response.body == ANSWER

    @pytest.mark.parametrize(
        "method",
        ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "LOCK",
         "MKCALENDAR", "SEARCH"],
    )  # fmt: skip
    async def test_method(self, pair: Pair, method: str) -> None:
        """The methods of HTTP and of WebDAV."""
        served, _ = await pair.send(request(line=f"{method} /a HTTP/1.1".encode()))
        assert served.line == f"{method} /a HTTP/1.1"

    async def test_head(self, pair: Pair) -> None:
        """HEAD, and a response that speaks of a body without having it."""
        head = ANSWER.removesuffix(b"OK")
        pair.service.answer = head

        async def act(envoy: Envoy) -> bytes:
            wire = await pair.connect(envoy)
            await wire.send(request(line=b"HEAD /a HTTP/1.1"))
            return (await wire.head()).head

        served, seen = await pair.compare(act)
        assert served.line == "HEAD /a HTTP/1.1"
        assert seen == head

    @pytest.mark.parametrize(
        "target",
        [
            "/", "/?", "/a?b=c&b=d&e", "/a;b=c/d;e?f;g", "/?u=http://x/../y//z%2F%00", "/%C3%BC%20",
            "/~a/!$&'()*+,;=:@", "/" + "a" * 8000, "/?" + "b" * 40000, "/a.", "/.well-known/x",
            "/...",
        ],
        ids=lambda target: target[:30],
    )  # fmt: skip
    async def test_target(self, pair: Pair, target: str) -> None:
        """Paths and queries, to the last percent sign."""
        served, _ = await pair.send(request(line=f"GET {target} HTTP/1.1".encode()))
        assert served.line == f"GET {target} HTTP/1.1"

    @pytest.mark.parametrize(
        "target",
        ["//a///b", "/a/../b/./c", "/%61%2E%2e/b", "/a\\b", "http://other.example/a"],
    )
    async def test_target_that_envoy_normalises(self, pair: Pair, target: str) -> None:
        """What Envoy makes of a path does not depend on the check."""
        await pair.send(request(line=f"GET {target} HTTP/1.1".encode()))

    @pytest.mark.parametrize(
        "fields",
        [
            [b"X-A: 1", b"x-b: 2", b"X-A: 3", b"X-a: 4"],
            [b"Cookie: a=1", b"Cookie: b=2"],
            [b"Set-Cookie: a", b"Set-Cookie: b"],
            [b"X-Bytes: \x80\xff\xc3\xbc\xe2\x82\xac", b'X-Quotes: "\\"', b"X-Tab: a\tb"],
            [b"!#$%&'*+-.^`|~09: a"],
            [b"X-Long: " + b"a" * 50000],
            [f"X-{number}: {number}".encode() for number in range(90)],
            [b"TE: trailers", b"Accept-Encoding: gzip, br", b"Range: bytes=0-1", b"Via: 1.0 a"],
            [b"Authorization: Basic YTpi", b"Authorization: Bearer c", b"Proxy-Authorization: d"],
            [b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: http", b"X-Forwarded-Host: a",
             b"Forwarded: for=b", b"X-Real-IP: c", b"X-Request-ID: d", b"X-Original-URL: /e"],
            [b"Connection: keep-alive, X-Hop", b"X-Hop: a", b"Keep-Alive: timeout=5"],
            [b"Connection: close"],
            [b"X-Forwarded-Client-Cert: a", b"X-Extauthz-Client-Address: b", b"X-Envoy-C: d"],
            [b"Origin: null", b"Sec-Fetch-Mode: cors", b"Access-Control-Request-Method: PUT"],
            [b'If-None-Match: "a"', b"If-Modified-Since: now", b"Upgrade-Insecure-Requests: 1"],
            [b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk"],
            [b"X-Fold: a", b"  b"],
        ],
        ids=lambda fields: fields[0][:20].decode("latin-1") + f" and {len(fields) - 1} more",
    )  # fmt: skip
    async def test_fields(self, pair: Pair, fields: list[bytes]) -> None:
        """Every header, in its place, whatever it is."""
        await pair.send(request(*fields))

    @pytest.mark.parametrize(
        "host",
        [
            b"service.example:8443",
            b"SERVICE.Example.",
            b"[::1]:1",
            b"127.0.0.1",
            b"a_b.example",
            b"",
        ],
    )
    async def test_host(self, pair: Pair, host: bytes) -> None:
        """The Host is the client's."""
        served, _ = await pair.send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert served.values("host") == [host.decode()]


def chunk(octets: bytes) -> bytes:
    """A chunk; the last one is empty."""
    return b"%x\r\n%s\r\n" % (len(octets), octets)


def chunked(*parts: bytes) -> bytes:
    return b"".join(chunk(part) for part in (*parts, b""))


BIG = bytes(range(256)) * 4096 * 50
"""50 MiB."""


class TestBody:
    @pytest.mark.parametrize("body", [b"", b"a", bytes(range(256)), b"0\r\n\r\n", b"a" * MEGABYTE],
                             ids=["empty", "one octet", "binary", "framing", "1 MiB"])  # fmt: skip
    async def test_length(self, pair: Pair, body: bytes) -> None:
        """A body with a length keeps both."""
        head = request(b"Content-Length: %d" % len(body), line=b"POST / HTTP/1.1")
        served, _ = await pair.send(head + body)
        assert served.body == body
        assert served.values("content-length") == [str(len(body))]
        assert served.values("transfer-encoding") == []

    @pytest.mark.parametrize("chunks", [(), (b"a",), (b"a" * 100, b"b", bytes(256))],
                             ids=["empty", "one", "several"])  # fmt: skip
    async def test_chunked(self, pair: Pair, chunks: tuple[bytes, ...]) -> None:
        """A body without a length stays one."""
        head = request(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.1")
        served, _ = await pair.send(head + chunked(*chunks))
        assert served.body == b"".join(chunks)
        assert served.values("transfer-encoding") == ["chunked"]
        assert served.values("content-length") == []

    async def test_trailers(self, pair: Pair) -> None:
        """Trailers are lost, with a check and without: they would come in unchecked."""
        head = request(b"Transfer-Encoding: chunked", b"Trailer: X-T", line=b"POST / HTTP/1.1")
        served, _ = await pair.send(head + b"1\r\na\r\n0\r\nX-T: b\r\n\r\n")
        assert served.body == b"a"
        assert served.trailers == b""

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    async def test_big(self, pair: Pair, framing: str) -> None:
        """50 MiB, which nobody holds in memory, arrive to the last octet."""
        parts = [BIG[at : at + MEGABYTE] for at in range(0, len(BIG), MEGABYTE)]
        if framing == "length":
            field, body = b"Content-Length: %d" % len(BIG), parts
        else:
            field = b"Transfer-Encoding: chunked"
            body = [*(chunk(part) for part in parts), chunk(b"")]
        served, response = await pair.send(request(field, line=b"PUT /big HTTP/1.1"), *body)
        assert hashlib.sha256(served.body).digest() == hashlib.sha256(BIG).digest()
        assert response.body == b"OK"

    async def test_streamed_up(self, pair: Pair) -> None:
        """Each part of a body is at the service before the client has sent the next."""
        parts = [b"first", b"second", b"third"]
        arrived: asyncio.Queue[bytes] = asyncio.Queue()

        async def listen(message: Message, wire: Wire) -> None:
            async for part in wire.chunks():
                message.body += part
                arrived.put_nowait(part)
            await wire.reader.readline()
            await wire.send(ANSWER)

        pair.service.answer = listen

        async def act(envoy: Envoy) -> list[bytes]:
            wire = await pair.connect(envoy)
            await wire.send(request(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.1"))
            seen = []
            for part in parts:
                await wire.send(chunk(part))
                seen.append(await asyncio.wait_for(arrived.get(), PATIENCE))
            await wire.ask(chunk(b""))
            return seen

        served, seen = await pair.compare(act)
        assert seen == parts
        assert served.body == b"".join(parts)


class TestResponse:
    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n",
            b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n' + DATE + b"\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: /b\r\n" + DATE + b"Content-Length: 0\r\n\r\n",
            b"HTTP/1.1 401 Who?\r\nWWW-Authenticate: a\r\n" + DATE + b"Content-Length: 0\r\n\r\n",
            b"HTTP/1.1 403 Forbidden\r\n" + DATE + b"Content-Length: 3\r\n\r\nno\n",
            b"HTTP/1.1 500 Oops\r\n" + DATE + b"Content-Length: 3\r\n\r\nbug",
            b"HTTP/1.1 599 Whatever\r\nX-Bytes: \xff\xfe\r\n" + DATE + b"Content-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX_Under: c\r\nServer: d\r\n"
            b"Via: e\r\nContent-Encoding: gzip\r\n" + DATE + b"Content-Length: 2\r\n\r\n\x1f\x8b",
        ],
        ids=lambda answer: answer[9:12].decode(),
    )  # fmt: skip
    async def test_response(self, pair: Pair, answer: bytes) -> None:
        """The service's answer is the client's, to the octet, a refusal of its own included."""
        pair.service.answer = answer
        _, response = await pair.send(request())
        assert response.head + response.body == answer

    async def test_big(self, pair: Pair) -> None:
        """50 MiB come back to the last octet."""
        pair.service.answer = ANSWER.replace(b": 2\r\n\r\nOK", b": %d\r\n\r\n" % len(BIG)) + BIG
        _, response = await pair.send(request())
        assert hashlib.sha256(response.body).digest() == hashlib.sha256(BIG).digest()

    async def test_streamed(self, pair: Pair) -> None:
        """Each part of an answer is at the client before the service has produced the next."""
        parts = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]
        wanted: asyncio.Queue[bytes] = asyncio.Queue()

        async def produce(_: Message, wire: Wire) -> None:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + DATE
            await wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for _part in parts:
                await wire.send(chunk(await wanted.get()))
            await wire.send(chunk(b""))

        pair.service.answer = produce

        async def act(envoy: Envoy) -> list[bytes]:
            wire = await pair.connect(envoy)
            await wire.send(request(b"Accept: text/event-stream"))
            seen = [(await wire.head()).head]
            chunks = wire.chunks()
            for part in parts:
                wanted.put_nowait(part)
                seen.append(await asyncio.wait_for(anext(chunks), PATIENCE))
            assert [part async for part in chunks] == []
            return seen

        _, seen = await pair.compare(act)
        assert seen[1:] == parts

    async def test_early_answer(self, pair: Pair) -> None:
        """A service that answers before it has read the body is heard at once."""

        async def refuse(_: Message, wire: Wire) -> None:
            await wire.send(ANSWER)
            await wire.reader.read()

        pair.service.answer = refuse
        head = request(b"Content-Length: 1000000", line=b"POST / HTTP/1.1")
        _, response = await pair.send(head + b"begun")
        assert response.head + response.body == ANSWER.replace(
            b"Content-Length: 2\r\n", b"Content-Length: 2\r\nconnection: close\r\n"
        )

    async def test_broken_off(self, pair: Pair) -> None:
        """An answer that ends too early ends too early."""

        async def die(_: Message, wire: Wire) -> None:
            await wire.send(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 10\r\n\r\nhalf")
            wire.writer.close()

        pair.service.answer = die

        async def act(envoy: Envoy) -> bytes:
            wire = await pair.connect(envoy)
            await wire.send(request())
            return await wire.reader.read()

        _, seen = await pair.compare(act)
        assert seen.endswith(b"\r\n\r\nhalf")

    async def test_keep_alive(self, pair: Pair) -> None:
        """Requests that follow each other on a connection, some sent ahead, are all answered."""
        octets = b"".join(request(line=b"GET /%d HTTP/1.1" % number) for number in range(5))
        lines = []
        for envoy in (pair.guarded, pair.bare):
            pair.service.received.clear()
            wire = await pair.connect(envoy)
            await wire.send(octets)
            for _ in range(5):
                assert (await wire.message()).body == b"OK"
            lines.append([message.line for message in pair.service.received])
        assert lines == [[f"GET /{number} HTTP/1.1" for number in range(5)]] * 2


class TestExpect:
    async def test_continue(self, pair: Pair) -> None:
        """The service itself is asked, and says when the body may come."""

        async def ask_for_it(message: Message, wire: Wire) -> None:
            await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await wire.body(message)
            await wire.send(ANSWER)

        pair.service.answer = ask_for_it

        async def act(envoy: Envoy) -> bytes:
            wire = await pair.connect(envoy)
            fields = (b"Expect: 100-continue", b"Content-Length: 5")
            await wire.send(request(*fields, line=b"POST / HTTP/1.1"))
            interim = await wire.head()
            response = await wire.ask(b"hello")
            return interim.head + response.head + response.body

        served, seen = await pair.compare(act)
        assert served.values("expect") == ["100-continue"]
        assert served.body == b"hello"
        assert seen == b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER

    async def test_refusal(self, pair: Pair) -> None:
        """A service that does not want the body says so before it comes."""

        async def refuse(_: Message, wire: Wire) -> None:
            await wire.send(b"HTTP/1.1 417 No\r\n" + DATE + b"Content-Length: 0\r\n\r\n")
            await wire.reader.read()

        pair.service.answer = refuse
        fields = (b"Expect: 100-continue", b"Content-Length: 5")
        _, response = await pair.send(request(*fields, line=b"POST / HTTP/1.1"))
        assert response.line == "HTTP/1.1 417 No"


UPGRADE = (
    b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Protocol: chat",
)  # fmt: skip
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" + DATE + b"\r\n"
)


class TestWebSocket:
    async def test_frames(self, pair: Pair) -> None:
        """After the handshake, octets go both ways as they are, whoever begins."""
        frames = [b"\x81\x85\x00\x00\x00\x00hello", b"\x89\x00", b"\x82\x7e\x01\x00" + bytes(256)]

        async def echo(message: Message, wire: Wire) -> None:
            await wire.send(SWITCHING + b"\x81\x02hi")
            while octets := await wire.reader.read(65536):
                message.body += octets
                await wire.send(octets)

        pair.service.answer = echo

        async def act(envoy: Envoy) -> bytes:
            wire = await pair.connect(envoy)
            await wire.send(request(*UPGRADE, line=b"GET /chat HTTP/1.1"))
            seen = (await wire.head()).head + await wire.reader.readexactly(4)
            for frame in frames:
                await wire.send(frame)
                seen += await wire.reader.readexactly(len(frame))
            return seen

        served, seen = await pair.compare(act)
        assert all(field in served.head.split(b"\r\n") for field in UPGRADE)
        assert seen == SWITCHING + b"\x81\x02hi" + b"".join(frames)
        assert served.body == b"".join(frames)

    async def test_end(self, pair: Pair) -> None:
        """Either side may end it, and the other side hears of it."""

        async def leave(_: Message, wire: Wire) -> None:
            await wire.send(SWITCHING + b"\x88\x00")
            wire.writer.close()

        pair.service.answer = leave

        async def act(envoy: Envoy) -> bytes:
            wire = await pair.connect(envoy)
            await wire.send(request(*UPGRADE))
            return await asyncio.wait_for(wire.reader.read(), PATIENCE)

        _, seen = await pair.compare(act)
        assert seen == SWITCHING + b"\x88\x00"

    async def test_refusal(self, pair: Pair) -> None:
        """A service that speaks no WebSocket says so itself."""
        pair.service.answer = b"HTTP/1.1 400 No\r\n" + DATE + b"Content-Length: 3\r\n\r\nno\n"
        _, response = await pair.send(request(*UPGRADE))
        assert (response.line, response.body) == ("HTTP/1.1 400 No", b"no\n")


def http2(*fields: tuple[bytes, bytes], method: bytes = b"GET", path: bytes = b"/") -> Fields:
    head = [(b":method", method), (b":scheme", b"https"), (b":authority", b"service.example")]
    return [*head, (b":path", path), *fields]


class TestHttp2:
    async def send(self, pair: Pair, fields: Fields, body: bytes = b"") -> tuple[Message, bytes]:
        async def act(envoy: Envoy) -> tuple[Fields, bytes]:
            context = client_context(pair.certificates)
            response = await ask_http2(envoy.port, context, fields, body)
            return response.fields, response.body

        served, (response, content) = await pair.compare(act)
        assert response == [
            (b":status", b"200"), (b"server", b"old/1.0"),
            (b"date", DATE.strip().removeprefix(b"Date: ")), (b"content-length", b"2"),
        ]  # fmt: skip
        return served, content

    @pytest.mark.parametrize(
        "fields",
        [
            http2((b"user-agent", b"a"), (b"accept", b"*/*"), (b"x-b", b"1"), (b"x-b", b"2")),
            http2((b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x-bytes", b"\xff\xfe")),
            http2(path=b"/a//b/../c?d=%2F", method=b"DELETE"),
            http2(method=b"UNKNOWN"),
            http2((b"te", b"trailers"), (b"priority", b"u=1, i")),
            http2((b"host", b"other.example")),
        ],
        ids=["fields", "crumbs", "path", "method", "te", "host"],
    )
    async def test_request(self, pair: Pair, fields: Fields) -> None:
        """What comes over HTTP/2 reaches the HTTP/1.1 service alike."""
        served, body = await self.send(pair, fields)
        assert served.values("host") == ["service.example"]
        assert body == b"OK"

    @pytest.mark.parametrize("announced", [True, False])
    @pytest.mark.parametrize("size", [1, 3 * MEGABYTE])
    async def test_body(self, pair: Pair, size: int, *, announced: bool) -> None:
        """So does a body, longer than any window, with a length or without."""
        body = BIG[:size]
        length = [(b"content-length", b"%d" % size)] if announced else []
        served, _ = await self.send(pair, http2(*length, method=b"POST"), body)
        assert served.body == body
        assert served.values("content-length") == ([str(size)] if announced else [])

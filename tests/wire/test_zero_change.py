"""The service sees what it would see through the same Envoy without extauthz, octet by octet.

Every request goes through two Envoys that differ in one thing, the ext_authz filter, to one
service that keeps the octets as they came.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml

from extauthz.demo.envoy import Placement, place
from tests.wire.envoy_process import (
    LOOPBACK,
    OK,
    TEMPLATE,
    Envoy,
    Message,
    Server,
    Wire,
    ask_http2,
    client_context,
    free_port,
    make_certificates,
    running_envoy,
    serving,
    without_id,
)


class TwoWays:
    """The two Envoys, extauthz's part, and the service."""

    def __init__(self, with_: Envoy, without: Envoy, service: Server, directory: Path) -> None:
        self.envoys = (with_, without)
        self.service = service
        self.directory = directory

    async def both(
        self, talk: Callable[[Wire], Awaitable[object]]
    ) -> tuple[list[bytes], list[object]]:
        """Have the same conversation through each Envoy: what the service got, what came back."""
        got, back = [], []
        for envoy in self.envoys:
            self.service.received.clear()
            wire = await Wire.to(envoy.port, client_context(self.directory))
            async with asyncio.timeout(60):
                back.append(await talk(wire))
            await wire.close()
            got.append(b"".join(comparable(message) for message in self.service.received))
        return got, back


def comparable(message: Message) -> bytes:
    """A request as it came; the id is another for each request, and says nothing."""
    return without_id(message) + message.body + message.trailers


def without_ext_authz(config: str) -> str:
    """The same Envoy, without the filter."""
    root = yaml.safe_load(config)
    (manager,) = root["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    filters = manager["typed_config"]["http_filters"]
    kept = [found for found in filters if found["name"] != "envoy.filters.http.ext_authz"]
    assert len(kept) == len(filters) - 1
    manager["typed_config"]["http_filters"] = kept
    return str(yaml.safe_dump(root, sort_keys=False))


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[TwoWays]:
    make_certificates(tmp_path)
    async with serving() as authorizer, serving() as service:

        def placed() -> Placement:
            return Placement(
                (LOOPBACK, free_port()), authorizer.address, authorizer.address, service.address,
                tmp_path,
            )  # fmt: skip

        with_, without = placed(), placed()
        bare = without_ext_authz(place(TEMPLATE.read_text(), without))
        async with (
            running_envoy(with_, tmp_path) as checked,
            running_envoy(without, tmp_path, config=bare) as unchecked,
        ):
            running = TwoWays(checked, unchecked, service, tmp_path)
            await until_allowed(running)
            authorizer.received.clear()
            yield running
            # A path on which nobody was asked would prove nothing.
            assert any(m.line.split()[1].startswith("/check/") for m in authorizer.received)


async def until_allowed(running: TwoWays) -> None:
    """Wait until Envoy has found the authorizer healthy."""
    async with asyncio.timeout(20):
        while True:
            wire = await Wire.to(running.envoys[0].port, client_context(running.directory))
            answer = await wire.ask(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            await wire.close()
            if " 200 " in answer.line:
                return
            await asyncio.sleep(0.05)


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    head = "".join(f"{part}\r\n" for part in (f"{line} HTTP/1.1", "Host: A.example:8443", *fields))
    return head.encode("latin-1") + b"\r\n" + body


FIELDS = (
    "User-Agent: old/1.0", "X-CaSe: Kept", "X-Twice: 1", "Cookie: a=1; b=2", "X-Twice: 2",
    "Accept: */*", "Authorization: Basic YWxpY2U6eA==", 'X-Odd: \xe4\xff "quoted", a;b=c',
    "X-Empty:", "Referer: https://a.example/?x", "Accept-Encoding: gzip", "TE: trailers",
)  # fmt: skip
CHUNKS = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"

REQUESTS = {
    "GET": request("GET /a/b;c=d?e=f&g=%20h+i", *FIELDS),
    "HEAD": request("HEAD /"),
    "OPTIONS": request("OPTIONS /x", "Origin: https://b.example"),
    "DELETE": request("DELETE /x/%C3%A4"),
    "PATCH with a body": request("PATCH /x", "Content-Length: 5", body=b"hello"),
    "PUT without a body": request("PUT /x", "Content-Length: 0"),
    "POST in chunks": request("POST /x", "Transfer-Encoding: chunked", body=CHUNKS),
    "POST of octets": request("POST /x", *FIELDS, "Content-Length: 256", body=bytes(range(256))),
    "PROPFIND": request("PROPFIND /dav", "Depth: 1"),
}


async def test_requests_arrive_and_answers_return_unchanged(path: TwoWays) -> None:
    """Method, target, every field in its order and case, and the body."""
    for story, octets in REQUESTS.items():
        got, back = await path.both(lambda wire, octets=octets: ask(wire, octets))  # type: ignore[misc]

        assert got[0], story
        assert got[0] == got[1], story
        assert back[0] == back[1], story


async def ask(wire: Wire, octets: bytes) -> tuple[bytes, bytes]:
    await wire.send(octets)
    head = await wire.head()
    if not octets.startswith(b"HEAD"):
        await wire.body(head)
    return re.sub(rb"(?i)\r\ndate: [^\r]*", b"", head.head), head.body


async def test_fifty_megabytes_arrive_unchanged(path: TwoWays) -> None:
    """A body streams through while it is sent: it is held back by nobody."""
    size = 50 * 1024 * 1024
    block = bytes(range(256)) * 4096
    head = request("POST /upload", f"Content-Length: {size}")

    async def upload(wire: Wire) -> str:
        await wire.send(head)
        for _ in range(size // len(block)):
            await wire.send(block)
        return (await wire.message()).line

    got, back = await path.both(upload)
    assert back == ["HTTP/1.1 200 OK"] * 2
    assert got[0] == got[1]
    assert got[0].endswith(block * (size // len(block)))


async def test_expect_continue_is_the_services_to_answer(path: TwoWays) -> None:
    """The body is sent when the service says so, and not before."""

    async def reluctant(message: Message, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await wire.body(message)
        await wire.send(OK)

    path.service.answer = reluctant

    async def expect(wire: Wire) -> list[str]:
        await wire.send(request("POST /x", "Expect: 100-continue", "Content-Length: 5"))
        first = await wire.head()
        await wire.send(b"hello")
        return [first.line, (await wire.message()).line]

    got, back = await path.both(expect)
    assert back == [["HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"]] * 2
    assert got[0] == got[1]
    assert got[0].endswith(b"hello")


async def test_websocket_is_upgraded_and_carries_frames_both_ways(path: TwoWays) -> None:
    """After the upgrade, octets flow as they are."""

    async def upgrade(_message: Message, wire: Wire) -> None:
        await wire.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        frame = await wire.reader.readexactly(9)
        await wire.send(b"\x82\x03" + frame[6:])
        await wire.reader.read(1)

    path.service.answer = upgrade
    fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip

    async def talk(wire: Wire) -> tuple[str, bytes]:
        await wire.send(request("GET /chat", *fields))
        line = (await wire.head()).line
        await wire.send(b"\x82\x83\x00\x00\x00\x00abc")
        return line, await wire.reader.readexactly(5)

    got, back = await path.both(talk)
    assert back == [("HTTP/1.1 101 Switching Protocols", b"\x82\x03abc")] * 2
    assert got[0] == got[1]


async def test_response_streams_as_it_is_produced(path: TwoWays) -> None:
    """Each part is there before the next one is made."""
    go_on = asyncio.Event()

    async def slowly(_message: Message, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (b"one", b"two", b"three"):
            await wire.send(b"%x\r\n%b\r\n" % (len(part), part))
            await go_on.wait()
            go_on.clear()
        await wire.send(b"0\r\n\r\n")

    path.service.answer = slowly

    async def listen(wire: Wire) -> list[bytes]:
        await wire.send(request("GET /events"))
        await wire.head()
        parts = []
        async for part in wire.chunks():
            parts.append(part)
            go_on.set()
        return parts

    got, back = await path.both(listen)
    assert back == [[b"one", b"two", b"three"]] * 2
    assert got[0] == got[1]


@pytest.mark.parametrize("body", [b"", b"hello" * 50_000], ids=["no body", "a body"])
async def test_http2_requests_arrive_unchanged(path: TwoWays, body: bytes) -> None:
    """A browser's protocol makes no difference."""
    fields = [
        (b":method", b"POST" if body else b"GET"), (b":scheme", b"https"),
        (b":authority", b"A.example:8443"), (b":path", b"/x?y=z"), (b"cookie", b"a=1"),
        (b"cookie", b"b=2"), (b"x-twice", b"1"), (b"x-twice", b"2"), (b"x-odd", b"\xe4\xff"),
    ]  # fmt: skip
    got, back = [], []
    for envoy in path.envoys:
        path.service.received.clear()
        async with asyncio.timeout(30):
            answer = await ask_http2(envoy.port, client_context(path.directory), fields, body)
        back.append((dict(answer.fields)[b":status"], answer.body))
        (message,) = path.service.received
        got.append(comparable(message))

    assert back == [(b"200", b"ok\n")] * 2
    assert got[0] == got[1]
    assert got[0].endswith(body)

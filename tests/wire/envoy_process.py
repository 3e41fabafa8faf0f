"""A real Envoy, and what stands on both sides of it: octets on sockets, as they came.

No HTTP library is in between where octets are compared: each one puts in order, merges or
normalises something, and whether Envoy does is the question.
"""

import asyncio
import ipaddress
import json
import re
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

import h2.config
import h2.connection
import h2.events
from cryptography import x509

from extauthz.demo.authority import Validity, authority, name
from extauthz.demo.envoy import HostPort, Placement, envoy_command, place
from tests.ports import LOOPBACK, free_port

TEMPLATE = Path(__file__).parents[2] / "envoy" / "envoy.yaml"
PATIENCE = 30.0
"""Seconds. For what is bound to come, however busy the machine is. Envoy starts in about 0.1, and a
first round of health checks."""

Fields: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Envoy:
    """An Envoy that accepts connections."""

    port: int
    log_path: Path
    """The access log: one JSON object a line."""

    async def logged(self, path: str) -> dict[str, object]:
        """The access log's entry of the request with this path, once it is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in self.log_path.read_bytes().split(b"\n")[:-1]:
                    entry: dict[str, object] = json.loads(line)
                    if entry["path"] == path:
                        return entry
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running_envoy(
    placement: Placement, directory: Path, *, config: str | None = None
) -> AsyncIterator[Envoy]:
    """Envoy with the project's configuration, or another that is placed alike.

    It accepts connections, and has asked once for extauthz's health, when this begins. One that
    does not start fails with what it wrote to stderr.
    """
    own = Path(tempfile.mkdtemp(prefix="envoy-", dir=directory))
    config_path, log_path, error_path = own / "envoy.yaml", own / "access.log", own / "stderr"
    config_path.write_text(place(TEMPLATE.read_text(), placement) if config is None else config)
    with log_path.open("wb") as log, error_path.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *envoy_command(config_path), stdout=log, stderr=errors
        )
    try:
        if not await _accepts(placement.listen, process):
            raise AssertionError(f"Envoy did not start:\n{error_path.read_text()}")
        yield Envoy(placement.listen[1], log_path)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _accepts(address: HostPort, process: asyncio.subprocess.Process) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while process.returncode is None:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(*address)
                    writer.close()
                    await writer.wait_closed()
                    return True
                await asyncio.sleep(0.01)
    return False


def make_certificates(directory: Path) -> None:
    """Make `server.pem` for loopback, and `client.pem` of somebody; each with its `-key.pem`."""
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    for stem, extension in {
        "server": x509.SubjectAlternativeName(names),
        "client": x509.SubjectAlternativeName([x509.RFC822Name("somebody@example.com")]),
    }.items():
        make_certificate(directory, stem, extension)


def make_certificate(directory: Path, stem: str, extension: x509.ExtensionType) -> bytes:
    """Make a self-signed certificate and its key; give back the certificate's DER."""
    made = authority(name(stem), [(extension, False)], validity=Validity.days(-1, 1))
    made.write(directory, stem)
    return made.der


def client_context(certificates: Path, stem: str | None = "client") -> ssl.SSLContext:
    """TLS as a client, with the certificate of this name or without any."""
    context = ssl.create_default_context(cafile=certificates / "server.pem")
    if stem is not None:
        context.load_cert_chain(certificates / f"{stem}.pem", certificates / f"{stem}-key.pem")
    return context


@dataclass(slots=True)
class Message:
    """An HTTP/1.1 request or response."""

    head: bytes
    """Its first line and its fields as they came, with the empty line."""
    body: bytes = field(default=b"", repr=False)
    """Its content, out of the chunks where it came in some."""
    trailers: bytes = b""
    connection: int = 0
    """On which connection of a server it came, counted from 1."""

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def fields(self) -> Fields:
        lines = self.head.split(b"\r\n")[1:-2]
        parts = [line.partition(b":") for line in lines]
        return [(name, value.strip()) for name, _, value in parts]

    def values(self, name: str) -> list[str]:
        """The values of a field, each as often as it came."""
        wanted = name.encode()
        return [value.decode("latin-1") for key, value in self.fields if key.lower() == wanted]


@dataclass(slots=True)
class Wire:
    """A connection on which HTTP/1.1 is spoken, by either side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, port: int, context: ssl.SSLContext) -> Self:
        """A connection to Envoy."""
        context.set_alpn_protocols(["http/1.1"])
        return cls(
            *await asyncio.open_connection(
                LOOPBACK, port, ssl=context, server_hostname="localhost", limit=2**20
            )
        )

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def head(self) -> Message:
        return Message(await self.reader.readuntil(b"\r\n\r\n"))

    async def body(self, message: Message) -> None:
        """Read the body that the head has announced."""
        if message.values("transfer-encoding") == ["chunked"]:
            message.body = b"".join([chunk async for chunk in self.chunks()])
            while (line := await self.reader.readline()) != b"\r\n":
                message.trailers += line
        elif lengths := message.values("content-length"):
            message.body = await self.reader.readexactly(int(lengths[0]))

    async def message(self) -> Message:
        message = await self.head()
        await self.body(message)
        return message

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a body, up to the last one."""
        while size := int((await self.reader.readline()).partition(b";")[0], 16):
            yield (await self.reader.readexactly(size + 2))[:-2]

    async def ask(self, octets: bytes) -> Message:
        """Send a request and read the response."""
        await self.send(octets)
        return await self.message()

    def abort(self) -> None:
        """End the connection without a word. (To TLS's last words Envoy replies a second late.)"""
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


Answer: TypeAlias = bytes | Callable[[Message, Wire], Awaitable[None]]
"""What a server says to every request; a function is called when the head is there."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


@dataclass(slots=True)
class Server:
    """A server that keeps what it was sent: the service, or extauthz's part."""

    answer: Answer = OK
    received: list[Message] = field(default_factory=list)
    connections: int = 0
    """How many there have been."""
    port: int = field(default_factory=free_port)
    """Nobody else is given it while the server is stopped."""
    _listener: asyncio.Server | None = None
    _open: dict[asyncio.Task[None], Wire] = field(default_factory=dict)

    async def start(self, path: Path | None = None) -> Self:
        """Listen, on its port or on a Unix socket."""
        if path is not None:
            self._listener = await asyncio.start_unix_server(self._serve, path, limit=2**20)
        else:
            self._listener = await asyncio.start_server(
                self._serve, LOOPBACK, self.port, limit=2**20
            )
        return self

    async def stop(self) -> None:
        """Be gone, connections and all."""
        if self._listener is not None:
            self._listener.close()
            for wire in self._open.values():
                wire.abort()
            await asyncio.gather(*self._open)
            await self._listener.wait_closed()

    @property
    def address(self) -> HostPort:
        return LOOPBACK, self.port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire, task = Wire(reader, writer), asyncio.current_task()
        assert task is not None
        self.connections += 1
        number = self.connections
        self._open[task] = wire
        try:
            while not writer.is_closing():
                await self._respond(wire, number)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            await wire.close()
            del self._open[task]

    async def _respond(self, wire: Wire, connection: int) -> None:
        message = await wire.head()
        message.connection = connection
        self.received.append(message)
        answer = self.answer
        if isinstance(answer, bytes):
            await wire.body(message)
            await wire.send(answer)
        else:
            await answer(message, wire)


@asynccontextmanager
async def serving(answer: Answer = OK, path: Path | None = None) -> AsyncIterator[Server]:
    server = await Server(answer).start(path)
    try:
        yield server
    finally:
        await server.stop()


@dataclass(slots=True)
class Http2Response:
    fields: Fields = field(default_factory=list)
    body: bytes = b""
    reset: bool = False
    """It never came: Envoy ended the stream, or the connection."""


async def ask_http2(
    port: int, context: ssl.SSLContext, fields: Fields, body: bytes = b""
) -> Http2Response:
    """Send a request, pseudo-fields included, over HTTP/2, and read the response."""
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(
        LOOPBACK, port, ssl=context, server_hostname="localhost"
    )
    # Nothing is put right on the way: what is sent is what the test says.
    protocol = h2.connection.H2Connection(
        h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            split_outbound_cookies=False,
        )
    )
    protocol.initiate_connection()
    protocol.send_headers(1, fields, end_stream=not body)
    response, ended = Http2Response(), False
    while not ended:
        while room := min(len(body), protocol.local_flow_control_window(1), 16384):
            protocol.send_data(1, body[:room], end_stream=room == len(body))
            body = body[room:]
        writer.write(protocol.data_to_send())
        octets = await reader.read(65536)
        ended = not octets
        for event in protocol.receive_data(octets):
            match event:
                case h2.events.ResponseReceived():
                    response.fields = [(bytes(name), bytes(value)) for name, value in event.headers]
                case h2.events.DataReceived():
                    response.body += event.data
                    protocol.acknowledge_received_data(event.flow_controlled_length, 1)
                case h2.events.StreamEnded():
                    ended = True
                case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                    response.reset = ended = True
    response.reset = response.reset or not response.fields
    Wire(reader, writer).abort()
    return response


def without_id(message: Message) -> bytes:
    """A request's head, but for the value of the id that Envoy gave it."""
    return re.sub(rb"(?i)(\r\nx-request-id: )[-0-9a-f]{36}(?=\r\n)", rb"\1ID", message.head)

"""A service that answers for its own users, on loopback: in this process, or in one to be killed.

Real aiohttp where it behaves as HTTP does; octets on a socket where it does not.
"""

import asyncio
import json
import signal
import ssl
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from aiohttp import web

from extauthz.identity import IdentityKind

LOOPBACK = "127.0.0.1"
ASKED_BY = {"login", *IdentityKind}
ALICE = {
    "login": "alice",
    "email": ["alice@acme.example", "a.smith@acme.example"],
    "disabled": False,
    "groups": ["staff", "sales"],
    "unit": "north",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that the service got."""

    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes
    connection: object


Answer: TypeAlias = Callable[[Asked], Awaitable[web.StreamResponse]]


@dataclass
class Service:
    """Answers whatever the test has put in."""

    answer: Answer
    port: int = 0
    scheme: str = "http"
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{LOOPBACK}:{self.port}/extauthz"

    def connections(self) -> int:
        return len({each.connection for each in self.asked})

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        peer = None if request.transport is None else request.transport.get_extra_info("peername")
        asked = Asked(request.method, request.path, headers, await request.read(), peer)
        self.asked.append(asked)
        return await self.answer(asked)


@asynccontextmanager
async def serving(
    answer: Answer, context: ssl.SSLContext | None = None, **settings: float
) -> AsyncIterator[Service]:
    """A service on a port of its own; `settings` are aiohttp's."""
    service = Service(answer, scheme="http" if context is None else "https")
    runner = web.ServerRunner(
        web.Server(service.handle, access_log=None, **settings),  # type: ignore[arg-type]
        shutdown_timeout=0.1,
    )
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0, ssl_context=context)
    await site.start()
    service.port = runner.addresses[0][1]
    try:
        yield service
    finally:
        await runner.cleanup()


def directory(*accounts: dict[str, object]) -> Answer:
    """Answers as the protocol says, about these accounts."""
    having: defaultdict[tuple[str, object], list[dict[str, object]]] = defaultdict(list)
    for account in accounts:
        for name in ASKED_BY & account.keys():
            value = account[name]
            for each in value if isinstance(value, list) else [value]:
                having[name, each].append(account)

    async def answer(asked: Asked) -> web.StreamResponse:
        (question,) = json.loads(asked.body).items()
        return web.json_response({"accounts": having.get(question, [])})

    return answer


def constant(body: bytes | str | object, status: int = 200, **headers: str) -> Answer:
    """The same answer always: octets, text, or what is to be JSON."""
    octets = body if isinstance(body, bytes) else str(body).encode()
    if not isinstance(body, bytes | str):
        octets = json.dumps(body).encode()
    fields = {"content-type": "application/json"}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})

    async def answer(_: Asked) -> web.StreamResponse:
        return web.Response(body=octets, status=status, headers=fields)

    return answer


@dataclass
class RawService:
    """Whatever octets the test wants, in answer to whatever came."""

    port: int = 0
    connections: int = 0
    requests: int = 0
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/extauthz"


Script: TypeAlias = Callable[[int, int, asyncio.StreamWriter], Awaitable[None]]
"""Answers the request with that number on the connection with that number, both from 0."""


@asynccontextmanager
async def raw_serving(script: Script) -> AsyncIterator[RawService]:
    service = RawService()
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        connection, number = service.connections, 0
        service.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                service.requests += 1
                service.is_asked.set()
                await script(connection, number, writer)
                number += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, LOOPBACK, 0)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http(body: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP answer."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{fields}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class ServiceProcess:
    """The same in a process of its own."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/extauthz"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5)

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def service_process(port: int = 0, accounts: Path | None = None) -> Iterator[ServiceProcess]:
    """A process that knows Alice, or the accounts of a file: JSON lines, as the protocol has them.

    It accepts connections when this begins.
    """
    known = [] if accounts is None else [str(accounts)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.directories.http_service", str(port), *known],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield ServiceProcess(process, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()


async def _main(port: int, answer: Answer) -> None:
    service = Service(answer)
    runner = web.ServerRunner(web.Server(service.handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    lines = [line for file in sys.argv[2:] for line in Path(file).read_text().splitlines()]
    known = map(json.loads, lines) if lines else [dict(ALICE)]
    asyncio.run(_main(int(sys.argv[1]), directory(*known)))

"""A real HTTP server for lists and answers: slow, broken, lying, redirecting, endless."""

import contextlib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from extauthz.demo.authority import Credential
from tests.ports import LOOPBACK, free_port

Behaviour: TypeAlias = Callable[[BaseHTTPRequestHandler, bytes], None]
"""Answers one request, whose body is given, in whatever way."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that the server got."""

    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__((LOOPBACK, port), handler)
        self.closing = threading.Event()


@dataclass
class HttpServer:
    """Serves, on a port of its own, whatever the test has put at a path.

    The port stays its own when it has closed: nobody else answers there then.
    """

    credential: Credential | None = None
    """For https."""
    directory: Path | None = None
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append(Asked(self.command, self.path, headers))
                self.close_connection = True
                with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    outer.behaviours.get(self.path, status(404))(self, body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(free_port(), Handler)
        if self.credential is not None and self.directory is not None:
            self.credential.write(self.directory, "https")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.directory / "https.pem", self.directory / "https-key.pem")
            # A client that never begins its handshake must not keep the others waiting.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str) -> str:
        scheme = "http" if self.credential is None else "https"
        return f"{scheme}://{LOOPBACK}:{self._server.server_address[1]}{path}"

    def count(self, path: str) -> int:
        return sum(asked.path == path for asked in self.asked)


def content(body: bytes, etag: str | None = None, **headers: str) -> Behaviour:
    """A whole answer; 304 to who has it already."""

    def behave(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        is_known = etag is not None and handler.headers.get("if-none-match") == etag
        handler.send_response(304 if is_known else 200)
        if etag is not None:
            handler.send_header("etag", etag)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if not is_known:
            handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        if not is_known:
            handler.wfile.write(body)

    return behave


def computed(answer: Callable[[bytes], bytes]) -> Behaviour:
    """Whatever a function makes of the request's body."""

    def behave(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        content(answer(body))(handler, body)

    return behave


def status(code: int) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(code)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return behave


def redirect(to: str) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(302)
        handler.send_header("location", to)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return behave


def hang(seconds: float = 60.0) -> Behaviour:
    """Takes the request and says nothing, as long as the server runs."""

    def behave(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        assert isinstance(handler.server, _Server)
        handler.server.closing.wait(seconds)

    return behave


def held(body: bytes, released: threading.Event) -> Behaviour:
    """The whole answer, once the test lets it go."""

    def behave(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        if released.wait(60):
            content(body)(handler, request)

    return behave


def broken(body: bytes) -> Behaviour:
    """Half of what was announced."""

    def behave(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])

    return behave


def endless() -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65536)

    return behave

"""A collector for spans: it decodes what it is sent, and misbehaves when it is told to."""

import gzip
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.ports import LOOPBACK, free_port

Answer: TypeAlias = Callable[[BaseHTTPRequestHandler], None]
"""What the collector does once it has read a request."""
Attribute: TypeAlias = str | bool | int | list[str]


def takes(handler: BaseHTTPRequestHandler) -> None:
    """Say that all is well, as collectors do."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/x-protobuf")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


class Receiver(ThreadingHTTPServer):
    """Keeps the requests that it was sent. Their spans are found by trace or by service."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answer) -> None:
        super().__init__((LOOPBACK, free_port()), _Handler)
        self.answer = answer
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.requests: list[ExportTraceServiceRequest] = []
        self.connections: set[object] = set()
        self.gone = threading.Event()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def spans(self, service: str = "extauthz") -> list[Span]:
        """Every span of a service, in the order in which they came."""
        return [
            span
            for request in list(self.requests)
            for of_resource in request.resource_spans
            if attributes(of_resource.resource.attributes)["service.name"] == service
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    def wait(self, count: int = 1, service: str = "extauthz", seconds: float = 30.0) -> list[Span]:
        """The spans of a service, once there are so many."""
        deadline = time.monotonic() + seconds
        while len(found := self.spans(service)) < count:
            assert time.monotonic() < deadline, f"{len(found)} spans came, of {count}"
            time.sleep(0.01)
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.paths.append(self.path)
        self.server.headers.append({key.lower(): value for key, value in self.headers.items()})
        self.server.connections.add(self.client_address)
        if self.server.answer is takes:
            self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.server.answer(self)

    def _body(self) -> bytes:
        """The content, in chunks as Envoy sends it or in one piece."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        """Keep the test's output for the test."""


@contextmanager
def receiving(answer: Answer = takes) -> Iterator[Receiver]:
    """A collector that listens."""
    receiver = Receiver(answer)
    thread = threading.Thread(target=receiver.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.gone.set()
        receiver.shutdown()
        receiver.server_close()
        thread.join()


def attributes(of: Iterable[KeyValue]) -> dict[str, Attribute]:
    """Attributes as plain values."""
    return {each.key: _plain(each.value) for each in of}


def _plain(value: AnyValue) -> Attribute:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [each.string_value for each in value.array_value.values]
    plain: Attribute = getattr(value, str(kind))
    return plain

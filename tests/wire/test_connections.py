"""A decision is made for each request, however its connection came about."""

import asyncio
import contextlib
import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import h2.config
import h2.connection
import h2.events
import pytest

from extauthz.demo.authority import Credential, Validity, user
from tests.ports import LOOPBACK
from tests.wire.envoy_process import Wire
from tests.wire.stack import ACME, ALICE, POLICY, SIGNERS, Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), POLICY, SIGNERS) as running:
        yield running


def context(stack: Stack, credential: Credential | None) -> ssl.SSLContext:
    """TLS as a client that trusts anybody, with a certificate or without."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if credential is not None:
        _, certificate, _, key = stack.files_of(credential)
        made.load_cert_chain(certificate, key)
    return made


def ending_soon() -> Credential:
    """Alice's certificate, for as long as a few requests take on a machine that is busy."""
    return user(ACME, "A", "alice@acme.example", validity=Validity.days(-1, 7 / 86400))


def wait_for_end(credential: Credential) -> None:
    """Wait until a certificate is not valid any more."""
    left = credential.certificate.not_valid_after_utc - datetime.now(UTC)
    time.sleep(left.total_seconds() + 1)


def request(host: str, path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def status_over(connection: ssl.SSLSocket, host: str) -> int:
    """The status of one request, its answer read whole."""
    connection.sendall(request(host))
    response = b""
    while b"\r\n\r\n" not in response:
        response += more(connection)
    head, _, body = response.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += more(connection)
    return int(head.split()[1])


def more(connection: ssl.SSLSocket) -> bytes:
    octets = connection.recv(65536)
    assert octets, "the connection has ended"
    return octets


@contextlib.contextmanager
def connected(
    stack: Stack, tls: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((LOOPBACK, stack.port), timeout=20) as tcp,
        tls.wrap_socket(tcp, server_hostname="acme.example", session=session) as connection,
    ):
        yield connection


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumed_session_carries_its_certificate_to_every_check(
    stack: Stack, version: ssl.TLSVersion
) -> None:
    """CVE-2025-23419: resumption towards another host brings no rights that were not there."""
    tls = context(stack, ALICE)
    tls.minimum_version = tls.maximum_version = version
    with connected(stack, tls) as first:
        assert status_over(first, "acme.example") == 200
        session = first.session
    for host, status in (("acme.example", 200), ("globex.example", 401), ("acme.example", 200)):
        with connected(stack, tls, session) as resumed:
            assert resumed.session_reused
            assert status_over(resumed, host) == status


def test_resumed_session_of_an_expired_certificate_is_refused(stack: Stack) -> None:
    """A session ticket outlives the certificate, and does not keep it valid."""
    credential = ending_soon()
    tls = context(stack, credential)
    with connected(stack, tls) as first:
        assert status_over(first, "acme.example") == 200
        session = first.session
    wait_for_end(credential)
    with connected(stack, tls, session) as resumed:
        assert resumed.session_reused
        assert status_over(resumed, "acme.example") == 403


def test_keep_alive_connection_ends_its_rights_when_the_certificate_expires(stack: Stack) -> None:
    """The next request after notAfter is refused, though the verification had been kept."""
    credential = ending_soon()
    with connected(stack, context(stack, credential)) as connection:
        assert [status_over(connection, "acme.example") for _ in range(3)] == [200] * 3
        wait_for_end(credential)
        assert status_over(connection, "acme.example") == 403


def test_hosts_of_one_connection_are_checked_each_by_its_own_policy(stack: Stack) -> None:
    """A connection that began with one host gets no further than that with another."""
    with connected(stack, context(stack, ALICE)) as connection:
        hosts = ["acme.example", "globex.example", "nobody.example", "acme.example"]
        assert [status_over(connection, host) for host in hosts] == [200, 401, 403, 200]


async def test_hosts_of_one_http2_connection_are_checked_each_by_its_own_policy(
    stack: Stack,
) -> None:
    """Browsers coalesce connections: two authorities on one are two checks."""
    tls = context(stack, ALICE)
    tls.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(
        LOOPBACK, stack.port, ssl=tls, server_hostname="acme.example"
    )
    protocol = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    protocol.initiate_connection()
    hosts = {1: "acme.example", 3: "globex.example", 5: "a.acme.example", 7: "nobody.example"}
    for stream, host in hosts.items():
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", "/")]
        protocol.send_headers(stream, fields, end_stream=True)
    statuses: dict[int, str] = {}
    async with asyncio.timeout(20):
        while len(statuses) < len(hosts):
            writer.write(protocol.data_to_send())
            for event in protocol.receive_data(await reader.read(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    assert event.stream_id is not None
                    assert event.headers is not None
                    statuses[event.stream_id] = dict(event.headers)[b":status"].decode()
    await Wire(reader, writer).close()

    assert statuses == {1: "200", 3: "401", 5: "200", 7: "403"}


def test_each_request_of_a_pipeline_has_its_own_line_in_the_log(stack: Stack) -> None:
    """Requests that come in one packet are as many checks."""
    paths = [f"/{uuid.uuid4().hex}" for _ in range(5)]
    with connected(stack, context(stack, None)) as connection:
        connection.sendall(b"".join(request("acme.example", path) for path in paths))
        response = b""
        while response.count(b"HTTP/1.1 403") < len(paths):
            response += more(connection)

    assert [stack.decision_on(path)["allowed"] for path in paths] == [False] * 5


def test_requests_without_end_do_not_disturb_others(stack: Stack) -> None:
    """A client that never finishes its request keeps nobody waiting."""
    with connected(stack, context(stack, None)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: acme.example\r\nX-Slow: ")
        assert stack.ask(ALICE).status == 200

"""Spans of checks, and a collector that takes them or does not."""

import contextlib
import logging
import os
import queue
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from logging.handlers import QueueHandler

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.common import http
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client import CollectorRegistry

from extauthz import __version__
from extauthz.check import CheckRequest
from extauthz.decision import Decision, undecided
from extauthz.exemption import Exemption
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.observe import span_export
from extauthz.observe.record import Entry
from extauthz.observe.tracing import (
    CheckSpans,
    attributes_of,
    is_unsampled,
    parent_of,
    running,
    times_of,
)
from extauthz.observe.tracing_settings import TracingSettings
from extauthz.policy import Mode
from extauthz.redaction import Redacted, Redaction
from tests.observe.otlp_receiver import Answer, Receiver, attributes, receiving, takes
from tests.ports import LOOPBACK, free_port

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
MISSING = Finding(Reason.CERTIFICATE_MISSING, "the client presented no certificate")
DENIED = undecided(MISSING)
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entry(
    decision: Decision = DENIED,
    request: CheckRequest | None = None,
    traceparent: str = "",
    seconds: float = 0.0,
) -> Entry:
    """A check that was decided just now."""
    return Entry(decision, request, "an-id", 1, datetime.now(UTC), seconds, None, traceparent)


def asked(host: str = "acme.example", method: str = "GET") -> CheckRequest:
    """A request that says all that there is to say of somebody."""
    logins = (Login("alice", "basic"),)
    of = ("/users/alice", None, logins, (), MISSING, "an-id", "203.0.113.9", "curl/8")
    return CheckRequest(host, method, *of)


def to(receiver: Receiver, **more: object) -> TracingSettings:
    """Settings that send soon."""
    url = f"{receiver.url}/v1/traces"
    return TracingSettings(url, **{"delay_ms": 20, **more})  # type: ignore[arg-type]


def counted(spans: CheckSpans) -> dict[str, float]:
    """What became of spans, as `/metrics` says it."""
    metrics = CollectorRegistry()
    metrics.register(spans)
    outcomes = ("sent", "failed", "dropped")
    values = {each: metrics.get_sample_value("extauthz_spans_total", {"outcome": each})
              for each in outcomes}  # fmt: skip
    return {each: value for each, value in values.items() if value is not None}


def eventually(spans: CheckSpans, seconds: float = 10.0, **expected: float) -> None:
    """Wait until the counters say so."""
    deadline = time.monotonic() + seconds
    while not expected.items() <= counted(spans).items():
        assert time.monotonic() < deadline, counted(spans)
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that does its part has the time that a busy machine may need.

    No proxy stands before it, and it hears of nobody else's settings.
    """
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", LOOPBACK)
    monkeypatch.setattr(span_export, "CLOSE_SECONDS", 60.0)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


class TestASpan:
    """What it says, and what it does not."""

    def test_is_the_child_of_the_one_that_the_request_names(self, receiver: Receiver) -> None:
        """It is a server's, with the times of the check, and a refusal is no error."""
        seen = entry(traceparent=NOT_SAMPLED, seconds=0.25)
        with running(to(receiver)) as spans:
            spans.saw(seen, b"")
        (span,) = receiver.wait()
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert len(span.span_id) == 8
        assert (span.name, span.kind) == ("check", Span.SPAN_KIND_SERVER)
        assert span.end_time_unix_nano - span.start_time_unix_nano == 250_000_000
        assert abs(span.end_time_unix_nano / 1e9 - seen.time.timestamp()) < 60
        assert span.status.code == Status.STATUS_CODE_UNSET
        assert receiver.paths == ["/v1/traces"]

    def test_comes_from_us(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        """Under our name, unless the operator has another one for us, and with their labels."""
        given = "deployment.environment.name=test,team=web"
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", given)
        for name in ("", "gate"):
            monkeypatch.setenv("OTEL_SERVICE_NAME", name)
            with running(to(receiver)) as spans:
                spans.saw(entry(), b"")
        ours, theirs = (
            attributes(each.resource_spans[0].resource.attributes) for each in receiver.requests
        )
        assert (ours["service.name"], theirs["service.name"]) == ("extauthz", "gate")
        assert ours["service.version"] == __version__
        assert (ours["team"], ours["deployment.environment.name"]) == ("web", "test")

    def test_of_an_error_of_ours_is_an_error(self, receiver: Receiver) -> None:
        """The kind stands where the conventions want it."""
        decision = undecided(Finding(Reason.INTERNAL_ERROR, "ZeroDivisionError"))
        with running(to(receiver)) as spans:
            spans.saw(entry(decision), b"")
        (span,) = receiver.wait()
        assert span.status.code == Status.STATUS_CODE_ERROR
        assert attributes(span.attributes)["error.type"] == "internal_error"

    def test_names_nobody(self, receiver: Receiver) -> None:
        """Neither login, nor client, path, user agent, nor what was compared is in it."""
        with running(to(receiver)) as spans:
            spans.saw(entry(request=asked()), b'{"path":"/users/alice"}\n')
        (span,) = receiver.wait()
        assert attributes(span.attributes) == {
            "extauthz.decision": "deny",
            "extauthz.allowed": False,
            "extauthz.reasons": ["certificate_missing"],
            "extauthz.tolerated": [],
            "extauthz.request_id": "an-id",
            "http.request.method": "GET",
            "server.address": "acme.example",
        }

    def test_says_by_which_rule_somebody_passed(self) -> None:
        """The mode, and the exemption by its name."""
        exemption = Exemption("webhooks", "a machine", NOW, logins=frozenset({"alice"}))
        decision = Decision(None, (), tolerated=(MISSING,), mode=Mode.ENFORCE, exemption=exemption)
        said = attributes_of(entry(decision))
        assert (said["extauthz.decision"], said["extauthz.allowed"]) == ("allow", True)
        assert said["extauthz.tolerated"] == ["certificate_missing"]
        assert (said["extauthz.mode"], said["extauthz.exempt"]) == ("enforce", "webhooks")

    def test_is_the_same_where_people_are_hidden(self) -> None:
        """There was nothing to hide."""
        hidden = Redaction(frozenset(Redacted), b"k" * 16)
        seen = entry(request=asked())
        assert attributes_of(seen._replace(redaction=hidden)) == attributes_of(seen)

    @pytest.mark.parametrize(
        ("host", "address"),
        [
            ("Acme.Example:8443", "acme.example"),
            ("[2001:DB8:0::1]:443", "2001:db8::1"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("alice@acme.example", None),
            ("\udc80.example", None),
            ("x" * 5000, None),
        ],
    )
    def test_has_a_host_and_no_port(self, host: str, address: str | None) -> None:
        """What is no host is left out."""
        assert attributes_of(entry(request=asked(host))).get("server.address") == address

    def test_has_methods_that_are_known(self) -> None:
        """A client could make up any number of others."""
        said = [attributes_of(entry(request=asked(method=each))) for each in ("PATCH", "ALICE")]
        assert [each["http.request.method"] for each in said] == ["PATCH", "_OTHER"]

    def test_whose_request_id_is_no_text_takes_no_other_with_it(self, receiver: Receiver) -> None:
        """Octets that are no UTF-8 cannot be sent, nor is there room for any number."""
        with running(to(receiver)) as spans:
            spans.saw(entry()._replace(request_id="\udcff" + "x" * 5000), b"")
            spans.saw(entry(), b"")
        strange, other = (attributes(span.attributes) for span in receiver.wait(2))
        assert strange["extauthz.request_id"] == "\\udcff" + "x" * 127
        assert other["extauthz.request_id"] == "an-id"

    @pytest.mark.parametrize(
        ("decided", "seconds", "now", "start", "end"),
        [
            pytest.param(100.0, 2.0, 102.1, 100.0, 102.0, id="decided as of its beginning"),
            pytest.param(102.0, 2.0, 102.1, 100.1, 102.1, id="decided after waiting"),
            pytest.param(100.0, 2.0, 50.0, 98.0, 100.0, id="the clock was put back"),
        ],
    )
    def test_ends_no_later_than_it_is_seen(
        self, decided: float, seconds: float, now: float, start: float, end: float
    ) -> None:
        """It is known how long a check took, and one instant of it."""
        seen = entry(seconds=seconds)._replace(time=EPOCH + timedelta(seconds=decided))
        assert times_of(seen, int(now * 1e9)) == (int(start * 1e9), int(end * 1e9))


class TestParents:
    """`traceparent` is whatever a client likes."""

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "garbage",
            SAMPLED[:-1],
            SAMPLED.upper(),
            f"00-{'0' * 32}-{PARENT}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"ff-{TRACE}-{PARENT}-01",
            f"{SAMPLED}-more",
            f"{SAMPLED}, {SAMPLED}",
            SAMPLED.replace("a", "а"),  # a Cyrillic one
            "01-" + SAMPLED[3:] + "-" + "x" * 100_000,
            "\udcff" + SAMPLED,
        ],
        ids=range(12),
    )
    def test_what_is_none_begins_a_trace(
        self, receiver: Receiver, caplog: pytest.LogCaptureFixture, header: str
    ) -> None:
        """Nobody is told of it: a client could fill a disk."""
        caplog.set_level(logging.DEBUG)
        with running(to(receiver)) as spans:
            spans.saw(entry(traceparent=header), b"")
        (span,) = receiver.wait()
        assert span.parent_span_id == b""
        assert span.trace_id.hex() not in {TRACE, "0" * 32}
        assert [each.message for each in caplog.records if "trace" in each.name] == []

    @pytest.mark.parametrize("more", ["", "-more"])
    def test_a_later_version_is_read_as_far_as_it_is_known(self, more: str) -> None:
        """As the specification wants it."""
        named = trace.get_current_span(parent_of(f"cc-{TRACE}-{PARENT}-01{more}"))
        assert f"{named.get_span_context().trace_id:032x}" == TRACE

    @given(st.text(max_size=600) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-..?.?"))
    def test_any_text_is_a_parent_or_none(self, header: str) -> None:
        """What is one stands in the header; nothing raises."""
        named = trace.get_current_span(parent_of(header)).get_span_context()
        if named.is_valid:
            assert f"{named.trace_id:032x}-{named.span_id:016x}" in header
            assert named.is_remote

    @given(
        st.from_regex(r"\A0[01]-[0a]{32}-[0a]{16}-[0-9a-f][0-9a-f](-.*)?\Z")
        | st.sampled_from([SAMPLED, NOT_SAMPLED, f"{NOT_SAMPLED} ", NOT_SAMPLED.upper()])
    )
    def test_the_short_cut_leads_where_the_long_way_does(self, header: str) -> None:
        """What it takes for not sampled, the library does as well; and it takes what is common."""
        named = trace.get_current_span(parent_of(header)).get_span_context()
        if is_unsampled(header):
            assert named.is_valid
            assert not named.trace_flags.sampled
        elif header.startswith("00-") and header == header.strip():
            assert not named.is_valid or named.trace_flags.sampled


class TestSampling:
    """Which checks become spans."""

    @staticmethod
    def made(receiver: Receiver, seen: list[Entry], **settings: object) -> list[Span]:
        settings = {"queue": 10_000, **settings}
        with running(to(receiver, **settings)) as spans:
            for each in seen:
                spans.saw(each, b"")
        return receiver.spans()

    @pytest.mark.parametrize("traceparent", ["", SAMPLED, NOT_SAMPLED])
    @pytest.mark.parametrize(("ratio", "count"), [(0.0, 0), (1.0, 20)])
    def test_none_and_all(
        self, receiver: Receiver, traceparent: str, ratio: float, count: int
    ) -> None:
        """Whatever the request says of it."""
        seen = [entry(traceparent=traceparent)] * 20
        assert len(self.made(receiver, seen, ratio=ratio)) == count

    @pytest.mark.parametrize(
        "traceparent",
        [SAMPLED, f"00-{'0' * 31}1-{PARENT}-01", ""],
        ids=["sampled", "a trace id that is always sampled", "none"],
    )
    def test_a_client_brings_about_no_more_than_the_ratio(
        self, receiver: Receiver, traceparent: str
    ) -> None:
        """Neither by the flag nor by choosing the id of its trace."""
        random.seed(1)
        count = len(self.made(receiver, [entry(traceparent=traceparent)] * 2000, ratio=0.1))
        assert 140 <= count <= 260

    def test_a_request_decides_where_that_is_wished(self, receiver: Receiver) -> None:
        """One that says nothing, or nothing that can be read, does not."""
        flags = [SAMPLED, NOT_SAMPLED, "", f"{SAMPLED}-garbage"]
        seen = [entry(traceparent=each) for each in flags]
        (span,) = self.made(receiver, seen, ratio=0.0, follows_parent=True)
        assert span.parent_span_id.hex() == PARENT
        assert len(self.made(receiver, seen, ratio=1.0, follows_parent=True)) == 1 + 3

    @pytest.mark.parametrize("follows", [False, True])
    def test_each_has_its_own_trace_where_that_is_wished(
        self, receiver: Receiver, *, follows: bool
    ) -> None:
        """The header is not read at all then."""
        seen = [entry(traceparent=NOT_SAMPLED)] * 2
        spans = self.made(receiver, seen, continues=False, follows_parent=follows)
        assert {span.parent_span_id for span in spans} == {b""}
        assert len({span.trace_id for span in spans} - {bytes.fromhex(TRACE)}) == 2


def garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\0\r\n\r\nHTTP")
    handler.close_connection = True


def status(code: int, *headers: tuple[str, str]) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for header in (*headers, ("Content-Length", "0")):
            handler.send_header(*header)
        handler.end_headers()

    return answer


@contextmanager
def tries() -> Iterator[queue.SimpleQueue[logging.LogRecord]]:
    """What the library says of its attempts, which nobody else hears."""
    said: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler, logger = QueueHandler(said), logging.getLogger("opentelemetry.exporter")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


class TestCollectors:
    """One that does not do its part costs spans, and nothing else."""

    @pytest.fixture(autouse=True)
    def _quicker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The end does not wait for long; a try may take any time."""
        monkeypatch.setattr(span_export, "CLOSE_SECONDS", 0.5)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")

    @pytest.mark.parametrize(
        ("answer", "says"),
        [
            (status(400), "the collector says 400 Bad Request"),
            (status(404), "the collector says 404 Not Found"),
            (status(503, ("Retry-After", "3600")), "the collector says 503 Service Unavailable"),
            (status(302, ("Location", "https://login.example/")), "the collector says 302 Found"),
            (garbage, "BadStatusLine"),
        ],
        ids=["refuses", "is not there", "wants to be left alone", "redirects", "babbles"],
    )
    def test_a_failure_is_said_once_and_counted(
        self,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        answer: Answer,
        says: str,
    ) -> None:
        """With what is wrong; the libraries say it again and again, and are not heard."""
        monkeypatch.setattr(http, "_MAX_RETRIES", 1)
        with receiving(answer) as receiver:
            settings = to(receiver, batch=1, queue=10)
            with running(settings) as spans:
                for count in (1, 2, 3):
                    spans.saw(entry(), b"")
                    eventually(spans, failed=count, sent=0, dropped=0)
        messages = [each.getMessage() for each in caplog.records]
        assert len(messages) == 2, messages
        assert re.match(f"tracing: spans are lost: .*{re.escape(says)}", messages[0]), messages[0]
        assert messages[1] == "tracing: 3 of 3 spans were lost"

    def test_the_end_of_it_is_said_too(self, caplog: pytest.LogCaptureFixture) -> None:
        """Once nothing was lost between two batches: one that fails now and then is no news."""
        with receiving() as receiver, running(to(receiver, batch=1)) as spans:
            expected = {"sent": 0, "failed": 0}
            for outcome in ("failed", "sent", "failed", "sent", "sent"):
                receiver.answer = takes if outcome == "sent" else status(400)
                expected[outcome] += 1
                spans.saw(entry(), b"")
                eventually(spans, **expected)
        assert [each.getMessage() for each in caplog.records] == [
            "tracing: spans are lost: the collector says 400 Bad Request",
            "tracing: spans are sent again; 2 were lost so far",
            "tracing: 2 of 5 spans were lost",
        ]

    def test_an_endless_answer_is_not_read_to_its_end(self) -> None:
        """It would fill the memory."""
        written: list[int] = []

        def endless(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            handler.close_connection = True
            with contextlib.suppress(OSError):
                while len(written) < 1000:
                    written.append(handler.wfile.write(b"x" * 1024 * 1024))

        with receiving(endless) as receiver, running(to(receiver)) as spans:
            spans.saw(entry(), b"")
            eventually(spans, sent=1)
        assert len(written) < 100

    def test_connections_are_used_again(self, receiver: Receiver) -> None:
        """A handshake for each batch would cost more than the batch."""
        with running(to(receiver, batch=1)) as spans:
            for count in range(5):
                spans.saw(entry(), b"")
                receiver.wait(count + 1)
        assert (len(receiver.requests), len(receiver.connections)) == (5, 1)

    def test_what_does_not_fit_is_dropped_before_it_is_made(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One that hangs stops neither a check nor, for more than seconds, the end."""
        with receiving(lambda handler: handler.server.gone.wait()) as receiver:  # type: ignore[attr-defined]
            with running(to(receiver, queue=10, batch=5)) as spans:
                began = time.monotonic()
                for _ in range(5000):
                    spans.saw(entry(), b"")
                # Waiting for the collector once would take ten minutes, as would the end.
                assert time.monotonic() - began < 30
                assert counted(spans) == {"sent": 0, "failed": 0, "dropped": 4990}
                began = time.monotonic()
            assert time.monotonic() - began < 30
        assert [each.getMessage() for each in caplog.records] == [
            "tracing: spans are lost: 10 wait for the collector to take them",
            "tracing: 5000 of 5000 spans were lost",
        ]

    def test_nobody_waits_for_one_that_is_not_there(self, caplog: pytest.LogCaptureFixture) -> None:
        """Tries are given up at the end, and no thread is left that goes on.

        A key that the URL may hold is not said.
        """
        settings = TracingSettings(f"http://{LOOPBACK}:{free_port()}/?key=secret", delay_ms=20)
        before = threading.active_count()
        with tries() as said, running(settings) as spans:
            spans.saw(entry(), b"")
            assert "retrying" in said.get(timeout=30).getMessage()
            began = time.monotonic()
        # All of its tries would take half a minute.
        assert time.monotonic() - began < 15
        deadline = time.monotonic() + 15
        while threading.active_count() > before:
            assert time.monotonic() < deadline, threading.enumerate()
            time.sleep(0.01)
        assert "Connection refused" in caplog.text
        assert "secret" not in caplog.text


def test_a_bug_takes_no_check_with_it(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and the next check has its span."""
    broken = entry()._replace(time=None)  # type: ignore[arg-type]
    with running(to(receiver)) as spans:
        for each in (broken, broken, entry()):
            spans.saw(each, b"")
    assert len(receiver.wait()) == 1
    (said,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert said.exc_info is not None


def test_nothing_else_in_the_process_is_changed(receiver: Receiver) -> None:
    """No global provider, and loggers are as they were."""
    names = ("opentelemetry.exporter", "urllib3")
    before = [(list(logging.getLogger(each).handlers), logging.getLogger(each).propagate)
              for each in names]  # fmt: skip
    provider = trace.get_tracer_provider()
    with running(to(receiver)) as spans:
        spans.saw(entry(), b"")
    assert trace.get_tracer_provider() is provider
    assert before == [
        (list(logging.getLogger(each).handlers), logging.getLogger(each).propagate)
        for each in names
    ]

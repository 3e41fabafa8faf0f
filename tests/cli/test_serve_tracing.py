"""`extauthz serve --tracing`: spans of a running server, at a collector that decodes them."""

import logging
import os
import re
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

import pytest

from extauthz.cli import serve_tracing
from extauthz.cli.serve_tracing import Spans
from extauthz.decision import undecided
from extauthz.findings import Finding, Reason
from extauthz.observe.record import Entry
from extauthz.observe.span_export import CLOSE_SECONDS
from tests.cli.conftest import COMMAND, ENVIRONMENT, Company, Server, forwarded
from tests.observe.otlp_receiver import Receiver, attributes, receiving
from tests.ports import LOOPBACK

Serving = Callable[..., AbstractContextManager[Server]]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
UNINSTALLED = """
import sys
sys.modules["opentelemetry"] = None
from extauthz.cli import main
sys.exit(main())
"""
WITHOUT_THE_EXTRA = (sys.executable, "-c", UNINSTALLED)


def environment(url: str, **more: str) -> tuple[str, ...]:
    """A command line that starts extauthz with OpenTelemetry's variables."""
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "20", **more}
    return ("env", *(f"{name}={value}" for name, value in given.items()), *COMMAND)


def ask(server: Server, company: Company, **headers: str) -> int:
    """A check of alice's certificate, with all that a request may hold of somebody."""
    connection = server.connect()
    given = {
        "Host": "acme.example.com",
        "authorization": "Basic YWxpY2U6c2VjcmV0",
        "x-forwarded-client-cert": forwarded(company.alice),
        "x-extauthz-client-address": "203.0.113.9",
        "x-request-id": "an-id",
        **headers,
    }
    connection.request("GET", "/check/private?token=secret", headers=given)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_a_check_becomes_a_span_of_its_trace(
    company: Company, serving: Serving, receiver: Receiver
) -> None:
    """With how it ended, and with nobody's name, address or path."""
    began = time.time_ns()
    with serving(company.policy, "--tracing", command=environment(receiver.url)) as server:
        assert ask(server, company, traceparent=f"00-{TRACE}-{PARENT}-01") == 200
        (span,) = receiver.wait()
        server.said(rf"spans of 100 % of the checks go to {receiver.url}/v1/traces\n")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert began < span.start_time_unix_nano < span.end_time_unix_nano < time.time_ns()
    assert attributes(span.attributes) == {
        "extauthz.decision": "allow",
        "extauthz.allowed": True,
        "extauthz.reasons": [],
        "extauthz.tolerated": [],
        "extauthz.subscription": "acme",
        "extauthz.mode": "enforce",
        "extauthz.request_id": "an-id",
        "http.request.method": "GET",
        "server.address": "acme.example.com",
    }
    (sent,) = receiver.requests
    octets = sent.SerializeToString()
    for secret in (b"alice", b"203.0.113.9", b"private", b"token", b"secret"):
        assert secret not in octets


def test_the_last_spans_are_sent_at_the_end(
    company: Company, serving: Serving, receiver: Receiver
) -> None:
    """Also those that still waited for others."""
    command = environment(receiver.url, OTEL_BSP_SCHEDULE_DELAY="60000")
    with serving(company.policy, "--tracing", command=command) as server:
        for _ in range(3):
            ask(server, company)
        assert receiver.spans() == []
        assert server.stop() == 0
        assert len(receiver.spans()) == 3
        assert "lost" not in server.stderr


def test_a_collector_that_takes_nothing_costs_checks_nothing(
    company: Company, serving: Serving
) -> None:
    """Nor does the server's end wait for it for long; that spans are lost is said."""
    with receiving(lambda handler: handler.server.gone.wait()) as hanging:  # type: ignore[attr-defined]
        command = environment(
            hanging.url, OTEL_BSP_MAX_QUEUE_SIZE="4", OTEL_EXPORTER_OTLP_TIMEOUT="600"
        )
        with serving(company.policy, "--tracing", command=command) as server:
            ask(server, company)
            took = []
            for _ in range(50):
                began = time.monotonic()
                assert ask(server, company) == 200
                took.append(time.monotonic() - began)
            assert sorted(took)[len(took) // 2] < 0.1
            server.said("tracing: spans are lost: 4 wait for the collector to take them")
            began = time.monotonic()
            assert server.stop(seconds=60) == 0
            assert time.monotonic() - began < CLOSE_SECONDS + 3
            server.said("tracing: 51 of 51 spans were lost")
            assert server.stderr.count("spans are lost") == 1


def test_nothing_is_sent_unasked(company: Company, serving: Serving, receiver: Receiver) -> None:
    """OpenTelemetry's variables alone turn nothing on, nor is the extra needed without it."""
    given = [part for part in environment(receiver.url) if part not in COMMAND]
    with serving(company.policy, command=(*given, *WITHOUT_THE_EXTRA)) as server:
        assert ask(server, company) == 200
        assert server.stop() == 0
    assert receiver.paths == []


@contextmanager
def tracing(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[tuple[Spans, ...]]:
    """What `--tracing` makes of an environment."""
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    for name, value in {"no_proxy": LOOPBACK, **variables}.items():
        monkeypatch.setenv(name, value)
    with serve_tracing.opened(Namespace(tracing=True)) as spans:
        yield spans


def test_the_environment_can_turn_it_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And somebody who wonders is told."""
    with tracing(monkeypatch, OTEL_SDK_DISABLED="true") as spans:
        assert spans == ()
    assert "--tracing: OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER turns it off" in caplog.text


def test_a_password_in_the_url_is_not_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, receiver: Receiver
) -> None:
    """Whoever reads the messages need not know it; that sampling is left to others, they do."""
    caplog.set_level(logging.INFO)
    request = undecided(Finding(Reason.REQUEST_MALFORMED, "no more to say"))
    parent = f"00-{TRACE}-{PARENT}-01"
    entry = Entry(request, None, "an-id", 1, datetime.now(UTC), 0.0001, traceparent=parent)
    with tracing(
        monkeypatch,
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url.replace("//", "//us:secret@"),
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0",
    ) as (spans,):
        spans.saw(entry, b"")
    receiver.wait()

    (said,) = [each.getMessage() for each in caplog.records]
    assert re.match(
        "spans of 0 % of the checks go to .*; a request with a traceparent decides", said
    )
    assert "secret" not in said
    assert receiver.headers[0]["authorization"] == "Basic dXM6c2VjcmV0"


def test_the_extra_that_is_missing_is_named(company: Company) -> None:
    """With the command that installs it, before anything listens."""
    serve = ["serve", "--policy", str(company.policy), "--listen", f"{LOOPBACK}:0"]
    command = [*WITHOUT_THE_EXTRA, *serve, "--admin", f"{LOOPBACK}:0", "--tracing"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=30, env=ENVIRONMENT
    )
    assert done.returncode == 1
    assert done.stderr == (
        "extauthz: --tracing needs OpenTelemetry, which is not installed:"
        ' pip install "extauthz[otel]"\n'
    )


def test_a_variable_that_makes_no_sense_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which one, and what it could be."""
    with (
        pytest.raises(SystemExit) as end,
        tracing(monkeypatch, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"),
    ):
        pass
    assert end.value.code == (
        "extauthz: --tracing: the environment variable OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc':"
        " it must be http/protobuf, the one protocol that is spoken here"
    )

"""Traces through the real Envoy, with what the documentation says about it."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.observe.otlp_receiver import Receiver, attributes, receiving
from tests.ports import LOOPBACK
from tests.wire.envoy_process import PATIENCE, TEMPLATE
from tests.wire.stack import ALICE, POLICY, SIGNERS, Stack, wait_until_asked

DOCUMENT = Path(__file__).parents[2] / "docs" / "tracing.md"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = (f"traceparent: 00-{TRACE}-{PARENT}-0{flag}" for flag in (1, 0))


@contextmanager
def traced(directory: Path, receiver: Receiver, template: str, sampler: str) -> Iterator[Stack]:
    """A stack whose extauthz makes spans."""
    stack = Stack(directory, POLICY)
    for subscription, issuer in SIGNERS.items():
        stack.sign_in(issuer, subscription)
    stack.configure_envoy(template)
    stack.extauthz.command.append("--tracing")
    programs = (stack.service, stack.extauthz, stack.envoy)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        environment.setenv("OTEL_TRACES_SAMPLER", sampler)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        try:
            stack.start_service()
            stack.start_extauthz()
            stack.start_envoy()
            wait_until_asked(stack)
            yield stack
        finally:
            for program in reversed(programs):
                program.stop()


def with_tracing(receiver: Receiver, percent: int) -> str:
    """The configuration with what the documentation adds to it."""
    tracing, cluster = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    tracing = tracing.replace(
        "random_sampling: {value: 1}", f"random_sampling: {{value: {percent}}}"
    )
    cluster = cluster.replace("port_value: 4318", f"port_value: {receiver.server_address[1]}")
    cluster = cluster.replace("address: collector", f"address: {LOOPBACK}")
    text = TEMPLATE.read_text()
    text = text.replace("          http_filters:\n", f"{tracing}\n          http_filters:\n")
    text = text.replace("\n  clusters:\n", f"\n  clusters:\n{cluster}\n")
    limit = "      http.max_requests_per_io_cycle: 1"
    # By default Envoy sends its spans every five seconds.
    text = text.replace(limit, f"{limit}\n      tracing.opentelemetry.flush_interval_ms: 50")
    assert f"random_sampling: {{value: {percent}}}" in text
    return text


def span_of(receiver: Receiver, request_id: object, service: str = "extauthz") -> Span:
    """The span of a request, once it is there."""
    key = "extauthz.request_id" if service == "extauthz" else "guid:x-request-id"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for span in receiver.spans(service):
            if attributes(span.attributes).get(key) == request_id:
                return span
        time.sleep(0.02)
    raise AssertionError(f"{service} has no span of {request_id}")


def test_a_clients_trace_is_continued(tmp_path: Path) -> None:
    """Envoy, which traces nothing itself, hands on the header that the client sent."""
    with (
        receiving() as receiver,
        traced(tmp_path, receiver, TEMPLATE.read_text(), "always_on") as stack,
    ):
        traced_one = stack.ask(ALICE, "--header", NOT_SAMPLED, login="alice")
        other = stack.ask(ALICE, login="alice")
        refused = stack.ask(None, "--header", SAMPLED)
        for answer, parent in ((traced_one, PARENT), (other, ""), (refused, PARENT)):
            span = span_of(receiver, answer.decision["request_id"])
            assert span.parent_span_id.hex() == parent
            assert (span.trace_id.hex() == TRACE) is bool(parent)
            said = attributes(span.attributes)
            assert said["extauthz.decision"] == answer.decision["decision"]
            assert said["extauthz.reasons"] == answer.reasons
        assert SAMPLED not in traced_one.body


class TestEnvoysOwnTrace:
    """Where Envoy traces, as documented, its word counts and the client's does not."""

    @pytest.fixture(scope="class")
    def receiver(self) -> Iterator[Receiver]:
        with receiving() as receiver:
            yield receiver

    @pytest.fixture(scope="class")
    def stack(
        self, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Stack]:
        template, sampler = with_tracing(receiver, 100), "parentbased_always_off"
        with traced(tmp_path_factory.mktemp("traced"), receiver, template, sampler) as stack:
            yield stack

    @pytest.mark.parametrize("header", ["", SAMPLED], ids=["no client's", "a client's"])
    def test_a_check_is_a_child_of_the_question(
        self, stack: Stack, receiver: Receiver, header: str
    ) -> None:
        """Which is a child of the request, which is a child of what the client says."""
        asked = stack.ask(ALICE, *(["--header", header] if header else []), login="alice")
        assert asked.status == 200
        check = span_of(receiver, asked.decision["request_id"])
        request = span_of(receiver, asked.decision["request_id"], "envoy")
        (question,) = [
            each for each in receiver.spans("envoy") if each.span_id == check.parent_span_id
        ]
        assert question.name == "async extauthz egress"
        assert question.parent_span_id == request.span_id
        assert request.parent_span_id.hex() == (PARENT if header else "")
        assert {request.trace_id, question.trace_id} == {check.trace_id}
        # Two processes read the clock, at moments between which either may have to wait for a
        # processor; Envoy reads it when it has turned to the request.
        slack = 20_000_000
        assert question.start_time_unix_nano - slack < check.start_time_unix_nano
        assert check.end_time_unix_nano < question.end_time_unix_nano + slack

    def test_no_query_is_in_a_span(self, stack: Stack, receiver: Receiver) -> None:
        """Nor the path, in ours or in Envoy's."""
        asked = stack.ask(ALICE, login="alice", path="/private?token=secret")
        for service in ("extauthz", "envoy"):
            span = span_of(receiver, asked.decision["request_id"], service)
            assert b"acme.example" in span.SerializeToString()
            assert b"private" not in span.SerializeToString()
            assert b"secret" not in span.SerializeToString()

    def test_the_service_sees_no_header_of_a_trace(self, stack: Stack) -> None:
        """Or the client's, as it was sent."""
        assert '"traceparent"' not in stack.ask(ALICE, login="alice").body
        name, _, value = SAMPLED.partition(": ")
        assert f'"{name}": "{value}"' in stack.ask(ALICE, "--header", SAMPLED, login="alice").body


def test_no_client_brings_about_a_span(tmp_path: Path) -> None:
    """Where Envoy samples none: neither by its flag, nor by Envoy's own headers."""
    with (
        receiving() as receiver,
        traced(tmp_path, receiver, with_tracing(receiver, 0), "parentbased_always_on") as stack,
    ):
        for header in (SAMPLED, "x-client-trace-id: mine", "x-envoy-force-trace: 1"):
            assert stack.ask(ALICE, "--header", header, login="alice").status == 200
        stack.extauthz.stop()
        assert receiver.spans() == receiver.spans("envoy") == []

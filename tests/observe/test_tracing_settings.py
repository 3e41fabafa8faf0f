"""What OpenTelemetry's environment variables ask for."""

from pathlib import Path

import pytest

from extauthz.observe.tracing_settings import TracingSettingError, TracingSettings, read

LOCAL = "http://localhost:4318/v1/traces"
BASE, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def test_without_a_variable_every_check_goes_to_this_machine() -> None:
    """What a request says of sampling is not followed, unlike OpenTelemetry's own default."""
    assert read({}) == TracingSettings(LOCAL, 1.0, follows_parent=False, continues=True)


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({BASE: "http://collector:4318"}, "http://collector:4318/v1/traces"),
        ({BASE: "https://collector/otlp/"}, "https://collector/otlp/v1/traces"),
        ({TRACES: "http://collector/spans"}, "http://collector/spans"),
        ({TRACES: "http://[::1]:1/t", BASE: "http://other:4318"}, "http://[::1]:1/t"),
        ({TRACES: "", BASE: " "}, LOCAL),
    ],
)
def test_the_endpoint_of_traces_is_taken_as_it_stands(
    environment: dict[str, str], endpoint: str
) -> None:
    """To the one of all signals, the path is added; what is empty is not there."""
    settings = read(environment)
    assert settings is not None
    assert settings.endpoint == endpoint


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio", "follows"),
    [
        ("always_on", "", 1.0, False),
        ("always_off", "", 0.0, False),
        ("traceidratio", "", 1.0, False),
        ("traceidratio", "0.01", 0.01, False),
        ("TraceIDRatio", "1e-3", 0.001, False),
        ("parentbased_always_on", "", 1.0, True),
        ("parentbased_always_off", "", 0.0, True),
        ("parentbased_traceidratio", "0.1", 0.1, True),
        ("always_on", "0.5", 1.0, False),
    ],
)
def test_a_sampler_is_a_ratio_and_who_goes_before_it(
    sampler: str, argument: str, ratio: float, *, follows: bool
) -> None:
    """Only the samplers that say so follow the request."""
    settings = read({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument})
    assert settings is not None
    assert (settings.ratio, settings.follows_parent) == (ratio, follows)


@pytest.mark.parametrize(
    ("propagators", "continues"),
    [("tracecontext,baggage", True), (" b3 , TraceContext", True), ("none", False)],
)
def test_a_trace_is_continued_unless_told_otherwise(propagators: str, *, continues: bool) -> None:
    """W3C's header is the one that is read."""
    settings = read({"OTEL_PROPAGATORS": propagators})
    assert settings is not None
    assert settings.continues is continues


@pytest.mark.parametrize(
    "environment", [{"OTEL_SDK_DISABLED": "TRUE"}, {"OTEL_TRACES_EXPORTER": "none"}]
)
def test_variables_can_turn_it_off(environment: dict[str, str]) -> None:
    """Whatever else they say."""
    assert read({**environment, BASE: "nonsense"}) is None


def test_a_queue_is_never_smaller_than_a_batch() -> None:
    """A small queue makes the batches small."""
    settings = read({"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_SCHEDULE_DELAY": "50"})
    assert settings is not None
    assert (settings.queue, settings.batch, settings.delay_ms) == (100, 100, 50)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({BASE: "collector:4318"}, f"{BASE} is 'collector:4318': it must be a URL"),
        ({TRACES: "grpc://collector:4317"}, f"{TRACES} is"),
        ({TRACES: "http://collector:99999/"}, "must be a URL"),
        ({TRACES: "http://[::1/"}, "must be a URL"),
        ({TRACES: "http:///v1/traces"}, "must be a URL"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc': it must be http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "must be otlp or none"),
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "'jaeger_remote': it must be always_on,"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1%"}, "from 0 to 1"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"}, "from 0 to 1"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.1"}, "from 0 to 1"),
        ({"OTEL_PROPAGATORS": "b3"}, "OTEL_PROPAGATORS is 'b3': it must be tracecontext"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "a whole number above 0"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "٣"}, "a whole number above 0"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "9" * 5000}, "a whole number above 0"),
        (
            {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "11"},
            "at most 10, the size of the queue (OTEL_BSP_MAX_QUEUE_SIZE)",
        ),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem"}, "a file that can be read"),
        ({"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "/nowhere/key.pem"}, "a file that can be read"),
    ],
)
def test_what_makes_no_sense_is_said(environment: dict[str, str], says: str) -> None:
    """With the variable, its value, and what it could be."""
    with pytest.raises(TracingSettingError) as raised:
        read(environment)
    assert says in str(raised.value)
    assert next(reversed(environment)) in str(raised.value)


def test_the_more_special_variable_goes_first() -> None:
    """A protocol that others use may stand there for all signals."""
    of_all, of_traces = "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    assert read({of_all: "grpc", of_traces: "http/protobuf"}) is not None


def test_a_file_that_is_there_is_left_to_the_exporter(tmp_path: Path) -> None:
    """Which reads it."""
    (tmp_path / "ca.pem").touch()
    assert read({"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}) is not None

"""A span for each check that is sampled, made once the check is over.

A span says how a check ended, and belongs to the trace that the request names. It names nobody: no
login, no email address, no client and no path is in it. Whoever may read the decision log finds
those there, under the request id.

What a request says of its trace is untrusted text. It chooses to which trace a span belongs, and,
unless the operator says otherwise, not whether there is one. So that neither a chosen trace id
brings it about, chance decides, and not, as elsewhere, the trace id.

The libraries are the optional extra `otel`. They are used without their global state: nothing else
in the process is traced.
"""

import logging
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HttpRequestMethodValues,
)
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS
from opentelemetry.trace import (
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Metric
from prometheus_client.registry import Collector

from extauthz import __version__
from extauthz.findings import Reason
from extauthz.hosts import normalise
from extauthz.observe.record import Entry
from extauthz.observe.span_export import SpanOutlet, unheard
from extauthz.observe.tracing_settings import TracingSettings

__all__ = ["CheckSpans", "attributes_of", "is_unsampled", "parent_of", "running", "times_of"]

NAME: Final = "check"
"""Of every span: what there are many of belongs in attributes."""
_MAX_TRACEPARENT = 512
"""Longest header that is read, in characters; those that are known have 55."""
_MAX_REQUEST_ID = 128
_METHODS = frozenset(method.value for method in HttpRequestMethodValues)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNSAMPLED = re.compile(
    r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][02468ace]"  # the last bit says it
)
_W3C = TraceContextTextMapPropagator()
_NO_PARENT = Context()

logger = logging.getLogger(__name__)


class CheckSpans(Collector):
    """Makes spans of checks, as a `Watcher`. For use in one event loop."""

    def __init__(self, settings: TracingSettings, tracer: Tracer, outlet: SpanOutlet) -> None:
        self._settings = settings
        self._tracer = tracer
        self._outlet = outlet
        self._has_failed = False

    def saw(self, entry: Entry, line: bytes) -> None:  # noqa: ARG002 (a span is less than a line)
        """Make a span of the check, if it is sampled and there is room."""
        try:
            parent = self._sampled(entry)
            if parent is not None and self._outlet.has_room():
                self._make(entry, parent)
                self._outlet.took()
        # Whatever goes wrong here, nobody's check or record is to fail for it.
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                logger.critical("a check could not be traced, by a bug", exc_info=True)

    def collect(self) -> Iterator[Metric]:
        yield from self._outlet.collect()

    def _sampled(self, entry: Entry) -> Context | None:
        """What a span of this check is the child of; None where there is to be none."""
        settings = self._settings
        if settings.continues and settings.follows_parent:
            if is_unsampled(entry.traceparent):
                return None
            parent = parent_of(entry.traceparent)
            named = get_current_span(parent).get_span_context()
            if named.is_valid:
                return parent if named.trace_flags.sampled else None
        if random.random() >= settings.ratio:  # noqa: S311 (nobody can look on and learn)
            return None
        return parent_of(entry.traceparent) if settings.continues else _NO_PARENT

    def _make(self, entry: Entry, parent: Context) -> None:
        start, end = times_of(entry, time.time_ns())
        span = self._tracer.start_span(
            NAME, parent, SpanKind.SERVER, attributes_of(entry), start_time=start
        )
        # A refusal is no error: it is what we are for.
        if any(each.reason is Reason.INTERNAL_ERROR for each in entry.decision.findings):
            span.set_attribute(ERROR_TYPE, Reason.INTERNAL_ERROR.value)
            span.set_status(StatusCode.ERROR)
        span.end(end)


def parent_of(traceparent: str) -> Context:
    """The span that a request names as its parent (W3C Trace Context 3.2); empty for none."""
    # The library would say of each one that is too long that it is.
    if not traceparent or len(traceparent) > _MAX_TRACEPARENT:
        return _NO_PARENT
    return _W3C.extract({"traceparent": traceparent}, _NO_PARENT)


def is_unsampled(traceparent: str) -> bool:
    """Whether it says, in the version of today, that its trace is not sampled.

    Where the request decides, this is what most say; `parent_of` would cost ten times as much.
    """
    return _UNSAMPLED.fullmatch(traceparent) is not None


def times_of(entry: Entry, now: int) -> tuple[int, int]:
    """When a check began and when it ended, in nanoseconds since 1970, as `now` is.

    The instant as of which it was decided is somewhere between the two: at the beginning, unless
    somebody had to be waited for. What is seen of it is seen soon after its end.
    """
    decided = (entry.time - _EPOCH) // _MICROSECOND * 1000
    lasted = int(entry.seconds * 1e9)
    end = max(decided, min(decided + lasted, now))
    return end - lasted, end


def attributes_of(entry: Entry) -> dict[str, str | bool | list[str]]:
    """What a span says of a check; the same whether or not the policy redacts."""
    decision, request = entry.decision, entry.request
    attributes: dict[str, str | bool | list[str]] = {
        "extauthz.decision": "deny" if decision.findings else "allow",
        "extauthz.allowed": decision.allowed,
        "extauthz.reasons": [finding.reason.value for finding in decision.findings],
        "extauthz.tolerated": [finding.reason.value for finding in decision.tolerated],
    }
    if decision.subscription is not None:
        attributes["extauthz.subscription"] = decision.subscription.name
    if decision.mode is not None:
        attributes["extauthz.mode"] = decision.mode.value
    if decision.exemption is not None:
        attributes["extauthz.exempt"] = decision.exemption.name
    if entry.request_id:
        # What is no text would keep a whole batch from being encoded.
        text = entry.request_id[:_MAX_REQUEST_ID].encode("utf-8", "backslashreplace")
        attributes["extauthz.request_id"] = text.decode("utf-8")
    if request is not None:
        is_known = request.method in _METHODS
        attributes[HTTP_REQUEST_METHOD] = request.method if is_known else "_OTHER"
        host = normalise(request.host)
        if host is not None:
            attributes[SERVER_ADDRESS] = host.strip("[]")
    return attributes


def _resource() -> Resource:
    """Who we are, unless the environment has another name for us, and whatever else it adds."""
    name = OTELResourceDetector().detect().attributes.get(SERVICE_NAME) or "extauthz"
    return Resource.create({SERVICE_NAME: name, SERVICE_VERSION: __version__})


@contextmanager
def running(settings: TracingSettings) -> Iterator[CheckSpans]:
    """Make and send spans. At the end, what waits is sent, within seconds."""
    provider = TracerProvider(
        sampler=ALWAYS_ON,  # what is not sampled does not come this far
        resource=_resource(),
        # What a span holds is bounded by what it is made of.
        span_limits=SpanLimits(*[SpanLimits.UNSET] * 8),
        # Its own end waits for longer than there is.
        shutdown_on_exit=False,
    )
    outlet = SpanOutlet(settings)
    provider.add_span_processor(outlet.processor)
    with unheard():
        try:
            yield CheckSpans(settings, provider.get_tracer("extauthz", __version__), outlet)
        finally:
            outlet.close()

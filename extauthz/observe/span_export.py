"""Sends spans to a collector, by OTLP over HTTP, from a thread of its own.

Whatever the collector does, checks do not wait for it and the server's end waits for seconds only:
how many spans wait has a bound, what goes beyond is dropped, and an answer is read up to a bound
too. Each span is counted as sent, failed or dropped. The first loss is said and so is the end of
it; what happens in between is in the metrics, for a collector that is down is not news each second.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import requests
import urllib3
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from requests.adapters import HTTPAdapter

from extauthz.observe.tracing_settings import TracingSettings
from extauthz.quoting import printable

__all__ = ["SpanOutlet", "unheard"]

CLOSE_SECONDS = 3.0
"""How long the end of the server waits for a collector. Containers have ten seconds for it all."""
_MAX_ANSWER = 64 * 1024
"""Octets of a collector's answer that are read; only its status counts."""
_LIBRARIES: Final = ("opentelemetry.exporter", "urllib3")
"""Loggers of those who send; one of them says each failed attempt."""

logger = logging.getLogger(__name__)


class SpanOutlet(SpanExporter, Collector):
    """Counts spans on their way out. Ask `has_room` before a span is made; `close` it at the end.

    Spans are made in one thread and sent in another; each adds only to counters of its own.
    """

    def __init__(self, settings: TracingSettings) -> None:
        self._posting = _Posting()
        session = requests.Session()
        session.stream = True
        for scheme in ("http://", "https://"):
            session.mount(scheme, self._posting)
        self._exporter = OTLPSpanExporter(settings.endpoint, session=session)
        self._queue = settings.queue
        self._made = self._dropped = 0
        self._sent = self._failed = 0
        self._lost_before = 0
        self._is_losing = False
        self._is_shut = False
        self.processor = BatchSpanProcessor(self, settings.queue, settings.delay_ms, settings.batch)
        """What spans are handed to once they are over."""

    @property
    def _waiting(self) -> int:
        return self._made - self._sent - self._failed

    @property
    def _lost(self) -> int:
        return self._dropped + self._failed

    def has_room(self) -> bool:
        """Whether one more span may wait; else it is counted as dropped."""
        if self._waiting < self._queue:
            return True
        self._dropped += 1
        self._say_lost(f"{self._queue} wait for the collector to take them")
        return False

    def took(self) -> None:
        """Count a span that `processor` was handed."""
        self._made += 1

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, as the processor asks for it in its thread."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self._sent += len(spans)
                self._say_recovered()
            else:
                self._failed += len(spans)
                self._say_lost(self._posting.failure or "they cannot be encoded")
        return result

    def shutdown(self) -> None:
        if not self._is_shut:
            self._is_shut = True
            self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Send what waits and end; give up on a collector that does not take it in seconds."""
        # By itself, the processor would wait for half a minute.
        ending = threading.Thread(target=self.processor.shutdown, name="spans-end", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)
        # Else it would try again, for as long as the process is there.
        self.shutdown()
        if lost := self._lost + self._waiting:
            logger.warning("tracing: %d of %d spans were lost", lost, self._made + self._dropped)

    def collect(self) -> Iterator[Metric]:
        spans = CounterMetricFamily(
            "extauthz_spans",
            "Spans of checks: sent, failed (the collector did not take them), or dropped (too many"
            " waited for it).",
            labels=["outcome"],
        )
        spans.add_metric(["sent"], self._sent)
        spans.add_metric(["failed"], self._failed)
        spans.add_metric(["dropped"], self._dropped)
        yield spans

    def _say_lost(self, why: str) -> None:
        if not self._is_losing:
            self._is_losing = True
            logger.error("tracing: spans are lost: %s", printable(why))

    def _say_recovered(self) -> None:
        """Say so, when nothing was lost since the last success either."""
        lost = self._lost
        if self._is_losing and lost == self._lost_before:
            self._is_losing = False
            logger.warning("tracing: spans are sent again; %d were lost so far", lost)
        self._lost_before = lost


class _Posting(HTTPAdapter):
    """Makes the exporter's requests: it reads answers whole, and takes a redirect for a success.

    What went wrong, the exporter keeps to itself.
    """

    failure = ""
    """Of the last request; empty for none."""

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        self.failure = ""
        try:
            response = super().send(*arguments, **options)
            # What was read to its end can be used again; else this ends the connection.
            response.raw.read(_MAX_ANSWER, decode_content=False)
            response.close()
            if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
                self.failure = f"the collector says {response.status_code} {response.reason}"
                if response.ok:
                    raise requests.HTTPError(self.failure)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # The path and the query may hold a key; which collector it is, the operator knows.
            request: requests.PreparedRequest = arguments[0]
            self.failure = str(error).replace(request.path_url, "…")
            raise
        return response


@contextmanager
def unheard() -> Iterator[None]:
    """Keep the libraries from saying each failed attempt."""
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    before = [logger.propagate for logger in loggers]
    silence = logging.NullHandler()
    for each in loggers:
        each.addHandler(silence)
        each.propagate = False
    try:
        yield
    finally:
        for each, propagates in zip(loggers, before, strict=True):
            each.removeHandler(silence)
            each.propagate = propagates

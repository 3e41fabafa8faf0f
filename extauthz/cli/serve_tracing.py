"""The options of `extauthz serve` about OpenTelemetry spans."""

import argparse
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import urlsplit

from prometheus_client.registry import Collector

from extauthz.observe.recorder import Watcher
from extauthz.observe.tracing_settings import TracingSettingError, TracingSettings, read

__all__ = ["Spans", "add_to", "opened"]

logger = logging.getLogger(__name__)


def add_to(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = command.add_argument_group("traces")
    group.add_argument(
        "--tracing",
        action="store_true",
        help="send an OpenTelemetry span for each check, by OTLP over HTTP; OpenTelemetry's own"
        " environment variables say where to (OTEL_EXPORTER_OTLP_ENDPOINT, default:"
        " http://localhost:4318) and for which share of the checks"
        " (OTEL_TRACES_SAMPLER=traceidratio and OTEL_TRACES_SAMPLER_ARG=0.01; default: all)",
    )


class Spans(Watcher, Collector, Protocol):
    """Makes spans, and counts them for `/metrics`."""


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[tuple[Spans, ...]]:
    """Who makes spans, where the options ask for them; until the end, when all are sent.

    Raises SystemExit, with what is wrong, where that cannot be done.
    """
    try:
        settings = read(os.environ) if options.tracing else None
    except TracingSettingError as error:
        raise SystemExit(f"extauthz: --tracing: {error}") from error
    if settings is None:
        if options.tracing:
            logger.warning("--tracing: OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER turns it off")
        yield ()
        return
    try:
        from extauthz.observe import tracing  # noqa: PLC0415 (needs an optional extra)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise SystemExit(
            "extauthz: --tracing needs OpenTelemetry, which is not installed:"
            ' pip install "extauthz[otel]"'
        ) from error
    with tracing.running(settings) as spans:
        logger.info("%s", _announcement(settings))
        yield (spans,)


def _announcement(settings: TracingSettings) -> str:
    """What is sent where. A password in the URL is left out."""
    url = urlsplit(settings.endpoint)
    place = url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()
    share = f"spans of {100 * settings.ratio:.4g} % of the checks go to {place}"
    if settings.continues and settings.follows_parent:
        return f"{share}; a request with a traceparent decides for itself (OTEL_TRACES_SAMPLER)"
    return share

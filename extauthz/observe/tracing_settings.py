"""What is asked of tracing, by OpenTelemetry's own environment variables.

They are read once, when the server starts, and a value that makes no sense is an error: the
libraries would go on with a default, and somebody would wait for spans that never come. Where to
send and as whom (headers, TLS, compression, timeout) is left to the exporter, which reads it from
the same variables. Nothing here needs the optional extra.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from extauthz.quoting import quoted

__all__ = ["TracingSettingError", "TracingSettings", "read"]

_SAMPLER: Final = "OTEL_TRACES_SAMPLER"
_RATIO: Final = "OTEL_TRACES_SAMPLER_ARG"
_FOLLOWS: Final = "parentbased_"
_TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_DEFAULT_ENDPOINT: Final = "http://localhost:4318"
_FILES: Final = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")


class TracingSettingError(ValueError):
    """A variable says what cannot be; the message has its name, its value and what could be."""


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """How spans are made and sent."""

    endpoint: str
    """URL to which they are posted."""
    ratio: float = 1.0
    """Share of the checks that become spans, from 0 to 1."""
    follows_parent: bool = False
    """Whether a request that says if its trace is sampled decides, in place of `ratio`."""
    continues: bool = True
    """Whether a span belongs to the trace that the request names; else each has its own."""
    queue: int = 2048
    """How many spans may wait, or be under way."""
    batch: int = 512
    """How many are sent at once, at most."""
    delay_ms: int = 5000
    """How long a span waits for others, at most, in milliseconds."""


def read(environment: Mapping[str, str]) -> TracingSettings | None:
    """What the variables ask for; None where they turn tracing off.

    An empty one counts as absent. Raises TracingSettingError.
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    exporter = given.get("OTEL_TRACES_EXPORTER", "otlp").lower()
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return None
    if exporter != "otlp":
        raise _wrong("OTEL_TRACES_EXPORTER", exporter, "otlp or none")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if given.get(name, "http/protobuf") != "http/protobuf":
            raise _wrong(name, given[name], "http/protobuf, the one protocol that is spoken here")
        if name in given:
            break
    _check_files(given)
    ratio, follows_parent = _sampling(given)
    queue = _count(given, "OTEL_BSP_MAX_QUEUE_SIZE", 2048)
    batch = _count(given, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(512, queue))
    if batch > queue:
        most = f"at most {queue}, the size of the queue (OTEL_BSP_MAX_QUEUE_SIZE)"
        raise _wrong("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(batch), most)
    return TracingSettings(
        _endpoint(given),
        ratio,
        follows_parent,
        _continues(given),
        queue,
        batch,
        _count(given, "OTEL_BSP_SCHEDULE_DELAY", 5000),
    )


def _sampling(given: Mapping[str, str]) -> tuple[float, bool]:
    """The ratio, and whether the request's own word goes before it."""
    sampler = given.get(_SAMPLER, "always_on").lower()
    match sampler.removeprefix(_FOLLOWS):
        case "always_on":
            ratio = 1.0
        case "always_off":
            ratio = 0.0
        case "traceidratio":
            ratio = _ratio(given.get(_RATIO, "1"))
        case _:
            known = "always_on, always_off or traceidratio, each also with parentbased_ before it"
            raise _wrong(_SAMPLER, sampler, known)
    return ratio, sampler.startswith(_FOLLOWS)


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    # Not a number is neither.
    if not 0 <= ratio <= 1:
        raise _wrong(_RATIO, text, "a number from 0 to 1")
    return ratio


def _continues(given: Mapping[str, str]) -> bool:
    name = "OTEL_PROPAGATORS"
    propagators = {each.strip() for each in given.get(name, "tracecontext").lower().split(",")}
    if propagators == {"none"}:
        return False
    if "tracecontext" not in propagators:
        raise _wrong(name, given[name], "tracecontext, or none for traces of their own")
    return True


def _endpoint(given: Mapping[str, str]) -> str:
    name, url = _TRACES_ENDPOINT, given.get(_TRACES_ENDPOINT)
    if url is None:
        name = _ENDPOINT
        url = f"{given.get(_ENDPOINT, _DEFAULT_ENDPOINT).removesuffix('/')}/v1/traces"
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise _wrong(name, given.get(name, url), "a URL, such as http://collector:4318")
    return url


def _check_files(given: Mapping[str, str]) -> None:
    """The exporter would find out with the first spans."""
    for kind in _FILES:
        for name in (f"OTEL_EXPORTER_OTLP_TRACES_{kind}", f"OTEL_EXPORTER_OTLP_{kind}"):
            if name in given and not os.access(given[name], os.R_OK):
                raise _wrong(name, given[name], "a file that can be read")


def _count(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) > 0):  # noqa: PLR2004
        raise _wrong(name, text, "a whole number above 0")
    return int(text)


def _wrong(name: str, value: str, right: str) -> TracingSettingError:
    return TracingSettingError(
        f"the environment variable {name} is {quoted(value)}: it must be {right}"
    )

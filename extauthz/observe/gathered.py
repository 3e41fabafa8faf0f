"""Prometheus metrics of what is known of revocation, and of caches."""

from collections.abc import Hashable, Iterator
from itertools import accumulate
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from extauthz.cache import BoundedCache
from extauthz.crl import Crl
from extauthz.evidence.gathered import GatheredEvidence
from extauthz.evidence.lists import Lists
from extauthz.evidence.responders import LATENCY_BUCKETS, Responders

__all__ = ["Gathered", "cache_metrics"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Gathered(Collector):
    """Reads the CRLs and the OCSP answers that are kept, and how getting them went.

    Sources and responders are those that the policy names, or whose hosts it allows: a certificate
    cannot make a label.
    """

    def __init__(self, evidence: GatheredEvidence) -> None:
        self._evidence = evidence

    def collect(self) -> Iterator[Metric]:
        yield from _lists(self._evidence.lists)
        yield from _responders(self._evidence.responders)


def cache_metrics(name: str, what: str, cache: BoundedCache[K, V]) -> Iterator[Metric]:
    """Size and use of a cache."""
    yield GaugeMetricFamily(f"extauthz_{name}", f"Entries of the cache of {what}.", len(cache))
    lookups = CounterMetricFamily(
        f"extauthz_{name}_lookups", f"Look-ups in the cache of {what}.", labels=["result"]
    )
    lookups.add_metric(["hit"], cache.hits)
    lookups.add_metric(["miss"], cache.misses)
    yield lookups


def _lists(lists: Lists) -> Iterator[Metric]:
    labels = ["source", "issuer", "key", "covers"]
    entries = GaugeMetricFamily("extauthz_crl_entries", "Entries of a CRL.", labels=labels)
    age = GaugeMetricFamily(
        "extauthz_crl_this_update_timestamp_seconds",
        "thisUpdate of a CRL, in Unix time: its age is the time since.",
        labels=labels,
    )
    end = GaugeMetricFamily(
        "extauthz_crl_next_update_timestamp_seconds",
        "nextUpdate of a CRL, in Unix time: from then on it is stale.",
        labels=labels,
    )
    results = CounterMetricFamily(
        "extauthz_crl_readings",
        "Readings of files and fetches of URLs with CRLs.",
        labels=["source", "result"],
    )
    healthy = GaugeMetricFamily(
        "extauthz_crl_source_successful",
        "1 when the last reading of the source was good; else 0.",
        labels=["source"],
    )
    for source in list(lists.sources.values()):
        location = source.source.location
        healthy.add_metric([location], int(source.problem is None))
        for result, value in list(source.results.items()):
            results.add_metric([location, result], value)
        for identity, crls in list(source.by_issuer.items()):
            for crl in crls:
                # Two keys may go by one name while a CA is replaced.
                by = [location, crl.issuer, identity.hex()[:16], _coverage(crl)]
                entries.add_metric(by, crl.entries)
                age.add_metric(by, crl.this_update.timestamp())
                end.add_metric(by, crl.next_update.timestamp())
    yield from (entries, age, end, results, healthy)


def _coverage(crl: Crl) -> str:
    covers = "users" if crl.covers_users else "cas"
    if crl.covers_users and crl.covers_cas:
        covers = "all"
    return f"{covers} (delta)" if crl.is_delta else covers


def _responders(responders: Responders) -> Iterator[Metric]:
    results = CounterMetricFamily(
        "extauthz_ocsp_requests",
        "Questions to OCSP responders, by what came of them.",
        labels=["responder", "result"],
    )
    latency = HistogramMetricFamily(
        "extauthz_ocsp_request_duration_seconds",
        "Time from a question to its answer, or to its failure.",
        labels=["responder"],
    )
    bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
    for name, responder in list(responders.responders.items()):
        for result, value in list(responder.results.items()):
            results.add_metric([name, result], value)
        counts = zip(bounds, accumulate(responder.latencies), strict=True)
        latency.add_metric([name], list(counts), responder.seconds)
    yield from (results, latency)
    yield from cache_metrics("ocsp_answers", "OCSP answers", responders.kept)

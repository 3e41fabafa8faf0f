"""Prometheus metrics of the checks and of the policy.

The hot path adds to plain integers; the exposition is made from them when it is asked for. Labels
come from the policy and from enumerations, never from a request, so that their number is bounded.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from extauthz import __version__
from extauthz.decision import Decision
from extauthz.directory.gathered import GatheredDirectories
from extauthz.evidence.gathered import GatheredEvidence
from extauthz.findings import Reason
from extauthz.observe.accounts import GatheredAccounts
from extauthz.observe.decision_log import DecisionLogs
from extauthz.observe.gathered import Gathered, cache_metrics
from extauthz.observe.log_metrics import LogMetrics
from extauthz.pins.gathered import GatheredPins
from extauthz.policy import Policy
from extauthz.policyfile.live import LivePolicy
from extauthz.wire.request import RequestReader

__all__ = ["CheckCounters", "registry"]

BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)
"""Upper bounds of the check duration's buckets, in seconds."""


class CheckCounters(Collector):
    """Counts decisions. A request of no subscription has the empty subscription label."""

    def __init__(self) -> None:
        self._checks: Counter[tuple[str, str, str]] = Counter()
        # Of a counter that appears with its first event, Prometheus does not see that event.
        self._denials: Counter[tuple[str, str]] = Counter({("", Reason.INTERNAL_ERROR): 0})
        self._tolerated: Counter[tuple[str, str]] = Counter()
        self._signers: Counter[tuple[str, str, str]] = Counter()
        self._exempt: Counter[tuple[str, str]] = Counter()
        self._durations = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def count(self, decision: Decision, seconds: float) -> None:
        """Add one decision that took `seconds`."""
        subscription = decision.subscription
        name = "" if subscription is None else subscription.name
        self._checks[name, decision.mode or "", "deny" if decision.findings else "allow"] += 1
        for reason in {finding.reason for finding in decision.findings}:
            self._denials[name, reason] += 1
        for reason in {finding.reason for finding in decision.tolerated}:
            self._tolerated[name, reason] += 1
        if decision.path is not None and not decision.findings:
            signing = decision.path.signing_certificate
            self._signers[name, signing.label, signing.facts.fingerprint] += 1
        if decision.exemption is not None:
            self._exempt[name, decision.exemption.name] += 1
        self._durations[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        yield _counter(
            "extauthz_checks",
            "Checks, by what was found; outside enforce mode a deny was let through.",
            ["subscription", "mode", "decision"],
            self._checks.items(),
        )
        yield _counter(
            "extauthz_denials",
            "Checks that failed, once for each reason.",
            ["subscription", "reason"],
            self._denials.items(),
        )
        yield _counter(
            "extauthz_tolerated",
            "Checks in which something was found that the policy lets pass, once for each reason.",
            ["subscription", "reason"],
            self._tolerated.items(),
        )
        yield _counter(
            "extauthz_signing_certificate_checks",
            "Checks that passed, by the signing certificate to which the path led.",
            ["subscription", "label", "sha256"],
            self._signers.items(),
        )
        yield _counter(
            "extauthz_exempt_checks",
            "Checks that passed by an exemption of the policy.",
            ["subscription", "exemption"],
            self._exempt.items(),
        )
        duration = HistogramMetricFamily(
            "extauthz_check_duration_seconds", "Time from a read request to its decision."
        )
        bounds = [*map(str, BUCKETS), "+Inf"]
        cumulated = accumulate(self._durations)
        duration.add_metric([], list(zip(bounds, cumulated, strict=True)), self._seconds)
        yield duration


def _counter(
    name: str, what: str, labels: Sequence[str], counts: Iterable[tuple[Sequence[str], int]]
) -> Metric:
    """A family of counters; it may be counted meanwhile."""
    family = CounterMetricFamily(name, what, labels=labels)
    for values, count in list(counts):
        family.add_metric(values, count)
    return family


class _PolicyGauges(Collector):
    """Reads the policy in force, and how the last reload ended."""

    def __init__(self, live: LivePolicy) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "extauthz_build_info", "1, with the version of the server.", labels=["version"]
        )
        build.add_metric([__version__], 1)
        yield build
        status = self._live.status
        yield GaugeMetricFamily(
            "extauthz_policy_last_reload_successful",
            "1 when the policy file, as it was read last, is in force; else 0.",
            value=int(not status.errors),
        )
        yield GaugeMetricFamily(
            "extauthz_policy_last_reload_timestamp_seconds",
            "When the policy file was read last, in Unix time.",
            value=status.at.timestamp(),
        )
        yield _counter(
            "extauthz_policy_reloads",
            "Readings of the policy file.",
            ["result"],
            (([result], count) for result, count in self._live.readings.items()),
        )
        snapshot = self._live.snapshot
        if snapshot is None:
            return
        yield GaugeMetricFamily(
            "extauthz_policy_generation",
            "Policies that have been in force since the start.",
            value=snapshot.generation,
        )
        yield from _subscriptions(snapshot.policy)
        yield from cache_metrics(
            "verified_certificates", "verified certificates", snapshot.verified
        )
        yield from cache_metrics("assessed_requests", "requests that passed", snapshot.assessed)


def _subscriptions(policy: Policy) -> Iterator[Metric]:
    modes = GaugeMetricFamily(
        "extauthz_subscription_info",
        "1 for each subscription of the policy in force, with its mode.",
        labels=["subscription", "mode"],
    )
    expiry = GaugeMetricFamily(
        "extauthz_signing_certificate_expiry_timestamp_seconds",
        "notAfter of a signing certificate, in Unix time.",
        labels=["subscription", "label", "sha256"],
    )
    ends = GaugeMetricFamily(
        "extauthz_exemption_end_timestamp_seconds",
        "Last instant at which an exemption holds, in Unix time.",
        labels=["subscription", "exemption"],
    )
    for subscription in policy.subscriptions.values():
        name = subscription.name
        modes.add_metric([name, subscription.mode], 1)
        for signing in subscription.trust.signing_certificates:
            facts = signing.facts
            labels = [name, signing.label, facts.fingerprint]
            expiry.add_metric(labels, facts.not_after.timestamp())
        for exemption in subscription.exemptions:
            ends.add_metric([name, exemption.name], exemption.until.timestamp())
    yield from (modes, expiry, ends)


class _EdgeGauges(Collector):
    """Reads what the edge keeps."""

    def __init__(self, reader: RequestReader) -> None:
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        peers = self._reader.peers
        yield CounterMetricFamily(
            "extauthz_certificate_headers_read",
            "Certificate headers that were parsed: those that had not been seen, or not lately.",
            value=peers.misses,
        )
        yield GaugeMetricFamily(
            "extauthz_certificate_headers", "Certificate headers that are kept.", value=len(peers)
        )


def registry(  # noqa: PLR0913, PLR0917 (what there is to be seen)
    counters: CheckCounters,
    live: LivePolicy,
    reader: RequestReader,
    logs: DecisionLogs,
    evidence: GatheredEvidence,
    directories: GatheredDirectories,
    pins: GatheredPins,
) -> CollectorRegistry:
    """Everything that `/metrics` shows of one server."""
    metrics = CollectorRegistry()
    collectors = (
        counters, _PolicyGauges(live), _EdgeGauges(reader), LogMetrics(logs),
        Gathered(evidence), GatheredAccounts(live, directories, pins),
    )  # fmt: skip
    for collector in collectors:
        metrics.register(collector)
    ProcessCollector(registry=metrics)
    return metrics

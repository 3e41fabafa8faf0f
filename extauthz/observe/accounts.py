"""Prometheus metrics of directories of accounts and of pinned sessions.

Directories are labelled by the subscriptions whose policy names them: a URL may be anything.
"""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from extauthz.accounts import Accounts
from extauthz.directory.cached import LATENCY_BUCKETS, CachedDirectory
from extauthz.directory.file import FileDirectory
from extauthz.directory.gathered import GatheredDirectories
from extauthz.lookup import AccountFile, Directory
from extauthz.pins.gathered import GatheredPins
from extauthz.pins.shared import SharedPins
from extauthz.policyfile.live import LivePolicy

__all__ = ["GatheredAccounts"]


class GatheredAccounts(Collector):
    """Reads how directories do, and what pins are kept."""

    def __init__(
        self, live: LivePolicy, directories: GatheredDirectories, pins: GatheredPins
    ) -> None:
        self._live = live
        self._directories = directories
        self._pins = pins

    def collect(self) -> Iterator[Metric]:
        yield from _remote(self._remote())
        yield from _files(self._files())
        memory = self._pins.memory
        yield GaugeMetricFamily(
            "extauthz_session_pins", "Sessions pinned in this process.", value=len(memory)
        )
        yield CounterMetricFamily(
            "extauthz_session_pins_evicted",
            "Pins that were given up before their time, to make room.",
            value=memory.evicted,
        )
        yield _stores(self._stores())

    def _remote(self) -> list[tuple[str, CachedDirectory]]:
        return [
            (name, self._directories.remote[directory])
            for name, directory in self._named()
            if not isinstance(directory, AccountFile) and directory in self._directories.remote
        ]

    def _files(self) -> list[tuple[str, FileDirectory]]:
        return [
            (name, self._directories.files[directory])
            for name, directory in self._named()
            if isinstance(directory, AccountFile) and directory in self._directories.files
        ]

    def _stores(self) -> list[tuple[str, SharedPins]]:
        snapshot = self._live.snapshot
        subscriptions = () if snapshot is None else snapshot.policy.subscriptions.values()
        return [
            (subscription.name, store)
            for subscription in subscriptions
            if (store := self._pins.shared_by(subscription)) is not None
        ]

    def _named(self) -> Iterator[tuple[str, Directory]]:
        if self._live.snapshot is not None:
            for subscription in self._live.snapshot.policy.subscriptions.values():
                if not isinstance(subscription.accounts, Accounts):
                    yield subscription.name, subscription.accounts


def _remote(directories: list[tuple[str, CachedDirectory]]) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "extauthz_directory_available",
        "1 when the directory answered when it was asked last; else 0.",
        labels=["subscription"],
    )
    lookups = CounterMetricFamily(
        "extauthz_directory_lookups",
        "Questions to directories of accounts, by what came of them.",
        labels=["subscription", "result"],
    )
    latency = HistogramMetricFamily(
        "extauthz_directory_lookup_duration_seconds",
        "Time from a question to its answer, or to its failure.",
        labels=["subscription"],
    )
    kept = GaugeMetricFamily(
        "extauthz_directory_answers", "Answers that are kept.", labels=["subscription"]
    )
    uses = CounterMetricFamily(
        "extauthz_directory_answers_lookups",
        "Look-ups among the answers that are kept.",
        labels=["subscription", "result"],
    )
    bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
    for name, directory in directories:
        up.add_metric([name], int(directory.is_available))
        for result, value in list(directory.results.items()):
            lookups.add_metric([name, result], value)
        counts = zip(bounds, accumulate(directory.latencies), strict=True)
        latency.add_metric([name], list(counts), directory.seconds)
        kept.add_metric([name], len(directory.kept))
        uses.add_metric([name, "hit"], directory.kept.hits)
        uses.add_metric([name, "miss"], directory.kept.misses)
    yield from (up, lookups, latency, kept, uses)


def _stores(stores: list[tuple[str, SharedPins]]) -> Metric:
    up = GaugeMetricFamily(
        "extauthz_session_store_available",
        "1 when the store that replicas share did what it was asked last; else 0.",
        labels=["subscription"],
    )
    for name, store in stores:
        up.add_metric([name], int(store.is_available))
    return up


def _files(files: list[tuple[str, FileDirectory]]) -> Iterator[Metric]:
    good = GaugeMetricFamily(
        "extauthz_account_file_successful",
        "1 when the file of accounts, as it was read last, counts; else 0.",
        labels=["subscription"],
    )
    accounts = GaugeMetricFamily(
        "extauthz_account_file_accounts", "Accounts in the file.", labels=["subscription"]
    )
    readings = CounterMetricFamily(
        "extauthz_account_file_readings",
        "Readings of the file of accounts.",
        labels=["subscription", "result"],
    )
    for name, file in files:
        good.add_metric([name], int(file.problem is None))
        accounts.add_metric([name], file.accounts)
        for result, value in list(file.readings.items()):
            readings.add_metric([name, result], value)
    yield from (good, accounts, readings)

"""Prometheus metrics of the decision logs, labelled as the command line names them."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from extauthz.observe.decision_log import DecisionLogs
from extauthz.observe.log_file import LogFile
from extauthz.observe.log_retention import Why

__all__ = ["LogMetrics"]

_LABELS = ["destination"]


class LogMetrics(Collector):
    """Reads what the decision logs wrote, dropped and still hold.

    Each line that was handed over is written, dropped or waits.
    """

    def __init__(self, logs: DecisionLogs) -> None:
        self._logs = logs

    def collect(self) -> Iterator[Metric]:
        written = CounterMetricFamily(
            "extauthz_decision_log_written_lines",
            "Lines of the decision log that were written, besides gap records.",
            labels=_LABELS,
        )
        dropped = CounterMetricFamily(
            "extauthz_decision_log_dropped_lines",
            "Lines of the decision log that were not written, and will not be.",
            labels=_LABELS,
        )
        waiting = GaugeMetricFamily(
            "extauthz_decision_log_waiting_bytes",
            "Lines of the decision log that wait in memory to be written.",
            labels=_LABELS,
        )
        rotations = CounterMetricFamily(
            "extauthz_decision_log_rotations",
            "Files of the decision log that this process finished.",
            labels=_LABELS,
        )
        deleted = CounterMetricFamily(
            "extauthz_decision_log_deleted_files",
            "Finished files of the decision log that this process deleted.",
            labels=[*_LABELS, "reason"],
        )
        failures = CounterMetricFamily(
            "extauthz_decision_log_failures",
            "Attempts to write, sync, rotate, compress or delete a decision log that failed.",
            labels=_LABELS,
        )
        for log in self._logs.logs:
            destination = [log.destination.name]
            written.add_metric(destination, log.written)
            dropped.add_metric(destination, log.dropped)
            waiting.add_metric(destination, log.waiting)
            rotations.add_metric(destination, log.destination.rotations)
            failures.add_metric(destination, log.failures)
            if isinstance(log.destination, LogFile):
                for why in Why:
                    count = log.destination.deleted[why]
                    deleted.add_metric([*destination, why.value], count)
        yield from (written, dropped, waiting, rotations, deleted, failures)

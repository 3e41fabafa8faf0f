"""Takes note of every check: a line in the decision logs, the counters, and whoever watches.

A check is only put aside in the request's own time. What is put aside is encoded and counted a
few dozen at a time, which costs a third of doing it one by one: the processor's caches then hold
the encoder and not the HTTP parser.
"""

import asyncio
import logging
from typing import Protocol

from extauthz.certificate import PeerCertificate
from extauthz.observe.decision_log import DecisionLogs
from extauthz.observe.metrics import CheckCounters
from extauthz.observe.record import Entry, LineEncoder, certificate_line
from extauthz.observe.sightings import EVERY, Sightings

__all__ = ["Recorder", "Watcher"]

MAX_ASIDE = 64
"""How many checks are put aside at most; encoding them takes about a third of a millisecond."""
ASIDE_SECONDS = 0.02
"""How long a check is put aside at most."""

logger = logging.getLogger(__name__)


class Watcher(Protocol):
    """Wants to know of every check besides the logs. It must be quick, and must not raise."""

    def saw(self, entry: Entry, line: bytes) -> None:
        """A check was decided; `line` is its record, with its line feed."""


class Recorder:
    """Records checks, in the order in which they were decided. For use in one event loop."""

    def __init__(self, counters: CheckCounters, logs: DecisionLogs, *watchers: Watcher) -> None:
        self._counters = counters
        self._logs = logs
        self._watchers = watchers
        self._encoder = LineEncoder()
        # Apart, so that certificates that anybody can make do not push out those of users.
        self._users, self._strangers = Sightings(), Sightings(forget_every=EVERY)
        self._aside: list[Entry] = []
        self._scheduled = False

    def record(self, entry: Entry) -> None:
        """Take note of a check."""
        self._aside.append(entry)
        if len(self._aside) >= MAX_ASIDE:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(ASIDE_SECONDS, self._flush_on_time)

    def flush(self) -> None:
        """Count everything that is put aside, and hand it to the logs and the watchers."""
        aside, self._aside = self._aside, []
        for entry in aside:
            self._counters.count(entry.decision, entry.seconds)
        if not aside or not (self._logs or self._watchers):
            return
        beginnings, now = self._logs.beginnings, aside[-1].time
        self._users.look_for_beginning(beginnings, now)
        self._strangers.look_for_beginning(beginnings, now)
        lines: list[bytes] = []
        seen: list[tuple[Entry, bytes]] = []
        for entry in aside:
            lines += self._certificate(entry)
            line = self._line(entry)
            lines.append(line)
            seen.append((entry, line))
        self._logs.write(lines)
        for watcher in self._watchers:
            try:
                for entry, line in seen:
                    watcher.saw(entry, line)
            except Exception:
                # The lines are safe, and the check that is being answered is not to blame.
                logger.critical("checks could not be shown, by a bug", exc_info=True)

    def _flush_on_time(self) -> None:
        self._scheduled = False
        self.flush()

    def _line(self, entry: Entry) -> bytes:
        try:
            return self._encoder.line(entry)
        except Exception:
            # A record without the request is better than none, and none takes others with it.
            logger.critical("a check could not be recorded whole, by a bug", exc_info=True)
            return self._encoder.line(entry._replace(request=None, request_id=""))

    def _certificate(self, entry: Entry) -> list[bytes]:
        """The record of the check's certificate, where it is due."""
        peer = None if entry.request is None else entry.request.peer
        sightings = self._strangers if entry.decision.path is None else self._users
        if (
            not self._logs
            or not isinstance(peer, PeerCertificate)
            # It says who somebody is.
            or (entry.redaction is not None and entry.redaction.hides_people)
            or not sightings.is_due(peer, entry.time)
        ):
            return []
        try:
            return [certificate_line(peer, entry.time)]
        except Exception:
            # Checks are recorded without it; what lacks is that they can be decided anew.
            logger.critical("a certificate could not be recorded, by a bug", exc_info=True)
            return []

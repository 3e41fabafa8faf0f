"""Which certificates are recorded whole, and how often.

A check's record names its certificate by a hash. The certificate itself is recorded when it is
seen first, once an hour while it is seen, and when it is seen again after the log went on in
another file, so that each file holds those of its checks. What a stranger can present must not
fill the disk: a long chain, and more certificates than are remembered within the hour, are left
out; and for strangers, who can fill files, another file counts only once an hour, too.
"""

from collections import OrderedDict
from datetime import datetime, timedelta

from extauthz.certificate import PeerCertificate

__all__ = ["EVERY", "MAX_OCTETS", "Sightings"]

EVERY = timedelta(hours=1)
FORGET_EVERY = timedelta(minutes=1)
"""Least time between two beginnings that count: small files must not fill with certificates."""
REMEMBERED = 65_536
MAX_OCTETS = 16 * 1024
"""Largest certificate, with its chain, that is recorded."""


class Sightings:
    """Remembers when each certificate was recorded last."""

    def __init__(
        self, remembered: int = REMEMBERED, forget_every: timedelta = FORGET_EVERY
    ) -> None:
        self._remembered = remembered
        self._forget_every = forget_every
        self._recorded: OrderedDict[bytes, datetime] = OrderedDict()
        """The oldest first."""
        self._beginnings = 0
        self._forgot: datetime | None = None

    def look_for_beginning(self, beginnings: int, now: datetime) -> None:
        """Where there are more than before (see `DecisionLogs`), everything is due again."""
        if beginnings == self._beginnings:
            return
        if self._forgot is None or not timedelta(0) <= now - self._forgot < self._forget_every:
            self._beginnings, self._forgot = beginnings, now
            self._recorded.clear()

    def is_due(self, peer: PeerCertificate, now: datetime) -> bool:
        """Whether the certificate is to be recorded now; it then counts as recorded."""
        last = self._recorded.get(peer.identity)
        if last is not None and _is_within_the_hour(last, now):
            return False
        if peer.size > MAX_OCTETS:
            return False
        if last is None and len(self._recorded) >= self._remembered:
            if _is_within_the_hour(next(iter(self._recorded.values())), now):
                return False
            self._recorded.popitem(last=False)
        self._recorded[peer.identity] = now
        self._recorded.move_to_end(peer.identity)
        return True


def _is_within_the_hour(last: datetime, now: datetime) -> bool:
    # A clock that was set back must not silence a certificate for as long.
    return timedelta(0) <= now - last < EVERY

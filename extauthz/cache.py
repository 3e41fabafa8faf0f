"""A least-recently-used cache that is bounded by the size of what it holds."""

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["BoundedCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Maps keys to values until their sizes add up to the capacity; then the oldest use goes.

    Sizes are in whatever unit the owner counts in. Not for use from several threads.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self.hits = 0
        self.misses = 0
        # A dict keeps the order of insertion: what is used is taken out and put in again.
        self._entries: dict[K, tuple[V, int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, now the most recently used; None when it is not there."""
        entry = self._entries.pop(key, None)
        if entry is None:
            self.misses += 1
            return None
        self._entries[key] = entry
        self.hits += 1
        return entry[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value. One that is larger than a tenth of the capacity is not kept at all."""
        if size > self.capacity // 10:
            return
        self.size += size - self._entries.pop(key, (None, 0))[1]
        self._entries[key] = (value, size)
        while self.size > self.capacity:
            oldest = next(iter(self._entries))
            self.size -= self._entries.pop(oldest)[1]

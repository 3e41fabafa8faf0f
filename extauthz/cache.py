"""A cache that is bounded by the size of what it holds, and cheap where it hits."""

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["BoundedCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Maps keys to values whose sizes never add up to more than the capacity.

    Two generations: what is put in or used again is young; when there are enough young ones they
    become the old, and the old ones that nobody asked for meanwhile are gone. So a hit is one look
    into a dict, where an exact order of use would have to be kept up.
    Sizes are in whatever unit the owner counts in. Not for use from several threads.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        """How often a value was asked for that was not there."""
        self._young: dict[K, tuple[V, int]] = {}
        self._old: dict[K, tuple[V, int]] = {}
        self._young_size = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """The value; None when it is not there."""
        entry = self._young.get(key)
        if entry is not None:
            self.hits += 1
            return entry[0]
        entry = self._old.pop(key, None)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        self.put(key, *entry)
        return entry[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value. One that is larger than a tenth of the capacity is not kept at all."""
        if size > self.capacity // 10:
            return
        self._old.pop(key, None)
        replaced = self._young.get(key)
        self._young_size += size - (0 if replaced is None else replaced[1])
        self._young[key] = (value, size)
        # With one entry more than that, a generation is still within half of the capacity.
        if self._young_size > self.capacity * 2 // 5:
            self._old, self._young, self._young_size = self._young, {}, 0

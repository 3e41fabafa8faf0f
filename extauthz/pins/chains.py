"""Many queues of small numbers that share two arrays: 16 octets for a number, whatever queue.

A number is in one queue of a `Links` at a time. To put one in at the end and to take one out from
anywhere costs the same, however long the queues are.
"""

from array import array

__all__ = ["NONE", "Chain", "Links"]

NONE = -1


class Chain:
    """A queue: its ends, by number."""

    __slots__ = ("first", "last", "length")

    def __init__(self) -> None:
        self.first = NONE
        self.last = NONE
        self.length = 0


class Links:
    """What comes before and after each number in its queue."""

    def __init__(self) -> None:
        self._before = array("q")
        self._after = array("q")

    def grow(self) -> None:
        """Make room for the next number."""
        self._before.append(NONE)
        self._after.append(NONE)

    def append(self, chain: Chain, number: int) -> None:
        """Put a number that is in no queue at a queue's end."""
        last = chain.last
        self._before[number] = last
        self._after[number] = NONE
        if last == NONE:
            chain.first = number
        else:
            self._after[last] = number
        chain.last = number
        chain.length += 1

    def remove(self, chain: Chain, number: int) -> None:
        """Take a number out of the queue that it is in."""
        before, after = self._before[number], self._after[number]
        if before == NONE:
            chain.first = after
        else:
            self._after[before] = after
        if after == NONE:
            chain.last = before
        else:
            self._before[after] = before
        chain.length -= 1

    def renew(self, chain: Chain, number: int) -> None:
        """Put a number of a queue at that queue's end."""
        if chain.last != number:
            self.remove(chain, number)
            self.append(chain, number)

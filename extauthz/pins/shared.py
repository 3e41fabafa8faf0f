"""Session pins in a Redis (6.2 or newer, or Valkey) that replicas share.

A pin is a key, `extauthz:pin:SUBSCRIPTION:DIGEST`, with the logins as its value; Redis lets it run
out. To look up is one round trip, to bind is one. What Redis cannot tell for certain is
`PinsUnavailable`, never nobody's: without an answer, with an error, or with a value that nobody
here has written. `redis_client` talks to it, and is imported when it is needed: redis-py is an
extra.
"""

import importlib.util
import json
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from extauthz.session import Holder, Pin, PinsUnavailable, SessionPolicy

if TYPE_CHECKING:
    from extauthz.pins.redis_client import RedisClient

__all__ = ["SharedPins", "problem_with"]

Command: TypeAlias = tuple[str | bytes | int, ...]

MAX_VALUE_OCTETS = 64 * 1024

_URL = re.compile(
    r"rediss?://(?:[A-Za-z0-9._~-]+@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[0-9]{0,5})?",
    re.ASCII,
)
_FOREIGN = "it has a value under extauthz:pin: that is not a pin; who else writes there?"


class SharedPins:
    """Keeps pins in the store of a policy. See `session.Pins`."""

    def __init__(self, policy: SessionPolicy) -> None:
        self._policy = policy
        self._problem = problem_with(policy)
        self._client: RedisClient | None = None

    async def holder(
        self, pins: Sequence[Pin], idle: timedelta
    ) -> Sequence[Holder | None] | PinsUnavailable:
        """Whom each is bound to; those that are found are renewed."""
        if not pins:
            return []
        replies = await self._ask([("GETEX", _key(pin), "PX", _milliseconds(idle)) for pin in pins])
        return replies if isinstance(replies, PinsUnavailable) else _holders(replies)

    async def bind(
        self, pins: Sequence[Pin], holder: Holder, idle: timedelta
    ) -> Sequence[Holder] | PinsUnavailable:
        """Bind those that are nobody's; whose each is after that."""
        if not pins:
            return []
        commands: list[Command] = [("MULTI",)]
        for pin in pins:
            # SET with both NX and GET needs Redis 7.
            key = _key(pin)
            commands.append(("SET", key, _value(holder.logins), "NX", "PX", _milliseconds(idle)))
            commands.append(("GET", key))
        replies = await self._ask([*commands, ("EXEC",)])
        if isinstance(replies, PinsUnavailable):
            return replies
        done = replies[-1]
        if not isinstance(done, list) or len(done) != 2 * len(pins):
            return PinsUnavailable("it did not do what was asked")
        found = _holders(done[1::2])
        if isinstance(found, PinsUnavailable):
            return found
        bound = [each for each in found if each is not None]
        return bound if len(bound) == len(pins) else PinsUnavailable("it lost what was just bound")

    async def close(self) -> None:
        """Give back every connection."""
        if self._client is not None:
            await self._client.close()
        self._problem = "extauthz has closed its connections there"

    async def _ask(self, commands: Sequence[Command]) -> list[object] | PinsUnavailable:
        if self._problem is not None:
            return PinsUnavailable(self._problem)
        if self._client is None:
            from extauthz.pins.redis_client import RedisClient  # noqa: PLC0415 (an extra)

            self._client = RedisClient(self._policy)
        return await self._client.ask(commands)


def problem_with(policy: SessionPolicy) -> str | None:
    """What is wrong with the store's settings by themselves; None when nothing is."""
    written = policy.store or ""
    try:
        url = urlsplit(written)
        is_number = url.port is None or url.port > 0
    except ValueError:
        return "the store's URL is not one"
    if url.scheme not in {"redis", "rediss"}:
        return "the store's URL begins neither with redis:// nor with rediss://"
    if ":" in url.netloc.rpartition("@")[0]:
        return "the store's URL has a password in it: give `password` instead"
    if not is_number or not _URL.fullmatch(written):
        return "the store's URL is not one: write it like rediss://redis.acme.example:6379/0"
    if policy.ca_file is not None and url.scheme != "rediss":
        return "`ca_file` has no effect without rediss://"
    if "@" in url.netloc and policy.password is None:
        return "the store's URL names a user, whose `password` is missing"
    if importlib.util.find_spec("redis") is None:
        return "redis-py is not installed: pip install 'extauthz[redis]'"
    return None


def _key(pin: Pin) -> str:
    return f"extauthz:pin:{pin.subscription}:{pin.digest.hex()}"


def _milliseconds(idle: timedelta) -> int:
    return max(1, int(idle.total_seconds() * 1000))


def _value(logins: Iterable[str]) -> bytes:
    return json.dumps(sorted(logins)).encode("ascii")


def _holders(values: Iterable[object]) -> list[Holder | None] | PinsUnavailable:
    """What the values of pins say; for one that is none of ours nothing can be said at all."""
    holders: list[Holder | None] = []
    for value in values:
        logins = _logins(value)
        if logins is None and value is not None:
            return PinsUnavailable(_FOREIGN)
        holders.append(None if logins is None else Holder(logins))
    return holders


def _logins(value: object) -> frozenset[str] | None:
    """The logins of a value, which must be as `_value` writes it to the octet."""
    if not isinstance(value, bytes) or len(value) > MAX_VALUE_OCTETS:
        return None
    try:
        listed: object = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        return None
    logins = frozenset(listed)
    return logins if logins and _value(logins) == value else None

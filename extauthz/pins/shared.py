"""Session pins in a Redis (6.2 or newer, or Valkey) that replicas share.

A pin is a key, `extauthz:pin:SUBSCRIPTION:DIGEST`, with the logins as its value; Redis lets it run
out. To look up is one round trip, to bind is one. What Redis cannot tell for certain is `Trouble`,
never nobody's: without an answer, with an error, or with a value that nobody here has written.
`redis_client` talks to it, and is imported when it is needed: redis-py is an extra.
"""

import importlib.util
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from extauthz.pins.trouble import Cause, Deed, Health, Trouble
from extauthz.session import Holder, Pin, SessionPolicy

if TYPE_CHECKING:
    from extauthz.pins.redis_client import RedisClient

__all__ = ["SharedPins", "has_password_in_the_clear", "problem_with", "problems_with"]

Command: TypeAlias = tuple[str | bytes | int, ...]

MAX_VALUE_OCTETS = 64 * 1024

_URL = re.compile(
    r"rediss?://(?:[A-Za-z0-9._~-]+@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[0-9]{0,5})?",
    re.ASCII,
)
NOBODYS = bytes(32)
"""The digest of no session: what a store is tried with."""
_FOREIGN = "it has a value under extauthz:pin: that is not a pin; who else writes there?"


class SharedPins:
    """Keeps pins in the store of a policy. See `session.Pins`."""

    def __init__(self, policy: SessionPolicy) -> None:
        self._policy = policy
        self.name = policy.store or ""
        """As it may be shown: without any secret."""
        why = problem_with(policy)
        self._problem = None if why is None else Trouble(why, Cause.SETTINGS)
        self._client: RedisClient | None = None
        self._health = Health(self.name)

    @property
    def is_available(self) -> bool:
        """Whether it did what it was asked last."""
        return self._health.is_good

    async def holder(
        self, pins: Sequence[Pin], idle: timedelta
    ) -> Sequence[Holder | None] | Trouble:
        """Whom each is bound to; those that are found are renewed."""
        if not pins:
            return []
        began = time.monotonic()
        replies = await self._ask([("GETEX", _key(pin), "PX", _milliseconds(idle)) for pin in pins])
        found = replies if isinstance(replies, Trouble) else _holders(replies)
        self._health.note(Deed.LOOK_UP, found, began)
        return found

    async def bind(
        self, pins: Sequence[Pin], holder: Holder, idle: timedelta
    ) -> Sequence[Holder] | Trouble:
        """Bind those that are nobody's; whose each is after that."""
        if not pins:
            return []
        began = time.monotonic()
        bound = await self._bind(pins, holder, idle)
        self._health.note(Deed.BIND, bound, began)
        return bound

    async def try_out(self, subscription: str) -> Trouble | None:
        """Ask for all that checks ask for, and change nothing; what is wrong, None when nothing.

        A key that is to be set only where it is there already is not set. But a store that is full,
        or whose user may not, says so all the same.
        """
        key = _key(Pin(subscription, NOBODYS))
        replies = await self._ask([
            ("GETEX", key, "PX", 1),
            ("MULTI",), ("SET", key, "", "XX", "PX", 1), ("GET", key), ("EXEC",),
        ])  # fmt: skip
        if isinstance(replies, Trouble):
            return replies
        is_done = replies == [None, b"OK", b"QUEUED", b"QUEUED", [None, None]]
        return None if is_done else Trouble("it did not do what was asked", Cause.STRANGER)

    async def _bind(
        self, pins: Sequence[Pin], holder: Holder, idle: timedelta
    ) -> Sequence[Holder] | Trouble:
        commands: list[Command] = [("MULTI",)]
        for pin in pins:
            # SET with both NX and GET needs Redis 7.
            key = _key(pin)
            commands.append(("SET", key, _value(holder.logins), "NX", "PX", _milliseconds(idle)))
            commands.append(("GET", key))
        replies = await self._ask([*commands, ("EXEC",)])
        if isinstance(replies, Trouble):
            return replies
        done = replies[-1]
        if not isinstance(done, list) or len(done) != 2 * len(pins):
            return Trouble("it did not do what was asked", Cause.ERROR)
        found = _holders(done[1::2])
        if isinstance(found, Trouble):
            return found
        bound = [each for each in found if each is not None]
        if len(bound) < len(pins):
            return Trouble("it lost what was just bound", Cause.ERROR)
        return bound

    async def close(self) -> None:
        """Give back every connection."""
        if self._client is not None:
            await self._client.close()
        why = "extauthz has closed its connections there"
        self._problem = Trouble(why, Cause.SETTINGS, is_news=False)

    async def _ask(self, commands: Sequence[Command]) -> list[object] | Trouble:
        if self._problem is not None:
            return self._problem
        if self._client is None:
            from extauthz.pins.redis_client import RedisClient  # noqa: PLC0415 (an extra)

            self._client = RedisClient(self._policy)
        return await self._client.ask(commands)


def problem_with(policy: SessionPolicy) -> str | None:
    """The first thing that is wrong with the store's settings; None when nothing is."""
    return next((message for _, message in problems_with(policy)), None)


def problems_with(policy: SessionPolicy) -> Iterator[tuple[str, str]]:
    """What is wrong with the store's settings by themselves, each with the setting's key."""
    written = policy.store or ""
    try:
        url = urlsplit(written)
        is_number = url.port is None or url.port > 0
    except ValueError:
        yield "store", "the store's URL is not one"
        return
    has_password = ":" in url.netloc.rpartition("@")[0]
    is_known = url.scheme in {"redis", "rediss"}
    if not is_known:
        yield "store", "the store's URL begins neither with redis:// nor with rediss://"
    if has_password:
        yield "store", "the store's URL has a password in it: give `password` instead"
    elif is_known and not (is_number and _URL.fullmatch(written)):
        message = "the store's URL is not one: write it like rediss://redis.acme.example:6379/0"
        yield "store", message
    if policy.ca_file is not None and is_known and url.scheme != "rediss":
        yield "ca_file", "`ca_file` has no effect without rediss://"
    if "@" in url.netloc and not has_password and policy.password is None:
        yield "store", "the store's URL names a user, whose `password` is missing"
    if importlib.util.find_spec("redis") is None:
        yield "store", "redis-py is not installed: pip install 'extauthz[redis]'"


def has_password_in_the_clear(policy: SessionPolicy) -> bool:
    """Whether the store's password goes over a network without TLS."""
    url = urlsplit(policy.store or "")
    if policy.password is None or url.scheme != "redis":
        return False
    host = url.hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _key(pin: Pin) -> str:
    return f"extauthz:pin:{pin.subscription}:{pin.digest.hex()}"


def _milliseconds(idle: timedelta) -> int:
    return max(1, int(idle.total_seconds() * 1000))


def _value(logins: Iterable[str]) -> bytes:
    return json.dumps(sorted(logins)).encode("ascii")


def _holders(values: Iterable[object]) -> list[Holder | None] | Trouble:
    """What the values of pins say; for one that is none of ours nothing can be said at all."""
    holders: list[Holder | None] = []
    for value in values:
        logins = _logins(value)
        if logins is None and value is not None:
            return Trouble(_FOREIGN, Cause.FOREIGN)
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

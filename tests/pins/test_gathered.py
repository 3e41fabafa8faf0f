"""When a session is bound, and where."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.demo.authority import authority, name, user
from extauthz.email import EmailAddress
from extauthz.exemption import Exemption
from extauthz.findings import Finding, Reason
from extauthz.pins import gathered
from extauthz.pins.gathered import GatheredPins, must_bind
from extauthz.policy import Mode, Policy, Subscription
from extauthz.session import Holder, Pin, PinsUnavailable, SessionPolicy
from extauthz.snapshot import Holders, Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors
from extauthz.wire.request import RequestReader
from tests.asking import asked
from tests.pins.redis_server import redis_server

NOW = datetime.now(UTC)
CA = authority(name("CA"))
PIN = Pin("acme", hashlib.sha256(b"session").digest())
OTHER = Pin("acme", hashlib.sha256(b"other").digest())
HELD = Holder(frozenset({"alice"}))
FINDING = Finding(Reason.EMAIL_MISMATCH, "?")
EXEMPTION = Exemption("x", "x", NOW + timedelta(days=1), logins=frozenset({"alice"}))


def account(login: str) -> Account:
    address = EmailAddress.parse(f"{login}@acme.example")
    assert address is not None
    return Account(login, (address,))


def policy(store: str | None = None, *, is_pinned: bool = True) -> Policy:
    trust = TrustAnchors([SigningCertificate.read(CA.der)])
    subscription = Subscription(
        "acme", ("acme.example",), trust, Accounts([account("alice"), account("bob")]),
        session=SessionPolicy("SID", store=store) if is_pinned else None,
    )  # fmt: skip
    return Policy([subscription])


def request(login: str, *pins: Pin, of: Policy) -> CheckRequest:
    peer = PeerCertificate.read(user(CA, login, f"{login}@acme.example").der)
    return asked(of, "acme.example", peer, pins=pins)


PASSES = Decision(None, (), (account("alice"),), mode=Mode.ENFORCE)


@pytest.mark.parametrize(("pins", "decision", "holders", "binds"), [
    ((PIN,), PASSES, (), True),
    ((PIN, OTHER), PASSES, (HELD,), True),
    ((PIN,), PASSES, (HELD,), False),
    ((), PASSES, (), False),
    ((PIN,), PASSES, PinsUnavailable("no answer"), False),
    ((PIN,), replace(PASSES, findings=(FINDING,)), (), False),
    ((PIN,), replace(PASSES, findings=(FINDING,), mode=Mode.AUDIT), (), False),
    ((PIN,), replace(PASSES, exemption=EXEMPTION), (), False),
    ((PIN,), replace(PASSES, accounts=()), (), False),
])  # fmt: skip
def test_session_is_bound_by_a_request_that_passes_by_its_certificate(
    pins: tuple[Pin, ...], decision: Decision, holders: Holders, binds: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """And by no other: neither one that is let pass, nor one whose account nobody knows."""
    assert must_bind(request("alice", *pins, of=policy()), decision, holders) is binds


@asynccontextmanager
async def stores(directory: Path, *, shared: bool) -> AsyncIterator[tuple[GatheredPins, Policy]]:
    async with GatheredPins() as pins:
        if not shared:
            yield pins, policy()
        else:
            with redis_server(directory) as server:
                yield pins, policy(server.url)


@pytest.mark.parametrize("shared", [False, True], ids=["this process", "Redis"])
async def test_of_two_that_begin_one_session_at_once_one_gets_it(
    tmp_path: Path, shared: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """The other is refused from that very request on."""
    async with stores(tmp_path, shared=shared) as (pins, of):
        snapshot = Snapshot(of, 1)

        async def ask(login: str) -> bool:
            check = request(login, PIN, of=of)
            holders = await pins.holders(check)
            decision = snapshot.check(check, NOW, holders)
            if must_bind(check, decision, holders):
                decision = snapshot.check(check, NOW, await pins.bind(check, decision, holders))
            return decision.allowed

        first = await asyncio.gather(*map(ask, ["alice", "bob"] * 10))
        again = [await ask("alice"), await ask("bob")]

    assert set(first[::2]) != set(first[1::2])
    assert len(set(first[::2])) == len(set(first[1::2])) == 1
    assert again == first[:2]


async def test_account_cannot_fill_a_store_that_others_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it begins beyond its share is not bound, and works; others are bound as before."""
    monkeypatch.setattr(gathered, "MAX_BEGUN", 3)
    async with stores(tmp_path, shared=True) as (pins, of):
        snapshot = Snapshot(of, 1)

        async def begin(login: str, number: int) -> tuple[Holders, Holders]:
            check = request(login, Pin("acme", bytes([number] * 32)), of=of)
            decision = snapshot.check(check, NOW)
            return await pins.bind(check, decision, ()), await pins.holders(check)

        flood = [await begin("alice", number) for number in range(6)]
        other = await begin("bob", 100)

    assert [after for _, after in flood] == [(HELD,)] * 3 + [()] * 3
    assert all(held == (HELD,) for held, _ in flood)
    assert other[0] == other[1] == (Holder(frozenset({"bob"})),)


async def test_store_that_no_policy_names_any_more_is_given_back(tmp_path: Path) -> None:
    """Its connections are closed; the pins of this process stay."""
    async with stores(tmp_path, shared=True) as (pins, of):
        check = request("alice", PIN, of=of)
        assert await pins.holders(check) == ()
        assert len(pins.shared) == 1
        await pins.settle(of)
        assert len(pins.shared) == 1
        await pins.settle(policy())
        assert not pins.shared


async def test_request_without_pinned_sessions_asks_no_store() -> None:
    """That would be a bug, and is one loudly."""
    async with GatheredPins() as pins:
        with pytest.raises(ValueError, match="pins none"):
            await pins.holders(request("alice", PIN, of=policy(is_pinned=False)))


@pytest.mark.parametrize(("mode", "pinned"), [
    (Mode.ENFORCE, True), (Mode.AUDIT, True), (Mode.OFF, False),
])  # fmt: skip
def test_where_nothing_is_checked_no_store_is_asked(mode: Mode, pinned: bool) -> None:  # noqa: FBT001
    """A Redis that hangs must not delay a subscription that is off."""
    (given,) = policy("redis://127.0.0.1:9").subscriptions.values()
    made = make_mocked_request("GET", "/check/", {"Host": "acme.example", "Cookie": "SID=1"})
    check = RequestReader().read(made, b"", Policy([replace(given, mode=mode)]))

    assert isinstance(check, CheckRequest)
    assert bool(check.pins) is pinned

"""Asking OCSP responders: real ones, lying ones, slow ones, dead ones."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.x509 import ocsp as x509_ocsp

from extauthz.demo.authority import Credential, authority, name, user
from extauthz.evidence import responders as responders_module
from extauthz.evidence.responders import MAX_FAILURES, Responders
from extauthz.fetch.fetcher import Fetcher
from extauthz.inquiry import Answered, Inquiry, NotAnswered, OcspPolicy
from extauthz.ocsp import CertIdHash, CertStatus, Question
from tests.revocation import servers
from tests.revocation.made import HOUR, NOW, answer, ca
from tests.revocation.openssl_ca import OpensslCa
from tests.revocation.servers import HttpServer, computed
from tests.revocation.sources import until

ACME = authority(name("Acme CA"))
ALICE = user(ACME, "Alice", "alice@acme.example")
SERIAL = ALICE.certificate.serial_number


@pytest.fixture
async def asker() -> AsyncIterator[Responders]:
    async with Fetcher() as fetcher:
        made = Responders(fetcher)
        yield made
        await made.close()


def inquiry(url: str, issuer: Credential = ACME, serial: int = SERIAL) -> Inquiry:
    return Inquiry(url, Question(ca(issuer), serial), OcspPolicy(url))


async def outcome(asker: Responders, question: Inquiry) -> Answered | NotAnswered | None:
    await asker.ask([question])
    return asker.answered(question)


def good(_: bytes) -> bytes:
    return answer(ACME, SERIAL)


@pytest.mark.parametrize("algorithm", CertIdHash)
@pytest.mark.parametrize("is_delegated", [False, True], ids=["CA", "delegate"])
async def test_responder_of_openssl_is_understood(
    tmp_path: Path, asker: Responders, algorithm: CertIdHash, *, is_delegated: bool
) -> None:
    """RFC 6960 by somebody else's hands: good, revoked, unknown; our nonce comes back."""
    own = OpensslCa(tmp_path / "ca")
    alice, bob = own.issue("alice"), own.issue("bob")
    own.revoke(bob)
    signer = own.issue("OCSP", section="responder") if is_delegated else None
    with own.responder(signer) as url:
        policy = OcspPolicy(url, cert_id_hash=algorithm, require_nonce=True)
        for serial, expected in (
            (alice.certificate.serial_number, CertStatus.GOOD),
            (bob.certificate.serial_number, CertStatus.REVOKED),
            (0x999999, CertStatus.UNKNOWN),
        ):
            question = Inquiry(url, Question(ca(own.credential), serial), policy)
            said = await outcome(asker, question)
            assert isinstance(said, Answered), said
            assert said.answer.status is expected


WRONG = {
    "dead": (servers.status(500), "HTTP 500"),
    "redirecting": (servers.redirect("http://169.254.169.254/"), "redirects are not followed"),
    "broken": (servers.broken(good(b"")), "no answer"),
    "endless": (servers.endless(), "larger than"),
    "compressed": (servers.content(good(b""), content_encoding="gzip"), "compressed"),
    "of HTML": (servers.content(b"<html>"), "not readable"),
    "lying about another certificate": (servers.content(answer(ACME, 1)), "not about"),
    "somebody else": (
        servers.content(answer(ACME, SERIAL, signer=authority(name("Evil")))), "not the CA's"),
    "repeating an old answer": (
        servers.content(answer(ACME, SERIAL, nonce=b"old" * 8)), "nonce is not ours"),
    "stale": (
        servers.content(answer(ACME, SERIAL, this_update=NOW - 9 * HOUR, next_update=NOW - HOUR)),
        "stale"),
}  # fmt: skip


@pytest.mark.parametrize(("behaviour", "why"), WRONG.values(), ids=WRONG)
async def test_responder_that_is_wrong_leaves_it_unknown(
    server: HttpServer, asker: Responders, behaviour: servers.Behaviour, why: str
) -> None:
    server.behaviours["/"] = behaviour
    said = await outcome(asker, inquiry(server.url("/")))
    assert isinstance(said, NotAnswered)
    assert why in said.why


async def test_many_checks_ask_once(server: HttpServer, asker: Responders) -> None:
    released = threading.Event()
    server.behaviours["/"] = servers.held(good(b""), released)
    question = inquiry(server.url("/"))
    checks = asyncio.gather(*(asker.ask([question]) for _ in range(50)))
    await until(lambda: server.count("/") > 0)
    released.set()
    await checks
    assert isinstance(asker.answered(question), Answered)
    await asker.ask([question])
    assert server.count("/") == 1


async def test_check_does_not_wait_for_a_slow_responder(
    server: HttpServer, asker: Responders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question goes on without the check; its answer is there for the next one."""
    monkeypatch.setattr(responders_module, "WAIT_SECONDS", 0.05)
    released = threading.Event()
    server.behaviours["/"] = servers.held(good(b""), released)
    question = inquiry(server.url("/"))
    assert await outcome(asker, question) is None
    released.set()
    await until(lambda: isinstance(asker.answered(question), Answered))
    assert server.count("/") == 1


async def test_responder_that_hangs_is_given_up(
    server: HttpServer, asker: Responders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responders_module, "REQUEST_SECONDS", 0.1)
    server.behaviours["/"] = servers.hang()
    said = await outcome(asker, inquiry(server.url("/")))
    assert isinstance(said, NotAnswered)
    assert "within" in said.why


async def test_responder_that_fails_is_left_alone_and_tried_again(
    server: HttpServer, asker: Responders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The circuit breaker: nobody asks, nobody waits, and then one question tells."""
    monkeypatch.setattr(responders_module, "FIRST_PAUSE_SECONDS", 100.0)
    url = server.url("/")
    for serial in range(1, MAX_FAILURES + 4):
        await asker.ask([inquiry(url, serial=serial)])
    assert server.count("/") == MAX_FAILURES
    (responder,) = asker.responders.values()
    assert responder.results == {"failed": MAX_FAILURES, "skipped": 3}

    server.behaviours["/"] = computed(good)
    # As if the pause had passed.
    responder.paused_until -= 100.0
    assert isinstance(await outcome(asker, inquiry(url)), Answered)
    assert responder.results["good"] == 1


async def test_responder_that_says_nothing_right_is_asked_about_others(
    server: HttpServer, asker: Responders
) -> None:
    """A CA that it does not know must not keep another one's users out."""
    server.behaviours["/"] = computed(good)
    url = server.url("/")
    for serial in range(1, MAX_FAILURES + 4):
        assert isinstance(await outcome(asker, inquiry(url, serial=serial)), NotAnswered)
    assert isinstance(await outcome(asker, inquiry(url)), Answered)


async def test_answer_in_use_is_asked_for_again_before_it_ends(
    server: HttpServer, asker: Responders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When three quarters of its time have passed; one that nobody has needed since is not."""
    minutes = 0
    clock = vars(time) | {"monotonic": lambda: time.monotonic() + minutes * 60}
    monkeypatch.setattr(responders_module, "time", SimpleNamespace(**clock))

    def lasting(path: str, minutes: int) -> Inquiry:
        server.behaviours[path] = computed(good)
        policy = OcspPolicy(server.url(path), max_age=timedelta(minutes=minutes))
        return replace(inquiry(server.url(path)), policy=policy)

    soon, late, unused = lasting("/soon", 40), lasting("/late", 60), lasting("/unused", 40)
    await asker.ask([soon, late, unused])
    assert all(isinstance(asker.answered(each), Answered) for each in (soon, late))
    refreshing = asyncio.create_task(asker.refresh())
    minutes = 44
    await until(lambda: server.count("/soon") == 2)
    assert server.count("/late") == 1
    minutes = 46
    await until(lambda: server.count("/late") == 2)
    assert server.count("/unused") == 1
    refreshing.cancel()


async def test_refresh_that_fails_takes_no_good_answer_away(
    server: HttpServer, asker: Responders
) -> None:
    server.behaviours["/"] = computed(good)
    question = inquiry(server.url("/"))
    await asker.ask([question])
    server.behaviours["/"] = servers.status(503)
    await asker._inquire(question)  # noqa: SLF001 (what a refresh does)
    assert isinstance(asker.answered(question), Answered)


async def test_answer_ends_with_its_next_update_or_what_the_policy_allows(
    server: HttpServer, asker: Responders
) -> None:
    """The first of nextUpdate, max_age, and the end of the responder's own certificate."""
    soon = datetime.now(UTC) + timedelta(minutes=5)
    server.behaviours["/soon"] = servers.content(answer(ACME, SERIAL, next_update=soon))
    now = datetime.now(UTC)
    server.behaviours["/"] = servers.content(
        answer(ACME, SERIAL, this_update=now, next_update=None)
    )
    first = await outcome(asker, inquiry(server.url("/soon")))
    second = await outcome(asker, inquiry(server.url("/")))
    assert isinstance(first, Answered)
    assert isinstance(second, Answered)
    assert timedelta(minutes=5) < first.until - now < timedelta(minutes=7)
    assert timedelta(minutes=59) < second.until - now < timedelta(minutes=61)


async def test_revoked_is_remembered_when_the_responder_falls_silent(
    server: HttpServer, asker: Responders
) -> None:
    """With `if_unknown: allow`, an answer that has run out would let its user in again."""
    soon = datetime.now(UTC) + timedelta(seconds=30)
    server.behaviours["/"] = servers.content(
        answer(ACME, SERIAL, status=x509_ocsp.OCSPCertStatus.REVOKED, next_update=soon)
    )
    said = await outcome(asker, inquiry(server.url("/")))
    assert isinstance(said, Answered)
    assert said.answer.status is CertStatus.REVOKED
    assert said.until - soon > timedelta(days=6)

"""CRLs from URLs: fetched beside the checks, kept on disk, believed by their signature alone."""

import asyncio
import logging
import threading
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

from extauthz.demo.authority import authority, name
from extauthz.evidence import lists as lists_module
from extauthz.evidence.lists import Lists
from extauthz.fetch.fetcher import Fetcher
from extauthz.revocation import CrlSource
from tests.ports import LOOPBACK
from tests.revocation import servers
from tests.revocation.made import HOUR, NOW, crl
from tests.revocation.servers import HttpServer, content
from tests.revocation.sources import ACME, GLOBEX, KNOWN, problem, ready, revoked, until


async def test_servers_do_not_ask_all_at_once(
    lists: Lists, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits a little longer or shorter than the policy says, by up to a tenth."""
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.0

    monkeypatch.setattr("random.uniform", draw)
    server.behaviours["/crl"] = content(crl(ACME, [1]))
    source = await ready(lists, CrlSource(server.url("/crl")))
    await until(lambda: server.count("/crl") > 2)
    assert revoked(lists, source) == {1}
    assert set(drawn) == {(0.9, 1.1)}


async def test_source_that_no_policy_names_is_forgotten(
    tmp_path: Path, lists: Lists, server: HttpServer
) -> None:
    for path in ("/crl", "/other"):
        server.behaviours[path] = content(crl(ACME, [1]))
    source, other = [
        await ready(lists, CrlSource(server.url(path), refresh=timedelta(seconds=1)))
        for path in ("/crl", "/other")
    ]
    lists.retain([other])
    asked, others = server.count("/crl"), server.count("/other")
    # Of two that were asked as often, one goes on.
    await until(lambda: server.count("/other") > others + 1)
    assert revoked(lists, source) == set()
    assert server.count("/crl") == asked


async def test_url_is_asked_again_and_says_what_is_known(lists: Lists, server: HttpServer) -> None:
    """ETag: an unchanged list costs a request, and no download."""
    server.behaviours["/crl"] = content(crl(ACME, [1]), etag='"one"')
    source = await ready(lists, CrlSource(server.url("/crl"), refresh=timedelta(seconds=1)))
    assert revoked(lists, source) == {1}
    await until(lambda: lists.sources[source].results["unchanged"] > 0)
    assert server.asked[-1].headers["if-none-match"] == '"one"'

    server.behaviours["/crl"] = content(crl(ACME, [1, 2], number=2), etag='"two"')
    await until(lambda: revoked(lists, source) == {1, 2})


GOOD = crl(ACME, [1])
WRONG = {
    "dead": (servers.status(503), "HTTP 503"),
    "redirecting": (servers.redirect("http://169.254.169.254/crl"), "redirects are not followed"),
    "broken": (servers.broken(GOOD), "no answer"),
    "endless": (servers.endless(), "larger than"),
    "compressed": (content(GOOD, content_encoding="gzip"), "compressed"),
    "hanging": (servers.hang(), "within"),
    "of HTML": (content(b"<html>not found</html>"), "not a readable CRL"),
    "empty": (content(b""), "not a readable CRL"),
    "forged": (content(crl(ACME, number=9, signed_by=GLOBEX)), "did not sign"),
    "turned back": (content(crl(ACME, number=0)), "older than"),
}


@pytest.mark.parametrize(("behaviour", "why"), WRONG.values(), ids=WRONG)
async def test_server_that_goes_wrong_takes_no_list_away(
    lists: Lists,
    server: HttpServer,
    behaviour: servers.Behaviour,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The last good one counts until its nextUpdate; the operator is told, and not repeatedly."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(lists_module, "MAX_OCTETS", 1_000_000)
    monkeypatch.setattr(lists_module, "FIRST_RETRY_SECONDS", 0.1)
    server.behaviours["/crl"] = content(GOOD)
    source = await ready(lists, CrlSource(server.url("/crl"), refresh=timedelta(seconds=1)))
    server.behaviours["/crl"] = behaviour
    with monkeypatch.context() as patched:
        if why == "within":
            patched.setattr(lists_module, "FETCH_SECONDS", 0.1)
        await until(lambda: why in problem(lists, source))
    assert revoked(lists, source) == {1}
    assert sum(why in message for message in caplog.messages) == 1

    server.behaviours["/crl"] = content(crl(ACME, [1, 2], number=2))
    await until(lambda: revoked(lists, source) == {1, 2} and problem(lists, source) == "")
    assert "good again" in caplog.messages[-1]


async def test_restart_without_network_goes_on_with_what_was_kept(tmp_path: Path) -> None:
    with HttpServer() as server:
        server.behaviours["/crl"] = content(crl(ACME, [1]))
        url = server.url("/crl")
        async with Fetcher() as fetcher:
            before = Lists(fetcher, tmp_path / "state")
            await ready(before, CrlSource(url))
            await until(lambda: bool(list((tmp_path / "state").glob("*.json"))))
            await before.close()
    async with Fetcher() as fetcher:
        after = Lists(fetcher, tmp_path / "state")
        source = await ready(after, CrlSource(url))
        assert revoked(after, source) == {1}
        await until(lambda: "no connection" in problem(after, source))
        assert revoked(after, source) == {1}
        await after.close()


async def test_what_was_kept_is_believed_no_more_than_the_network(
    tmp_path: Path, server: HttpServer
) -> None:
    """Whoever can write the directory cannot make a list, nor keep a new one from being fetched."""
    server.behaviours["/crl"] = content(crl(ACME, [1]), etag='"one"')
    source = CrlSource(server.url("/crl"))
    for forged in (crl(ACME, signed_by=GLOBEX, number=9), b"garbage"):
        async with Fetcher() as fetcher:
            lists = Lists(fetcher, tmp_path / "state")
            await ready(lists, source)
            assert revoked(lists, source) == {1}
            await until(lambda: bool(list((tmp_path / "state").glob("*.json"))))
            await lists.close()
        (kept,) = (tmp_path / "state").glob("*.crl")
        kept.write_bytes(forged)
        server.asked.clear()
    async with Fetcher() as fetcher:
        lists = Lists(fetcher, tmp_path / "state")
        await ready(lists, source)
        assert revoked(lists, source) == {1}
        assert "if-none-match" not in server.asked[0].headers
        await lists.close()


async def test_directory_that_cannot_be_written_is_told(tmp_path: Path, server: HttpServer) -> None:
    (tmp_path / "state").write_text("a file")
    server.behaviours["/crl"] = content(crl(ACME, [1]))
    async with Fetcher() as fetcher:
        lists = Lists(fetcher, tmp_path / "state")
        source = await ready(lists, CrlSource(server.url("/crl")))
        assert "cannot be kept" in problem(lists, source)
        await lists.close()


async def test_https_server_of_a_private_ca_needs_its_bundle(tmp_path: Path, lists: Lists) -> None:
    """Vault 30317: a list server with a certificate of a private CA could not be used."""
    pki = authority(name("PKI"))
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(LOOPBACK))])
    bundle = tmp_path / "pki.pem"
    bundle.write_text(pki.pem)
    key_ids = x509.AuthorityKeyIdentifier.from_issuer_public_key(pki.key.public_key())
    certificate = pki.issue(name("server"), [(address, False), (key_ids, False)])
    with HttpServer(certificate, tmp_path) as server:
        server.behaviours["/crl"] = content(crl(ACME, [1]))
        untrusted = await ready(lists, CrlSource(server.url("/crl")))
        trusted = await ready(lists, CrlSource(server.url("/crl"), str(bundle)))
        assert revoked(lists, trusted) == {1}
        assert revoked(lists, untrusted) == set()
        assert "certificate" in problem(lists, untrusted)


async def test_slow_source_of_one_subscription_keeps_nobody_waiting(
    tmp_path: Path, lists: Lists, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy takes effect without the list; those who rely on it are unknown until it comes."""
    monkeypatch.setattr(lists_module, "FIRST_FETCH_SECONDS", 0.1)
    file = tmp_path / "acme.crl"
    file.write_bytes(crl(ACME, [1]))
    fast = CrlSource(str(file))
    slow = replace(fast, location=server.url("/crl"))
    released = threading.Event()
    server.behaviours["/crl"] = servers.held(crl(GLOBEX, [2]), released)
    await lists.prepare({fast: KNOWN, slow: KNOWN})
    assert revoked(lists, fast) == {1}
    assert revoked(lists, slow, GLOBEX) == set()
    released.set()
    await until(lambda: revoked(lists, slow, GLOBEX) == {2})


async def test_stale_list_of_a_url_is_asked_for_ever_more_rarely(
    lists: Lists, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA that is dead for good must not be asked every second."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    hasty = SimpleNamespace(**vars(asyncio) | {"sleep": sleep})
    monkeypatch.setattr(lists_module, "asyncio", hasty)
    monkeypatch.setattr("random.uniform", lambda *_: 1.0)
    stale = crl(ACME, [1], this_update=NOW - 3 * HOUR, next_update=NOW - HOUR)
    server.behaviours["/crl"] = content(stale)
    source = await ready(lists, CrlSource(server.url("/crl"), refresh=timedelta(seconds=60)))
    await until(lambda: len(pauses) > 7)
    assert pauses[:8] == [2, 4, 8, 16, 32, 60, 60, 60]
    assert revoked(lists, source) == {1}

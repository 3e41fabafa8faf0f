"""CRLs from files, directories and URLs: taken over when right, kept when the source is not."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509

from extauthz.ca import CaCertificate
from extauthz.crl import Crl
from extauthz.demo.authority import Credential, authority, name
from extauthz.evidence import lists as lists_module
from extauthz.evidence.fetch import Fetcher
from extauthz.evidence.lists import Lists
from extauthz.revocation import CrlSource
from extauthz.watch import watch
from tests.revocation import servers
from tests.revocation.made import HOUR, NOW, ca, crl
from tests.revocation.openssl_ca import OpensslCa
from tests.revocation.servers import HttpServer, content
from tests.wire.envoy_process import LOOPBACK

ACME = authority(name("Acme CA"))
GLOBEX = authority(name("Globex CA"))
KNOWN = frozenset([ca(ACME), ca(GLOBEX)])


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


@pytest.fixture
async def lists(tmp_path: Path) -> AsyncIterator[Lists]:
    async with Fetcher() as fetcher:
        made = Lists(fetcher, tmp_path / "state")
        yield made
        await made.close()


async def ready(
    lists: Lists, source: CrlSource, known: frozenset[CaCertificate] = KNOWN
) -> CrlSource:
    await lists.prepare({source: known})
    return source


def revoked(lists: Lists, source: CrlSource, issuer: Credential = ACME) -> set[int]:
    """Which of the serial numbers below 10 the source's lists have."""
    crls: list[Crl] = list(lists.crls(source, ca(issuer).identity))
    return {serial for serial in range(10) for each in crls if each.entry(serial) is not None}


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.02)


def problem(lists: Lists, source: CrlSource) -> str:
    return lists.sources[source].problem or ""


async def test_new_file_counts_without_a_restart(tmp_path: Path, lists: Lists) -> None:
    """ingress-nginx 4904, kubernetes-ingress 3632: a new list had no effect until a restart."""
    file = tmp_path / "acme.crl"
    file.write_bytes(crl(ACME, [1]))
    source = await ready(lists, CrlSource(str(file)))
    assert revoked(lists, source) == {1}

    watching = asyncio.create_task(watch(lambda: lists.files, lists.reread))
    file.write_bytes(crl(ACME, [1, 2], number=2))
    await until(lambda: revoked(lists, source) == {1, 2})
    watching.cancel()


async def test_directory_holds_lists_of_many_cas_and_one_bad_file_harms_no_other(
    tmp_path: Path, lists: Lists
) -> None:
    directory = tmp_path / "crls"
    directory.mkdir()
    (directory / "acme.crl").write_bytes(crl(ACME, [1]))
    (directory / ".hidden").write_bytes(b"garbage")
    (directory / "..data").mkdir()
    source = await ready(lists, CrlSource(str(directory)))
    assert problem(lists, source) == ""

    (directory / "globex.crl").write_bytes(crl(GLOBEX, [2]))
    (directory / "bad.crl").write_bytes(b"garbage")
    await lists.reread()
    assert revoked(lists, source) == {1}
    assert revoked(lists, source, GLOBEX) == {2}
    assert "bad.crl" in problem(lists, source)


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (crl(ACME, [2], number=4), "older than 5"),
        (crl(ACME, [2], number=None), "older than 5"),
        (crl(ACME, [2], number=6, this_update=NOW - 2 * HOUR), "newer one"),
        (crl(ACME, [2], number=6, signed_by=GLOBEX), "did not sign"),
        (crl(authority(name("Stranger")), [2], number=6), "no CA that the policy names"),
        (b"garbage", "not a readable CRL"),
        (None, "cannot be read"),
    ],
    ids=["number goes back", "number is gone", "older", "forged", "stranger", "garbage", "gone"],
)
async def test_list_stays_until_a_right_and_newer_one_comes(
    tmp_path: Path, lists: Lists, second: bytes | None, why: str
) -> None:
    """RFC 5280 5.2.3; whoever can write the file can take nothing back that the CA has said."""
    file = tmp_path / "acme.crl"
    file.write_bytes(crl(ACME, [1], number=5))
    source = await ready(lists, CrlSource(str(file)))
    if second is None:
        file.unlink()
    else:
        file.write_bytes(second)
    await lists.reread()
    assert revoked(lists, source) == {1}
    assert why in problem(lists, source)


async def test_unchanged_number_with_another_date_is_newer(tmp_path: Path, lists: Lists) -> None:
    """A CA that does not count its lists still dates them."""
    file = tmp_path / "acme.crl"
    file.write_bytes(crl(ACME, [1], number=None))
    source = await ready(lists, CrlSource(str(file)))
    file.write_bytes(crl(ACME, [2], number=None, this_update=NOW - HOUR / 2))
    await lists.reread()
    assert revoked(lists, source) == {2}


async def test_ca_that_a_policy_adds_has_its_list_at_once(tmp_path: Path, lists: Lists) -> None:
    """The file was there before; only now somebody knows whose it is."""
    file = tmp_path / "globex.crl"
    file.write_bytes(crl(GLOBEX, [3]))
    source = await ready(lists, CrlSource(str(file)), frozenset([ca(ACME)]))
    assert revoked(lists, source, GLOBEX) == set()
    await ready(lists, source)
    assert revoked(lists, source, GLOBEX) == {3}


async def test_source_that_no_policy_names_is_forgotten(
    tmp_path: Path, lists: Lists, server: HttpServer
) -> None:
    server.behaviours["/crl"] = content(crl(ACME, [1]))
    source = await ready(lists, CrlSource(server.url("/crl"), refresh=timedelta(seconds=1)))
    lists.retain([])
    asked = server.count("/crl")
    await asyncio.sleep(1.3)
    assert revoked(lists, source) == set()
    assert server.count("/crl") == asked


async def test_large_list_is_read_in_a_process_of_its_own(
    tmp_path: Path, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists_module, "LARGE_OCTETS", 1)
    own = OpensslCa(tmp_path / "ca")
    alice = own.issue("alice")
    own.revoke(alice)
    file = tmp_path / "crl.pem"
    file.write_bytes(own.crl())
    known = ca(own.credential)
    source = await ready(lists, CrlSource(str(file)), frozenset([known]))
    (read,) = lists.crls(source, known.identity)
    assert read.entry(alice.certificate.serial_number) is not None
    file.write_bytes(b"garbage")
    await lists.reread()
    assert "not a readable CRL" in problem(lists, source)


async def test_url_is_asked_again_and_says_what_is_known(lists: Lists, server: HttpServer) -> None:
    """ETag: an unchanged list costs a request, and no download."""
    server.behaviours["/crl"] = content(crl(ACME, [1]), etag='"one"')
    source = await ready(lists, CrlSource(server.url("/crl"), refresh=timedelta(seconds=1)))
    assert revoked(lists, source) == {1}
    await until(lambda: lists.sources[source].results["unchanged"] == 1)
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
    "hanging": (servers.hang(2), "within"),
    "of HTML": (content(b"<html>not found</html>"), "not a readable CRL"),
    "empty": (content(b""), "not a readable CRL"),
    "forged": (content(crl(ACME, number=9, signed_by=GLOBEX)), "did not sign"),
    "turned back": (content(crl(ACME, number=0)), "older than"),
}


@pytest.mark.parametrize(("behaviour", "why"), WRONG.values(), ids=WRONG)
async def test_server_that_goes_wrong_takes_no_list_away(  # noqa: PLR0917 (fixtures)
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
    monkeypatch.setattr(lists_module, "FETCH_SECONDS", 0.5)
    monkeypatch.setattr(lists_module, "FIRST_RETRY_SECONDS", 0.1)
    server.behaviours["/crl"] = content(GOOD)
    source = await ready(lists, CrlSource(server.url("/crl"), refresh=timedelta(seconds=1)))
    server.behaviours["/crl"] = behaviour
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
    server.behaviours["/crl"] = servers.slow(crl(GLOBEX, [2]), 0.5)
    await lists.prepare({fast: KNOWN, slow: KNOWN})
    assert revoked(lists, fast) == {1}
    assert revoked(lists, slow, GLOBEX) == set()
    await until(lambda: revoked(lists, slow, GLOBEX) == {2})


async def test_stale_list_of_a_url_is_asked_for_ever_more_rarely(
    lists: Lists, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA that is dead for good must not be asked every second."""
    monkeypatch.setattr(lists_module, "FIRST_RETRY_SECONDS", 0.1)
    stale = crl(ACME, [1], this_update=NOW - 3 * HOUR, next_update=NOW - HOUR)
    server.behaviours["/crl"] = content(stale)
    source = await ready(lists, CrlSource(server.url("/crl")))
    await asyncio.sleep(1.5)
    assert 3 <= server.count("/crl") <= 5
    assert revoked(lists, source) == {1}


class Panic(BaseException):
    """What a Rust library raises when it gives up; no Exception."""


async def test_bug_in_reading_a_list_harms_no_other(
    tmp_path: Path, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a hostile list sets off, the last good one stays and the next one is read."""

    def panicking(_: Path) -> list[Crl]:
        raise Panic

    file = tmp_path / "acme.crl"
    file.write_bytes(crl(ACME, [1]))
    source = await ready(lists, CrlSource(str(file)))
    with monkeypatch.context() as patched:
        patched.setattr(lists_module, "read_lists", panicking)
        file.write_bytes(crl(ACME, [2], number=2))
        await lists.reread()
    assert "extauthz failed to read it: Panic" in problem(lists, source)
    assert revoked(lists, source) == {1}

    file.write_bytes(crl(ACME, [3], number=3))
    await lists.reread()
    assert revoked(lists, source) == {3}

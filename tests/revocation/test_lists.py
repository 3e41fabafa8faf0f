"""CRLs from files and directories: taken over when right, kept when the source is not."""

import asyncio
import threading
from pathlib import Path

import pytest

from extauthz.demo.authority import authority, name
from extauthz.evidence import lists as lists_module
from extauthz.evidence.lists import Lists
from extauthz.evidence.reading import Reading, read_lists
from extauthz.revocation import CrlSource
from extauthz.watch import watch
from tests.revocation.made import HOUR, NOW, ca, crl
from tests.revocation.openssl_ca import OpensslCa
from tests.revocation.sources import ACME, GLOBEX, KNOWN, problem, put, ready, revoked, until


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
        put(file, second)
    await lists.reread()
    assert revoked(lists, source) == {1}
    assert why in problem(lists, source)


async def test_unchanged_number_with_another_date_is_newer(tmp_path: Path, lists: Lists) -> None:
    """A CA that does not count its lists still dates them."""
    file = tmp_path / "acme.crl"
    file.write_bytes(crl(ACME, [1], number=None))
    source = await ready(lists, CrlSource(str(file)))
    put(file, crl(ACME, [2], number=None, this_update=NOW - HOUR / 2))
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


async def test_file_that_cannot_be_had_holds_up_no_other(
    tmp_path: Path, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that hangs: the policy takes effect without it, and other files are read on."""
    monkeypatch.setattr(lists_module, "PREPARE_SECONDS", 0.1)
    released = threading.Event()

    def hanging(path: Path) -> Reading:
        if path.name == "hangs.crl":
            released.wait(60)
        return read_lists(path)

    monkeypatch.setattr(lists_module, "read_lists", hanging)
    for file in ("hangs.crl", "acme.crl"):
        (tmp_path / file).write_bytes(crl(ACME, [1]))
    sources = [CrlSource(str(tmp_path / file)) for file in ("hangs.crl", "acme.crl")]
    await lists.prepare(dict.fromkeys(sources, KNOWN))
    await until(lambda: revoked(lists, sources[1]) == {1})
    assert revoked(lists, sources[0]) == set()

    put(tmp_path / "acme.crl", crl(ACME, [2], number=2))
    await lists.begin_rereading()
    await until(lambda: revoked(lists, sources[1]) == {2})
    assert revoked(lists, sources[0]) == set()
    released.set()
    await until(lambda: revoked(lists, sources[0]) == {1})


class Panic(BaseException):
    """What a Rust library raises when it gives up; no Exception."""


async def test_bug_in_reading_a_list_harms_no_other(
    tmp_path: Path, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a hostile list sets off, the last good one stays and the next one is read."""

    def panicking(_: Path) -> Reading:
        raise Panic

    file = tmp_path / "acme.crl"
    file.write_bytes(crl(ACME, [1]))
    source = await ready(lists, CrlSource(str(file)))
    with monkeypatch.context() as patched:
        patched.setattr(lists_module, "read_lists", panicking)
        put(file, crl(ACME, [2], number=2))
        await lists.reread()
    assert "extauthz failed to read it: Panic" in problem(lists, source)
    assert revoked(lists, source) == {1}

    put(file, crl(ACME, [3], number=3))
    await lists.reread()
    assert revoked(lists, source) == {3}

"""Where fetched lists are kept, and what is remembered of them."""

import os
from pathlib import Path

import pytest

from extauthz.evidence.kept import KeptFile, state_directory
from extauthz.fetch.fetcher import Validators

SAID = Validators('"one"', "Tue, 24 Nov 2026 07:33:11 GMT")


@pytest.mark.parametrize(("environment", "expected"), [
    ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}, "/var/lib/a"),
    ({"XDG_STATE_HOME": "/x", "HOME": "/home/me"}, "/x/extauthz"),
    ({"HOME": "/home/me"}, "/home/me/.local/state/extauthz"),
])  # fmt: skip
def test_state_is_where_the_system_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert state_directory() == Path(expected)


def test_user_without_a_home_has_a_place_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, a number is all that the user is."""

    def no_home() -> Path:
        raise RuntimeError

    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert state_directory() == Path("/var/lib/extauthz")


def keep(directory: Path, content: bytes = b"list") -> KeptFile:
    kept = KeptFile(directory, "http://pki.example/acme.crl")
    arriving = kept.arriving()
    arriving.write_bytes(content)
    kept.keep(arriving, SAID)
    return kept


def test_what_the_server_said_is_remembered_with_the_content(tmp_path: Path) -> None:
    kept = keep(tmp_path)
    assert kept.content.read_bytes() == b"list"
    assert kept.validators() == SAID
    assert KeptFile(tmp_path, "http://pki.example/other.crl").validators() == Validators()


@pytest.mark.parametrize("said", [
    b"", b"[]", b"{", b'{"etag": 1}', b"\xff", b'{"sha256": null}',
])  # fmt: skip
def test_damaged_memory_is_none(tmp_path: Path, said: bytes) -> None:
    """The list is then fetched whole."""
    kept = keep(tmp_path)
    (note,) = tmp_path.glob("*.json")
    note.write_bytes(said)
    assert kept.validators() == Validators()


def test_memory_of_another_content_is_none(tmp_path: Path) -> None:
    """A crash between the two files, or another process: never "not modified" for a wrong list."""
    kept = keep(tmp_path)
    kept.content.write_bytes(b"another list")
    assert kept.validators() == Validators()


def test_header_that_would_break_a_request_is_not_sent_again(tmp_path: Path) -> None:
    kept = KeptFile(tmp_path, "http://pki.example/acme.crl")
    arriving = kept.arriving()
    arriving.write_bytes(b"list")
    kept.keep(arriving, Validators('"a"\r\nHost: evil', None))
    assert kept.validators() == Validators()


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """Half a list for each crash would fill the disk; one that arrives now is left alone."""
    kept = KeptFile(tmp_path / "crl", "http://pki.example/acme.crl")
    kept.make_room()
    old, new = kept.arriving(), kept.arriving()
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    kept.make_room()
    assert (old.exists(), new.exists()) == (False, True)

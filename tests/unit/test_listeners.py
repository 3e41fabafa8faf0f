"""Addresses to listen on, and what is said where one cannot be."""

import socket
import stat
from pathlib import Path

import pytest

from extauthz.listeners import AddressInUseError, Tcp, Unix, bind, parse


@pytest.mark.parametrize(("text", "address"), [
    ("127.0.0.1:9000", Tcp("127.0.0.1", 9000)), ("[::1]:9000", Tcp("::1", 9000)),
    (":9000", Tcp("", 9000)), ("localhost:0", Tcp("localhost", 0)),
    ("unix:/run/a.sock", Unix(Path("/run/a.sock"))), ("unix:a", Unix(Path("a"))),
])  # fmt: skip
def test_addresses_are_read(text: str, address: Tcp | Unix) -> None:
    """HOST:PORT, with IPv6 in brackets, or unix:PATH."""
    assert parse(text) == address


@pytest.mark.parametrize(
    "text", ["", "9000", "a:", "a:b", "a:65536", "::1:9000", "unix:", "a:-1", "a:٣"]
)
def test_what_is_no_address_is_an_error(text: str) -> None:
    """It is said in words."""
    with pytest.raises(ValueError, match=r"neither|brackets|needs a path"):
        parse(text)


@pytest.mark.parametrize("host", ["a..b", "192.0.2.1", "x" * 70])
def test_address_of_another_machine_is_one_clear_sentence(host: str) -> None:
    """Nothing leaks, and no traceback is shown."""
    with pytest.raises(AddressInUseError, match="cannot listen on"):
        bind(Tcp(host, 0))


def test_busy_port_is_one_clear_sentence() -> None:
    """The address stands in it once."""
    with bind(Tcp("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(AddressInUseError) as caught:
            bind(Tcp("127.0.0.1", port))

    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"


def test_unix_socket_is_for_owner_and_group_and_replaces_a_dead_one(tmp_path: Path) -> None:
    """A server that was killed leaves its socket behind."""
    path = tmp_path / "check.sock"
    for _ in range(2):
        with bind(Unix(path)) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_unix_socket_of_a_living_server_and_other_files_are_left_alone(tmp_path: Path) -> None:
    """Nobody's socket is taken away, and no file is overwritten."""
    alive, file = tmp_path / "alive", tmp_path / "file"
    file.write_text("precious")
    with bind(Unix(alive)):
        for path in (alive, file):
            with pytest.raises(AddressInUseError, match="Address already in use"):
                bind(Unix(path))
    assert file.read_text() == "precious"

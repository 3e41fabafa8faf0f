"""Addresses to listen on, and the sockets for them."""

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = ["Address", "AddressInUseError", "Tcp", "Unix", "bind", "parse"]

BACKLOG = 1024
UNIX_MODE = 0o660
"""Envoy usually runs as another user: who is in the socket's group may ask."""


@dataclass(frozen=True, slots=True)
class Tcp:
    host: str
    """An IP address; empty for every interface."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address: TypeAlias = Tcp | Unix


class AddressInUseError(OSError):
    """The address cannot be listened on; the message says which one and why."""


def parse(text: str) -> Address:
    """`HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. Raises ValueError for anything else."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            message = "unix: needs a path"
            raise ValueError(message)
        return Unix(Path(path))
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
        message = f"{text!r} is neither HOST:PORT nor unix:PATH"
        raise ValueError(message)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        message = f"{text!r}: put the IPv6 address in brackets"
        raise ValueError(message)
    return Tcp(host, int(port))


def bind(address: Address) -> socket.socket:
    """A listening socket. Raises AddressInUseError where that cannot be."""
    try:
        return _unix(address.path) if isinstance(address, Unix) else _tcp(address)
    # A name that is no name (`a..b`) fails in Python's IDNA codec.
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = "it is no address of this machine" if number is None else os.strerror(number)
        message = f"cannot listen on {address}: {reason}"
        raise AddressInUseError(message) from error


def _tcp(address: Tcp) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server(
        (address.host, address.port), family=family, backlog=BACKLOG, reuse_port=False
    )


def _unix(path: Path) -> socket.socket:
    _remove_dead_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Bound with no rights at all, and opened to the group once it is in place.
        before = os.umask(0o777)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(UNIX_MODE)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_dead_socket(path: Path) -> None:
    """A server that was killed leaves its socket behind; one that lives must be left alone."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()

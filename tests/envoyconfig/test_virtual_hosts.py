"""Which spellings of a host Envoy takes to another virtual host than extauthz thinks."""

import http.client
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.demo.envoy import envoy_command
from extauthz.envoyconfig.needs import NOTHING
from extauthz.envoyconfig.virtual_hosts import hints, taker
from extauthz.envoyconfig.weave import weave
from tests.ports import LOOPBACK, free_port
from tests.wire.envoy_process import TEMPLATE

D = "admin.example.com"
ALL = (D, f"{D}:*", f"{D}.", f"{D}.:*")


def host(name: str, *domains: str, cluster: str | None = None) -> dict[str, Any]:
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": cluster or name}}]
    return {"name": name, "domains": list(domains), "routes": routes}


def manager(*hosts: dict[str, Any], **routes: bool) -> dict[str, Any]:
    return {"route_config": {"virtual_hosts": list(hosts), **routes}}


def additions(found: dict[str, Any]) -> list[str]:
    """What is to be added, of all hints."""
    told = (hint.partition("': ")[2].partition(": to extauthz")[0] for hint in hints(found))
    parts = [part for each in told for part in re.split(", | and ", each)]
    return [part.removeprefix("add to its `domains` ") for part in parts]


SERVICE = host("service", "*")
SETTING = "set `ignore_port_in_host_matching: true` in the `route_config`"


@pytest.mark.parametrize(("domains", "missing"), [
    (ALL, ()),
    ((D,), ALL[1:]),
    ((D.upper(), f"{D}:*"), ALL[2:]),
    ((D, f"{D}.", f"{D}.:*"), ALL[1:2]),
    ((f"{D}:443",), ALL),
    ((f"{D}:*",), (D, *ALL[2:])),
    ((D, f"{D}:443", f"{D}:444"), ALL[1:]),
    (("[2001:db8::1]",), ("[2001:db8::1]:*",)),
    (("*.example.com",), (SETTING, "*.example.com.")),
    (("admin.*",), ()),
    (("admin.example.*",), ()),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("is_first", [True, False])
def test_what_another_virtual_host_would_take_is_missing(
    domains: tuple[str, ...], missing: tuple[str, ...], *, is_first: bool
) -> None:
    """Each of the ways to write a host, whatever is there of them."""
    admin = host("admin", *domains)
    found = manager(*((admin, SERVICE) if is_first else (SERVICE, admin)))
    assert sorted(additions(found)) == sorted(missing)


@pytest.mark.parametrize("hosts", [
    (host("admin", D),),
    (host("admin", D), host("service", "www.example.com")),
    (host("admin", D), host("service", "www.example.com:8443", "www.example.com")),
    (host("admin", D), host("service", "*", cluster="admin")),
    (SERVICE,),
    (host("admin", *ALL), host("other", f"{D}:8443"), SERVICE),
], ids=["one", "no other takes it", "not a port", "same routes", "all", "a port"])  # fmt: skip
def test_what_no_other_takes_is_not_missing(hosts: tuple[dict[str, Any], ...]) -> None:
    """Nor what goes the same way there."""
    assert additions(manager(*hosts)) == []


def test_every_virtual_host_that_takes_one_is_named() -> None:
    """Which need not be the one for everything: the nearest pattern counts."""
    (hint,) = hints(manager(host("admin", D, f"{D}:*"), host("near", f"{D}.*"), SERVICE))
    assert hint.startswith(f"virtual host 'admin': add to its `domains` {D}. and {D}.:*: ")
    assert hint.endswith("reaches virtual host 'service' and 'near', too")


def test_what_envoy_answers_itself_opens_nothing() -> None:
    """A redirect or an error for whatever else comes is no service."""
    nothing = host("nothing", "*")
    nothing["routes"] = [
        {"match": {"prefix": "/a"}, "redirect": {"https_redirect": True}},
        {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
    ]
    assert additions(manager(host("admin", D), nothing)) == []
    nothing["routes"].insert(0, SERVICE["routes"][0])
    assert additions(manager(host("admin", D), nothing)) == list(ALL[1:])


def test_what_envoy_takes_away_before_cannot_be_missing() -> None:
    """Ports and dots, by the connection manager or in the comparison."""
    found = manager(host("admin", D), SERVICE)
    assert additions(found | {"strip_any_host_port": True}) == [f"{D}."]
    assert additions(found | {"strip_matching_host_port": True}) == list(ALL[1:])
    assert additions(found | {"strip_trailing_host_dot": True}) == [f"{D}:*"]
    both = {"strip_any_host_port": True, "strip_trailing_host_dot": True}
    assert additions(found | both) == []
    ignoring = manager(host("admin", D, "*.a.example"), SERVICE, ignore_port_in_host_matching=True)
    assert additions(ignoring) == [f"{D}.", "*.a.example."]


def test_check_says_it_and_writes_nothing() -> None:
    """It may be meant so: it is a hint, with the names of all that it is about."""
    config = yaml.safe_load(TEMPLATE.read_text())
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"].append(host("admin", D))
    text = yaml.safe_dump(config)
    woven = weave(text, NOTHING)
    assert (woven.missing, woven.by_hand, woven.text) == ((), (), text)
    (hint,) = woven.hints
    assert hint == (
        f"connection manager 'https': virtual host 'admin': add to its `domains` {D}:*, {D}. and"
        f" {D}.:*: to extauthz that is no other host, but as it is, whoever has a certificate for"
        " this one reaches virtual host 'service', too"
    )


PATTERNS = (
    D, f"{D}:*", "www.example.com.", "*.example.com", "*-x.example.com", "a.*", "a.example.*",
    "*.com:8443", "b.example.com:80", "*",
)  # fmt: skip
WRITTEN = (
    D, D.upper(), f"{D}:443", f"{D}:", f"{D}.", f"{D}.:443", "www.example.com", "www.example.com.",
    "www.example.com:80", ".example.com", "example.com", "y-x.example.com", "-x.example.com",
    "y-x.example.com.", "a.net", "a.", "a.example.com", "a.example.org", "a.example.", "c.com:8443",
    "admin.com:8443", f"{D}:8443", "b.example.com", "b.example.com:80", "b.example.com:81", "x",
)  # fmt: skip
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def test_it_is_the_virtual_host_that_envoy_takes(tmp_path: Path) -> None:
    """A real one, asked for each of these hosts."""
    hosts = [host(domain, domain) for domain in PATTERNS]
    for each in hosts:
        each["routes"] = [
            {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {
                "inline_string": each["name"]}}}
        ]  # fmt: skip
    port = free_port()
    router = {"name": "router", "typed_config": {"@type": ROUTER}}
    config = {"@type": f"{MANAGER}.HttpConnectionManager", "stat_prefix": "x"}
    config |= manager(*hosts) | {"http_filters": [router]}
    listener = {
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": config}]}],
    }
    path = tmp_path / "envoy.yaml"
    path.write_text(yaml.safe_dump({"static_resources": {"listeners": [listener]}}))
    with (tmp_path / "stderr").open("wb") as errors:
        process = subprocess.Popen(envoy_command(path), stderr=errors, stdout=errors)
    try:
        answers = {written: asked(port, written) for written in WRITTEN}
    finally:
        process.kill()
        process.wait()
    named = {each: taker(each.lower(), hosts) for each in WRITTEN}
    assert answers == {each: found and found["name"] for each, found in named.items()}


def asked(port: int, written: str) -> str:
    """Which virtual host answers for a host; Envoy has a minute to be there."""
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        try:
            connection.request("GET", "/", headers={"Host": written})
            return connection.getresponse().read().decode()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        finally:
            connection.close()

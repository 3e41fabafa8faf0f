"""Envoy's configuration: that Envoy takes it, that it stays hardened, and what it really does.

A setting is held twice: as it stands in the file, with the reason, and where it can be seen from
outside also by its effect, between a stub of extauthz and a service that keep what they get.
"""

import asyncio
import copy
import json
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from cryptography import x509

from extauthz.demo.envoy import Placement, envoy_command, place
from tests.ports import LOOPBACK, free_port
from tests.wire.envoy_process import (
    OK,
    PATIENCE,
    TEMPLATE,
    Envoy,
    Message,
    Server,
    Wire,
    ask_http2,
    client_context,
    make_certificate,
    make_certificates,
    running_envoy,
    serving,
)

CONFIG: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
LISTENER: dict[str, Any] = CONFIG["static_resources"]["listeners"][0]
CHAIN: dict[str, Any] = LISTENER["filter_chains"][0]
TLS: dict[str, Any] = CHAIN["transport_socket"]["typed_config"]
HCM: dict[str, Any] = CHAIN["filters"][0]["typed_config"]
ROUTE: dict[str, Any] = HCM["route_config"]["virtual_hosts"][0]["routes"][0]
AUTHZ: dict[str, Any] = HCM["http_filters"][0]["typed_config"]
CLUSTERS: dict[str, Any] = {c["name"]: c for c in CONFIG["static_resources"]["clusters"]}


def http_options(cluster: str) -> dict[str, Any]:
    options: dict[str, Any] = CLUSTERS[cluster]["typed_extension_protocol_options"]
    return next(iter(options.values()))


PARTS: dict[str, dict[str, Any]] = {
    "listener": LISTENER,
    "chain": CHAIN,
    "tls": TLS,
    "hcm": HCM,
    "route": ROUTE,
    "authz": AUTHZ,
    "router": HCM["http_filters"][-1]["typed_config"],
    "extauthz": CLUSTERS["extauthz"],
    "extauthz_http": http_options("extauthz"),
    "service": CLUSTERS["service"],
    "service_http": http_options("service"),
    "runtime": CONFIG["layered_runtime"]["layers"][0]["static_layer"],
}

NAMES = ("x-forwarded-client-cert", "x-request-id", "accept", "user-agent", "traceparent")
LOGGED = ("x-extauthz-decision", "x-extauthz-reasons", "x-extauthz-subscription")

SETTINGS: list[tuple[str, Any, str]] = [
    ("listener.per_connection_buffer_limit_bytes", 32768, "one client cannot fill the memory"),
    ("chain.transport_socket_connect_timeout", "10s", "handshakes that hang are ended"),
    ("tls.require_client_certificate", False, "without a certificate there is an answer"),
    ("tls.common_tls_context.tls_params.tls_minimum_protocol_version", "TLSv1_2", "RFC 8996"),
    ("tls.common_tls_context.alpn_protocols", ["h2", "http/1.1"], "both, and nothing else"),
    (
        "tls.common_tls_context.validation_context",
        {"trust_chain_verification": "ACCEPT_UNTRUSTED"},
        "extauthz decides, for each subscription, what Envoy could only decide for all",
    ),
    ("hcm.forward_client_cert_details", "SANITIZE_SET", "a client's own header is dropped"),
    ("hcm.set_current_client_cert_details", {"cert": True, "chain": True}, "what extauthz reads"),
    ("hcm.use_remote_address", True, "a client chooses neither its address nor a request id"),
    ("hcm.normalize_path", True, "one reading of `..`"),
    ("hcm.merge_slashes", True, "one reading of `//`"),
    ("hcm.path_with_escaped_slashes_action", "REJECT_REQUEST", "one reading of %2F"),
    (
        "hcm.common_http_protocol_options.headers_with_underscores_action",
        "REJECT_REQUEST",
        "what CGI takes for a dashed name cannot be sneaked in",
    ),
    ("hcm.common_http_protocol_options.max_headers_count", 100, "no flood of fields"),
    ("hcm.common_http_protocol_options.idle_timeout", "300s", "unused connections end"),
    ("hcm.max_request_headers_kb", 60, "no flood of octets"),
    ("hcm.request_headers_timeout", "10s", "strangers do not keep a stream open"),
    ("hcm.stream_idle_timeout", "3600s", "WebSockets and long answers live, dead peers do not"),
    ("hcm.stream_flush_timeout", "300s", "who does not read his answer does not keep it here"),
    ("hcm.stream_error_on_invalid_http_message", False, "broken HTTP ends its connection"),
    ("hcm.http_protocol_options.enable_trailers", False, "trailers are not checked"),
    ("hcm.http_protocol_options.allow_chunked_length", False, "no request smuggling"),
    ("hcm.http2_protocol_options.allow_connect", False, "no tunnels"),
    ("hcm.http2_protocol_options.max_concurrent_streams", 100, "edge best practice"),
    ("hcm.http2_protocol_options.initial_stream_window_size", 65536, "edge best practice"),
    ("hcm.http2_protocol_options.initial_connection_window_size", 1048576, "edge best practice"),
    (
        "hcm.upgrade_configs",
        [{"upgrade_type": "websocket", "enabled": False}],
        "a route without a word about upgrades has none",
    ),
    ("hcm.proxy_100_continue", True, "the service answers Expect itself, after the check"),
    ("hcm.server_header_transformation", "PASS_THROUGH", "the service's Server header stays"),
    ("route.route.timeout", "0s", "long answers are the service's business"),
    ("route.route.upgrade_configs", [{"upgrade_type": "websocket"}], "WebSocket, not CONNECT"),
    (
        "route.request_headers_to_remove",
        [
            "x-forwarded-client-cert",
            "x-extauthz-client-address",
            "x-extauthz-access-log",
            *LOGGED,
            "x-envoy-external-address",
        ],
        "the service does not see what was between Envoy and extauthz, nor what looks like it",
    ),
    ("authz.failure_mode_allow", False, "no answer is a refusal (CVE-2024-23324)"),
    ("authz.clear_route_cache", False, "the route that was checked is the one that is taken"),
    (
        "authz.allowed_headers",
        {"patterns": [{"exact": name} for name in NAMES]},
        "no cookies for extauthz",
    ),
    ("authz.http_service.server_uri.timeout", "1s", "a check does not wait longer"),
    ("authz.http_service.path_prefix", "/check", "what extauthz answers"),
    (
        "authz.http_service.authorization_response",
        {
            "allowed_client_headers": {
                "patterns": [
                    {"exact": "content-type"},
                    {"exact": "cache-control"},
                    {"exact": "content-security-policy"},
                ]
            },
            "dynamic_metadata_from_headers": {"patterns": [{"exact": name} for name in LOGGED]},
        },
        "a refusal shows no more, an allow changes nothing, and the log knows the reason",
    ),
    (
        "authz.http_service.authorization_request",
        {
            "headers_to_add": [
                {
                    "key": "x-extauthz-client-address",
                    "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                },
                {"key": "x-extauthz-access-log", "value": "true"},
            ]
        },
        "what Envoy alone says",
    ),
    (
        "authz.http_service.retry_policy.retry_on",
        "connect-failure,refused-stream,reset-before-request",
        "no check is asked twice that may have been seen",
    ),
    ("authz.http_service.retry_policy.num_retries", 1, "no storm on a dead authorizer"),
    (
        "authz.http_service.retry_policy.retry_back_off.max_interval",
        "1s",
        "it is the timeout of a try as well: not below that of the check",
    ),
    ("router.suppress_envoy_headers", True, "no x-envoy-* for service or client"),
    ("extauthz.common_lb_config.healthy_panic_threshold", {"value": 0}, "the sick are not asked"),
    ("extauthz.common_lb_config.update_merge_window", "0s", "health counts at once"),
    ("extauthz.health_checks.0.http_health_check.path", "/readyz", "without a policy: not ready"),
    ("extauthz.health_checks.0.interval", "0.5s", "noticed and forgiven soon"),
    ("extauthz.health_checks.0.no_traffic_interval", "0.5s", "also before the first request"),
    ("extauthz.health_checks.0.timeout", "1s", "hanging is as bad as dead"),
    ("extauthz.per_connection_buffer_limit_bytes", 32768, "bounded memory"),
    ("extauthz_http.common_http_protocol_options.idle_timeout", "30s", "closed by us first"),
    ("service.connection_pool_per_downstream_connection", True, "clients share no connection"),
    ("service.per_connection_buffer_limit_bytes", 32768, "bounded memory"),
    ("service_http.common_http_protocol_options.idle_timeout", "1s", "closed by us first"),
    (
        "service_http.explicit_http_config.http_protocol_options.enable_trailers",
        False,
        "nor trailers that came over HTTP/2",
    ),
    ("runtime.http\\.max_requests_per_io_cycle", 1, "connections take turns"),
]


def setting(path: str) -> Any:
    """What stands in the file under a part's name and keys below it."""
    first, *keys = path.replace("\\.", "\0").split(".")
    node: Any = PARTS[first]
    for key in keys:
        node = node[int(key)] if key.isdigit() else node[key.replace("\0", ".")]
    return node


def placement(certificates: Path, **addresses: Any) -> Placement:
    """A placement that leads nowhere, but for the addresses given."""
    nowhere = {"listen": free_port(), "check": 1, "admin": 1, "service": 1}
    everywhere = {name: (LOOPBACK, port) for name, port in nowhere.items()}
    return Placement(certificates=certificates, **(everywhere | addresses))


class TestFile:
    def test_envoy_takes_it(self, tmp_path: Path) -> None:
        """Envoy's own validation passes, without a warning of any kind."""
        make_certificates(tmp_path)
        path = tmp_path / "envoy.yaml"
        path.write_text(place(TEMPLATE.read_text(), placement(tmp_path)))
        command = [*envoy_command(path), "--mode", "validate"]
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert not run.stderr

    def test_envoy_takes_it_unplaced(self, tmp_path: Path) -> None:
        """So it does with the names of the containers; only the certificates lie elsewhere."""
        make_certificates(tmp_path)
        path = tmp_path / "envoy.yaml"
        path.write_text(TEMPLATE.read_text().replace("/certs/", f"{tmp_path}/"))
        command = [*envoy_command(path), "--mode", "validate"]
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr

    @pytest.mark.parametrize(("path", "value"), [(path, value) for path, value, _ in SETTINGS],
                             ids=[f"{path}: {why}" for path, _, why in SETTINGS])  # fmt: skip
    def test_setting(self, path: str, value: Any) -> None:
        """What the file's security rests on stands in it, whether it is Envoy's default or not."""
        assert setting(path) == value

    def test_nothing_is_added(self) -> None:
        """What could undo a setting is not there: other filters, routes, hosts or settings."""
        assert len(CONFIG["static_resources"]["listeners"]) == 1
        assert len(LISTENER["filter_chains"]) == 1
        assert [entry["name"] for entry in CHAIN["filters"]] == [
            "envoy.filters.network.http_connection_manager"
        ]
        assert [entry["name"] for entry in HCM["http_filters"]] == [
            "envoy.filters.http.ext_authz",
            "envoy.filters.http.router",
        ]
        (host,) = HCM["route_config"]["virtual_hosts"]
        assert host.keys() == {"name", "domains", "routes"}
        assert len(host["routes"]) == 1
        assert ROUTE.keys() == {"match", "request_headers_to_remove", "route"}
        assert ROUTE["route"].keys() == {"cluster", "timeout", "upgrade_configs"}
        assert ROUTE["match"] == {"prefix": "/"}
        assert AUTHZ.keys() == {
            "@type", "failure_mode_allow", "clear_route_cache", "allowed_headers", "http_service",
        }  # fmt: skip
        assert not {"via", "strip_any_host_port", "strip_matching_host_port"} & HCM.keys()

    def test_no_back_door(self) -> None:
        """There is no admin interface, and nobody changes the configuration from outside."""
        assert CONFIG.keys() == {"static_resources", "overload_manager", "layered_runtime"}
        assert [list(layer) for layer in CONFIG["layered_runtime"]["layers"]] == [
            ["name", "static_layer"]
        ]

    def test_written_for_compose(self) -> None:
        """As it stands, the file is for containers that find each other by name."""
        assert LISTENER["name"] == "https"
        assert address(LISTENER) == ("0.0.0.0", 8443)
        (certificate,) = TLS["common_tls_context"]["tls_certificates"]
        assert certificate == {
            "certificate_chain": {"filename": "/certs/server.pem"},
            "private_key": {"filename": "/certs/server-key.pem"},
        }
        assert {cluster["type"] for cluster in CLUSTERS.values()} == {"STRICT_DNS"}
        assert address(endpoint("extauthz")) == ("extauthz", 9000)
        assert endpoint("extauthz")["health_check_config"] == {"port_value": 9001}
        assert address(endpoint("service")) == ("service", 8080)

    def test_access_log_has_nothing_secret(self) -> None:
        """Of a request's fields, those alone are logged that are nobody's secret."""
        (log,) = HCM["access_log"]
        formats = log["typed_config"]["log_format"]["json_format"].values()
        words = ("%REQ", "%RESP(", "%PATH", "%DYNAMIC")
        fields = {entry for entry in formats if entry.startswith(words)}
        metadata = {f"%DYNAMIC_METADATA(envoy.filters.http.ext_authz:{name})%" for name in LOGGED}
        assert fields - metadata == {
            "%REQ(X-REQUEST-ID)%", "%REQ(:AUTHORITY)%", "%REQ(:METHOD)%", "%PATH(NQ:PATH)%",
            "%REQUESTED_SERVER_NAME%",
        }  # fmt: skip
        assert metadata < fields

    def test_overload(self) -> None:
        """Connections and memory have an end, before which new work is turned away."""
        monitors = [monitor["typed_config"] for monitor in overload("resource_monitors")]
        assert [next(value for key, value in monitor.items() if key != "@type")
                for monitor in monitors] == [10000, 384 * 1024 * 1024]  # fmt: skip
        assert [action["name"] for action in overload("actions")] == [
            "envoy.overload_actions.shrink_heap",
            "envoy.overload_actions.stop_accepting_requests",
        ]


def overload(key: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = CONFIG["overload_manager"][key]
    return entries


def endpoint(cluster: str, config: dict[str, Any] = CONFIG) -> dict[str, Any]:
    clusters = {entry["name"]: entry for entry in config["static_resources"]["clusters"]}
    (locality,) = clusters[cluster]["load_assignment"]["endpoints"]
    (found,) = locality["lb_endpoints"]
    placed: dict[str, Any] = found["endpoint"]
    return placed


def address(node: dict[str, Any]) -> tuple[str, int]:
    found = node["address"]["socket_address"]
    return found["address"], found["port_value"]


class TestPlace:
    def placed(self, **addresses: Any) -> dict[str, Any]:
        text = place(TEMPLATE.read_text(), placement(Path("/somewhere"), **addresses))
        config: dict[str, Any] = yaml.safe_load(text)
        return config

    def test_nothing_else_changes(self) -> None:
        """But for addresses and paths, the placed configuration is the file."""
        placed = self.placed(listen=(LOOPBACK, 2), service=("::1", 4))
        assert address(placed["static_resources"]["listeners"][0]) == (LOOPBACK, 2)
        assert address(endpoint("service", placed)) == ("::1", 4)
        assert placed != CONFIG
        assert blanked(placed) == blanked(CONFIG)

    def test_names_are_resolved(self) -> None:
        """A host name stays one that Envoy resolves, again and again."""
        placed = self.placed(check=("a.example", 1), admin=("a.example", 2), service=("b", 3))
        types = {cluster["type"] for cluster in placed["static_resources"]["clusters"]}
        assert types == {"STRICT_DNS"}
        assert endpoint("extauthz", placed)["health_check_config"] == {"port_value": 2}

    @pytest.mark.parametrize("check", [Path("/run/check.sock"), ("a.example", 1), (LOOPBACK, 1)])
    def test_health_has_no_name_of_its_own(self, check: Path | tuple[str, int]) -> None:
        """Envoy would not resolve it, so that it is refused before Envoy does."""
        with pytest.raises(ValueError, match=r"'b\.example' has to be an IP address"):
            self.placed(check=check, admin=("b.example", 2))

    def test_listen_on_a_name(self) -> None:
        """Envoy cannot listen on a name."""
        with pytest.raises(ValueError, match="not on 'localhost'"):
            self.placed(listen=("localhost", 1))

    @pytest.mark.parametrize(
        ("template", "message"),
        [
            ("{}", "lacks 'static_resources'"),
            ("[]", "where a mapping is to be"),
            ("static_resources: {listeners: []}", "0 entries named 'https'"),
            ("static_resources: {listeners: {}}", "where a list is to be"),
            ("static_resources: {listeners: [{name: https}]}", "no certificate below /certs/"),
        ],
    )
    def test_another_file(self, template: str, message: str) -> None:
        """What is not there cannot be placed, and the message says what is not."""
        with pytest.raises(ValueError, match=message):
            place(template, placement(Path("/somewhere")))


def blanked(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with what a placement may change left out."""
    config = copy.deepcopy(config)
    del config["static_resources"]["listeners"][0]["address"]
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    del chain["transport_socket"]["typed_config"]["common_tls_context"]["tls_certificates"]
    for cluster in config["static_resources"]["clusters"]:
        del cluster["type"], cluster["load_assignment"]
    return config


@dataclass(slots=True)
class World:
    """An Envoy between a client, a stub of extauthz and a service."""

    envoy: Envoy
    authorizer: Server
    admin: Server
    service: Server
    certificates: Path
    opened: list[Wire] = field(default_factory=list)

    async def connect(self, certificate: str | None = "client") -> Wire:
        wire = await Wire.to(self.envoy.port, client_context(self.certificates, certificate))
        self.opened.append(wire)
        return wire

    def hang_up(self) -> None:
        for wire in self.opened:
            wire.abort()
        self.opened.clear()

    async def ask(
        self, *fields: str, line: str = "GET / HTTP/1.1", certificate: str | None = "client"
    ) -> Message:
        wire = await self.connect(certificate)
        return await wire.ask(request(*fields, line=line))

    async def allowed(self, *fields: str, line: str = "GET / HTTP/1.1") -> tuple[Message, Message]:
        """A request's check, and the request as the service got it."""
        response = await self.ask(*fields, line=line)
        assert response.line == "HTTP/1.1 200 OK"
        return self.authorizer.received[-1], self.service.received[-1]


def request(*fields: str, line: str = "GET / HTTP/1.1") -> bytes:
    return "\r\n".join([line, "Host: service.example", *fields, "", ""]).encode("latin-1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("envoy")
    make_certificates(directory)
    async with serving() as authorizer, serving() as admin, serving() as service:
        where = placement(
            directory,
            check=authorizer.address,
            admin=admin.address,
            service=service.address,
        )
        async with running_envoy(where, directory) as envoy:
            yield World(envoy, authorizer, admin, service, directory)


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: World) -> AsyncIterator[World]:
    """The Envoy of all tests here, with everybody as they are by default."""
    for server in (shared.authorizer, shared.admin, shared.service):
        server.answer = OK
        server.received.clear()
    yield shared
    shared.hang_up()


ours = pytest.mark.asyncio(loop_scope="module")

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SPOOFED = 'Hash=00;Cert="spoofed"'


def http2_fields(*fields: tuple[str, str], path: str = "/") -> list[tuple[bytes, bytes]]:
    all_fields = [
        (":method", "GET"), (":scheme", "https"), (":authority", "service.example"),
        (":path", path), *fields,
    ]  # fmt: skip
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in all_fields]


@ours
class TestQuestion:
    """What extauthz is asked."""

    async def test_fields(self, world: World) -> None:
        """A check has the fields that it needs and no other, a body neither."""
        body = "Content-Length: 0"
        secret = ("Cookie: session=1", "X-Api-Key: 2", "Proxy-Authorization: 3", "Referer: /4")
        check, _ = await world.allowed(
            "Authorization: Basic YTpi", "Accept: text/html", "Accept-Language: de", *secret, body,
            "User-Agent: backup/2", f"Traceparent: {TRACEPARENT}", "Tracestate: a=b",
            line="PUT /a?b=c HTTP/1.1",
        )  # fmt: skip
        assert check.line == "PUT /check/a?b=c HTTP/1.1"
        assert {name.decode(): value.decode() for name, value in check.fields} == {
            "host": "service.example",
            "content-length": "0",
            "authorization": "Basic YTpi",
            "accept": "text/html",
            "user-agent": "backup/2",
            "traceparent": TRACEPARENT,
            "x-request-id": check.values("x-request-id")[0],
            "x-forwarded-client-cert": check.values("x-forwarded-client-cert")[0],
            "x-extauthz-client-address": LOOPBACK,
            "x-extauthz-access-log": "true",
            "x-envoy-internal": "true",
            "x-envoy-expected-rq-timeout-ms": "1000",
        }
        assert len(check.fields) == 12

    async def test_body_is_not_sent(self, world: World) -> None:
        """A body goes to the service alone."""
        wire = await world.connect()
        await wire.ask(request("Content-Length: 6", line="POST / HTTP/1.1") + b"secret")
        (check,) = world.authorizer.received
        assert check.values("content-length") == ["0"]
        assert world.service.received[0].body == b"secret"

    async def test_certificate(self, world: World) -> None:
        """Hash, certificate and chain of the handshake's certificate are in one header."""
        check, _ = await world.allowed()
        (header,) = check.values("x-forwarded-client-cert")
        assert [part.partition("=")[0] for part in header.split(";")] == ["Hash", "Cert", "Chain"]

    async def test_no_certificate(self, world: World) -> None:
        """Who has no certificate gets as far as the check, and no header says otherwise."""
        await world.ask(certificate=None)
        (check,) = world.authorizer.received
        assert check.values("x-forwarded-client-cert") == []

    async def test_long_chain(self, world: World) -> None:
        """More than 60 KB of certificates reach extauthz, though a client may not send as much."""
        ballast = x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.3.6.1.4.1.99999"), b"." * 14000
        )
        make_certificate(world.certificates, "long", ballast)
        path = world.certificates / "long.pem"
        path.write_bytes(path.read_bytes() * 2)
        assert (await world.ask(certificate="long")).line == "HTTP/1.1 200 OK"
        (header,) = world.authorizer.received[0].values("x-forwarded-client-cert")
        assert len(header) > 60_000
        assert header.count("BEGIN%20CERTIFICATE") == 3

    async def test_slow_answer(self, tmp_path: Path) -> None:
        """An answer within its time is waited for: no shorter time is hidden anywhere.

        The time is ten seconds here, of which a machine that is busy may take some itself.
        """

        async def slow(_: Message, wire: Wire) -> None:
            await asyncio.sleep(2)
            await wire.send(OK)

        make_certificates(tmp_path)
        text = TEMPLATE.read_text()
        for second in ("cluster: extauthz, timeout: 1s}", "max_interval: 1s}"):
            assert text.count(second) == 1
            text = text.replace(second, second.replace("1s", "10s"))
        async with serving(slow) as authorizer, serving() as admin, serving() as service:
            addresses = {"check": authorizer, "admin": admin, "service": service}
            where = placement(tmp_path, **{key: each.address for key, each in addresses.items()})
            async with running_envoy(where, tmp_path, config=place(text, where)) as envoy:
                world = World(envoy, authorizer, admin, service, tmp_path)
                await world.allowed()
                world.hang_up()
        assert len(authorizer.received) == 1


@ours
class TestForgery:
    """What a client may write, and what comes of it."""

    @pytest.mark.parametrize("certificate", ["client", None])
    @pytest.mark.parametrize(
        "fields",
        [
            (f"X-Forwarded-Client-Cert: {SPOOFED}",),
            (f"x-forwarded-client-cert: {SPOOFED}", f"X-FORWARDED-CLIENT-CERT: {SPOOFED}"),
            (f"X-Forwarded-Client-Cert: {SPOOFED}", "Connection: x-forwarded-client-cert"),
            ("Connection: keep-alive, X-Forwarded-Client-Cert",),
        ],
        ids=["one", "two", "hop-by-hop", "hop-by-hop alone"],
    )
    async def test_certificate(
        self, world: World, fields: tuple[str, ...], certificate: str | None
    ) -> None:
        """The certificate header is Envoy's: a client neither adds to it nor takes it away."""
        await world.ask(*fields, certificate=certificate)
        values = world.authorizer.received[0].values("x-forwarded-client-cert")
        assert len(values) == (0 if certificate is None else 1)
        assert not any("spoofed" in value or "Hash=00" in value for value in values)
        assert world.service.received[0].values("x-forwarded-client-cert") == []

    async def test_certificate_over_http2(self, world: World) -> None:
        """Over HTTP/2 neither."""
        name = "x-forwarded-client-cert"
        response = await ask_http2(
            world.envoy.port,
            client_context(world.certificates, None),
            http2_fields((name, SPOOFED), (name, SPOOFED)),
        )
        assert (b":status", b"200") in response.fields
        assert world.authorizer.received[0].values(name) == []
        assert world.service.received[0].values(name) == []

    async def test_request_id(self, world: World) -> None:
        """Nobody chooses the id by which his refusal is looked up, from loopback neither."""
        check, served = await world.allowed("X-Request-ID: chosen")
        assert len(check.values("x-request-id")[0]) == 36
        assert check.values("x-request-id") == served.values("x-request-id")

    async def test_client_address(self, world: World) -> None:
        """The address that is logged is the connection's, and is not the service's business."""
        name = "X-Extauthz-Client-Address"
        check, served = await world.allowed(f"{name}: 6.6.6.6", "X-Forwarded-For: 6.6.6.6")
        assert check.values(name.lower()) == [LOOPBACK]
        assert served.values(name.lower()) == []

    async def test_instructions_to_envoy(self, world: World) -> None:
        """No x-envoy-* field of a client is obeyed or passed on, from loopback neither."""
        world.service.answer = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
        response = await world.ask(
            "X-Envoy-Retry-On: 5xx", "X-Envoy-Max-Retries: 3", "X-Envoy-Internal: true",
            "X-Envoy-Upstream-Rq-Timeout-Ms: 1", "X-Envoy-Original-Path: /other",
            "X-Envoy-External-Address: 6.6.6.6",
        )  # fmt: skip
        assert response.line == "HTTP/1.1 503 No"
        (served,) = world.service.received
        assert not [name for name, _ in served.fields if name.lower().startswith(b"x-envoy")]

    async def test_trailers(self, world: World) -> None:
        """A field behind the body, which no check has seen, does not reach the service."""
        wire = await world.connect()
        await wire.send(request("Transfer-Encoding: chunked", line="POST / HTTP/1.1"))
        response = await wire.ask(b"1\r\na\r\n0\r\nAuthorization: Basic Ym9iOg==\r\n\r\n")
        assert response.line == "HTTP/1.1 200 OK"
        (served,) = world.service.received
        assert (served.body, served.trailers) == (b"a", b"")

    async def test_connections_are_not_shared(self, world: World) -> None:
        """A service that knows its user by the connection never takes one for another."""
        # More than Envoy has threads, none of which knows the connections of another.
        clients = {f"/{number}": await world.connect() for number in range(5)}
        for path in [*clients] * 2:
            await clients[path].ask(request(line=f"GET {path} HTTP/1.1"))
        served = {(message.connection, message.line) for message in world.service.received}
        assert len(world.service.received) == 10
        assert len({connection for connection, _ in served}) == len(served)


@ours
class TestRejection:
    """What is turned away before anybody is asked."""

    @pytest.mark.parametrize(
        ("line", "fields", "status"),
        [
            ("GET / HTTP/1.1", ("X_Forwarded_Client_Cert: a",), 400),
            ("GET / HTTP/1.1", ("X-A_b: a",), 400),
            ("GET /a%2fb HTTP/1.1", (), 400),
            ("GET /a%5Cb HTTP/1.1", (), 400),
            ("GET /a#b HTTP/1.1", (), 400),
            ("GET /a\xe9 HTTP/1.1", (), 400),
            ("POST / HTTP/1.1", ("Content-Length: 1", "Transfer-Encoding: chunked"), 400),
            ("POST / HTTP/1.1", ("Content-Length: 1", "Content-Length: 2"), 400),
            ("POST / HTTP/1.1", ("Transfer-Encoding: chunked, identity",), 501),
            ("GET / HTTP/1.1", ("Content-Length : 1",), 400),
            ("GET / HTTP/1.1", ("X-Long: " + "a" * 62000,), 431),
            ("GET / HTTP/1.1", ("X: a",) * 101, 431),
            ("GET / HTTP/1.1", ("Upgrade: something", "Connection: upgrade"), 403),
            ("CONNECT service.example:443 HTTP/1.1", (), 404),
            ("OPTIONS * HTTP/1.1", (), 404),
            ("GET / HTTP/1.0", (), 426),
        ],
        ids=[
            "underscores", "one underscore", "escaped slash", "escaped backslash", "fragment",
            "path not ASCII", "two lengths of a body", "two Content-Length",
            "unknown transfer coding", "space before colon", "long field", "many fields",
            "unknown upgrade", "tunnel", "no path", "HTTP/1.0",
        ],
    )  # fmt: skip
    async def test_request(
        self, world: World, line: str, fields: tuple[str, ...], status: int
    ) -> None:
        """Neither extauthz nor the service sees what the two could understand differently."""
        response = await world.ask(*fields, line=line)
        assert response.line.split()[1] == str(status)
        assert not world.authorizer.received
        assert not world.service.received

    @pytest.mark.parametrize(
        "fields",
        [
            http2_fields(("x_forwarded_client_cert", "a")),
            http2_fields(("X-Forwarded-Client-Cert", "a")),
            http2_fields(("x-a", "b\r\nx-forwarded-client-cert: c")),
            http2_fields(("transfer-encoding", "chunked")),
            http2_fields(path=""),
            [(b":method", b"CONNECT"), (b":authority", b"service.example:443")],
            [*http2_fields()[1:], (b":method", b"CONNECT"), (b":protocol", b"websocket")],
        ],
        ids=["underscores", "upper case", "CR LF", "framing", "no path", "tunnel", "WebSocket"],
    )
    async def test_http2(self, world: World, fields: list[tuple[bytes, bytes]]) -> None:
        """Over HTTP/2 neither, though most of it ends without an answer there."""
        response = await ask_http2(world.envoy.port, client_context(world.certificates), fields)
        assert response.reset or (b":status", b"404") in response.fields
        assert not world.authorizer.received
        assert not world.service.received

    async def test_paths_are_the_same(self, world: World) -> None:
        """What extauthz is asked about is what the service gets, with one reading of the path."""
        check, served = await world.allowed(line="GET //a/./b/..//%41;c/%2e%2e/d?x=%2f/.. HTTP/1.1")
        assert check.line == "GET /check/a/d?x=%2f/.. HTTP/1.1"
        assert served.line == "GET /a/d?x=%2f/.. HTTP/1.1"

    async def test_fields_are_the_same(self, world: World) -> None:
        """A field that came twice is the same to extauthz and to the service."""
        check, served = await world.allowed(
            "Host: other.example", "Authorization: Basic YTpi", "Authorization: Basic Yzpk"
        )
        for message in (check, served):
            assert message.values("host") == ["service.example,other.example"]
            assert message.values("authorization") == ["Basic YTpi,Basic Yzpk"]


REFUSAL_HEAD = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\nContent-Length: 25\r\n\r\n"
)
REFUSAL_BODY = b"Invalid user credentials\n"
REFUSAL = REFUSAL_HEAD + REFUSAL_BODY


def told(response: Message) -> tuple[str, set[tuple[bytes, bytes]], bytes]:
    """What a client was told, whenever that was."""
    fields = {(name.lower(), value) for name, value in response.fields}
    passing = {b"date", b"connection"}
    return response.line, {field for field in fields if field[0] not in passing}, response.body


GENERIC = told(Message(REFUSAL_HEAD, REFUSAL_BODY))


@ours
class TestAnswer:
    """What becomes of extauthz's answer."""

    async def test_allow_leaves_no_trace(self, world: World) -> None:
        """An allow brings neither the service nor the client a single field."""
        plain = await world.ask()
        before = world.service.received[-1]
        world.authorizer.answer = (
            b"HTTP/1.1 200 OK\r\nX-From: extauthz\r\nSet-Cookie: a=b\r\nAuthorization: c\r\n"
            b"Content-Type: text/html\r\nCache-Control: no-store\r\nX-Forwarded-For: 6.6.6.6\r\n"
            b"Host: other.example\r\nLocation: /other\r\nContent-Length: 3\r\n\r\nyes"
        )
        answered = await world.ask()
        after = world.service.received[-1]
        assert told(answered) == told(plain)
        assert [field for field in after.fields if field[0].lower() != b"x-request-id"] == [
            field for field in before.fields if field[0].lower() != b"x-request-id"
        ]

    @pytest.mark.parametrize(
        ("status", "content_type", "body"),
        [
            ("401 Unauthorized", "text/html; charset=utf-8", "<h1>Grüße</h1>".encode()),
            ("403 Forbidden", "text/plain; charset=utf-8", b"Invalid user credentials\n"),
            ("403 Forbidden", "application/json", b'{"error": "%REQ(:PATH)%"}'),
            ("404 Not Found", "application/octet-stream", bytes(range(256)) * 400),
        ],
    )
    async def test_denial(self, world: World, status: str, content_type: str, body: bytes) -> None:
        """A denial's status and body, and those fields that belong to a page, are extauthz's."""
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nCache-Control: no-store"
        head += "\r\nContent-Security-Policy: default-src 'none'"
        secret = "\r\nX-Reason: expired\r\nServer: aiohttp\r\nSet-Cookie: a=b"
        length = f"\r\nContent-Length: {len(body)}\r\n\r\n"
        world.authorizer.answer = (head + secret + length).encode() + body
        response = await world.ask()
        assert response.line == f"HTTP/1.1 {status}"
        assert response.body == body
        assert told(response)[1] == {
            (b"content-type", content_type.encode()),
            (b"cache-control", b"no-store"),
            (b"content-security-policy", b"default-src 'none'"),
            (b"content-length", str(len(body)).encode()),
        }
        assert not world.service.received

    @pytest.mark.parametrize("status", [201, 204, 302, 400])
    async def test_only_200_allows(self, world: World, status: int) -> None:
        """Any status but 200 is a denial."""
        world.authorizer.answer = f"HTTP/1.1 {status} Well\r\nContent-Length: 0\r\n\r\n".encode()
        assert (await world.ask()).line.split()[1] == str(status)
        assert not world.service.received

    @pytest.mark.parametrize(
        ("fields", "line"),
        [
            (("Upgrade: websocket", "Connection: Upgrade"), "GET / HTTP/1.1"),
            (("Expect: 100-continue", "Content-Length: 5"), "POST / HTTP/1.1"),
        ],
        ids=["WebSocket", "100-continue"],
    )
    async def test_denial_of_more(self, world: World, fields: tuple[str, ...], line: str) -> None:
        """Upgrades and bodies to come are refused like the rest, before anything of them comes."""
        world.authorizer.answer = REFUSAL
        response = await world.ask(*fields, line=line)
        assert response.line == "HTTP/1.1 403 Forbidden"
        assert not world.service.received

    async def test_denial_over_http2(self, world: World) -> None:
        """Over HTTP/2 a denial is the same."""
        world.authorizer.answer = REFUSAL
        context = client_context(world.certificates)
        response = await ask_http2(world.envoy.port, context, http2_fields())
        _, fields, body = GENERIC
        assert response.body == body
        assert set(response.fields) >= fields | {(b":status", b"403")}


async def broken(_: Message, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nha")
    await wire.close()


async def gone(_: Message, wire: Wire) -> None:
    await wire.close()


async def hanging(_: Message, wire: Wire) -> None:
    """Wait until whoever asks has lost patience."""
    await wire.reader.read()


@ours
class TestFailure:
    """What becomes of a request that extauthz does not answer."""

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nbug",
            b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
            b"SSH-2.0-nothing\r\n\r\n",
            broken,
            gone,
            hanging,
        ],
        ids=["500", "503", "no HTTP", "broken off", "gone", "hanging"],
    )
    async def test_error(self, world: World, answer: Any) -> None:
        """It is refused like any other, within a second or so, and not asked about again."""
        world.authorizer.answer = answer
        began = time.monotonic()
        assert told(await world.ask()) == GENERIC
        assert time.monotonic() - began < 10
        assert len(world.authorizer.received) == 1
        assert not world.service.received

    async def test_generic_refusal_is_extauthzs(self, world: World) -> None:
        """What a failure tells the client is, field by field, what extauthz's refusal does."""
        world.authorizer.answer = REFUSAL
        assert told(await world.ask()) == GENERIC

    async def test_down(self, world: World) -> None:
        """Without anybody to ask it is a refusal at once; with somebody again, no longer."""
        await world.authorizer.stop()
        try:
            began = time.monotonic()
            for _ in range(10):
                assert told(await world.ask()) == GENERIC
            # Not one second for each, which is what a check may take.
            assert time.monotonic() - began < 10
        finally:
            await world.authorizer.start()
        await world.allowed()

    async def test_unhealthy(self, world: World) -> None:
        """Who says that it is not ready is not asked; soon after it is ready it is again."""
        world.admin.answer = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
        await eventually(world, "403")
        asked = len(world.authorizer.received)
        assert told(await world.ask()) == GENERIC
        assert len(world.authorizer.received) == asked
        world.admin.answer = OK
        await eventually(world, "200")

    async def test_hanging_is_noticed(self, world: World) -> None:
        """Hanging for good costs a second only until the health check knows."""
        world.admin.answer = world.authorizer.answer = hanging
        async with asyncio.timeout(PATIENCE):
            took = 1.0
            while took > 0.5:
                began = time.monotonic()
                assert told(await world.ask()) == GENERIC
                took = time.monotonic() - began
        world.admin.answer = world.authorizer.answer = OK
        await eventually(world, "200")

    async def test_service_down(self, world: World) -> None:
        """That the service is down is not extauthz's failure, and is told as what it is."""
        await world.service.stop()
        try:
            response = await world.ask()
        finally:
            await world.service.start()
        assert response.line == "HTTP/1.1 503 Service Unavailable"
        assert response.body != REFUSAL_BODY


async def eventually(world: World, status: str) -> None:
    """Ask until the status is the one expected."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if (await world.ask()).line.split()[1] == status:
                return
            await asyncio.sleep(0.02)


@ours
class TestUnixSocket:
    async def test_checks_and_health(self, tmp_path: Path) -> None:
        """Checks go through the socket, and health is asked for at the admin listener."""
        make_certificates(tmp_path)
        path = tmp_path / "check.sock"
        async with serving(path=path) as authorizer, serving() as admin, serving() as service:
            where = placement(tmp_path, check=path, admin=admin.address, service=service.address)
            async with running_envoy(where, tmp_path) as envoy:
                world = World(envoy, authorizer, admin, service, tmp_path)
                await world.allowed(line="GET /a HTTP/1.1")
                admin.answer = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
                await eventually(world, "403")
                world.hang_up()
        assert {message.line for message in admin.received} == {"GET /readyz HTTP/1.1"}
        assert "GET /check/a HTTP/1.1" in [message.line for message in authorizer.received]


@ours
class TestAccessLog:
    async def test_allowed(self, world: World) -> None:
        """An entry tells who asked for what over which TLS, and what came of it."""
        wire = await world.connect()
        octets = request("Content-Length: 5", line="POST /logged/1?token=geheim HTTP/1.1")
        await wire.ask(octets + b"hello")
        (check,) = world.authorizer.received
        entry = await world.envoy.logged("/logged/1")
        (header,) = check.values("x-forwarded-client-cert")
        assert entry.pop("time")
        assert isinstance(entry.pop("duration_ms"), int)
        assert entry == {
            "request_id": check.values("x-request-id")[0],
            "client_address": LOOPBACK,
            "tls_version": "TLSv1.3",
            "server_name": "localhost",
            "peer_sha256": header.split(";")[0].removeprefix("Hash="),
            "protocol": "HTTP/1.1",
            "authority": "service.example",
            "method": "POST",
            "path": "/logged/1",
            "status": 200,
            "details": "via_upstream",
            "subscription": None,
            "decision": None,
            "reasons": None,
            "flags": "-",
            "bytes_received": 5,
            "bytes_sent": 3,
        }

    @pytest.mark.parametrize(
        ("answer", "details"),
        [(REFUSAL, "ext_authz_denied"), (gone, "ext_authz_error")],
        ids=["refused", "failed"],
    )
    async def test_refused(self, world: World, answer: Any, details: str) -> None:
        """A client cannot tell a refusal from a failure; the operator can."""
        world.authorizer.answer = answer
        assert told(await world.ask(line=f"GET /logged/{details} HTTP/1.1")) == GENERIC
        entry = await world.envoy.logged(f"/logged/{details}")
        assert (entry["status"], entry["details"]) == (403, details)

    async def test_nothing_secret(self, world: World) -> None:
        """Credentials, cookies and the query are in no entry."""
        secrets = ("Authorization: Basic geheim", "Cookie: geheim", "X-Api-Key: geheim")
        await world.ask(*secrets, line="GET /logged/3?geheim HTTP/1.1")
        assert "geheim" not in json.dumps(await world.envoy.logged("/logged/3"))


@ours
class TestStart:
    async def test_failure_is_told(self, tmp_path: Path) -> None:
        """An Envoy that does not start fails the test with what it said itself."""
        make_certificates(tmp_path)
        # Protobuf varies the spaces of its messages, so that nobody comes to rely on them.
        with pytest.raises(AssertionError, match="nonsense"):
            async with running_envoy(placement(tmp_path), tmp_path, config="nonsense: 1"):
                pass

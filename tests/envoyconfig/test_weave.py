"""What a policy needs is worked into an Envoy configuration once, and named where it is missing."""

import json
from typing import Any

import pytest
import yaml

from extauthz.envoyconfig.needs import NOTHING, Needs
from extauthz.envoyconfig.weave import UnusableError, Woven, weave
from tests.envoyconfig.conftest import Validate
from tests.wire.envoy_process import TEMPLATE

TEXT = TEMPLATE.read_text()
JWT = """\
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/\
envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                login:
                  issuer: https://login.example
                  local_jwks: {inline_string: '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'}
                  forward: true
                  forward_payload_header: X-Jwt-Payload
"""
LUA = """\
          - name: envoy.filters.http.lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
"""
AUTHZ = "          - name: envoy.filters.http.ext_authz\n"
ROUTES = "              routes:\n"
FORM = Needs(body_paths=("/login",))
EVERYTHING = Needs(
    ("x-jwt-payload", "x-user"), ("x-jwt-payload",), ("/api/login", "/login"), has_sessions=True
)


def with_filters(*filters: str, text: str = TEXT) -> str:
    """A configuration with filters before ext_authz."""
    return text.replace(AUTHZ, "".join(filters) + AUTHZ)


def with_routes(*routes: dict[str, Any], text: str = TEXT) -> str:
    """A configuration with routes before the one for everything."""
    lines = yaml.safe_dump(list(routes), sort_keys=False).splitlines(keepends=True)
    return text.replace(ROUTES, ROUTES + "".join(" " * 14 + line for line in lines))


def woven(text: str, needs: Needs) -> str:
    """The configuration with what is needed, in which nothing is left to be done."""
    done = weave(text, needs)
    assert not done.by_hand
    assert weave(done.text, needs) == Woven(done.text, (), (), done.hints)
    return done.text


def manager(text: str) -> dict[str, Any]:
    (listener,) = yaml.safe_load(text)["static_resources"]["listeners"]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def authorizer(text: str) -> dict[str, Any]:
    filters = manager(text)["http_filters"]
    (found,) = [entry for entry in filters if entry["name"] == "envoy.filters.http.ext_authz"]
    config: dict[str, Any] = found["typed_config"]
    return config


def routes(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manager(text)["route_config"]["virtual_hosts"][0]["routes"]
    return found


def allowed(text: str) -> list[str]:
    return [pattern["exact"] for pattern in authorizer(text)["allowed_headers"]["patterns"]]


def removed(text: str) -> list[str]:
    return [
        mutation["remove"]
        for extension in manager(text).get("early_header_mutation_extensions", [])
        for mutation in extension["typed_config"]["mutations"]
    ]


class TestAll:
    def test_nothing_is_needed(self) -> None:
        """A policy with Basic alone leaves the configuration as it is, octet by octet."""
        assert weave(TEXT, NOTHING) == Woven(TEXT, (), ())

    def test_everything_is_needed(self, validate: Validate) -> None:
        """What is needed is there, Envoy takes it, and it is missed before and not after."""
        text = with_filters(JWT, LUA)
        done = weave(text, EVERYTHING)
        result = woven(text, EVERYTHING)
        assert done.text == result
        assert len(done.missing) == 10
        names = ["x-jwt-payload", "x-user", "content-type", "content-encoding", "cookie"]
        assert allowed(result) == [*allowed(text), *names]
        assert removed(result) == ["x-jwt-payload", "x-user", "x-extauthz-body-limit"]
        validate(result)

    def test_only_lines_are_added(self) -> None:
        """No line of the configuration is another one afterwards, comments included."""
        result = woven(with_filters(JWT, LUA), EVERYTHING).splitlines()
        remaining = iter(result)
        assert all(line in remaining for line in with_filters(JWT, LUA).splitlines())

    def test_nothing_is_needed_any_more(self) -> None:
        """What was written for another policy goes; what a person may have written stays."""
        result = woven(woven(TEXT, Needs(body_paths=("/login",), has_sessions=True)), NOTHING)
        added = ["content-type", "content-encoding", "cookie"]
        assert allowed(result) == [*allowed(TEXT), *added]
        for name in added:
            result = result.replace(f"                - {{exact: {name}}}\n", "", 1)
        assert result == TEXT

    def test_json(self, validate: Validate) -> None:
        """A configuration in JSON stays one."""
        result = woven(json.dumps(yaml.safe_load(TEXT)), FORM)
        assert json.loads(result) == yaml.safe_load(woven(TEXT, FORM))
        validate(result)

    def test_every_connection_manager(self) -> None:
        """Each one that asks extauthz gets the same, and others are left alone."""
        config = yaml.safe_load(TEXT)
        first = config["static_resources"]["listeners"][0]
        second, third = (yaml.safe_load(yaml.safe_dump(first)) for _ in range(2))
        other = third["filter_chains"][0]["filters"][0]["typed_config"]
        del other["http_filters"][0]
        config["static_resources"]["listeners"] = [first, second, third]
        result = yaml.safe_load(woven(yaml.safe_dump(config), FORM))
        one, two, three = result["static_resources"]["listeners"]
        assert one == two
        assert one == yaml.safe_load(woven(TEXT, FORM))["static_resources"]["listeners"][0]
        assert three == third

    def test_two_filter_chains_share_one(self) -> None:
        """Filter chains for server names that share their filters by an alias go on sharing."""
        text = TEXT.replace("      filters:\n", "      filters: &filters\n").replace(
            "  clusters:\n", "    - {filters: *filters}\n  clusters:\n", 1
        )
        result = woven(text, FORM)
        assert "    - {filters: *filters}\n" in result
        assert result.count("extauthz-login") == 1

    @pytest.mark.parametrize("text", [
        "{}", "- 1", TEXT.replace("path_prefix: /check", "path_prefix: /other"),
        TEXT.replace("path_prefix: /check", ""), TEXT.replace(".ExtAuthz\n", ".Other\n"),
    ])  # fmt: skip
    def test_nobody_is_asked(self, text: str) -> None:
        """A configuration without the check is no configuration that is complete."""
        done = weave(text, NOTHING)
        assert done.text == text
        assert ["no connection manager asks extauthz" in line for line in done.by_hand] == [True]

    @pytest.mark.parametrize(("text", "message"), [
        ("a: [", "is not YAML"), ("", "is empty"), ("# to be written\n---\n", "is empty"),
        (TEXT.replace("          http_filters:\n", "          http_filters: {}\n          x:\n"),
         "`http_filters` is not a list"),
        (TEXT.replace("- match: {prefix: /}", "- match: [prefix]"), "`match` is not a mapping"),
        (TEXT.replace("              - match: {prefix: /}", "              - 1\n"
                      "              - match: {prefix: /}"), "an item that is not a mapping"),
    ])  # fmt: skip
    def test_no_configuration(self, text: str, message: str) -> None:
        """What stands where Envoy would not take it is an error, and never passed over."""
        with pytest.raises(UnusableError, match=message):
            weave(text, FORM)


class TestFields:
    def test_a_field_is_removed_first(self) -> None:
        """What clients send is removed before what an early mutation of the user's sets."""
        own = """\
          early_header_mutation_extensions:
          - name: mine
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
              mutations:
              - {append: {header: {key: x-user, value: "%DOWNSTREAM_PEER_SUBJECT%"}}}
"""  # noqa: E501
        text = TEXT.replace("          http_filters:\n", own + "          http_filters:\n")
        result = woven(text, Needs(("x-user",)))
        names = [entry["name"] for entry in manager(result)["early_header_mutation_extensions"]]
        assert names == ["extauthz", "mine"]
        assert "no client may say" in result
        remaining = woven(result, NOTHING)
        assert remaining.replace("                - {exact: x-user}\n", "") == text

    def test_nobody_sets_a_field(self) -> None:
        """A field that no filter could set is told, and nothing is written."""
        done = weave(TEXT, Needs(("x-user",)))
        assert done.text == TEXT
        (line,) = done.by_hand
        assert line == (
            "connection manager 'https': there is no filter before ext_authz that could set"
            " x-user: add the one that knows who logs in"
        )

    @pytest.mark.parametrize("filters", [
        (LUA,), (LUA, JWT.replace("X-Jwt-Payload", "x-other")),
        (JWT.replace("jwt_authn.v3.Jwt", "other.v3.Other"),),
    ])  # fmt: skip
    def test_nobody_verifies_a_token(self, filters: tuple[str, ...]) -> None:
        """A payload that no jwt_authn writes is told, with the setting that is missing."""
        text = with_filters(*filters)
        done = weave(text, Needs(("x-jwt-payload",), ("x-jwt-payload",)))
        (line,) = done.by_hand
        assert "`forward_payload_header: x-jwt-payload`" in line
        assert done.text == text

    def test_a_token_is_verified_too_late(self) -> None:
        """A jwt_authn behind ext_authz has not written anything when extauthz is asked."""
        router = "          - name: envoy.filters.http.router\n"
        text = TEXT.replace(router, JWT + router)
        assert weave(text, Needs(("x-jwt-payload",), ("x-jwt-payload",))).by_hand

    @pytest.mark.parametrize("pattern", [
        {"exact": "cookie"}, {"prefix": "coo"}, {"suffix": "kie"}, {"contains": "ooki"},
        {"exact": "Cookie", "ignore_case": True}, {"prefix": ""},
    ])  # fmt: skip
    def test_a_field_is_in_checks_already(self, pattern: dict[str, Any]) -> None:
        """A field that a pattern of the user's covers is not named once more."""
        line = f"                - {json.dumps(pattern)}\n"
        text = TEXT.replace("                - {exact: accept}\n", line)
        assert weave(text, Needs(has_sessions=True)) == Woven(text, (), ())

    @pytest.mark.parametrize("pattern", [
        {"exact": "Cookie"}, {"exact": "cookie2"}, {"prefix": "ookie"}, {"safe_regex": {}},
    ])  # fmt: skip
    def test_a_field_is_not_in_checks(self, pattern: dict[str, Any]) -> None:
        """Envoy compares with the name in lower case."""
        line = f"                - {json.dumps(pattern)}\n"
        text = TEXT.replace("                - {exact: accept}\n", line)
        assert weave(text, Needs(has_sessions=True)).missing

    def test_a_field_is_kept_out_of_checks(self) -> None:
        """What the user took out is not put in again behind the user's back."""
        key = "              disallowed_headers: {patterns: [{exact: cookie}]}\n"
        text = TEXT.replace("              http_service:\n", key + "              http_service:\n")
        done = weave(text, Needs(has_sessions=True))
        assert done.text == text
        assert "`disallowed_headers`" in done.by_hand[0]

    def test_the_other_place_for_allowed_headers(self, validate: Validate) -> None:
        """Envoy takes the list below `authorization_request` too, but not in both places."""
        config = yaml.safe_load(TEXT)
        chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
        filters = chain["filters"][0]["typed_config"]["http_filters"]
        service = filters[0]["typed_config"]["http_service"]
        service["authorization_request"]["allowed_headers"] = filters[0]["typed_config"].pop(
            "allowed_headers"
        )
        result = woven(yaml.safe_dump(config), FORM)
        assert "allowed_headers" not in authorizer(result)
        validate(result)

    def test_nothing_is_allowed_so_far(self, validate: Validate) -> None:
        """What is not there is made."""
        config = yaml.safe_load(TEXT)
        chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
        authz = chain["filters"][0]["typed_config"]["http_filters"][0]["typed_config"]
        del authz["allowed_headers"], authz["http_service"]["authorization_request"]
        result = woven(yaml.safe_dump(config), FORM)
        assert allowed(result) == ["content-type", "content-encoding"]
        validate(result)


BODY = {"max_request_bytes": 65536, "allow_partial_message": True}
PER_ROUTE = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
AUTHZ_NAME = "envoy.filters.http.ext_authz"


MATCHES: list[tuple[dict[str, Any], bool]] = [
    ({"prefix": "/"}, True), ({"prefix": ""}, True), ({"prefix": "/lo"}, True),
    ({"prefix": "/LOGIN"}, True), ({"prefix": "/login/"}, True), ({"prefix": "/login;"}, True),
    ({"prefix": "/logins"}, False), ({"prefix": "/other"}, False),
    ({"path": "/login"}, True), ({"path": "/Login/"}, True), ({"path": "/log"}, False),
    ({"path": "/login/x"}, True), ({"path": "/logins"}, False),
    ({"path_separated_prefix": "/login"}, True), ({"path_separated_prefix": "/log"}, False),
    ({"safe_regex": {"regex": "/[a-z]+"}}, True), ({"connect_matcher": {}}, False),
    ({"path": "/login", "headers": [{"name": "x-a", "present_match": True}]}, True),
    ({"prefix": "/", "grpc": {}}, True),
]  # fmt: skip


class TestRoutes:
    def test_a_copy_keeps_what_its_original_has(self) -> None:
        """A request to a login goes where it went before, and the check has its body."""
        copy, original = routes(woven(TEXT, FORM))
        assert original == routes(TEXT)[0]
        assert copy == {
            "name": "extauthz-login",
            "match": {
                "prefix": "/",
                "headers": [
                    {
                        "name": ":path",
                        "string_match": {
                            "safe_regex": {"regex": r"(?i:/login)(?:/|;[^/?]*)*(?:\?.*)?"}
                        },
                    }
                ],
            },
            "request_headers_to_remove": original["request_headers_to_remove"],
            "route": {
                "cluster": "service",
                "timeout": "0s",
                "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}],
                "idle_timeout": "300s",
            },
            "metadata": {"filter_metadata": {"extauthz": {"body_limit": "65536"}}},
            "request_body_buffer_limit": 131072,
            "typed_per_filter_config": {
                AUTHZ_NAME: {"@type": PER_ROUTE, "check_settings": {"with_request_body": BODY}}
            },
        }

    @pytest.mark.parametrize(("match", "leads"), MATCHES, ids=str)
    def test_each_route_that_may_lead_there(self, match: dict[str, Any], *, leads: bool) -> None:
        """A route that could be taken has a copy before it, with all of its own conditions."""
        text = with_routes({"match": match, "route": {"cluster": "extauthz"}})
        result = woven(text, FORM)
        found = [(route.get("name"), route["route"]["cluster"]) for route in routes(result)]
        copies = [("extauthz-login", "extauthz")] if leads else []
        rest = [("extauthz-login", "service"), (None, "service")]
        if match in ({"prefix": ""}, {"prefix": "/"}):
            rest = rest[1:]
        assert found == [*copies, (None, "extauthz"), *rest]
        if leads:
            copied = {key: value for key, value in match.items() if key != "headers"}
            assert copied.items() <= routes(result)[0]["match"].items()
            conditions = routes(result)[0]["match"]["headers"]
            assert conditions[:-1] == match.get("headers", [])

    def test_envoy_takes_all_of_them(self, validate: Validate) -> None:
        """A copy of any route is a route."""
        given = [{"match": match, "route": {"cluster": "service"}} for match, _ in MATCHES[2:]]
        validate(woven(with_routes(*given), FORM))

    def test_other_answers_than_a_cluster(self, validate: Validate) -> None:
        """A redirect of a login is checked like the login."""
        text = with_routes({"match": {"path": "/login"}, "redirect": {"path_redirect": "/"}})
        result = woven(text, FORM)
        assert routes(result)[0]["redirect"] == {"path_redirect": "/"}
        assert "route" not in routes(result)[0]
        validate(result)

    def test_any_path_is_one_that_envoy_takes(self, validate: Validate) -> None:
        """Envoy refuses large regular expressions; a long path is recognised without one."""
        paths = (
            "/", "/a", "/login.php", "/(a+b)*", "/caf%C3%A9", "/~user/-_.!$&'()*+,=:@",
            "/" + "s" * 39, "/" + "k" * 40, "/" + "sk" * 400, "/" + "(.*)" * 30,
        )  # fmt: skip
        validate(woven(TEXT, Needs(body_paths=paths)))

    def test_paths_change(self) -> None:
        """A path that the policy has no longer is gone, a new one is there."""
        result = woven(TEXT, Needs(body_paths=("/a", "/b")))
        result = woven(result, Needs(body_paths=("/b", "/c")))
        assert result == woven(TEXT, Needs(body_paths=("/b", "/c")))

    def test_a_copy_that_was_changed(self) -> None:
        """A generated route that was edited is missed and put right."""
        result = woven(TEXT, FORM)
        changed = result.replace("max_request_bytes: 65536", "max_request_bytes: 1024")
        assert "not up to date" in weave(changed, FORM).missing[0]
        assert weave(changed, FORM).text == result

    @pytest.mark.parametrize(("timeout", "expected"), [
        ("", None), ("stream_idle_timeout: 60s", None), ("stream_idle_timeout: 0s", "300s"),
        ("stream_idle_timeout: 300.5s", "300s"), ("stream_idle_timeout: 300s", None),
    ])  # fmt: skip
    def test_an_unfinished_body_is_not_waited_for_longer(
        self, timeout: str, expected: str | None
    ) -> None:
        """Envoy waits at most as long as it would have."""
        text = TEXT.replace("stream_idle_timeout: 3600s", timeout)
        assert routes(woven(text, FORM))[0]["route"].get("idle_timeout") == expected

    def test_settings_of_the_route_win(self, validate: Validate) -> None:
        """What a route says itself of time and upgrades is kept, but for WebSocket."""
        action = {
            "cluster": "service", "idle_timeout": "7s",
            "upgrade_configs": [{"upgrade_type": "WebSocket"}, {"upgrade_type": "x"}],
        }  # fmt: skip
        settings = {"@type": PER_ROUTE, "check_settings": {
            "disable_request_body_buffering": True, "context_extensions": {"a": "b"}}}  # fmt: skip
        text = with_routes({
            "match": {"path": "/login"}, "route": action,
            "metadata": {"filter_metadata": {"a": {}}},
            "per_request_buffer_limit_bytes": 1, "typed_per_filter_config": {AUTHZ_NAME: settings},
        })  # fmt: skip
        result = woven(text, FORM)
        copy = routes(result)[0]
        assert copy["route"] == {
            "cluster": "service", "idle_timeout": "7s",
            "upgrade_configs": [
                {"upgrade_type": "x"}, {"upgrade_type": "websocket", "enabled": False},
            ],
        }  # fmt: skip
        assert copy["metadata"]["filter_metadata"] == {"a": {}, "extauthz": {"body_limit": "65536"}}
        assert copy["typed_per_filter_config"][AUTHZ_NAME]["check_settings"] == {
            "context_extensions": {"a": "b"}, "with_request_body": BODY,
        }  # fmt: skip
        assert "per_request_buffer_limit_bytes" not in copy
        validate(result)

    @pytest.mark.parametrize("route", [
        {"route": {"cluster": "service"},
         "typed_per_filter_config": {AUTHZ_NAME: {"@type": PER_ROUTE, "disabled": True}}},
        {"route": {"cluster": "service"},
         "typed_per_filter_config": {AUTHZ_NAME: {
             "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}}},
        {"route": {"weighted_clusters": {"clusters": [
            {"name": "service", "weight": 1, "typed_per_filter_config": {AUTHZ_NAME: {}}}]}}},
    ], ids=["disabled", "disabled otherwise", "cluster"])  # fmt: skip
    def test_a_login_that_is_not_checked(self, route: dict[str, Any]) -> None:
        """A check that is turned off for a login is told, and nothing is written."""
        text = with_routes({"match": {"prefix": "/login"}, **route})
        done = weave(text, FORM)
        assert done.text == text
        assert "ext_authz settings of its" in done.by_hand[0]

    def test_routes_are_elsewhere(self) -> None:
        """Routes that another server has are told, with the paths that matter there."""
        lines = TEXT.splitlines(keepends=True)
        start = lines.index("          route_config:\n")
        end = lines.index("          http_filters:\n")
        rds = "          rds: {route_config_name: x, config_source: {ads: {}}}\n"
        text = "".join([*lines[:start], rds, *lines[end:]])
        assert "hand over bodies at /login" in weave(text, FORM).by_hand[0]
        assert weave(text, NOTHING) == Woven(text, (), ())

    def test_routes_in_a_matcher(self) -> None:
        """Routes in a tree are told, for they are not read."""
        text = TEXT.replace(ROUTES, "              matcher: {}\n" + ROUTES)
        assert "`matcher`" in weave(text, FORM).by_hand[0]

    def test_the_filter_has_another_name(self, validate: Validate) -> None:
        """Settings of a route go by the name that the filter has there."""
        text = TEXT.replace(AUTHZ, "          - name: certificates\n")
        result = woven(text, FORM)
        assert routes(result)[0]["typed_per_filter_config"].keys() == {"certificates"}
        validate(result)

"""What an Envoy configuration lets the logs know, and that nobody else gets to know it."""

from typing import Any

import pytest
import yaml

from extauthz.envoyconfig.logs import addresses, hints, leaks
from extauthz.envoyconfig.needs import ACCESS_LOG_HEADER, LOGGED_HEADERS, NOTHING, Needs
from extauthz.envoyconfig.weave import weave
from tests.wire.envoy_process import TEMPLATE

OLD: dict[str, Any] = {
    "allowed_headers": {"patterns": [{"exact": "x-request-id"}]},
    "http_service": {"path_prefix": "/check"},
}
ASKING = {"headers_to_add": [{"key": ACCESS_LOG_HEADER.title(), "value": "true"}]}
CLIENT = {"patterns": [{"exact": "content-type"}]}
METADATA = {"patterns": [{"prefix": "x-extauthz-"}]}


FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
GRPC = "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
OTEL = "type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig"  # noqa: E501


def authorizer(answer: dict[str, Any], question: dict[str, Any] | None = None) -> dict[str, Any]:
    service = {
        "authorization_request": ASKING if question is None else question,
        "authorization_response": answer,
    }
    return OLD | {"http_service": service}


def test_our_own_configuration_says_everything_to_the_logs() -> None:
    """No hint, and nothing leaks."""
    woven = weave(TEMPLATE.read_text(), NOTHING)

    assert (woven.missing, woven.by_hand, woven.hints) == ((), (), ())


def test_older_configuration_works_and_has_hints() -> None:
    """It lacks nothing that a policy needs: the logs are poorer for it, and that is said."""
    config = yaml.safe_load(TEMPLATE.read_text())
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    filters = chain["filters"][0]["typed_config"]["http_filters"]
    filters[0]["typed_config"] |= OLD
    text = yaml.safe_dump(config)
    woven = weave(text, NOTHING)

    assert (woven.missing, woven.by_hand, woven.text) == ((), (), text)
    assert [hint.removeprefix("connection manager 'https': the ") for hint in woven.hints] == [
        f"decision log does not know {what}: {name} is not in `allowed_headers`"
        for name, what in {
            "user-agent": "which program a request came from",
            "traceparent": "which trace it belongs to",
        }.items()
    ] + [
        (
            "access log does not know why a request is refused: see x-extauthz-access-log and"
            " `dynamic_metadata_from_headers` in envoy/envoy.yaml"
        )
    ]


def test_whose_access_log_asks_for_nothing_leaks_nothing() -> None:
    """Without the field extauthz says nothing, whatever is passed on."""
    everything = {"allowed_upstream_headers": {"patterns": [{"prefix": ""}]}}

    assert list(leaks(authorizer(everything, {}))) == []
    assert list(leaks(OLD)) == []


@pytest.mark.parametrize("answer", [
    {}, {"allowed_client_headers": {}}, {"allowed_client_headers": {"patterns": []}},
])  # fmt: skip
def test_refusals_without_a_list_would_say_why(answer: dict[str, Any]) -> None:
    """Where no list says what a refused client gets, Envoy gives it everything."""
    (leak,) = leaks(authorizer(answer))

    assert leak.startswith("a refused client would read the reason")


@pytest.mark.parametrize("key", [
    "allowed_client_headers", "allowed_client_headers_on_success", "allowed_upstream_headers",
    "allowed_upstream_headers_to_append",
])  # fmt: skip
@pytest.mark.parametrize("pattern", [
    {"prefix": "x-"}, {"contains": "extauthz"}, {"prefix": "X-EXT", "ignore_case": True},
    {"safe_regex": {"regex": "x-extauthz-.*"}}, {"safe_regex": {"regex": "("}},
    {"safe_regex": {"google_re2": {}}}, {"custom": {}}, {},
])  # fmt: skip
def test_list_that_may_match_is_named(key: str, pattern: dict[str, Any]) -> None:
    """Whether a regular expression matches is found out; what nobody here can tell, may."""
    answer = {"allowed_client_headers": CLIENT} | {key: {"patterns": [pattern]}}
    found = list(leaks(authorizer(answer)))

    assert found == [
        f"{name} is for the access log alone: `{key}` must not match it" for name in LOGGED_HEADERS
    ]


@pytest.mark.parametrize("pattern", [
    {"exact": "x-extauthz"}, {"prefix": "X-"}, {"suffix": "decisions"},
    {"safe_regex": {"regex": "x-extauthz"}},
])  # fmt: skip
def test_list_that_does_not_match_is_right(pattern: dict[str, Any]) -> None:
    answer = {"allowed_client_headers": {"patterns": [pattern]}}

    assert list(leaks(authorizer(answer))) == []


@pytest.mark.parametrize(("answer", "question", "has_hint"), [
    ({"dynamic_metadata_from_headers": METADATA}, ASKING, False),
    ({"dynamic_metadata_from_headers": METADATA}, {}, True),
    ({"dynamic_metadata_from_headers": {"patterns": [{"exact": LOGGED_HEADERS[0]}]}}, ASKING, True),
    ({}, ASKING, True),
])  # fmt: skip
def test_access_log_needs_both_the_question_and_the_answer(
    answer: dict[str, Any], question: dict[str, Any], *, has_hint: bool
) -> None:
    found = [hint for hint in hints(authorizer(answer, question)) if "access log" in hint]

    assert bool(found) is has_hint


def test_leak_has_to_be_mended_by_hand() -> None:
    """It is an error of `--check`, and nothing is written."""
    text = TEMPLATE.read_text().replace("- {exact: content-type}", '- {prefix: "x-"}')
    woven = weave(text, NOTHING)

    assert woven.text == text
    assert len(woven.by_hand) == len(LOGGED_HEADERS)
    assert all("`allowed_client_headers` must not match it" in line for line in woven.by_hand)


def text_log(text: str) -> dict[str, Any]:
    return {"@type": FILE, "log_format": {"text_format_source": {"inline_string": text}}}


def found_in(config: dict[str, Any]) -> list[str]:
    """Where the only entry of an access log has the address of clients."""
    manager: dict[str, Any] = {"access_log": [{"name": "a", "typed_config": config}]}
    return [
        part for hint in addresses(manager, manager)
        for part in hint.partition("(")[2].rpartition("), which")[0].split(", ")
    ]  # fmt: skip


def test_addresses_that_the_policy_hides_are_in_our_own_access_log() -> None:
    """It is a hint, and only where the policy hides them."""
    woven = weave(TEMPLATE.read_text(), Needs(hides_clients=True))

    assert (woven.missing, woven.by_hand, woven.text) == ((), (), TEMPLATE.read_text())
    (hint,) = woven.hints
    assert hint == (
        "connection manager 'https': the access log has the addresses of clients"
        " (%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%), which the policy hides in the decision log:"
        " whoever reads both finds them by the request id"
    )


@pytest.mark.parametrize("operator", [
    "%DOWNSTREAM_REMOTE_ADDRESS%", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%REQ(X-FORWARDED-FOR)%", "%REQ(X-A?x-forwarded-for):20%", "%REQUEST_HEADER(forwarded)%",
    "%REQ(X-ENVOY-EXTERNAL-ADDRESS)%", "%CEL(source.address)%",
    "%CEL(request.headers['x-forwarded-for'])%",
])  # fmt: skip
def test_every_way_to_write_an_address_is_found(operator: str) -> None:
    """In text, in JSON, in what goes to a collector."""
    assert found_in(text_log(f"%START_TIME% {operator} x\n")) == [operator]
    as_json = {"@type": FILE, "log_format": {"json_format": {"who": {"from": operator}}}}
    assert found_in(as_json) == [operator]
    assert found_in({"@type": OTEL, "body": {"string_value": operator}}) == [operator]


@pytest.mark.parametrize("text", [
    "%DOWNSTREAM_REMOTE_PORT%", "%UPSTREAM_REMOTE_ADDRESS%", "%DOWNSTREAM_LOCAL_ADDRESS%",
    "%REQ(X-FORWARDED-PROTO)%", "%REQ(X-REQUEST-ID)%", "DOWNSTREAM_REMOTE_ADDRESS",
    "%DURATION% X-FORWARDED-FOR %DURATION%",
])  # fmt: skip
def test_what_is_no_address_of_a_client_is_not_found(text: str) -> None:
    assert found_in(text_log(text)) == []


def test_what_logs_addresses_without_being_told_is_found() -> None:
    """A format that nobody wrote, and gRPC, which has none."""
    assert found_in({"@type": FILE, "path": "/x"}) == ["X-Forwarded-For in the default format"]
    assert found_in({"@type": GRPC}) == ["all of gRPC's records"]


def test_logs_of_the_listener_and_the_router_count() -> None:
    """Those of another listener do not."""
    log = [{"name": "a", "typed_config": text_log("%DOWNSTREAM_REMOTE_ADDRESS%")}]
    manager: dict[str, Any] = {"http_filters": [{"name": "r", "typed_config": {}}]}
    ours: dict[str, Any] = {"filter_chains": [{"filters": [{"typed_config": manager}]}]}
    other = {"filter_chains": [], "access_log": log}
    root: dict[str, Any] = {"listeners": [ours, other]}

    assert list(addresses(root, manager)) == []
    ours["access_log"] = log
    assert len(list(addresses(root, manager))) == 1
    del ours["access_log"]
    manager["http_filters"][0]["typed_config"]["upstream_log"] = log
    assert len(list(addresses(root, manager))) == 1

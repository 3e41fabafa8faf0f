"""What an Envoy configuration lets the logs know, and that nobody else gets to know it."""

from typing import Any

import pytest
import yaml

from extauthz.envoyconfig.logs import hints, leaks
from extauthz.envoyconfig.needs import ACCESS_LOG_HEADER, LOGGED_HEADERS, NOTHING
from extauthz.envoyconfig.weave import weave
from tests.wire.envoy_process import TEMPLATE

OLD: dict[str, Any] = {
    "allowed_headers": {"patterns": [{"exact": "x-request-id"}]},
    "http_service": {"path_prefix": "/check"},
}
ASKING = {"headers_to_add": [{"key": ACCESS_LOG_HEADER.title(), "value": "true"}]}
CLIENT = {"patterns": [{"exact": "content-type"}]}
METADATA = {"patterns": [{"prefix": "x-extauthz-"}]}


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

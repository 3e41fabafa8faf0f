"""The JSON Schema of the policy file says what the loader says of its shape."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from extauthz.policyfile import document, shape
from extauthz.policyfile.schema import PolicyModel

VALIDATOR = Draft202012Validator(PolicyModel.model_json_schema())


def is_shaped(value: object) -> bool:
    root, mistakes = document.parse(json.dumps(value))
    assert root is not None
    assert mistakes == []
    return isinstance(shape.read(root), PolicyModel)


words = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=4)


def of(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is right, and now and then anything."""
    anything: st.SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers(0, 999) | words | st.just([])
    )
    return st.one_of(strategy, strategy, strategy, anything)


texts = words | st.just("off") | st.just("text/plain; charset=utf-8")
names = st.from_regex(r"\A[a-z0-9_.-]{0,3}\Z") | words
denials = st.fixed_dictionaries(
    {},
    optional={
        "status": of(st.integers(395, 505)),
        "body": of(texts),
        "content_type": of(
            st.sampled_from(["text/plain", "a/b;c=d", "text", "a/b; ü=d", "a/b;c=ü", "a/b\n", None])
        ),
        "help": of(words | st.just("Ask us.") | st.just("x" * 4097)),
        "other": texts,
    },
)
secrets = st.fixed_dictionaries({}, optional={"env": of(texts), "file": of(texts), "x": texts})
decision_logs = st.fixed_dictionaries(
    {},
    optional={
        "redact": of(st.lists(of(st.sampled_from(["email", "login", "client"])), max_size=3)),
        "key": of(secrets),
        "other": texts,
    },
)
subscriptions = st.fixed_dictionaries(
    {},
    optional={
        "hosts": of(st.lists(of(texts), max_size=3)),
        "signing_certificates": of(st.lists(of(texts), max_size=3)),
        "accounts": of(st.dictionaries(texts, of(texts), max_size=3)),
        "mode": of(st.sampled_from(["off", "audit", "enforce", "on", True])),
        "verify_email": of(st.booleans()),
        "denial": of(denials),
        "x": texts,
    },
) | st.just({"hosts": ["h"], "signing_certificates": ["c"]})
policies = st.fixed_dictionaries(
    {},
    optional={
        "subscriptions": of(st.dictionaries(names, of(subscriptions), max_size=3)),
        "decision_log": of(decision_logs),
    },
)


@given(of(policies))
@settings(max_examples=500)
def test_an_editor_and_the_loader_agree_on_the_shape(value: object) -> None:
    """What an editor underlines is what `validate` refuses, and nothing else."""
    assert VALIDATOR.is_valid(value) == is_shaped(value)


@pytest.mark.parametrize("key", PolicyModel.model_json_schema()["$defs"]["SubscriptionModel"]
                         ["properties"])  # fmt: skip
def test_every_key_is_explained(key: str) -> None:
    """An editor shows a sentence for every key."""
    subscription = PolicyModel.model_json_schema()["$defs"]["SubscriptionModel"]
    described = subscription["properties"][key]
    if "$ref" in described:
        described = PolicyModel.model_json_schema()["$defs"][described["$ref"].split("/")[-1]]
    assert described["description"].endswith(".")

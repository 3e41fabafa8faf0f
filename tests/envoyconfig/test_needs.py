"""What a policy's login sources need of Envoy, and which header fields can be one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.accounts import Accounts
from extauthz.envoyconfig.needs import NOTHING, Needs, needs_of, refused_header
from extauthz.login import (
    Basic,
    Bearer,
    ClientCertificate,
    Form,
    HeaderField,
    JsonBody,
    Jwt,
    LoginSource,
)
from extauthz.policy import Policy, Subscription
from extauthz.redaction import Redacted, Redaction
from extauthz.session import SessionPolicy
from extauthz.trust import TrustAnchors


def subscription(
    stem: str, *sources: LoginSource, session: SessionPolicy | None = None
) -> Subscription:
    hosts = (f"{stem}.example",)
    return Subscription(stem, hosts, TrustAnchors([]), Accounts(), login=sources, session=session)


@pytest.mark.parametrize(("source", "expected"), [
    (Basic(), NOTHING),
    (ClientCertificate(), NOTHING),
    (HeaderField("X-User"), Needs(fields=("x-user",))),
    (Bearer("X-Token", ("sub",)), Needs(fields=("x-token",), payload_fields=("x-token",))),
    (Jwt("x-token", ("sub",)), Needs(fields=("x-token",), payload_fields=("x-token",))),
    (Form(("/login", "/anmelden"), "user"), Needs(body_paths=("/anmelden", "/login"))),
    (JsonBody(("/api/login",), ("user",)), Needs(body_paths=("/api/login",))),
], ids=lambda value: getattr(value, "source", ""))  # fmt: skip
def test_each_source_needs_what_it_reads(source: LoginSource, expected: Needs) -> None:
    """Only what a check does not have anyway is needed."""
    assert needs_of(Policy([subscription("a", source)])) == expected


def test_a_session_needs_cookies() -> None:
    """Nobody else gets to see them."""
    policy = Policy([subscription("a", session=SessionPolicy("sid"))])
    assert needs_of(policy) == Needs(has_sessions=True)


@pytest.mark.parametrize(("fields", "hides"), [
    ({Redacted.CLIENT, Redacted.LOGIN}, True), ({Redacted.EMAIL, Redacted.LOGIN}, False),
])  # fmt: skip
def test_who_hides_clients_wants_their_addresses_nowhere(
    fields: set[Redacted], *, hides: bool
) -> None:
    """Envoy has a log of its own."""
    policy = Policy([subscription("a")], Redaction(frozenset(fields), b"0" * 32))
    assert needs_of(policy) == Needs(hides_clients=hides)


def test_needs_of_all_subscriptions_come_together() -> None:
    """One Envoy serves them all, and the order of the policy does not show."""
    one = subscription("a", HeaderField("x-user"), Form(("/login",), "user"))
    other = subscription("b", Jwt("x-jwt", ("sub",)), JsonBody(("/login", "/api"), ("user",)))
    assert needs_of(Policy([one, other])) == needs_of(Policy([other, one])) == Needs(
        ("x-jwt", "x-user"), ("x-jwt",), ("/api", "/login"),
    )  # fmt: skip


@pytest.mark.parametrize("field", [
    "x-user", "X-Authenticated-User", "x-jwt-payload", "Remote-User", "x-auth-request-email",
    "X-Ssl-Client-Name", "x-webauth-user", "gitlab-user", "x-content-user", "hostname",
])  # fmt: skip
def test_a_field_that_nobody_sends_by_himself_can_be_a_source(field: str) -> None:
    """What proxies are used to write is fine."""
    assert refused_header(field) is None


@pytest.mark.parametrize("field", [
    ":authority", ":path", "", "x user", "x-user:", "x-üser", "x-user\r\n", "x" * 129, "x_user",
    "Host", "authorization", "Proxy-Authorization", "COOKIE", "connection", "keep-alive",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect",
    "Content-Length", "content-type", "content-user", "forwarded", "via", "x-forwarded-for",
    "X-Forwarded-Client-Cert", "x-forwarded-user", "x-request-id", "x-envoy-original-path",
    "x-envoy-auth-partial-body", "x-extauthz-client-address", "x-extauthz-body-limit",
    "x-original-url", "x-real-ip", "traceparent", "x-b3-traceid", "accept", "accept-language",
    "user-agent", "referer", "origin", "range", "if-match", "sec-fetch-site", "cache-control",
    "from", "x-csrf-token", "x-requested-with", "grpc-timeout", "access-control-request-method",
])  # fmt: skip
def test_a_field_with_another_purpose_is_refused(field: str) -> None:
    """Removing it from what clients send would break them, or believing it would be a mistake."""
    assert refused_header(field)


@given(st.text(st.characters(max_codepoint=127), max_size=20))
def test_case_does_not_matter(text: str) -> None:
    """A field that is refused is refused however it is written, and nothing is an exception."""
    assert bool(refused_header(text)) == bool(refused_header(text.swapcase()))

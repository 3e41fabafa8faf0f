"""One host is one host, however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz import hosts
from extauthz.accounts import Accounts
from extauthz.policy import Policy, Subscription
from extauthz.trust import TrustAnchors


@pytest.mark.parametrize(("written", "normal"), [
    ("app.example.com", "app.example.com"),
    ("APP.Example.COM", "app.example.com"),
    ("app.example.com:8443", "app.example.com"),
    ("app.example.com.", "app.example.com"),
    ("app.example.com.:443", "app.example.com"),
    ("bücher.example", "xn--bcher-kva.example"),
    ("BÜCHER.example:1", "xn--bcher-kva.example"),
    ("[::1]", "[::1]"),
    ("[0:0:0:0:0:0:0:1]:8443", "[::1]"),
    ("[2001:DB8::A]", "[2001:db8::a]"),
    ("127.0.0.1:80", "127.0.0.1"),
    ("localhost", "localhost"),
    ("my_service", "my_service"),
])  # fmt: skip
def test_spellings_of_a_host_become_one(written: str, normal: str) -> None:
    """CVE-2022-23632 (Traefik): case, port, trailing dot, IDN and IPv6 forms do not matter."""
    assert hosts.normalise(written) == normal


@pytest.mark.parametrize("written", [
    "", ".", "..", "a..b", ":80", "a:b", "a:123456", "a b", "a/b", "user@host", "a#b", "a?b", "a,b",
    "http://a", "[::1", "::1", "[::1]x", "[fe80::1%eth0]", "[v1.a]", "-a", "a-", "a\x00b", "a\nb",
    "a.example..", "x" * 64, "a." * 127 + "ab", "\udc80", "*", "*.a.example", "[::1]:x",
])  # fmt: skip
def test_what_is_no_host_is_none(written: str) -> None:
    """What cannot be a host belongs to no subscription."""
    assert hosts.normalise(written) is None


@given(st.text(max_size=300))
def test_any_text_is_read_and_the_normal_form_is_its_own(text: str) -> None:
    """Normalising twice changes nothing, and nothing raises."""
    normal = hosts.normalise(text)
    assert normal is None or hosts.normalise(normal) == normal


def policy(**patterns: tuple[str, ...]) -> Policy:
    return Policy(
        Subscription(name, found, TrustAnchors(()), Accounts()) for name, found in patterns.items()
    )


@pytest.mark.parametrize(("host", "found"), [
    ("a.example", "exact"), ("A.EXAMPLE.:443", "exact"), ("b.a.example", "wild"),
    ("c.b.a.example", "wild"), ("x.deep.a.example", "deep"), ("y.x.deep.a.example", "deep"),
    ("deep.a.example", "wild"), ("evila.example", None), ("example", None), ("", None),
    ("a.example.evil", None), ("*.a.example", None),
])  # fmt: skip
def test_own_name_comes_first_then_the_longest_wildcard(host: str, found: str | None) -> None:
    """There is no default: a host that nobody named belongs to nobody."""
    subscription = policy(
        exact=("a.example",), wild=("*.a.example",), deep=("*.deep.a.example",)
    ).subscription_for(host)

    assert (None if subscription is None else subscription.name) == found


def test_host_of_two_subscriptions_is_refused() -> None:
    """A policy in which a host has two owners cannot be built."""
    with pytest.raises(ValueError, match=r"a\.example"):
        policy(one=("a.example",), two=("a.example",))

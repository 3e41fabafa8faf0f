"""Personal data under a keyed hash."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.redaction import MIN_KEY_OCTETS, PREFIX, Redacted, Redaction

KEY = b"0123456789abcdef"
ALL = Redaction(frozenset(Redacted), KEY)
ANY = st.text(st.characters(exclude_categories=()))


def test_value_becomes_an_hmac_of_its_kind_and_itself() -> None:
    """Whoever has the key can find the lines of one person: HMAC-SHA-256, its first 16 octets."""
    digest = hmac.new(KEY, b"login\0alice", hashlib.sha256).hexdigest()

    assert ALL.of(Redacted.LOGIN, "alice") == PREFIX + digest[:32]


@given(ANY, ANY)
def test_hash_tells_values_apart_and_nothing_more(a: str, b: str) -> None:
    """The same value is the same text, another value another, whatever characters it has."""
    first, second = ALL.of(Redacted.EMAIL, a), ALL.of(Redacted.EMAIL, b)

    assert (first == second) == (a == b)
    assert first.startswith(PREFIX)
    assert len(first) == len(PREFIX) + 32
    assert ALL.of(Redacted.LOGIN, a) != first


def test_another_key_makes_another_hash() -> None:
    """With a new key nobody can join the lines before and after."""
    other = Redaction(frozenset(Redacted), KEY[::-1])

    assert other.of(Redacted.LOGIN, "alice") != ALL.of(Redacted.LOGIN, "alice")


def test_what_is_not_hidden_stays() -> None:
    some = Redaction(frozenset({Redacted.CLIENT}), KEY)

    assert some.of(Redacted.LOGIN, "alice") == "alice"
    assert some.of(Redacted.CLIENT, "192.0.2.1") != "192.0.2.1"


@pytest.mark.parametrize(("fields", "hides"), [
    (set(), False), ({Redacted.CLIENT}, False), ({Redacted.EMAIL}, True), ({Redacted.LOGIN}, True),
])  # fmt: skip
def test_people_are_hidden_by_either_of_their_names(fields: set[Redacted], *, hides: bool) -> None:
    assert Redaction(frozenset(fields), KEY).hides_people is hides


def test_key_is_long_enough_and_never_shown() -> None:
    """What can be tried out hides nothing, and no message has the key."""
    with pytest.raises(ValueError, match="fewer than 16 octets"):
        Redaction(frozenset(Redacted), b"x" * (MIN_KEY_OCTETS - 1))
    assert "0123" not in repr(ALL)
    assert Redaction(frozenset(), b"").fields == frozenset()

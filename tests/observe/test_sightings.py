"""Which certificates are recorded whole: each soon after a file began, and never without end."""

from datetime import UTC, datetime, timedelta

import pytest

from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import authority, name, user
from extauthz.observe.sightings import EVERY, MAX_OCTETS, Sightings

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CA = authority(name("CA"))
DER = user(CA, "alice", "alice@acme.example").der


def certificate(number: int, octets: int = 10) -> PeerCertificate:
    """Alice's, with something above it by which it is another one."""
    peer = PeerCertificate.read(DER, [str(number).encode().ljust(octets)])
    assert isinstance(peer, PeerCertificate)
    return peer


@pytest.fixture
def sightings() -> Sightings:
    return Sightings(remembered=10)


def test_each_is_recorded_at_first_and_once_an_hour(sightings: Sightings) -> None:
    one, other = certificate(1), certificate(2)

    assert sightings.is_due(one, NOW)
    assert not sightings.is_due(one, NOW + MINUTE)
    assert sightings.is_due(other, NOW + MINUTE)
    assert not sightings.is_due(one, NOW + EVERY - MINUTE)
    assert sightings.is_due(one, NOW + EVERY)
    assert not sightings.is_due(one, NOW + EVERY + MINUTE)


def test_no_more_are_recorded_within_an_hour_than_are_remembered(sightings: Sightings) -> None:
    """A stranger can make as many as he likes."""
    due = [sightings.is_due(certificate(number), NOW) for number in range(100)]
    assert due == [True] * 10 + [False] * 90
    later = [sightings.is_due(certificate(number), NOW + EVERY) for number in range(50, 150)]
    assert sum(later) == 10


def test_a_long_chain_is_left_out(sightings: Sightings) -> None:
    assert sightings.is_due(certificate(1, MAX_OCTETS - len(DER)), NOW)
    assert not sightings.is_due(certificate(2, MAX_OCTETS - len(DER) + 1), NOW)


def test_another_file_begins_with_the_certificates_of_its_checks(sightings: Sightings) -> None:
    """They are due again; but not over and over, where files are small."""
    one = certificate(1)
    for beginnings, after, is_due in [
        (0, 0, True), (0, 1, False), (1, 2, True), (1, 3, False),
        (2, 2.5, False), (3, 2.9, False), (3, 3, True), (3, 5, False),
    ]:  # fmt: skip
        now = NOW + after * MINUTE
        sightings.look_for_beginning(beginnings, now)
        assert sightings.is_due(one, now) is is_due, after


def test_a_clock_that_is_set_back_silences_nothing(sightings: Sightings) -> None:
    one = certificate(1)
    assert sightings.is_due(one, NOW)
    assert sightings.is_due(one, NOW - timedelta(days=300))
    assert not sightings.is_due(one, NOW - timedelta(days=300) + MINUTE)


def test_files_that_end_soon_do_not_make_the_bound_another() -> None:
    """Who can have files rotated is not to have all certificates recorded anew in each."""
    sightings, recorded = Sightings(remembered=10, forget_every=EVERY), 0
    for number in range(12):
        now = NOW + 10 * number * MINUTE
        sightings.look_for_beginning(number, now)
        recorded += sum(sightings.is_due(certificate(each), now) for each in range(30))

    assert 20 <= recorded <= 30

"""What an attacker tried on logins, accounts, sessions and exemptions, one test for each way."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import Credential, Validity, authority, name, user
from extauthz.directory import cached
from extauthz.directory.backend import ACCOUNT_OCTETS
from extauthz.directory.cached import CAPACITY, CachedDirectory
from extauthz.email import EmailAddress
from extauthz.exemption import Exemption, RequiredFor
from extauthz.findings import Finding, Reason
from extauthz.login import Basic, ClientCertificate, Login, LoginSource
from extauthz.lookup import (
    ByLogin,
    Caching,
    Directory,
    Found,
    HttpDirectory,
    Lookup,
    LookupKey,
    Unavailable,
)
from extauthz.policy import BASIC, Policy, Subscription
from extauthz.policyfile.live import LivePolicy
from extauthz.policyfile.loader import Loaded, load
from extauthz.request_path import PathPattern
from extauthz.session import Holder
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import asked

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CA = authority(name("CA"))
MISSING = Finding(Reason.CERTIFICATE_MISSING, "none")
UNREADABLE = Finding(Reason.LOGIN_MALFORMED, "the field stands there twice")
ELSEWHERE = HttpDirectory("https://users.example/extauthz")


def account(login: str, *emails: str, is_disabled: bool = False) -> Account:
    parsed = map(EmailAddress.parse, emails)
    identities = tuple(each for each in parsed if each is not None)
    return Account(login, identities, is_disabled=is_disabled)


ACCOUNTS = Accounts([account("alice", "alice@acme.example"), account("bob", "bob@acme.example")])


def subscription(
    *exemptions: Exemption,
    accounts: Accounts | Directory = ACCOUNTS,
    verify_email: bool = True,
    required_for: RequiredFor | None = None,
    login: tuple[LoginSource, ...] = BASIC,
) -> Subscription:
    trust = TrustAnchors([SigningCertificate.read(CA.der)])
    return Subscription(
        "acme", ("acme.example",), trust, accounts, verify_email=verify_email,
        exemptions=exemptions, required_for=required_for, login=login,
    )  # fmt: skip


def exemption(
    *logins: str,
    paths: Sequence[str] = (),
    networks: Sequence[str] = (),
    until: datetime = NOW + DAY,
) -> Exemption:
    patterns = (PathPattern.parse(path) for path in paths)
    return Exemption(
        "hook", "they are on it", until, frozenset(logins),
        tuple(pattern for pattern in patterns if pattern is not None),
        networks=tuple(map(ip_network, networks)),
    )  # fmt: skip


def peer_of(credential: Credential) -> PeerCertificate:
    peer = PeerCertificate.read(credential.der)
    assert isinstance(peer, PeerCertificate)
    return peer


def basic(*logins: str) -> list[Login]:
    return [Login(login, "basic") for login in logins]


@dataclass
class Directories:
    """A directory that answers always the same; None is that it was not asked yet."""

    answer: Found | Unavailable | None = None
    asked: list[Lookup] = field(default_factory=list)

    def known(self, lookup: Lookup) -> Found | Unavailable | None:
        self.asked.append(lookup)
        return self.answer


@pytest.mark.parametrize("login", ["ALICE", "Alice", "alice ", "ａlice"])
def test_user_of_whom_a_certificate_is_demanded_cannot_spell_the_login_otherwise(
    login: str,
) -> None:
    """The service may be generous with case, spaces and compatibility forms."""
    required = RequiredFor(frozenset({"alice"}))
    snapshot = Snapshot(Policy([subscription(required_for=required)]), 1)
    made = snapshot.check(asked(snapshot.policy, "acme.example", MISSING, *basic(login)), NOW)

    assert not made.allowed


@pytest.mark.parametrize("logins", [(UNREADABLE,), tuple(basic("carol", "dave"))])
def test_doubtful_login_demands_a_certificate_where_emails_are_not_verified(
    logins: tuple[Login | Finding, ...],
) -> None:
    """`verify_email: false` is about the certificate's name, and not about who is meant."""
    required = RequiredFor(frozenset({"alice"}))
    snapshot = Snapshot(Policy([subscription(required_for=required, verify_email=False)]), 1)
    made = snapshot.check(asked(snapshot.policy, "acme.example", MISSING, *logins), NOW)

    assert not made.allowed


@pytest.mark.parametrize("order", [1, -1])
def test_login_of_two_entries_of_a_directory_is_nobodys(order: int) -> None:
    """LDAP has such in two units; which of them is meant is not for us to guess."""
    entries = (
        account("alice", "alice@acme.example", is_disabled=True),
        account("alice", "mallory@acme.example"),
    )[::order]
    snapshot = Snapshot(
        Policy([subscription(accounts=ELSEWHERE)]), 1, directories=Directories(Found(entries))
    )
    mallory = peer_of(user(CA, "Mallory", "mallory@acme.example"))
    made = snapshot.check(asked(snapshot.policy, "acme.example", mallory, *basic("alice")), NOW)

    assert Reason.LOGIN_CONFLICT in {finding.reason for finding in made.findings}


def test_certificate_that_was_seen_too_early_does_not_spare_the_directory_its_question() -> None:
    """What was not asked because of the certificate is asked once that is good."""
    directories = Directories()
    snapshot = Snapshot(
        Policy([subscription(accounts=ELSEWHERE, verify_email=False)]), 1, directories=directories
    )
    later = user(CA, "Alice", "alice@acme.example", validity=Validity.days(1, 9))
    request = asked(snapshot.policy, "acme.example", peer_of(later), *basic("alice"))

    assert not snapshot.check(request, NOW).allowed
    made = snapshot.check(request, NOW + 2 * DAY)
    assert made.unanswered
    assert not made.allowed


def test_exempted_login_without_an_account_does_not_excuse_another_users_session() -> None:
    """A stolen session is no better for coming with a login that nobody knows."""
    snapshot = Snapshot(Policy([subscription(exemption("ci"))]), 1)
    request = asked(snapshot.policy, "acme.example", MISSING, *basic("ci"))
    made = snapshot.check(request, NOW, (Holder(frozenset({"alice"})),))

    assert not made.allowed


def test_exemption_holds_for_a_certificate_that_was_good_when_it_was_seen_first() -> None:
    """The same request is decided alike, whatever is kept of one before it."""
    snapshot = Snapshot(Policy([subscription(exemption("alice", until=NOW + 9 * DAY))]), 1)
    alice = user(CA, "Alice", "alice@acme.example", validity=Validity.days(-1, 1))
    request = asked(snapshot.policy, "acme.example", peer_of(alice), *basic("alice"))

    assert snapshot.check(request, NOW).allowed
    made = snapshot.check(request, NOW + 2 * DAY)
    assert made.allowed
    assert made.exemption is not None


@pytest.mark.parametrize("given", [
    exemption("ci"), exemption(paths=["/hooks/github"]), exemption(networks=["198.51.100.0/24"]),
    exemption("unknown", until=NOW - DAY),
], ids=["login", "path", "network", "ended"])  # fmt: skip
def test_request_that_no_exemption_covers_cannot_have_a_directory_asked(given: Exemption) -> None:
    """Whoever has no good certificate could keep it busy, to everybody's harm."""
    snapshot = Snapshot(
        Policy([subscription(given, accounts=ELSEWHERE)]), 1, directories=Directories()
    )
    request = asked(snapshot.policy, "acme.example", MISSING, *basic("unknown"), path="/other")

    assert not snapshot.check(request, NOW).unanswered


def test_what_a_directory_was_not_asked_is_not_taken_for_no_such_account() -> None:
    """The operator would look for a mistake in the directory."""
    snapshot = Snapshot(Policy([subscription(accounts=ELSEWHERE)]), 1, directories=Directories())
    made = snapshot.check(asked(snapshot.policy, "acme.example", MISSING, *basic("alice")), NOW)

    assert Reason.ACCOUNT_UNKNOWN not in {finding.reason for finding in made.findings}


@pytest.mark.parametrize("logins", [(), ("alice",), ("nobody",)])
def test_disabled_user_is_refused_where_emails_are_not_verified(logins: tuple[str, ...]) -> None:
    """A login that nobody has is no way round it."""
    accounts = Accounts([account("alice", "alice@acme.example", is_disabled=True)])
    snapshot = Snapshot(Policy([subscription(accounts=accounts, verify_email=False)]), 1)
    alice = peer_of(user(CA, "Alice", "alice@acme.example"))
    made = snapshot.check(asked(snapshot.policy, "acme.example", alice, *basic(*logins)), NOW)

    assert not made.allowed


@pytest.mark.parametrize("logins", [(), ("alice",)])
def test_certificate_that_is_a_login_names_exactly_one_account(logins: tuple[str, ...]) -> None:
    """As docs/logins.md says of `client_certificate`, whatever else says a login."""
    snapshot = Snapshot(Policy([subscription(login=(Basic(), ClientCertificate()))]), 1)
    both = peer_of(user(CA, "Both", "alice@acme.example", "bob@acme.example"))
    made = snapshot.check(asked(snapshot.policy, "acme.example", both, *basic(*logins)), NOW)

    assert [finding.reason for finding in made.findings] == [Reason.LOGIN_CONFLICT]


@pytest.mark.parametrize("client", ["192.0.2.1", "::ffff:192.0.2.1"])
def test_network_of_mapped_addresses_is_that_of_ipv4(client: str) -> None:
    """An exemption that the policy accepts can be met."""
    assert exemption(networks=["::ffff:192.0.2.0/120"]).covers((), "GET", "/", client)


class Place:
    """A place where accounts live, which hangs when it is told to."""

    def __init__(self, *accounts: Account) -> None:
        self.accounts = accounts
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[LookupKey] = []

    async def find(self, key: LookupKey) -> Sequence[Account]:
        self.asked.append(key)
        await self.open.wait()
        return self.accounts

    async def close(self) -> None:
        """There is nothing to give back."""


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


ALICE = ByLogin("alice")


async def test_old_answer_counts_on_while_the_directory_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`stale_if_error` does not wait until the directory's own timeout has passed."""
    clock, place = Clock(), Place(account("alice", "alice@acme.example"))
    directory = CachedDirectory("x", place, Caching(stale_if_error=timedelta(hours=1)), clock)
    await directory.ask([ALICE])
    monkeypatch.setattr(cached, "WAIT_SECONDS", 0.01)
    clock.now += 61
    place.open.clear()
    await directory.ask([ALICE])
    known = directory.known(ALICE)
    await directory.close()

    assert isinstance(known, Found)


async def test_answers_that_are_kept_take_no_more_than_they_may() -> None:
    """An entry of Active Directory may have hundreds of groups."""
    groups = frozenset(
        f"cn=group {number:05},ou=groups,dc=acme,dc=example" for number in range(500)
    )
    octets = sum(map(len, groups))
    place = Place(Account("alice", (), groups=groups))
    directory = CachedDirectory("x", place, Caching())
    logins = [ByLogin(f"u{number}") for number in range(1000)]
    for first in range(0, len(logins), 100):
        await directory.ask(logins[first : first + 100])
    kept = len(directory.kept)
    await directory.close()

    assert kept * max(octets, ACCOUNT_OCTETS) <= CAPACITY


async def test_request_without_a_certificate_does_not_refresh_an_answer() -> None:
    """Who has no good certificate cannot have a directory asked, not even again."""
    clock, place = Clock(), Place(account("alice", "alice@acme.example"))
    directory = CachedDirectory("x", place, Caching(), clock)
    await directory.ask([ALICE])
    clock.now += 55

    class Kept:
        def known(self, lookup: Lookup) -> Found | Unavailable | None:
            return directory.known(lookup.key)

    snapshot = Snapshot(Policy([subscription(accounts=ELSEWHERE)]), 1, directories=Kept())
    snapshot.check(asked(snapshot.policy, "acme.example", MISSING, *basic("alice")), NOW)
    await asyncio.sleep(0)
    await directory.close()

    assert place.asked == [ALICE]


HEAD = """\
subscriptions:
  acme:
    hosts: [acme.example]
    signing_certificates: [acme.pem]
"""
LDAP = (
    "accounts: {ldap: {url: 'ldaps://h', base: dc=x, login_attribute: uid, email_attribute: mail,"
    " ca_file: nope.pem}}"
)
MAPPING = "accounts: {alice: alice@acme.example}"
SQL = "SELECT login, email FROM u WHERE login = :login OR email = :identity"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "acme.pem").write_text(CA.pem)
    return tmp_path / "policy.yaml"


def loaded(policy: Path, *settings: str) -> Loaded:
    policy.write_text(HEAD + "".join(f"    {setting}\n" for setting in settings))
    return load(policy, NOW)


@pytest.mark.parametrize("settings", [
    (MAPPING, "login: [{bearer: null}]"),
    (MAPPING, "login: [{header: null}]"),
    (MAPPING, "login: [{form: null}]"),
    (f"accounts: {{sql: {{url: 'postgresql://h/d?host=a&host=b', query: '{SQL}'}}}}",),
    (f"accounts: {{sql: {{url: 'postgresql://h/d?host=a:x&host=b:1', query: '{SQL}'}}}}",),
])  # fmt: skip
def test_setting_that_cannot_be_meant_is_a_problem_and_no_exception(
    policy: Path, settings: tuple[str, ...]
) -> None:
    """With its line, like any other."""
    outcome = loaded(policy, *settings)

    assert outcome.policy is None
    assert outcome.problems[0].place is not None


@pytest.mark.parametrize("settings", [
    ("accounts: {http: {url: 'https://h/x', ca_file: nope.pem}}",),
    (LDAP,),
    ("accounts: {http: {url: 'https://h/x', token: {env: null}}}",),
    ("accounts: {http: {url: 'https://h/x?token=s3cr3t'}}",),
    (MAPPING, "session: {cookie: S, store: 'rediss://h', ca_file: nope.pem}"),
    (MAPPING, "session: {cookie: S, password: {env: X}}"),
    (MAPPING, "certificate_required_for: {logins: [alcie]}"),
    (MAPPING, "certificate_required_for: {groups: [pliot]}"),
    ('accounts: {"al\\tice": alice@acme.example}',),
], ids=[
    "http", "ldap", "no variable", "token in the URL", "redis", "no store", "login", "group",
    "control character",
])  # fmt: skip
def test_setting_that_cannot_work_is_said_to_when_it_is_configured(
    policy: Path, settings: tuple[str, ...]
) -> None:
    """A CA file that is not there, a login or group that nobody has, a password for nothing."""
    assert loaded(policy, *settings).problems


def test_name_of_an_exemption_that_is_none_is_not_called_a_media_type(policy: Path) -> None:
    """What would be right fits what is wrong."""
    given = "exempt: [{name: 'a b', reason: x, until: 2026-12-31, logins: [alice]}]"
    problems = " ".join(map(str, loaded(policy, MAPPING, given).problems))

    assert "'name'" in problems
    assert "media type" not in problems


async def test_failure_in_settling_a_policy_does_not_end_the_watching_for_the_next(
    policy: Path,
) -> None:
    """The policy is in force already, and what went wrong is logged."""

    class Broken:
        async def prepare(self, policy: Policy) -> None:
            """Nothing goes wrong yet."""

        async def settle(self, policy: Policy) -> None:
            raise OSError

    loaded(policy, MAPPING)

    assert await LivePolicy(policy, None, None, Broken()).reload()

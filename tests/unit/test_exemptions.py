"""Exemptions, and subscriptions that switch their users over one by one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest

from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import Credential, authority, name, user
from extauthz.email import EmailAddress
from extauthz.exemption import Exemption, RequiredFor
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.policy import Mode, Policy, Subscription
from extauthz.request_path import PathPattern
from extauthz.session import Holder, PinsUnavailable
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import asked

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CA = authority(name("CA"))
MISSING = Finding(Reason.CERTIFICATE_MISSING, "none")
CI = Login("ci", "basic")
UNREADABLE = Finding(Reason.LOGIN_MALFORMED, "?")


def address(text: str) -> EmailAddress:
    parsed = EmailAddress.parse(text)
    assert parsed is not None
    return parsed


ACCOUNTS = Accounts([
    Account("alice", (address("alice@acme.example"),), groups=frozenset({"pilot"})),
    Account("bob", (address("bob@acme.example"),)),
    Account("ci", ()),
    Account("gone", (address("gone@acme.example"),), is_disabled=True),
])  # fmt: skip


def subscription(*exemptions: Exemption, required_for: RequiredFor | None = None) -> Subscription:
    trust = TrustAnchors([SigningCertificate.read(CA.der)])
    return Subscription(
        "acme", ("acme.example",), trust, ACCOUNTS,
        exemptions=exemptions, required_for=required_for,
    )  # fmt: skip


def path(text: str) -> PathPattern:
    pattern = PathPattern.parse(text)
    assert pattern is not None
    return pattern


def exemption(
    *logins: str,
    paths: tuple[str, ...] = (),
    methods: tuple[str, ...] = (),
    networks: tuple[str, ...] = (),
    until: datetime = NOW + DAY,
) -> Exemption:
    return Exemption(
        "hook", "they are on it", until, frozenset(logins), tuple(map(path, paths)),
        frozenset(methods), tuple(map(ip_network, networks)),
    )  # fmt: skip


def peer_of(credential: Credential | None) -> PeerCertificate | Finding:
    return MISSING if credential is None else PeerCertificate.read(credential.der)


@pytest.mark.parametrize(
    ("given", "logins", "method", "where", "client", "passes"),
    [
        (exemption("ci"), (CI,), "GET", "/", "192.0.2.1", True),
        (exemption("ci"), (CI, Login("ci", "header")), "GET", "/", "192.0.2.1", True),
        (exemption("ci"), (), "GET", "/", "192.0.2.1", False),
        (exemption("ci"), (Login("alice", "basic"),), "GET", "/", "192.0.2.1", False),
        (exemption("ci"), (CI, Login("alice", "form")), "GET", "/", "192.0.2.1", False),
        (exemption("ci"), (CI, UNREADABLE), "GET", "/", "192.0.2.1", False),
        (exemption("gone"), (Login("gone", "basic"),), "GET", "/", "192.0.2.1", False),
        (exemption("nobody"), (Login("nobody", "basic"),), "GET", "/", "192.0.2.1", True),
        (exemption(paths=("/hooks/x",)), (), "GET", "/hooks/x", "192.0.2.1", True),
        (exemption(paths=("/hooks/x",)), (), "GET", "/hooks/%78", "192.0.2.1", True),
        (exemption(paths=("/hooks/x",)), (), "GET", "/hooks/x/", "192.0.2.1", False),
        (exemption(paths=("/hooks/x",)), (), "GET", "/hooks/y", "192.0.2.1", False),
        (exemption(paths=("/hooks/*",)), (), "GET", "/hooks/x/y", "192.0.2.1", True),
        (exemption(paths=("/hooks/*",)), (), "GET", "/hooks/../admin", "192.0.2.1", False),
        (exemption(paths=("/hooks/*",)), (), "GET", "/hooks/..%2fadmin", "192.0.2.1", False),
        (exemption(paths=("/hooks/*",)), (), "GET", "/hooks/x;/../../admin", "192.0.2.1", False),
        (exemption(paths=("/hooks/*",)), (), "GET", "/hooksx", "192.0.2.1", False),
        (exemption(paths=("/x",), methods=("POST",)), (), "POST", "/x", "192.0.2.1", True),
        (exemption(paths=("/x",), methods=("POST",)), (), "GET", "/x", "192.0.2.1", False),
        (exemption(networks=("192.0.2.0/24",)), (), "GET", "/", "192.0.2.1", True),
        (exemption(networks=("192.0.2.0/24",)), (), "GET", "/", "::ffff:192.0.2.1", True),
        (exemption(networks=("192.0.2.0/24",)), (), "GET", "/", "198.51.100.1", False),
        (exemption(networks=("192.0.2.0/24",)), (), "GET", "/", "", False),
        (exemption(networks=("2001:db8::/32",)), (), "GET", "/", "2001:db8::1", True),
        (exemption("ci", paths=("/x",), networks=("192.0.2.0/24",)),
         (CI,), "GET", "/x", "192.0.2.1", True),
        (exemption("ci", paths=("/x",), networks=("192.0.2.0/24",)),
         (CI,), "GET", "/x", "198.51.100.1", False),
        (exemption("ci", paths=("/x",), networks=("192.0.2.0/24",)),
         (CI,), "GET", "/y", "192.0.2.1", False),
        (exemption("ci", until=NOW), (CI,), "GET", "/", "192.0.2.1", True),
        (exemption("ci", until=NOW - DAY), (CI,), "GET", "/", "192.0.2.1", False),
    ],
)  # fmt: skip
def test_exemption_covers_requests_on_which_all_its_conditions_hold(
    given: Exemption,
    logins: tuple[Login | Finding, ...],
    method: str,
    where: str,
    client: str,
    passes: bool,  # noqa: FBT001
) -> None:
    """Without a certificate these requests pass by it, and no others."""
    snapshot = Snapshot(Policy([subscription(given)]), 1)
    request = asked(
        snapshot.policy, "acme.example", MISSING, *logins, method=method, path=where, client=client
    )
    made = snapshot.check(request, NOW)

    assert made.allowed is passes
    assert (made.exemption is given) is passes
    if passes:
        assert made.findings == ()
        assert MISSING in made.tolerated


def test_who_presents_a_good_certificate_needs_no_exemption() -> None:
    """The log tells which exemptions are still in use."""
    snapshot = Snapshot(Policy([subscription(exemption("alice"))]), 1)
    peer = peer_of(user(CA, "Alice", "alice@acme.example"))
    made = snapshot.check(asked(snapshot.policy, "acme.example", peer, Login("alice", "x")), NOW)

    assert made.allowed
    assert made.exemption is None


@pytest.mark.parametrize(("holder", "reason"), [
    ((Holder(frozenset({"alice"})),), Reason.SESSION_ACCOUNT_MISMATCH),
    (PinsUnavailable("no answer"), Reason.SESSION_UNAVAILABLE),
])  # fmt: skip
def test_exemption_does_not_excuse_another_users_session(
    holder: tuple[Holder, ...] | PinsUnavailable, reason: Reason
) -> None:
    """A stolen session is no better for coming with an exempted login."""
    snapshot = Snapshot(Policy([subscription(exemption("ci"))]), 1)
    made = snapshot.check(asked(snapshot.policy, "acme.example", MISSING, CI), NOW, holder)

    assert reason in {finding.reason for finding in made.findings}
    assert not made.allowed


def test_exemption_without_conditions_cannot_be_made() -> None:
    """It would exempt everybody."""
    with pytest.raises(ValueError, match="everybody"):
        exemption()


@pytest.mark.parametrize(
    ("required", "logins", "holders", "mode"),
    [
        (RequiredFor(frozenset({"alice"})), ("alice",), (), Mode.ENFORCE),
        (RequiredFor(frozenset({"alice"})), ("bob",), (), Mode.AUDIT),
        (RequiredFor(frozenset({"alice"})), ("nobody",), (), Mode.ENFORCE),
        (RequiredFor(frozenset({"alice"})), (), (), Mode.AUDIT),
        (RequiredFor(frozenset({"alice"})), (), ("alice",), Mode.ENFORCE),
        (RequiredFor(frozenset({"alice"})), (), ("bob",), Mode.AUDIT),
        (RequiredFor(frozenset({"alice"})), ("alice", "bob"), (), Mode.ENFORCE),
        (RequiredFor(frozenset({"eve"})), ("alice", "bob"), (), Mode.ENFORCE),
        (RequiredFor(frozenset({"alice"})), ("gone",), (), Mode.ENFORCE),
        (RequiredFor(groups=frozenset({"pilot"})), ("alice",), (), Mode.ENFORCE),
        (RequiredFor(groups=frozenset({"pilot"})), ("bob",), (), Mode.AUDIT),
        (RequiredFor(groups=frozenset({"pilot"})), (), ("alice",), Mode.ENFORCE),
    ],
)  # fmt: skip
def test_certificate_is_demanded_of_whom_the_subscription_names(
    required: RequiredFor, logins: tuple[str, ...], holders: tuple[str, ...], mode: Mode
) -> None:
    """All others are treated as in audit; where it is in doubt who it is, it is demanded."""
    snapshot = Snapshot(Policy([subscription(required_for=required)]), 1)
    claimed = [Login(login, "basic") for login in logins]
    held = tuple(Holder(frozenset({login})) for login in holders)
    made = snapshot.check(asked(snapshot.policy, "acme.example", MISSING, *claimed), NOW, held)

    assert made.mode is mode
    assert made.allowed is (mode is Mode.AUDIT)
    assert Reason.CERTIFICATE_MISSING in {finding.reason for finding in made.findings}


def test_certificate_of_a_user_of_whom_one_is_demanded_is_checked_without_a_login() -> None:
    """Who is meant is told from the certificate, too: a bad one of such a user is refused."""
    required = RequiredFor(frozenset({"alice"}))
    snapshot = Snapshot(Policy([subscription(required_for=required)]), 1)
    forged = peer_of(user(authority(name("CA")), "Alice", "alice@acme.example"))
    other = peer_of(user(authority(name("CA")), "Bob", "bob@acme.example"))

    assert not snapshot.check(asked(snapshot.policy, "acme.example", forged), NOW).allowed
    assert snapshot.check(asked(snapshot.policy, "acme.example", other), NOW).allowed


def test_unreadable_login_is_refused_while_users_are_switched_over() -> None:
    """Nobody becomes "somebody else" by being hard to read."""
    required = RequiredFor(frozenset({"alice"}))
    snapshot = Snapshot(Policy([subscription(required_for=required)]), 1)

    assert not snapshot.check(
        asked(snapshot.policy, "acme.example", MISSING, UNREADABLE), NOW
    ).allowed


def test_audit_stays_audit_for_whomever() -> None:
    """`certificate_required_for` never makes a subscription stricter than its mode."""
    required = RequiredFor(frozenset({"alice"}))
    audited = replace(subscription(required_for=required), mode=Mode.AUDIT)
    snapshot = Snapshot(Policy([audited]), 1)
    made = snapshot.check(
        asked(snapshot.policy, "acme.example", MISSING, Login("alice", "basic")), NOW
    )

    assert (made.mode, made.allowed) == (Mode.AUDIT, True)

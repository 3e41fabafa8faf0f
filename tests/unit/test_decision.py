"""The decision: what is found, and who passes."""

from datetime import UTC, datetime

import pytest

from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.demo.authority import Credential, Validity, authority, name, user
from extauthz.email import EmailAddress
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.policy import Mode, Policy, Subscription
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors, VerifiedPeer
from tests.asking import asked, decided

NOW = datetime.now(UTC)
CA = authority(name("CA"))
MISSING = Finding(Reason.CERTIFICATE_MISSING, "none")


def account(login: str, email: str) -> Account:
    address = EmailAddress.parse(email)
    assert address is not None
    return Account(login, (address,))


ACCOUNTS = Accounts([
    account("alice", "alice@acme.example"), account("bob", "bob@acme.example"),
    account("desk1", "desk@acme.example"), account("desk2", "desk@acme.example"),
])  # fmt: skip


def subscription(mode: Mode = Mode.ENFORCE, *, verify_email: bool = True) -> Subscription:
    trust = TrustAnchors([SigningCertificate.read(CA.der)])
    return Subscription("acme", ("acme.example",), trust, ACCOUNTS, mode, verify_email)


def peer_of(credential: Credential) -> PeerCertificate:
    peer = PeerCertificate.read(credential.der)
    assert isinstance(peer, PeerCertificate)
    return peer


def decision(
    credential: Credential | None, *logins: str, of: Subscription | None = None
) -> Decision:
    of = subscription() if of is None else of
    claimed = tuple(Login(login, "basic") for login in logins)
    peer = MISSING if credential is None else of.trust.verify(peer_of(credential))
    return decided(of, claimed, peer, NOW)


def issued(*emails: str) -> Credential:
    return user(CA, "U", *emails)


@pytest.mark.parametrize(("emails", "logins", "reasons", "accounts"), [
    (("alice@acme.example",), ("alice",), [], ["alice"]),
    (("alice@acme.example",), ("alice", "alice"), [], ["alice"]),
    (("alice@acme.example",), ("alice", "bob"), [Reason.LOGIN_CONFLICT], ["alice", "bob"]),
    (("alice@acme.example",), ("alice", "eve"), [Reason.LOGIN_CONFLICT], ["alice"]),
    (("alice@acme.example",), ("eve",), [Reason.ACCOUNT_UNKNOWN], []),
    (("alice@acme.example",), ("Alice",), [Reason.ACCOUNT_UNKNOWN], []),
    (("alice@acme.example",), ("bob",), [Reason.EMAIL_MISMATCH], ["bob"]),
    (("x@y.example", "alice@acme.example"), ("alice",), [], ["alice"]),
    (("not an address",), ("alice",), [Reason.EMAIL_MISMATCH], ["alice"]),
    ((), ("alice",), [Reason.EMAIL_MISSING], ["alice"]),
    ((), (), [Reason.EMAIL_MISSING], []),
    (("alice@acme.example",), (), [], ["alice"]),
    (("desk@acme.example",), (), [], ["desk1", "desk2"]),
    (("desk@acme.example",), ("desk2",), [], ["desk2"]),
    (("eve@acme.example",), (), [Reason.ACCOUNT_UNKNOWN], []),
])  # fmt: skip
def test_certificate_belongs_to_the_account_that_logs_in(
    emails: tuple[str, ...], logins: tuple[str, ...], reasons: list[Reason], accounts: list[str]
) -> None:
    """Check 3."""
    made = decision(issued(*emails), *logins)

    assert [finding.reason for finding in made.findings] == reasons
    assert sorted(a.login for a in made.accounts) == accounts
    assert made.allowed == (not reasons)


def test_login_that_cannot_be_read_is_refused() -> None:
    """It is not treated as no login."""
    malformed = Finding(Reason.LOGIN_MALFORMED, "?")
    of = subscription()
    verified = of.trust.verify(peer_of(issued("alice@acme.example")))

    assert decided(of, (malformed,), verified, NOW).findings == (malformed,)


def test_verify_email_off_leaves_all_other_checks_on() -> None:
    """No account and no email is needed, but a certificate is."""
    of = subscription(verify_email=False)

    assert decision(issued(), "nobody", of=of).allowed
    assert not decision(None, "alice", of=of).allowed
    assert not decision(user(authority(name("X")), "U"), of=of).allowed


@pytest.mark.parametrize(("mode", "allowed"), [(Mode.AUDIT, True), (Mode.ENFORCE, False)])
def test_audit_finds_what_enforce_finds_and_lets_pass(mode: Mode, allowed: bool) -> None:  # noqa: FBT001
    """The findings are the same; only what comes of them differs."""
    made = decision(None, "eve", of=subscription(mode))

    assert {f.reason for f in made.findings} == {Reason.CERTIFICATE_MISSING, Reason.ACCOUNT_UNKNOWN}
    assert made.allowed is allowed


def test_verified_peer_without_a_path_must_say_why() -> None:
    """What cannot be checked is not passed (CVE-2023-1664, Keycloak)."""
    with pytest.raises(ValueError, match="say why"):
        VerifiedPeer(peer_of(issued()), (), ())


def as_alice(
    snapshot: Snapshot, peer: PeerCertificate | Finding, host: str = "acme.example"
) -> CheckRequest:
    return asked(snapshot.policy, host, peer, Login("alice", "basic"))


def test_kept_verification_ends_with_the_certificate() -> None:
    """A verdict cache without an end (Pomerium) would pass what has expired meanwhile."""
    validity = Validity.days(-1, 1)
    peer = peer_of(user(CA, "A", "alice@acme.example", validity=validity))
    snapshot = Snapshot(Policy([subscription()]), 1)

    assert snapshot.check(as_alice(snapshot, peer), NOW).allowed
    assert snapshot.check(as_alice(snapshot, peer), validity.not_after).allowed
    late = snapshot.check(as_alice(snapshot, peer), Validity.days(2, 3).not_before)
    assert [f.reason for f in late.findings] == [Reason.CERTIFICATE_EXPIRED]
    assert snapshot.check(as_alice(snapshot, peer), NOW).allowed
    assert snapshot.verified.misses == 1


def test_certificate_that_was_seen_is_not_verified_again() -> None:
    """Neither for the same login, nor for another one, nor when it is refused."""
    snapshot = Snapshot(Policy([subscription()]), 1)
    for credential in (issued("alice@acme.example"), user(authority(name("X")), "U")):
        for login in ("alice", "bob", "alice"):
            request = asked(
                snapshot.policy, "acme.example", peer_of(credential), Login(login, "basic")
            )
            snapshot.check(request, NOW)

    assert snapshot.verified.misses == 2


def test_kept_verification_is_of_one_subscription() -> None:
    """What passes at one host is nothing at another."""
    other = Subscription("other", ("other.example",), TrustAnchors([]), ACCOUNTS)
    snapshot = Snapshot(Policy([subscription(), other]), 1)
    peer = peer_of(issued("alice@acme.example"))

    assert snapshot.check(as_alice(snapshot, peer), NOW).allowed
    assert not snapshot.check(as_alice(snapshot, peer, "other.example"), NOW).allowed


def test_chain_is_part_of_what_a_certificate_is_recognised_by() -> None:
    """CVE-2025-6037 (Vault): whole certificates are compared, with what came along."""
    credential = issued("alice@acme.example")
    bare = PeerCertificate.read(credential.der)
    chained = PeerCertificate.read(credential.der, [CA.der])

    assert bare == PeerCertificate.read(credential.der)
    assert bare != chained


def test_unknown_host_is_a_refusal_with_and_without_certificate() -> None:
    """There is no default subscription."""
    snapshot = Snapshot(Policy([subscription()]), 1)
    for peer in (MISSING, peer_of(issued("alice@acme.example"))):
        made = snapshot.check(as_alice(snapshot, peer, "nobody.example"), NOW)
        assert [f.reason for f in made.findings] == [Reason.SUBSCRIPTION_UNKNOWN]
        assert not made.allowed

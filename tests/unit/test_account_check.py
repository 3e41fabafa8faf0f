"""Check 3: whose request is it, and is the certificate that account's?"""

from datetime import UTC, datetime, timedelta

import pytest

from extauthz.accounts import Account, Accounts, Former
from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import Credential, authority, name, user
from extauthz.email import EmailAddress
from extauthz.findings import Finding, Reason
from extauthz.login import Basic, ClientCertificate, Login
from extauthz.lookup import (
    ByIdentity,
    ByLogin,
    Found,
    HttpDirectory,
    Lookup,
    LookupKey,
    Unavailable,
)
from extauthz.policy import Mode, Policy, Subscription
from extauthz.session import Holder
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import asked

NOW = datetime.now(UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CA = authority(name("CA"))
MISSING = Finding(Reason.CERTIFICATE_MISSING, "none")
DIRECTORY = HttpDirectory("http://127.0.0.1:9/")


def address(text: str) -> EmailAddress:
    parsed = EmailAddress.parse(text)
    assert parsed is not None
    return parsed


def account(login: str, *emails: str, disabled: bool = False) -> Account:
    return Account(login, tuple(map(address, emails)), is_disabled=disabled)


ALICE, BOB = account("alice", "alice@x.example", "a@x.example"), account("bob", "bob@x.example")
ACCOUNTS = Accounts([
    ALICE, BOB, account("desk1", "desk@x.example"), account("desk2", "desk@x.example"),
    account("gone", "gone@x.example", disabled=True), account("none"),
    account("old1", "old@x.example", disabled=True), account("old2", "old@x.example"),
    Account("eve", (address("eve@x.example"),), (Former(address("e.v@x.example"), NOW + DAY),)),
])  # fmt: skip


class Known:
    """Directories that know what they are told."""

    def __init__(self, **answers: Found | Unavailable) -> None:
        self.answers: dict[LookupKey, Found | Unavailable] = {}
        for text, answer in answers.items():
            self.answers[ByLogin(text)] = answer
        self.asked: list[LookupKey] = []

    def known(self, lookup: Lookup) -> Found | Unavailable | None:
        assert lookup.directory is DIRECTORY
        self.asked.append(lookup.key)
        return self.answers.get(lookup.key)


def snapshot(
    accounts: Accounts | HttpDirectory = ACCOUNTS,
    known: Known | None = None,
    *,
    verify_email: bool = True,
    by_certificate: bool = False,
    mode: Mode = Mode.ENFORCE,
) -> Snapshot:
    trust = TrustAnchors([SigningCertificate.read(CA.der)])
    login = (Basic(), ClientCertificate()) if by_certificate else (Basic(),)
    subscription = Subscription(
        "acme", ("acme.example",), trust, accounts, mode, verify_email, login=login
    )
    return Snapshot(Policy([subscription]), 1, directories=known or Known())


def reasons(
    of: Snapshot,
    emails: tuple[str, ...] | None,
    *logins: str,
    at: datetime = NOW,
    holders: tuple[Holder, ...] = (),
) -> list[Reason]:
    peer = MISSING if emails is None else PeerCertificate.read(user(CA, "U", *emails).der)
    claimed = [Login(login, "basic") for login in logins]
    made = of.check(asked(of.policy, "acme.example", peer, *claimed), at, holders)
    return [finding.reason for finding in made.findings]


@pytest.mark.parametrize(("emails", "logins", "expected"), [
    (("alice@x.example",), ("alice",), []),
    (("a@x.example",), ("alice",), []),
    (("bob@x.example", "a@x.example"), ("alice",), []),
    (("gone@x.example",), ("gone",), [Reason.ACCOUNT_DISABLED]),
    (("gone@x.example",), (), [Reason.ACCOUNT_DISABLED]),
    (("old@x.example",), (), []),
    (("old@x.example",), ("old1",), [Reason.ACCOUNT_DISABLED]),
    (("alice@x.example",), ("gone",), [Reason.EMAIL_MISMATCH, Reason.ACCOUNT_DISABLED]),
    (("alice@x.example",), ("none",), [Reason.EMAIL_MISMATCH]),
    (("e.v@x.example",), ("eve",), []),
    (("e.v@x.example",), (), []),
    (("e.v@x.example",), ("bob",), [Reason.EMAIL_MISMATCH]),
])  # fmt: skip
def test_account_may_have_several_names_or_be_disabled(
    emails: tuple[str, ...], logins: tuple[str, ...], expected: list[Reason]
) -> None:
    """Any of its names does; a disabled one is refused, whatever the certificate."""
    assert reasons(snapshot(), emails, *logins) == expected


def test_without_verify_email_a_former_name_ends_too_whatever_is_kept() -> None:
    """Then the certificate is that of an account that is disabled."""
    accounts = Accounts(
        [
            Account("moved", (), (Former(address("shared@x.example"), NOW),)),
            account("gone", "shared@x.example", disabled=True),
        ]
    )
    of = snapshot(accounts, verify_email=False)
    peer = PeerCertificate.read(user(CA, "U", "shared@x.example").der)
    request = asked(of.policy, "acme.example", peer)

    assert not of.check(request, NOW).findings
    (finding,) = of.check(request, NOW + HOUR).findings
    assert finding.reason is Reason.ACCOUNT_DISABLED


def test_what_is_kept_says_nothing_of_an_earlier_time() -> None:
    """A clock may be set back: today the address is one account's, yesterday it was two's."""
    accounts = Accounts(
        [
            Account("new", (address("shared@x.example"),)),
            Account("old", (), (Former(address("shared@x.example"), NOW - HOUR),)),
        ]
    )
    both = snapshot(accounts, by_certificate=True)

    assert reasons(both, ("shared@x.example",)) == []
    assert reasons(both, ("shared@x.example",), at=NOW - 2 * HOUR) == [Reason.LOGIN_CONFLICT]


def test_former_name_holds_until_its_day_and_not_beyond_whatever_is_kept() -> None:
    """The same request is refused as soon as the day is over."""
    of = snapshot()
    peer = PeerCertificate.read(user(CA, "U", "e.v@x.example").der)
    for login, after in (("eve", Reason.EMAIL_MISMATCH), (None, Reason.ACCOUNT_UNKNOWN)):
        claimed = () if login is None else (Login(login, "basic"),)
        request = asked(of.policy, "acme.example", peer, *claimed)
        assert not of.check(request, NOW).findings
        assert not of.check(request, NOW + DAY).findings
        late = of.check(request, NOW + DAY + timedelta(microseconds=1))
        assert [finding.reason for finding in late.findings] == [after]


@pytest.mark.parametrize(("emails", "logins", "expected"), [
    (("alice@x.example",), (), []),
    (("alice@x.example",), ("alice",), []),
    (("bob@x.example",), ("alice",), [Reason.LOGIN_CONFLICT]),
    (("desk@x.example",), (), [Reason.LOGIN_CONFLICT]),
    (("desk@x.example",), ("desk1",), [Reason.LOGIN_CONFLICT]),
    (("stranger@x.example",), ("alice",), [Reason.EMAIL_MISMATCH]),
    (("stranger@x.example",), (), [Reason.ACCOUNT_UNKNOWN]),
    ((), (), [Reason.EMAIL_MISSING]),
])  # fmt: skip
def test_certificate_can_be_the_login(
    emails: tuple[str, ...], logins: tuple[str, ...], expected: list[Reason]
) -> None:
    """Then it must name one account, and the one that any other login names."""
    assert reasons(snapshot(by_certificate=True), emails, *logins) == expected


@pytest.mark.parametrize(("known", "expected"), [
    (Known(alice=Found((ALICE,))), []),
    (Known(alice=Found(())), [Reason.ACCOUNT_UNKNOWN]),
    (Known(alice=Found((BOB,))), [Reason.EMAIL_MISMATCH]),
    (Known(alice=Found((ALICE, BOB))), [Reason.LOGIN_CONFLICT]),
    (Known(alice=Unavailable("no answer")), [Reason.DIRECTORY_UNAVAILABLE]),
    (Known(), [Reason.DIRECTORY_UNAVAILABLE]),
])  # fmt: skip
@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.AUDIT])
def test_directory_says_whose_login_it_is(known: Known, expected: list[Reason], mode: Mode) -> None:
    """What it does not say is never "no such account", and never an allow."""
    assert reasons(snapshot(DIRECTORY, known, mode=mode), ("a@x.example",), "alice") == expected


@pytest.mark.parametrize(("known", "why"), [
    (Known(alice=Unavailable("HTTP 404")), "HTTP 404"),
    (Known(), "it has not answered in time"),
])  # fmt: skip
def test_directory_that_does_not_say_is_recorded_with_its_cause(known: Known, why: str) -> None:
    """That it has not answered is said only where nothing came of the question."""
    assert details(snapshot(DIRECTORY, known)) == [f"the directory of accounts: {why}"]


@pytest.mark.parametrize(("identities", "unusable", "said"), [
    ((), ("alice",), "none (its email 'alice' is no address)"),
    ((), ("a\nb", ""), "none (its email 'a\\nb' is no address, its email '' is no address)"),
    (("b@x.example",), ("alice",), "'b@x.example' (its email 'alice' is no address)"),
])  # fmt: skip
def test_name_that_cannot_be_one_is_said(
    identities: tuple[str, ...], unusable: tuple[str, ...], said: str
) -> None:
    """Else the account would seem to have none, which is not where the mistake is."""
    found = Account("alice", tuple(map(address, identities)), unusable=unusable)
    of = snapshot(DIRECTORY, Known(alice=Found((found,))))

    assert details(of) == [f"the account has {said}, the certificate ['a@x.example']"]


def details(of: Snapshot) -> list[str]:
    """Why alice is refused with a certificate of her own."""
    peer = PeerCertificate.read(user(CA, "U", "a@x.example").der)
    made = of.check(asked(of.policy, "acme.example", peer, Login("alice", "basic")), NOW)
    assert not made.allowed
    return [finding.detail for finding in made.findings]


def test_what_a_directory_does_not_know_yet_is_handed_back_as_a_question() -> None:
    """By login where the request claims one, by the certificate's names where it does not."""
    of = snapshot(DIRECTORY)
    peer = PeerCertificate.read(user(CA, "U", "a@x.example").der)
    claiming = of.check(asked(of.policy, "acme.example", peer, Login("alice", "basic")), NOW)
    silent = of.check(asked(of.policy, "acme.example", peer), NOW)

    assert claiming.unanswered == (Lookup(DIRECTORY, ByLogin("alice")),)
    assert silent.unanswered == (Lookup(DIRECTORY, ByIdentity(address("a@x.example"))),)


@pytest.mark.parametrize(("answer", "is_asked"), [
    (Unavailable("HTTP 404", may_be_asked=True), True), (Unavailable("HTTP 404"), False),
])  # fmt: skip
def test_what_has_just_failed_is_asked_again_unless_it_is_to_be_left_alone(
    answer: Unavailable, *, is_asked: bool
) -> None:
    """Until it is answered it is refused, with the cause."""
    of = snapshot(DIRECTORY, Known(alice=answer))
    peer = PeerCertificate.read(user(CA, "U", "a@x.example").der)
    made = of.check(asked(of.policy, "acme.example", peer, Login("alice", "basic")), NOW)

    assert made.unanswered == ((Lookup(DIRECTORY, ByLogin("alice")),) if is_asked else ())
    assert [finding.detail for finding in made.findings] == ["the directory of accounts: HTTP 404"]


@pytest.mark.parametrize("certificate", [None, user(authority(name("X")), "U", "a@x.example")])
def test_who_is_refused_anyway_cannot_have_a_directory_asked(
    certificate: Credential | None,
) -> None:
    """A stranger without a good certificate makes no work for it."""
    of = snapshot(DIRECTORY)
    peer = MISSING if certificate is None else PeerCertificate.read(certificate.der)
    made = of.check(asked(of.policy, "acme.example", peer, Login("alice", "basic")), NOW)

    assert made.unanswered == ()
    assert Reason.DIRECTORY_UNAVAILABLE not in {finding.reason for finding in made.findings}
    assert not made.allowed


def test_answer_of_a_directory_that_changed_decides_anew() -> None:
    """What was worked out with the old answer is not used with the new one."""
    known = Known(alice=Found((ALICE,)))
    of = snapshot(DIRECTORY, known)
    peer = PeerCertificate.read(user(CA, "U", "a@x.example").der)
    request = asked(of.policy, "acme.example", peer, Login("alice", "basic"))

    first = of.check(request, NOW)
    assert not first.findings
    assert of.check(request, NOW) is first
    known.answers[ByLogin("alice")] = Found((account("alice", "a@x.example", disabled=True),))
    assert [f.reason for f in of.check(request, NOW).findings] == [Reason.ACCOUNT_DISABLED]
    known.answers[ByLogin("alice")] = Unavailable("gone")
    assert [f.reason for f in of.check(request, NOW).findings] == [Reason.DIRECTORY_UNAVAILABLE]


def test_two_logins_may_be_one_account_for_the_directory() -> None:
    """Whether two spellings are one login is for the directory to say."""
    found = Found((ALICE,))
    of = snapshot(DIRECTORY, Known(alice=found, Alice=found, bob=Found((BOB,)), no=Found(())))

    assert reasons(of, ("a@x.example",), "alice", "Alice") == []
    assert reasons(of, ("a@x.example",), "alice", "bob") == [Reason.LOGIN_CONFLICT]
    assert reasons(of, ("a@x.example",), "alice", "no") == [Reason.LOGIN_CONFLICT]


@pytest.mark.parametrize(("emails", "logins", "expected"), [
    (("x@x.example",), ("alice",), []),
    (("x@x.example",), ("nobody",), []),
    (("x@x.example",), ("gone",), [Reason.ACCOUNT_DISABLED]),
    (("gone@x.example",), (), [Reason.ACCOUNT_DISABLED]),
    ((), (), []),
])  # fmt: skip
def test_disabled_account_is_refused_without_verify_email_too(
    emails: tuple[str, ...], logins: tuple[str, ...], expected: list[Reason]
) -> None:
    """`verify_email: false` turns off the comparison of names, and nothing else."""
    assert reasons(snapshot(verify_email=False), emails, *logins) == expected


@pytest.mark.parametrize(("emails", "logins", "holder", "expected"), [
    (("a@x.example",), ("alice",), {"alice"}, []),
    (("a@x.example",), (), {"alice"}, []),
    (("a@x.example",), (), {"bob"}, [Reason.SESSION_ACCOUNT_MISMATCH]),
    (("a@x.example",), ("alice",), {"bob"}, [Reason.SESSION_ACCOUNT_MISMATCH]),
    (("desk@x.example",), ("desk1",), {"desk1", "desk2"}, []),
    (("desk@x.example",), ("desk1",), {"desk2"}, [Reason.SESSION_ACCOUNT_MISMATCH]),
    (None, (), {"bob"}, [Reason.CERTIFICATE_MISSING]),
])  # fmt: skip
def test_session_belongs_to_the_account_that_began_it(
    emails: tuple[str, ...] | None, logins: tuple[str, ...], holder: set[str],
    expected: list[Reason],
) -> None:  # fmt: skip
    """With another account's certificate, good as it may be, it is refused."""
    holders = (Holder(frozenset(holder)),)

    assert reasons(snapshot(), emails, *logins, holders=holders) == expected

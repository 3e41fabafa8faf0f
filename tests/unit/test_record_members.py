"""What stands in a record: its shape in every case, and nobody in it who is redacted."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from extauthz.accounts import Account, Accounts
from extauthz.ca import CaCertificate
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import undecided
from extauthz.demo.authority import Credential, Extension, Validity, authority, name, new_key
from extauthz.exemption import Exemption, RequiredFor
from extauthz.findings import Finding, Reason
from extauthz.identity import IdentityKind, parse
from extauthz.login import Login, claimed
from extauthz.lookup import NO_DIRECTORIES, AccountFile, Directories, Lookup, Unavailable
from extauthz.observe.record import NAMES_NOBODY, Entry, LineEncoder, certificate_line
from extauthz.policy import Mode, Policy, Subscription
from extauthz.records import line as records
from extauthz.records.line import CertificateRecord, CheckRecord, json_schema
from extauthz.redaction import PREFIX, Redacted, Redaction
from extauthz.rehearsal import NO_CERTIFICATE
from extauthz.requirements import Requirements
from extauthz.revocation import NO_EVIDENCE, Blocked, CrlSource, Revocation
from extauthz.session import Holder, PinsUnavailable
from extauthz.snapshot import Holders, Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors

NOW = datetime.now(UTC)
VALIDATOR = Draft202012Validator(json_schema(), format_checker=FormatChecker())
KEY = new_key()
"""Of every user: making keys is what takes time."""
ACME = authority(name("Acme CA", "Acme"), validity=Validity.days(-20, 3650))
CONSTRAINED = authority(
    name("Narrow CA", "Acme"),
    [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.NameConstraints([x509.RFC822Name("elsewhere.example")], None), True),
    ],
)
ALL = Redaction(frozenset(Redacted), b"0123456789abcdef")
PLAIN = Redaction(frozenset(), b"")


class Person(NamedTuple):
    """Somebody whose names stand nowhere else."""

    common_name: str
    unit: str
    email: str
    other_email: str
    login: str
    other_login: str
    client: str

    @property
    def subject(self) -> x509.Name:
        return x509.Name([
            x509.NameAttribute(NameOID.COMMON_NAME, self.common_name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, self.unit),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, self.email),
        ])  # fmt: skip

    @property
    def secrets(self) -> set[str]:
        whole = set(self)
        return whole | {email.partition("@")[0] for email in (self.email, self.other_email)}


ALICE = Person(
    "Alice Liddell", "Wonderland Unit", "alice.liddell@acme.example", "lid@old.example",
    "alice-login", "rabbit-login", "198.51.100.77",
)  # fmt: skip

words = st.from_regex(r"\A[a-z]{9,12}\Z")
people = st.builds(
    Person,
    words, words, words.map(lambda word: f"{word}@acme.example"),
    words.map(lambda word: f"{word}@mail.example"), words, words,
    st.integers(1, 2**16 - 1).map(lambda number: f"2001:db8::{number:x}:abcd"),
)  # fmt: skip


def signed_by(issuer: Credential, person: Person, *, expired: bool = False) -> Credential:
    return issuer.issue(
        person.subject, extensions(person), key=KEY,
        validity=Validity.days(-9, -2) if expired else None,
    )  # fmt: skip


def extensions(person: Person) -> list[Extension]:
    return [(x509.SubjectAlternativeName([x509.RFC822Name(person.email)]), False)]


def peer(credential: Credential, *above: Credential) -> PeerCertificate:
    read = PeerCertificate.read(credential.der, [each.der for each in above])
    assert isinstance(read, PeerCertificate)
    return read


def good(person: Person) -> PeerCertificate:
    return peer(signed_by(ACME, person))


def account(login: str, email: str, *, kind: IdentityKind = IdentityKind.EMAIL,
            disabled: bool = False) -> Account:  # fmt: skip
    identity = parse(kind, email)
    assert identity is not None
    return Account(login, (identity,), is_disabled=disabled)


def subscription(person: Person) -> Subscription:
    """One whose user may come in, with the certificate, the login and from the address."""
    trust = TrustAnchors([SigningCertificate.read(ACME.der, "acme.pem")])
    accounts = Accounts([account(person.login, person.email)])
    return Subscription("acme", ("acme.example",), trust, accounts, Mode.ENFORCE)


@dataclass
class Case:
    """A check, and what it depends on."""

    subscription: Subscription
    peer: PeerCertificate | Finding
    logins: tuple[Login | Finding, ...]
    holders: Holders = ()
    directories: Directories = NO_DIRECTORIES


def case(person: Person, **changes: Any) -> Case:
    """The good case, but for what a test changes; what is a setting is the subscription's."""
    settings_of = {key: changes.pop(key) for key in set(changes) - set(Case.__annotations__)}
    found = Case(
        replace(subscription(person), **settings_of), good(person), (Login(person.login, "basic"),)
    )
    return replace(found, **changes)


def trusting(*issuers: Credential, intermediates: tuple[Credential, ...] = (),
             most: int = 0) -> TrustAnchors:  # fmt: skip
    return TrustAnchors(
        [SigningCertificate.read(each.der, "acme.pem") for each in issuers],
        [CaCertificate.read(each.der) for each in intermediates],
        most,
    )


def of_stranger(person: Person) -> Case:
    """A CA that is called like the person has signed."""
    stranger = authority(person.subject, key=KEY)
    return case(person, peer=peer(signed_by(stranger, person)))


def self_signed(person: Person) -> Case:
    own = authority(person.subject, extensions(person), key=KEY)
    return case(person, peer=peer(own), trust=trusting(ACME, most=1))


def missing_intermediate(person: Person) -> Case:
    above = ACME.issue(name(person.common_name, person.unit), key=KEY)
    return case(person, peer=peer(signed_by(above, person)), trust=trusting(ACME, most=1))


def forged_below_own(person: Person) -> Case:
    """The client sends a CA certificate of its own name, which did not sign."""
    above, other = authority(person.subject, key=KEY), authority(person.subject)
    leaf = signed_by(other, person)
    sent = peer(leaf, above, authority(person.subject))
    return case(person, peer=sent, trust=trusting(ACME, most=2))


def renamed(person: Person) -> Case:
    fake = authority(ACME.certificate.subject)
    return case(person, peer=peer(signed_by(fake, person)), trust=trusting(ACME))


class Silent:
    """A directory that cannot be read, and quotes what it could not read."""

    def __init__(self, person: Person) -> None:
        self._why = f"line 3 is no account: {person.login},{person.email}"

    def known(self, lookup: Lookup) -> Unavailable:
        return Unavailable(self._why)


def two_accounts(person: Person) -> Accounts:
    return Accounts([
        account(person.login, person.email), account(person.other_login, person.other_email)
    ])  # fmt: skip


def excused(person: Person) -> Case:
    exemption = Exemption(
        "build", "a build server", NOW + timedelta(days=1), logins=frozenset({person.login}),
        networks=(ip_network(person.client),),
    )  # fmt: skip
    return replace(of_stranger(person), subscription=replace(
        subscription(person), exemptions=(exemption,)))  # fmt: skip


def blocked(person: Person) -> Case:
    sent = good(person)
    fingerprints = frozenset({sent.facts.fingerprint})
    return case(person, peer=sent, revocation=Revocation(blocked=Blocked(fingerprints)))


CASES: dict[str, tuple[set[Reason], Callable[[Person], Case]]] = {
    "allowed": (set(), case),
    "allowed without a login": (set(), lambda p: case(p, logins=())),
    "by subject": (set(), lambda p: case(
        p, identity=IdentityKind.SUBJECT, accounts=Accounts([account(
            p.login, p.subject.rfc4514_string(), kind=IdentityKind.SUBJECT)]))),
    "not checked": (set(), lambda p: case(p, mode=Mode.OFF)),
    "exempted": (set(), excused),
    "no certificate": ({Reason.CERTIFICATE_MISSING}, lambda p: case(p, peer=NO_CERTIFICATE)),
    "malformed": ({Reason.CERTIFICATE_MALFORMED}, lambda p: case(
        p, peer=Finding(Reason.CERTIFICATE_MALFORMED, f"not readable: {p.email}"))),
    "expired": ({Reason.CERTIFICATE_EXPIRED}, lambda p: case(
        p, peer=peer(signed_by(ACME, p, expired=True)))),
    "a CA called like the person": ({Reason.ISSUER_MISMATCH}, of_stranger),
    "self-signed": ({Reason.ISSUER_MISMATCH}, self_signed),
    "renamed CA": ({Reason.SIGNATURE_INVALID}, renamed),
    "forged below its own CA": ({Reason.SIGNATURE_INVALID}, forged_below_own),
    "missing intermediate": ({Reason.CHAIN_INCOMPLETE}, missing_intermediate),
    "name constraint": ({Reason.CHAIN_INVALID}, lambda p: case(
        p, peer=peer(signed_by(CONSTRAINED, p)), trust=trusting(CONSTRAINED))),
    "not for clients": ({Reason.NOT_FOR_CLIENT_AUTH, Reason.CHAIN_INVALID}, lambda p: case(
        p, peer=peer(ACME.issue(p.subject, [
            *extensions(p), (x509.BasicConstraints(ca=True, path_length=None), True)], key=KEY)))),
    "requirements": ({Reason.REQUIREMENT_NOT_MET}, lambda p: case(p, requirements=Requirements(
        organizational_units=frozenset({"Sales"}), email_domains=frozenset({"b.example"})))),
    "blocked": ({Reason.CERTIFICATE_REVOKED}, blocked),
    "no list": ({Reason.REVOCATION_UNKNOWN}, lambda p: case(
        p, revocation=Revocation(crls=(CrlSource("/nowhere"),)))),
    "tolerated": (set(), lambda p: case(
        p, revocation=Revocation(allow_unknown=True, crls=(CrlSource("/nowhere"),)))),
    "another's address": ({Reason.EMAIL_MISMATCH}, lambda p: case(
        p, accounts=Accounts([account(p.login, p.other_email)]))),
    "another's subject": ({Reason.IDENTITY_MISMATCH}, lambda p: case(
        p, identity=IdentityKind.SUBJECT, accounts=Accounts([account(
            p.login, f"CN={p.other_login}", kind=IdentityKind.SUBJECT)]))),
    "no such name": ({Reason.IDENTITY_MISSING}, lambda p: case(p, identity=IdentityKind.UPN)),
    "no account": ({Reason.ACCOUNT_UNKNOWN}, lambda p: case(p, accounts=Accounts())),
    "no account and no login": ({Reason.ACCOUNT_UNKNOWN}, lambda p: case(
        p, accounts=Accounts(), logins=())),
    "disabled": ({Reason.ACCOUNT_DISABLED}, lambda p: case(
        p, accounts=Accounts([account(p.login, p.email, disabled=True)]))),
    "two logins": ({Reason.LOGIN_CONFLICT}, lambda p: case(
        p, accounts=two_accounts(p),
        logins=(Login(p.login, "basic"), Login(p.other_login, "form")))),
    "login that cannot be read": ({Reason.LOGIN_MALFORMED}, lambda p: case(
        p, logins=(Login(p.login, "basic"), claimed(f"{p.other_login}\0", "form")))),
    "another's session": ({Reason.SESSION_ACCOUNT_MISMATCH}, lambda p: case(
        p, accounts=two_accounts(p), holders=(Holder(frozenset({p.other_login})),))),
    "nobody's session": ({Reason.SESSION_UNAVAILABLE}, lambda p: case(
        p, holders=PinsUnavailable("no answer within 0.2 s"))),
    "silent directory": ({Reason.DIRECTORY_UNAVAILABLE}, lambda p: case(
        p, accounts=AccountFile("accounts.csv", IdentityKind.EMAIL), directories=Silent(p))),
}  # fmt: skip


def line_of(person: Person, given_case: Case, redaction: Redaction) -> bytes:
    """The record of a check, as the server makes it."""
    policy = Policy([given_case.subscription])
    snapshot = Snapshot(policy, 1, NO_EVIDENCE, given_case.directories)
    request = CheckRequest(
        "acme.example", "GET", "/path", given_case.subscription, given_case.logins, (),
        given_case.peer, "id", person.client, "curl/8",
    )  # fmt: skip
    decision = snapshot.check(request, NOW, given_case.holders)
    return LineEncoder().line(Entry(decision, request, "id", 1, NOW, 0.001, redaction))


def record_of(line: bytes) -> CheckRecord:
    record = records.parse(line)
    assert isinstance(record, CheckRecord)
    return record


@pytest.mark.parametrize("which", CASES)
@pytest.mark.parametrize("redaction", [PLAIN, ALL], ids=["plain", "redacted"])
def test_every_record_has_the_shape_that_is_promised(which: str, redaction: Redaction) -> None:
    """Our own reader and the JSON Schema take it, and the case is the one that it says."""
    reasons, make = CASES[which]
    line = line_of(ALICE, make(ALICE), redaction)

    VALIDATOR.validate(json.loads(line))
    record = record_of(line)
    assert set(record.reasons) == reasons
    assert len(record.details) == len(record.reasons)
    assert record.redacted == sorted(redaction.fields)


@pytest.mark.parametrize(
    ("mode", "required", "held", "is_left_out"),
    [
        (Mode.ENFORCE, None, "enforce", False),
        (Mode.ENFORCE, ALICE.login, "enforce", False),
        (Mode.ENFORCE, "gavin", "audit", True),
        (Mode.AUDIT, "gavin", "audit", False),
        (Mode.OFF, "gavin", "off", False),
    ],
)
def test_user_who_is_left_out_is_told_from_a_subscription_in_audit(
    mode: Mode, required: str | None, held: str, *, is_left_out: bool
) -> None:
    """The record has both modes: the one that held for the user, and the subscription's own."""
    of = None if required is None else RequiredFor(frozenset({required}))
    made = case(ALICE, peer=NO_CERTIFICATE, mode=mode, required_for=of)
    record = record_of(line_of(ALICE, made, PLAIN))

    assert (record.subscription_mode, record.mode) == (mode, held)
    assert record.is_left_out is is_left_out


def test_record_without_the_subscriptions_mode_is_read() -> None:
    """The member was added to schema 1."""
    members = json.loads(line_of(ALICE, case(ALICE), PLAIN))
    del members["subscription_mode"]
    VALIDATOR.validate(members)
    assert not record_of(json.dumps(members).encode()).is_left_out


def test_cases_have_every_reason_that_says_something_of_a_person() -> None:
    """So that what is said of redaction below is said of all of them."""
    seen = frozenset[Reason]().union(*(reasons for reasons, _ in CASES.values()))

    assert set(Reason) - NAMES_NOBODY <= seen


@given(people, st.sampled_from(sorted(CASES)))
@settings(max_examples=150, deadline=None)
def test_nobody_who_is_redacted_stands_anywhere_in_the_line(person: Person, which: str) -> None:
    """No address, login, part of the subject or client, in whatever member, nor its hash's key."""
    line = line_of(person, CASES[which][1](person), ALL).decode().casefold()

    assert not [secret for secret in person.secrets if secret.casefold() in line]
    assert PREFIX in line


@pytest.mark.parametrize("which", CASES)
def test_without_redaction_the_record_says_everything(which: str) -> None:
    """No detail is held back, and the names are there: what is hidden above can be seen here."""
    line = line_of(ALICE, CASES[which][1](ALICE), PLAIN)
    record = record_of(line)

    assert None not in [*record.details, *record.tolerated_details]
    assert ALICE.client == record.client
    assert ALICE.login.encode() in line or not record.login
    if record.certificate is not None:
        assert ALICE.common_name in record.certificate.subject


@pytest.mark.parametrize(
    ("which", "hidden"),
    [(which, None) for which in (
        "malformed", "self-signed", "renamed CA", "missing intermediate", "name constraint",
        "requirements", "another's address", "no account", "disabled", "two logins",
        "another's session", "silent directory")]
    + [("no certificate", "the client presented no certificate"),
       ("login that cannot be read",
        "the login (form) is empty, too long or has control characters"),
       ("no such name", "there is no userPrincipalName in the certificate"),
       ("nobody's session", "the store of sessions: no answer within 0.2 s"),
       ("no list", "it: there is no CRL of 'O=Acme,CN=Acme CA'")],
)  # fmt: skip
def test_details_that_name_nobody_stay(which: str, hidden: str | None) -> None:
    """Who mends a policy still reads what can be said without naming anybody."""
    record = record_of(line_of(ALICE, CASES[which][1](ALICE), ALL))

    assert set(record.details) == {hidden.replace("O=Acme,CN=Acme CA", ACME_NAME) if hidden
                                   else None}  # fmt: skip


ACME_NAME = ACME.certificate.subject.rfc4514_string()


@pytest.mark.parametrize("which", ["blocked", "expired"])
def test_what_happened_to_a_certificate_is_said_by_its_serial(which: str) -> None:
    record = record_of(line_of(ALICE, CASES[which][1](ALICE), ALL))

    (detail,) = record.details
    assert detail is not None
    assert record.certificate is not None
    assert record.certificate.serial in detail or "expired at" in detail


def test_one_person_has_one_hash_in_every_line_and_member() -> None:
    """`login`, `other_logins` and `accounts` can be joined, across lines and subscriptions."""
    twice = case(ALICE, logins=(Login(ALICE.login, "basic"), Login(ALICE.login, "form")))
    first = record_of(line_of(ALICE, case(ALICE), ALL))
    second = record_of(line_of(ALICE, twice, ALL))
    refused = record_of(line_of(ALICE, of_stranger(ALICE), ALL))

    expected = ALL.of(Redacted.LOGIN, ALICE.login)
    assert {first.login, second.login, refused.login, *first.accounts} == {expected}
    assert [each.login for each in second.other_logins] == [expected]
    assert first.certificate is not None
    assert refused.certificate is not None
    assert first.certificate.names == refused.certificate.names
    assert first.client == refused.client == ALL.of(Redacted.CLIENT, ALICE.client)


@pytest.mark.parametrize(("which", "is_shown"), [
    ("allowed", True), ("renamed CA", True), ("expired", True), ("name constraint", True),
    ("self-signed", False), ("a CA called like the person", False), ("missing intermediate", False),
])  # fmt: skip
def test_issuer_is_shown_where_the_policy_knows_it(which: str, *, is_shown: bool) -> None:
    """A CA of the policy is nobody; what else a certificate claims may be anybody's name."""
    record = record_of(line_of(ALICE, CASES[which][1](ALICE), ALL))

    assert record.certificate is not None
    assert ("CA" in record.certificate.issuer) is is_shown
    assert record.certificate.issuer.startswith(PREFIX) is not is_shown


@pytest.mark.parametrize(("fields", "shown"), [
    ({Redacted.CLIENT}, {"login", "email"}), ({Redacted.LOGIN}, {"client", "email"}),
    ({Redacted.EMAIL}, {"client", "login"}),
])  # fmt: skip
def test_only_what_is_named_is_replaced(fields: set[Redacted], shown: set[str]) -> None:
    redaction = Redaction(frozenset(fields), b"0123456789abcdef")
    line = line_of(ALICE, case(ALICE), redaction).decode()
    values = {"client": ALICE.client, "login": ALICE.login, "email": ALICE.email}

    assert {what for what, value in values.items() if value in line} == shown


def test_kept_encoding_is_that_of_the_redaction_in_force() -> None:
    """A reload that turns redaction on leaves no line of before: decisions are a policy's own."""
    encoder, made = LineEncoder(), case(ALICE)
    request = CheckRequest(
        "acme.example", "GET", "/", made.subscription, made.logins, (), made.peer, "id", "192.0.2.1"
    )
    lines = []
    for redaction in (None, ALL):
        snapshot = Snapshot(Policy([made.subscription], redaction), 1)
        for _ in range(2):
            decision = snapshot.check(request, NOW)
            lines.append(encoder.line(Entry(
                decision, request, "id", 1, NOW, 0.0, snapshot.policy.redaction)))  # fmt: skip

    assert [ALICE.email.encode() in line for line in lines] == [True, True, False, False]


def test_records_of_certificates_and_of_what_could_not_be_read_have_their_shape() -> None:
    """A certificate's record is found by the id that the check's record has."""
    sent = peer(signed_by(ACME, ALICE), ACME)
    certificate = certificate_line(sent, NOW)
    unreadable = LineEncoder().line(Entry(
        undecided(Finding(Reason.REQUEST_MALFORMED, "not HTTP")), None, "", 0, NOW, 0.0
    ))  # fmt: skip
    for line in (certificate, unreadable):
        VALIDATOR.validate(json.loads(line))
    check = record_of(line_of(ALICE, case(ALICE, peer=sent), PLAIN))

    found = records.parse(certificate)
    assert isinstance(found, CertificateRecord)
    assert check.certificate is not None
    assert found.id == check.certificate.id
    assert isinstance(records.parse(unreadable), CheckRecord)

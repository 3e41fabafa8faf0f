"""Which name of a certificate is that of the account."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import (
    Credential,
    name,
    user,
)
from extauthz.findings import Reason
from extauthz.identity import DistinguishedName, IdentityKind, PrincipalName, Uri, parse
from extauthz.login import Login
from extauthz.policy import Subscription
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import decided
from tests.profiles import CA, NOW, SMTP_UTF8, UPN, other_name, reasons, san, subject


def account_check(
    kind: IdentityKind, written: str, leaf: Credential, *, login: str | None = None
) -> set[Reason]:
    identity = parse(kind, written)
    assert identity is not None, written
    trust = TrustAnchors([SigningCertificate.read(CA.der)])
    accounts = Accounts([Account("alice", (identity,))])
    subscription = Subscription("s", (), trust, accounts, identity=kind)
    peer = PeerCertificate.read(leaf.der)
    assert isinstance(peer, PeerCertificate), peer
    logins = () if login is None else (Login(login, "basic"),)
    decision = decided(subscription, logins, trust.verify(peer), NOW)
    return {finding.reason for finding in decision.findings}


def smart_card(upn: str) -> Credential:
    return CA.issue(name("A"), [san(other_name(UPN, upn))])


def workload(uri: str) -> Credential:
    return CA.issue(name("A"), [san(x509.UniformResourceIdentifier(uri))])


EMAIL, SUBJECT, URI = IdentityKind.EMAIL, IdentityKind.SUBJECT, IdentityKind.SAN_URI
KIND_UPN = IdentityKind.UPN
FULL = subject(COUNTRY_NAME="DE", ORGANIZATION_NAME="Acme, Inc.", COMMON_NAME="Alice")
MISMATCH, MISSING = Reason.IDENTITY_MISMATCH, Reason.IDENTITY_MISSING
IDENTITIES: dict[str, tuple[IdentityKind, str, Credential, set[Reason]]] = {
    "UPN": (KIND_UPN, "alice@corp.example", smart_card("alice@corp.example"), set()),
    "UPN, other case": (KIND_UPN, "alice@corp.example", smart_card("Alice@CORP.example"), set()),
    "UPN, another": (KIND_UPN, "alice@corp.example", smart_card("bob@corp.example"), {MISMATCH}),
    "UPN, none": (KIND_UPN, "a@corp.example", user(CA, "A", "a@corp.example"), {MISSING}),
    "UPN, Kelvin sign": (
        KIND_UPN, "k@corp.example", smart_card("\u212a@corp.example"), {MISMATCH}),
    "UPN with a NUL": (KIND_UPN, "a@corp.example", smart_card("a@corp.example\0"), {MISMATCH}),
    "subject": (SUBJECT, r"CN=Alice,O=Acme\, Inc.,C=DE", CA.issue(FULL), set()),
    "subject, other case and spaces": (
        SUBJECT, r"cn=ALICE, o=acme\,  inc., c=de".replace(", ", ",", 1).replace(" c=", "c="),
        CA.issue(FULL), set()),
    "subject, another order": (SUBJECT, r"C=DE,O=Acme\, Inc.,CN=Alice", CA.issue(FULL), {MISMATCH}),
    "subject, comma not escaped": (
        SUBJECT, "CN=Alice,O=Acme,C=DE", CA.issue(FULL), {MISMATCH}),
    "subject, value that looks like more": (
        SUBJECT, "CN=Alice,O=Acme", CA.issue(subject(COMMON_NAME="Alice,O=Acme")), {MISMATCH}),
    "URI": (URI, "spiffe://acme.example/Alice", workload("spiffe://acme.example/Alice"), set()),
    "URI, host in other case": (
        URI, "spiffe://acme.example/Alice", workload("SPIFFE://Acme.example/Alice"), set()),
    "URI, path in other case": (
        URI, "spiffe://acme.example/Alice", workload("spiffe://acme.example/alice"), {MISMATCH}),
    "URI, none": (URI, "spiffe://acme.example/a", user(CA, "A", "a@acme.example"), {MISSING}),
    "SmtpUTF8Mailbox": (
        EMAIL, "jörg@acme.example",
        CA.issue(name("J"), [san(other_name(SMTP_UTF8, "jörg@acme.example"))]), set()),
    "SmtpUTF8Mailbox, another": (
        EMAIL, "jorg@acme.example",
        CA.issue(name("J"), [san(other_name(SMTP_UTF8, "jörg@acme.example"))]),
        {Reason.EMAIL_MISMATCH}),
    "SmtpUTF8Mailbox beside an emailAddress": (
        EMAIL, "legacy@acme.example",
        CA.issue(name("J", email="legacy@acme.example"),
                 [san(other_name(SMTP_UTF8, "jörg@acme.example"))]), {Reason.EMAIL_MISMATCH}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "written", "leaf", "expected"), IDENTITIES.values(), ids=IDENTITIES
)
def test_account_is_matched_by_the_kind_of_name_that_the_policy_says(
    kind: IdentityKind, written: str, leaf: Credential, expected: set[Reason]
) -> None:
    assert account_check(kind, written, leaf, login="alice") == expected


def test_without_a_login_the_certificate_must_be_of_an_account() -> None:
    mine, strange = smart_card("alice@corp.example"), smart_card("bob@corp.example")
    assert account_check(KIND_UPN, "alice@corp.example", mine) == set()
    assert account_check(KIND_UPN, "alice@corp.example", strange) == {Reason.ACCOUNT_UNKNOWN}


@pytest.mark.parametrize("type_id", [UPN, SMTP_UTF8])
def test_other_name_that_is_no_text_is_malformed(type_id: x509.ObjectIdentifier) -> None:
    leaf = CA.issue(name("A"), [san(x509.OtherName(type_id, b"\x02\x01\x05"))])
    assert reasons(leaf) == {Reason.CERTIFICATE_MALFORMED}


def test_multi_valued_rdn_is_compared_without_order() -> None:
    assert DistinguishedName.parse("CN=a+OU=b,O=c") == DistinguishedName.parse("OU=b+CN=a,O=c")
    assert DistinguishedName.parse("CN=a+OU=b,O=c") != DistinguishedName.parse("CN=a,OU=b,O=c")


@pytest.mark.parametrize("text", ["", "Alice", "CN=", "CN=a,", "=a", "CN=a\x00", "XX=a"])
def test_what_is_no_distinguished_name_is_none(text: str) -> None:
    assert DistinguishedName.parse(text) is None


@pytest.mark.parametrize("text", ["", "a", "@", "a@", "@a", "a@b@c", "a b@c", "a@b\n", "a\u202e@b"])
def test_what_is_no_principal_name_is_none(text: str) -> None:
    assert PrincipalName.parse(text) is None


@pytest.mark.parametrize("text", ["", "a", "//a", ":a", "http://a b", "http://ä", "http://a\n"])
def test_what_is_no_uri_is_none(text: str) -> None:
    assert Uri.parse(text) is None


@given(st.text(max_size=40))
def test_name_of_any_text_is_itself_or_none(text: str) -> None:
    """No text raises, and what is read and written is the same name again."""
    for kind in IdentityKind:
        read = parse(kind, text)
        if read is not None:
            assert parse(kind, str(read)) == read

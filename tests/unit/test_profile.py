"""What a certificate must be and have: the profile, the requirements, the name that counts."""

from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from extauthz.accounts import Account, Accounts
from extauthz.ca import CaCertificate, UnusableError
from extauthz.certificate import PeerCertificate
from extauthz.check import Login
from extauthz.decision import decide
from extauthz.demo.authority import (
    Credential,
    Extension,
    Validity,
    authority,
    key_usage,
    name,
    user,
)
from extauthz.findings import Finding, Reason
from extauthz.identity import DistinguishedName, IdentityKind, PrincipalName, Uri, parse
from extauthz.policy import Subscription
from extauthz.requirements import Requirements
from extauthz.trust import SigningCertificate, TrustAnchors

NOW = datetime.now(UTC)
CA = authority(name("CA"))
BASIC_CA = (x509.BasicConstraints(ca=True, path_length=None), True)
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
SMTP_UTF8 = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
POLICY = x509.ObjectIdentifier("1.3.6.1.4.1.99999.2")
MARK = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")


def other_name(kind: x509.ObjectIdentifier, text: str) -> x509.OtherName:
    return x509.OtherName(kind, asn1.encode_der(text))


def san(*names: x509.GeneralName) -> Extension:
    return x509.SubjectAlternativeName(names), False


def subject(**attributes: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(getattr(NameOID, key), value) for key, value in attributes.items()]
    )


def policies(*oids: x509.ObjectIdentifier) -> Extension:
    return x509.CertificatePolicies([x509.PolicyInformation(oid, None) for oid in oids]), False


def findings(
    leaf: Credential,
    requirements: Requirements | None = None,
    *,
    issuers: tuple[Credential, ...] = (),
    anchor: Credential = CA,
) -> list[Finding]:
    intermediates = [CaCertificate.read(each.der) for each in issuers]
    trust = TrustAnchors([SigningCertificate.read(anchor.der)], intermediates, len(issuers))
    peer = PeerCertificate.read(leaf.der)
    if isinstance(peer, Finding):
        return [peer]
    subscription = Subscription(
        "s", (), trust, Accounts(), verify_email=False, requirements=requirements or Requirements()
    )
    return list(decide(subscription, (), trust.verify(peer), NOW).findings)


def reasons(leaf: Credential, requirements: Requirements | None = None) -> set[Reason]:
    return {finding.reason for finding in findings(leaf, requirements)}


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    if 128 <= size < 256:
        length = bytes([0x81, size])
    return bytes([tag]) + length + content


def with_serial(octets: str) -> Credential:
    """A certificate whose serial number is written so, which no builder would do."""
    made = CA.issue(name("A"))
    number = made.certificate.serial_number
    old = tlv(2, number.to_bytes((number.bit_length() + 8) // 8, "big"))
    # Of the header, no more than the tag, the kind of length and the length.
    body = made.certificate.tbs_certificate_bytes[3:]
    signed = tlv(0x30, body.replace(old, tlv(2, bytes.fromhex(octets))))
    assert isinstance(CA.key, ec.EllipticCurvePrivateKey)
    signature = CA.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    der = tlv(0x30, signed + algorithm + tlv(3, b"\0" + signature))
    return Credential(x509.load_der_x509_certificate(der), made.key)


@pytest.mark.parametrize("octets", ["00", "ff", "80" + 19 * "00", "0080" + 19 * "00"])
def test_serial_number_out_of_range_is_refused(octets: str) -> None:
    """RFC 5280 4.1.2.2: positive, and of at most 20 octets."""
    assert Reason.CHAIN_INVALID in reasons(with_serial(octets))


@pytest.mark.parametrize("octets", ["01", "7f" + 19 * "ff", "00ff"])
def test_serial_number_in_range_passes(octets: str) -> None:
    assert reasons(with_serial(octets)) == set()


def with_unused_bits(credential: Credential) -> bytes:
    """The same certificate, but for the count of unused bits of its signature."""
    place = len(credential.der) - len(credential.certificate.signature) - 1
    return credential.der[:place] + b"\x01" + credential.der[place + 1 :]


def test_signature_of_broken_octets_is_refused() -> None:
    """The library does not look; one certificate would have several fingerprints."""
    peer = PeerCertificate.read(with_unused_bits(user(CA, "A", "a@acme.example")))
    assert isinstance(peer, Finding)
    assert peer.reason is Reason.CERTIFICATE_MALFORMED
    with pytest.raises(UnusableError, match="not a readable certificate"):
        SigningCertificate.read(with_unused_bits(CA))


def test_any_extended_key_usage_does_only_where_the_policy_says_so() -> None:
    any_purpose = CA.issue(
        name("A"), [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)]
    )
    assert reasons(any_purpose) == {Reason.NOT_FOR_CLIENT_AUTH}
    assert reasons(any_purpose, Requirements(any_extended_key_usage=True)) == set()
    servers = CA.issue(
        name("A"), [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]
    )
    assert reasons(servers, Requirements(any_extended_key_usage=True)) == {
        Reason.NOT_FOR_CLIENT_AUTH
    }


ALICE = CA.issue(
    subject(ORGANIZATION_NAME="Acme", ORGANIZATIONAL_UNIT_NAME="Sales", COMMON_NAME="Alice"),
    [
        san(x509.RFC822Name("alice@acme.example")), policies(POLICY),
        (x509.UnrecognizedExtension(MARK, b"\x0c\x04acme"), False),
    ],
)  # fmt: skip
PLAIN = CA.issue(name("Plain"))
RSA_3072 = CA.issue(name("R"), key=rsa.generate_private_key(65537, 3072))
DSA = CA.issue(name("D"), key=dsa.generate_private_key(2048))
ED25519 = CA.issue(name("E"), key=ed25519.Ed25519PrivateKey.generate())
YEAR = CA.issue(name("Y"), validity=Validity.days(-1, 364))
TWO_DOMAINS = user(CA, "Two", "a@acme.example", "a@other.example")
SUBDOMAIN = user(CA, "Sub", "a@mail.acme.example")


def test_dsa_key_is_refused() -> None:
    assert reasons(DSA) == {Reason.WEAK_KEY}


def one_of(**given: str) -> Requirements:
    return Requirements(**{key: frozenset([value]) for key, value in given.items()})  # type: ignore[arg-type]


REQUIRED: dict[str, tuple[Credential, Requirements, str | None]] = {
    "organization": (ALICE, one_of(organizations="Acme"), None),
    "organization, another": (ALICE, one_of(organizations="ACME"), "organization: "),
    "organization, none": (PLAIN, one_of(organizations="Acme"), "organization: "),
    "unit": (ALICE, one_of(organizational_units="Sales"), None),
    "unit, another": (ALICE, one_of(organizational_units="IT"), "organizational_unit: "),
    "policy": (ALICE, one_of(certificate_policies=POLICY.dotted_string), None),
    "policy, none": (PLAIN, one_of(certificate_policies=POLICY.dotted_string),
                     "certificate_policies: "),
    "policy, any": (CA.issue(name("A"), [policies(x509.ObjectIdentifier("2.5.29.32.0"))]),
                    one_of(certificate_policies=POLICY.dotted_string), "certificate_policies: "),
    "domain": (ALICE, one_of(email_domains="acme.example"), None),
    "domain, another": (ALICE, one_of(email_domains="other.example"), "email_domains: "),
    "domain, none": (PLAIN, one_of(email_domains="acme.example"), "email_domains: "),
    "domain, one of two": (TWO_DOMAINS, one_of(email_domains="acme.example"), "email_domains: "),
    "domain below": (SUBDOMAIN, one_of(email_domains="acme.example"), "email_domains: "),
    "key P-256": (PLAIN, one_of(key_types="p-256"), None),
    "key P-256, not RSA": (PLAIN, one_of(key_types="rsa"), "key_types: its key is 'p-256'"),
    "key RSA": (RSA_3072, one_of(key_types="rsa"), None),
    "key RSA-3072": (RSA_3072, one_of(key_types="rsa-3072"), None),
    "key RSA-3072, not 4096": (RSA_3072, one_of(key_types="rsa-4096"), "key_types: "),
    "key Ed25519": (ED25519, one_of(key_types="ed25519"), None),
    "lifetime": (YEAR, Requirements(max_lifetime=timedelta(days=365)), None),
    "lifetime, too long": (YEAR, Requirements(max_lifetime=timedelta(days=364)),
                           "max_lifetime_days: it is valid for 365 days"),
    "extension": (ALICE, Requirements(extensions=MappingProxyType(
        {MARK.dotted_string: b"\x0c\x04acme"})), None),
    "extension, whatever it says": (
        ALICE, Requirements(extensions=MappingProxyType({MARK.dotted_string: None})), None),
    "extension, another value": (
        ALICE, Requirements(extensions=MappingProxyType({MARK.dotted_string: b"\x05\x00"})),
        "extensions: its extension 1.3.6.1.4.1.99999.1 is 0c0461636d65"),
    "extension, none": (
        PLAIN, Requirements(extensions=MappingProxyType({MARK.dotted_string: None})),
        "extensions: it has no extension"),
}  # fmt: skip


@pytest.mark.parametrize(("leaf", "requirements", "unmet"), REQUIRED.values(), ids=REQUIRED)
def test_requirement_is_met_or_named(
    leaf: Credential, requirements: Requirements, unmet: str | None
) -> None:
    found = findings(leaf, requirements)
    if unmet is None:
        assert found == []
    else:
        (finding,) = found
        assert finding.reason is Reason.REQUIREMENT_NOT_MET
        assert finding.detail.startswith(unmet)


def test_each_requirement_that_fails_is_a_finding_of_its_own() -> None:
    required = Requirements(
        organizations=frozenset(["X"]), key_types=frozenset(["rsa"]),
        max_lifetime=timedelta(days=1),
    )  # fmt: skip
    assert len(findings(PLAIN, required)) == 3


@pytest.mark.parametrize(
    ("above", "passes"),
    [
        ((policies(POLICY),), True),
        ((policies(x509.ObjectIdentifier("2.5.29.32.0")),), True),
        ((), False),
        ((policies(MARK),), False),
        ((policies(POLICY), (x509.PolicyConstraints(0, None), False)), False),
        (
            (
                policies(POLICY),
                (
                    x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), b"\x30\x00"),
                    False,
                ),
            ),
            False,
        ),
    ],
    ids=["asserted", "any", "none", "another", "constrained", "mapped"],
)
def test_policy_must_be_asserted_all_along_the_path(
    above: tuple[Extension, ...],
    passes: bool,  # noqa: FBT001
) -> None:
    """A sub-CA that may not issue for a policy cannot give it to its users."""
    sub = CA.issue(name("Sub"), [BASIC_CA, (key_usage("key_cert_sign"), True), *above])
    leaf = sub.issue(name("A"), [policies(POLICY)])
    required = one_of(certificate_policies=POLICY.dotted_string)
    assert bool(findings(leaf, required, issuers=(sub,))) is not passes


def constrained(
    permitted: list[x509.GeneralName] | None = None, excluded: list[x509.GeneralName] | None = None
) -> Credential:
    constraints = x509.NameConstraints(permitted, excluded)
    return authority(
        name("NC"), [BASIC_CA, (key_usage("key_cert_sign"), True), (constraints, True)]
    )


ACME_ONLY = constrained([x509.RFC822Name("acme.example")])
NOT_BANK = constrained(None, [x509.RFC822Name("bank.example")])
BELOW_ACME = constrained([x509.RFC822Name(".acme.example")])
ALICE_ONLY = constrained([x509.RFC822Name("alice@acme.example")])
SEVERAL = constrained([x509.RFC822Name(n) for n in ("a.example", "b.example", "c.example")])
UNREADABLE = constrained(None, [x509.RFC822Name("ceo@bank.example.")])
URI_ONLY = constrained([x509.UniformResourceIdentifier(".acme.example")])
UPN_ONLY = constrained([other_name(UPN, "acme.example")])


def in_subject(issuer: Credential, email: str) -> Credential:
    return issuer.issue(name("A", email=email))


CONSTRAINED: dict[str, tuple[Credential, Credential, bool]] = {
    "in the subject, permitted": (in_subject(ACME_ONLY, "a@acme.example"), ACME_ONLY, True),
    "in the subject, not permitted": (in_subject(ACME_ONLY, "a@evil.example"), ACME_ONLY, False),
    "in the subject, excluded": (in_subject(NOT_BANK, "ceo@bank.example"), NOT_BANK, False),
    "in the subject, excluded, upper case": (
        in_subject(NOT_BANK, "ceo@BANK.example"), NOT_BANK, False),
    "in the subject, trailing dot": (in_subject(NOT_BANK, "ceo@bank.example."), NOT_BANK, False),
    "in the subject, no address": (in_subject(NOT_BANK, "ceo"), NOT_BANK, False),
    "in the subject, two": (
        NOT_BANK.issue(x509.Name([
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@ok.example"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "ceo@bank.example")])), NOT_BANK, False),
    "in the subject, not permitted, beside one that is": (
        ACME_ONLY.issue(name("A", email="a@evil.example"),
                        [san(x509.RFC822Name("a@acme.example"))]), ACME_ONLY, False),
    "in the subject, host below": (
        in_subject(ACME_ONLY, "a@mail.acme.example"), ACME_ONLY, False),
    "below a domain": (in_subject(BELOW_ACME, "a@mail.acme.example"), BELOW_ACME, True),
    "below a domain, itself": (in_subject(BELOW_ACME, "a@acme.example"), BELOW_ACME, False),
    "one mailbox": (in_subject(ALICE_ONLY, "alice@acme.example"), ALICE_ONLY, True),
    "one mailbox, another": (in_subject(ALICE_ONLY, "bob@acme.example"), ALICE_ONLY, False),
    "first of several": (user(SEVERAL, "A", "x@a.example"), SEVERAL, True),
    "last of several": (in_subject(SEVERAL, "x@c.example"), SEVERAL, True),
    "none of several": (in_subject(SEVERAL, "x@d.example"), SEVERAL, False),
    "rfc822Name, not permitted": (user(ACME_ONLY, "A", "a@evil.example"), ACME_ONLY, False),
    "SmtpUTF8Mailbox, permitted": (
        ACME_ONLY.issue(name("A"), [san(other_name(SMTP_UTF8, "ö@acme.example"))]), ACME_ONLY,
        True),
    "SmtpUTF8Mailbox, not permitted": (
        ACME_ONLY.issue(name("A"), [san(other_name(SMTP_UTF8, "ö@evil.example"))]), ACME_ONLY,
        False),
    "excluded by what cannot be read": (
        in_subject(UNREADABLE, "a@acme.example"), UNREADABLE, False),
    "URI constrained, no URI": (user(URI_ONLY, "A", "a@acme.example"), URI_ONLY, True),
    "URI constrained, a URI": (
        URI_ONLY.issue(name("A"), [san(x509.UniformResourceIdentifier("https://x.acme.example/"))]),
        URI_ONLY, False),
    "UPN constrained, a UPN": (
        UPN_ONLY.issue(name("A"), [san(other_name(UPN, "a@acme.example"))]), UPN_ONLY, False),
    "UPN constrained, no UPN": (user(UPN_ONLY, "A", "a@acme.example"), UPN_ONLY, True),
}  # fmt: skip


@pytest.mark.parametrize(("leaf", "anchor", "passes"), CONSTRAINED.values(), ids=CONSTRAINED)
def test_name_constraints_hold_wherever_the_name_stands(
    leaf: Credential,
    anchor: Credential,
    passes: bool,  # noqa: FBT001
) -> None:
    """RFC 5280 4.2.1.10, RFC 9598 6; Go and Bouncy Castle let the last of these pass."""
    found = {finding.reason for finding in findings(leaf, anchor=anchor)}
    assert found == (set() if passes else {Reason.CHAIN_INVALID})


OID = x509.ObjectIdentifier
SERVER_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
ANY_PURPOSE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
POINT = x509.DistributionPoint(
    [x509.UniformResourceIdentifier("http://pki.example/")], None, None, None
)
OF_ANCHORS: dict[str, tuple[Extension, bool]] = {
    "unknown, critical": ((x509.UnrecognizedExtension(MARK, b"\x05\x00"), True), False),
    "unknown": ((x509.UnrecognizedExtension(MARK, b"\x05\x00"), False), True),
    "policyConstraints, critical": ((x509.PolicyConstraints(0, None), True), False),
    "policyConstraints": ((x509.PolicyConstraints(0, None), False), True),
    "inhibitAnyPolicy, critical": ((x509.InhibitAnyPolicy(0), True), False),
    "policyMappings, critical": (
        (x509.UnrecognizedExtension(OID("2.5.29.33"), b"\x30\x00"), True), False),
    "certificatePolicies, critical": ((policies(POLICY)[0], True), False),
    "cRLDistributionPoints, critical": ((x509.CRLDistributionPoints([POINT]), True), False),
    "subjectKeyIdentifier, critical": ((x509.SubjectKeyIdentifier(b"x" * 20), True), False),
    "extendedKeyUsage, critical": ((SERVER_AUTH, True), False),
    "extendedKeyUsage for servers": ((SERVER_AUTH, False), False),
    "extendedKeyUsage for anything": ((ANY_PURPOSE, False), True),
    "subjectAltName, critical": ((x509.SubjectAlternativeName([x509.DNSName("x")]), True), True),
    "nameConstraints": ((x509.NameConstraints([x509.DNSName("x.example")], None), False), True),
    "nameConstraints, critical": (
        (x509.NameConstraints([x509.DNSName("x.example")], None), True), True),
}  # fmt: skip


@pytest.mark.parametrize(("extension", "works"), OF_ANCHORS.values(), ids=OF_ANCHORS)
def test_signing_certificate_that_can_never_work_is_told_when_configured(
    extension: Extension,
    works: bool,  # noqa: FBT001
) -> None:
    """What is taken works: no extension is found out about by the first user who is refused."""
    anchor = authority(name("X"), [BASIC_CA, (key_usage("key_cert_sign"), True), extension])
    if works:
        assert findings(user(anchor, "A", "a@acme.example"), anchor=anchor) == []
    else:
        with pytest.raises(UnusableError):
            SigningCertificate.read(anchor.der)


def account_check(
    kind: IdentityKind, written: str, leaf: Credential, *, login: str | None = None
) -> set[Reason]:
    identity = parse(kind, written)
    assert identity is not None, written
    trust = TrustAnchors([SigningCertificate.read(CA.der)])
    accounts = Accounts([Account("alice", identity)])
    subscription = Subscription("s", (), trust, accounts, identity=kind)
    peer = PeerCertificate.read(leaf.der)
    assert isinstance(peer, PeerCertificate), peer
    logins = () if login is None else (Login(login, "basic"),)
    decision = decide(subscription, logins, trust.verify(peer), NOW)
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

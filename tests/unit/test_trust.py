"""Who issued a certificate, and why nobody did."""

import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings

from extauthz import pem
from extauthz.accounts import Accounts
from extauthz.ca import UnusableError
from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import (
    Credential,
    Extension,
    Validity,
    authority,
    key_usage,
    name,
    new_key,
    user,
)
from extauthz.findings import Finding, Reason
from extauthz.policy import Subscription
from extauthz.trust import SigningCertificate, TrustAnchors, VerifiedPeer
from tests.asking import decided
from tests.damage import damaged
from tests.profiles import tlv

NOW = datetime.now(UTC)
CA = authority(name("CA", "Acme"))
SAN = (x509.SubjectAlternativeName([x509.RFC822Name("alice@acme.example")]), False)
BASIC_CA = (x509.BasicConstraints(ca=True, path_length=None), True)


def read(credential: Credential) -> PeerCertificate:
    peer = PeerCertificate.read(credential.der)
    assert isinstance(peer, PeerCertificate), peer
    return peer


def verify(credential: Credential, *signers: Credential) -> VerifiedPeer:
    return TrustAnchors(SigningCertificate.read(s.der) for s in signers).verify(read(credential))


def reasons(verified: VerifiedPeer, now: datetime = NOW) -> set[Reason]:
    """What the whole decision finds, for a subscription that verifies no email."""
    subscription = Subscription("s", (), TrustAnchors(()), Accounts(), verify_email=False)
    return {finding.reason for finding in decided(subscription, (), verified, now).findings}


def leaf(*extensions: Extension, issuer: Credential = CA, **kwargs: object) -> Credential:
    return issuer.issue(name("Alice"), [SAN, *extensions], **kwargs)  # type: ignore[arg-type]


def constrained(
    permitted: list[str] | None = None, excluded: list[str] | None = None
) -> Credential:
    """A CA that may sign for these email domains only, or not for those."""
    subtrees = [None if s is None else [x509.RFC822Name(n) for n in s]
                for s in (permitted, excluded)]  # fmt: skip
    constraints = x509.NameConstraints(*subtrees)
    return authority(
        name("NC"), [BASIC_CA, (key_usage("key_cert_sign"), True), (constraints, True)]
    )


ROWS: dict[str, tuple[Callable[[], VerifiedPeer], set[Reason]]] = {
    "right CA": (lambda: verify(leaf(), CA), set()),
    "every extension of a user's certificate": (
        lambda: verify(user(CA, "A", "a@acme.example"), CA), set()),
    "no extension at all": (lambda: verify(CA.issue(name("A")), CA), set()),
    "another name": (lambda: verify(leaf(), authority(name("Other"))), {Reason.ISSUER_MISMATCH}),
    "no signing certificate": (lambda: verify(leaf()), {Reason.ISSUER_MISMATCH}),
    "same name, other key": (
        lambda: verify(leaf(), authority(name("CA", "Acme"))), {Reason.SIGNATURE_INVALID}),
    "same key, other name": (
        lambda: verify(leaf(), authority(name("Renamed"), key=CA.key)), {Reason.ISSUER_MISMATCH}),
    "two CAs of one name": (
        lambda: verify(leaf(), authority(name("CA", "Acme")), CA), set()),
    "key identifier of another key": (
        lambda: verify(leaf((x509.AuthorityKeyIdentifier.from_issuer_public_key(
            new_key().public_key()), False)), CA), {Reason.ISSUER_MISMATCH}),
    "issuer without key identifier": (
        lambda: verify(user(c := authority(name("C"), [BASIC_CA]), "A"), c), set()),
    "CA without key usage, as `openssl req -x509` makes it": (
        lambda: verify(leaf(issuer=(c := authority(name("C"), [BASIC_CA]))), c), set()),
    "CA with non-critical basicConstraints": (
        lambda: verify(leaf(issuer=(c := authority(name("C"), [(BASIC_CA[0], False)]))), c), set()),
    "renewed CA beside the expired one": (
        lambda: verify(leaf(), authority(name("CA", "Acme"), key=CA.key,
                                         validity=Validity.days(-9, -1)), CA), set()),
    "expired CA": (
        lambda: verify(leaf(issuer=(c := authority(name("C"), validity=Validity.days(-9, -1))),
                            validity=Validity.days(-9, 9)), c), {Reason.CERTIFICATE_EXPIRED}),
    "CA that is not valid yet": (
        lambda: verify(leaf(issuer=(c := authority(name("C"), validity=Validity.days(1, 9)))), c),
        {Reason.CERTIFICATE_NOT_YET_VALID}),
    "never valid at the same time": (
        lambda: verify(leaf(issuer=(c := authority(name("C"), validity=Validity.days(-9, -5))),
                            validity=Validity.days(-2, 9)), c),
        {Reason.CHAIN_INVALID, Reason.CERTIFICATE_EXPIRED}),
    "a leaf as CA": (
        lambda: verify(leaf(BASIC_CA), CA), {Reason.NOT_FOR_CLIENT_AUTH, Reason.CHAIN_INVALID}),
    "signed by a leaf": (lambda: verify(leaf(issuer=leaf()), CA), {Reason.ISSUER_MISMATCH}),
    "signed by an intermediate": (
        lambda: verify(leaf(issuer=CA.issue(name("Sub"), [BASIC_CA])), CA),
        {Reason.ISSUER_MISMATCH}),
    "EKU serverAuth alone": (
        lambda: verify(leaf((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)), CA),
        {Reason.NOT_FOR_CLIENT_AUTH}),
    "EKU any alone": (
        lambda: verify(leaf((x509.ExtendedKeyUsage(
            [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)), CA),
        {Reason.NOT_FOR_CLIENT_AUTH}),
    "key usage keyEncipherment alone": (
        lambda: verify(leaf((key_usage("key_encipherment"), True)), CA),
        {Reason.NOT_FOR_CLIENT_AUTH}),
    "key usage keyAgreement": (
        lambda: verify(leaf((key_usage("key_agreement"), True)), CA), set()),
    "unknown critical extension": (
        lambda: verify(leaf((x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)), CA),
        {Reason.CHAIN_INVALID}),
    "unknown extension that is not critical": (
        lambda: verify(leaf((x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), False)), CA), set()),
    "RSA-2048": (
        lambda: verify(leaf(key=rsa.generate_private_key(65537, 2048)), CA), set()),
    "RSA-1024": (
        lambda: verify(leaf(key=rsa.generate_private_key(65537, 1024)), CA), {Reason.WEAK_KEY}),
    "secp256k1": (
        lambda: verify(leaf(key=ec.generate_private_key(ec.SECP256K1())), CA), {Reason.WEAK_KEY}),
    "P-521": (lambda: verify(leaf(key=ec.generate_private_key(ec.SECP521R1())), CA), set()),
    "Ed25519": (lambda: verify(leaf(key=ed25519.Ed25519PrivateKey.generate()), CA), set()),
    "email that the CA may sign for": (
        lambda: verify(leaf(issuer=(c := constrained(["b.example", "acme.example"]))), c), set()),
    "email that the CA may not sign for": (
        lambda: verify(leaf(issuer=(c := constrained(["b.example", "c.example"]))), c),
        {Reason.CHAIN_INVALID}),
    "email that is excluded first of two": (
        lambda: verify(leaf(issuer=(c := constrained(None, ["acme.example", "b.example"]))), c),
        {Reason.CHAIN_INVALID}),
    "email that is not excluded": (
        lambda: verify(leaf(issuer=(c := constrained(None, ["b.example"]))), c), set()),
}  # fmt: skip


@pytest.mark.parametrize(("verified", "expected"), ROWS.values(), ids=ROWS.keys())
def test_certificate_is_verified_or_refused_for_this_reason(
    verified: Callable[[], VerifiedPeer], expected: set[Reason]
) -> None:
    """The rows of checks 2, 4 and 5."""
    assert reasons(verified()) == expected


def test_validity_includes_both_ends_and_not_a_moment_more() -> None:
    """RFC 5280 4.1.2.5: notBefore and notAfter are inclusive, for a kept result as well."""
    validity = Validity.days(-1, 1)
    verified = verify(leaf(validity=validity), CA)
    moment = timedelta(microseconds=1)

    assert reasons(verified, validity.not_before) == set()
    assert reasons(verified, validity.not_after) == set()
    assert reasons(verified, validity.not_before - moment) == {Reason.CERTIFICATE_NOT_YET_VALID}
    assert reasons(verified, validity.not_after + moment) == {Reason.CERTIFICATE_EXPIRED}


def test_faults_are_all_found_at_once() -> None:
    """The operator mends everything in one go."""
    bad = leaf(
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        issuer=authority(name("Other")),
        key=ec.generate_private_key(ec.SECP256K1()),
        validity=Validity.days(-9, -1),
    )
    assert reasons(verify(bad, CA)) == {
        Reason.ISSUER_MISMATCH, Reason.NOT_FOR_CLIENT_AUTH, Reason.WEAK_KEY,
        Reason.CERTIFICATE_EXPIRED,
    }  # fmt: skip


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def by_openssl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and certificates that `cryptography` would not make."""
    made = tmp_path_factory.mktemp("openssl")
    # Not the machine's own configuration, which may say anything.
    (made / "ca.cnf").write_text(
        "[req]\ndistinguished_name = name\nx509_extensions = ca\n[name]\n[ca]\n"
        "basicConstraints = critical,CA:TRUE\n"
    )
    new = ["req", "-config", "ca.cnf", "-nodes", "-newkey", "rsa:2048"]
    ca = [*new, "-x509", "-subj", "/CN=openssl CA"]
    openssl(made, *ca, "-keyout", "ca-key.pem", "-out", "ca.pem")
    openssl(made, *ca, "-sha1", "-keyout", "k.pem", "-out", "sha1-ca.pem")
    (made / "v3.cnf").write_text("subjectAltName=email:alice@acme.example\n")
    openssl(made, *new, "-new", "-subj", "/CN=Alice", "-keyout", "a.pem", "-out", "alice.csr")
    sign = ["x509", "-req", "-in", "alice.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem"]
    openssl(made, *sign, "-extfile", "v3.cnf", "-out", "good.pem")
    openssl(made, *sign, "-extfile", "v3.cnf", "-sha1", "-out", "sha1.pem")
    openssl(made, *sign, "-extfile", "v3.cnf", "-md5", "-out", "md5.pem")
    write_v1(made)
    return made


def write_v1(made: Path) -> None:
    """A certificate of version 1, as `openssl x509 -req` makes it before OpenSSL 3.2."""
    key = load_pem_private_key((made / "ca-key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    issuer = Credential(x509.load_pem_x509_certificate((made / "ca.pem").read_bytes()), key)
    signed = issuer.issue(name("Alice")).certificate.tbs_certificate_bytes
    unversioned = tlv(0x30, signed.partition(bytes.fromhex("a003020102"))[2])
    signature = key.sign(unversioned, padding.PKCS1v15(), hashes.SHA256())
    algorithm = bytes.fromhex("300d06092a864886f70d01010b0500")
    der = tlv(0x30, unversioned + algorithm + tlv(3, b"\0" + signature))
    (made / "v1.pem").write_text(ssl.DER_cert_to_PEM_cert(der))


@pytest.mark.parametrize(("file", "expected"), [
    ("good.pem", set()),
    ("sha1.pem", {Reason.WEAK_KEY, Reason.SIGNATURE_INVALID}),
    ("md5.pem", {Reason.WEAK_KEY, Reason.SIGNATURE_INVALID}),
    ("v1.pem", {Reason.CHAIN_INVALID}),
])  # fmt: skip
def test_certificates_of_openssl(by_openssl: Path, file: str, expected: set[Reason]) -> None:
    """RFC 9155 and version 1: what a modern library would not even make."""
    signer = SigningCertificate.read(der_in(by_openssl / "ca.pem"))
    peer = PeerCertificate.read(der_in(by_openssl / file))
    assert isinstance(peer, PeerCertificate)

    assert reasons(TrustAnchors([signer]).verify(peer), datetime.now(UTC)) == expected


def der_in(path: Path) -> bytes:
    (der,) = pem.certificates_only(path.read_text())
    return der


@pytest.mark.parametrize(("der", "why"), [
    (lambda _: leaf().der, "not a CA"),
    (lambda _: authority(
        name("C"), [(x509.BasicConstraints(ca=False, path_length=None), True)]).der, "not a CA"),
    (lambda _: authority(name("C"), [BASIC_CA, (key_usage("crl_sign"), True)]).der, "keyCertSign"),
    (lambda _: authority(name("C"), key=rsa.generate_private_key(65537, 1024)).der, "1024 bits"),
    (lambda _: authority(name("C"), key=ec.generate_private_key(ec.SECP256K1())).der, "secp256k1"),
    (lambda _: authority(name("C"), key=ed25519.Ed25519PrivateKey.generate()).der, "Ed25519"),
    (lambda made: der_in(made / "sha1-ca.pem"), "sha1"),
    (lambda _: b"", "readable"),
    (lambda _: CA.der + b"\x00", "readable"),
    (lambda _: CA.der[:-1], "readable"),
])  # fmt: skip
def test_certificate_that_can_never_sign_is_told_so_when_configured(
    by_openssl: Path, der: Callable[[Path], bytes], why: str
) -> None:
    """Vault 1148: a CA that could never work was accepted without a word."""
    with pytest.raises(UnusableError, match=why):
        SigningCertificate.read(der(by_openssl))


GOOD = user(CA, "Alice", "alice@acme.example")


@settings(max_examples=400)
@given(damaged(GOOD.der))
def test_changed_certificate_never_passes_and_never_raises(der: bytes) -> None:
    """Whatever bit of a good certificate is changed, it is not that certificate any more."""
    peer = PeerCertificate.read(der)
    if isinstance(peer, Finding):
        assert peer.reason is Reason.CERTIFICATE_MALFORMED
    else:
        assert reasons(TrustAnchors([SigningCertificate.read(CA.der)]).verify(peer))

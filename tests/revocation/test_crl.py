"""Which lists may be used, whose they are, and what they say."""

import pickle
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ReasonFlags
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.crl import Crl, CrlError
from extauthz.demo.authority import authority, key_usage, name, new_key
from extauthz.evidence.reading import read_large, read_lists
from tests.damage import damaged
from tests.revocation.made import HOUR, NEXT, NOW, ca, crl, entry, scope
from tests.revocation.openssl_ca import OpensslCa

ACME = authority(name("Acme CA"))
OTHER = authority(name("Other CA"))
RSA = authority(name("RSA CA"), key=rsa.generate_private_key(65537, 2048))
BASIC_CA = (x509.BasicConstraints(ca=True, path_length=None), True)
NO_CRL_SIGN = authority(name("No"), [BASIC_CA, (key_usage("key_cert_sign"), True)])
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
ISSUER = [x509.DirectoryName(name("X"))]
POINT = [x509.UniformResourceIdentifier("http://pki.example/1.crl")]
GOOD = crl(ACME, [1, 2**159 - 1])

SIGNATURE = x509.load_der_x509_crl(GOOD).signature

REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a readable CRL"),
    "garbage": (b"<html>", "not a readable CRL"),
    "certificate": (ACME.der, "not a readable CRL"),
    "cut off": (GOOD[:-1], "not a readable CRL"),
    "signature of broken octets": (
        GOOD[: -len(SIGNATURE) - 1] + b"\x01" + SIGNATURE, "not a readable CRL"),
    "followed by something": (GOOD + b"\x00", "not a readable CRL"),
    "indirect": (crl(ACME, [], scope(indirect_crl=True)), "indirect"),
    "indirect by an entry": (
        crl(ACME, [entry(1, None, (x509.CertificateIssuer(ISSUER), True))]),
        "indirect"),
    "partition": (crl(ACME, [], scope(full_name=POINT)), "one distribution point"),
    "some reasons": (
        crl(ACME, [], scope(only_some_reasons=frozenset([ReasonFlags.key_compromise]))),
        "some reasons"),
    "attribute certificates": (
        crl(ACME, [], scope(only_contains_attribute_certs=True)), "attribute certificates"),
    "unknown critical extension": (crl(ACME, [], (UNKNOWN, True)), "1.3.6.1.4.1.99999.1"),
    "unknown critical extension of an entry": (
        crl(ACME, [entry(1, None, (UNKNOWN, True))]), "1.3.6.1.4.1.99999.1"),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "why"), REFUSED.values(), ids=REFUSED)
def test_list_that_may_not_be_used_is_refused_with_the_reason(octets: bytes, why: str) -> None:
    with pytest.raises(CrlError, match=why):
        Crl.read(octets)


NOT_ITS_OWN = {
    "another name": (crl(OTHER), ACME, "issued by"),
    "another key of that name": (crl(authority(name("Acme CA"))), ACME, "did not sign"),
    "signed by another CA": (crl(ACME, signed_by=OTHER), ACME, "did not sign"),
    "signed by another kind of key": (crl(ACME, signed_by=RSA), ACME, "did not sign"),
    "key identifier of another key": (
        crl(ACME, [], (x509.AuthorityKeyIdentifier.from_issuer_public_key(new_key().public_key()),
                       False)), ACME, "authority key identifier"),
    "CA without cRLSign": (crl(NO_CRL_SIGN), NO_CRL_SIGN, "cRLSign"),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "issuer", "why"), NOT_ITS_OWN.values(), ids=NOT_ITS_OWN)
def test_list_that_is_not_the_cas_own_is_told_apart(
    octets: bytes, issuer: object, why: str
) -> None:
    """Vault, Bouncy Castle and wolfSSL believed lists that the CA had not signed."""
    fault = Crl.read(octets).fault_as_issued_by(ca(issuer))  # type: ignore[arg-type]
    assert fault is not None
    assert why in fault


@pytest.mark.parametrize("issuer", [ACME, RSA, authority(name("C"), [BASIC_CA])], ids=lambda c:
                         c.certificate.subject.rfc4514_string())  # fmt: skip
def test_list_of_the_ca_is_its_own(issuer: object) -> None:
    octets = crl(issuer)  # type: ignore[arg-type]
    assert Crl.read(octets).fault_as_issued_by(ca(issuer)) is None  # type: ignore[arg-type]


def test_list_says_since_when_and_why() -> None:
    """What a list gives as reason is what the operator reads."""
    made = Crl.read(crl(ACME, [entry(7, ReasonFlags.key_compromise), 9], number=5))
    seven, nine = made.entry(7), made.entry(9)
    assert seven is not None
    assert nine is not None
    assert (seven.revoked_at, seven.reason) == (NOW - HOUR, "keyCompromise")
    assert nine.reason == "unspecified"
    assert made.entry(8) is None
    assert (made.number, made.entries, made.next_update) == (5, 2, NEXT)


def test_list_of_one_kind_of_certificates_covers_no_other() -> None:
    users = Crl.read(crl(ACME, [], scope(only_contains_user_certs=True)))
    cas = Crl.read(crl(ACME, [], scope(only_contains_ca_certs=True)))
    assert (users.covers_users, users.covers_cas) == (True, False)
    assert (cas.covers_users, cas.covers_cas) == (False, True)


def test_delta_adds_and_never_lifts() -> None:
    delta = Crl.read(crl(
        ACME, [entry(1), entry(2, ReasonFlags.remove_from_crl)], (x509.DeltaCRLIndicator(1), True),
        number=2,
    ))  # fmt: skip
    assert delta.is_delta
    assert delta.entry(1) is not None
    assert delta.entry(2) is None


def test_weak_signature_is_refused() -> None:
    with pytest.raises(CrlError, match="signed over"):
        Crl.read(crl(RSA, hashed_with=hashes.SHA224()))


def test_lists_of_openssl_are_read(tmp_path: Path) -> None:
    """With extensions and, as `openssl ca` makes them by default, without."""
    own = OpensslCa(tmp_path / "ca")
    alice, bob = own.issue("alice"), own.issue("bob")
    own.revoke(alice)
    file = tmp_path / "crl.pem"
    for version_1 in (False, True):
        file.write_bytes(b"Explanatory text\n" + own.crl(version_1=version_1))
        (read,) = read_lists(file).lists
        assert read.fault_as_issued_by(ca(own.credential)) is None
        assert read.entry(alice.certificate.serial_number) is not None
        assert read.entry(bob.certificate.serial_number) is None


@pytest.mark.parametrize(("content", "why"), [
    (b"-----BEGIN X509 CRL-----\nAAAA", "does not end"),
    (b"-----BEGIN X509 CRL-----\n*\n-----END X509 CRL-----\n", "base64"),
    (b"\xff-----BEGIN X509 CRL-----", "neither DER nor PEM"),
    (ACME.pem.encode(), "something else"),
    (b"", "not a readable CRL"),
])  # fmt: skip
def test_file_that_holds_no_list_says_so(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "crl").write_bytes(content)
    read = read_lists(tmp_path / "crl")
    assert read.lists == ()
    (problem,) = read.problems
    assert why in problem


def test_list_that_is_wrong_takes_nothing_from_those_beside_it(tmp_path: Path) -> None:
    """A bundle with the lists of many CAs."""
    ders = [crl(ACME, [1]), crl(ACME, [], scope(indirect_crl=True)), crl(OTHER, [2])]
    pems = [x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in ders]
    (tmp_path / "bundle.pem").write_bytes(b"".join(pems))
    read = read_lists(tmp_path / "bundle.pem")
    assert [each.issuer for each in read.lists] == ["CN=Acme CA", "CN=Other CA"]
    (problem,) = read.problems
    assert "indirect" in problem


def test_large_list_of_a_stranger_is_not_looked_at(tmp_path: Path) -> None:
    """Before memory and time are spent on its entries, it is clear that they are of nobody's."""
    (tmp_path / "crl").write_bytes(crl(OTHER, [1]))
    assert read_large(tmp_path / "crl", (OTHER.der,)).problems == ()
    (problem,) = read_large(tmp_path / "crl", (ACME.der,)).problems
    assert "no CA that the policy names has signed it" in problem


SERIALS = st.integers(1, 2**159 - 1)


@settings(max_examples=60)
@given(st.sets(SERIALS, max_size=40), st.lists(SERIALS, max_size=10))
def test_look_up_finds_what_is_listed_and_nothing_else(listed: set[int], others: list[int]) -> None:
    """Whatever the serial numbers and their lengths, also after the way from a worker process."""
    read = pickle.loads(pickle.dumps(Crl.read(crl(ACME, listed))))
    assert all(read.entry(serial) is not None for serial in listed)
    assert all(read.entry(serial) is None for serial in {*others, 0, 2**160} - listed)
    assert read.fault_as_issued_by(ca(ACME)) is None


@settings(max_examples=400)
@given(damaged(GOOD))
def test_changed_list_is_never_believed_and_never_raises(octets: bytes) -> None:
    """Of whatever bit is changed, nothing but CrlError comes, and never another list."""
    try:
        read = Crl.read(octets)
    except CrlError:
        return
    original = Crl.read(GOOD)
    if read.fault_as_issued_by(ca(ACME)) is None:
        assert (read.entries, read.next_update) == (original.entries, original.next_update)
        assert read.entry(1) == original.entry(1)

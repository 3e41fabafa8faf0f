"""Against OpenSSL: whatever passes here, passes there.

Chains, lists and answers are made at random, with good and bad in any mixture, properly signed;
and they are damaged, bit by bit. OpenSSL may be more lenient, never stricter.
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as x509_ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.accounts import Accounts
from extauthz.ca import CaCertificate
from extauthz.certificate import PeerCertificate
from extauthz.crl import Crl, CrlError
from extauthz.demo.authority import (
    Credential,
    Extension,
    Validity,
    authority,
    key_usage,
    name,
    new_key,
)
from extauthz.evidence.source import Source
from extauthz.findings import Finding
from extauthz.inquiry import Answered, Inquiry, NotAnswered
from extauthz.ocsp import CertStatus, Question
from extauthz.ocsp_answer import OcspError, Terms, read_answer
from extauthz.policy import Subscription
from extauthz.revocation import CrlSource, Revocation
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import decided
from tests.damage import damaged
from tests.revocation.made import HOUR, NOW, answer, ca, crl

SOURCE = CrlSource("some")
ROOT = authority(name("Root"))
SUB_KEY, LEAF_KEY, STRANGER = new_key(), new_key(), authority(name("Stranger"))
SLOW = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


@dataclass
class OneSource:
    source: Source

    def crls(self, source: CrlSource, issuer: bytes) -> Sequence[Crl]:
        return self.source.by_issuer.get(issuer, ())

    def answered(self, inquiry: Inquiry) -> Answered | NotAnswered | None:
        return None


def passes(leaf: bytes, sub: bytes, list_: bytes | None) -> bool:
    """Whether a certificate passes, with one intermediate and perhaps one list."""
    trust = TrustAnchors([SigningCertificate.read(ROOT.der)], max_intermediates=1)
    peer = PeerCertificate.read(leaf, [sub])
    if isinstance(peer, Finding):
        return False
    verified = trust.verify(peer)
    known = {ca(ROOT), *(path.issuers[0] for path in verified.paths)}
    source = Source(SOURCE, frozenset(known))
    revocation = None
    if list_ is not None:
        revocation = Revocation(crls=(SOURCE,))
        with contextlib.suppress(CrlError):
            source.accept([Crl.read(list_)])
    subscription = Subscription(
        "s", (), trust, Accounts(), verify_email=False, revocation=revocation
    )
    return not decided(subscription, (), verified, NOW, OneSource(source)).findings


def openssl_passes(leaf: bytes, sub: bytes, list_: bytes | None) -> bool:
    with tempfile.TemporaryDirectory() as path:
        directory = Path(path)
        (directory / "root.pem").write_text(ROOT.pem)
        for file, der in (("leaf", leaf), ("sub", sub)):
            read = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
            (directory / f"{file}.pem").write_bytes(read)
        # Both judge as of one moment, however long ago it was.
        command = ["openssl", "verify", "-attime", f"{NOW.timestamp():.0f}"]
        command += ["-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "sub.pem"]
        if list_ is not None:
            pem = x509.load_der_x509_crl(list_).public_bytes(Encoding.PEM)
            (directory / "list.pem").write_bytes(pem)
            command += ["-crl_check", "-CRLfile", "list.pem"]
        done = subprocess.run(
            [*command, "leaf.pem"], cwd=directory, check=False, capture_output=True
        )
        return done.returncode == 0


VALIDITIES = st.sampled_from([
    Validity.days(-1, 30), Validity.days(-1, 30), Validity.days(-9, -1), Validity.days(1, 9),
])  # fmt: skip
EMAILS = st.sampled_from(["a@acme.example", "a@evil.example", "a@mail.acme.example"])
CONSTRAINTS = st.sampled_from([
    x509.NameConstraints([x509.RFC822Name("acme.example")], None),
    x509.NameConstraints(None, [x509.RFC822Name("evil.example")]),
    x509.NameConstraints([x509.RFC822Name(".acme.example")], None),
    x509.NameConstraints([x509.DirectoryName(name("X"))], None),
])  # fmt: skip


def maybe(extensions: st.SearchStrategy[Extension]) -> st.SearchStrategy[list[Extension]]:
    return st.lists(extensions, max_size=1)


USAGES = st.sampled_from([
    key_usage("digital_signature"), key_usage("key_agreement"), key_usage("key_encipherment"),
    key_usage("key_cert_sign"), key_usage("crl_sign"), key_usage("key_cert_sign", "crl_sign"),
])  # fmt: skip
PURPOSES = st.sampled_from([
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
])  # fmt: skip
OF_LEAF = st.tuples(
    maybe(st.tuples(st.builds(x509.BasicConstraints, st.booleans(), st.none()), st.booleans())),
    maybe(st.tuples(USAGES, st.booleans())),
    maybe(st.tuples(PURPOSES, st.booleans())),
    maybe(
        st.tuples(
            EMAILS.map(lambda e: x509.SubjectAlternativeName([x509.RFC822Name(e)])),
            st.just(value=False),
        )
    ),
    maybe(st.tuples(st.just(UNKNOWN), st.booleans())),
).map(lambda parts: [each for part in parts for each in part])
OF_SUB = st.tuples(
    st.lists(
        st.tuples(
            st.builds(x509.BasicConstraints, st.just(value=True), st.sampled_from([None, 0, 1])),
            st.just(value=True),
        ),
        min_size=0,
        max_size=1,
    ),
    maybe(st.tuples(USAGES, st.booleans())),
    maybe(st.tuples(CONSTRAINTS, st.just(value=True))),
).map(lambda parts: [each for part in parts for each in part])


@st.composite
def chains(draw: st.DrawFn) -> tuple[Credential, Credential]:
    """A leaf and the CA above it, mostly sound."""
    sound = st.just([
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (key_usage("key_cert_sign", "crl_sign"), True),
    ])  # fmt: skip
    above = draw(st.sampled_from([ROOT, ROOT, ROOT, STRANGER]))
    made = above.issue(name("Sub"), draw(st.one_of(sound, OF_SUB)), key=SUB_KEY,
                       validity=draw(VALIDITIES))  # fmt: skip
    email = draw(st.one_of(st.none(), EMAILS))
    leaf = made.issue(name("A", email=email), draw(OF_LEAF), key=LEAF_KEY,
                      validity=draw(VALIDITIES))  # fmt: skip
    return leaf, made


@SLOW
@given(chains())
def test_chain_that_passes_passes_with_openssl(chain: tuple[Credential, Credential]) -> None:
    leaf, sub = chain
    if passes(leaf.der, sub.der, None):
        assert openssl_passes(leaf.der, sub.der, None)


SOUND_SUB = ROOT.issue(name("Sub"), [
    (x509.BasicConstraints(ca=True, path_length=None), True),
    (key_usage("key_cert_sign", "crl_sign"), True),
], key=SUB_KEY)  # fmt: skip
LEAF = SOUND_SUB.issue(name("A"), [
    (x509.SubjectAlternativeName([x509.RFC822Name("a@acme.example")]), False)], key=LEAF_KEY,
)  # fmt: skip
SERIAL = LEAF.certificate.serial_number


@SLOW
@given(
    st.lists(st.sampled_from([SERIAL, 1, 2]), unique=True),
    st.sampled_from([-3, -1, 0]),
    st.sampled_from([-2, 1, 2]),
    st.sampled_from([SOUND_SUB, SOUND_SUB, ROOT, STRANGER]),
    st.sampled_from([None, None, STRANGER]),
    maybe(st.tuples(st.just(UNKNOWN), st.booleans())),
)
def test_list_that_lets_pass_does_so_with_openssl(
    serials: list[int],
    first: int,
    last: int,
    issuer: Credential,
    signer: Credential | None,
    extensions: list[Extension],
) -> None:
    if last < first:
        return
    made = crl(issuer, serials, *extensions, this_update=NOW + first * HOUR,
               next_update=NOW + last * HOUR, signed_by=signer)  # fmt: skip
    if passes(LEAF.der, SOUND_SUB.der, made):
        assert openssl_passes(LEAF.der, SOUND_SUB.der, made)


GOOD_LIST = crl(SOUND_SUB, [1])


@settings(max_examples=400, deadline=None)
@given(damaged(LEAF.der), damaged(SOUND_SUB.der), damaged(GOOD_LIST))
def test_damage_never_passes_what_openssl_refuses(leaf: bytes, sub: bytes, list_: bytes) -> None:
    """One at a time; and nothing of it raises."""
    for parts in ((leaf, SOUND_SUB.der, None), (LEAF.der, sub, None),
                  (LEAF.der, SOUND_SUB.der, list_)):  # fmt: skip
        if passes(*parts):
            assert openssl_passes(*parts)


def test_sound_chain_and_list_pass_both() -> None:
    """Otherwise all of this would say nothing."""
    assert passes(LEAF.der, SOUND_SUB.der, GOOD_LIST)
    assert openssl_passes(LEAF.der, SOUND_SUB.der, GOOD_LIST)


STATUSES = st.sampled_from(list(x509_ocsp.OCSPCertStatus))
DELEGATE = SOUND_SUB.issue(
    name("OCSP"), [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)]
)
PRETENDER = SOUND_SUB.issue(
    name("OCSP"), [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ocsp")
    (directory / "root.pem").write_text(ROOT.pem)
    (directory / "sub.pem").write_text(SOUND_SUB.pem)
    return directory


def openssl_says_good(place: Path, octets: bytes) -> bool:
    (place / "answer").write_bytes(octets)
    command = ["openssl", "ocsp", "-respin", "answer", "-issuer", "sub.pem", "-CAfile", "root.pem"]
    command += ["-verify_other", "sub.pem", "-serial", str(SERIAL), "-no_nonce"]
    done = subprocess.run(command, cwd=place, check=False, capture_output=True, text=True)
    return "Response verify OK" in done.stderr and f"{SERIAL}: good" in done.stdout


@settings(SLOW, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.sampled_from([SERIAL, SERIAL, SERIAL, 1]),
    STATUSES,
    st.sampled_from([None, None, DELEGATE, PRETENDER, STRANGER, ROOT]),
    st.sampled_from([-3, -1]),
    st.sampled_from([None, -2, 1]),
    st.booleans(),
)
def test_answer_that_is_believed_is_believed_by_openssl(
    place: Path,
    serial: int,
    status: x509_ocsp.OCSPCertStatus,
    signer: Credential | None,
    first: int,
    last: int | None,
    by_name: bool,  # noqa: FBT001
) -> None:
    # `openssl ocsp` knows no other time than the present one.
    now = datetime.now(UTC).replace(microsecond=0)
    made = answer(
        SOUND_SUB, serial, status=status, signer=signer, by_name=by_name,
        this_update=now + first * HOUR, next_update=None if last is None else now + last * HOUR,
    )  # fmt: skip
    question = Question(CaCertificate.read(SOUND_SUB.der), SERIAL)
    terms = Terms(b"", require_nonce=False, now=now, tolerance=timedelta(minutes=10), max_age=HOUR)
    try:
        said = read_answer(made, question, terms)
    except OcspError:
        return
    if said.status is CertStatus.GOOD:
        assert openssl_says_good(place, made)


@settings(max_examples=400, deadline=None)
@given(damaged(answer(SOUND_SUB, SERIAL)))
def test_damaged_answer_is_never_believed_where_openssl_does_not(
    place: Path, octets: bytes
) -> None:
    question = Question(CaCertificate.read(SOUND_SUB.der), SERIAL)
    terms = Terms(b"", require_nonce=False, now=NOW, tolerance=timedelta(minutes=10), max_age=HOUR)
    try:
        said = read_answer(octets, question, terms)
    except OcspError:
        return
    assert said.status is CertStatus.GOOD
    assert openssl_says_good(place, octets)

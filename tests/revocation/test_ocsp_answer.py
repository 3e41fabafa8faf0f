"""Which answers of a responder may be believed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings

from extauthz.demo.authority import Credential, Extension, Validity, authority, key_usage, name
from extauthz.ocsp import Answer, CertStatus, Question
from extauthz.ocsp_answer import OcspError, Terms, read_answer
from tests.damage import damaged
from tests.revocation.made import HOUR, NOW, answer, ca

ACME = authority(name("Acme CA"))
OTHER = authority(name("Other CA"))
RSA = authority(name("RSA CA"), key=rsa.generate_private_key(65537, 2048))
SERIAL = 0xA11CE
NONCE = b"n" * 32
TOLERANCE = timedelta(seconds=60)
OCSP_SIGNING = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
NO_CHECK = (x509.OCSPNoCheck(), False)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def delegate(*extensions: Extension, issuer: Credential = ACME, **kwargs: object) -> Credential:
    given = extensions or (OCSP_SIGNING, NO_CHECK)
    return issuer.issue(name("OCSP"), given, **kwargs)  # type: ignore[arg-type]


def now() -> datetime:
    """What an answer is made at cannot be told to the library: it is the present time."""
    return datetime.now(UTC).replace(microsecond=0)


def believed(
    octets: bytes,
    issuer: Credential = ACME,
    *,
    require_nonce: bool = False,
    at: datetime | None = None,
) -> Answer:
    terms = Terms(NONCE, require_nonce, at or now(), TOLERANCE, 2 * HOUR)
    return read_answer(octets, Question(ca(issuer), SERIAL), terms)


def with_unused_bits(octets: bytes) -> bytes:
    """The same answer, but for the count of unused bits of its signature."""
    place = octets.rindex(ocsp.load_der_ocsp_response(octets).signature) - 1
    return octets[:place] + b"\x01" + octets[place + 1 :]


GOOD = answer(ACME, SERIAL)
BELIEVED: dict[str, Callable[[], Answer]] = {
    "signed by the CA": lambda: believed(GOOD),
    "responder by name": lambda: believed(answer(ACME, SERIAL, by_name=True)),
    "SHA-256 certID": lambda: believed(answer(ACME, SERIAL, algorithm=hashes.SHA256())),
    "RSA": lambda: believed(answer(RSA, SERIAL), RSA),
    "RSA and SHA-256 certID": lambda: believed(
        answer(RSA, SERIAL, algorithm=hashes.SHA256()), RSA),
    "delegated": lambda: believed(answer(ACME, SERIAL, signer=delegate())),
    "delegated, by name": lambda: believed(answer(ACME, SERIAL, signer=delegate(), by_name=True)),
    "our nonce": lambda: believed(answer(ACME, SERIAL, nonce=NONCE), require_nonce=True),
    "no nextUpdate": lambda: believed(answer(ACME, SERIAL, next_update=None)),
    "nextUpdate within the tolerance": lambda: believed(
        answer(ACME, SERIAL, next_update=(end := now())), at=end + TOLERANCE),
    "thisUpdate within the tolerance": lambda: believed(
        answer(ACME, SERIAL, this_update=(begin := now() + TOLERANCE / 2)),
        at=begin - TOLERANCE),
}  # fmt: skip


@pytest.mark.parametrize("read", BELIEVED.values(), ids=BELIEVED)
def test_right_answer_is_believed(read: Callable[[], Answer]) -> None:
    assert read().status is CertStatus.GOOD


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not readable"),
    "HTML": (lambda: b"<html>", "not readable"),
    "cut off": (lambda: GOOD[:-1], "not readable"),
    "followed by something": (lambda: GOOD + b"\x00", "not readable"),
    "signature of broken octets": (lambda: with_unused_bits(GOOD), "octets|not readable"),
    "unauthorized": (lambda: ocsp.OCSPResponseBuilder.build_unsuccessful(
        ocsp.OCSPResponseStatus.UNAUTHORIZED).public_bytes(Encoding.DER), "unauthorized"),
    "try later": (lambda: ocsp.OCSPResponseBuilder.build_unsuccessful(
        ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER), "try_later"),
    "good for another serial number": (lambda: answer(ACME, SERIAL + 1), "not about"),
    "good for another CA's certificate": (
        lambda: answer(ACME, SERIAL, about=OTHER), "not about"),
    "certID over SHA-512": (
        lambda: answer(ACME, SERIAL, algorithm=hashes.SHA512()), "not about"),
    "signed by another CA": (lambda: answer(ACME, SERIAL, signer=OTHER), "not the CA's"),
    "signed by another CA, no certificate": (
        lambda: answer(ACME, SERIAL, signer=OTHER, with_certificate=False), "nobody"),
    "signed by another key of that name": (
        lambda: answer(ACME, SERIAL, signer=authority(name("Acme CA")), by_name=True,
                       with_certificate=False), "does not verify"),
    "delegate of another CA": (
        lambda: answer(ACME, SERIAL, signer=delegate(issuer=OTHER)), "not the CA's"),
    "a user of the same CA": (
        lambda: answer(ACME, SERIAL, signer=delegate(
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False))),
        "not for OCSP signing"),
    "delegate without extended key usage": (
        lambda: answer(ACME, SERIAL, signer=delegate(NO_CHECK)), "not for OCSP signing"),
    "delegate that has expired": (
        lambda: answer(ACME, SERIAL, signer=delegate(validity=Validity.days(-9, -1))),
        "not valid today"),
    "delegate that is not valid yet": (
        lambda: answer(ACME, SERIAL, signer=delegate(validity=Validity.days(1, 9))),
        "not valid today"),
    "delegate without digitalSignature": (
        lambda: answer(ACME, SERIAL, signer=delegate(
            OCSP_SIGNING, (key_usage("key_agreement"), True))), "digitalSignature"),
    "delegate with an unknown critical extension": (
        lambda: answer(ACME, SERIAL, signer=delegate(OCSP_SIGNING, (UNKNOWN, True))), "1.3.6.1.4"),
    "delegate with a weak key": (
        lambda: answer(ACME, SERIAL, signer=delegate(key=rsa.generate_private_key(65537, 1024))),
        "weak"),
    "delegate on another curve": (
        lambda: answer(ACME, SERIAL, signer=delegate(key=ec.generate_private_key(ec.SECP256K1()))),
        "weak"),
    "stale": (lambda: answer(ACME, SERIAL, this_update=NOW - 3 * HOUR,
                             next_update=NOW - 2 * HOUR), "stale"),
    "old, without nextUpdate": (
        lambda: answer(ACME, SERIAL, this_update=NOW - 3 * HOUR, next_update=None), "stale"),
    "of the future": (lambda: answer(ACME, SERIAL, this_update=now() + HOUR), "in the future"),
    "nextUpdate before thisUpdate": (
        lambda: answer(ACME, SERIAL, this_update=NOW, next_update=NOW - HOUR), "before"),
    "nonce of another request": (lambda: answer(ACME, SERIAL, nonce=b"x" * 32), "nonce"),
    "unknown critical extension": (
        lambda: answer(ACME, SERIAL, extensions=[(UNKNOWN, True)]), "1.3.6.1.4.1.99999.1"),
    "signature over SHA-224": (
        lambda: answer(ACME, SERIAL, hashed_with=hashes.SHA224()), "signed over"),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "why"), REFUSED.values(), ids=REFUSED)
def test_wrong_answer_is_refused_with_the_reason(octets: Callable[[], bytes], why: str) -> None:
    """Bouncy Castle took "good" for another serial number; each row is a way to be fooled."""
    with pytest.raises(OcspError, match=why):
        believed(octets())


def test_nonce_is_demanded_where_the_policy_says_so() -> None:
    with pytest.raises(OcspError, match="no nonce"):
        believed(GOOD, require_nonce=True)


def test_status_is_what_the_responder_says() -> None:
    revoked = believed(answer(ACME, SERIAL, status=ocsp.OCSPCertStatus.REVOKED))
    unknown = believed(answer(ACME, SERIAL, status=ocsp.OCSPCertStatus.UNKNOWN))
    assert (revoked.status, revoked.revoked_at, revoked.reason) == (
        CertStatus.REVOKED, NOW - HOUR, "keyCompromise",
    )  # fmt: skip
    assert unknown.status is CertStatus.UNKNOWN


def test_delegate_that_could_be_revoked_is_named() -> None:
    """RFC 6960 4.2.2.2.1: without id-pkix-ocsp-nocheck its own revocation counts."""
    checked, unchecked = delegate(OCSP_SIGNING), delegate()
    assert believed(answer(ACME, SERIAL, signer=checked)).delegate == (
        checked.certificate.serial_number
    )
    assert believed(answer(ACME, SERIAL, signer=unchecked)).delegate is None
    assert believed(GOOD).delegate is None


@settings(max_examples=400)
@given(damaged(GOOD))
def test_changed_answer_says_nothing_else_and_never_raises(octets: bytes) -> None:
    try:
        said = believed(octets)
    except OcspError:
        return
    assert said == believed(GOOD)

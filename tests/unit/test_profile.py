"""What every certificate must be, whatever the policy says."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from extauthz.ca import UnusableError
from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import (
    Credential,
    Extension,
    authority,
    key_usage,
    name,
    user,
)
from extauthz.findings import Finding, Reason
from extauthz.requirements import Requirements
from extauthz.trust import SigningCertificate
from tests.profiles import BASIC_CA, CA, MARK, POLICY, findings, policies, reasons, tlv


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


DSA = CA.issue(name("D"), key=dsa.generate_private_key(2048))


def test_dsa_key_is_refused() -> None:
    assert reasons(DSA) == {Reason.WEAK_KEY}


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

"""Certificates of any profile, and what is found against them."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.oid import NameOID

from extauthz.accounts import Accounts
from extauthz.ca import CaCertificate
from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import (
    Credential,
    Extension,
    authority,
    name,
)
from extauthz.findings import Finding, Reason
from extauthz.policy import Subscription
from extauthz.requirements import Requirements
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import decided

NOW = datetime.now(UTC)
CA = authority(name("CA"))
BASIC_CA = (x509.BasicConstraints(ca=True, path_length=None), True)
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
SMTP_UTF8 = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
POLICY = x509.ObjectIdentifier("1.3.6.1.4.1.99999.2")
MARK = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")


def tlv(tag: int, content: bytes) -> bytes:
    """An element of DER, of less than 64 KiB."""
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    if 128 <= size < 256:
        length = bytes([0x81, size])
    return bytes([tag]) + length + content


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
    return list(decided(subscription, (), trust.verify(peer), NOW).findings)


def reasons(leaf: Credential, requirements: Requirements | None = None) -> set[Reason]:
    return {finding.reason for finding in findings(leaf, requirements)}

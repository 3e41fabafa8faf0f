"""Is a peer certificate issued by one of the subscription's signing certificates?

Path validation is `cryptography.x509.verification`'s. What is ours is which paths it is asked
about (`paths`), what it leaves out (`name_constraints`), and to say precisely why there is none.

The result does not depend on the time of day. Every path carries the window in which all its
certificates are valid; the decision holds the clock against that window at each check. So a
result may be kept as long as its policy is, and still never outlives a certificate. Whether a
certificate is revoked is asked anew at each check, for the same reason (`revocation`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from extauthz import name_constraints
from extauthz.ca import CaCertificate, UnusableError
from extauthz.certificate import CLIENT_PURPOSES, CertificateFacts, PeerCertificate, responders
from extauthz.findings import Finding, Reason
from extauthz.paths import Builder, DeadEnd, Route, is_signed_by

__all__ = ["Link", "Path", "SigningCertificate", "TrustAnchors", "VerifiedPeer"]


@dataclass(frozen=True, slots=True)
class SigningCertificate:
    """A CA certificate that a subscription handed in: an RFC 5280 6.1.1 (d) trust anchor.

    It may be a root or an intermediate; a path ends at it either way.
    """

    label: str
    """How the operator calls it in the log and in metrics: the file that it stands in."""
    ca: CaCertificate
    validation: PolicyBuilder = field(repr=False, compare=False)
    """Path validation that ends at this certificate and at no other."""

    @classmethod
    def read(cls, der: bytes, label: str = "") -> Self:
        """Read a signing certificate.

        Raises UnusableError as `CaCertificate.read` does, and for extensions with which no path
        validation could ever succeed.
        """
        ca = CaCertificate.read(der)
        why = name_constraints.never_satisfiable(ca) or _never_processed(ca)
        if why is not None:
            raise UnusableError(why)
        validation = (
            PolicyBuilder()
            .store(Store([ca.parsed]))
            .extension_policies(ca_policy=_CA_EXTENSIONS, ee_policy=_PEER_EXTENSIONS)
        )
        return cls(label, ca, validation)

    @property
    def facts(self) -> CertificateFacts:
        return self.ca.facts


@dataclass(frozen=True, slots=True)
class Link:
    """One certificate of a path and the CA that issued it: what revocation is asked about."""

    certificate: x509.Certificate = field(repr=False)
    serial: int
    issuer: CaCertificate
    is_ca: bool
    responders: tuple[str, ...]
    """URLs of OCSP responders that the certificate names (RFC 5280 4.2.2.1); nobody's word yet."""


@dataclass(frozen=True, slots=True)
class Path:
    """A certification path, from the peer certificate to one signing certificate."""

    signing_certificate: SigningCertificate
    links: tuple[Link, ...]
    """From the peer certificate upwards, without the signing certificate itself."""
    not_before: datetime
    """From when on every certificate of the path is valid."""
    not_after: datetime
    """Until when, itself included. Before `not_before` when they are never valid together."""
    fault: Finding | None
    """What path validation found, whatever the time."""

    @property
    def issuers(self) -> tuple[CaCertificate, ...]:
        """The CAs of the path, from the peer certificate's issuer to the signing certificate."""
        return tuple(link.issuer for link in self.links)


@dataclass(frozen=True, slots=True)
class VerifiedPeer:
    """A peer certificate and all that can be said of it under one policy, whatever the time."""

    certificate: PeerCertificate
    paths: tuple[Path, ...]
    """The ways to a signing certificate whose signatures hold."""
    faults: tuple[Finding, ...]
    """What is wrong on every path: without any path, why there is none."""

    def __post_init__(self) -> None:
        if not self.paths and not self.faults:
            message = "a peer certificate without a path must say why"
            raise ValueError(message)


class TrustAnchors:
    """The signing certificates of one subscription, and how a path may lead to them."""

    def __init__(
        self,
        signing_certificates: Iterable[SigningCertificate],
        intermediates: Iterable[CaCertificate] = (),
        max_intermediates: int = 0,
    ) -> None:
        self.signing_certificates = tuple(signing_certificates)
        self.intermediates = tuple(intermediates)
        """CA certificates that clients may fail to send. They are not trusted by themselves."""
        self.max_intermediates = max_intermediates
        self._builder = Builder(
            (signing.ca for signing in self.signing_certificates),
            self.intermediates,
            max_intermediates,
        )
        self._by_ca = {signing.ca: signing for signing in self.signing_certificates}

    @property
    def authorities(self) -> tuple[CaCertificate, ...]:
        """Every CA that the policy names: whose CRLs can be told from anybody's."""
        return (*self._by_ca, *self.intermediates)

    def verify(self, peer: PeerCertificate) -> VerifiedPeer:
        """Find the paths from a peer certificate to the signing certificates.

        Each issuer must have the name, the key identifier where both state one, and the key.
        """
        found = self._builder.build(peer)
        dead_ends = list(found.dead_ends)
        paths: list[Path] = []
        for route in found.routes:
            path = _path(self._by_ca[route.anchor], route, peer)
            # Validation checks the signatures. Only where it fails, whose they are matters.
            if path.fault is not None and (unsigned := _unsigned(path)) is not None:
                dead_ends.append((DeadEnd.WRONG_SIGNATURE, unsigned))
            else:
                paths.append(path)
        if paths:
            return VerifiedPeer(peer, tuple(paths), peer.faults)
        _, why = min(dead_ends, key=lambda end: end[0])
        return VerifiedPeer(peer, (), (why, *peer.faults))


def _path(anchor: SigningCertificate, route: Route, peer: PeerCertificate) -> Path:
    above = (*route.intermediates, anchor.ca)
    facts = (peer.facts, *(ca.facts for ca in above))
    certificates = (peer.parsed, *(ca.parsed for ca in above))
    links = tuple(
        Link(
            certificate, certificate.serial_number, issuer,
            is_ca=certificate is not peer.parsed, responders=responders(certificate),
        )
        for certificate, issuer in zip(certificates, above, strict=False)
    )  # fmt: skip
    not_before = max(fact.not_before for fact in facts)
    not_after = min(fact.not_after for fact in facts)
    if not_after < not_before:
        detail = "the certificate and its issuers are never valid at the same time"
        fault: Finding | None = Finding(Reason.CHAIN_INVALID, detail)
    else:
        fault = _fault(anchor, route.intermediates, peer, not_after)
    return Path(anchor, links, not_before, not_after, fault)


def _fault(
    anchor: SigningCertificate,
    intermediates: Sequence[CaCertificate],
    peer: PeerCertificate,
    at: datetime,
) -> Finding | None:
    """Validate the path as of an instant at which its certificates are all valid."""
    validation = anchor.validation.max_chain_depth(len(intermediates)).time(at)
    try:
        validation.build_client_verifier().verify(peer.parsed, [ca.parsed for ca in intermediates])
    except VerificationError as error:
        return Finding(Reason.CHAIN_INVALID, str(error))
    violation = name_constraints.violation(peer, (*intermediates, anchor.ca))
    return None if violation is None else Finding(Reason.CHAIN_INVALID, violation)


def _unsigned(path: Path) -> Finding | None:
    """The first certificate of the path that its issuer's key did not sign."""
    for link in path.links:
        if not is_signed_by(link.certificate, link.issuer):
            whose = "the certificate's signature"
            if link.is_ca:
                whose = f"the signature of {link.certificate.subject.rfc4514_string()!r}"
            detail = f"the key of {link.issuer.facts.subject!r} did not make {whose}"
            return Finding(Reason.SIGNATURE_INVALID, detail)
    return None


def _never_processed(ca: CaCertificate) -> str | None:
    """An extension for which path validation refuses everything that the CA signs."""
    for each in ca.parsed.extensions:
        if each.critical and not isinstance(each.value, _PROCESSED_WHERE_CRITICAL):
            oid = each.oid.dotted_string
            return f"it has the critical extension {oid}, which is not supported"
        if isinstance(each.value, x509.ExtendedKeyUsage) and not CLIENT_PURPOSES & set(each.value):
            return "its extended key usage lacks clientAuth"
    return None


def _must_sign_certificates(
    _policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        message = "a CA certificate's key usage lacks keyCertSign"
        raise ValueError(message)


_PROCESSED_WHERE_CRITICAL = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.NameConstraints,
    x509.SubjectAlternativeName,
)
"""What a CA certificate may have as critical. The library refuses all else, as tests hold."""

# The WebPKI profile is for certificates of public CAs. What is relaxed here is what the CAs of
# companies leave out and RFC 5280 6.1 does not ask of a validator:
# - subjectAltName, extendedKeyUsage and authorityKeyIdentifier may be missing from a user's
#   certificate. Where they are present, `certificate` and `TrustAnchors.verify` look at them.
# - keyUsage may be missing from a CA certificate: `openssl req -x509` makes such ones. Where it
#   is present it must have keyCertSign.
# - basicConstraints of a CA may be non-critical, as OpenSSL 1.0 and Active Directory wrote them.
#   They must be there, and must say CA:TRUE.
# All else stays: critical extensions that nobody processes are refused, key and signature
# algorithms are those of the WebPKI, name constraints are applied, and those of a kind that the
# library cannot apply are refused.
_CA_EXTENSIONS = (
    ExtensionPolicy.webpki_defaults_ca()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _must_sign_certificates)
)
_PEER_EXTENSIONS = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
)

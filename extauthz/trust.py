"""Is a peer certificate issued by one of the subscription's signing certificates?

Path validation is `cryptography.x509.verification`'s. What is ours is which signing certificate
it is asked about, and to say precisely why there is none.

The result does not depend on the time of day. Every path carries the window in which all its
certificates are valid; the decision holds the clock against that window at each check. So a
result may be kept as long as its policy is, and still never outlives a certificate.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from extauthz.certificate import CertificateFacts, PeerCertificate, key_weakness
from extauthz.findings import Finding, Reason

__all__ = ["Path", "SigningCertificate", "TrustAnchors", "UnusableError", "VerifiedPeer"]


class UnusableError(ValueError):
    """A certificate can never work as a signing certificate; the message says why."""


@dataclass(frozen=True, slots=True)
class SigningCertificate:
    """A CA certificate that a subscription handed in: an RFC 5280 6.1.1 (d) trust anchor."""

    facts: CertificateFacts
    subject: x509.Name = field(repr=False)
    key_identifier: bytes | None
    parsed: x509.Certificate = field(repr=False, compare=False)
    paths: PolicyBuilder = field(repr=False, compare=False)
    """Path validation that ends at this certificate and at no other."""

    @classmethod
    def read(cls, der: bytes) -> Self:
        """Read a signing certificate.

        Raises UnusableError for what can never sign a certificate that is accepted: a structure
        that cannot be read, no CA, a key usage without keyCertSign, a weak key. Its validity
        period is left to each check.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
            _refuse_unless_ca(certificate)
            return cls(
                facts=CertificateFacts.of(certificate, der),
                subject=certificate.subject,
                key_identifier=_key_identifier(certificate),
                parsed=certificate,
                paths=PolicyBuilder()
                .store(Store([certificate]))
                .max_chain_depth(0)
                .extension_policies(ca_policy=_CA_EXTENSIONS, ee_policy=_PEER_EXTENSIONS),
            )
        except UnusableError:
            raise
        except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
            message = f"it is not a readable certificate: {error}"
            raise UnusableError(message) from error


@dataclass(frozen=True, slots=True)
class Path:
    """A certification path, from the peer certificate to one signing certificate."""

    signing_certificate: SigningCertificate
    not_before: datetime
    """From when on every certificate of the path is valid."""
    not_after: datetime
    """Until when, itself included. Before `not_before` when they are never valid together."""
    fault: Finding | None
    """What path validation found, whatever the time."""


@dataclass(frozen=True, slots=True)
class VerifiedPeer:
    """A peer certificate and all that can be said of it under one policy, whatever the time."""

    certificate: PeerCertificate
    paths: tuple[Path, ...]
    """The ways to a signing certificate whose signature is on the certificate."""
    faults: tuple[Finding, ...]
    """What is wrong on every path: without any path, why there is none."""

    def __post_init__(self) -> None:
        if not self.paths and not self.faults:
            message = "a peer certificate without a path must say why"
            raise ValueError(message)


class TrustAnchors:
    """The signing certificates of one subscription."""

    def __init__(self, signing_certificates: Iterable[SigningCertificate]) -> None:
        self.signing_certificates = tuple(signing_certificates)

    def verify(self, peer: PeerCertificate) -> VerifiedPeer:
        """Find the signing certificate that issued the peer certificate directly.

        The issuer must have the name, the key identifier where both state one, and the key.
        """
        named = [
            anchor for anchor in self.signing_certificates if anchor.subject == peer.parsed.issuer
        ]
        if not named:
            known = " or ".join(sorted(a.facts.subject for a in self.signing_certificates))
            detail = f"issued by {peer.facts.issuer!r}; the subscription's signers are {known!r}"
            return _without_path(peer, Reason.ISSUER_MISMATCH, detail)
        # Path validation checks the signature. Only where it fails, whose signature it is matters.
        tried = [_path(anchor, peer) for anchor in named]
        signed = [
            path for path in tried if path.fault is None or _signed(path.signing_certificate, peer)
        ]
        if not signed:
            detail = f"the key of {peer.facts.issuer!r} did not make the certificate's signature"
            return _without_path(peer, Reason.SIGNATURE_INVALID, detail)
        paths = tuple(path for path in signed if _identifies(path.signing_certificate, peer))
        if not paths:
            detail = "the certificate's authority key identifier is not that of its issuer"
            return _without_path(peer, Reason.ISSUER_MISMATCH, detail)
        return VerifiedPeer(peer, paths, peer.faults)


def _without_path(peer: PeerCertificate, reason: Reason, detail: str) -> VerifiedPeer:
    return VerifiedPeer(peer, (), (Finding(reason, detail), *peer.faults))


def _signed(anchor: SigningCertificate, peer: PeerCertificate) -> bool:
    try:
        peer.parsed.verify_directly_issued_by(anchor.parsed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _identifies(anchor: SigningCertificate, peer: PeerCertificate) -> bool:
    claimed = peer.authority_key_identifier
    return claimed is None or anchor.key_identifier is None or claimed == anchor.key_identifier


def _path(anchor: SigningCertificate, peer: PeerCertificate) -> Path:
    not_before = max(anchor.facts.not_before, peer.facts.not_before)
    not_after = min(anchor.facts.not_after, peer.facts.not_after)
    return Path(anchor, not_before, not_after, _fault(anchor, peer, not_before, not_after))


def _fault(
    anchor: SigningCertificate, peer: PeerCertificate, not_before: datetime, not_after: datetime
) -> Finding | None:
    """Validate the path as of the last instant at which its certificates are all valid."""
    if not_after < not_before:
        detail = "the certificate and its signing certificate are never valid at the same time"
        return Finding(Reason.CHAIN_INVALID, detail)
    try:
        anchor.paths.time(not_after).build_client_verifier().verify(peer.parsed, [])
    except VerificationError as error:
        return Finding(Reason.CHAIN_INVALID, str(error))
    return None


def _refuse_unless_ca(certificate: x509.Certificate) -> None:
    extensions = certificate.extensions
    try:
        is_ca = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_ca = False
    if not is_ca:
        message = "it is not a CA certificate (its basicConstraints do not say CA:TRUE)"
        raise UnusableError(message)
    try:
        signs = extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        signs = True
    if not signs:
        message = "its key usage lacks keyCertSign"
        raise UnusableError(message)
    if (weakness := key_weakness(certificate)) is not None:
        raise UnusableError(weakness)
    key = certificate.public_key()
    # Not weak, but path validation knows no signature of theirs: nobody would ever pass.
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        message = "its key is Ed25519 or Ed448, and only RSA and NIST curves are supported"
        raise UnusableError(message)


def _key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return extension.value.digest


def _must_sign_certificates(
    _policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        message = "a CA certificate's key usage lacks keyCertSign"
        raise ValueError(message)


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

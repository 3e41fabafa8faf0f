"""What a subscription requires of its users' certificates beyond being valid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import CertificatePoliciesOID, NameOID

from extauthz.ca import CaCertificate
from extauthz.certificate import PeerCertificate, extension
from extauthz.findings import Finding, Reason

__all__ = ["KEY_TYPES", "Requirements"]

KEY_TYPES = ("rsa", "rsa-3072", "rsa-4096", "p-256", "p-384", "p-521", "ed25519", "ed448")
"""Kinds of keys that can be required; `rsa-3072` means that length or longer."""

_CURVES = {"secp256r1": "p-256", "secp384r1": "p-384", "secp521r1": "p-521"}
_ANY_POLICY = CertificatePoliciesOID.ANY_POLICY.dotted_string


@dataclass(frozen=True, slots=True)
class Requirements:
    """All that is given must hold; what is empty or None requires nothing."""

    organizations: frozenset[str] = frozenset()
    """The subject must have one of these as organizationName, to the letter."""
    organizational_units: frozenset[str] = frozenset()
    certificate_policies: frozenset[str] = frozenset()
    """One of these OIDs must be asserted by every certificate below the signing certificate."""
    email_domains: frozenset[str] = frozenset()
    """Every address must be in one of these domains (A-labels, lower case), not below one."""
    key_types: frozenset[str] = frozenset()
    """Of `KEY_TYPES`."""
    max_lifetime: timedelta | None = None
    """Longest time from notBefore to notAfter."""
    extensions: Mapping[str, bytes | None] = field(default_factory=lambda: MappingProxyType({}))
    """OIDs of extensions that must be there, and their DER values where given."""
    any_extended_key_usage: bool = False
    """Whether anyExtendedKeyUsage does in place of clientAuth."""

    def against(self, peer: PeerCertificate) -> Iterator[Finding]:
        """What the certificate itself lacks, a finding for each requirement."""
        if peer.any_purpose and not self.any_extended_key_usage:
            detail = "its extended key usage has anyExtendedKeyUsage, and not clientAuth"
            yield Finding(Reason.NOT_FOR_CLIENT_AUTH, detail)
        yield from _subject("organization", NameOID.ORGANIZATION_NAME, self.organizations, peer)
        units = NameOID.ORGANIZATIONAL_UNIT_NAME
        yield from _subject("organizational_unit", units, self.organizational_units, peer)
        if self.email_domains:
            domains = {mailbox.domain for mailbox in peer.mailboxes}
            if (
                not domains
                or len(peer.emails) > len(peer.mailboxes)
                or domains - self.email_domains
            ):
                detail = f"its addresses are {list(peer.emails)!r}"
                yield _unmet("email_domains", detail)
        if self.key_types and not self.key_types.intersection(kinds := _kinds_of_key(peer)):
            yield _unmet("key_types", f"its key is {kinds[-1]!r}")
        lifetime = peer.facts.not_after - peer.facts.not_before
        if self.max_lifetime is not None and lifetime > self.max_lifetime:
            yield _unmet("max_lifetime_days", f"it is valid for {lifetime.days} days")
        yield from self._extensions(peer)

    def against_issuers(
        self, peer: PeerCertificate, intermediates: tuple[CaCertificate, ...]
    ) -> Finding | None:
        """Whether one of the certificate policies holds along the path.

        Without policy mapping (RFC 5280 6.1.3 (d) with the identity alone): each certificate must
        assert the policy itself; a CA, not the user's, may assert anyPolicy instead.
        """
        if not self.certificate_policies:
            return None
        own = _policies(peer.parsed)
        held = self.certificate_policies & own
        for ca in intermediates:
            asserted = _policies(ca.parsed)
            if extension(ca.parsed.extensions, x509.PolicyConstraints) or _maps_policies(ca):
                detail = f"{ca.facts.subject!r} maps or constrains policies: that is not supported"
                return _unmet("certificate_policies", detail)
            if _ANY_POLICY not in asserted:
                held &= asserted
        if held:
            return None
        detail = f"its policies are {sorted(own)!r}"
        if self.certificate_policies & own:
            detail = "a CA above it may not issue for that policy"
        return _unmet("certificate_policies", detail)

    def _extensions(self, peer: PeerCertificate) -> Iterator[Finding]:
        for oid, required in self.extensions.items():
            try:
                value = peer.parsed.extensions.get_extension_for_oid(
                    x509.ObjectIdentifier(oid)
                ).value.public_bytes()
            except x509.ExtensionNotFound:
                yield _unmet("extensions", f"it has no extension {oid}")
                continue
            if required is not None and value != required:
                yield _unmet("extensions", f"its extension {oid} is {value.hex()[:200]}")


def _unmet(requirement: str, detail: str) -> Finding:
    return Finding(Reason.REQUIREMENT_NOT_MET, f"{requirement}: {detail}")


def _subject(
    requirement: str, oid: x509.ObjectIdentifier, required: frozenset[str], peer: PeerCertificate
) -> Iterator[Finding]:
    if required:
        values = [each.value for each in peer.parsed.subject.get_attributes_for_oid(oid)]
        if required.isdisjoint(values):
            yield _unmet(requirement, f"its subject has {values!r}")


def _kinds_of_key(peer: PeerCertificate) -> list[str]:
    """All the names in `KEY_TYPES` that fit the key, the most precise one last."""
    match key := peer.parsed.public_key():
        case rsa.RSAPublicKey():
            return ["rsa", *(f"rsa-{bits}" for bits in (3072, 4096) if key.key_size >= bits)]
        case ec.EllipticCurvePublicKey():
            return [_CURVES.get(key.curve.name, key.curve.name)]
        case ed25519.Ed25519PublicKey():
            return ["ed25519"]
        case ed448.Ed448PublicKey():
            return ["ed448"]
        case _:
            return [type(key).__name__]


def _policies(certificate: x509.Certificate) -> frozenset[str]:
    policies = extension(certificate.extensions, x509.CertificatePolicies) or ()
    return frozenset(policy.policy_identifier.dotted_string for policy in policies)


def _maps_policies(ca: CaCertificate) -> bool:
    mappings = x509.ObjectIdentifier("2.5.29.33")
    return any(each.oid == mappings for each in ca.parsed.extensions)

"""A certificate revocation list (RFC 5280 5), read once into an index that is cheap to search.

What a list may not be used for is refused when it is read, with the reason: an indirect list, a
partition of one, a list that never becomes stale. A delta is read for what it adds. Whose list it
is, and whether it is current, is for those who use it to check; the list has its signed octets'
digest for that, so that nobody hashes forty megabytes again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from extauthz.ca import CaCertificate
from extauthz.certificate import UNREADABLE, extension, refuse_unused_bits

__all__ = ["Crl", "CrlError", "RevokedEntry"]

MAX_SERIAL_OCTETS = 20
"""RFC 5280 4.1.2.2."""
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_SECONDS_OCTETS = 5
_REASONS = tuple(x509.ReasonFlags)
_UNSPECIFIED = _REASONS.index(x509.ReasonFlags.unspecified)
_PROCESSED = (
    x509.AuthorityKeyIdentifier,
    x509.CRLNumber,
    x509.DeltaCRLIndicator,
    x509.IssuingDistributionPoint,
)
"""Extensions of a list that may be critical."""


class CrlError(ValueError):
    """A list may not be used; the message says why."""


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """What a list says of a certificate that it holds."""

    revoked_at: datetime
    """UTC."""
    reason: str
    """The reasonCode (RFC 5280 5.3.1), `unspecified` when none is given."""


@dataclass(frozen=True, slots=True)
class _Signature:
    """The signature, and what it is over."""

    octets: bytes
    digest: bytes
    hashed_with: hashes.HashAlgorithm
    parameters: padding.PSS | padding.PKCS1v15 | ec.ECDSA

    def is_by(self, ca: CaCertificate) -> bool:
        key = ca.parsed.public_key()
        prehashed = Prehashed(self.hashed_with)
        try:
            match key, self.parameters:
                case rsa.RSAPublicKey(), padding.PSS() | padding.PKCS1v15():
                    key.verify(self.octets, self.digest, self.parameters, prehashed)
                case ec.EllipticCurvePublicKey(), ec.ECDSA():
                    key.verify(self.octets, self.digest, ec.ECDSA(prehashed))
                case _:
                    return False
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Crl:
    """A list of the certificates that one CA has revoked, of all or of one kind of them."""

    issuer: str
    """RFC 4514 string, for people."""
    issuer_name: bytes
    """DER of the issuer's name."""
    authority_key_identifier: bytes | None
    number: int | None
    """It grows with each list of a CA (RFC 5280 5.2.3)."""
    this_update: datetime
    next_update: datetime
    """By when the CA issues a newer one, UTC."""
    entries: int
    covers_users: bool
    """Whether certificates of end entities are in it when they are revoked."""
    covers_cas: bool
    is_delta: bool
    """Whether it holds only what has changed since a complete list (RFC 5280 5.2.4). What it adds
    is revoked; that somebody is not in it means nothing, and it never lifts a revocation."""
    _width: int = field(repr=False)
    """Octets of a serial number in the index."""
    _index: bytes = field(repr=False)
    """A record for each entry: serial number, seconds since 1970, reason; sorted."""
    _signature: _Signature = field(repr=False)

    @classmethod
    def read(cls, der: bytes, signers: Sequence[CaCertificate] | None = None) -> Self:
        """Read a list. Raises CrlError for one that cannot be read, or may not be used.

        With `signers`, so is one that none of these keys signed: before its entries are looked
        at, which for a large list takes time and memory that no stranger is worth.
        """
        try:
            return cls._read(der, signers)
        except CrlError:
            raise
        # Of a list that is not ours anything may come; warnings of the library are errors in tests.
        except (*UNREADABLE, OverflowError, TypeError, UserWarning) as error:
            raise CrlError(f"it is not a readable CRL: {error}") from error

    @classmethod
    def _read(cls, der: bytes, signers: Sequence[CaCertificate] | None) -> Self:
        crl = x509.load_der_x509_crl(der)
        refuse_unused_bits(crl.signature, der)
        signature = _signature(crl)
        if signers is not None and not any(map(signature.is_by, signers)):
            raise CrlError("no CA that the policy names has signed it")
        next_update = crl.next_update_utc
        if next_update is None:
            raise CrlError("it has no nextUpdate, so nobody could tell when it is stale")
        if next_update < crl.last_update_utc:
            raise CrlError("its nextUpdate is before its thisUpdate")
        covers_users, covers_cas = _coverage(crl.extensions)
        key = extension(crl.extensions, x509.AuthorityKeyIdentifier)
        number = extension(crl.extensions, x509.CRLNumber)
        width, index = _index(crl)
        return cls(
            issuer=crl.issuer.rfc4514_string(),
            issuer_name=crl.issuer.public_bytes(),
            authority_key_identifier=None if key is None else key.key_identifier,
            number=None if number is None else number.crl_number,
            this_update=crl.last_update_utc,
            next_update=next_update,
            entries=len(index) // (width + _SECONDS_OCTETS + 1),
            covers_users=covers_users,
            covers_cas=covers_cas,
            is_delta=extension(crl.extensions, x509.DeltaCRLIndicator) is not None,
            _width=width,
            _index=index,
            _signature=signature,
        )

    def fault_as_issued_by(self, ca: CaCertificate) -> str | None:
        """Why this is no list of that CA (RFC 5280 6.3.3 (f), (g)); None when it is."""
        if self.issuer_name != ca.subject.public_bytes():
            return f"it is issued by {self.issuer!r}, not by {ca.facts.subject!r}"
        identifiers = self.authority_key_identifier, ca.key_identifier
        if None not in identifiers and identifiers[0] != identifiers[1]:
            return f"its authority key identifier is not that of {ca.facts.subject!r}"
        if not ca.signs_crls:
            return f"the key usage of {ca.facts.subject!r} lacks cRLSign"
        if not self._signature.is_by(ca):
            return f"the key of {ca.facts.subject!r} did not sign it"
        return None

    def entry(self, serial: int) -> RevokedEntry | None:
        """What the list says of a serial number; None when it is not in it."""
        width, index = self._width, self._index
        if serial < 0 or serial.bit_length() > width * 8:
            return None
        wanted = serial.to_bytes(width, "big")
        step = width + _SECONDS_OCTETS + 1
        low, high = 0, self.entries
        while low < high:
            middle = (low + high) // 2
            if index[middle * step : middle * step + width] < wanted:
                low = middle + 1
            else:
                high = middle
        record = index[low * step : (low + 1) * step]
        if record[:width] != wanted or not record:
            return None
        seconds = int.from_bytes(record[width:-1], "big")
        return RevokedEntry(datetime.fromtimestamp(seconds, UTC), _REASONS[record[-1]].value)


def _coverage(extensions: x509.Extensions) -> tuple[bool, bool]:
    """Whether the list covers users' certificates, and CAs'. Raises CrlError for a partial list."""
    for each in extensions:
        if each.critical and not isinstance(each.value, _PROCESSED):
            raise CrlError(f"it has the critical extension {each.oid.dotted_string}: not supported")
    scope = extension(extensions, x509.IssuingDistributionPoint)
    if scope is None:
        return True, True
    if scope.indirect_crl:
        raise CrlError("it is an indirect CRL: only those of the CA itself are supported")
    if scope.full_name is not None or scope.relative_name is not None:
        raise CrlError("it is the CRL of one distribution point: only whole ones are supported")
    if scope.only_some_reasons is not None:
        raise CrlError("it is a CRL for some reasons of revocation alone: not supported")
    if scope.only_contains_attribute_certs:
        raise CrlError("it is a CRL of attribute certificates")
    return not scope.only_contains_ca_certs, not scope.only_contains_user_certs


def _index(crl: x509.CertificateRevocationList) -> tuple[int, bytes]:
    """The width of a serial number in octets, and the sorted records."""
    found = sorted(_entries(crl))
    width = max(1, (found[-1][0].bit_length() + 7) // 8) if found else 1
    return width, b"".join(
        serial.to_bytes(width, "big") + seconds.to_bytes(_SECONDS_OCTETS, "big") + bytes([reason])
        for serial, seconds, reason in found
    )


def _entries(crl: x509.CertificateRevocationList) -> Iterator[tuple[int, int, int]]:
    for revoked in crl:
        serial = revoked.serial_number
        if serial < 0 or serial.bit_length() > MAX_SERIAL_OCTETS * 8:
            raise CrlError(f"it holds the serial number {serial:x}, which no certificate has")
        reason, is_lifted = _UNSPECIFIED, False
        for each in revoked.extensions:
            match each.value:
                case x509.CRLReason() as code:
                    reason = _REASONS.index(code.reason)
                    if code.reason is x509.ReasonFlags.remove_from_crl:
                        is_lifted = True
                case x509.CertificateIssuer():
                    raise CrlError("it is an indirect CRL: an entry names another issuer")
                case x509.InvalidityDate():
                    pass
                case _ if each.critical:
                    oid = each.oid.dotted_string
                    raise CrlError(f"an entry has the critical extension {oid}: not supported")
        # The complete list still holds it, and is believed: to be admitted again takes a new one.
        if is_lifted:
            continue
        yield serial, max(0, int(revoked.revocation_date_utc.timestamp())), reason


def _signature(crl: x509.CertificateRevocationList) -> _Signature:
    algorithm, parameters = crl.signature_hash_algorithm, crl.signature_algorithm_parameters
    if not isinstance(algorithm, _HASHES):
        name = "an unknown algorithm" if algorithm is None else algorithm.name
        raise CrlError(f"it is signed over {name}, not SHA-256, SHA-384 or SHA-512")
    if not isinstance(parameters, (padding.PSS, padding.PKCS1v15, ec.ECDSA)):
        raise CrlError("it is signed neither with RSA nor with ECDSA")
    digest = hashlib.new(algorithm.name, crl.tbs_certlist_bytes).digest()
    return _Signature(crl.signature, digest, algorithm, parameters)

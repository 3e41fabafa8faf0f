"""May an answer of OCSP be believed (RFC 6960)?

It may when it is about what was asked, of today, to our request, and signed by the CA or by whom
the CA delegated that to. Whatever is not understood is not believed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from extauthz.ca import CaCertificate
from extauthz.certificate import UNREADABLE, extension, key_weakness
from extauthz.ocsp import Answer, CertStatus, Question

__all__ = ["OcspError", "Terms", "read_answer"]

MAX_CERTIFICATES = 8
"""Certificates of an answer that are looked at to find its signer's."""
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_PROCESSED_OF_DELEGATE = (
    x509.AuthorityInformationAccess,
    x509.AuthorityKeyIdentifier,
    x509.BasicConstraints,
    x509.CRLDistributionPoints,
    x509.CertificatePolicies,
    x509.ExtendedKeyUsage,
    x509.KeyUsage,
    x509.OCSPNoCheck,
    x509.SubjectAlternativeName,
    x509.SubjectKeyIdentifier,
)
"""Extensions of a responder's certificate that may be critical."""


class OcspError(ValueError):
    """An answer may not be believed; the message says why."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms an answer is believed."""

    nonce: bytes
    """What the request had."""
    require_nonce: bool
    """Whether the answer must repeat it; a wrong one is never believed (RFC 9654)."""
    now: datetime
    """The time of day (aware)."""
    tolerance: timedelta
    """How far the responder's clock may be from ours."""
    max_age: timedelta
    """For how long after its thisUpdate an answer counts that has no nextUpdate: it could be
    replayed for ever."""


def read_answer(octets: bytes, question: Question, terms: Terms) -> Answer:
    """Read the answer to a question.

    Raises OcspError for anything that may not be believed: an answer about something else, not
    signed by the CA or by whom it delegated that to, stale, or not to our request.
    """
    try:
        return _read(octets, question, terms)
    except OcspError:
        raise
    # Of an answer that is not ours anything may come; warnings of the library are errors in tests.
    except (*UNREADABLE, OverflowError, TypeError, UserWarning) as error:
        raise OcspError(f"the answer is not readable: {error}") from error


def _read(octets: bytes, question: Question, terms: Terms) -> Answer:
    response = ocsp.load_der_ocsp_response(octets)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise OcspError(f"the responder says {response.response_status.name.lower()}")
    # Certificates may follow the signature, which is found by what it is.
    if octets[octets.rindex(response.signature) - 1] != 0:
        raise OcspError("the answer's signature is not a whole number of octets")
    _check_extensions(response, terms)
    delegate = _delegate(response, question.issuer, terms)
    singles = list(response.responses)
    if len(singles) != 1:
        raise OcspError(f"the answer is about {len(singles)} certificates: one is supported")
    if not _is_about(singles[0], question):
        raise OcspError("the answer is not about the certificate that was asked about")
    _refuse_critical(response.single_extensions)
    if response.produced_at_utc > terms.now + terms.tolerance:
        raise OcspError("the answer was produced in the future")
    answer = _answer(singles[0], delegate)
    _check_times(answer, terms)
    return answer


def _check_extensions(response: ocsp.OCSPResponse, terms: Terms) -> None:
    _refuse_critical(response.extensions)
    repeated = extension(response.extensions, x509.OCSPNonce)
    if repeated is None:
        if terms.require_nonce:
            raise OcspError("the answer has no nonce")
    elif repeated.nonce != terms.nonce:
        raise OcspError("the answer is to another request: its nonce is not ours")


def _refuse_critical(extensions: x509.Extensions) -> None:
    for each in extensions:
        if each.critical and not isinstance(each.value, x509.OCSPNonce):
            oid = each.oid.dotted_string
            raise OcspError(f"the answer has the critical extension {oid}: not supported")


def _is_about(single: ocsp.OCSPSingleResponse, question: Question) -> bool:
    if single.serial_number != question.serial:
        return False
    if not isinstance(single.hash_algorithm, (hashes.SHA1, hashes.SHA256)):
        return False
    expected = question.hashes_of_issuer(single.hash_algorithm.name)
    return (single.issuer_name_hash, single.issuer_key_hash) == expected


def _answer(single: ocsp.OCSPSingleResponse, delegate: x509.Certificate | None) -> Answer:
    reason = single.revocation_reason
    checked = delegate is not None and extension(delegate.extensions, x509.OCSPNoCheck) is None
    return Answer(
        status=CertStatus(single.certificate_status.name.lower()),
        revoked_at=single.revocation_time_utc,
        reason=None if reason is None else reason.value,
        this_update=single.this_update_utc,
        next_update=single.next_update_utc,
        delegate=delegate.serial_number if delegate is not None and checked else None,
        delegate_not_after=None if delegate is None else delegate.not_valid_after_utc,
    )


def _check_times(answer: Answer, terms: Terms) -> None:
    if answer.this_update > terms.now + terms.tolerance:
        raise OcspError(f"the answer is of {answer.this_update.isoformat()}, in the future")
    end = answer.next_update or answer.this_update + terms.max_age
    if end < answer.this_update:
        raise OcspError("the answer's nextUpdate is before its thisUpdate")
    if end + terms.tolerance < terms.now:
        raise OcspError(f"the answer is stale since {end.isoformat()}")


def _delegate(
    response: ocsp.OCSPResponse, issuer: CaCertificate, terms: Terms
) -> x509.Certificate | None:
    """Whom the CA delegated the answer to; None when it signed the answer itself.

    RFC 6960 4.2.2.2: nobody else may sign it.
    """
    if _is_responder(response, issuer.parsed):
        _check_signature(response, issuer.parsed)
        return None
    why = "nobody whom the CA has delegated that to"
    for certificate in response.certificates[:MAX_CERTIFICATES]:
        if _is_responder(response, certificate):
            fault = _fault_of_delegate(certificate, issuer, terms)
            if fault is None:
                _check_signature(response, certificate)
                return certificate
            why = fault
    raise OcspError(f"the answer is signed by {why}")


def _is_responder(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    """Whether the responder id names this certificate (RFC 6960 4.2.1)."""
    if response.responder_name is not None:
        return response.responder_name == certificate.subject
    digest = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
    return response.responder_key_hash == digest


def _fault_of_delegate(
    certificate: x509.Certificate, issuer: CaCertificate, terms: Terms
) -> str | None:
    try:
        certificate.verify_directly_issued_by(issuer.parsed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return "somebody whose certificate is not the CA's"
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not not_before - terms.tolerance <= terms.now <= not_after:
        return "somebody whose certificate is not valid today"
    purposes = extension(certificate.extensions, x509.ExtendedKeyUsage) or ()
    if ExtendedKeyUsageOID.OCSP_SIGNING not in purposes:
        return "somebody whose certificate is not for OCSP signing"
    usage = extension(certificate.extensions, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        return "somebody whose key usage lacks digitalSignature"
    for each in certificate.extensions:
        if each.critical and not isinstance(each.value, _PROCESSED_OF_DELEGATE):
            return f"somebody whose certificate has the critical extension {each.oid.dotted_string}"
    weakness = key_weakness(certificate)
    return None if weakness is None else f"somebody whose certificate is weak: {weakness}"


def _check_signature(response: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    algorithm = response.signature_hash_algorithm
    if not isinstance(algorithm, _HASHES):
        name = "an unknown algorithm" if algorithm is None else algorithm.name
        raise OcspError(f"the answer is signed over {name}, not SHA-256, SHA-384 or SHA-512")
    key = signer.public_key()
    signature, signed = response.signature, response.tbs_response_bytes
    try:
        match key:
            case rsa.RSAPublicKey():
                key.verify(signature, signed, padding.PKCS1v15(), algorithm)
            case ec.EllipticCurvePublicKey():
                key.verify(signature, signed, ec.ECDSA(algorithm))
            case _:
                raise OcspError("the answer is signed neither with RSA nor with ECDSA")
    except InvalidSignature as error:
        raise OcspError("the answer's signature does not verify") from error

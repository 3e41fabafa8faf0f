"""The reasons for which a check can fail. There is no other list of them.

A finding is one thing that is wrong with a check. Findings are values: they are collected, never
raised, and a decision carries all of them. What a finding says is for the operator; the client
gets the same answer whatever was found (see `policy.Denial`).
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Reason"]


class Reason(StrEnum):
    """Why a check fails, as it stands in the decision log and in the metrics."""

    REQUEST_MALFORMED = "request_malformed"
    """The question itself cannot be read: it is not one that a correctly set up Envoy asks."""
    SUBSCRIPTION_UNKNOWN = "subscription_unknown"
    """The host of the request belongs to no subscription."""
    CERTIFICATE_MISSING = "certificate_missing"
    """The client presented no certificate, or Envoy was not told to forward it."""
    CERTIFICATE_MALFORMED = "certificate_malformed"
    """What Envoy forwarded is not one X.509 certificate with, at most, its chain."""
    CERTIFICATE_EXPIRED = "certificate_expired"
    """The certificate, or its signing certificate, is past its notAfter (RFC 5280 4.1.2.5)."""
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    """The certificate, or its signing certificate, is before its notBefore (RFC 5280 4.1.2.5)."""
    ISSUER_MISMATCH = "issuer_mismatch"
    """The certificate does not name one of the subscription's signing certificates as issuer."""
    SIGNATURE_INVALID = "signature_invalid"
    """The issuer's name is right, but no signing certificate of that name made the signature."""
    CHAIN_INCOMPLETE = "chain_incomplete"
    """An issuer between the certificate and a signing certificate is not to be found."""
    CHAIN_INVALID = "chain_invalid"
    """Path validation refuses the certificate for another cause (RFC 5280 6.1)."""
    NOT_FOR_CLIENT_AUTH = "not_for_client_auth"
    """A CA certificate, or a key usage that excludes TLS client authentication."""
    WEAK_KEY = "weak_key"
    """The key or the signature algorithm is weaker than what is accepted."""
    CERTIFICATE_REVOKED = "certificate_revoked"
    """A CRL, an OCSP responder or the policy says that a certificate of the path is revoked."""
    REVOCATION_UNKNOWN = "revocation_unknown"
    """Nothing that may be believed today says whether it is revoked."""
    REQUIREMENT_NOT_MET = "requirement_not_met"
    """The certificate lacks what the subscription requires of its users' certificates."""
    LOGIN_MALFORMED = "login_malformed"
    """The request claims a login in a form that cannot be read without guessing."""
    LOGIN_CONFLICT = "login_conflict"
    """The request claims several logins, and they are not the same account."""
    ACCOUNT_UNKNOWN = "account_unknown"
    """The login, or without one the certificate's email, is of no account of the subscription."""
    ACCOUNT_DISABLED = "account_disabled"
    """The account may not log in at all, whatever the certificate."""
    DIRECTORY_UNAVAILABLE = "directory_unavailable"
    """The place where the accounts live does not say, so nobody knows whose login it is."""
    SESSION_ACCOUNT_MISMATCH = "session_account_mismatch"
    """The session was begun with the certificate of another account."""
    SESSION_UNAVAILABLE = "session_unavailable"
    """The store of sessions does not say whose this one is."""
    EMAIL_MISSING = "email_missing"
    """The certificate carries no email address."""
    EMAIL_MISMATCH = "email_mismatch"
    """None of the certificate's email addresses is that of the account."""
    IDENTITY_MISSING = "identity_missing"
    """The certificate carries no name of the kind that the subscription goes by."""
    IDENTITY_MISMATCH = "identity_mismatch"
    """None of the certificate's names is that of the account."""
    INTERNAL_ERROR = "internal_error"
    """A bug of extauthz: the check was not decided, and Envoy was told so with a 5xx."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a check.

    `detail` says for the operator what was compared; it may hold text of a hostile client and is
    only ever written where it is escaped.
    """

    reason: Reason
    detail: str

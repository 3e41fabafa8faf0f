"""For each reason: which check it belongs to, what it means, and what mends it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from extauthz.findings import Reason

__all__ = ["REMEDIES", "Check", "Remedy"]


class Check(Enum):
    """What is checked, in order. The value is the number by which users know it, and its name."""

    REQUEST = (0, "The request is one for a subscription")
    PRESENT = (1, "A certificate is present")
    VALID = (2, "It is within its validity period")
    ACCOUNT = (3, "It is the account's")
    ISSUER = (4, "Its issuer is a signing certificate of the subscription")
    FITNESS = (5, "It is fit for client authentication")
    REVOCATION = (6, "It is not revoked")
    SESSION = (7, "The session is the account's")


@dataclass(frozen=True, slots=True)
class Remedy:
    """What a reason means, and what to do about it."""

    check: Check
    meaning: str
    """Half a sentence, for a list: `the certificate expired`."""
    remedy: str
    """What to do, and who can: a sentence."""


def _of(check: Check, meaning: str, remedy: str) -> Remedy:
    return Remedy(check, meaning, remedy)


REMEDIES: Final[Mapping[Reason, Remedy]] = MappingProxyType({
    Reason.REQUEST_MALFORMED: _of(
        Check.REQUEST, "the question is not one of Envoy's",
        "Compare Envoy's configuration with envoy/envoy.yaml: `path_prefix`, and who may reach"
        " the check listener.",
    ),
    Reason.INTERNAL_ERROR: _of(
        Check.REQUEST, "a bug of extauthz", "Report it, with the server's own log of that time."
    ),
    Reason.SUBSCRIPTION_UNKNOWN: _of(
        Check.REQUEST, "the host belongs to no subscription",
        "Add the host to the `hosts` of its subscription, or take it out of Envoy.",
    ),
    Reason.CERTIFICATE_MISSING: _of(
        Check.PRESENT, "no certificate was presented",
        "Install the user's certificate in the browser or with the script (`curl --cert`). An"
        " integration that cannot present one yet can be listed in `exempt`. If every client is"
        " said to present none, compare Envoy's configuration with envoy/envoy.yaml.",
    ),
    Reason.CERTIFICATE_MALFORMED: _of(
        Check.PRESENT, "what was presented is no readable certificate",
        "Have the certificate issued anew by the company's CA.",
    ),
    Reason.CERTIFICATE_EXPIRED: _of(
        Check.VALID, "a certificate of the chain has expired",
        "Issue a new certificate. Where it is the signing certificate, ask the customer for the"
        " new one and name it in `signing_certificates`.",
    ),
    Reason.CERTIFICATE_NOT_YET_VALID: _of(
        Check.VALID, "a certificate of the chain is not valid yet",
        "Wait until its notBefore, or compare the clocks of the CA and of this machine.",
    ),
    Reason.EMAIL_MISSING: _of(
        Check.ACCOUNT, "the certificate carries no email address",
        "Issue a certificate with the user's address as rfc822Name in its subjectAltName.",
    ),
    Reason.EMAIL_MISMATCH: _of(
        Check.ACCOUNT, "the certificate's email is not the account's",
        "Mend the address of the account (`extauthz accounts set-email`, or in its directory), or"
        " have the user log in to the account that the certificate is for.",
    ),
    Reason.IDENTITY_MISSING: _of(
        Check.ACCOUNT, "the certificate lacks the name that the subscription goes by",
        "Issue a certificate with that name, or change the subscription's `identity`.",
    ),
    Reason.IDENTITY_MISMATCH: _of(
        Check.ACCOUNT, "the certificate's name is not the account's",
        "Mend the account's name, or have the user log in to the account that the certificate is"
        " for.",
    ),
    Reason.ACCOUNT_UNKNOWN: _of(
        Check.ACCOUNT, "there is no such account",
        "Add the account, or mend the address of the one that is meant.",
    ),
    Reason.ACCOUNT_DISABLED: _of(
        Check.ACCOUNT, "the account is disabled",
        "Enable it if the user is to come in (`extauthz accounts enable`).",
    ),
    Reason.DIRECTORY_UNAVAILABLE: _of(
        Check.ACCOUNT, "the directory of accounts does not answer",
        "Look at the directory, and at `extauthz validate --online` from that machine.",
    ),
    Reason.LOGIN_MALFORMED: _of(
        Check.ACCOUNT, "the login cannot be read without guessing",
        "Have the client send the login as `login` says, in UTF-8 and once.",
    ),
    Reason.LOGIN_CONFLICT: _of(
        Check.ACCOUNT, "the request claims several accounts",
        "Have the client log in with one account, the one that its certificate is for.",
    ),
    Reason.ISSUER_MISMATCH: _of(
        Check.ISSUER, "another CA issued the certificate",
        "Use a certificate of the company's own CA; or, if the company has another CA now, name"
        " its certificate in `signing_certificates`, beside the old one.",
    ),
    Reason.SIGNATURE_INVALID: _of(
        Check.ISSUER, "the signature is not by the signing certificate's key",
        "The CA has the right name and another key: ask for its present certificate and name it in"
        " `signing_certificates`. If nobody made such a CA, somebody forged the certificate.",
    ),
    Reason.CHAIN_INCOMPLETE: _of(
        Check.ISSUER, "an intermediate certificate is missing",
        "Have the client send it, or name it in `intermediates`; `max_intermediates` says how many"
        " there may be.",
    ),
    Reason.CHAIN_INVALID: _of(
        Check.ISSUER, "path validation refuses the chain",
        "Have the CA issue a certificate in which what the detail names is mended.",
    ),
    Reason.NOT_FOR_CLIENT_AUTH: _of(
        Check.FITNESS, "the certificate is not for client authentication",
        "Issue an end-entity certificate with digitalSignature and, where it has an extended key"
        " usage, clientAuth.",
    ),
    Reason.WEAK_KEY: _of(
        Check.FITNESS, "the key or a signature is too weak",
        "Issue a certificate with RSA of 2,048 bits or more, or P-256, signed over SHA-256.",
    ),
    Reason.REQUIREMENT_NOT_MET: _of(
        Check.FITNESS, "the certificate lacks what the subscription requires",
        "Issue one that has it, or change `require`.",
    ),
    Reason.CERTIFICATE_REVOKED: _of(
        Check.REVOCATION, "the certificate is revoked",
        "Issue a new certificate, if the user is still to come in.",
    ),
    Reason.REVOCATION_UNKNOWN: _of(
        Check.REVOCATION, "nobody says whether it is revoked",
        "Get a CRL that counts today, or mend the OCSP responder: `extauthz validate --online`"
        " says what is wrong.",
    ),
    Reason.SESSION_ACCOUNT_MISMATCH: _of(
        Check.SESSION, "the session belongs to another account",
        "Log out and in again. If the user did not share the session, somebody else used it.",
    ),
    Reason.SESSION_UNAVAILABLE: _of(
        Check.SESSION, "the store of sessions does not answer",
        "Look at the store of `session`, and at `extauthz validate --online` from that machine.",
    ),
})  # fmt: skip
"""Every reason has its entry."""

"""The shape of the policy file: which keys there are, of which type, with which defaults.

This says what a file may look like; what it must mean (hosts that are hosts, files that hold CA
certificates) is `loader`'s to check. The JSON Schema for editors is made from the same classes.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from extauthz.policyfile.model import Model, Name, SecretModel, Text
from extauthz.policyfile.schema_accounts import AccountsModel
from extauthz.policyfile.schema_logins import (
    ExemptionModel,
    LoginModel,
    RequiredForModel,
    SessionModel,
)

__all__ = [
    "DecisionLogModel",
    "DenialModel",
    "OcspModel",
    "PolicyModel",
    "RequireModel",
    "RevocationModel",
    "SubscriptionModel",
]

CONTENT_TYPE_PATTERN = (
    r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *; *[A-Za-z0-9-]+=[A-Za-z0-9_-]+)*$"
)
MAX_DENIAL_BODY = 65_536
MAX_HELP = 4096

KeyType = Literal["rsa", "rsa-3072", "rsa-4096", "p-256", "p-384", "p-521", "ed25519", "ed448"]


class DenialModel(Model):
    """The answer to a client that is refused."""

    status: int = Field(
        403, ge=400, le=499, description="HTTP status. Envoy takes a 5xx for an error of ours."
    )
    body: str = Field(
        "Invalid user credentials", max_length=MAX_DENIAL_BODY, description="What the client reads."
    )
    content_type: Annotated[str, StringConstraints(pattern=CONTENT_TYPE_PATTERN)] | None = Field(
        None,
        description="Media type of the body, which is then sent as it stands; without it the body"
        " is plain text, and wrapped in HTML or JSON for a client that asks for these.",
    )
    help: Annotated[str, StringConstraints(min_length=1, max_length=MAX_HELP)] | None = Field(
        None,
        description="What who is refused can do: plain text, several lines if need be, for the page"
        " that browsers get and for JSON; http, https and mailto links can be followed. It stands"
        " there whatever the reason is.",
    )


class DecisionLogModel(Model):
    """What the decision log is not to say."""

    redact: list[Literal["email", "login", "client"]] = Field(
        min_length=1,
        description="What is replaced by a keyed hash: `email` (names in certificates), `login`,"
        " `client` (IP addresses).",
    )
    key: SecretModel = Field(
        description="Where the key of the hash is read, such as {file: redact.key}, made with"
        " `openssl rand -hex 32 > redact.key`. With another key everybody has another hash."
    )


class RequireModel(Model):
    """What the users' certificates must have, besides being valid."""

    organization: list[Text] = Field(
        default_factory=list, description="One of these must be an O of the subject."
    )
    organizational_unit: list[Text] = Field(
        default_factory=list, description="One of these must be an OU of the subject."
    )
    certificate_policies: list[Text] = Field(
        default_factory=list, description="One of these OIDs must be asserted along the path."
    )
    email_domains: list[Text] = Field(
        default_factory=list, description="All addresses must be in one of these domains."
    )
    key_types: list[KeyType] = Field(
        default_factory=list, description="The key must be of one of these kinds."
    )
    max_lifetime_days: int | None = Field(
        None, ge=1, description="Longest time from notBefore to notAfter, in days."
    )
    extensions: dict[Text, Text | None] = Field(
        default_factory=dict,
        description="Extensions that must be there, by OID; with a value, its DER in hex.",
    )


class OcspModel(Model):
    """Whom to ask whether a certificate is revoked (RFC 6960)."""

    responder: Text | None = Field(None, description="URL of the responder that is always asked.")
    from_certificate: bool = Field(
        default=False, description="Ask the responder that the certificate names, if it is allowed."
    )
    allowed_hosts: list[Text] = Field(
        default_factory=list,
        description="Hosts, or host:port, of responders that certificates may name.",
    )
    cert_id_hash: Literal["sha1", "sha256"] = Field(
        "sha1", description="Hash that identifies the issuer; all responders know sha1."
    )
    require_nonce: bool = Field(
        default=False, description="Refuse answers that do not repeat our nonce."
    )
    max_age_seconds: int = Field(
        3600, ge=1, le=604_800, description="For how long an answer is believed at most."
    )


class BlockedModel(Model):
    """Certificates that count as revoked, whatever anybody says."""

    fingerprints: list[Text] = Field(
        default_factory=list, description="SHA-256 of certificates, in hex."
    )
    serials: list[Text] = Field(
        default_factory=list, description="Serial numbers of this subscription's CAs, in hex."
    )


class RevocationModel(Model):
    """How to find out whether a certificate is revoked."""

    require: Literal["leaf", "chain"] = Field(
        "leaf", description="Whether the intermediates must not be revoked either."
    )
    if_unknown: Literal["deny", "allow"] = Field(
        "deny", description="What happens while nobody can say whether it is revoked."
    )
    crl: list[Text] = Field(
        default_factory=list,
        description="Files, directories or http(s) URLs with CRLs.",
    )
    refresh_seconds: int = Field(
        300, ge=1, le=86_400, description="How often the URLs are asked for a newer CRL."
    )
    ocsp: OcspModel | None = Field(None, description="Whom to ask with OCSP.")
    ca_file: Text | None = Field(
        None, description="PEM file with the CAs that https servers are checked against."
    )
    blocked: BlockedModel = Field(
        default_factory=BlockedModel, description="Certificates that count as revoked."
    )


class SubscriptionModel(Model):
    """One customer of the protected service."""

    hosts: list[Text] = Field(
        min_length=1,
        description="Hosts of the subscription; `*.example.com` stands for all hosts below"
        " example.com. A host belongs to one subscription.",
    )
    signing_certificates: list[Text] = Field(
        min_length=1,
        description="PEM files with the CA certificates that sign the users' certificates."
        " Relative paths are relative to this file.",
    )
    max_intermediates: int = Field(
        0,
        ge=0,
        le=8,
        description="How many CA certificates may stand between a user's certificate and a signing"
        " certificate; with 0 the signing certificate is the direct issuer.",
    )
    intermediates: list[Text] = Field(
        default_factory=list,
        description="PEM files with intermediate CA certificates that clients fail to send.",
    )
    accounts: AccountsModel = Field(
        default_factory=dict,
        description="The users: login, and email address (or what `identity` says), or several, or"
        " a mapping with more; or where they live: file, sql, ldap or http.",
    )
    login: list[LoginModel] = Field(
        default=["basic"],
        min_length=1,
        description="Where requests say who logs in; all that say it must name one account.",
    )
    session: SessionModel | None = Field(
        None, description="Which cookie is the service's session, to pin it to an account."
    )
    exempt: list[ExemptionModel] = Field(
        default_factory=list,
        description="Integrations that cannot present a certificate yet.",
    )
    certificate_required_for: RequiredForModel | None = Field(
        None,
        description="Whom certificates are demanded of, while users are switched over one by one.",
    )
    identity: Literal["email", "upn", "subject", "san_uri"] = Field(
        "email", description="Which name in the certificate must be that of the account."
    )
    mode: Literal["off", "audit", "enforce"] = Field(
        "enforce", description="`audit` decides and records, and lets everybody pass."
    )
    verify_email: bool = Field(
        default=True,
        description="Whether the certificate's email address must be that of the account.",
    )
    require: RequireModel = Field(
        default_factory=RequireModel, description="What certificates must have besides."
    )
    any_extended_key_usage: bool = Field(
        default=False, description="Whether anyExtendedKeyUsage does in place of clientAuth."
    )
    revocation: RevocationModel | None = Field(
        None,
        description="How to find out whether a certificate is revoked; without it, nobody asks.",
    )
    denial: DenialModel = Field(
        default_factory=DenialModel, description="The answer to a client that is refused."
    )


class PolicyModel(Model):
    """The policy file of extauthz."""

    subscriptions: dict[Name, SubscriptionModel] = Field(
        min_length=1,
        description="The customers of the protected service, by name.",
        json_schema_extra={"additionalProperties": False},
    )
    decision_log: DecisionLogModel | None = Field(
        None, description="What the decision log is not to say."
    )

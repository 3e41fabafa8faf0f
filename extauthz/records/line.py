"""A line of the decision log, as whoever reads one may rely on it.

There are three records, told apart by `record`: a check, a certificate (once in a while for each
one that is seen, so that checks can be decided anew under another policy), and a gap, where lines
could not be written. `schema` is the version of this shape. A later version may have members that
this one does not know, which are passed over; whatever else changes makes the number go up.

`observe.record` writes what stands here; a test holds the two together.
"""

from typing import Annotated, Literal, TypeAlias

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from extauthz.findings import Reason
from extauthz.policy import Mode
from extauthz.records.moment import Moment

__all__ = [
    "MAX_DROPPED",
    "MAX_NAMES",
    "SCHEMA",
    "CertificateOf",
    "CertificateRecord",
    "CheckRecord",
    "GapRecord",
    "LoginOf",
    "NotALineError",
    "Record",
    "SigningCertificateOf",
    "json_schema",
    "parse",
]

SCHEMA = 1
"""Version of the shape of a line."""
MAX_DROPPED = 10**12
"""More lines than any gap lacks."""
MAX_NAMES = 16
"""How many names of a certificate, logins of a request, and accounts, a line holds at most."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class CertificateOf(_Model):
    """The peer certificate of a check."""

    sha256: str = Field(description="SHA-256 of its DER, in hex.")
    sent: str | None = Field(
        description="SHA-256 over the certificate and what was sent above it; null when the client"
        " sent nothing above it. A record of the certificate has this, or `sha256`, as its `id`."
    )
    serial: str = Field(description="Serial number, in hex.")
    subject: str = Field(description="RFC 4514 string; untrusted text.")
    issuer: str = Field(description="RFC 4514 string; untrusted text.")
    not_before: AwareDatetime
    not_after: AwareDatetime
    names: list[str] = Field(
        description="The names that may say whose it is, of the kind that the subscription goes by:"
        " email addresses unless it says otherwise. Untrusted text."
    )

    @property
    def id(self) -> str:
        """By which its record is found."""
        return self.sent or self.sha256


class SigningCertificateOf(_Model):
    """The signing certificate to which the path led."""

    label: str = Field(description="Name of its file in the policy.")
    sha256: str


class LoginOf(_Model):
    """A login that the request claims."""

    login: str
    source: str = Field(description="Where it stood, such as `basic`.")


class CheckRecord(_Model):
    """A check, and the decision on it."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this shape.")
    record: Literal["check"]
    time: Moment = Field(description="When it was decided, UTC.")
    request_id: str | None = Field(description="Envoy's id of the request (X-Request-ID).")
    host: str | None = Field(
        description="Host header. With method, path and client it is null where the request could"
        " not be read."
    )
    method: str | None
    path: str | None = Field(description="Without the query.")
    client: str | None = Field(description="IP address of the client, by Envoy's word.")
    user_agent: str | None = Field(description="What the client calls itself; untrusted text.")
    login: str | None = Field(description="The first login that the request claims.")
    login_source: str | None
    other_logins: list[LoginOf] = Field(description="Logins that it claims besides.")
    login_problem: str | None = Field(description="Why a login that it claims cannot be read.")
    policy_generation: int = Field(
        description="Counts the policies that were in force since the start; 0 for none."
    )
    redacted: list[Literal["email", "login", "client"]] = Field(
        description="What is replaced by a keyed hash in this line."
    )
    duration_us: int = Field(description="How long the decision took, in microseconds.")
    subscription: str | None = Field(description="Null when the host is nobody's.")
    mode: Mode | None = Field(description="The mode that held for this user.")
    subscription_mode: Mode | None = Field(
        default=None,
        description="The subscription's own `mode`. Where it is `enforce` and `mode` is `audit`,"
        " `certificate_required_for` leaves this user out.",
    )
    decision: Literal["allow", "deny"] = Field(description="What was found.")
    allowed: bool = Field(description="Whether it passed: outside `enforce`, whatever was found.")
    reasons: list[Reason] = Field(description="Everything that was found against it.")
    details: list[str | None] = Field(
        description="What was compared, for each of `reasons`; null where that would name somebody"
        " who is redacted. Untrusted text."
    )
    tolerated: list[Reason] = Field(
        description="What was found and let pass, by an exemption or `if_unknown: allow`."
    )
    tolerated_details: list[str | None]
    exempt: str | None = Field(description="Name of the exemption by which it passed.")
    not_asked: list[Literal["email", "revocation"]] = Field(
        description="Checks that the subscription does not ask for."
    )
    accounts: list[str] = Field(description="Logins of the accounts that the request is for.")
    signing_certificate: SigningCertificateOf | None
    certificate: CertificateOf | None
    certificate_problem: Literal["certificate_missing", "certificate_malformed"] | None = Field(
        description="Why there is no certificate."
    )

    @property
    def is_left_out(self) -> bool:
        """Whether the subscription is enforced, and `certificate_required_for` excepts the user."""
        return self.subscription_mode is Mode.ENFORCE and self.mode is Mode.AUDIT


class CertificateRecord(_Model):
    """A certificate that was presented, whole, with what the client sent above it."""

    schema_: Literal[1] = Field(alias="schema")
    record: Literal["certificate"]
    time: Moment
    id: str = Field(description="As in `certificate` of a check: its `sent`, or its `sha256`.")
    der: list[str] = Field(
        min_length=1, description="DER in base64, the peer certificate first; untrusted."
    )


class GapRecord(_Model):
    """Lines are missing here."""

    schema_: Literal[1] = Field(alias="schema")
    record: Literal["gap"]
    time: Moment = Field(description="When lines could be written again.")
    since: AwareDatetime = Field(description="When the first of them was dropped.")
    dropped: int = Field(ge=1, le=MAX_DROPPED, description="How many lines were dropped.")
    why: str


Record: TypeAlias = CheckRecord | CertificateRecord | GapRecord

_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="record")])


class NotALineError(ValueError):
    """This is no line of a decision log, or one of a version that is not known here."""


def parse(line: bytes) -> Record:
    """One line. Raises NotALineError."""
    try:
        members = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise NotALineError(f"not JSON: {error}") from error
    if isinstance(members, dict) and members.get("schema") not in (None, SCHEMA):
        raise NotALineError(f"schema {members['schema']!r} is not known here, only {SCHEMA}")
    try:
        return _RECORD.validate_python(members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise NotALineError(f"not a decision record: {where}: {first['msg']}") from error


def json_schema() -> dict[str, object]:
    """JSON Schema of a line."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | _RECORD.json_schema(by_alias=True, mode="serialization")

"""The shape of the policy file: which keys there are, of which type, with which defaults.

This says what a file may look like; what it must mean (hosts that are hosts, files that hold CA
certificates) is `loader`'s to check. The JSON Schema for editors is made from the same classes.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["DenialModel", "PolicyModel", "SubscriptionModel"]

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
CONTENT_TYPE_PATTERN = (
    r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *; *[A-Za-z0-9-]+=[A-Za-z0-9_-]+)*$"
)
MAX_DENIAL_BODY = 65_536

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text = Annotated[str, StringConstraints(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DenialModel(_Model):
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


class SubscriptionModel(_Model):
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
    accounts: dict[Text, Text] = Field(
        default_factory=dict, description="The users: login and email address."
    )
    mode: Literal["off", "audit", "enforce"] = Field(
        "enforce", description="`audit` decides and records, and lets everybody pass."
    )
    verify_email: bool = Field(
        default=True,
        description="Whether the certificate's email address must be that of the account.",
    )
    denial: DenialModel = Field(
        default_factory=DenialModel, description="The answer to a client that is refused."
    )


class PolicyModel(_Model):
    """The policy file of extauthz."""

    subscriptions: dict[Name, SubscriptionModel] = Field(
        min_length=1,
        description="The customers of the protected service, by name.",
        json_schema_extra={"additionalProperties": False},
    )

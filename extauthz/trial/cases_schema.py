"""The shape of a file of policy tests: which keys there are, of which type."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from extauthz.findings import Reason
from extauthz.policyfile.model import Model, Text

__all__ = ["CaseFileModel", "CaseModel", "ClaimModel"]

AnyReason: TypeAlias = Annotated[Reason, Field(strict=False)]


class ClaimModel(Model):
    """A login that the request claims."""

    login: str = Field(description="The login.")
    source: Literal["basic", "header", "bearer", "jwt", "form", "json"] | None = Field(
        None, description="Where it stands; without it, the first place that the policy reads."
    )


class CaseModel(Model):
    """A request, and what is to come of it."""

    name: Text = Field(description="What is tested, in a sentence of your own.")
    host: Text = Field(description="The Host header.")
    login: str | None = Field(None, description="The login that the request claims.")
    logins: list[ClaimModel] | None = Field(None, description="Several, or where they stand.")
    certificate: Text | None = Field(
        None, description="PEM or DER file of the client; without it the client presents none."
    )
    chain: Text | None = Field(None, description="File with what the client sends above it.")
    at: Text | None = Field(None, description="When, in RFC 3339, or a day, from its beginning.")
    path: Text = Field("/", description="Path of the request.")
    method: Text = Field("GET", description="HTTP method.")
    client: Text | None = Field(None, description="IP address of the client.")
    expect: Literal["allow", "deny"] = Field(description="Whether the request passes.")
    reasons: list[AnyReason] | None = Field(
        None, description="Exactly what is found against it, whether it passes or not."
    )
    tolerated: list[AnyReason] | None = Field(
        None, description="Exactly what is found and let pass by the policy."
    )
    accounts: list[Text] | None = Field(
        None, description="Logins of exactly the accounts that the request is for."
    )
    exempt: Text | None = Field(
        None, description="Name of the exemption by which it passes; null for by none."
    )


class CaseFileModel(Model):
    """Policy tests."""

    policy: Text = Field(description="The policy file, relative to this one.")
    at: Text | None = Field(None, description="When, for the cases that do not say.")
    cases: list[CaseModel] = Field(min_length=1, description="Requests, and what is expected.")

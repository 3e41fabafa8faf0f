"""The shape of `login`, `session`, `exempt` and `certificate_required_for` in the policy file."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from extauthz.policyfile.model import Model, Name, SecretModel, Text

__all__ = [
    "ExemptionModel",
    "LoginModel",
    "RequiredForModel",
    "SessionModel",
]


class TokenModel(Model):
    """Where Envoy's jwt_authn puts the payload of a token that it has verified."""

    header: Text = Field(description="The `forward_payload_header` of jwt_authn.")
    claim: Text = Field(description="Claim with the login; a JSON pointer when it begins with /.")


class FormModel(Model):
    """A login form."""

    paths: list[Text] = Field(min_length=1, description="Paths to which the form is posted.")
    field: Text = Field(description="Name of the field with the login.")


class JsonModel(Model):
    """A login in JSON."""

    paths: list[Text] = Field(min_length=1, description="Paths to which it is posted.")
    pointer: Text = Field(description="JSON pointer to the login, like /user/name.")


class LoginSourceModel(Model):
    """One place where a request says who logs in. Exactly one key."""

    header: Text | None = Field(
        None, description="A header that a filter of Envoy sets, and no client can."
    )
    bearer: TokenModel | None = Field(
        None, description="A claim of the bearer token; a token not verified by Envoy is refused."
    )
    jwt: TokenModel | None = Field(None, description="A claim of a token, wherever it stands.")
    form: FormModel | None = Field(None, description="A field of a login form.")
    json_: JsonModel | None = Field(None, alias="json", description="A member of a JSON body.")


class SessionModel(Model):
    """Sessions of the service, pinned to the account that began them."""

    cookie: Text = Field(description="Name of the service's session cookie.")
    idle_seconds: int = Field(
        43_200, ge=60, le=2_592_000, description="How long a pin lasts after its last use."
    )
    store: Text | None = Field(
        None, description="redis:// or rediss:// URL, for several replicas; else this process."
    )
    password: SecretModel | None = Field(None, description="Password of the store.")
    ca_file: Text | None = Field(
        None, description="PEM file with the CAs that the store is checked against."
    )


class ExemptionModel(Model):
    """Requests that pass without a certificate, until a day. All conditions given must hold."""

    name: Name | None = Field(None, description="Its name in log and metrics; else its number.")
    reason: Text = Field(description="Why, and who asked for it.")
    until: Text = Field(description="Last day on which it holds, YYYY-MM-DD (UTC).")
    logins: list[Text] = Field(
        default_factory=list, description="The request claims one of these, and no other."
    )
    paths: list[Text] = Field(
        default_factory=list, description="Paths; one that ends in /* stands for all below."
    )
    methods: list[Text] = Field(
        default_factory=list, description="Methods, at these paths; without it any."
    )
    from_: list[Text] = Field(
        default_factory=list, alias="from", description="Networks of the client, as CIDR."
    )


class RequiredForModel(Model):
    """Whom certificates are demanded of; everybody else is treated as in audit mode."""

    logins: list[Text] = Field(default_factory=list, description="Logins.")
    groups: list[Text] = Field(default_factory=list, description="Groups of accounts.")


LoginModel: TypeAlias = Annotated[
    Annotated[Literal["basic", "client_certificate"], Tag("(text)")]
    | Annotated[LoginSourceModel, Tag("(mapping)")],
    Discriminator(lambda value: "(mapping)" if isinstance(value, dict) else "(text)"),
]

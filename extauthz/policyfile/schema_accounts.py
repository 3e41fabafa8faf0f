"""The shape of `accounts` in the policy file: a mapping, or where the accounts live."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from extauthz.policyfile.model import Model, OneOrMoreTexts, SecretModel, Text, TextList

__all__ = [
    "DIRECTORY_KEYS",
    "AccountModel",
    "AccountsModel",
    "DirectoryModel",
    "LdapModel",
]


class AccountModel(Model):
    """A user, with more than a name in certificates."""

    email: OneOrMoreTexts | None = Field(None, description="Email address, or several.")
    upn: OneOrMoreTexts | None = Field(None, description="The same for `identity: upn`.")
    subject: OneOrMoreTexts | None = Field(None, description="The same for `identity: subject`.")
    san_uri: OneOrMoreTexts | None = Field(None, description="The same for `identity: san_uri`.")
    former: dict[Text, Text] = Field(
        default_factory=dict,
        description="Former names in certificates, each with the last day on which it holds.",
    )
    unit: Text | None = Field(None, description="The part of the company.")
    role: Literal["manager", "unit_manager"] | None = Field(
        None, description="Who may mend accounts with `extauthz accounts`: all, or the own unit's."
    )
    groups: list[Text] = Field(default_factory=list, description="Groups of the user.")
    disabled: bool = Field(default=False, description="Whether the user is refused.")


class SqlModel(Model):
    """Accounts in a database."""

    url: Text = Field(description="URL of SQLAlchemy, without a password.")
    query: Text = Field(
        description="One SELECT with the parameters :login and :identity, of which one is NULL;"
        " columns login, email (or what `identity` says), disabled, group, unit."
    )
    password: SecretModel | None = Field(None, description="Password of the database's user.")
    ca_file: Text | None = Field(
        None, description="PEM file with the CAs that the server is checked against."
    )
    pool_size: int = Field(4, ge=1, le=64, description="How many connections are kept.")
    timeout: float = Field(2, gt=0, le=30, description="Seconds for a connection and the query.")


class BindModel(Model):
    """As whom to bind."""

    dn: Text = Field(description="Distinguished name.")
    password: SecretModel = Field(description="Its password.")


class LdapModel(Model):
    """Accounts in an LDAP directory."""

    url: Text = Field(description="ldap:// or ldaps:// and the host, with a port or without.")
    base: Text = Field(description="DN below which accounts are looked for.")
    login_attribute: Text = Field(description="Attribute with the login, such as uid.")
    email_attribute: Text = Field(
        description="Attribute with the name in certificates, such as mail."
    )
    filter: Text = Field("(objectClass=*)", description="What an entry must fulfil besides.")
    bind: BindModel | None = Field(None, description="As whom to bind; without it, as nobody.")
    start_tls: bool = Field(default=False, description="Whether ldap:// goes on with TLS.")
    ca_file: Text | None = Field(
        None, description="PEM file with the CAs that the server is checked against."
    )
    disabled_attribute: Text | None = Field(
        None, description="Attribute that says that an account is disabled."
    )
    group_attribute: Text | None = Field(None, description="Attribute with groups: memberOf.")
    pool_size: int = Field(4, ge=1, le=64, description="How many connections are kept.")
    timeout: float = Field(2, gt=0, le=30, description="Seconds for a connection and the search.")


class HttpModel(Model):
    """A service that answers for its own users."""

    url: Text = Field(description="Where it is asked.")
    token: SecretModel | None = Field(None, description="Sent as Authorization: Bearer.")
    ca_file: Text | None = Field(
        None, description="PEM file with the CAs that the server is checked against."
    )
    timeout: float = Field(2, gt=0, le=30, description="Seconds for the whole answer.")


class CacheModel(Model):
    """For how long an answer of a directory counts, in seconds."""

    ttl: int = Field(60, ge=1, le=86_400, description="When there is such an account.")
    negative_ttl: int = Field(10, ge=1, le=86_400, description="When there is none.")
    stale_if_error: int = Field(
        0, ge=0, le=604_800, description="How much longer while the directory does not answer."
    )


class DirectoryModel(Model):
    """Where the accounts live, if not here. One of file, sql, ldap and http."""

    file: Text | None = Field(None, description="YAML, CSV or JSON lines, by the name's ending.")
    sql: SqlModel | None = Field(None, description="A database.")
    ldap: LdapModel | None = Field(None, description="An LDAP directory.")
    http: HttpModel | None = Field(None, description="A service that is asked over HTTP.")
    cache: CacheModel | None = Field(
        None, description="How long answers of sql, ldap and http count."
    )


def _account_form(value: object) -> str:
    return _BY_TYPE.get(type(value), "(text)")


def _accounts_form(value: object) -> str:
    is_directory = isinstance(value, dict) and not value.keys().isdisjoint(DIRECTORY_KEYS)
    return "(directory)" if is_directory else "(accounts)"


DIRECTORY_KEYS: Final = frozenset(DirectoryModel.model_fields)
"""No logins: with one of these keys `accounts` says where the accounts live."""
_BY_TYPE: dict[type, str] = {list: "(list)", dict: "(mapping)"}
AccountValue: TypeAlias = Annotated[
    Annotated[Text, Tag("(text)")]
    | Annotated[TextList, Tag("(list)")]
    | Annotated[AccountModel, Tag("(mapping)")],
    Discriminator(_account_form),
]
AccountsModel: TypeAlias = Annotated[
    Annotated[
        dict[Text, AccountValue],
        Tag("(accounts)"),
        Field(json_schema_extra={"propertyNames": {"not": {"enum": sorted(DIRECTORY_KEYS)}}}),
    ]
    | Annotated[DirectoryModel, Tag("(directory)")],
    Discriminator(_accounts_form),
]

"""Logins: what a request claims to be, and where a subscription's requests say it.

Where requests say it is settings. How it is read there is the business of `wire.logins`.
"""

import dataclasses
import re
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, TypeAlias

from extauthz.findings import Finding, Reason
from extauthz.request_path import loose

__all__ = [
    "MAX_LENGTH",
    "Basic",
    "Bearer",
    "ClientCertificate",
    "Form",
    "HeaderField",
    "JsonBody",
    "Jwt",
    "Login",
    "LoginSource",
    "claim_path",
    "claimed",
    "json_pointer",
]

MAX_LENGTH: Final = 1024
"""Longest login, in characters."""

_POINTER = re.compile(r"(?>(?:/(?>(?:[^~/]|~[01])*))*)")


class Login(NamedTuple):
    """A name under which the request claims to be an account, and where it stood."""

    name: str
    source: str
    """The `source` of the class that says where, such as `basic`."""


def claimed(name: str, source: str) -> Login | Finding:
    """The login of that name; a finding for what nobody is called.

    RFC 7617 2 forbids control characters in user names; what no reader can see is left out too.
    """
    if not 0 < len(name) <= MAX_LENGTH or not name.isprintable():
        detail = f"the login ({source}) is empty, too long or has control characters"
        return Finding(Reason.LOGIN_MALFORMED, detail)
    return Login(name, source)


@dataclass(frozen=True, slots=True)
class Basic:
    """The user name of HTTP Basic (RFC 7617)."""

    source: ClassVar[str] = "basic"


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A header field that whoever stands in front sets, and that no client can send."""

    source: ClassVar[str] = "header"
    name: str


@dataclass(frozen=True, slots=True)
class Bearer:
    """A claim of the bearer token (RFC 6750 2.1) that Envoy's `jwt_authn` verified."""

    source: ClassVar[str] = "bearer"
    header: str
    """The `forward_payload_header` of `jwt_authn`."""
    claim: tuple[str, ...]
    """The names that lead to the claim, from the payload inwards."""


@dataclass(frozen=True, slots=True)
class Jwt:
    """A claim of a token that Envoy's `jwt_authn` verified, wherever it stood in the request."""

    source: ClassVar[str] = "jwt"
    header: str
    """The `forward_payload_header` of `jwt_authn`."""
    claim: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """A field of an HTML form, `application/x-www-form-urlencoded`."""

    source: ClassVar[str] = "form"
    paths: tuple[str, ...]
    """Where the form is sent to."""
    field: str
    loose_paths: frozenset[str] = dataclasses.field(init=False, repr=False, compare=False)
    """The paths as `request_path.readings` has them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "loose_paths", frozenset(map(loose, self.paths)))


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A text in a JSON body."""

    source: ClassVar[str] = "json"
    paths: tuple[str, ...]
    """Where the body is sent to."""
    pointer: tuple[str, ...]
    """The reference tokens of a JSON pointer (RFC 6901 4)."""
    loose_paths: frozenset[str] = dataclasses.field(init=False, repr=False, compare=False)
    """The paths as `request_path.readings` has them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "loose_paths", frozenset(map(loose, self.paths)))


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The account that the certificate names. It stands in no request."""

    source: ClassVar[str] = "client_certificate"


LoginSource: TypeAlias = Basic | HeaderField | Bearer | Jwt | Form | JsonBody | ClientCertificate


def json_pointer(text: str) -> tuple[str, ...] | None:
    """The reference tokens of a JSON pointer (RFC 6901 3 and 4); None when the text is none."""
    if not _POINTER.fullmatch(text):
        return None
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:])


def claim_path(text: str) -> tuple[str, ...] | None:
    """The way to a claim: the name of one of the payload's own, or a JSON pointer into it.

    None when the text is neither. A name that begins with a slash is written as a pointer.
    """
    if text.startswith("/"):
        return json_pointer(text)
    return (text,) if text else None

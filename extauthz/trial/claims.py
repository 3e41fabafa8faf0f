"""Logins of a request that an operator describes, and which of them a subscription reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from extauthz.findings import Finding
from extauthz.login import (
    Basic,
    Bearer,
    ClientCertificate,
    Form,
    HeaderField,
    JsonBody,
    Jwt,
    Login,
    LoginSource,
)
from extauthz.policy import Subscription
from extauthz.quoting import quoted
from extauthz.rehearsal import read_at
from extauthz.trial import written

__all__ = ["SOURCES", "Claim", "Read", "read"]

SOURCES: Final = tuple(kind.source for kind in (Basic, HeaderField, Bearer, Jwt, Form, JsonBody))
"""Kinds of places in a request where a login can stand."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A login, and the kind of place where it stands; None for the first that is read."""

    login: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What the server would read of claims."""

    logins: tuple[Login | Finding, ...]
    notes: tuple[str, ...]
    """What it would not read, and why: sentences."""


def read(claims: Iterable[Claim], path: str, subscription: Subscription | None) -> Read:
    """Read the claims of a request for a path. Raises `written.WrittenError`."""
    sources = () if subscription is None else read_at(path, subscription)
    kinds = [each.source for each in sources if not isinstance(each, ClientCertificate)]
    logins: list[Login | Finding] = []
    notes: list[str] = []
    for claim in claims:
        kind = claim.source or next(iter(kinds), Basic.source)
        login = written.login(claim.login, kind)
        if subscription is None or kind in kinds:
            logins.append(login)
        else:
            notes.append(_unread(claim.login, kind, path, subscription))
    return Read(tuple(logins), tuple(notes))


def _unread(login: str, kind: str, path: str, subscription: Subscription) -> str:
    places = ", ".join(map(_place, subscription.login))
    where = f" at {quoted(path)}" if kind in {Form.source, JsonBody.source} else ""
    return (
        f"The login {quoted(login)} counts for nothing: the `login` of"
        f" {quoted(subscription.name)} reads none from `{kind}`{where}. It reads: {places}."
    )


def _place(source: LoginSource) -> str:
    match source:
        case Form() | JsonBody():
            return f"{source.source} at {', '.join(map(quoted, source.paths))}"
        case HeaderField():
            return f"{source.source} {quoted(source.name)}"
        case _:
            return source.source

"""The `accounts` of a subscription: a mapping here, or where they live.

Whether a directory answers today is not asked here: it may be down for a while, and that must not
keep the policy of all from taking effect.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from extauthz import days
from extauthz.accounts import Account, Accounts, Former, Role
from extauthz.files import Place
from extauthz.findings import Finding
from extauthz.identity import Identity, IdentityKind, parse
from extauthz.login import claimed
from extauthz.lookup import (
    AccountFile,
    Caching,
    Directory,
    HttpDirectory,
    LdapDirectory,
    Secret,
    SqlDirectory,
)
from extauthz.policyfile import document
from extauthz.policyfile.document import Node, Scalar, says, texts
from extauthz.policyfile.model import SecretModel
from extauthz.policyfile.problems import Report, quoted
from extauthz.policyfile.schema import SubscriptionModel
from extauthz.policyfile.schema_accounts import DIRECTORY_KEYS, DirectoryModel, LdapModel

__all__ = ["accounts", "check", "check_secret", "directory", "secret"]

KINDS = ("file", "sql", "ldap", "http")

_IDENTITIES = {
    IdentityKind.EMAIL: ("an email address", "write one plain address like alice@example.com"),
    IdentityKind.UPN: ("a userPrincipalName", "write it like alice@corp.example.com"),
    IdentityKind.SUBJECT: (
        "a distinguished name",
        "write it as the decision log does: 'CN=Alice,O=Acme', the most specific part first",
    ),
    IdentityKind.SAN_URI: ("a URI", "write it like spiffe://acme.example/alice"),
}
"""What an account's value should be, and how to write it, for each kind of name."""


def check(node: document.Mapping, kind: IdentityKind, report: Report) -> list[Account]:
    """The accounts of a subscription that stand in the policy; what cannot be meant is reported."""
    given = node.values.get("accounts")
    if not isinstance(given, document.Mapping):
        return []
    if not given.keys.keys().isdisjoint(DIRECTORY_KEYS):
        _check_directory(given, report)
        return []
    for login, place in given.keys.items():
        if isinstance(why := claimed(login, "accounts"), Finding) and login:
            report(place, f"{quoted(login)} cannot be a login: {why.detail}", "write it as it is")
    found = (_account(login, value, kind, report) for login, value in given.values.items())
    return [account for account in found if account is not None]


def accounts(model: SubscriptionModel, listed: list[Account], beside: Path) -> Accounts | Directory:
    """The accounts in which `check` found nothing wrong, or where they live."""
    if not isinstance(model.accounts, DirectoryModel):
        return Accounts(listed)
    found = directory(model.accounts, IdentityKind(model.identity), beside)
    if found is None:
        message = "accounts that live in no place"
        raise ValueError(message)
    return found


def directory(given: DirectoryModel, kind: IdentityKind, beside: Path) -> Directory | None:
    """Where accounts live, as far as it is said; None when it is not."""
    caching = Caching()
    if given.cache is not None:
        caching = Caching(
            timedelta(seconds=given.cache.ttl),
            timedelta(seconds=given.cache.negative_ttl),
            timedelta(seconds=given.cache.stale_if_error),
        )
    if given.sql is not None:
        return SqlDirectory(
            given.sql.url, given.sql.query, kind,
            secret(given.sql.password, beside), _path(given.sql.ca_file, beside),
            given.sql.pool_size, timedelta(seconds=given.sql.timeout), caching,
        )  # fmt: skip
    if given.ldap is not None:
        return _ldap(given.ldap, kind, caching, beside)
    if given.http is not None:
        return HttpDirectory(
            given.http.url, kind, secret(given.http.token, beside),
            _path(given.http.ca_file, beside), timedelta(seconds=given.http.timeout), caching,
        )  # fmt: skip
    return None if given.file is None else AccountFile(str(beside / given.file), kind)


def secret(model: SecretModel | None, beside: Path) -> Secret | None:
    """Where a secret is read."""
    return None if model is None else Secret(model.env, _path(model.file, beside))


def check_secret(node: Node | None, report: Report) -> None:
    """Report a secret with no place, or with two."""
    if isinstance(node, document.Mapping) and not _is_one_text(node):
        message = "either `env` or `file` must be given"
        report(node.place, message, "say where the secret is read, like {env: NAME}")


def _is_one_text(node: document.Mapping) -> bool:
    (only, *others) = (*node.values.values(), None)
    return len(others) == 1 and isinstance(only, Scalar) and isinstance(only.value, str)


def _ldap(model: LdapModel, kind: IdentityKind, caching: Caching, beside: Path) -> LdapDirectory:
    return LdapDirectory(
        url=model.url,
        base=model.base,
        login_attribute=model.login_attribute,
        email_attribute=model.email_attribute,
        filter=model.filter,
        kind=kind,
        bind_dn=None if model.bind is None else model.bind.dn,
        password=None if model.bind is None else secret(model.bind.password, beside),
        start_tls=model.start_tls,
        ca_file=_path(model.ca_file, beside),
        disabled_attribute=model.disabled_attribute,
        group_attribute=model.group_attribute,
        pool_size=model.pool_size,
        timeout=timedelta(seconds=model.timeout),
        caching=caching,
    )


def _path(written: str | None, beside: Path) -> str | None:
    return None if written is None else str(beside / written)


def _check_directory(given: document.Mapping, report: Report) -> None:
    named = [key for key in KINDS if key in given.values]
    if len(named) != 1:
        message = f"accounts live in {' and in '.join(map(quoted, named)) or 'no place'}"
        report(given.place, message, "give one of `file`, `sql`, `ldap` and `http`")
    if "cache" in given.values and "file" in given.values:
        message = "`cache` has no effect: a file is read when it changes"
        report(given.keys["cache"], message, "leave it out")
    for key, part in given.values.items():
        if isinstance(part, Scalar) and part.value is None:
            report(part.place, f"{quoted(key)} is empty", "say where the accounts live")
        if isinstance(part, document.Mapping):
            for secret_of in ("password", "token"):
                check_secret(part.values.get(secret_of), report)
            if isinstance(bind := part.values.get("bind"), document.Mapping):
                check_secret(bind.values.get("password"), report)


def _account(login: str, value: Node, kind: IdentityKind, report: Report) -> Account | None:
    """What stands at a login; None where it is of no possible shape."""
    if isinstance(value, Scalar):
        names = [value] if isinstance(value.value, str) and value.value else []
        return Account(login, tuple(_identities(names, kind, report))) if names else None
    if isinstance(value, document.Sequence):
        return Account(login, tuple(_identities(texts(value), kind, report)))
    given = value.values.get(kind)
    names = list(texts(given))
    if isinstance(given, Scalar) and isinstance(given.value, str):
        names = [given]
    if given is None or (isinstance(given, Scalar) and given.value is None):
        message = f"the account {quoted(login)} lacks {str(kind)!r}"
        report(value.place, message, f"that is its name in certificates: the `identity` is {kind}")
    for other in set(IdentityKind) - {kind}:
        if other in value.values:
            message = f"{str(other)!r} has no effect: the `identity` is {kind}"
            report(value.keys[other], message, f"write {str(kind)!r}")
    disabled, role, unit = (says(value, key) for key in ("disabled", "role", "unit"))
    return Account(
        login,
        tuple(_identities(names, kind, report)),
        tuple(_former(value.values.get("former"), kind, report)),
        is_disabled=disabled is True,
        groups=frozenset(str(item.value) for item in texts(value.values.get("groups"))),
        unit=unit if isinstance(unit, str) else None,
        role=Role(role) if isinstance(role, str) and role in set(Role) else None,
    )


def _identities(names: Iterable[Scalar], kind: IdentityKind, report: Report) -> Iterator[Identity]:
    for name in names:
        if (identity := _identity(str(name.value), name.place, kind, report)) is not None:
            yield identity


def _identity(written: str, place: Place, kind: IdentityKind, report: Report) -> Identity | None:
    identity = parse(kind, written)
    if identity is None:
        what, remedy = _IDENTITIES[kind]
        report(place, f"{quoted(written)} is not {what}", remedy)
    return identity


def _former(node: Node | None, kind: IdentityKind, report: Report) -> Iterator[Former]:
    if not isinstance(node, document.Mapping):
        return
    for name, value in node.values.items():
        identity = _identity(name, node.keys[name], kind, report)
        written = value.value if isinstance(value, Scalar) else None
        if not isinstance(written, str) or not written:
            continue
        until = days.end_of_day(written)
        if until is None:
            report(value.place, f"{quoted(written)} is not a day", days.REMEDY)
        elif identity is not None:
            yield Former(identity, until)

"""The `login` and `session` of a subscription: where its requests say who logs in."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from extauthz.envoyconfig.needs import refused_header
from extauthz.login import (
    Basic,
    Bearer,
    ClientCertificate,
    Form,
    HeaderField,
    JsonBody,
    Jwt,
    LoginSource,
    claim_path,
    json_pointer,
)
from extauthz.policyfile import document
from extauthz.policyfile.accounts import check_secret, secret
from extauthz.policyfile.document import Node, Plain, Scalar, says, texts
from extauthz.policyfile.problems import Report, quoted
from extauthz.policyfile.schema_logins import LoginModel, SessionModel
from extauthz.request_path import exact
from extauthz.session import SessionPolicy

__all__ = ["check", "session", "sources"]

_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
"""RFC 6265 4.1.1: a token of RFC 9110."""
_KEYS = ("header", "bearer", "jwt", "form", "json")


def check(node: document.Mapping, report: Report) -> None:
    """Report what cannot be meant, wherever the shape is right."""
    listed = node.values.get("login")
    if isinstance(listed, document.Sequence):
        seen: set[str] = set()
        for item in listed.items:
            if isinstance(item, document.Mapping):
                _check_source(item, report)
            written = repr(_meant(item.plain()))
            if written in seen:
                report(item.place, "the same source stands twice", "leave one out")
            seen.add(written)
    given = node.values.get("session")
    if isinstance(given, document.Mapping):
        _check_session(given, report)
        if says(node, "verify_email") is False:
            message = "`session` has no effect: with `verify_email: false` nobody has an account"
            report(node.keys["session"], message, "leave one of the two out")


def sources(models: list[LoginModel]) -> tuple[LoginSource, ...]:
    """The sources of a `login` in which `check` found nothing wrong."""
    return tuple(map(_source, models))


def session(model: SessionModel | None, beside: Path) -> SessionPolicy | None:
    """The settings of a `session` in which `check` found nothing wrong."""
    if model is None:
        return None
    return SessionPolicy(
        model.cookie,
        timedelta(seconds=model.idle_seconds),
        model.store,
        secret(model.password, beside),
        None if model.ca_file is None else str(beside / model.ca_file),
    )


def _meant(plain: Plain, key: str = "") -> Plain:
    """What is written, in the one way of several that mean the same: headers have no case."""
    if isinstance(plain, dict):
        return {name: _meant(plain[name], name) for name in sorted(plain)}
    return plain.lower() if key == "header" and isinstance(plain, str) else plain


def _source(model: LoginModel) -> LoginSource:
    if isinstance(model, str):
        return Basic() if model == "basic" else ClientCertificate()
    if model.header is not None:
        return HeaderField(model.header.lower())
    if model.bearer is not None:
        return Bearer(model.bearer.header.lower(), claim_path(model.bearer.claim) or ())
    if model.jwt is not None:
        return Jwt(model.jwt.header.lower(), claim_path(model.jwt.claim) or ())
    if model.form is not None:
        return Form(tuple(model.form.paths), model.form.field)
    if model.json_ is not None:
        pointer = json_pointer(model.json_.pointer)
        return JsonBody(tuple(model.json_.paths), pointer or ())
    message = "a source of logins without a kind"
    raise ValueError(message)


def _check_source(node: document.Mapping, report: Report) -> None:
    if len(node.values) != 1:
        remedy = f"write each source as an item of its own: one of {', '.join(_KEYS)}"
        report(node.place, "a source of logins has exactly one key", remedy)
    for key, value in node.values.items():
        if isinstance(value, Scalar) and value.value is None and key in _KEYS:
            report(value.place, f"{quoted(key)} is empty", "write what it needs, or leave it out")
    _check_header(node.values.get("header"), report)
    for key in ("bearer", "jwt"):
        if isinstance(token := node.values.get(key), document.Mapping):
            _check_header(token.values.get("header"), report)
            _check_text(
                token.values.get("claim"), claim_path, "a claim",
                "write a claim's name, or a JSON pointer like /user/name", report,
            )  # fmt: skip
    for key in ("form", "json"):
        if isinstance(body := node.values.get(key), document.Mapping):
            for item in texts(body.values.get("paths")):
                _check_path(item, report)
            _check_text(
                body.values.get("pointer"), json_pointer, "a JSON pointer",
                "write it like /user/name (RFC 6901)", report,
            )  # fmt: skip


def _check_text(
    node: Node | None,
    read: Callable[[str], object],
    what: str,
    remedy: str,
    report: Report,
) -> None:
    if isinstance(node, Scalar) and isinstance(node.value, str) and not read(node.value):
        report(node.place, f"{quoted(node.value)} is not {what}", remedy)


def _check_header(node: Node | None, report: Report) -> None:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        why = refused_header(node.value)
        if why is not None:
            remedy = "name a header that a filter of Envoy sets for this and nothing else"
            report(node.place, f"{quoted(node.value)} cannot say who logs in: {why}", remedy)


def _check_path(item: Scalar, report: Report) -> None:
    written = str(item.value)
    if "*" in written:
        # Where exemptions have a pattern, this would be a path that nobody posts to.
        message = f"{quoted(written)} has a star in it, and there are no patterns here"
        report(item.place, message, "list every path to which the login is posted")
    elif exact(written) != written:
        remedy = "write it as the service knows it: like /login, without a query"
        report(item.place, f"{quoted(written)} is not a path in its normal form", remedy)


def _check_session(node: document.Mapping, report: Report) -> None:
    cookie = node.values.get("cookie")
    name = says(node, "cookie")
    if cookie is not None and isinstance(name, str) and name and not _COOKIE_NAME.fullmatch(name):
        remedy = "write the name alone, like JSESSIONID"
        report(cookie.place, f"{quoted(name)} is not a cookie's name", remedy)
    check_secret(node.values.get("password"), report)

"""What the benchmark asks over HTTP: a request for each source of logins, as Envoy sends it."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from extauthz.demo.authority import Credential

__all__ = ["REQUESTS", "Asked", "forwarded", "policy", "write_script"]

PAYLOAD = base64.urlsafe_b64encode(
    json.dumps({"iss": "https://login.example", "sub": "1234", "user": "alice"}).encode()
).decode()
TOKEN = f"eyJhbGciOiJFUzI1NiJ9.{PAYLOAD.rstrip('=')}.c2lnbmF0dXJl"
SOURCES = {
    "basic": "login: [basic]",
    "header": "login: [{header: x-user}]",
    "bearer": "login: [{bearer: {header: x-jwt-payload, claim: user}}]",
    "jwt": "login: [{jwt: {header: x-sso-payload, claim: user}}]",
    "form": "login: [{form: {paths: [/login], field: username}}]",
    "json": "login: [{json: {paths: [/login], pointer: /user/name}}]",
    "certificate": "login: [client_certificate]",
    "session": "session: {cookie: JSESSIONID}",
    "exempt": "exempt: [{reason: x, until: UNTIL, paths: ['/hooks/*'], from: [203.0.113.0/24]}]",
}


@dataclass(frozen=True)
class Asked:
    """A request, besides what all have."""

    host: str
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/api/items?id=7"
    body: str = ""
    has_certificate: bool = True


BODY = {"x-extauthz-body-limit": "65536", "x-envoy-auth-partial-body": "false"}
FORM = BODY | {"content-type": "application/x-www-form-urlencoded"}
REQUESTS = {
    "no login": Asked("basic"),
    "Basic": Asked("basic", {"authorization": "Basic YWxpY2U6c2VjcmV0"}),
    "header": Asked("header", {"x-user": "alice"}),
    "bearer token": Asked(
        "bearer", {"authorization": f"Bearer {TOKEN}", "x-jwt-payload": PAYLOAD.rstrip("=")}
    ),
    # It stands where the check does not have it, in a cookie for instance.
    "other token": Asked("jwt", {"x-sso-payload": PAYLOAD.rstrip("=")}),
    "form": Asked("form", FORM, "/login", "username=alice&password=correct+horse&remember=on"),
    "JSON": Asked(
        "json", BODY | {"content-type": "application/json"}, "/login",
        '{"user": {"name": "alice", "password": "correct horse"}}',
    ),
    "client certificate": Asked("certificate"),
    "session cookie": Asked("session", {"cookie": "theme=dark; JSESSIONID=0123456789abcdef"}),
    "exempted": Asked("exempt", path="/hooks/github", has_certificate=False),
}  # fmt: skip


def policy(until: str) -> str:
    """A subscription for each source; `until` is a day on which exemptions still hold."""
    return "subscriptions:\n" + "".join(
        f"  {name}:\n    hosts: [{name}.example]\n    signing_certificates: [ca.pem]\n"
        f"    accounts: {{alice: alice@s0.example}}\n    {setting.replace('UNTIL', until)}\n"
        for name, setting in SOURCES.items()
    )


def write_script(directory: Path, label: str, asked: Asked, credential: Credential) -> Path:
    """The request for wrk."""
    headers = {
        "Host": f"{asked.host}.example",
        "x-request-id": "f0a6a9cb-5f0d-4d4c-8f3c-1b3b6a6f2f11",
        "x-extauthz-client-address": "203.0.113.9",
        "accept": "*/*",
        **asked.headers,
    }
    if asked.has_certificate:
        headers["x-forwarded-client-cert"] = forwarded(credential)
    lines = [f"wrk.headers['{key}'] = [==[{value}]==]" for key, value in headers.items()]
    if asked.body:
        lines += ["wrk.method = 'POST'", f"wrk.body = [==[{asked.body}]==]"]
    script = directory / f"{label.replace(' ', '-')}.lua"
    script.write_text("\n".join([f"wrk.path = '/check{asked.path}'", *lines]))
    return script


def forwarded(credential: Credential) -> str:
    """The certificate header as Envoy writes it."""
    pem = quote(credential.pem, safe="")
    digest = hashlib.sha256(credential.der).hexdigest()
    return f'Hash={digest};Cert="{pem}";Chain="{pem}"'

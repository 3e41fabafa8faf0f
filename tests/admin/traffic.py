"""A server that runs, with customers and traffic of every kind, for the admin pages to show."""

import http.client
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from extauthz.demo.authority import Credential, Validity, authority, name, user
from tests.cli.conftest import Server, forwarded
from tests.revocation.made import crl

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
CURL = "curl/8.5.0"
SCRIPT = "<script>document.title='executed'</script>"
HANDLER = '"onmouseover="document.title=1" autofocus onfocus="document.title=1'
TEMPLATE = "{{7919*7907}}{% debug %}${7919*7907}"
TURNED = "\u202egnirts\u202c"
LONG = "x" * 2_000

HOSTILE = (
    SCRIPT,
    HANDLER,
    TEMPLATE,
    TURNED,
    LONG,
    "a\0b",
    "<img src=x onerror=alert(1)>",
    "]]>&amp;",
)
"""Texts that somebody may have put anywhere."""

POLICY = """\
subscriptions:
  acme:
    hosts: [acme.example.com, "*.acme.example.com"]
    signing_certificates: [acme-ca.pem, acme-new-ca.pem]
    accounts:
      alice: alice@acme.example
      bob: bob@acme.example
    exempt:
    - reason: build server until it has a certificate
      until: DAY
      logins: [ci]
      from: [192.0.2.0/24]
    - name: old-monitoring
      reason: nobody remembers
      until: 2024-01-31
      paths: [/health/*]
      methods: [GET]
    revocation:
      crl: [acme.crl, missing.crl]
      if_unknown: deny
  audited:
    hosts: [audited.example.com]
    signing_certificates: [hostile-ca.pem]
    accounts: {file: accounts.csv}
    mode: audit
  unchecked:
    hosts: [off.example.com]
    signing_certificates: [acme-ca.pem]
    mode: off
    verify_email: false
"""


@dataclass(frozen=True)
class World:
    """The customers' CAs and users."""

    policy: Path
    acme: Credential
    alice: Credential
    bob: Credential
    expired: Credential
    strange: Credential
    """Of another CA."""
    hostile: Sequence[Credential]
    """Of a CA whose own name is hostile, too."""


def make_world(directory: Path) -> World:
    """Write a policy and the certificates that it names."""
    acme = authority(name("Acme CA", "Acme"))
    ending = authority(name("Acme CA G2", "Acme"), validity=Validity.days(-10, 12))
    hostile_ca = authority(name(SCRIPT[:60], '"><img src=x onerror=alert(1)>'))
    files = {"acme-ca": acme, "acme-new-ca": ending, "hostile-ca": hostile_ca}
    for stem, ca in files.items():
        (directory / f"{stem}.pem").write_text(ca.pem)
    now = datetime.now(UTC)
    lists = crl(
        acme, number=7, this_update=now - timedelta(hours=3), next_update=now + timedelta(days=4)
    )
    (directory / "acme.crl").write_bytes(lists)
    (directory / "accounts.csv").write_text("login,email\ncarol,carol@audited.example\n")
    policy = directory / "policy.yaml"
    policy.write_text(POLICY.replace("DAY", f"{now + timedelta(days=90):%Y-%m-%d}"))
    return World(
        policy,
        acme,
        user(acme, "alice", "alice@acme.example"),
        user(acme, "bob", "robert@acme.example"),
        user(acme, "eve", "eve@acme.example", validity=Validity.days(-400, -35)),
        user(authority(name("Initech CA")), "mallory", "mallory@initech.example"),
        [
            # An X.520 commonName has 64 characters at most.
            user(hostile_ca, text.replace("\0", "\u0085")[:64], "carol@audited.example")
            for text in HOSTILE
        ],
    )


def ask(
    connection: http.client.HTTPConnection,
    host: str,
    certificate: Credential | None = None,
    *,
    login: str | None = None,
    path: str = "/",
    request_id: str = "",
    agent: str = FIREFOX,
    client: str = "198.51.100.7",
) -> int:
    """A check, as Envoy asks it; the status of the answer."""
    headers = {
        "Host": host, "x-request-id": request_id, "User-Agent": agent,
        "x-extauthz-client-address": client,
    }  # fmt: skip
    if certificate is not None:
        headers["x-forwarded-client-cert"] = forwarded(certificate)
    if login is not None:
        headers["Authorization"] = "Basic " + b64encode(f"{login}:secret".encode()).decode()
    connection.request("GET", f"/check{path}", headers=headers)
    response = connection.getresponse()
    response.read()
    return response.status


def make_traffic(server: Server, world: World) -> None:
    """Users who pass, users who fail, integrations, attackers."""
    connection = server.connect()
    for number in range(40):
        ask(
            connection,
            "acme.example.com",
            world.alice,
            login="alice",
            path="/report",
            request_id=f"alice-{number}",
        )
    for number in range(6):
        ask(
            connection,
            "acme.example.com",
            world.bob,
            login="bob",
            path="/mail",
            request_id=f"bob-{number}",
        )
    ask(connection, "acme.example.com", world.expired, login="alice", request_id="expired-1")
    ask(connection, "acme.example.com", world.strange, login="bob", request_id="strange-1")
    for number in range(5):
        ask(
            connection,
            "www.acme.example.com",
            login="ci",
            agent=CURL,
            client="192.0.2.9",
            path="/api/jobs",
            request_id=f"ci-{number}",
        )
    for number in range(3):
        ask(
            connection,
            "acme.example.com",
            agent="python-requests/2.32",
            client="203.0.113.80",
            path="/api/export",
            request_id=f"nobody-{number}",
        )
    ask(connection, "nobody.example.com", world.alice, request_id="nobody-knows")
    ask(connection, "off.example.com", request_id="off-1")
    for number, (text, certificate) in enumerate(zip(HOSTILE, world.hostile, strict=True)):
        # A field's octets are what the peer likes; http.client writes them as Latin-1.
        field = text.replace("\0", "").encode().decode("latin-1")
        path = "/" + quote(text, safe="<>\"{}=()'&;")
        ask(connection, "audited.example.com", certificate, login=text, path=path,
            request_id=f"hostile-{number}", agent=field)  # fmt: skip
        ask(connection, "audited.example.com", certificate, agent=CURL, request_id=field[:200])
    connection.close()

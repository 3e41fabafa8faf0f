"""Who comes in and who does not, through the real thing: every row is a request by curl."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from extauthz.demo.authority import (
    Credential,
    Extension,
    Validity,
    authority,
    key_usage,
    name,
    user,
)
from extauthz.findings import Reason
from tests.wire.envoy_process import PATIENCE
from tests.wire.stack import (
    ACME,
    ALICE,
    CAROL,
    GENERIC,
    GLOBEX,
    POLICY,
    SIGNERS,
    Stack,
    running_stack,
)


@pytest.fixture(scope="module", params=["tcp", "unix"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The stack, with extauthz on a TCP port and on a Unix socket."""
    directory = tmp_path_factory.mktemp("stack")
    unix = request.param == "unix"
    with running_stack(directory, POLICY, SIGNERS, unix_socket=unix) as running:
        yield running


def alice(*extensions: Extension, issuer: Credential = ACME, email: bool = True) -> Credential:
    """Alice's certificate with other extensions than usual."""
    names = x509.SubjectAlternativeName([x509.RFC822Name("alice@acme.example")])
    given = [(names, False)] if email else []
    return issuer.issue(name("Alice"), [*given, *extensions])


def of_impostor() -> Credential:
    """A certificate of a CA that has Acme's name, and another key."""
    return user(authority(name("Acme CA", "Acme")), "Alice", "alice@acme.example")


@dataclass(frozen=True)
class Row:
    story: str
    certificate: Callable[[], Credential | None] = lambda: ALICE
    reasons: tuple[Reason, ...] = ()
    login: str | None = "alice"
    host: str = "acme.example"
    status: int = 0
    """The status that must come back, where it does not follow from the reasons."""
    arguments: tuple[str, ...] = ()


ROWS = [
    Row("no certificate", lambda: None, (Reason.CERTIFICATE_MISSING,)),
    Row("good"),
    Row("expired", lambda: user(ACME, "A", "alice@acme.example", validity=Validity.days(-9, -1)),
        (Reason.CERTIFICATE_EXPIRED,)),
    Row("not yet valid",
        lambda: user(ACME, "A", "alice@acme.example", validity=Validity.days(1, 9)),
        (Reason.CERTIFICATE_NOT_YET_VALID,)),
    Row("right name, other CA's key", of_impostor, (Reason.SIGNATURE_INVALID,)),
    Row("certificate of another subscription", lambda: CAROL,
        (Reason.ISSUER_MISMATCH, Reason.EMAIL_MISMATCH)),
    Row("self-signed copy of the CA's name",
        lambda: authority(name("Acme CA", "Acme"),
                          [(x509.SubjectAlternativeName(
                              [x509.RFC822Name("alice@acme.example")]), False)]),
        (Reason.SIGNATURE_INVALID,)),
    Row("email of another account", lambda: user(ACME, "Alice", "bob@acme.example"),
        (Reason.EMAIL_MISMATCH,)),
    Row("email in other letter case", lambda: user(ACME, "Alice", "ALICE@Acme.Example")),
    Row("two emails, one right", lambda: user(ACME, "A", "a@other.example", "alice@acme.example")),
    Row("no email", lambda: user(ACME, "Alice"), (Reason.EMAIL_MISSING,)),
    Row("email in the subject alone",
        lambda: ACME.issue(name("Alice", email="alice@acme.example"))),
    Row("verify_email: false", lambda: user(ACME, "Alice"), host="unverified.example"),
    Row("verify_email: false checks all else", lambda: CAROL, (Reason.ISSUER_MISMATCH,),
        host="unverified.example"),
    Row("Basic login unknown", reasons=(Reason.ACCOUNT_UNKNOWN,), login="eve"),
    Row("Basic login of another account", reasons=(Reason.EMAIL_MISMATCH,), login="bob"),
    Row("Basic login that cannot be read", login=None, reasons=(Reason.LOGIN_MALFORMED,),
        arguments=("--header", "Authorization: Basic ?")),
    Row("no login", login=None),
    Row("no login, and the email of no account", lambda: user(ACME, "E", "eve@acme.example"),
        (Reason.ACCOUNT_UNKNOWN,), login=None),
    Row("mode off", lambda: None, host="unchecked.example"),
    Row("mode audit lets pass and records", lambda: None, (Reason.CERTIFICATE_MISSING,),
        host="audited.example", status=200),
    Row("mode enforce", lambda: None, (Reason.CERTIFICATE_MISSING,)),
    Row("unknown host", reasons=(Reason.SUBSCRIPTION_UNKNOWN,), host="nobody.example"),
    Row("wildcard host", host="a.b.acme.example"),
    Row("wildcard host without a certificate", lambda: None, (Reason.CERTIFICATE_MISSING,),
        host="a.acme.example"),
    Row("host in capitals, with port and trailing dot", host="ACME.example.:8443"),
    Row("IPv6 literal", host="[::1]"),
    Row("SNI of one subscription and Host of another", login="carol",
        reasons=(Reason.ISSUER_MISMATCH, Reason.EMAIL_MISMATCH), status=401,
        arguments=("--header", "Host: globex.example")),
    Row("a leaf that is a CA",
        lambda: alice((x509.BasicConstraints(ca=True, path_length=None), True)),
        (Reason.NOT_FOR_CLIENT_AUTH, Reason.CHAIN_INVALID)),
    Row("extended key usage serverAuth only",
        lambda: alice((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)),
        (Reason.NOT_FOR_CLIENT_AUTH,)),
    Row("unknown critical extension",
        lambda: alice((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"),
                                                  b"\x05\x00"), True)),
        (Reason.CHAIN_INVALID,)),
    Row("RSA-2048 leaf",
        lambda: user(ACME, "A", "alice@acme.example",
                     key=rsa.generate_private_key(65537, 2048))),
    Row("RSA-1024 leaf",
        lambda: user(ACME, "A", "alice@acme.example",
                     key=rsa.generate_private_key(65537, 1024)),
        (Reason.WEAK_KEY,)),
    Row("a leaf signed by a leaf", lambda: user(ALICE, "Eve", "alice@acme.example"),
        (Reason.ISSUER_MISMATCH,)),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.story)
def test_request_is_decided_for_this_reason_and_no_other(stack: Stack, row: Row) -> None:
    """The service answers who passes; who does not gets the denial, and the log has the reason."""
    answer = stack.ask(row.certificate(), *row.arguments, host=row.host, login=row.login)

    assert answer.reasons == list(row.reasons), answer.decision
    assert answer.status == (row.status or (403 if row.reasons else 200))
    assert ("hello, I am the service" in answer.body) == (answer.status == 200)
    if answer.status == 403:
        assert answer.body.strip() == GENERIC
        assert "cache-control: no-store" in answer.headers


@pytest.mark.parametrize(
    "certificate",
    [ACME, alice((key_usage("data_encipherment"), True))],
    ids=["the signing certificate itself", "a key usage that cannot sign"],
)
def test_key_that_must_not_sign_a_handshake_gets_no_answer(
    stack: Stack, certificate: Credential
) -> None:
    """Envoy's TLS itself ends these handshakes: there is no request to decide on."""
    before = len(stack.decisions())
    done = stack.curl("--include", *stack.files_of(certificate), "https://acme.example/")

    assert done.returncode != 0
    assert done.stdout == ""
    assert len(stack.decisions()) == before


def test_forged_certificate_header_gets_nobody_in(stack: Stack) -> None:
    """What a client writes into Envoy's header is gone before anybody reads it."""
    forged = f'x-forwarded-client-cert: Cert="{ALICE.pem!r}"'
    for certificate, login, reasons in (
        (None, "alice", [Reason.CERTIFICATE_MISSING]),
        (CAROL, "alice", [Reason.ISSUER_MISMATCH, Reason.EMAIL_MISMATCH]),
    ):
        answer = stack.ask(certificate, "--header", forged, login=login)
        assert (answer.status, answer.reasons) == (403, reasons)


def test_connection_header_cannot_take_the_certificate_away_unnoticed(stack: Stack) -> None:
    """CVE-2024-45410 (Traefik): `Connection: HEADER` strips a header, and ends in a deny."""
    answer = stack.ask(None, "--http1.1", "--header", "Connection: x-forwarded-client-cert")

    assert answer.status == 403


@pytest.mark.parametrize("certificate", [None, ALICE], ids=["refused", "allowed"])
def test_headers_of_ours_reach_neither_service_nor_client(
    stack: Stack, certificate: Credential | None
) -> None:
    """The service and the client learn nothing of the check."""
    spoofed = [arg for name_ in ("x-forwarded-client-cert", "x-extauthz-client-address")
               for arg in ("--header", f"{name_}: spoofed")]  # fmt: skip
    answer = stack.ask(certificate, *spoofed)

    for said in (answer.headers, answer.body.lower()):
        assert "x-forwarded-client-cert" not in said
        assert "extauthz" not in said
    assert answer.decision["client"] == "127.0.0.1"


@pytest.mark.parametrize("header", [
    "x-envoy-original-path: /healthz", "x-forwarded-host: unchecked.example",
    "x-original-url: /healthz", "x-rewrite-url: /healthz", "x-forwarded-for: 10.0.0.1",
    "x-envoy-internal: true", "user-agent: kube-probe/1.31",
])  # fmt: skip
def test_no_header_of_a_client_changes_the_decision(stack: Stack, header: str) -> None:
    """CVE-2026-34457, CVE-2026-40575, CVE-2026-35051, CVE-2023-27487."""
    answer = stack.ask(None, "--header", header)

    assert (answer.status, answer.reasons) == (403, [Reason.CERTIFICATE_MISSING])
    assert answer.decision["host"] == "acme.example"


@pytest.mark.parametrize("path", [
    "/healthz", "/metrics", "/readyz", "//unchecked.example/x", "/a/%2e%2e/healthz",
    "/x;jsessionid=1/../healthz", "/check/healthz", "/%00", "/a//b",
])  # fmt: skip
def test_no_path_needs_no_certificate(stack: Stack, path: str) -> None:
    """Whatever trick a path plays, who has no certificate is refused."""
    done = stack.curl("--include", f"https://acme.example{path}")

    assert done.stdout.split()[1] in {"400", "403"}
    assert "hello, I am the service" not in done.stdout


def test_escaped_slash_is_turned_away_by_envoy(stack: Stack) -> None:
    """`%2F` is a slash to one and not to the other: it is refused even with a certificate."""
    done = stack.curl("--include", *stack.files_of(ALICE), "https://acme.example/a%2Fb")

    assert done.stdout.split()[1] == "400"


def test_paths_are_logged_as_the_service_gets_them_without_query(stack: Stack) -> None:
    """The path is normalised before the check, and the query stays out of the log."""
    answer = stack.ask(ALICE, path="/q/deep")
    stack.curl(*stack.files_of(ALICE), "https://acme.example/q/./x/..//deeper?token=t0ken")

    assert answer.status == 200
    assert stack.decision_on("/q/deeper")["allowed"] is True
    assert "t0ken" not in stack.extauthz.stdout.read_text()


def test_secrets_are_in_no_log(stack: Stack) -> None:
    """No password, cookie or Authorization value is written anywhere."""
    stack.ask(ALICE, "--cookie", "session=c00kie", login="alice")
    stack.ask(ALICE, "--header", "Authorization: Bearer t0psecret")

    written = "".join(
        file.read_text(errors="replace")
        for program in (stack.extauthz, stack.envoy)
        for file in (program.stdout, program.stderr)
    )
    for secret in ("secret", "c00kie", "YWxpY2U6"):
        assert secret not in written


def test_answer_is_the_same_whichever_check_failed(stack: Stack) -> None:
    """Status, headers and body tell nothing; only the date differs."""
    certificates = [None, CAROL, of_impostor(), user(ACME, "Alice"), user(ACME, "A", "b@c.example")]
    answers = [stack.ask(certificate, login="alice") for certificate in certificates]

    assert len({answer.body for answer in answers}) == 1
    heads = {"\n".join(line for line in answer.headers.splitlines()
                       if not line.startswith("date:")) for answer in answers}  # fmt: skip
    assert len(heads) == 1, heads


@pytest.mark.parametrize(("accept", "content_type", "body"), [
    ("*/*", "text/plain", GENERIC + "\n"),
    ("application/json", "application/json", '{"error": "Invalid user credentials", "request_id"'),
    ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html", "Invalid user credentials</h1>"),
])  # fmt: skip
def test_denial_speaks_the_clients_language(
    stack: Stack, accept: str, content_type: str, body: str
) -> None:
    """Browsers get HTML, scripts get JSON where they ask for it."""
    answer = stack.ask(None, "--header", f"Accept: {accept}")

    assert f"content-type: {content_type}" in answer.headers
    assert body in answer.body


def test_subscription_words_its_own_denial(stack: Stack) -> None:
    """A body with a media type of its own is sent as it stands, whatever the client accepts."""
    answer = stack.ask(None, "--header", "Accept: application/json", host="globex.example")

    assert answer.status == 401
    assert answer.body == "<p>Ask the help desk.</p>"
    assert "content-type: text/html" in answer.headers


def test_long_chain_reaches_the_decision(stack: Stack) -> None:
    """Over 60 KB of certificate header are read, and the leaf decides.

    Not over TLS 1.3: there Envoy's session ticket carries the chain, and above some 35 KB of DER
    OpenSSL's client ends the connection because of that ticket, after the request was allowed.
    """
    strangers = [authority(name(f"Stranger {n} " + "x" * 40, "y" * 60)) for n in range(80)]
    assert len(quote("".join(stranger.pem for stranger in strangers))) > 60 * 1024

    answer = stack.ask(ALICE, "--tls-max", "1.2", login="alice", above=strangers)

    assert (answer.status, answer.reasons) == (200, [])


def test_envoys_access_log_has_the_request_id_of_the_decision(stack: Stack) -> None:
    """The operator finds the refusal in both logs by one id, and the client cannot choose it."""
    answer = stack.ask(None, "--header", "x-request-id: mine")
    identifier = answer.decision["request_id"]

    assert identifier != "mine"
    # Envoy writes its log up to a tenth of a second late.
    deadline = time.monotonic() + PATIENCE
    while str(identifier) not in stack.envoy.stdout.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_signing_certificates_hold_while_a_ca_is_replaced(tmp_path: Path) -> None:
    """Certificates of the old CA and of the new one, which has the same name, both pass."""
    old, new = authority(name("CA")), authority(name("CA"))
    policy = """
subscriptions:
  acme:
    hosts: [acme.example]
    signing_certificates: [old.pem, new.pem]
    accounts: {alice: alice@acme.example}
"""
    with running_stack(tmp_path, policy, {"old": old, "new": new}) as stack:
        for issuer, status in ((old, 200), (new, 200), (GLOBEX, 403)):
            assert stack.ask(user(issuer, "Alice", "alice@acme.example")).status == status

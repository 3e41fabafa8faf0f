"""Every source of logins, the whole path: curl, Envoy as `extauthz envoy` writes it, serve."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from extauthz.demo.authority import Credential, user
from extauthz.findings import Reason
from tests.wire.envoy_process import PATIENCE, TEMPLATE
from tests.wire.stack import ACME, Stack, running_stack
from tests.wire.test_login_sources_envoy import JWT_AUTHN, LUA, jwks, token

ALICE = user(ACME, "Alice", "alice@acme.example")
BOB = user(ACME, "Bob", "bob@acme.example")
LATER = f"{datetime.now(UTC) + timedelta(days=100):%Y-%m-%d}"
COMMON = """\
    signing_certificates: [acme.pem]
    accounts:
      alice: alice@acme.example
      bob: {email: bob@acme.example, groups: [pilot]}
      gone: {email: gone@acme.example, disabled: true}
      ci: ci@acme.example
"""
SUBSCRIPTIONS = {
    "header": "login: [{header: x-user}]",
    "bearer": "login: [basic, {bearer: {header: x-jwt-payload, claim: preferred_username}}]",
    "jwt": "login: [{jwt: {header: x-jwt-payload, claim: /user/name}}]",
    "form": "login: [basic, {form: {paths: [/login], field: username}}]",
    "json": "login: [{json: {paths: [/login], pointer: /user/name}}]",
    "either": "login: [{form: {paths: [/login], field: username}},"
              " {json: {paths: [/login], pointer: /name}}]",
    "certificate": "login: [basic, client_certificate]",
    "session": "session: {cookie: SID}",
    "exempt": "exempt: [{name: hook, reason: x, until: " + LATER + ", paths: ['/hooks/*'],"
              " methods: [POST], from: [127.0.0.0/8]},"
              " {name: ci, reason: x, until: " + LATER + ", logins: [ci, gone]},"
              " {name: afar, reason: x, until: " + LATER + ", from: [198.51.100.0/24]}]",
    "some": "certificate_required_for: {logins: [alice], groups: [pilot]}",
}  # fmt: skip
POLICY = "subscriptions:\n" + "".join(
    f"  {name}:\n    hosts: [{name}.example]\n{COMMON}    {setting}\n"
    for name, setting in SUBSCRIPTIONS.items()
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("logins")
    (directory / "jwks.json").write_text(jwks())
    anchor = "          - name: envoy.filters.http.ext_authz\n"
    template = TEMPLATE.read_text().replace(anchor, JWT_AUTHN + LUA + anchor)
    with running_stack(directory, POLICY, {"acme": ACME}, template=template) as running:
        yield running


def bearer(**claims: object) -> tuple[str, ...]:
    return "--header", f"Authorization: Bearer {token(**claims)}"


def form(body: str, content_type: str = "application/x-www-form-urlencoded") -> tuple[str, ...]:
    return "--header", f"Content-Type: {content_type}", "--data-binary", body


def json(body: str) -> tuple[str, ...]:
    return form(body, "application/json")


MALFORMED, CONFLICT = (Reason.LOGIN_MALFORMED,), (Reason.LOGIN_CONFLICT,)
MISMATCH, UNKNOWN = (Reason.EMAIL_MISMATCH,), (Reason.ACCOUNT_UNKNOWN,)


@dataclass(frozen=True)
class Row:
    story: str
    host: str
    arguments: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    certificate: Credential | None = ALICE
    login: str | None = None
    path: str = "/login"


ROWS = [
    Row("header that a filter sets", "header", ("--header", "x-who: alice")),
    Row("header, another's", "header", ("--header", "x-who: bob"), MISMATCH),
    Row("header that the client sends is gone", "header", ("--header", "x-user: bob")),
    Row("header that client and filter send", "header",
        ("--header", "x-user: bob", "--header", "x-who: alice")),
    Row("bearer token", "bearer", bearer(preferred_username="alice")),
    Row("bearer token of another", "bearer", bearer(preferred_username="bob"), MISMATCH),
    Row("bearer token of nobody", "bearer", bearer(preferred_username="eve"), UNKNOWN),
    Row("bearer token without the claim", "bearer", bearer(sub="x"), MALFORMED),
    Row("payload that the client sends is gone", "bearer",
        ("--header", "x-jwt-payload: eyJwcmVmZXJyZWRfdXNlcm5hbWUiOiJib2IifQ")),
    Row("claim inside an object", "jwt", bearer(user={"name": "bob"}), MISMATCH),
    Row("form", "form", form("username=alice&password=x")),
    Row("form of another", "form", form("username=bob&password=x"), MISMATCH),
    Row("form and Basic of one account", "form", form("username=alice"), login="alice"),
    Row("form and Basic of two", "form", form("username=alice"), CONFLICT, login="bob"),
    Row("form without the field", "form", form("otp=123456")),
    Row("form with the field twice", "form", form("username=alice&username=bob"), MALFORMED),
    Row("form in another charset", "form",
        form("username=alice", "application/x-www-form-urlencoded; charset=utf-16"), MALFORMED),
    Row("multipart", "form", ("--form", "username=bob"), MALFORMED),
    Row("JSON where a form is expected", "form", json('{"username": "bob"}'), MALFORMED),
    # Over HTTP/2 curl may take the refusal of a body that it still sends for an error.
    Row("form that is too large", "form",
        ("--http1.1", *form("x=" + "y" * 70_000 + "&username=bob")), MALFORMED),
    Row("form of 60 KB", "form", form("x=" + "y" * 60_000 + "&username=bob"), MISMATCH),
    Row("compressed form", "form",
        ("--header", "Content-Encoding: gzip", *form("username=bob")), MALFORMED),
    Row("form over HTTP/1.1 in chunks", "form",
        ("--http1.1", "--header", "Transfer-Encoding: chunked", *form("username=bob")), MISMATCH),
    Row("form with the path in capitals", "form", form("username=bob"), MISMATCH, path="/LOGIN"),
    Row("form with a path parameter", "form", form("username=bob"), MISMATCH,
        path="/login;jsessionid=1"),
    Row("form with the path in escapes", "form", form("username=bob"), MALFORMED,
        path="/%256cogin"),
    Row("form at another path is nobody's business", "form", form("username=bob"), path="/other"),
    Row("login page itself", "form"),
    Row("JSON", "json", json('{"user": {"name": "alice"}}')),
    Row("JSON of another", "json", json('{"user": {"name": "bob"}}'), MISMATCH),
    Row("JSON with the name twice", "json", json('{"user": {"name": "alice", "name": "bob"}}'),
        MALFORMED),
    Row("JSON with a number", "json", json('{"user": {"name": 7}}'), MALFORMED),
    Row("either, as a form", "either", form("username=bob"), MISMATCH),
    Row("either, as JSON", "either", json('{"name": "bob"}'), MISMATCH),
    Row("certificate alone", "certificate"),
    Row("certificate and Basic", "certificate", login="alice"),
    Row("certificate and another's Basic", "certificate", (), CONFLICT, login="bob"),
    Row("certificate of no account", "certificate", (), UNKNOWN,
        user(ACME, "Eve", "eve@acme.example")),
    Row("disabled account", "certificate", (), (Reason.ACCOUNT_DISABLED,),
        user(ACME, "Gone", "gone@acme.example")),
    Row("exempted path", "exempt", ("--request", "POST"), certificate=None, path="/hooks/x"),
    Row("exempted path with another method", "exempt", (), (Reason.CERTIFICATE_MISSING,), None,
        path="/hooks/x"),
    Row("path beside an exempted one", "exempt", ("--request", "POST"),
        (Reason.CERTIFICATE_MISSING,), None, path="/hooks;x/y"),
    Row("exempted login", "exempt", (), (), None, login="ci"),
    Row("exempted login of a disabled account", "exempt", (),
        (Reason.CERTIFICATE_MISSING, Reason.ACCOUNT_DISABLED), None, login="gone"),
    Row("exempted network, claimed by a header", "exempt",
        ("--header", "x-extauthz-client-address: 198.51.100.1",
         "--header", "x-forwarded-for: 198.51.100.1"), (Reason.CERTIFICATE_MISSING,), None),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.story)
def test_login_is_found_where_the_policy_says(stack: Stack, row: Row) -> None:
    """Whose it is is compared with the certificate; what cannot be read is refused."""
    answer = stack.ask(
        row.certificate, *row.arguments,
        host=f"{row.host}.example", login=row.login, path=row.path,
    )  # fmt: skip

    assert answer.reasons == list(row.reasons), answer.decision
    assert answer.status == (403 if row.reasons else 200)
    if not row.reasons:
        assert "hello, I am the service" in answer.body


def test_service_gets_the_form_as_it_was_sent(stack: Stack) -> None:
    """It is read on its way, and not changed."""
    answer = stack.ask(
        ALICE, *form("username=alice&password=p%40ss+word"), host="form.example", path="/login"
    )

    assert "username=alice&password=p%40ss+word" in answer.body
    assert "x-extauthz" not in answer.body.lower()
    assert (answer.decision["login"], answer.decision["login_source"]) == ("alice", "form")


def test_bearer_token_that_envoy_did_not_verify_is_refused_by_envoy(stack: Stack) -> None:
    """We never verify one, and never read one that was not."""
    forged = token(preferred_username="alice")[:-6] + "AAAAAA"
    done = stack.curl(
        "--include", *stack.files_of(ALICE), "--header", f"Authorization: Bearer {forged}",
        "https://bearer.example/",
    )  # fmt: skip

    assert done.stdout.split()[1] == "401"


def test_other_scheme_of_bearer_is_refused_where_a_token_is_expected(stack: Stack) -> None:
    """A token that Envoy does not take for one might be one for the service."""
    answer = stack.ask(ALICE, "--header", "Authorization: bearer  x", host="bearer.example")

    assert answer.status in {401, 403}


def test_session_is_pinned_to_the_account_that_began_it(stack: Stack) -> None:
    """A stolen cookie is worth nothing with another certificate, good as it is."""
    cookie = ("--cookie", "theme=dark; SID=s3cr3t")
    first = stack.ask(ALICE, *cookie, host="session.example")
    again = stack.ask(ALICE, *cookie, host="session.example")
    renewed = stack.ask(
        user(ACME, "Alice again", "alice@acme.example"), *cookie, host="session.example"
    )
    thief = stack.ask(BOB, *cookie, host="session.example")
    spelled = stack.ask(BOB, "--cookie", 'SID="%733cr3t"', host="session.example")
    own = stack.ask(BOB, "--cookie", "SID=other", host="session.example")

    assert [first.status, again.status, renewed.status, own.status] == [200] * 4
    assert [thief.status, spelled.status] == [403, 403]
    assert thief.reasons == spelled.reasons == [Reason.SESSION_ACCOUNT_MISMATCH]
    assert "s3cr3t" not in stack.extauthz.stdout.read_text()
    metrics = stack.curl_directly(f"http://127.0.0.1:{stack.admin}/metrics")
    assert re.search(r"^extauthz_session_pins [1-9]", metrics, re.MULTILINE)


def test_refused_request_pins_nothing(stack: Stack) -> None:
    """Nobody can take a session by failing with it first."""
    cookie = ("--cookie", "SID=fresh")
    refused = stack.ask(BOB, *cookie, host="session.example", login="alice")
    passes = stack.ask(ALICE, *cookie, host="session.example")

    assert (refused.status, passes.status) == (403, 200)


def test_exemption_is_named_in_the_log_and_counted(stack: Stack) -> None:
    """With what it excused."""
    answer = stack.ask(None, "--request", "POST", host="exempt.example", path="/hooks/counted")
    metrics = stack.curl_directly(f"http://127.0.0.1:{stack.admin}/metrics")

    assert (answer.decision["decision"], answer.decision["exempt"]) == ("allow", "hook")
    assert answer.decision["tolerated"] == [Reason.CERTIFICATE_MISSING]
    assert 'extauthz_exempt_checks_total{exemption="hook",subscription="exempt"}' in metrics
    end = 'extauthz_exemption_end_timestamp_seconds{exemption="hook",subscription="exempt"}'
    assert end in metrics


@pytest.mark.parametrize(("login", "status", "mode"), [
    ("alice", 403, "enforce"), ("bob", 403, "enforce"), ("ci", 200, "audit"), (None, 200, "audit"),
])  # fmt: skip
def test_certificate_is_demanded_of_some_users_first(
    stack: Stack, login: str | None, status: int, mode: str
) -> None:
    """By login and by group; the others are recorded and let pass."""
    answer = stack.ask(None, host="some.example", login=login)

    assert (answer.status, answer.decision["mode"]) == (status, mode)
    assert Reason.CERTIFICATE_MISSING in answer.reasons


def test_policy_that_reads_logins_elsewhere_takes_effect_without_a_restart(stack: Stack) -> None:
    """Of extauthz; Envoy's configuration has to have what the policy needs."""
    before = stack.policy.read_text()
    with contextlib.ExitStack() as after:
        after.callback(stack.policy.write_text, before)
        stack.policy.write_text(before.replace("{header: x-user}", "basic"))
        deadline = time.monotonic() + PATIENCE
        while stack.ask(ALICE, "--header", "x-who: bob", host="header.example").status != 200:
            assert time.monotonic() < deadline

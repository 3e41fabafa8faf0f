"""The admin pages behind a real Envoy, set up by docs/admin.md and by nothing else.

What is tested is a section of that document: its policy, its command line and what it adds to
`envoy/envoy.yaml` are taken from there. Only addresses, ports and paths of files are others.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from extauthz.admin.application import HEADERS
from extauthz.demo.authority import Credential, Validity, authority, name, user
from extauthz.demo.processes import wait_until
from tests.admin.conftest import Operator
from tests.admin.test_attempt import multipart
from tests.admin.test_door import own_address
from tests.ports import LOOPBACK
from tests.wire.envoy_process import TEMPLATE
from tests.wire.stack import ACME, ALICE, GENERIC, Stack, wait_until_asked

DOCUMENT = Path(__file__).parents[2] / "docs" / "admin.md"
SECTION = DOCUMENT.read_text().split("### Behind Envoy", 1)[1].split("\n## ", 1)[0]
OPERATIONS, VIRTUAL_HOST, CLUSTER = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
(COMMAND,) = re.findall(r"```\n(extauthz serve .*)\n```", SECTION)
ON_A_SOCKET = re.findall(r"`([^`\n]+)`", SECTION.partition("a Unix socket")[2])

ADMIN = "admin.example.com"
OPS = authority(name("Operations CA", "Operations"))
OLGA = user(OPS, "Olga", "olga@example.com")
EXPIRED = user(OPS, "Olga", "olga@example.com", validity=Validity.days(-9, -1))
OSCAR = user(OPS, "Oscar", "oscar@example.com")

# The users of the service, with what could come in the way: a wildcard above the name of the admin
# pages, a subscription with the same CA, and logins in the body of a form at paths of ours.
USERS = """\
  acme:
    hosts: [acme.example, "*.example.com"]
    signing_certificates: [acme.pem]
    accounts: {alice: alice@acme.example}
    login: [{form: {paths: [/try, /login], field: username}}]
  staff:
    hosts: [staff.example]
    signing_certificates: [operations-ca.pem]
    accounts: {oscar: oscar@example.com}
"""
SERVICE, OVERVIEW, UNKNOWN_NAME = "I am the service", "<h1>Overview</h1>", "not known by the name"
PAGES = ("/", "/decisions", "/try", "/subscriptions/operations")
OTHERS = ("/login", "/static/style.css", "/nothing", "/metrics", "/healthz", "/readyz")
STRANGERS: dict[str, Credential | None] = {
    "nobody": None, "another company": ALICE, "same CA": OSCAR, "expired": EXPIRED,
}  # fmt: skip
NEAREST = (None, OSCAR)
"""Of those, the ones whom a single check keeps out."""
strangers = pytest.mark.parametrize("stranger", STRANGERS)
SAME_ORIGIN = ("Origin: https://admin.example.com", "Sec-Fetch-Site: same-origin")


@dataclass(frozen=True, slots=True)
class Answer:
    """Of Envoy, or of the admin listener itself."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def is_refusal(self) -> bool:
        """Whether it is what every refused client gets, and nothing else."""
        return (self.status, self.body.strip()) == (403, GENERIC)


@dataclass(frozen=True, slots=True)
class Site:
    """The admin pages behind the Envoy of a stack."""

    stack: Stack

    def ask(
        self,
        certificate: Credential | None,
        *fields: str,
        path: str = "/",
        host: str = ADMIN,
        above: Sequence[Credential] = (),
        options: Sequence[str] = (),
    ) -> Answer:
        """One request through Envoy."""
        files = [] if certificate is None else self.stack.files_of(certificate, above)
        return self._curl(f"https://{host}{path}", fields, (*files, *options))

    def _curl(self, url: str, fields: Sequence[str], options: Sequence[str]) -> Answer:
        headers = [word for field in fields for word in ("--header", field)]
        done = self.stack.curl(*options, "--include", *headers, url)
        assert done.returncode == 0, done.stderr
        text = re.sub(r"\AHTTP/1.1 100 [^\n]*\n\n", "", done.stdout.replace("\r\n", "\n"))
        head, _, body = text.partition("\n\n")
        line, *lines = head.split("\n")
        found = {key.lower(): value for key, _, value in (each.partition(": ") for each in lines)}
        return Answer(int(line.split()[1]), found, body)


def template(address: str) -> str:
    """Envoy's configuration with what the document adds to it."""
    text = TEMPLATE.read_text()
    for anchor, added in (
        ("            - name: service\n", VIRTUAL_HOST),
        ("  - name: extauthz\n    type", CLUSTER),
        ("{socket_address: {address: extauthz, port_value: 9001}}", address),
    ):
        assert text.count(anchor) == 1
        kept = "" if added is address else anchor
        text = text.replace(anchor, added + kept)
    return text


@contextmanager
def started(stack: Stack, options: Sequence[str]) -> Iterator[Site]:
    """A stack whose extauthz has these options in place of its own for the admin listener."""
    command = stack.extauthz.command
    command[command.index("--admin") :] = options
    programs = (stack.service, stack.extauthz, stack.envoy)
    try:
        for program in programs:
            program.start()
        wait_until(stack.envoy, LOOPBACK, stack.port)
        wait_until_asked(stack)
        yield Site(stack)
    finally:
        for program in reversed(programs):
            program.stop()


def prepared(directory: Path) -> Stack:
    stack = Stack(directory, OPERATIONS + USERS)
    for stem, issuer in (("operations-ca", OPS), ("acme", ACME)):
        stack.sign_in(issuer, stem)
    return stack


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Over TCP. Envoy's connections do not come from loopback, so they need `--admin-from`."""
    stack, address = prepared(tmp_path_factory.mktemp("admin")), own_address()
    port = stack.admin
    stack.configure_envoy(
        template(f"{{socket_address: {{address: {address}, port_value: {port}}}}}")
    )
    options = COMMAND.partition("policy.yaml ")[2]
    options = options.replace("10.213.97.10/", f"{address}/").replace(":9001", f":{port}")
    assert options.count(address) == options.count(str(port)) == 1
    with started(stack, shlex.split(options)) as running:
        yield running


class TestOperator:
    """Somebody with a certificate of the subscription of operators."""

    @pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
    def test_every_page_is_there_with_what_protects_it(self, site: Site, protocol: str) -> None:
        """Envoy takes nothing of it away, and the style comes along."""
        for path in (*PAGES, "/static/style.css", "/metrics"):
            answer = site.ask(OLGA, path=path, options=(protocol,))
            assert answer.status == 200
            assert {key: answer.headers[key.lower()] for key in HEADERS} == HEADERS
        assert OVERVIEW in site.ask(OLGA, options=(protocol,)).body
        style = site.ask(OLGA, path="/static/style.css", options=(protocol,))
        assert style.headers["content-type"].startswith("text/css")

    def test_own_visit_is_among_the_decisions(self, site: Site) -> None:
        """Each page that is looked at is a check, and so can be looked at, too."""
        site.ask(OLGA, path="/decisions")
        page = site.ask(OLGA, path="/decisions?subscription=operations&who=olga").body
        assert f"GET {ADMIN}/decisions" in page
        decision = re.search(r'href="(/decisions/[^"?]+)"', page)
        assert decision is not None
        assert "olga@example.com" in site.ask(OLGA, path=decision[1]).body

    def test_no_link_leads_past_envoy(self, site: Site) -> None:
        """They are paths: scheme, name and port stay what the browser knows."""
        found = set[str]()
        for path in PAGES:
            body = site.ask(OLGA, path=path).body
            found |= set(re.findall(r'(?:href|src|action)="([^"#]+)"', body))
        assert {"/decisions", "/try", "/static/style.css", "/subscriptions/acme"} <= found
        for link in found:
            assert link.startswith("/")
            assert site.ask(OLGA, path=link.replace("&amp;", "&")).status == 200
        assert (
            site.ask(OLGA, options=("--request", "POST"), path="/logout").headers["location"] == "/"
        )

    @pytest.mark.parametrize("host", [ADMIN, f"{ADMIN}:8443"])
    def test_a_form_of_our_own_page_is_taken(self, site: Site, host: str, tmp_path: Path) -> None:
        """As a browser sends it, at any port; however long it may be, and with a file."""
        padding = "-" * 100_000
        form = multipart({"host": "acme.example", "file": ALICE.pem, "filler": padding})
        for own in (SAME_ORIGIN, SAME_ORIGIN[:1], ("Expect: 100-continue",)):
            fields = [field.replace(ADMIN, host) for field in own]
            answer = posted(site, OLGA, form, tmp_path, *fields, host=host)
            assert answer.status == 200
            assert "What would be decided" in answer.body
            assert "alice@acme.example" in answer.body

    @pytest.mark.parametrize(
        "fields",
        [
            ("Origin: https://acme.example", "Sec-Fetch-Site: cross-site"),
            ("Origin: https://staff.example.com", "Sec-Fetch-Site: same-site"),
            ("Origin: https://acme.example",),
            (f"Origin: https://{ADMIN}:8443",),
            ("Origin: http://localhost:9001",),
            ("Origin: null",),
        ],
        ids=str,
    )
    def test_a_form_of_another_site_is_not(
        self, site: Site, fields: tuple[str, ...], tmp_path: Path
    ) -> None:
        """Though the operator's browser presents the certificate with it."""
        form = multipart({"host": "acme.example"})
        answer = posted(site, OLGA, form, tmp_path, *fields)
        assert (answer.status, answer.body) == (403, "This was sent by a page of another site.\n")

    def test_a_long_chain_keeps_nobody_out(self, site: Site) -> None:
        """The header that holds it is for checks, and is not sent on to the pages."""
        key = rsa.generate_private_key(65537, 2048)
        above = [OPS, *(authority(name(f"Operations {each}"), key=key) for each in range(9))]
        answer = site.ask(OLGA, above=above)
        assert answer.status == 200
        assert OVERVIEW in answer.body

    def test_the_service_is_not_open_to_them(self, site: Site) -> None:
        """Whatever name they ask it by."""
        for host in ("acme.example", "any.example.com", "staff.example", "localhost", LOOPBACK):
            assert site.ask(OLGA, host=host).is_refusal


def posted(
    site: Site,
    certificate: Credential | None,
    form: tuple[str, bytes],
    directory: Path,
    *fields: str,
    host: str = ADMIN,
) -> Answer:
    """The answer to a form that is sent to `/try`."""
    content_type, body = form
    file = directory / "form"
    file.write_bytes(body)
    # Refused while it sends, curl takes the end of an HTTP/2 stream for an error at times.
    options = ("--http1.1", "--data-binary", f"@{file}")
    content = f"Content-Type: {content_type}"
    return site.ask(certificate, content, *fields, path="/try", host=host, options=options)


class TestStranger:
    """Everybody else: refused as every user of the service is, and told nothing."""

    @strangers
    def test_there_is_no_page(self, site: Site, stranger: str, tmp_path: Path) -> None:
        """Not the style, nor what is open to whoever reaches the listener itself."""
        certificate = STRANGERS[stranger]
        for path in (*PAGES, *OTHERS):
            assert site.ask(certificate, path=path).is_refusal
        form = multipart({"host": "acme.example"})
        assert posted(site, certificate, form, tmp_path, *SAME_ORIGIN).is_refusal

    @pytest.mark.parametrize(
        "field",
        [
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Host: localhost",
            "X-Real-IP: 127.0.0.1",
            "Forwarded: for=127.0.0.1;host=localhost",
            "X-Original-URL: /healthz",
            "X-Envoy-Original-Path: /healthz",
            "X-Envoy-Decorator-Operation: x",
            "X-Extauthz-Client-Address: 127.0.0.1",
            "X-Extauthz-Decision: allow",
            "X-Extauthz-Subscription: operations",
            "X-Extauthz-Body-Limit: 0",
            "Authorization: Bearer x",
            "Authorization: Basic b2xnYTp4",
            "Cookie: extauthz_admin=x",
            f'X-Forwarded-Client-Cert: Cert="{OLGA.pem.replace(chr(10), "%0A")}"',
            "Connection: x-forwarded-client-cert, x-extauthz-client-address",
        ],
        ids=lambda field: field[:40],
    )
    def test_no_field_opens_it(self, site: Site, field: str) -> None:
        """Neither where they say that they come from, nor what only Envoy and extauthz write."""
        for certificate in NEAREST:
            answer = site.ask(certificate, field, options=("--http1.1",))
            assert answer.is_refusal

    @pytest.mark.parametrize(
        "path",
        [
            "//decisions", "/./decisions", "/acme/../decisions", "/static/../decisions",
            "/healthz/../decisions", "/static/..%2Fdecisions", "/%64ecisions", "/decisions%23",
            "/decisions;x", "/healthz?x", "/login?next=/decisions", "/check/", "/check/decisions",
        ],
    )  # fmt: skip
    def test_no_path_opens_it(self, site: Site, path: str) -> None:
        """However it is written; what Envoy and extauthz could read differently, Envoy refuses."""
        for certificate in NEAREST:
            answer = site.ask(certificate, path=path)
            assert answer.is_refusal or (answer.status == 400 and "%2F" in path)

    def test_on_the_users_host_the_paths_are_the_services(self, site: Site) -> None:
        """There is one name under which pages are reached, and it is not the users'."""
        for path in (*PAGES, *OTHERS):
            answer = site.ask(ALICE, path=path, host="acme.example")
            assert answer.status == 200
            assert SERVICE in answer.body

    @strangers
    def test_what_passed_on_a_connection_says_nothing_of_the_next_request(
        self, site: Site, stranger: str
    ) -> None:
        """The name in the handshake is not asked, either."""
        certificate = STRANGERS[stranger]
        assert site.ask(certificate, f"Host: {ADMIN}", host="acme.example").is_refusal
        answer = site.ask(certificate, "Host: acme.example")
        assert (SERVICE in answer.body) is (certificate is ALICE)


class TestHost:
    """One reader for both: what extauthz takes for the admin pages' host, Envoy does, too."""

    @pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
    @pytest.mark.parametrize(
        ("host", "is_known"),
        [
            (ADMIN, True),
            (f"{ADMIN}:1", True),
            (f"{ADMIN}:0443", True),
            ("ADMIN.Example.COM", True),
            ("ADMIN.Example.COM:8443", True),
            (f"{ADMIN}.", False),
            (f"{ADMIN}.:443", False),
            ("Admin.Example.com.:99999", False),
        ],
    )
    def test_no_way_to_write_it_leads_to_the_service(
        self, site: Site, protocol: str, host: str, *, is_known: bool
    ) -> None:
        """Else an operator's certificate would open what is for users."""
        options = (protocol,)
        answer = site.ask(OLGA, f"Host: {host}", options=options)
        assert (answer.status, OVERVIEW in answer.body) == (200 if is_known else 403, is_known)
        assert (UNKNOWN_NAME in answer.body) is not is_known
        assert SERVICE not in answer.body
        for certificate in NEAREST:
            assert site.ask(certificate, f"Host: {host}", options=options).is_refusal

    @pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
    @pytest.mark.parametrize(
        "host",
        [
            f"{ADMIN}:", f"{ADMIN}:x", f"{ADMIN}:1:2", f"{ADMIN}:123456", f"{ADMIN}..",
            f"{ADMIN}:1.acme.example", f"{ADMIN}.acme.example", f"{ADMIN}@acme.example",
            f"acme.example@{ADMIN}", f"{ADMIN}/", f"\uff41{ADMIN[1:]}", "admin\u3002example.com",
            "[::1]", "localhost:9001",
        ],
    )  # fmt: skip
    def test_what_is_nobodys_host_leads_nowhere(self, site: Site, protocol: str, host: str) -> None:
        """Neither to the pages nor to the service."""
        files, field = site.stack.files_of(OLGA), ("--header", f"Host: {host}")
        done = site.stack.curl("--include", protocol, *files, *field, f"https://{ADMIN}/")
        # Over HTTP/2, Envoy ends the stream without a word where this can be no host.
        assert re.match(r"HTTP/\S+ 40[03] |\Z", done.stdout)
        assert OVERVIEW not in done.stdout
        assert SERVICE not in done.stdout

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_an_absolute_target_is_the_host_for_both(self, site: Site, scheme: str) -> None:
        """RFC 9112 3.2.2: the Host field beside it says nothing."""
        to_pages = ("--http1.1", "--request-target", f"{scheme}://{ADMIN}/decisions")
        to_service = ("--http1.1", "--request-target", f"{scheme}://acme.example/decisions")
        for certificate in (ALICE, OSCAR, None):
            assert site.ask(certificate, host="acme.example", options=to_pages).is_refusal
        answer = site.ask(OLGA, host="acme.example", options=to_pages)
        assert "<h1>Decisions</h1>" in answer.body
        assert site.ask(OLGA, options=to_service).is_refusal
        assert SERVICE in site.ask(ALICE, options=to_service).body


class TestPastEnvoy:
    """The admin listener itself, for whoever can connect to it."""

    @pytest.mark.parametrize("host", ["acme.example", "any.example.com", f"{ADMIN}.", "extauthz"])
    @pytest.mark.parametrize("address", ["loopback", "Envoy's"])
    def test_by_a_name_of_others_nothing_is_shown(
        self, site: Site, address: str, host: str
    ) -> None:
        """Neither to this machine nor to the address that Envoy has."""
        where = LOOPBACK if address == "loopback" else own_address()
        operator = Operator(f"{where}:{site.stack.admin}")
        for path in (*PAGES, "/static/style.css", "/nothing"):
            answer = operator.ask(path, Host=host)
            assert answer.status == 403
            assert UNKNOWN_NAME in answer.body
        assert operator.ask("/", Host=ADMIN).status == 200


@pytest.fixture(scope="module")
def socket_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Over a Unix socket. With a token, which nobody needs who comes by it."""
    directory = tmp_path_factory.mktemp("admin")
    stack, path = prepared(directory), directory / "admin.sock"
    (directory / "token").write_text("a-token-for-the-tests-0123456789")
    given = [text.replace("/run/extauthz/admin.sock", str(path)) for text in ON_A_SOCKET]
    option, *_ = given
    stack.configure_envoy(template("{}"))
    configuration = directory / "envoy.yaml"
    configuration.write_text(over_the_socket(configuration.read_text(), given))
    host = COMMAND[COMMAND.index("--admin-host") :]
    words = shlex.split(f"{option} {host}")
    with started(stack, [*words, "--admin-token-file", str(directory / "token")]) as running:
        yield running


def over_the_socket(text: str, given: Sequence[str]) -> str:
    """An Envoy configuration with what the document says of its clusters."""
    kind, address, health = (
        yaml.safe_load(next(each for each in given if each.startswith(key)))
        for key in ("type: ", "address: ", "health_check_config: ")
    )
    root: dict[str, Any] = yaml.safe_load(text)
    clusters = {each["name"]: each for each in root["static_resources"]["clusters"]}
    for cluster, settings in (("admin", address), ("extauthz", health)):
        (locality,) = clusters[cluster]["load_assignment"]["endpoints"]
        locality["lb_endpoints"][0]["endpoint"] |= settings
    clusters["admin"] |= kind
    return yaml.safe_dump(root)


class TestUnixSocket:
    """With Envoy on the same machine."""

    def test_operator_is_let_in_and_nobody_else(self, socket_site: Site, tmp_path: Path) -> None:
        """By certificate, and without the token: it is for those who come another way."""
        for path in PAGES:
            assert socket_site.ask(OLGA, path=path).status == 200
            for stranger in STRANGERS.values():
                assert socket_site.ask(stranger, path=path).is_refusal
        form = multipart({"host": "acme.example", "certificate": ALICE.pem})
        answer = posted(socket_site, OLGA, form, tmp_path, *SAME_ORIGIN)
        assert "What would be decided" in answer.body

    def test_users_are_let_in(self, socket_site: Site) -> None:
        """Envoy finds extauthz healthy by the socket."""
        assert SERVICE in socket_site.ask(ALICE, host="acme.example").body

    def test_log_out_leads_back_by_a_path(self, socket_site: Site) -> None:
        """The one redirect that there is; the browser stays on https and on its port."""
        assert "Log out" in socket_site.ask(OLGA).body
        answer = socket_site.ask(OLGA, *SAME_ORIGIN, path="/logout", options=("--data", ""))
        assert (answer.status, answer.headers["location"]) == (303, "/")

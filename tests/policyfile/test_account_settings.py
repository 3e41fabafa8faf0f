"""Accounts, logins, sessions and exemptions as the policy file says them."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest

from extauthz.accounts import Account, Accounts, Former, Role
from extauthz.email import EmailAddress
from extauthz.exemption import Exemption, RequiredFor
from extauthz.identity import IdentityKind
from extauthz.login import (
    Basic,
    Bearer,
    ClientCertificate,
    Form,
    HeaderField,
    JsonBody,
    Jwt,
)
from extauthz.lookup import (
    AccountFile,
    Caching,
    HttpDirectory,
    LdapDirectory,
    Secret,
    SqlDirectory,
)
from extauthz.policy import Subscription
from extauthz.policyfile.schema import PolicyModel
from extauthz.request_path import PathPattern
from extauthz.session import SessionPolicy
from tests.policyfile.conftest import NOW, Workspace, policy

CACHE = "cache: {ttl: 5, negative_ttl: 6, stale_if_error: 7}"
CACHING = Caching(timedelta(seconds=5), timedelta(seconds=6), timedelta(seconds=7))


def subscription(workspace: Workspace, text: str) -> Subscription:
    loaded = workspace.load(text)
    assert loaded.policy is not None, loaded.problems
    return loaded.policy.subscriptions["acme"]


def address(text: str) -> EmailAddress:
    parsed = EmailAddress.parse(text)
    assert parsed is not None
    return parsed


def pattern(text: str) -> PathPattern:
    parsed = PathPattern.parse(text)
    assert parsed is not None
    return parsed


def last_instant(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 23, 59, 59, 999999, tzinfo=UTC)


def test_account_is_a_name_or_several_or_a_mapping(workspace: Workspace) -> None:
    given = subscription(workspace, policy(accounts="""
      alice: alice@acme.example
      bob: [bob@acme.example, B@acme.example]
      carol:
        email: [carol@acme.example]
        former: {c.old@acme.example: 2030-12-31}
        unit: sales
        role: manager
        groups: [pilot, staff]
        disabled: true
      dave: {email: dave@acme.example, role: unit_manager}
"""))  # fmt: skip
    assert isinstance(given.accounts, Accounts)
    assert given.accounts.named("alice") == Account("alice", (address("alice@acme.example"),))
    bob = (address("bob@acme.example"), address("b@acme.example"))
    assert given.accounts.named("bob") == Account("bob", bob)
    assert given.accounts.named("carol") == Account(
        "carol",
        (address("carol@acme.example"),),
        (Former(address("c.old@acme.example"), last_instant(2030, 12, 31)),),
        is_disabled=True,
        groups=frozenset({"pilot", "staff"}),
        unit="sales",
        role=Role.MANAGER,
    )
    dave = given.accounts.named("dave")
    assert dave is not None
    assert dave.role is Role.UNIT_MANAGER


def test_file_of_accounts_is_beside_the_policy(workspace: Workspace) -> None:
    given = subscription(workspace, policy(accounts="{file: users.csv}"))
    assert given.accounts == AccountFile(str(workspace.directory / "users.csv"), IdentityKind.EMAIL)


def test_database_is_understood(workspace: Workspace) -> None:
    given = subscription(workspace, policy(accounts=f"""
      sql:
        url: postgresql://app@db.internal/app
        query: SELECT login, email FROM u WHERE login = :login OR email = :identity
        password: {{env: DB_PASSWORD}}
        ca_file: widget-ca.pem
        pool_size: 2
        timeout: 1.5
      {CACHE}
"""))  # fmt: skip
    assert given.accounts == SqlDirectory(
        "postgresql://app@db.internal/app",
        "SELECT login, email FROM u WHERE login = :login OR email = :identity",
        IdentityKind.EMAIL,
        Secret(variable="DB_PASSWORD"),
        str(workspace.directory / "widget-ca.pem"),
        2,
        timedelta(seconds=1.5),
        CACHING,
    )


def test_ldap_directory_is_understood(workspace: Workspace) -> None:
    given = subscription(workspace, policy(accounts=f"""
      ldap:
        url: ldap://ldap.internal
        base: dc=acme,dc=example
        bind: {{dn: "cn=x,dc=acme", password: {{file: secret}}}}
        filter: (objectClass=person)
        login_attribute: uid
        email_attribute: mail
        start_tls: true
        ca_file: widget-ca.pem
        disabled_attribute: userAccountControl
        group_attribute: memberOf
        pool_size: 3
        timeout: 3
      {CACHE}
"""))  # fmt: skip
    assert given.accounts == LdapDirectory(
        url="ldap://ldap.internal",
        base="dc=acme,dc=example",
        login_attribute="uid",
        email_attribute="mail",
        filter="(objectClass=person)",
        kind=IdentityKind.EMAIL,
        bind_dn="cn=x,dc=acme",
        password=Secret(file=str(workspace.directory / "secret")),
        start_tls=True,
        ca_file=str(workspace.directory / "widget-ca.pem"),
        disabled_attribute="userAccountControl",
        group_attribute="memberOf",
        pool_size=3,
        timeout=timedelta(seconds=3),
        caching=CACHING,
    )


def test_http_directory_is_understood(workspace: Workspace) -> None:
    given = subscription(workspace, policy(
        accounts="{http: {url: 'https://users.internal/', token: {file: token},"
        " ca_file: widget-ca.pem, timeout: 1}}"
    ))  # fmt: skip
    assert given.accounts == HttpDirectory(
        "https://users.internal/",
        IdentityKind.EMAIL,
        Secret(file=str(workspace.directory / "token")),
        str(workspace.directory / "widget-ca.pem"),
        timedelta(seconds=1),
    )


def test_every_source_of_logins_is_understood(workspace: Workspace) -> None:
    given = subscription(workspace, policy(more="""\
    login:
    - basic
    - header: X-Auth-User
    - bearer: {header: x-jwt-payload, claim: preferred_username}
    - jwt: {header: x-sso-payload, claim: /user/name}
    - form: {paths: [/login, /anmelden], field: username}
    - json: {paths: [/api/session], pointer: /user/name}
    - client_certificate
    session: {cookie: JSESSIONID, idle_seconds: 600, store: "rediss://r:1/2",
      password: {env: REDIS}, ca_file: widget-ca.pem}
"""))  # fmt: skip
    assert given.login == (
        Basic(),
        HeaderField("x-auth-user"),
        Bearer("x-jwt-payload", ("preferred_username",)),
        Jwt("x-sso-payload", ("user", "name")),
        Form(("/login", "/anmelden"), "username"),
        JsonBody(("/api/session",), ("user", "name")),
        ClientCertificate(),
    )
    assert given.session == SessionPolicy(
        "JSESSIONID",
        timedelta(minutes=10),
        "rediss://r:1/2",
        Secret(variable="REDIS"),
        str(workspace.directory / "widget-ca.pem"),
    )


def test_exemptions_are_understood(workspace: Workspace) -> None:
    given = subscription(workspace, policy(more="""\
    exempt:
    - name: github
      reason: webhooks
      until: 2030-12-31
      paths: [/hooks/github, /hooks/github/*]
      methods: [post]
      from: [192.0.2.0/24, "2001:db8::/32"]
    - {reason: build server, until: 2031-06-15, logins: [ci]}
    certificate_required_for: {logins: [alice], groups: [pilot]}
"""))  # fmt: skip
    assert given.exemptions == (
        Exemption(
            "github", "webhooks", last_instant(2030, 12, 31),
            paths=(pattern("/hooks/github"), pattern("/hooks/github/*")),
            methods=frozenset({"POST"}),
            networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
        ),
        Exemption(
            "exempt-2", "build server", last_instant(2031, 6, 15), logins=frozenset({"ci"})
        ),
    )  # fmt: skip
    assert given.required_for == RequiredFor(frozenset({"alice"}), frozenset({"pilot"}))


def test_what_holds_unless_told(workspace: Workspace) -> None:
    """Basic is read, nobody is exempt, nothing is pinned."""
    given = subscription(workspace, policy())
    assert (given.login, given.session, given.exemptions) == ((Basic(),), None, ())
    assert given.required_for is None


SQL = "{sql: {url: 'sqlite:////tmp/x', query: 'SELECT login, email FROM u WHERE login = :login"
LOGIN, EXEMPT = "    login: ", "    exempt:\n    - "
MISTAKES: dict[str, tuple[str, list[str]]] = {
    "no place": (
        policy(accounts="{cache: {ttl: 5}}"),
        [":5:15: error: accounts live in no place; give one of `file`, `sql`, `ldap` and `http`"]),
    "two places": (
        policy(accounts="{file: a.csv, http: {url: 'http://127.0.0.1/'}}"),
        [(":5:15: error: accounts live in 'file' and in 'http'; give one of `file`, `sql`, `ldap`"
          " and `http`")]),
    "a place and an account": (
        policy(accounts="{file: a.csv, alice: alice@acme.example}"),
        [(":5:29: error: unknown key 'alice'; possible here: file, sql, ldap, http, cache")]),
    "cache of a file": (
        policy(accounts="{file: a.csv, cache: {ttl: 5}}"),
        [(":5:29: error: `cache` has no effect: a file is read when it changes; leave it out")]),
    "file of no format": (
        policy(accounts="{file: a.txt}"),
        [(":5:15: error: `accounts`: '.txt' is the ending of no format that is known; see"
          " docs/accounts.md")]),
    "misspelt setting of a database": (
        policy(accounts="{sql: {url: 'sqlite:///x', qurey: x}}"),
        [(":5:16: error: the key 'query' is missing; add it: One SELECT with the parameters :login"
         " and :identity, of which one is NULL; columns login, email (or what `identity` says),"
         " disabled, group, unit."),
         ":5:42: error: unknown key 'qurey'; did you mean 'query'?"]),
    "no secret": (
        policy(accounts="{http: {url: 'http://127.0.0.1/', token: {}}}"),
        [(":5:56: error: either `env` or `file` must be given; say where the secret is read, like"
          " {env: NAME}")]),
    "two secrets": (
        policy(accounts="{http: {url: 'http://127.0.0.1/', token: {env: A, file: b}}}"),
        [(":5:56: error: either `env` or `file` must be given; say where the secret is read, like"
          " {env: NAME}")]),
    "account without a name in certificates": (
        policy(accounts="{alice: {unit: sales}}"),
        [(":5:23: error: the account 'alice' lacks 'email'; that is its name in certificates: the"
          " `identity` is email")]),
    "account with no name where it belongs": (
        policy(accounts="{alice: {email: }}"),
        [
            (
                ":5:23: error: the account 'alice' lacks 'email'; that is its name in"
                " certificates: the `identity` is email"
            )
        ],
    ),
    "account with a name of another kind": (
        policy(accounts="{alice: {email: alice@acme.example, upn: a@b}}"),
        [":5:51: error: 'upn' has no effect: the `identity` is email; write 'email'"]),
    "one of several names": (
        policy(accounts="{alice: [alice@acme.example, alice]}"),
        [(":5:44: error: 'alice' is not an email address; write one plain address like"
          " alice@example.com")]),
    "no name at all": (
        policy(accounts="{alice: []}"),
        [":5:23: error: 'alice' is empty; name at least one"]),
    "former name that is none": (
        policy(accounts="{alice: {email: a@acme.example, former: {a: 2030-12-31}}}"),
        [(":5:56: error: 'a' is not an email address; write one plain address like"
         " alice@example.com")]),
    "former name until no day": (
        policy(accounts="{alice: {email: a@acme.example, former: {b@acme.example: 2030-02-30}}}"),
        [":5:72: error: '2030-02-30' is not a day; write a day as YYYY-MM-DD"]),
    "role that nobody has": (
        policy(accounts="{alice: {email: a@acme.example, role: admin}}"),
        [(":5:53: error: 'role' cannot be 'admin'; possible here: manager, unit_manager")]),
    "disabled in words": (
        policy(accounts="{alice: {email: a@acme.example, disabled: yes}}"),
        [(":5:57: error: 'disabled' should be true or false; write true or false, without"
          " quotes")]),
    "login source that is none": (
        policy(more=LOGIN + "[basic, query]\n"),
        [(":6:20: error: the value cannot be 'query'; possible here: basic, client_certificate")]),
    "no login source": (
        policy(more=LOGIN + "[]\n"),
        [":6:12: error: 'login' is empty; name at least one"]),
    "login source twice": (
        policy(more=LOGIN + "[basic, basic]\n"),
        [":6:20: error: the same source stands twice; leave one out"]),
    "two kinds in one source": (
        policy(more=LOGIN + "[{header: x-user, form: {paths: [/l], field: u}}]\n"),
        [(":6:13: error: a source of logins has exactly one key; write each source as an item of"
          " its own: one of header, bearer, jwt, form, json")]),
    "misspelt source": (
        policy(more=LOGIN + "[{jason: {paths: [/l], pointer: /u}}]\n"),
        [":6:14: error: unknown key 'jason'; did you mean 'json'?"]),
    "header of Envoy's own": (
        policy(more=LOGIN + "[{header: X-Forwarded-For}]\n"),
        [(":6:22: error: 'X-Forwarded-For' cannot say who logs in: Envoy, or another proxy, writes"
          " it for another purpose; name a header that a filter of Envoy sets for this and nothing"
          " else")]),
    "claim that is no pointer": (
        policy(more=LOGIN + "[{jwt: {header: x-p, claim: /a~2}}]\n"),
        [(":6:40: error: '/a~2' is not a claim; write a claim's name, or a JSON pointer like"
          " /user/name")]),
    "pointer that is none": (
        policy(more=LOGIN + "[{json: {paths: [/l], pointer: user}}]\n"),
        [":6:43: error: 'user' is not a JSON pointer; write it like /user/name (RFC 6901)"]),
    "path with a query": (
        policy(more=LOGIN + "[{form: {paths: ['/l?x=1'], field: u}}]\n"),
        [(":6:29: error: '/l?x=1' is not a path in its normal form; write it as the service knows"
          " it: like /login, without a query")]),
    "cookie that is none": (
        policy(more="    session: {cookie: 'a=b'}\n"),
        [(":6:23: error: 'a=b' is not a cookie's name; write the name alone, like JSESSIONID")]),
    "store with a password": (
        policy(more="    session: {cookie: s, store: 'redis://:secret@r/0'}\n"),
        [(":6:14: error: `session`: the store's URL has a password in it: give `password` instead;"
          " see docs/logins.md")]),
    "store of another kind": (
        policy(more="    session: {cookie: s, store: 'memcached://r'}\n"),
        [(":6:14: error: `session`: the store's URL begins neither with redis:// nor with"
          " rediss://; see docs/logins.md")]),
    "session without accounts": (
        policy(more="    verify_email: false\n    session: {cookie: s}\n"),
        [(":7:5: error: `session` has no effect: with `verify_email: false` nobody has an account;"
          " leave one of the two out")]),
    "exemption of everybody": (
        policy(more=EXEMPT + "{reason: x, until: 2030-12-31}\n"),
        [(":7:7: error: an exemption without conditions would exempt everybody; give `logins`,"
          " `paths` or `from`")]),
    "exemption without an end": (
        policy(more=EXEMPT + "{reason: x, logins: [ci]}\n"),
        [(":7:7: error: the key 'until' is missing; add it: Last day on which it holds, YYYY-MM-DD"
          " (UTC).")]),
    "exemption without a reason": (
        policy(more=EXEMPT + "{until: 2030-12-31, logins: [ci]}\n"),
        [":7:7: error: the key 'reason' is missing; add it: Why, and who asked for it."]),
    "exemption for years": (
        policy(more=EXEMPT + "{reason: x, until: 2031-06-17, logins: [ci]}\n"),
        [(":7:26: error: the exemption would hold until 2031-06-17, for more than a year; give it"
          " at most a year, and renew it when it is due")]),
    "exemption until no day": (
        policy(more=EXEMPT + "{reason: x, until: tomorrow, logins: [ci]}\n"),
        [":7:26: error: 'tomorrow' is not a day; write a day as YYYY-MM-DD"]),
    "exemption that ended": (
        policy(more=EXEMPT + "{reason: x, until: 2030-06-14, logins: [ci]}\n"),
        [(":7:5: warning: the exemption 'exempt-1' ended on 2030-06-14; renew it, or take it out:"
          " who relies on it will be refused")]),
    "exemption that ends soon": (
        policy(more=EXEMPT + "{reason: x, until: 2030-06-28, logins: [ci]}\n"),
        [(":7:5: warning: the exemption 'exempt-1' ends soon, on 2030-06-28; renew it, or take it"
          " out: who relies on it will be refused")]),
    "methods without paths": (
        policy(more=EXEMPT + "{reason: x, until: 2030-12-31, logins: [a], methods: [GET]}\n"),
        [(":7:51: error: `methods` says nothing without `paths`; name the paths at which they are"
          " exempt")]),
    "path that could be read in two ways": (
        policy(more=EXEMPT + "{reason: x, until: 2030-12-31, paths: ['/a;b/*']}\n"),
        [(":7:46: error: '/a;b/*' is not a path in its normal form; write it as the service knows"
          " it: /hooks/github, or /hooks/* for all below")]),
    "network that is none": (
        policy(more=EXEMPT + "{reason: x, until: 2030-12-31, from: [192.0.2.1/24]}\n"),
        [(":7:45: error: '192.0.2.1/24' is not a network: 192.0.2.1/24 has host bits set; write it"
          " as CIDR, like 192.0.2.0/24")]),
    "two exemptions of one name": (
        policy(more="    exempt:\n"
               "    - {name: a, reason: x, until: 2030-12-31, logins: [a]}\n"
               "    - {name: a, reason: x, until: 2030-12-31, logins: [b]}\n"),
        [(":8:14: error: there is an exemption 'a' already; give each a name of its own: the log"
          " and the metrics have it")]),
    "certificates required of nobody": (
        policy(more="    certificate_required_for: {logins: []}\n"),
        [(":6:31: error: `certificate_required_for` names nobody: no certificate would be demanded;"
          " list `logins` or `groups`; `mode: audit` demands none")]),
    "certificates required in audit": (
        policy(more="    mode: audit\n    certificate_required_for: {logins: [alice]}\n"),
        [(":7:31: warning: `certificate_required_for` has no effect with `mode: audit`; set `mode:"
          " enforce`, or leave it out")]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_named_with_its_place_and_what_would_be_right(
    workspace: Workspace, text: str, expected: list[str]
) -> None:
    assert workspace.problems(text) == expected


@pytest.mark.parametrize("written", [
    ("{sql: {url: 'postgresql://app:hunter2@db/app', query: 'SELECT login, email FROM u WHERE"
    " login = :login OR email = :identity'}}"),
    "{ldap: {url: 'ldap://u:hunter2@h', base: 'dc=x', login_attribute: uid, email_attribute: m}}",
    "{http: {url: 'https://u:hunter2@h/'}}",
])  # fmt: skip
def test_password_in_a_url_is_refused_and_not_repeated(workspace: Workspace, written: str) -> None:
    """It would stand in a file that many read, and in messages."""
    (problem,) = workspace.problems(policy(accounts=written))
    assert "error" in problem
    assert "hunter2" not in problem


def test_exemption_may_be_written_for_a_year_and_no_more(workspace: Workspace) -> None:
    """From one 15th of June to the next."""
    text = policy(more=EXEMPT + "{reason: x, until: 2031-06-15, logins: [ci]}\n")
    assert workspace.problems(text, NOW) == []


def test_roles_of_the_file_are_those_of_the_core() -> None:
    """Written out for the JSON Schema, and the same."""
    role = PolicyModel.model_json_schema()["$defs"]["AccountModel"]["properties"]["role"]
    assert role["anyOf"][0]["enum"] == list(Role)

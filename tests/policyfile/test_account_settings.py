"""Accounts, logins, sessions and exemptions as the policy file says them."""

from datetime import UTC, date, datetime, time, timedelta
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
from tests.policyfile.conftest import Workspace, policy

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


QUERY = "SELECT login, email FROM u WHERE login = :login OR email = :identity"
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
        [(":5:22: error: `accounts`: '.txt' is the ending of no format that is known; see"
          " docs/accounts.md")]),
    "several mistakes of a database": (
        policy(accounts="""
      sql:
        url: postgresql://u:secret@h/db?ssl=no
        query: SELECT 1
"""),
        [(":7:14: error: `accounts`: `url` has a password: give it as `password: {env: NAME}` or"
          " `password: {file: PATH}`; see docs/accounts.md"),
         ":7:14: error: `accounts`: `url` has an unknown parameter 'ssl'; see docs/accounts.md",
         (":8:16: error: `accounts`: the query has no parameter :identity: WHERE login = :login OR"
          " email = :identity; see docs/accounts.md")]),
    "several mistakes of a file of SQLite": (
        policy(accounts=f"""
      sql:
        url: sqlite://
        query: {QUERY}
        password: {{env: X}}
        ca_file: widget-ca.pem
"""),
        [(":7:14: error: `accounts`: `url` has no file: sqlite:////var/lib/service.db has one; see"
          " docs/accounts.md"),
         (":9:19: error: `accounts`: SQLite takes neither `password` nor `ca_file`; see"
          " docs/accounts.md"),
         (":10:18: error: `accounts`: SQLite takes neither `password` nor `ca_file`; see"
          " docs/accounts.md")]),
    "CA of a database without a host": (
        policy(accounts="{sql: {url: 'postgresql:///a', ca_file: acme-ca.pem,"
               f" query: '{QUERY}'}}}}"),
        [(":5:55: error: `accounts`: `ca_file` needs a host in `url`: its certificate is checked;"
          " see docs/accounts.md")]),
    "several mistakes of a directory": (
        policy(accounts="""
      ldap:
        url: ldap://u:secret@h/dc=x
        base: acme
        bind: {dn: admin, password: {env: X}}
        filter: "(a=b"
        login_attribute: "u id"
        email_attribute: mail
"""),
        [(":7:14: error: `accounts`: the URL names a user: whom to bind as is `bind_dn`'s to say;"
          " see docs/accounts.md"),
         (":7:14: error: `accounts`: the URL has more than host and port: the rest has its own"
          " settings; see docs/accounts.md"),
         (":8:15: error: `accounts`: 'acme' is no distinguished name (RFC 4514), such as"
          " dc=acme,dc=example; see docs/accounts.md"),
         (":9:20: error: `accounts`: 'admin' is no distinguished name (RFC 4514), such as"
          " dc=acme,dc=example; see docs/accounts.md"),
         (":10:17: error: `accounts`: '(a=b' is no filter (RFC 4515), such as"
          " (objectClass=person); see docs/accounts.md"),
         (":11:26: error: `accounts`: 'u id' is no attribute's name (RFC 4512 1.4), such as uid or"
          " mail; see docs/accounts.md")]),
    "several mistakes of a service": (
        policy(accounts="{http: {url: 'http://u@h/?x=1', token: {env: X}}}"),
        [(":5:28: error: `accounts`: the URL has a user name in it: give a `token` instead; see"
          " docs/accounts.md"),
         (":5:28: error: `accounts`: the URL has a query, which would stand in logs: give a"
          " `token`, or use the path; see docs/accounts.md"),
         (":5:28: error: `accounts`: the token would be sent in the clear: use https://; see"
          " docs/accounts.md")]),
    "several mistakes of a store": (
        policy(more="    session: {cookie: s, store: 'redis://u:secret@r/0',"
                    " ca_file: acme-ca.pem}\n"),
        [(":6:33: error: `session`: the store's URL has a password in it: give `password` instead;"
          " see docs/logins.md"),
         (":6:66: error: `session`: `ca_file` has no effect without rediss://; see"
          " docs/logins.md")]),
    "settings of a store that is not there": (
        policy(more="    session: {cookie: s, password: {env: X}, ca_file: acme-ca.pem}\n"),
        [":6:36: error: `password` has no effect without `store`; name the store, or leave it out",
         ":6:55: error: `ca_file` has no effect without `store`; name the store, or leave it out"]),
    "certificate that names no account": (
        policy(more="    verify_email: false\n" + LOGIN + "[basic, client_certificate]\n"),
        [(":7:20: error: `client_certificate` names no account where `verify_email` is false;"
          " leave one of the two out")]),
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
    "header twice, in other letters": (
        policy(more=LOGIN + "[{header: x-a}, basic, {header: X-A}]\n"),
        [":6:35: error: the same source stands twice; leave one out"]),
    "source twice, its token's header in other letters": (
        policy(more=LOGIN + "[{jwt: {header: X-a, claim: c}}, {jwt: {claim: c, header: x-a}}]\n"),
        [":6:45: error: the same source stands twice; leave one out"]),
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
    "path with a star": (
        policy(more=LOGIN + "[{form: {paths: ['/login/*'], field: u}}]\n"),
        [(":6:29: error: '/login/*' has a star in it, and there are no patterns here; list every"
          " path to which the login is posted")]),
    "path with a star within": (
        policy(more=LOGIN + "[{json: {paths: [/l, '/a*'], pointer: /u}}]\n"),
        [(":6:33: error: '/a*' has a star in it, and there are no patterns here; list every"
          " path to which the login is posted")]),
    "cookie that is none": (
        policy(more="    session: {cookie: 'a=b'}\n"),
        [(":6:23: error: 'a=b' is not a cookie's name; write the name alone, like JSESSIONID")]),
    "store with a password": (
        policy(more="    session: {cookie: s, store: 'redis://:secret@r/0'}\n"),
        [(":6:33: error: `session`: the store's URL has a password in it: give `password` instead;"
          " see docs/logins.md")]),
    "store of another kind": (
        policy(more="    session: {cookie: s, store: 'memcached://r'}\n"),
        [(":6:33: error: `session`: the store's URL begins neither with redis:// nor with"
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
        [(":7:7: warning: the exemption 'exempt-1' ended on 2030-06-14; renew it, or take it out:"
          " who relies on it will be refused")]),
    "several exemptions that end": (
        policy(more="    exempt:\n"
               "    - {name: a, reason: x, until: 2030-12-31, logins: [alice]}\n"
               "    - {name: b, reason: x, until: 2030-06-14, logins: [alice]}\n"
               "    - {name: c, reason: x, until: 2030-06-28, logins: [alice]}\n"),
        [(":8:7: warning: the exemption 'b' ended on 2030-06-14; renew it, or take it out: who"
          " relies on it will be refused"),
         (":9:7: warning: the exemption 'c' ends soon, on 2030-06-28; renew it, or take it out:"
          " who relies on it will be refused")]),
    "exemption that ends soon": (
        policy(more=EXEMPT + "{reason: x, until: 2030-06-28, logins: [ci]}\n"),
        [(":7:7: warning: the exemption 'exempt-1' ends soon, on 2030-06-28; renew it, or take it"
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
    "method that no request can have": (
        policy(more=EXEMPT + "{reason: x, until: 2030-12-31, paths: [/], methods: [Get, FOO]}\n"),
        [":7:65: error: 'FOO' is not a method that is let in, whoever asks; write one like POST"]),
    "exemption of every path": (
        policy(more=EXEMPT + "{reason: x, until: 2030-12-31, paths: [/a, /*]}\n"),
        [(":7:7: warning: the exemption 'exempt-1' exempts everybody; name the paths, logins or"
          " networks that are meant, or set `mode: audit`")]),
    "exemption of every address": (
        policy(more=EXEMPT + "{reason: x, until: 2030-12-31, from: [0.0.0.0/0, '::/0']}\n"),
        [(":7:7: warning: the exemption 'exempt-1' exempts everybody; name the paths, logins or"
          " networks that are meant, or set `mode: audit`")]),
    "exemption of every address of IPv4, in halves, and every path, for a method": (
        policy(more="    exempt:\n"
               "    - {reason: x, until: 2030-12-31, paths: [/a]}\n"
               "    - {reason: x, until: 2030-12-31, paths: [/*], methods: [GET],"
               " from: [0.0.0.0/1, 128.0.0.0/1]}\n"),
        [(":8:7: warning: the exemption 'exempt-2' exempts everybody; name the paths, logins or"
          " networks that are meant, or set `mode: audit`")]),
    "exemption of every address of IPv4, as IPv6 has it": (
        policy(more=EXEMPT + "{reason: x, until: 2030-12-31, from: ['::ffff:0.0.0.0/96']}\n"),
        [(":7:7: warning: the exemption 'exempt-1' exempts everybody; name the paths, logins or"
          " networks that are meant, or set `mode: audit`")]),
    "exemption of every public address of IPv6": (
        policy(more=EXEMPT + "{reason: x, until: 2030-12-31, from: ['2000::/3']}\n"),
        [(":7:7: warning: the exemption 'exempt-1' exempts everybody; name the paths, logins or"
          " networks that are meant, or set `mode: audit`")]),
    "exemption of a misspelt login": (
        policy(accounts="{alice: a@acme.example, bob: b@acme.example, ci1: c@acme.example}",
               more=EXEMPT + "{reason: x, until: 2030-12-31, logins: [alcie, Bob, ci, alic]}\n"),
        [(":7:47: warning: the exemption 'exempt-1' names 'alcie', and no account has that login;"
          " did you mean 'alice'?"),
         (":7:54: warning: the exemption 'exempt-1' names 'Bob', and no account has that login;"
          " did you mean 'bob'?"),
         (":7:63: warning: the exemption 'exempt-1' names 'alic', and no account has that login;"
          " did you mean 'alice'?")]),
    "unit manager without a unit": (
        policy(accounts="{a: {email: a@acme.example, role: unit_manager, unit: x},"
               " b: {email: b@acme.example, role: unit_manager}}"),
        [(":5:106: warning: 'b' is a unit manager without a unit, and may mend no account; give it"
          " a `unit`, or another `role`")]),
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
    "certificates required of whom nobody knows": (
        policy(more="    certificate_required_for: {groups: [pilot], logins: [alice, bob, eve]}\n"),
        [(":6:41: warning: `certificate_required_for` names 'pilot', and no account has that login"
          " or group; check how it is spelt"),
         (":6:65: warning: `certificate_required_for` names 'bob', and no account has that login"
          " or group; check how it is spelt"),
         (":6:70: warning: `certificate_required_for` names 'eve', and no account has that login"
          " or group; check how it is spelt")]),
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


def test_mistake_in_one_subscription_hides_none_in_another(workspace: Workspace) -> None:
    """Whoever mends one should not find the next only then."""
    other = (
        "  widget:\n    hosts: ['*']\n    signing_certificates: [widget-ca.pem]\n"
        "    accounts: {http: {url: 'https://u@h/'}}\n"
    )
    problems = workspace.problems(policy(accounts="{http: {url: 'https://u@h/'}}", more=other))
    assert [problem.split(": ")[0] for problem in problems] == [":5:28", ":7:13", ":9:28"]


@pytest.mark.parametrize("more", [
    LOGIN + "[basic, basic]\n", EXEMPT + "{reason: x, until: never, logins: [ci]}\n",
    "    require: {email_domains: ['@']}\n",
])  # fmt: skip
def test_mistake_elsewhere_in_a_subscription_hides_none_in_where_accounts_live(
    workspace: Workspace, more: str
) -> None:
    """Nor one of the store of sessions."""
    written = policy(accounts="{http: {url: 'https://u@h/'}}", more=more)
    written += "    session: {cookie: s, store: 'redis://u:secret@r/0'}\n"
    problems = workspace.problems(written)
    assert len(problems) == 3
    assert problems[0].startswith(":5:28: error: `accounts`: the URL has a user name in it")
    assert "`session`: the store's URL has a password in it" in problems[2]


@pytest.mark.parametrize("accounts", [
    "{cache: {ttl: 5}}", "{file: a.csv, cache: {ttl: 5}}",
    "{http: {url: 'https://h/', token: {env: A, file: b}}}",
])  # fmt: skip
def test_mistake_in_where_accounts_live_brings_no_other(
    workspace: Workspace, accounts: str
) -> None:
    """What is wrong with it is said once."""
    assert len(workspace.problems(policy(accounts=accounts))) == 1


def test_mistake_that_two_subscriptions_share_is_told_once(workspace: Workspace) -> None:
    """An alias stands for what is wrong already."""
    other = (
        "  widget:\n    hosts: [widget.example]\n    signing_certificates: [widget-ca.pem]\n"
        "    accounts: {alice: a@widget.example}\n    exempt: *e\n"
    )
    wrong = "    exempt: &e\n    - {reason: x, until: never, logins: [ci]}\n"
    (problem,) = workspace.problems(policy(more=wrong + other))
    assert "'never' is not a day" in problem


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


@pytest.mark.parametrize("url", [
    "http://u:hunter2@h", "ldap://u:hunter2@h/dc=x", "ldap://u:hunter2@:", "ldap://u:hunter2@h:0",
    "ldap://u:hunter2@h:x", "ldap://u:hunter2/@h",
])  # fmt: skip
def test_url_of_a_directory_with_a_password_is_not_repeated(workspace: Workspace, url: str) -> None:
    """Whatever else is wrong with it."""
    written = f"{{ldap: {{url: '{url}', base: 'dc=x', login_attribute: uid, email_attribute: m}}}}"
    problems = workspace.problems(policy(accounts=written))
    assert problems
    assert "hunter2" not in "".join(problems)


@pytest.mark.parametrize(("today", "last"), [
    (date(2030, 6, 15), date(2031, 6, 15)),
    (date(2027, 11, 27), date(2028, 11, 27)),
    (date(2027, 3, 1), date(2028, 3, 1)),
    (date(2028, 2, 29), date(2029, 2, 28)),
])  # fmt: skip
def test_exemption_may_be_written_for_a_year_and_no_more(
    workspace: Workspace, today: date, last: date
) -> None:
    """From one day to the same of the next year, at any time of the day, leap day or not."""
    for time_of_day in (time.min, time.max):
        now = datetime.combine(today, time_of_day, UTC)
        for until, count in ((last, 0), (last + timedelta(1), 1)):
            text = policy(more=EXEMPT + f"{{reason: x, until: {until}, logins: [ci]}}\n")
            assert len(workspace.problems(text, now)) == count


@pytest.mark.parametrize("conditions", [
    "logins: [ci], paths: [/*]", "logins: [ci], from: [0.0.0.0/0]", "paths: [/a/*]",
    "paths: [/*], from: [192.0.2.0/24]", "paths: [/a], from: ['::/0']",
    "from: [128.0.0.0/1, '8000::/1']", "logins: [ci, robot, nosuch, ali]",
    "paths: [/a], methods: [post, M-SEARCH]",
])  # fmt: skip
def test_exemption_of_some_is_nothing_to_warn_of(workspace: Workspace, conditions: str) -> None:
    """One condition that leaves somebody out is enough; a login may well have no account."""
    text = policy(more=EXEMPT + f"{{reason: x, until: 2030-12-31, {conditions}}}\n")
    assert workspace.problems(text) == []


def test_roles_of_the_file_are_those_of_the_core() -> None:
    """Written out for the JSON Schema, and the same."""
    role = PolicyModel.model_json_schema()["$defs"]["AccountModel"]["properties"]["role"]
    assert role["anyOf"][0]["enum"] == list(Role)

"""Accounts in databases: SQLite, and PostgreSQL and MariaDB as Debian has them.

One table of behaviours is held for all three; what only one of them can do wrong follows.
"""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.accounts import Account
from extauthz.demo.authority import authority, name
from extauthz.directory import sql_rows
from extauthz.directory.backend import DirectoryError, UnreachableError
from extauthz.directory.sql import MAX_ROWS, SqlBackend, problems_with
from extauthz.email import EmailAddress
from extauthz.identity import IdentityKind, parse
from extauthz.lookup import ByIdentity, ByLogin, Secret, SqlDirectory
from tests.directories import sql_servers
from tests.directories.sql_servers import MariaDb, PostgreSql, SqlServer
from tests.ports import free_port

SCHEMA = """
CREATE TABLE accounts (login VARCHAR(200) {exact} PRIMARY KEY, unit VARCHAR(50), disabled BOOLEAN);
CREATE TABLE names (login VARCHAR(200) {exact}, email VARCHAR(200));
CREATE TABLE members (login VARCHAR(200) {exact}, team VARCHAR(50));
INSERT INTO accounts VALUES ('alice', 'north', {no}), ('bob', NULL, {no}), ('carol', NULL, {yes}),
    ('dave', NULL, {no}), ('ünïcode ☃ 😀', NULL, {no});
INSERT INTO names VALUES ('alice', 'alice@acme.example'), ('bob', 'bob@acme.example'),
    ('bob', 'robert@acme.example'), ('carol', 'carol@acme.example'),
    ('ünïcode ☃ 😀', 'snow@acme.example');
INSERT INTO members VALUES ('alice', 'staff'), ('alice', 'admins'), ('bob', 'staff');
"""
QUERY = """
SELECT a.login, n.email, a.disabled, m.team AS {group}, a.unit -- a colon: \\:login is a parameter
FROM accounts a
LEFT JOIN names n ON n.login = a.login LEFT JOIN members m ON m.login = a.login
WHERE a.login = :login OR a.login IN (SELECT login FROM names WHERE email = :identity);
"""
ECHO = "SELECT :login AS login, :identity AS identity"
"""Finds whatever it is asked for: what a database makes of a value."""
ALICE = Account(
    "alice",
    (EmailAddress("alice", "acme.example"),),
    groups=frozenset({"staff", "admins"}),
    unit="north",
)
BOB = Account(
    "bob",
    (EmailAddress("bob", "acme.example"), EmailAddress("robert", "acme.example")),
    groups=frozenset({"staff"}),
)
CAROL = Account("carol", (EmailAddress("carol", "acme.example"),), is_disabled=True)
DAVE = Account("dave", ())
SNOW = Account("ünïcode ☃ 😀", (EmailAddress("snow", "acme.example"),))
HOSTILE = (
    "' OR '1'='1", '" OR ""="', "\\' OR 1=1 -- ", "\\", "alice'--", "alice\\", "alice\0",
    "\0", "%", "_lice", "%s", "%(login)s", ":login", "$1", "?", "alice; DROP TABLE accounts",
    "/* */alice", "alice -- ", "alice#", "ALICE", "alice ", " alice", "alic\u0435", "\ufeffalice",
    "\ud800", "alice\x1a", "alice\n", "\u2019 OR 1=1", "x" * 100_000, "",
)  # fmt: skip
STORABLE = [login for login in HOSTILE if login and not {"\0", "\ud800"} & {*login}]
ANYTHING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
SHORT = timedelta(seconds=0.4)
PATIENCE = timedelta(seconds=30)
"""For what does answer, however busy the machine is."""


@dataclass(frozen=True)
class Database:
    """One of the three, with the accounts in it."""

    directory: SqlDirectory
    server: SqlServer | None
    """None for SQLite."""

    def asking(self, query: str) -> SqlDirectory:
        return replace(self.directory, query=query)


@pytest.fixture(scope="module")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "password"
    path.write_text(sql_servers.PASSWORD + "\n")
    return path


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Database:
    path = tmp_path_factory.mktemp("sqlite") / "a file #1 100%.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA.format(exact="", no=0, yes=1))
    connection.close()
    query = QUERY.format(group='"group"')
    return Database(SqlDirectory(f"sqlite:///{path}", query, timeout=PATIENCE), None)


@pytest.fixture(scope="module")
def postgresql(password_file: Path) -> Iterator[Database]:
    with sql_servers.postgresql() as server:
        server.execute(SCHEMA.format(exact="", no="false", yes="true"))
        secret = Secret(file=str(password_file))
        query = QUERY.format(group='"group"')
        directory = SqlDirectory(server.url, query, password=secret, timeout=PATIENCE)
        yield Database(directory, server)


@pytest.fixture(scope="module")
def mariadb(password_file: Path) -> Iterator[Database]:
    with sql_servers.mariadb() as server:
        server.execute(SCHEMA.format(exact="COLLATE utf8mb4_nopad_bin", no=0, yes=1))
        secret = Secret(file=str(password_file))
        query = QUERY.format(group="`group`")
        directory = SqlDirectory(server.url, query, password=secret, timeout=PATIENCE)
        yield Database(directory, server)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Database:
    made: Database = request.getfixturevalue(request.param)
    return made


@pytest.fixture(params=["postgresql", "mariadb"])
def served(request: pytest.FixtureRequest) -> tuple[SqlDirectory, SqlServer]:
    """A database that is a server's."""
    made: Database = request.getfixturevalue(request.param)
    assert made.server is not None
    return made.directory, made.server


@asynccontextmanager
async def asking(directory: SqlDirectory) -> AsyncIterator[SqlBackend]:
    backend = SqlBackend(directory)
    try:
        yield backend
    finally:
        await backend.close()


async def found(directory: SqlDirectory, login: str = "alice") -> list[Account]:
    async with asking(directory) as backend:
        return list(await backend.find(ByLogin(login)))


async def why_not(directory: SqlDirectory, login: str = "alice") -> str:
    """The message of a look-up that fails: one line without the password."""
    with pytest.raises(DirectoryError) as caught:
        await found(directory, login)
    message = str(caught.value)
    assert message.isprintable()
    assert sql_servers.PASSWORD not in message
    return message


def named(address: str) -> ByIdentity:
    identity = EmailAddress.parse(address)
    assert identity is not None
    return ByIdentity(identity)


@pytest.mark.parametrize("account", [ALICE, BOB, CAROL, DAVE, SNOW], ids=lambda each: each.login)
async def test_account_is_found_by_its_login(database: Database, account: Account) -> None:
    """With all its names and groups, disabled or not, in however many rows it comes."""
    (only,) = await found(database.directory, account.login)
    assert replace(only, identities=()) == replace(account, identities=())
    assert set(only.identities) == set(account.identities)


@pytest.mark.parametrize(
    ("address", "login"),
    [
        ("alice@acme.example", "alice"),
        ("Alice@ACME.example", "alice"),
        ("bob@acme.example", "bob"),
        ("robert@acme.example", "bob"),
        ("carol@acme.example", "carol"),
    ],
)
async def test_account_is_found_by_each_of_its_names(
    database: Database, address: str, login: str
) -> None:
    """The name is asked for in its normal form, and the account comes whole."""
    async with asking(database.directory) as backend:
        assert await backend.find(named(address)) == await backend.find(ByLogin(login))


@pytest.mark.parametrize("key", [ByLogin("mallory"), named("mallory@acme.example")], ids=str)
async def test_what_is_not_there_is_not_found(
    database: Database, key: ByLogin | ByIdentity
) -> None:
    """No row is an answer: there is no such account."""
    async with asking(database.directory) as backend:
        assert list(await backend.find(key)) == []


async def test_no_hostile_login_finds_an_account(database: Database) -> None:
    """Nor does one break anything for the next."""
    async with asking(database.directory) as backend:
        for login in HOSTILE:
            assert list(await backend.find(ByLogin(login))) == [], login
        assert [each.login for each in await backend.find(ByLogin("alice"))] == ["alice"]


async def arrives(directory: SqlDirectory, logins: list[str]) -> None:
    """The database gets each value as it is."""
    async with asking(replace(directory, query=ECHO)) as backend:
        for login in logins:
            (account,) = await backend.find(ByLogin(login))
            assert account.login == login


@given(st.lists(ANYTHING, min_size=1, max_size=20))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_every_login_reaches_sqlite_as_it_is(sqlite: Database, logins: list[str]) -> None:
    """A parameter has no syntax."""
    await arrives(sqlite.directory, logins)


@given(st.lists(ANYTHING, min_size=1, max_size=20))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_every_login_reaches_a_server_as_it_is(
    served: tuple[SqlDirectory, SqlServer], logins: list[str]
) -> None:
    """A parameter has no syntax, also where a driver writes it into the statement."""
    await arrives(served[0], logins + STORABLE)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ("'a' AS login, 'b' AS email, 0 AS disabld", "column 'disabld'; there are login, "),
        ("'a' AS login, 'b' AS upn", "column 'upn'; there are login, "),
        ("'a' AS login, 'b' AS email, 'b' AS identity", "two columns for identity"),
        ("'a' AS login", "no column identity"),
        ("'b' AS email", "no column login"),
        ("NULL AS login, 'b' AS email", "a row has no login"),
        ("'a' AS login, 1.5 AS email", "the column identity has "),
        ("missing AS login, 'b' AS email", "the query failed: "),
    ],
)
async def test_answer_that_is_not_understood_is_none(
    database: Database, columns: str, why: str
) -> None:
    """A misspelt `disabled` must not let anybody in."""
    query = f"SELECT {columns} WHERE 'alice' = :login OR 'alice' = :identity"
    assert why in await why_not(database.asking(query))


async def test_columns_are_known_in_any_case(database: Database) -> None:
    """PostgreSQL makes names small, others leave them."""
    query = "SELECT 7 AS Login, :identity AS EMAIL, 'no' AS Disabled, 'x' AS Unit, :login AS Groups"
    (account,) = await found(database.asking(query))
    assert account == Account("7", (), groups=frozenset({"alice"}), unit="x")


async def test_percent_sign_in_a_query_is_one(database: Database) -> None:
    """Also where a driver formats the statement."""
    query = "SELECT '%s%%' AS login, :identity AS email WHERE :login LIKE 'al%' "
    assert [each.login for each in await found(database.asking(query))] == ["%s%%"]
    assert await found(database.asking(query), "bob") == []


@pytest.mark.parametrize(("rows", "is_read"), [(MAX_ROWS, True), (MAX_ROWS + 1, False)])
async def test_answer_has_a_bound(database: Database, rows: int, *, is_read: bool) -> None:
    """A query without a WHERE does not carry a million rows over."""
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
        f"{rows}) SELECT :login AS login, :identity AS email FROM n"
    )
    if database.server is not None and isinstance(database.server, MariaDb):
        query = query.replace("SELECT 1 ", "SELECT CAST(1 AS UNSIGNED) ")
    if is_read:
        assert len(await found(database.asking(query))) == 1
    else:
        assert await why_not(database.asking(query)) == "the query finds more than 1000 rows"


async def test_connections_are_bounded(served: tuple[SqlDirectory, SqlServer]) -> None:
    """Who finds none free waits, and is served."""
    directory, server = served
    # Those of earlier tests may be on their way out.
    await until(lambda: connections(server) == 0)
    async with asking(replace(directory, pool_size=2)) as backend:
        answers = await asyncio.gather(*(backend.find(ByLogin("alice")) for _ in range(40)))
        assert all(len(answer) == 1 for answer in answers)
        assert 1 <= connections(server) <= 2
    await until(lambda: connections(server) == 0)


async def test_killed_server_is_an_error_at_once_and_found_again(
    served: tuple[SqlDirectory, SqlServer], caplog: pytest.LogCaptureFixture
) -> None:
    """The first look-up after its restart succeeds, whatever connections there were."""
    directory, server = served
    async with asking(directory) as backend:
        await asyncio.gather(*(backend.find(ByLogin("alice")) for _ in range(8)))
        server.stop()
        for _ in range(2):
            began = time.monotonic()
            outcomes = await asyncio.gather(
                *(backend.find(ByLogin("alice")) for _ in range(20)), return_exceptions=True
            )
            assert {str(outcome) for outcome in outcomes} == {"no connection: Connection refused"}
            assert time.monotonic() - began < 10
        server.start()
        for each in await asyncio.gather(*(backend.find(ByLogin("alice")) for _ in range(8))):
            assert [account.login for account in each] == ["alice"]
    assert complaints(caplog) == []


async def test_hung_server_costs_the_timeout_and_is_found_again(
    served: tuple[SqlDirectory, SqlServer], caplog: pytest.LogCaptureFixture
) -> None:
    """With connections to it that are open, and with new ones; it fills no log."""
    directory, server = served
    directory = replace(directory, timeout=SHORT, pool_size=2)
    async with asking(directory) as backend, asking(directory) as fresh:
        await until_found(backend)
        server.pause()
        try:
            for each in (backend, fresh, backend):
                began = time.monotonic()
                outcomes = await asyncio.gather(
                    *(each.find(ByLogin("alice")) for _ in range(100)), return_exceptions=True
                )
                assert {str(outcome) for outcome in outcomes} == {"no answer within 0.4 s"}
                # One after the other on two connections, they would take twenty.
                assert time.monotonic() - began < 10
        finally:
            server.resume()
        for each in (backend, fresh):
            await until_found(each)
    assert complaints(caplog) == []


async def test_backend_of_a_hung_server_can_be_closed(
    served: tuple[SqlDirectory, SqlServer],
) -> None:
    """No farewell is waited for without an end, and no connection stays open."""
    directory, server = served
    backend = SqlBackend(replace(directory, timeout=timedelta(seconds=30), pool_size=2))
    await asyncio.gather(*(backend.find(ByLogin("alice")) for _ in range(2)))
    server.pause()
    try:
        asking = asyncio.create_task(backend.find(ByLogin("alice")))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            await backend.close()
            with pytest.raises(DirectoryError, match="closed"):
                await asking
    finally:
        server.resume()
    await until(lambda: connections(server) == 0)


async def test_query_that_takes_too_long_is_given_up_by_the_server_too(
    served: tuple[SqlDirectory, SqlServer],
) -> None:
    """Otherwise queries that nobody waits for pile up; the others go on meanwhile."""
    directory, server = served
    pause = "pg_sleep(60)" if isinstance(server, PostgreSql) else "SLEEP(60)"
    query = (
        f"SELECT :login AS login, :identity AS email FROM (SELECT CASE :login WHEN 'slow' THEN"
        f" CAST({pause} AS CHAR) END AS x) AS y WHERE x IS NULL OR x <> 'never'"
    )
    in_time = timedelta(seconds=2)
    async with asking(replace(directory, query=query, timeout=in_time, pool_size=2)) as backend:
        outcomes = await asyncio.gather(
            *(backend.find(ByLogin(login)) for login in ("quick", "slow", "quick")),
            return_exceptions=True,
        )
        assert isinstance(outcomes[1], DirectoryError)
        assert all(isinstance(outcomes[place], tuple) for place in (0, 2))
        await until(lambda: sleeping(server) == 0)
        assert len(await backend.find(ByLogin("quick"))) == 1


async def test_look_up_that_is_cancelled_leaves_nothing_behind(database: Database) -> None:
    """The answer of one question is never taken for that of another."""
    async with asking(replace(database.asking(ECHO), pool_size=1)) as backend:
        for number in range(30):
            task = asyncio.create_task(backend.find(ByLogin(f"lost {number}")))
            await asyncio.sleep(number / 20_000)
            task.cancel()
            (account,) = await backend.find(ByLogin(f"kept {number}"))
            assert account.login == f"kept {number}"
        server = database.server
        await until(lambda: server is None or connections(server) <= 1)


async def test_wrong_password_is_said_without_it(
    served: tuple[SqlDirectory, SqlServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own words say whom it does not let in."""
    monkeypatch.setenv("WRONG", "not-" + sql_servers.PASSWORD)
    message = await why_not(replace(served[0], password=Secret(variable="WRONG")))
    assert message.startswith("no connection: ")
    assert "extauthz" in message


async def test_who_answers_wrongly_is_reached(
    served: tuple[SqlDirectory, SqlServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be mended then is not the network."""
    directory, server = served
    monkeypatch.setenv("WRONG", "not-" + sql_servers.PASSWORD)
    nowhere = server.url.replace(f":{server.port}/", f":{free_port()}/")
    expected = {
        replace(directory, url=nowhere): True,
        replace(directory, password=Secret(variable="WRONG")): False,
        replace(directory, password=Secret(variable="NOWHERE_TO_BE_FOUND")): False,
        replace(directory, query=directory.query.replace("login", "loginn", 1)): False,
    }
    for asked, is_unreachable in expected.items():
        with pytest.raises(DirectoryError) as caught:
            await found(asked)
        assert isinstance(caught.value, UnreachableError) is is_unreachable, caught.value


async def test_password_that_is_not_there_is_said(served: tuple[SqlDirectory, SqlServer]) -> None:
    """By the name of where it should be."""
    message = await why_not(replace(served[0], password=Secret(variable="NOWHERE_TO_BE_FOUND")))
    assert message == "the environment variable NOWHERE_TO_BE_FOUND is not set"


async def test_no_password_is_looked_for_elsewhere(
    postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the environment for somebody else is not sent."""
    monkeypatch.setenv("PGPASSWORD", sql_servers.PASSWORD)
    assert "password" in await why_not(replace(postgresql.directory, password=None))


async def test_password_is_read_for_each_connection(
    served: tuple[SqlDirectory, SqlServer], tmp_path: Path
) -> None:
    """One that is changed counts without a restart, whatever letters are in it.

    Nor does it matter that the server has ended the connections that there were.
    """
    directory, server = served
    path = tmp_path / "password"
    path.write_text(sql_servers.PASSWORD)
    async with asking(replace(directory, password=Secret(file=str(path)))) as backend:
        assert await backend.find(ByLogin("alice"))
        try:
            for password in ("another", "größer ☃"):
                change_password(server, password)
                path.write_text(password + "\n")
                disconnect(server)
                assert await backend.find(ByLogin("alice"))
            path.write_text("wrong")
            assert await backend.find(ByLogin("alice"))
            disconnect(server)
            with pytest.raises(DirectoryError):
                await backend.find(ByLogin("alice"))
        finally:
            change_password(server, sql_servers.PASSWORD)


@pytest.mark.parametrize("ca", ["right", "wrong", "missing", "broken"])
async def test_server_is_the_one_that_the_cas_vouch_for(
    served: tuple[SqlDirectory, SqlServer], tmp_path: Path, ca: str
) -> None:
    """With `ca_file` there is TLS with the named host, or no connection."""
    path = tmp_path / "ca.pem"
    if ca in {"right", "wrong"}:
        path.write_text((sql_servers.CA if ca == "right" else authority(name("Other"))).pem)
    elif ca == "broken":
        path.write_text("nothing")
    directory = replace(served[0], ca_file=str(path))
    if ca == "right":
        assert await found(directory)
    else:
        why = await why_not(directory)
        expected = {
            "wrong": "no connection: its TLS certificate is not accepted: ",
            "missing": f"ca_file {path} cannot be used: No such file or directory",
            "broken": f"ca_file {path} cannot be used: [X509",
        }[ca]
        assert why.startswith(expected)


async def test_certificate_of_another_host_is_not_accepted(
    served: tuple[SqlDirectory, SqlServer], tmp_path: Path
) -> None:
    """The same server under an address that its certificate does not have."""
    directory, _ = served
    path = tmp_path / "ca.pem"
    path.write_text(sql_servers.CA.pem)
    elsewhere = replace(directory, url=directory.url.replace("127.0.0.1", sql_servers.OTHER_NAME))
    assert await found(elsewhere)
    assert "IP address mismatch" in await why_not(replace(elsewhere, ca_file=str(path)))


async def test_no_tls_is_no_connection_where_it_is_asked_for(
    served: tuple[SqlDirectory, SqlServer], tmp_path: Path
) -> None:
    """Whoever is in between could take it out of the server's greeting."""
    directory, server = served
    path = tmp_path / "ca.pem"
    path.write_text(sql_servers.CA.pem)
    with sql_servers.started_with(server, *server.without_tls):
        assert await found(directory)
        message = await why_not(replace(directory, ca_file=str(path)))
    assert message.startswith("no connection: ")
    assert "SSL" in message or "TLS" in message


async def test_session_ends_queries_itself(served: tuple[SqlDirectory, SqlServer]) -> None:
    """In the time after which nobody waits for them, whether it hears of that or not."""
    directory, server = served
    if isinstance(server, PostgreSql):
        query, limit = "current_setting('statement_timeout')", "8500ms"
    else:
        query, limit = "CAST(@@max_statement_time AS CHAR)", "8.500000"
    query = f"SELECT {query} AS login, :login AS email, :identity AS unit"
    in_time = timedelta(seconds=8.5)
    (account,) = await found(replace(directory, query=query, timeout=in_time))
    assert account.login == limit


async def test_session_cannot_write(served: tuple[SqlDirectory, SqlServer]) -> None:
    """Whatever the query calls."""
    directory, server = served
    if isinstance(server, PostgreSql):
        server.execute(
            "CREATE FUNCTION adds() RETURNS text LANGUAGE SQL AS"
            " $$INSERT INTO accounts VALUES ('new') RETURNING login$$"
        )
    else:
        server.execute(
            "DELIMITER //\nCREATE FUNCTION adds() RETURNS TEXT DETERMINISTIC MODIFIES SQL DATA\n"
            "BEGIN INSERT INTO accounts(login) VALUES ('new'); RETURN 'new'; END//"
        )
    query = "SELECT service.adds() AS login, :login AS email, :identity AS unit"
    if isinstance(server, PostgreSql):
        query = query.replace("service.", "")
    message = await why_not(replace(directory, query=query))
    assert "read-only transaction" in message.lower() or "READ ONLY transaction" in message
    assert server.execute("SELECT COUNT(*) FROM accounts WHERE login = 'new'").strip() == "0"


SECRETIVE = 'it\'s "my" secret \\ login\nof two lines'


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("mariadb", "SELECT :login AS login AS login, :identity AS email"),
        (
            "mariadb",
            "SELECT LENGTH(:login) * 18446744073709551615 AS login, :identity AS email",
        ),
        (
            "postgresql",
            "SELECT to_tsquery('simple', :login)::text AS login, :identity AS email",
        ),
        ("sqlite", "SELECT json_extract('{}', :login) AS login, :identity AS email"),
    ],
)
async def test_message_does_not_repeat_what_was_asked(
    request: pytest.FixtureRequest, kind: str, query: str
) -> None:
    """A database quotes values in its messages about them."""
    made: Database = request.getfixturevalue(kind)
    message = await why_not(made.asking(query), SECRETIVE)
    assert message.startswith("the query failed: ")
    assert "secret" not in message
    assert SECRETIVE.encode().hex()[:16].upper() not in message.upper()


@pytest.mark.parametrize("mode", ["NO_BACKSLASH_ESCAPES,ANSI_QUOTES", "ORACLE"])
async def test_values_are_safe_under_every_sql_mode_and_character_set(
    mariadb: Database, mode: str
) -> None:
    """The literals need no escaping, so none can be wrong."""
    assert mariadb.server is not None
    query = mariadb.directory.query.replace("`", "")
    query = query.replace("AS group", "AS unit_", 1).replace("unit_", "groups")
    options = [
        f"--sql-mode={mode}", "--character-set-server=latin1",
        "--collation-server=latin1_swedish_ci", "--skip-character-set-client-handshake",
    ]  # fmt: skip
    with sql_servers.started_with(mariadb.server, *options):
        await arrives(mariadb.directory, [*STORABLE, SNOW.login])
        directory = replace(mariadb.directory, query=query)
        async with asking(directory) as backend:
            for login in HOSTILE:
                assert list(await backend.find(ByLogin(login))) == [], login
            assert len(await backend.find(ByLogin(SNOW.login))) == 1


async def test_value_is_written_without_escapes(mariadb: Database) -> None:
    """What the server sees is a statement with digits in it, and nothing of a login."""
    query = (
        "SELECT info AS login, :login AS email, :identity AS unit"
        " FROM information_schema.processlist WHERE id = CONNECTION_ID()"
    )
    (account,) = await found(mariadb.asking(query), SECRETIVE)
    assert f"_utf8mb4 X'{SECRETIVE.encode().hex()}' AS email, NULL AS unit" in account.login


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3", "utf8mb4"])
async def test_collation_decides_which_spellings_are_one_login(
    mariadb: Database, charset: str
) -> None:
    """The usual one has no case and no spaces at the end; the account comes with its own login."""
    assert mariadb.server is not None
    mariadb.server.execute(
        f"CREATE TABLE {charset} (login VARCHAR(50) CHARACTER SET {charset}, email VARCHAR(90));"
        f"INSERT INTO {charset} VALUES ('alice', NULL), ('José', NULL), ('Mallory', NULL),"
        " ('mallory', NULL)"
    )
    query = f"SELECT * FROM {charset} WHERE login = :login OR email = :identity"
    for login, logins in {
        "ALICE": ["alice"], "alice  ": ["alice"], " alice": [], "alice x": [], "alice\\": [],
        "JOSÉ": ["José"], "MALLORY": ["Mallory", "mallory"], "😀": [], "☃": [],
    }.items():  # fmt: skip
        accounts = await found(mariadb.asking(query), login)
        assert [each.login for each in accounts] == logins, login


async def test_database_of_another_encoding_has_no_login_that_it_cannot_hold(
    postgresql: Database,
) -> None:
    """A client must not be able to make look-ups fail."""
    assert postgresql.server is not None
    postgresql.server.execute("CREATE DATABASE narrow ENCODING 'LATIN1' TEMPLATE template0")
    postgresql.server.execute(
        "CREATE TABLE accounts (login text, email text); INSERT INTO accounts VALUES ('José');"
        "GRANT SELECT ON accounts TO extauthz",
        database="narrow",
    )
    query = "SELECT * FROM accounts WHERE login = :login OR email = :identity"
    url = postgresql.directory.url.replace("/service", "/narrow")
    directory = replace(postgresql.directory, url=url, query=query)
    assert [each.login for each in await found(directory, "José")] == ["José"]
    assert await found(directory, "☃") == []


@pytest.mark.parametrize("column", ["int", "uuid", "date"])
async def test_column_of_another_type_has_no_login_that_is_none(
    postgresql: Database, column: str
) -> None:
    """A client must not be able to make look-ups fail."""
    query = (
        f"SELECT CAST(x AS text) AS login, :identity AS email FROM (SELECT CAST(NULL AS {column})"
        f" AS x UNION SELECT CAST('7' AS {column}) WHERE 'int' = '{column}') AS y"
        f" WHERE x = CAST(:login AS {column})"
    )
    if column == "int":
        assert [each.login for each in await found(postgresql.asking(query), "7")] == ["7"]
    else:
        query = query.split(" UNION ", maxsplit=1)[0] + ") AS y" + query.split(") AS y")[1]
    for login in (SECRETIVE, "alice", "99999999999999", "7.5", "2026-13-99", ""):
        assert await found(postgresql.asking(query), login) == [], login


async def test_data_that_is_broken_is_an_error(postgresql: Database) -> None:
    """And no answer that there is no such account."""
    query = (
        "SELECT x AS login, :identity AS email FROM (SELECT 'nonsense' AS x) AS y"
        " WHERE CAST(x AS int) = 1 OR x = :login"
    )
    why = "the query failed: InvalidTextRepresentationError (22P02)"
    assert await why_not(postgresql.asking(query)) == why


async def test_missing_file_is_not_made(tmp_path: Path) -> None:
    """A wrong path is found out, and the right one works when the file comes."""
    path = tmp_path / "service.db"
    directory = SqlDirectory(f"sqlite:///{path}", ECHO, timeout=PATIENCE)
    async with asking(directory) as backend:
        with pytest.raises(DirectoryError, match=r"^no connection: unable to open database"):
            await backend.find(ByLogin("alice"))
        assert not path.exists()
        sqlite3.connect(path).close()
        path.touch()
        assert len(await backend.find(ByLogin("alice"))) == 1


async def test_locked_file_costs_the_timeout(tmp_path: Path) -> None:
    """Whoever writes to it holds us up no longer than that."""
    path = tmp_path / "service.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.executescript("CREATE TABLE a (login, email); INSERT INTO a VALUES ('alice', NULL)")
    query = "SELECT * FROM a WHERE login = :login OR email = :identity"
    async with asking(SqlDirectory(f"sqlite:///{path}", query, timeout=SHORT)) as backend:
        await until_found(backend)
        writer.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        with pytest.raises(DirectoryError, match=r"no answer within|database is locked"):
            await backend.find(ByLogin("alice"))
        assert time.monotonic() - began < 4
        writer.execute("ROLLBACK")
        await until_found(backend)
    writer.close()


async def test_query_of_a_file_that_does_not_end_is_interrupted(sqlite: Database) -> None:
    """Its thread is free for the next one, also when the backend is to be closed."""
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE :login <> 'alice')"
        " SELECT :login AS login, :identity AS email FROM n WHERE i < 2"
    )
    backend = SqlBackend(replace(sqlite.asking(query), timeout=SHORT, pool_size=1))
    for _ in range(2):
        with pytest.raises(DirectoryError, match=r"^no answer within 0.4 s$"):
            await backend.find(ByLogin("endless"))
        await until_found(backend)
    task = asyncio.create_task(backend.find(ByLogin("endless")))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        await backend.close()
        with pytest.raises(DirectoryError):
            await task


def account_of(columns: dict[str, object]) -> Account:
    (account,) = sql_rows.accounts(IdentityKind.EMAIL, list(columns), [list(columns.values())])
    return account


@pytest.mark.parametrize(
    "disabled", [False, 0, Decimal(0), 0.0, b"\0", "0", "f", "F", "false", "FALSE ", "no", "off"]
)
def test_account_is_enabled_that_says_so(disabled: object) -> None:
    """In the ways in which databases say false."""
    assert not account_of({"login": "a", "email": None, "disabled": disabled}).is_disabled


@pytest.mark.parametrize(
    "disabled",
    [True, 1, -1, 2, "t", "true", "1", "", "nein", "null", None, b"", b"0", b"\1", 0.5, [], {}],
)
def test_account_is_disabled_that_says_anything_else(disabled: object) -> None:
    """Also with NULL: what is not known lets nobody in."""
    assert account_of({"login": "a", "email": None, "disabled": disabled}).is_disabled


def test_account_is_disabled_when_one_row_says_so() -> None:
    """The rows of one account need not agree."""
    rows = [["a", "a@x.example", 0], ["a", "b@x.example", 1], ["a", "c@x.example", 0]]
    (account,) = sql_rows.accounts(IdentityKind.EMAIL, ["login", "email", "disabled"], rows)
    assert account.is_disabled
    assert len(account.identities) == 3


@pytest.mark.parametrize(
    "row",
    [{"login": b"a"}, {"login": True}, {"login": 1.0}, {"login": ""}, {"email": b"a"},
     {"groups": ["a"]}, {"unit": b"a"}],
)  # fmt: skip
def test_value_of_another_type_is_an_error(row: dict[str, object]) -> None:
    """Text that is made of it might be somebody else's."""
    with pytest.raises(DirectoryError):
        account_of({"login": "a", "email": None} | row)


def test_account_has_one_unit() -> None:
    """Which of two would be a guess."""
    rows = [["a", None, "x"], ["a", None, "y"]]
    with pytest.raises(DirectoryError, match="several units"):
        sql_rows.accounts(IdentityKind.EMAIL, ["login", "email", "unit"], rows)


def test_email_that_is_none_is_kept_for_who_mends_it() -> None:
    """It is no name of the account; a few of them are enough."""
    rows = [["junk", text] for text in ("not an email", "", "junk@x.example", *map(str, range(9)))]
    (account,) = sql_rows.accounts(IdentityKind.EMAIL, ["login", "email"], rows)
    assert list(map(str, account.identities)) == ["junk@x.example"]
    assert account.unusable == ("not an email", "", "0")


@pytest.mark.parametrize("kind", IdentityKind)
async def test_name_is_of_the_kind_that_the_subscription_goes_by(
    sqlite: Database, kind: IdentityKind
) -> None:
    """Its own name is the column's, and its normal form is what is asked for."""
    text = {
        IdentityKind.EMAIL: "alice@acme.example",
        IdentityKind.UPN: "alice@acme.example",
        IdentityKind.SUBJECT: "CN=Alice,O=Acme",
        IdentityKind.SAN_URI: "spiffe://acme.example/alice",
    }[kind]
    identity = parse(kind, text)
    assert identity is not None
    query = f"SELECT 'alice' AS login, :identity AS {kind.value} WHERE :login IS NULL"
    async with asking(replace(sqlite.directory, query=query, kind=kind)) as backend:
        (account,) = await backend.find(ByIdentity(identity))
    assert account.identities == (identity,)


def problem_with(settings: SqlDirectory) -> str | None:
    """The one thing that is wrong with settings; None when nothing is."""
    problems = [message for _, message in problems_with(settings)]
    assert len(problems) <= 1
    return problems[0] if problems else None


GOOD_URLS = (
    "sqlite:////srv/a.db", "sqlite+aiosqlite:///a.db", "postgresql://u@db.example/a",
    "postgresql+asyncpg://u@db.example:5433/a", "postgresql://u@/a?host=/run/postgresql",
    "mysql://u@db.example/a", "mysql+aiomysql://u@db.example/a", "mariadb://u@db.example/a",
    "mysql://u@/a?unix_socket=/run/mysqld/mysqld.sock",
)  # fmt: skip


@pytest.mark.parametrize("url", GOOD_URLS)
def test_url_is_fine(url: str) -> None:
    """With the driver in it or without."""
    assert problem_with(SqlDirectory(url, ECHO)) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://u:hunter2@db.example/a", "`url` has a password: give it as `password: {env"),
        ("postgresql://u:@db.example/a", "`url` has a password"),
        ("postgresql://u@db.example/a?password=hunter2", "`url` has a password"),
        ("mysql://u@db.example/a?passwd=hunter2", "`url` has a password"),
        ("postgresql://u:hun/ter2@db.example/a", "`url` has a password"),
        ("postgresql://u:hun:ter2@db.example:x/a", "`url` is no URL"),
        ("postgresql://u@db.example:port/a", "`url` is no URL"),
        ("hunter2", "`url` is no URL"),
        ("", "`url` is no URL"),
        ("postgresql+psycopg://u@db.example/a", "begins with 'postgresql+psycopg'; there are sql"),
        ("oracle://u@db.example/a", "begins with 'oracle'; there are sqlite://, postgresql://"),
        ("postgresql://u@db.example/a?ssl=disable", "`url` has an unknown parameter 'ssl'"),
        ("mysql://u@db.example/a?read_default_file=/x", "unknown parameter 'read_default_file'"),
        ("sqlite:////srv/a.db?mode=rwc", "`url` has an unknown parameter 'mode'"),
        ("sqlite://", "`url` has no file"),
        ("sqlite:///:memory:", "`url` has no file"),
        ("sqlite://srv/a.db", "`url` of SQLite is sqlite:///relative.db"),
    ],
)
async def test_url_is_refused(url: str, why: str) -> None:
    """When it is configured, and when it is used; no password is repeated."""
    directory = SqlDirectory(url, ECHO)
    problem = problem_with(directory)
    assert problem is not None
    assert why in problem
    assert "hunter2" not in problem
    assert "ter2" not in problem
    assert await why_not(directory) == problem


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT 1; DELETE FROM accounts", "not one statement"),
        ("DELETE FROM accounts WHERE login = :login OR email = :identity", "SELECT or WITH"),
        ("-- SELECT\nUPDATE a SET login = :login, email = :identity", "SELECT or WITH"),
        ("", "SELECT or WITH"),
        ("SELECT login, email FROM a", "no parameter :identity"),
        ("SELECT login, email FROM a WHERE login = :login", "no parameter :identity"),
        ("SELECT login, email FROM a WHERE email = :identity", "no parameter :login"),
        ("SELECT :login, :identity::text", "parameter :identity: CAST(:identity AS TYPE) is"),
        ("SELECT :login, :identity, :host", "unknown parameter ':host': there are :login and"),
    ],
)
async def test_query_is_refused(query: str, why: str) -> None:
    """When it is configured, and when it is used."""
    directory = SqlDirectory("sqlite:////srv/a.db", query)
    problem = problem_with(directory)
    assert problem is not None
    assert why in problem
    assert await why_not(directory) == problem


@pytest.mark.parametrize(
    "query",
    [
        "select :login, :identity",
        "/* x */ (SELECT :login, :identity)",
        "-- x\n WITH a AS (SELECT :login, :identity) SELECT * FROM a ; ",
        r"SELECT 'x\:y', :login, :identity, a::text FROM b",
    ],
)
def test_query_is_fine(query: str) -> None:
    """A colon of a cast, or behind a backslash, begins no parameter."""
    assert problem_with(SqlDirectory("postgresql://u@db.example/a", query)) is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            SqlDirectory("sqlite:///a.db", ECHO, ca_file="ca.pem"),
            "neither `password` nor `ca_file`",
        ),
        (
            SqlDirectory("sqlite:///a.db", ECHO, password=Secret(variable="X")),
            "neither `password` nor `ca_file`",
        ),
        (SqlDirectory("postgresql:///a", ECHO, ca_file="ca.pem"), "`ca_file` needs a host"),
    ],
)
def test_setting_that_would_do_nothing_is_refused(settings: SqlDirectory, why: str) -> None:
    """Whoever gives it believes that it does something."""
    assert why in (problem_with(settings) or "")


@pytest.mark.parametrize(
    ("module", "url"),
    [("sqlalchemy", "sqlite:///a.db"), ("aiosqlite", "sqlite:///a.db"),
     ("asyncpg", "postgresql://u@h/a"), ("aiomysql", "mysql://u@h/a")],
)  # fmt: skip
async def test_what_is_not_installed_is_said(
    monkeypatch: pytest.MonkeyPatch, module: str, url: str
) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    assert "pip install 'extauthz[sql]'" in (problem_with(SqlDirectory(url, ECHO)) or "")
    assert "pip install 'extauthz[sql]'" in await why_not(SqlDirectory(url, ECHO))


def test_nothing_is_imported_that_is_not_used() -> None:
    """A policy without a database does without SQLAlchemy."""
    code = "import sys, extauthz.directory.sql; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0


async def until_found(backend: SqlBackend) -> None:
    """The directory answers, sooner or later."""
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while True:
            with contextlib.suppress(DirectoryError):
                assert await backend.find(ByLogin("alice"))
                return
            await asyncio.sleep(0.02)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged; but asyncio's, about what asyncpg forgot in an earlier test."""
    return [record.getMessage() for record in caplog.records if record.name != "asyncio"]


async def until(holds: Callable[[], bool]) -> None:
    """It holds, sooner or later."""
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while not holds():  # noqa: ASYNC110 (it is a server's state)
            await asyncio.sleep(0.02)


def connections(server: SqlServer) -> int:
    """How many connections of ours the server has."""
    if isinstance(server, PostgreSql):
        return int(server.execute("SELECT count(*) FROM pg_stat_activity WHERE usename='extauthz'"))
    processes = "information_schema.processlist WHERE user = 'extauthz'"
    return int(server.execute(f"SELECT count(*) FROM {processes}"))


def sleeping(server: SqlServer) -> int:
    """How many queries of ours are being executed."""
    if isinstance(server, PostgreSql):
        which = "pg_stat_activity WHERE usename = 'extauthz' AND state = 'active'"
    else:
        which = "information_schema.processlist WHERE user = 'extauthz' AND command = 'Query'"
    return int(server.execute(f"SELECT count(*) FROM {which}"))


def disconnect(server: SqlServer) -> None:
    """Let the server end our connections, and wait until it has."""
    if isinstance(server, PostgreSql):
        which = "pg_stat_activity WHERE usename = 'extauthz'"
        server.execute(f"SELECT pg_terminate_backend(pid) FROM {which}")
    else:
        server.execute("KILL USER extauthz")
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while connections(server):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def change_password(server: SqlServer, password: str) -> None:
    if isinstance(server, PostgreSql):
        server.execute(f"ALTER USER extauthz PASSWORD '{password}'")
    else:
        server.execute(f"ALTER USER extauthz IDENTIFIED BY '{password}'")

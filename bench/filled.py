"""Places where a million accounts live, each filled by the fastest way that it has.

The servers are those of the tests. Where the program of one is not installed, a test that wants it
is skipped, and so is what is measured here.
"""

import contextlib
import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

from extauthz.lookup import (
    AccountFile,
    Directory,
    HttpDirectory,
    LdapDirectory,
    Secret,
    SqlDirectory,
)

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.directories import slapd, sql_servers
from tests.directories.http_service import service_process

__all__ = ["PLACES", "Rows"]

Rows: TypeAlias = Iterable[tuple[str, str]]
"""Login and address of each account."""

QUERY = "SELECT login, email FROM users WHERE login = :login OR email = :identity"
TABLE = "CREATE TABLE users (login VARCHAR(64) PRIMARY KEY, email VARCHAR(128) NOT NULL)"
INDEX = "CREATE INDEX by_email ON users (email)"
# A database of this size has more memory than those of the tests.
ROOM_OF_POSTGRESQL = (
    "--shared_buffers=256MB", "--wal_level=minimal", "--max_wal_senders=0", "--max_wal_size=4GB",
)  # fmt: skip
ROOM_OF_MARIADB = ("--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M")


@contextlib.contextmanager
def csv(directory: Path, rows: Rows) -> Iterator[Directory]:
    path = directory / "users.csv"
    with path.open("w") as file:
        file.write("login,email\n")
        file.writelines(f"{login},{email}\n" for login, email in rows)
    yield AccountFile(str(path))


@contextlib.contextmanager
def sqlite(directory: Path, rows: Rows) -> Iterator[Directory]:
    path = directory / "users.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(TABLE)
        connection.executemany("INSERT INTO users VALUES (?, ?)", rows)
        connection.execute(INDEX)
    yield SqlDirectory(f"sqlite:///{path}", QUERY)


@contextlib.contextmanager
def postgresql(directory: Path, rows: Rows) -> Iterator[Directory]:
    with sql_servers.postgresql(ROOM_OF_POSTGRESQL) as server:
        server.execute(
            f"BEGIN; {TABLE}; COPY users FROM '{_table(server.directory, rows)}'; COMMIT;"
            f"{INDEX}; ANALYZE users;"
        )
        yield _sql(server, directory)


@contextlib.contextmanager
def mariadb(directory: Path, rows: Rows) -> Iterator[Directory]:
    with sql_servers.mariadb(ROOM_OF_MARIADB) as server:
        server.execute(
            f"{TABLE}; LOAD DATA INFILE '{_table(server.directory, rows)}' INTO TABLE users;"
            f"{INDEX}; ANALYZE TABLE users;"
        )
        yield _sql(server, directory)


@contextlib.contextmanager
def ldap(directory: Path, rows: Rows) -> Iterator[Directory]:
    slapd.require_slapd()
    server = slapd.Slapd(directory / "slapd")
    server.load((slapd.person(login, email) for login, email in rows), "-q")
    with server:
        yield LdapDirectory(
            server.url, slapd.PEOPLE, login_attribute="uid", email_attribute="mail",
            bind_dn=slapd.BIND_DN, password=_secret(directory, slapd.PASSWORD),
        )  # fmt: skip


@contextlib.contextmanager
def http(directory: Path, rows: Rows) -> Iterator[Directory]:
    path = directory / "users.jsonl"
    with path.open("w") as file:
        for login, email in rows:
            file.write(json.dumps({"login": login, "email": [email]}) + "\n")
    with service_process(accounts=path) as service:
        yield HttpDirectory(service.url)


PLACES: dict[str, Callable[[Path, Rows], AbstractContextManager[Directory]]] = {
    "file (CSV)": csv,
    "SQLite": sqlite,
    "PostgreSQL": postgresql,
    "MariaDB": mariadb,
    "LDAP (slapd)": ldap,
    "HTTP": http,
}


def _table(directory: Path, rows: Rows) -> Path:
    """A file in the form that both databases read without being told: the server reads it."""
    path = directory / "users"
    with path.open("w") as file:
        file.writelines(f"{login}\t{email}\n" for login, email in rows)
    return path


def _sql(server: sql_servers.SqlServer, directory: Path) -> Directory:
    return SqlDirectory(server.url, QUERY, password=_secret(directory, sql_servers.PASSWORD))


def _secret(directory: Path, password: str) -> Secret:
    path = directory / "secret"
    path.write_text(password)
    return Secret(file=str(path))

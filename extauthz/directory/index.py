"""An index of accounts in a few octets: an SQLite database in memory, in one piece.

A million accounts as objects take gigabytes, and the collector of garbage would walk through them.
As a database they take some 150 MB, which one process builds and another takes over as it is.
A look-up finds the candidates by text; whether a name is really an account's, the types decide.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from mmap import mmap
from typing import TypeAlias

import orjson

from extauthz.accounts import Account, Former, Role
from extauthz.directory.mistakes import Mistakes, Problem, UnreadableError
from extauthz.directory.records import Record, last_instant
from extauthz.identity import DistinguishedName, Identity, IdentityKind, parse
from extauthz.quoting import quoted

__all__ = ["MAX_SHARING", "Batch", "Image", "Index", "batches", "build", "canonical"]

MAX_SHARING = 1000
"""How many accounts may have one name: whoever asks by it gets all of them."""
CACHE_KIB = 1024
"""Of pages that a connection keeps beside the database itself."""

Image: TypeAlias = bytes | mmap
"""A database as a file would hold it."""

Batch: TypeAlias = tuple[list[int | str | bytes | None], list[tuple[int, str]]]
"""The columns of some accounts, one after another, and their other names, each with the number of
its account in the batch: what one process can hand to another as it is."""

# `name` is the first of an account's names; `names` has the others. `rest` is JSON (see `_rest`).
_TABLES = """
    CREATE TABLE accounts (
        number INTEGER PRIMARY KEY, line INTEGER, login TEXT, name TEXT, rest TEXT
    );
    CREATE TABLE names (number INTEGER, name TEXT);
"""
# A statement for many rows takes half the time of one for each.
_ROWS_AT_A_TIME = 100
_INSERT = "INSERT INTO accounts (line, login, name, rest) VALUES (?, ?, ?, ?)"
_BY_LOGIN_ALONE = "CREATE UNIQUE INDEX by_login ON accounts (login)"
_INDEXES = """
    CREATE INDEX by_name ON accounts (name);
    CREATE INDEX by_other_name ON names (name, number);
"""
_DOUBLES = """
    WITH doubles AS (
        SELECT login, min(number) AS first FROM accounts GROUP BY login HAVING count(*) > 1
    )
    SELECT again.login, again.line, (SELECT line FROM accounts WHERE number = first)
    FROM doubles JOIN accounts AS again ON again.login = doubles.login AND again.number > first
    ORDER BY again.number
"""
_SHARED = "SELECT name, count(*), min(number) FROM {} GROUP BY name HAVING count(*) > ?"
_LINE = "SELECT line FROM accounts WHERE number = ?"
_BY_LOGIN = "SELECT login, name, rest FROM accounts WHERE login = ?"
_BY_NAME = """
    SELECT login, name, rest FROM accounts WHERE number IN (
        SELECT number FROM accounts WHERE name = :name
        UNION SELECT number FROM names WHERE name = :name
    ) ORDER BY number
"""


def canonical(identity: Identity) -> str:
    """A text that is the same for identities that are equal."""
    if isinstance(identity, DistinguishedName):
        rdns = [
            sorted([oid, value] if isinstance(value, str) else [oid, value.hex(), "hex"]
                   for oid, value in rdn)
            for rdn in identity.rdns
        ]  # fmt: skip
        return json.dumps(rdns, separators=(",", ":"))
    return str(identity)


def batches(records: Iterable[Record]) -> Iterator[Batch]:
    """What is to be indexed of accounts, in their order."""
    rest = iter(records)
    while some := list(islice(rest, _ROWS_AT_A_TIME)):
        columns: list[int | str | bytes | None] = []
        others: list[tuple[int, str]] = []
        for number, record in enumerate(some):
            name = canonical(record.identities[0])
            columns += (record.line, record.login, name, _rest(record, name))
            if len(record.identities) > 1 or record.former:
                others += ((number, other) for other in _others(record) if other != name)
        yield columns, others


def build(found: Iterable[Batch], mistakes: Mistakes) -> tuple[int, Image]:
    """How many accounts there are, and their database; mistakes where accounts are at odds.

    Raises UnreadableError when it becomes too large.
    """
    # This kind of memory is in one piece already, and can be handed on without another copy.
    connection = sqlite3.connect("file:accounts?vfs=memdb", uri=True, isolation_level=None)
    try:
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA temp_store = MEMORY;" + _TABLES)
        connection.execute("BEGIN")
        count = 0
        for columns, others in found:
            rows = len(columns) // 4
            connection.execute(_INSERT + ", (?, ?, ?, ?)" * (rows - 1), columns)
            # SQLite numbers rows from 1.
            named = ((count + 1 + number, name) for number, name in others)
            connection.executemany("INSERT INTO names VALUES (?, ?)", named)
            count += rows
        connection.execute("COMMIT")
        connection.executescript(_INDEXES)
        _compare(connection, mistakes)
        return count, connection.serialize()
    except (sqlite3.OperationalError, MemoryError) as error:
        problem = Problem("the accounts take too much memory", "split them over several files")
        raise UnreadableError(problem) from error
    finally:
        connection.close()


class Index:
    """Finds accounts in a database that `build` has made. For one thread at a time."""

    def __init__(self, image: Image, kind: IdentityKind) -> None:
        self._kind = kind
        self._connection = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False, cached_statements=4
        )
        self._connection.deserialize(image)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    def by_login(self, login: str) -> tuple[Account, ...]:
        """The account with exactly that login."""
        try:
            login.encode("utf-8")
        except UnicodeEncodeError:
            return ()
        return tuple(map(self._account, self._connection.execute(_BY_LOGIN, (login,))))

    def by_identity(self, identity: Identity) -> tuple[Account, ...]:
        """The accounts that have or had this name, in the order of the file."""
        found = self._connection.execute(_BY_NAME, {"name": canonical(identity)})
        accounts = map(self._account, found)
        return tuple(each for each in accounts if each.holds_until({identity}) is not None)

    def close(self) -> None:
        self._connection.close()

    def _account(self, row: tuple[str, str, str | None]) -> Account:
        login, name, rest = row
        if rest is None:
            return Account(login, self._identities([name]))
        more = orjson.loads(rest)
        return Account(
            login,
            self._identities(more.get("names", [name])),
            former=tuple(
                Former(identity, last_instant(day))
                for text, day in more.get("former", ())
                for identity in self._identities([text])
            ),
            is_disabled=more.get("disabled", False),
            groups=frozenset(more.get("groups", ())),
            unit=more.get("unit"),
            role=Role(more["role"]) if "role" in more else None,
        )

    def _identities(self, texts: Iterable[str]) -> tuple[Identity, ...]:
        found = (parse(self._kind, text) for text in texts)
        return tuple(identity for identity in found if identity is not None)


def _others(record: Record) -> list[str]:
    """The names of an account but the first, and those that it had."""
    identities = (*record.identities[1:], *(identity for identity, _, _ in record.former))
    return list(dict.fromkeys(map(canonical, identities)))


def _rest(record: Record, name: str) -> bytes | None:
    """What the columns do not say, in JSON; None where they say all."""
    if not record.former and record.written == (name,):
        return _further(record[5:])
    rest: dict[str, object] = {"names": record.written}
    if record.former:
        rest["former"] = [(text, day) for _, text, day in record.former]
    return orjson.dumps(rest | orjson.loads(_further(record[5:]) or b"{}"))


@lru_cache(maxsize=4096)
def _further(said: tuple[object, ...]) -> bytes | None:
    """What many accounts say in the same way: unit, role, groups, and whether it is disabled."""
    named = zip(("unit", "role", "groups", "disabled"), said, strict=True)
    further = {name: value for name, value in named if value}
    return orjson.dumps(further) if further else None


def _compare(connection: sqlite3.Connection, mistakes: Mistakes) -> None:
    """Hold the accounts against each other: no login twice, and no name for everybody."""
    try:
        connection.execute(_BY_LOGIN_ALONE)
    except sqlite3.IntegrityError:
        for login, line, first in connection.execute(_DOUBLES):
            remedy = f"it stands first in line {first}: keep one of them"
            mistakes.add(Problem(f"the login {quoted(login)} stands twice", remedy, line))
    # By one index after the other: an account's first names and its others are bounded each.
    for table in ("accounts", "names"):
        shared = connection.execute(_SHARED.format(table), (MAX_SHARING,))
        for name, count, first in shared.fetchall():
            (line,) = connection.execute(_LINE, (first,)).fetchone()
            what = f"{quoted(name)} is the name of {count} accounts; at most {MAX_SHARING} may be"
            mistakes.add(Problem(what, "give each user's account the user's own name", line))

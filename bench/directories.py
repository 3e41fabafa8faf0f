"""What a check costs whose account lives in a directory of a million: known, and asked for."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.demo.authority import authority, name, user
from extauthz.directory.gathered import GatheredDirectories
from extauthz.login import Login
from extauthz.lookup import AccountFile, Directory, Lookup, SqlDirectory
from extauthz.policy import Policy, Subscription
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors

__all__ = ["cost"]

ACCOUNTS = 1_000_000
CHECKS = 2_000
CA = authority(name("Bench CA"))
QUERY = "SELECT login, email FROM users WHERE login = :login OR email = :identity"


def cost() -> None:
    """Print it for a file and for a database without a network."""
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as directory:
        places = {"file (CSV)": in_file(Path(directory)), "SQLite": in_database(Path(directory))}
        print(f"A directory of {ACCOUNTS:,} accounts, µs a check    CPU   elapsed")
        for label, place in places.items():
            asyncio.run(measure(label, place))
    print()


def rows() -> Iterable[tuple[str, str]]:
    return ((f"user{n}", f"user{n}@acme.example") for n in range(ACCOUNTS))


def in_file(directory: Path) -> Directory:
    path = directory / "users.csv"
    with path.open("w") as file:
        file.write("login,email\n")
        file.writelines(f"{login},{email}\n" for login, email in rows())
    return AccountFile(str(path))


def in_database(directory: Path) -> Directory:
    path = directory / "users.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (login TEXT PRIMARY KEY, email TEXT)")
        connection.executemany("INSERT INTO users VALUES (?, ?)", rows())
        connection.execute("CREATE INDEX by_email ON users (email)")
    connection.close()
    return SqlDirectory(f"sqlite:///{path}", QUERY)


async def measure(label: str, place: Directory) -> None:
    trust = TrustAnchors([SigningCertificate.read(CA.der)])
    policy = Policy([Subscription("acme", ("acme.example",), trust, place)])
    peer = PeerCertificate.read(user(CA, "U", "user7@acme.example").der)
    assert isinstance(peer, PeerCertificate)
    async with GatheredDirectories() as directories:
        await directories.prepare(policy)
        snapshot = Snapshot(policy, 1, directories=directories)
        await check(snapshot, directories, peer, "user7")
        everybody = [f"user{n * (ACCOUNTS // CHECKS)}" for n in range(CHECKS)]
        for kind, logins in (("asked for", everybody), ("known", ["user7"] * CHECKS)):
            began, cpu = time.perf_counter(), time.process_time()
            for login in logins:
                assert (await check(snapshot, directories, peer, login)) is (login == "user7")
            took, used = time.perf_counter() - began, time.process_time() - cpu
            print(f"{f'{label}, {kind}':>40}{used / CHECKS * 1e6:12.1f}{took / CHECKS * 1e6:10.1f}")


async def check(
    snapshot: Snapshot, directories: GatheredDirectories, peer: PeerCertificate, login: str
) -> bool:
    """As the check listener does it: decide, ask what is not known, decide again."""
    host = "acme.example"
    request = CheckRequest(
        host, "GET", "/", snapshot.policy.subscription_for(host), (Login(login, "basic"),), (),
        peer, "id", "203.0.113.9",
    )  # fmt: skip
    decision = snapshot.check(request, datetime.now(UTC))
    if decision.unanswered:
        await directories.ask(each for each in decision.unanswered if isinstance(each, Lookup))
        decision = snapshot.check(request, datetime.now(UTC))
    assert "directory_unavailable" not in {finding.reason for finding in decision.findings}
    return decision.allowed

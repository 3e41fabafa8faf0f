"""How fast is a check? `make bench`.

Everything is a ratio against the floor (see `floor.py`), which is loaded with the same requests in
the same run, in turn with extauthz: A B A B. The medians are printed. `wrk.py` says how.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import account_file
import big_list
import directories
import first_sight
import logins
import observing
import report as reports
from wrk import (
    CONNECTIONS,
    HOST,
    check_metrics,
    floor,
    load,
    median,
    on_processor,
    peak_mb,
)

from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.demo.authority import authority, name, user
from extauthz.demo.processes import Program, wait_until
from extauthz.email import EmailAddress
from extauthz.login import Login
from extauthz.policy import Policy, Subscription
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors
from extauthz.wire import xfcc

FLOOR, CHECK, ADMIN = 19100, 19000, 19001

CA = authority(name("Bench CA", "Bench"))
ALICE = user(CA, "Alice", "alice@s0.example")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="of each load (default: 4)")
    parser.add_argument("--rounds", type=int, default=5, help="of each pair (default: 5)")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("bench: needs wrk: install it, for instance by apt install wrk", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as directory:
        through_http(Path(directory), options.seconds, options.rounds)
        observing.cost(Path(directory), options.seconds, options.rounds)
    first_sight.chains()
    first_sight.lists()
    first_sight.hostile()
    big_list.cost()
    big_list.while_it_reloads()
    scaling()
    directories.cost()
    is_kept = account_file.cost()
    reports.speed(10_000_000)
    return 0 if is_kept else 1


def through_http(directory: Path, seconds: int, rounds: int) -> None:
    """Throughput of extauthz with a warm certificate and its decision log on, and of the floor."""
    (directory / "ca.pem").write_text(CA.pem)
    policy = directory / "policy.yaml"
    policy.write_text(logins.policy(f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"))
    print(f"Checks over HTTP: {rounds} rounds of {seconds} s, {CONNECTIONS} connections, medians\n")
    print(f"{'':30}{'requests/s':>12}{'p50 µs':>10}{'p99 µs':>10}{'CPU µs':>10}{'peak MB':>10}")
    with servers(directory, policy) as (yes, extauthz):
        for label, asked in logins.REQUESTS.items():
            script = logins.write_script(directory, label, asked, ALICE)
            pairs = [
                (load(yes, FLOOR, script, seconds), load(extauthz, CHECK, script, seconds))
                for _ in range(rounds)
            ]
            for who, program, index in (("floor", yes, 0), ("extauthz", extauthz, 1)):
                of = [pair[index] for pair in pairs]
                print(
                    f"{f'{who}, {label}':30}{median(m.rate for m in of):12,.0f}"
                    f"{median(m.p50_us for m in of):10.0f}{median(m.p99_us for m in of):10.0f}"
                    f"{median(m.cpu_us for m in of):10.1f}{peak_mb(program):10.0f}"
                )
            rate = median(ours.rate / theirs.rate for theirs, ours in pairs)
            cpu = median(theirs.cpu_us / ours.cpu_us for theirs, ours in pairs)
            print(f"{'':30}{rate:12.2f} of the floor's requests/s, {1 / cpu:.2f} of its CPU\n")


@contextlib.contextmanager
def servers(directory: Path, policy: Path) -> Iterator[tuple[Program, Program]]:
    serve = [*on_processor(0), sys.executable, "-m", "extauthz", "serve", "--policy", str(policy)]
    serve += ["--listen", f"{HOST}:{CHECK}", "--admin", f"{HOST}:{ADMIN}"]
    with (
        Program("floor", floor(FLOOR), directory) as a,
        Program("extauthz", serve, directory) as b,
    ):
        wait_until(a, HOST, FLOOR)
        wait_until(b, HOST, CHECK)
        yield a, b
        check_metrics(ADMIN)


def scaling() -> None:
    """A check of a certificate that is known, and of one that is not, as the policy grows."""
    print("One check as the policy grows, µs CPU       known certificate    new certificate")
    few = Accounts([Account("alice", (address("alice@s0.example"),))])
    for count in (1, 100, 10_000):
        policy = Policy(subscription(n, few) for n in range(count))
        report(f"{count:,} subscriptions", Snapshot(policy, 1))
    for count in (1, 1_000, 100_000):
        many = [Account(f"u{n}", (address(f"u{n}@s0.example"),)) for n in range(count - 1)]
        accounts = Accounts([*many, Account("alice", (address("alice@s0.example"),))])
        report(f"{count:,} accounts", Snapshot(Policy([subscription(0, accounts)]), 1))


def report(label: str, snapshot: Snapshot) -> None:
    now = datetime.now(UTC)
    known = request(snapshot, xfcc.read(logins.forwarded(ALICE)), "alice")
    certificates = [user(CA, "A", "alice@s0.example") for _ in range(100)]
    news = [request(snapshot, xfcc.read(logins.forwarded(each))) for each in certificates]
    assert snapshot.check(known, now).allowed
    began = time.process_time()
    for _ in range(20_000):
        snapshot.policy.subscription_for(known.host)
        snapshot.check(known, now)
    warm = (time.process_time() - began) / 20_000
    began = time.process_time()
    for new in news:
        assert snapshot.check(new, now).allowed
    cold = (time.process_time() - began) / len(news)
    print(f"{label:>24}{warm * 1e6:37.2f}{cold * 1e6:19.0f}")


def subscription(number: int, accounts: Accounts) -> Subscription:
    trust = TrustAnchors([SigningCertificate.read(CA.der)])
    return Subscription(f"s{number}", (f"s{number}.example",), trust, accounts)


def request(snapshot: Snapshot, peer: object, login: str | None = None) -> CheckRequest:
    assert isinstance(peer, PeerCertificate)
    logins = () if login is None else (Login(login, "basic"),)
    host = "s0.example"
    subscription = snapshot.policy.subscription_for(host)
    return CheckRequest(host, "GET", "/", subscription, logins, (), peer, "id", "203.0.113.9")


def address(text: str) -> EmailAddress:
    parsed = EmailAddress.parse(text)
    assert parsed is not None
    return parsed


if __name__ == "__main__":
    raise SystemExit(main())

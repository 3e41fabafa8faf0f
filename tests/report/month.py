"""A month of made-up traffic, as the server would have recorded it, and the truth about it.

Who comes is an `Actor`, and the generator knows who that is: nothing of what the report concludes
from the records (whose a request is, what is a way in, who was mended) is concluded here. The
certificates are real, `Snapshot.check` decides, and `LineEncoder` writes. The same seed gives the
same month, but for the certificates' keys.
"""

import gzip
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Decision
from extauthz.demo.authority import Credential, Validity, authority, name, new_key, user
from extauthz.email import EmailAddress
from extauthz.exemption import Exemption, RequiredFor
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.observe.record import Entry, LineEncoder, certificate_line
from extauthz.policy import Mode, Policy, Subscription
from extauthz.records.user_agent import CallerKind
from extauthz.redaction import Redaction
from extauthz.request_path import PathPattern
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors

__all__ = ["BEGIN", "DAYS", "END", "Actor", "Event", "Month", "Visit", "made"]

BEGIN = datetime(2026, 10, 25, tzinfo=UTC)
DAYS = 30
END = BEGIN + timedelta(days=DAYS)
CA_CHANGE, ENFORCED = 10, 25
"""Days on which the second CA comes, and on which `beta` goes from audit to enforce."""
MISSING = Finding(Reason.CERTIFICATE_MISSING, "the client presented no certificate")
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/{}.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like"
    " Gecko) Version/18.3 Mobile/15E148 Safari/604.1"
)
KEYS = [new_key() for _ in range(4)]


@dataclass(frozen=True)
class Actor:
    """Somebody who comes by one way in."""

    subscription: str | None
    host: str
    name: str
    """As whom the report should know it."""
    kind: CallerKind
    agents: tuple[str, ...]
    """The versions of the user agent that it has in turn."""
    clients: tuple[str, ...]
    per_day: float
    certificates: tuple[tuple[int, Credential], ...] = ()
    """From which day on it comes with which."""
    login: str | None = None
    at_every_check: bool = False
    """Whether it says its login each time, and not at the login page alone."""
    is_known: bool = True
    path: str = "/"
    days: tuple[int, int] = (0, DAYS)


@dataclass(frozen=True)
class Visit:
    """A request, and whose it is."""

    actor: Actor
    time: datetime
    agent: str
    client: str
    request_id: str
    peer: PeerCertificate | None
    says_login: bool


@dataclass(frozen=True)
class Event(Visit):
    """A check."""

    decision: Decision


@dataclass
class Month:
    events: list[Event]
    policy: Policy
    """The last one."""
    lines: int = 0
    unreadable: int = 0
    other_schema: int = 0
    dropped: int = 0
    files: list[Path] = field(default_factory=list)


def made(seed: int, directory: Path, redaction: Redaction | None = None) -> Month:
    """The month of a seed; its log is in the directory, rotated each day."""
    chance = random.Random(seed)
    cast = _Cast(chance)
    policies = [
        Snapshot(cast.policy(day), 1 + index) for index, day in enumerate((0, CA_CHANGE, ENFORCED))
    ]
    events = [
        _decided(policies[(day >= CA_CHANGE) + (day >= ENFORCED)], visit)
        for visit in sorted(cast.visits(), key=lambda visit: visit.time)
        for day in [(visit.time - BEGIN).days]
    ]
    month = Month(events, Policy(policies[-1].policy.subscriptions.values(), redaction))
    _write(month, chance, directory, redaction)
    return month


class _Cast:
    """Who plays in the month."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._numbers = itertools.count(1)
        long = Validity(BEGIN - timedelta(days=400), BEGIN + timedelta(days=3000))
        self.old = authority(name("Old CA", "Acme"), validity=long, key=KEYS[0])
        self.new = authority(name("New CA", "Acme"), validity=long, key=KEYS[1])
        self.foreign = authority(name("Foreign CA", "Else"), validity=long, key=KEYS[2])
        self._accounts: dict[str, list[Account]] = {
            "acme": [], "beta": [], "calm": [], "gradual": [],
        }  # fmt: skip
        self._required: set[str] = set()
        self.actors = [
            *self._acme(), *self._beta(), *self._calm(), *self._nobodys(), *self._gradual(),
        ]  # fmt: skip

    def policy(self, day: int) -> Policy:
        """What is in force from a day on."""
        signing = [SigningCertificate.read(self.old.der, "old-ca.pem")]
        if day >= CA_CHANGE:
            signing.append(SigningCertificate.read(self.new.der, "new-ca.pem"))
        hooks, reports = PathPattern.parse("/hooks/*"), PathPattern.parse("/reports/*")
        assert hooks is not None
        assert reports is not None
        until = datetime(2027, 3, 31, 23, 59, 59, tzinfo=UTC)
        exemptions = (
            Exemption("hooks", "the build server cannot yet", until, paths=(hooks,)),
            Exemption("reports", "nobody remembers", until, paths=(reports,)),
        )
        modes = {
            "acme": Mode.AUDIT, "beta": Mode.ENFORCE if day >= ENFORCED else Mode.AUDIT,
            "calm": Mode.AUDIT, "dormant": Mode.AUDIT, "off": Mode.OFF,
            "gradual": Mode.ENFORCE if day >= CA_CHANGE else Mode.AUDIT,
        }  # fmt: skip
        return Policy(
            Subscription(
                each, (f"{each}.example",), TrustAnchors(signing),
                Accounts(self._accounts.get(each, [])), mode,
                exemptions=exemptions if each == "acme" else (),
                required_for=RequiredFor(frozenset(self._required)) if each == "gradual" else None,
            )
            for each, mode in modes.items()
        )  # fmt: skip

    def visits(self) -> Iterator[Visit]:
        """Everything that they do. No two things happen at the same instant."""
        instants: set[int] = set()
        for actor in self.actors:
            begun: set[tuple[str, str]] = set()
            for moment in self._moments(actor):
                while moment in instants:
                    moment += 1  # noqa: PLW2901 (the next free instant)
                instants.add(moment)
                yield self._visit(actor, moment, begun)

    def _moments(self, actor: Actor) -> list[int]:
        first, end = actor.days
        count = max(1, round(actor.per_day * (end - first)))
        day = 86_400_000_000
        return sorted(self._chance.randrange(first * day, end * day) for _ in range(count))

    def _visit(self, actor: Actor, moment: int, begun: set[tuple[str, str]]) -> Visit:
        day = moment // 86_400_000_000
        agent = actor.agents[min(len(actor.agents) - 1, day * len(actor.agents) // DAYS)]
        client = self._chance.choice(actor.clients)
        shown = [credential for since, credential in actor.certificates if day >= since]
        # A session begins at the login page, wherever its browser is.
        is_login = (
            actor.at_every_check or (client, agent) not in begun or self._chance.random() < 0.1
        )
        begun.add((client, agent))
        return Visit(
            actor, BEGIN + timedelta(microseconds=moment), agent, client,
            f"{self._chance.getrandbits(64):016x}",
            _read(shown[-1]) if shown else None, is_login,
        )  # fmt: skip

    def _account(self, subscription: str) -> tuple[str, str]:
        """A new account: its login and its address."""
        number = next(self._numbers)
        login, address = f"user{number}", f"user{number}@{subscription}.example"
        parsed = EmailAddress.parse(address)
        assert parsed is not None
        self._accounts[subscription].append(Account(login, (parsed,)))
        return login, address

    def _certificate(self, address: str, ca: Credential, first: int, last: int) -> Credential:
        validity = Validity(BEGIN + timedelta(days=first), BEGIN + timedelta(days=last))
        return user(ca, address.partition("@")[0], address, validity=validity, key=KEYS[3])

    def _browser(self) -> tuple[str, ...]:
        pattern = self._chance.choice((CHROME, FIREFOX, SAFARI))
        first = self._chance.randrange(120, 140)
        return tuple(pattern.format(first + n) for n in range(self._chance.choice((1, 2, 3))))

    def _address(self) -> str:
        return f"198.51.{self._chance.randrange(100, 200)}.{next(self._numbers) % 250}"

    def _person(
        self, subscription: str, *certificates: tuple[int, Credential], **more: object
    ) -> Actor:
        """A user with a browser; `more` is what is otherwise."""
        clients = tuple(self._address() for _ in range(self._chance.choice((1, 1, 2))))
        person = Actor(
            subscription, f"{subscription}.example", "", CallerKind.PERSON, self._browser(),
            clients, self._chance.uniform(0.8, 3), certificates,
        )  # fmt: skip
        return replace(person, **more)  # type: ignore[arg-type]

    def _good_people(self, subscription: str, count: int) -> Iterator[Actor]:
        for _ in range(count):
            login, address = self._account(subscription)
            last = self._chance.choice((DAYS + 5, DAYS + 29, DAYS + 200))
            certificate = self._certificate(address, self.old, -100, last)
            yield self._person(subscription, (0, certificate), name=login, login=login)

    def _acme(self) -> Iterator[Actor]:
        """A company in audit mode, where everything happens."""
        yield from self._good_people("acme", self._chance.randrange(10, 20))
        for _ in range(self._chance.randrange(2, 5)):  # rotated in time
            login, address = self._account("acme")
            yield self._person(
                "acme", (0, self._certificate(address, self.old, -50, 16)),
                (self._chance.randrange(12, 15), self._certificate(address, self.new, 11, 300)),
                name=login, login=login,
            )  # fmt: skip
        login, address = self._account("acme")  # expired
        certificate = self._certificate(address, self.old, -50, 12)
        yield self._person("acme", (0, certificate), name=login, login=login, days=(0, 20))
        login, address = self._account("acme")  # mended: not rotated until it had expired
        yield self._person(
            "acme", (0, self._certificate(address, self.old, -50, 12)),
            (17, self._certificate(address, self.old, 16, 900)), name=login, login=login,
        )  # fmt: skip
        for since in (None, 15):  # one who never gets a certificate, and one who does
            login, address = self._account("acme")
            issued = self._certificate(address, self.old, 14, 800)
            certificates = () if since is None else ((since, issued),)
            yield self._person("acme", *certificates, name=login, login=login)
        # Somebody else's address: a certificate without an account.
        stranger = self._certificate("guest@elsewhere.example", self.old, -10, 400)
        yield self._person("acme", (0, stranger), name="guest@elsewhere.example")
        yield from self._integrations()
        # A browser that never logs in while the log is kept, and scanners that pass by.
        browser, address = self._browser()[:1], self._address()
        yield self._person(
            "acme",
            agents=browser,
            clients=(address,),
            name=f"{address}, {browser[0]}",
            is_known=False,
        )
        yield from self._scanners("acme")

    def _integrations(self) -> Iterator[Actor]:
        def script(name: str, agent: str, **more: object) -> Actor:
            kind, address = CallerKind.INTEGRATION, (self._address(),)
            actor = Actor("acme", "acme.example", name, kind, (agent,), address, 6)
            return replace(actor, **more)  # type: ignore[arg-type]

        login, address = self._account("acme")
        good = self._certificate(address, self.old, -20, 500)
        yield script(login, "acme-sync/2.1", login=login, certificates=((0, good),))
        login, address = self._account("acme")
        yield script(login, "python-requests/2.32.3", login=login, at_every_check=True)
        login, address = self._account("acme")
        foreign = ((0, self._certificate(address, self.foreign, -20, 500)),)
        yield script(login, "Go-http-client/2.0", login=login, certificates=foreign)
        # One account, by browser and by script: the script has no certificate.
        login, address = self._account("acme")
        own = (0, self._certificate(address, self.old, -20, 500))
        yield self._person("acme", own, name=login, login=login)
        yield script(login, "curl/8.14.1", login=login, at_every_check=True)
        agent, client = "GitHub-Hookshot/044aadd", self._address()
        yield script(
            f"{client}, {agent}", agent, clients=(client,), path="/hooks/push", is_known=False
        )

    def _scanners(self, subscription: str) -> Iterator[Actor]:
        for number in range(self._chance.randrange(3, 9)):
            client, agent = self._address(), f"Mozilla/5.0 zgrab/0.{number}"
            login = None if number % 2 else f"admin{number}"
            yield Actor(
                subscription, f"{subscription}.example", login or f"{client}, {agent}",
                CallerKind.INTEGRATION, (agent,), (client,), 0.01, login=login, is_known=False,
                at_every_check=True, days=(number, number + 1),
            )  # fmt: skip

    def _beta(self) -> Iterator[Actor]:
        """A company that is enforced at the end of the month, with one user who is not ready."""
        yield from self._good_people("beta", 8)
        login, _ = self._account("beta")
        yield self._person("beta", name=login, login=login)

    def _calm(self) -> Iterator[Actor]:
        """A company that is ready, whatever the scanners do."""
        yield from self._good_people("calm", 5)
        yield from self._scanners("calm")

    def _gradual(self) -> Iterator[Actor]:
        """A company that is enforced for some of its users from early on, and audits the others."""
        good = list(self._good_people("gradual", 4))
        self._required.update(str(each.login) for each in good[:2])
        yield from good
        for is_required in (True, False, False):
            login, _ = self._account("gradual")
            self._required.update({login} if is_required else ())
            yield self._person("gradual", name=login, login=login, at_every_check=True)
        login, _ = self._account("gradual")
        yield Actor(
            "gradual", "gradual.example", login, CallerKind.INTEGRATION, ("sync/1.0",),
            (self._address(),), 3, login=login, at_every_check=True,
        )  # fmt: skip
        self._account("gradual")  # who never comes

    def _nobodys(self) -> Iterator[Actor]:
        yield replace(self._person("off"), name="?", is_known=False)
        agent, client = "curl/7.88.1", self._address()
        yield Actor(
            None, "203.0.113.80", f"{client}, {agent}", CallerKind.INTEGRATION, (agent,), (client,),
            1, is_known=False,
        )  # fmt: skip


def _read(credential: Credential) -> PeerCertificate:
    peer = PeerCertificate.read(credential.der)
    assert isinstance(peer, PeerCertificate)
    return peer


def _decided(snapshot: Snapshot, visit: Visit) -> Event:
    decision = snapshot.check(_request(snapshot.policy, visit), visit.time)
    return Event(**vars(visit), decision=decision)


def _request(policy: Policy, visit: Visit) -> CheckRequest:
    actor, login = visit.actor, visit.actor.login
    return CheckRequest(
        actor.host, "GET", actor.path, policy.subscription_for(actor.host),
        (Login(login, "basic"),) if login and visit.says_login else (), (), visit.peer or MISSING,
        visit.request_id, visit.client, visit.agent,
    )  # fmt: skip


def _write(
    month: Month, chance: random.Random, directory: Path, redaction: Redaction | None
) -> None:
    """A file for each day, all but the last compressed, with what else is found in such files."""
    encoder, seen = LineEncoder(), set[bytes]()
    days: list[list[bytes]] = [[] for _ in range(DAYS)]
    for event in month.events:
        lines = days[(event.time - BEGIN).days]
        request = _request(month.policy, event)
        if redaction is None and event.peer is not None and event.peer.identity not in seen:
            seen.add(event.peer.identity)
            lines.append(certificate_line(event.peer, event.time))
        entry = Entry(event.decision, request, event.request_id, 1, event.time, 4e-5, redaction)
        lines.append(encoder.line(entry))
    for lines in days:
        for junk in _junk(month, chance, lines):
            lines.insert(chance.randrange(len(lines) + 1), junk)
    month.lines = sum(map(len, days))
    for day, lines in enumerate(days):
        text = b"".join(lines)
        path = directory / "decisions.jsonl"
        if day < DAYS - 1:
            path = directory / f"decisions.jsonl.{DAYS - day}.gz"
            text = gzip.compress(text, 1)
        path.write_bytes(text)
        month.files.append(path)


def _junk(month: Month, chance: random.Random, lines: Sequence[bytes]) -> Iterator[bytes]:
    """What is no check, a few lines a day."""
    some = chance.choice(lines)
    record = json.loads(some)
    match chance.randrange(6):
        case 0:
            month.unreadable += 1
            yield some[: len(some) // 2] + b"\n"
        case 1:
            month.unreadable += 2
            yield b"Nov 24 00:00:00 host something else altogether\n"
            yield json.dumps(record | {"reasons": 7}).encode() + b"\n"
        case 2:
            month.unreadable += 1
            month.other_schema += 1
            yield json.dumps(record | {"schema": 2}).encode() + b"\n"
        case 3:
            month.dropped += 17
            gap = {
                "schema": 1, "record": "gap", "time": record["time"], "since": record["time"],
                "dropped": 17, "why": "disk full",
            }  # fmt: skip
            yield json.dumps(gap).encode() + b"\n"
        case 4:
            month.unreadable += 1
            yield json.dumps(record | {"record": "something new"}).encode() + b"\n"

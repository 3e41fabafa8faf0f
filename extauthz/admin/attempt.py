"""The form to try a certificate: decided as the server decides, recorded nowhere.

What is tried leaves no trace: no record, no count, no session, and nothing in the caches that
checks are answered from, for it may be decided as of another day. Nor does it tell whose a
pseudonym of the log is: what was sent is shown as it was sent. A private key has no business
here: whatever field it is in, nothing of the form is used or sent back.
"""

import base64
import secrets
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from extauthz.certificate import PeerCertificate
from extauthz.explanation import Explanation, rehearsed
from extauthz.files import FileProblemError
from extauthz.findings import Finding
from extauthz.identity import IdentityKind
from extauthz.login import ClientCertificate, Login
from extauthz.observe.record import Entry, LineEncoder
from extauthz.policy import Policy
from extauthz.records.line import CheckRecord, parse
from extauthz.redaction import MIN_KEY_OCTETS, Redacted, Redaction
from extauthz.rehearsal import NO_CERTIFICATE, Facts, decided, read_at
from extauthz.snapshot import Snapshot
from extauthz.surroundings import Surroundings
from extauthz.trial import peer_file, written
from extauthz.trial.written import WrittenError

__all__ = ["EMPTY", "PREFILLED", "Attempt", "Mistake", "attempt", "outcome"]

FIELDS: Final = ("host", "login", "path", "method", "client", "at", "certificate")
EMPTY: Final[dict[str, str]] = dict.fromkeys(FIELDS, "")
PREFILLED: Final = ("host", "login", "path", "method")
"""Fields that a link to the form may fill in."""
_KEY: Final = "PRIVATE KEY"
_KEY_WARNING: Final = (
    "There is a private key in what you sent. It was not used, and is not shown again; but it"
    " travelled to this server, so consider whether it is to be replaced"
)
_KEY_REMEDY: Final = "send the certificate alone: `openssl x509 -in FILE -out cert.pem`"


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a field."""

    field: str
    """Its name; empty for the form as a whole."""
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A form that was sent: what it asks, or what is wrong with it."""

    fields: Mapping[str, str]
    """What the form shows again; of certificates, what was read, written anew."""
    facts: Facts | None = None
    at: datetime | None = None
    """As of when it is to be decided (aware)."""
    mistakes: tuple[Mistake, ...] = ()

    def wrong(self, name: str) -> Mistake | None:
        """What is wrong with a field."""
        return next((each for each in self.mistakes if each.field == name), None)


def attempt(given: Mapping[str, str], policy: Policy, now: datetime) -> Attempt:
    """Read a form. What is empty is left to its default, the time to `now`."""
    if any(_KEY in text for text in given.values()):
        return Attempt(EMPTY, mistakes=(Mistake("certificate", _KEY_WARNING, _KEY_REMEDY),))
    return _Reader(given, policy).read(now)


@dataclass(slots=True)
class _Reader:
    """Reads one form, and gathers what is wrong with it."""

    given: Mapping[str, str]
    policy: Policy
    mistakes: list[Mistake] = field(default_factory=list)

    def read(self, now: datetime) -> Attempt:
        shown = {name: self.given.get(name, "").strip() for name in FIELDS}
        ders = self._ders()
        shown["certificate"] = "".join(map(_pem, ders))
        facts, at = self._facts(shown, ders), self._at(shown["at"], now)
        if self.mistakes or facts is None:
            if any(each.field == "login" for each in self.mistakes):
                # It may be one with a password.
                shown["login"] = ""
            return Attempt(shown, mistakes=tuple(self.mistakes))
        return Attempt(shown, facts, at)

    def _facts(self, shown: Mapping[str, str], ders: list[bytes]) -> Facts | None:
        host = self._read("host", shown["host"], written.host)
        path = self._read("path", shown["path"] or "/", written.path)
        method = self._read("method", shown["method"] or "GET", written.method)
        client = self._read("client", shown["client"], written.client) if shown["client"] else ""
        if host is None or path is None or method is None or client is None:
            return None
        logins = self._logins(host, path, shown["login"])
        peer = PeerCertificate.read(ders[0], ders[1:]) if ders else NO_CERTIFICATE
        return Facts(host, logins, peer, method, path, client)

    def _read(self, name: str, text: str, read: Callable[[str], str]) -> str | None:
        try:
            return read(text)
        except WrittenError as error:
            self._wrong(name, str(error), error.remedy)
            return None

    def _logins(self, host: str, path: str, login: str) -> tuple[Login | Finding, ...]:
        """The login where requests of that subscription say it first."""
        subscription = self.policy.subscription_for(host)
        if not login or subscription is None:
            return ()
        kinds = [
            source.source
            for source in read_at(path, subscription)
            if not isinstance(source, ClientCertificate)
        ]
        if not kinds:
            remedy = "leave it empty, or try a path at which users log in"
            self._wrong("login", "no login is read of requests for this host and path", remedy)
            return ()
        try:
            return (written.login(login, kinds[0]),)
        except WrittenError as error:
            self._wrong("login", str(error), error.remedy)
            return ()

    def _ders(self) -> list[bytes]:
        pasted, file = self.given.get("certificate", ""), self.given.get("file", "")
        if pasted.strip() and file:
            self._wrong("certificate", "there are two", "paste it or upload it, not both")
            return []
        if not pasted.strip() and not file:
            return []
        content = file or pasted
        is_binary = content.startswith("\x30") and file
        try:
            octets = content.encode("latin-1" if is_binary else "utf-8")
            return peer_file.certificates(octets)
        except (FileProblemError, UnicodeEncodeError) as error:
            remedy = error.remedy if isinstance(error, FileProblemError) else "send PEM"
            self._wrong("certificate", f"what you sent {error}", remedy)
            return []

    def _at(self, text: str, now: datetime) -> datetime:
        if not text:
            return now
        try:
            # What the browser's own field for it sends has no zone, and often no seconds.
            at = datetime.fromisoformat(text)
            return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self._wrong("at", "this is no time", "write it like 2026-11-24T15:04, in UTC")
            return now

    def _wrong(self, name: str, message: str, remedy: str) -> None:
        self.mistakes.append(Mistake(name, message, remedy))


async def outcome(
    snapshot: Snapshot, around: Surroundings, facts: Facts, at: datetime
) -> Explanation:
    """What the server would decide, as of `at` (aware), explained."""
    own = Snapshot(snapshot.policy, snapshot.generation, around.evidence, around.directories)
    decision = await decided(own, facts, at, around.ask)
    request = facts.under(own.policy)
    redaction = _unsent(own.policy.redaction, facts)
    entry = Entry(decision, request, "", own.generation, at, 0.0, redaction)
    record = parse(LineEncoder().line(entry))
    if not isinstance(record, CheckRecord):
        raise TypeError("a check was recorded as something else")
    return rehearsed(record)


@dataclass(frozen=True, slots=True)
class _Unsent(Redaction):
    """Hides what somebody did not send himself, under a key that nothing else is hidden under.

    Under the policy's key, who may read the log could try out here whose lines are whose.
    """

    sent: frozenset[str]

    def of(self, kind: Redacted, value: str) -> str:
        return value if value in self.sent else Redaction.of(self, kind, value)


def _unsent(redaction: Redaction | None, facts: Facts) -> Redaction | None:
    """What is hidden of a trial, where the policy hides something. The client is always sent."""
    if redaction is None:
        return None
    sent = {login.name for login in facts.logins if isinstance(login, Login)} | {facts.client}
    if isinstance(facts.peer, PeerCertificate):
        sent |= {facts.peer.facts.subject, facts.peer.facts.issuer}
        sent.update(name for kind in IdentityKind for name in facts.peer.names(kind))
    hidden = redaction.fields - {Redacted.CLIENT}
    return _Unsent(hidden, secrets.token_bytes(MIN_KEY_OCTETS), frozenset(sent))


def _pem(der: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(der).decode("ascii"), 64)
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""))

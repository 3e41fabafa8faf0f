"""How things stand that end or fail by themselves: dates, CRLs, directories, stores, exemptions.

The rules for what is worth a warning are those of the policy file's own warnings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from extauthz.accounts import Accounts
from extauthz.admin.observed import Observed
from extauthz.admin.pacing import Pace
from extauthz.ca import CaCertificate
from extauthz.directory.gathered import GatheredDirectories
from extauthz.evidence.lists import Lists
from extauthz.exemption import Exemption
from extauthz.lookup import AccountFile, HttpDirectory, LdapDirectory, SqlDirectory
from extauthz.observe.decision_log import CAPACITY, DecisionLog
from extauthz.observe.log_file import LogFile
from extauthz.policy import Mode, Subscription
from extauthz.policyfile import exemptions, signing
from extauthz.policyfile.problems import counted
from extauthz.revocation import CLOCK_TOLERANCE, CrlSource

__all__ = [
    "Authority", "DirectoryState", "Level", "ListState", "Notice", "SourceState", "authorities",
    "directory_of", "exemption_state", "notices", "sources",
]  # fmt: skip


WAITING_OCTETS: Final = 1024 * 1024
"""When it is said that lines wait. Some always do, for a moment: a busy server has 100 KiB."""


class Level(StrEnum):
    """How bad something is; the words stand in the pages beside the colour."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the operator should look at."""

    level: Level
    text: str
    subscription: str | None = None
    """Whose it is; None for what concerns all of them."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate of a subscription."""

    label: str | None
    """Name of its file, of a signing certificate; None for one of `intermediates`."""
    ca: CaCertificate
    level: Level
    state: str


@dataclass(frozen=True, slots=True)
class ListState:
    """A CRL that counts."""

    issuer: str
    number: int | None
    entries: int
    this_update: datetime
    next_update: datetime
    is_delta: bool
    level: Level
    state: str


@dataclass(frozen=True, slots=True)
class SourceState:
    """A place that CRLs come from."""

    location: str
    problem: str | None
    lists: tuple[ListState, ...]

    @property
    def level(self) -> Level:
        if not self.lists:
            return Level.BAD
        levels = {each.level for each in self.lists}
        if Level.BAD in levels:
            return Level.BAD
        return Level.WARNING if self.problem is not None else Level.GOOD


@dataclass(frozen=True, slots=True)
class DirectoryState:
    """Where a subscription's accounts live."""

    kind: str
    place: str
    level: Level
    state: str


def authorities(subscription: Subscription, now: datetime) -> list[Authority]:
    """The CA certificates of a subscription, the signing certificates first."""
    trust = subscription.trust
    labelled = [(each.label, each.ca) for each in trust.signing_certificates]
    return [
        Authority(label, ca, *_validity(ca, now))
        for label, ca in (*labelled, *((None, ca) for ca in trust.intermediates))
    ]


def _validity(ca: CaCertificate, now: datetime) -> tuple[Level, str]:
    if (fault := signing.date_fault(ca.facts, now)) is None:
        return Level.GOOD, f"valid for {counted((ca.facts.not_after - now).days, 'day')}"
    is_valid = signing.is_valid(ca.facts, now)
    return Level.WARNING if is_valid else Level.BAD, f"{fault.message}; {fault.remedy}"


def sources(subscription: Subscription, lists: Lists, now: datetime) -> list[SourceState]:
    """Where the subscription's CRLs come from, and those that count."""
    if subscription.revocation is None:
        return []
    mine = {ca.identity for ca in subscription.trust.authorities}
    return [_source(each, mine, lists, now) for each in subscription.revocation.crls]


def _source(source: CrlSource, mine: set[bytes], lists: Lists, now: datetime) -> SourceState:
    known = lists.sources.get(source)
    if known is None:
        return SourceState(source.location, "it was not read yet", ())
    found = tuple(
        ListState(
            crl.issuer, crl.number, crl.entries, crl.this_update, crl.next_update, crl.is_delta,
            *_currency(crl.this_update, crl.next_update, now),
        )
        for issuer, crls in list(known.by_issuer.items())
        if issuer in mine
        for crl in crls
    )  # fmt: skip
    return SourceState(source.location, known.problem, found)


def _currency(this_update: datetime, next_update: datetime, now: datetime) -> tuple[Level, str]:
    if now > next_update + CLOCK_TOLERANCE:
        return Level.BAD, "stale: it counts only for what it calls revoked"
    if now < this_update - CLOCK_TOLERANCE:
        return Level.BAD, "of the future: compare the clocks"
    return Level.GOOD, "current"


def directory_of(subscription: Subscription, directories: GatheredDirectories) -> DirectoryState:
    """Where the accounts live, and whether that answers."""
    settings = subscription.accounts
    match settings:
        case Accounts():
            text = counted(len(settings), "account")
            return DirectoryState("the policy itself", "", Level.GOOD, text)
        case AccountFile():
            return _file(settings, directories)
        case SqlDirectory():
            kind = "database"
        case LdapDirectory():
            kind = "LDAP directory"
        case HttpDirectory():
            kind = "service"
    remote = directories.remote.get(settings)
    if remote is None:
        return DirectoryState(kind, settings.url, Level.WARNING, "not in use yet")
    if not remote.is_available:
        return DirectoryState(kind, settings.url, Level.BAD, "it did not answer when asked last")
    state = "it answers" if remote.results else "it was not asked yet"
    return DirectoryState(kind, settings.url, Level.GOOD, state)


def _file(settings: AccountFile, directories: GatheredDirectories) -> DirectoryState:
    file = directories.files.get(settings)
    if file is None:
        return DirectoryState("file", settings.path, Level.WARNING, "not read yet")
    text = counted(file.accounts, "account")
    if file.problem is None:
        return DirectoryState("file", settings.path, Level.GOOD, text)
    kept = f"the last good version counts, of {text}" if file.accounts else "none of it counts"
    level = Level.WARNING if file.accounts else Level.BAD
    return DirectoryState("file", settings.path, level, f"{file.problem}; {kept}")


def exemption_state(exemption: Exemption, now: datetime) -> tuple[Level, str]:
    """Whether an exemption holds, and for how long."""
    ends = f"{exemption.until:%Y-%m-%d}"
    if now > exemption.until:
        return Level.BAD, f"ended on {ends}"
    is_ending = exemptions.ending(exemption, now) is not None
    return (Level.WARNING, f"ends soon, on {ends}") if is_ending else (Level.GOOD, f"until {ends}")


def notices(observed: Observed, now: datetime, pace: Pace) -> Iterator[Notice]:
    """Everything that somebody should look at, what concerns all subscriptions first."""
    live = observed.live
    if live.status.errors:
        kept = "no policy is in force" if live.snapshot is None else "the last good one stays"
        errors = counted(len(live.status.errors), "error")
        yield Notice(Level.BAD, f"The policy file has {errors}: {kept}.")
    for log in observed.logs.logs:
        yield from (Notice(level, text) for level, text in _of_log(log))
    if live.snapshot is not None:
        for subscription in live.snapshot.policy.subscriptions.values():
            pace()
            yield from _notices_of(subscription, observed, now)


def _of_log(log: DecisionLog) -> Iterator[tuple[Level, str]]:
    the_log = f"The decision log {log.destination.name}"
    troubles = log.destination.troubles if isinstance(log.destination, LogFile) else ()
    room = f"KiB wait in memory, where {CAPACITY // 1024:,} have room"
    waiting = f" {-(-log.waiting // 1024):,} {room}." if log.waiting else ""
    for trouble in troubles:
        yield Level.BAD, f"{the_log}: {trouble}.{waiting}"
    if log.waiting >= WAITING_OCTETS and not troubles:
        yield Level.WARNING, f"{the_log} is not written as fast as lines come.{waiting}"
    if log.dropped:
        yield Level.BAD, f"{the_log} lacks {counted(log.dropped, 'line')}, which were dropped."


def _of_lists(source: SourceState) -> Iterator[tuple[Level, str]]:
    for each in source.lists:
        if each.level is not Level.GOOD:
            yield each.level, f"The CRL of {each.issuer} is {each.state}."
    if not source.lists:
        why = source.problem or "it holds none of this subscription's CAs"
        yield Level.BAD, f"There is no CRL from {source.location}: {why}."
    elif source.problem is not None:
        yield Level.WARNING, f"CRLs from {source.location}: {source.problem}."


def _notices_of(subscription: Subscription, observed: Observed, now: datetime) -> Iterator[Notice]:
    name, is_off = subscription.name, subscription.mode is Mode.OFF
    for authority in authorities(subscription, now):
        if authority.level is not Level.GOOD:
            level = Level.WARNING if is_off else authority.level
            subject = authority.ca.facts.subject
            yield Notice(level, f"The CA certificate {subject} {authority.state}.", name)
    for source in sources(subscription, observed.around.evidence.lists, now):
        for badness, text in _of_lists(source):
            yield Notice(badness, text, name)
    directory = directory_of(subscription, observed.around.directories)
    if directory.level is not Level.GOOD:
        where = f"The {directory.kind} of accounts {directory.place}"
        yield Notice(directory.level, f"{where}: {directory.state}.", name)
    store = observed.pins.shared_by(subscription)
    if store is not None and not store.is_available:
        text = f"The store of sessions {store.name} did not do what it was asked last."
        yield Notice(Level.BAD, text, name)
    for exemption in subscription.exemptions:
        ends, state = exemption_state(exemption, now)
        if ends is not Level.GOOD:
            yield Notice(ends, f"The exemption {exemption.name} {state}.", name)

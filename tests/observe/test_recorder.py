"""The recorder: each check is counted, written and shown, in order, and a bug costs no line."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extauthz.certificate import PeerCertificate
from extauthz.check import CheckRequest
from extauthz.decision import Decision, undecided
from extauthz.demo.authority import Credential, authority, name, user
from extauthz.findings import Finding, Reason
from extauthz.observe.decision_log import DecisionLog, DecisionLogs
from extauthz.observe.log_file import Keeping, LogFile
from extauthz.observe.metrics import CheckCounters
from extauthz.observe.record import Entry
from extauthz.observe.recorder import Recorder
from extauthz.records.line import CertificateRecord, CheckRecord, Record, parse
from extauthz.redaction import Redacted, Redaction
from tests.observe.log_lines import ids_in, records_of

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
CA = authority(name("CA"))
ALICE = user(CA, "alice", "alice@acme.example")
DENIED = undecided(Finding(Reason.SUBSCRIPTION_UNKNOWN, "nobody's"))


def entry(
    identifier: str,
    certificate: Credential | None = ALICE,
    time: datetime = NOW,
    redaction: Redaction | None = None,
    decision: Decision = DENIED,
) -> Entry:
    peer: PeerCertificate | Finding = Finding(Reason.CERTIFICATE_MISSING, "none")
    if certificate is not None:
        peer = PeerCertificate.read(certificate.der)
    request = CheckRequest("a.example", "GET", "/", None, (), (), peer, identifier, "192.0.2.1")
    return Entry(decision, request, identifier, 1, time, 0.001, redaction)


class Watching:
    def __init__(self) -> None:
        self.seen: list[tuple[Entry, Record]] = []

    def saw(self, entry: Entry, line: bytes) -> None:
        self.seen.append((entry, parse(line)))


class Broken:
    def saw(self, entry: Entry, line: bytes) -> None:
        raise RuntimeError("a bug of the one who watches")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def logs(path: Path) -> DecisionLogs:
    return DecisionLogs([DecisionLog(LogFile(path, Keeping()))])


async def recorded(recorder: Recorder, logs: DecisionLogs, *entries: Entry) -> None:
    for each in entries:
        recorder.record(each)
    recorder.flush()
    logs.close()


class Unwritable:
    def public_bytes(self, encoding: object) -> bytes:
        raise ValueError("it was read, and cannot be written")


async def test_a_certificate_that_cannot_be_written_loses_no_check(
    path: Path, logs: DecisionLogs
) -> None:
    """Nor those that are recorded with it."""
    broken = entry("broken")
    assert broken.request is not None
    assert isinstance(broken.request.peer, PeerCertificate)
    peer = replace(broken.request.peer, parsed=Unwritable())  # type: ignore[arg-type]
    broken = broken._replace(request=broken.request._replace(peer=peer))
    others = entry("before", None), entry("after", None)
    await recorded(Recorder(CheckCounters(), logs), logs, others[0], broken, others[1])

    assert ids_in(records_of(path)) == ["before", "broken", "after"]


async def test_a_check_is_behind_the_record_of_its_certificate(
    path: Path, logs: DecisionLogs
) -> None:
    """Once; the next check refers to the same."""
    recorder = Recorder(CheckCounters(), logs)
    await recorded(recorder, logs, entry("1"), entry("2"), entry("3", None))
    certificate, *checks = records_of(path)

    assert isinstance(certificate, CertificateRecord)
    assert ids_in(checks) == ["1", "2", "3"]
    assert isinstance(checks[0], CheckRecord)
    assert checks[0].certificate is not None
    assert checks[0].certificate.id == certificate.id


@pytest.mark.parametrize(
    ("fields", "is_recorded"),
    [
        ({Redacted.CLIENT}, True), ({Redacted.LOGIN}, False), ({Redacted.EMAIL}, False),
        (set(Redacted), False),
    ],
)  # fmt: skip
async def test_a_certificate_is_not_recorded_where_people_are_hidden(
    path: Path, logs: DecisionLogs, fields: set[Redacted], *, is_recorded: bool
) -> None:
    """It says whose it is."""
    redaction = Redaction(frozenset(fields), b"k" * 16)
    await recorded(Recorder(CheckCounters(), logs), logs, entry("1", redaction=redaction))

    records = records_of(path)
    assert any(isinstance(record, CertificateRecord) for record in records) is is_recorded
    assert ids_in(records) == ["1"]


async def test_a_certificate_is_recorded_anew_in_another_file(
    path: Path, logs: DecisionLogs
) -> None:
    """So that a file can be replayed without those before it."""
    recorder = Recorder(CheckCounters(), logs)
    recorder.record(entry("1"))
    recorder.flush()
    while logs.logs[0].written < 2:
        os.sched_yield()
    os.rename(path, path.with_name("elsewhere"))  # noqa: PTH104 (in an async test)
    recorder.record(entry("2"))
    recorder.flush()
    while logs.logs[0].written < 3:
        os.sched_yield()
    later = NOW + timedelta(minutes=2)
    await recorded(recorder, logs, entry("3", time=later), entry("4", time=later))

    second, certificate, third, fourth = records_of(path)
    assert isinstance(certificate, CertificateRecord)
    assert ids_in([second, third, fourth]) == ["2", "3", "4"]


async def test_whoever_watches_sees_each_check_although_nothing_is_logged() -> None:
    """In the order of the checks, with its line."""
    watching, counters = Watching(), CheckCounters()
    entries = [entry(str(number)) for number in range(100)]
    await recorded(Recorder(counters, DecisionLogs([]), watching), DecisionLogs([]), *entries)

    assert [seen for seen, _ in watching.seen] == entries
    assert ids_in(record for _, record in watching.seen) == [each.request_id for each in entries]


async def test_nobody_is_no_work_but_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every log off and nobody who watches, no line is made."""
    counters = CheckCounters()
    recorder = Recorder(counters, DecisionLogs([]))
    monkeypatch.setattr(recorder, "_encoder", None)
    await recorded(recorder, DecisionLogs([]), entry("1"), entry("2"))

    (checks,) = (family for family in counters.collect() if family.name == "extauthz_checks")
    assert [sample.value for sample in checks.samples] == [2]


async def test_a_bug_of_whoever_watches_costs_nothing_else(
    path: Path, logs: DecisionLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """The check that is being answered meanwhile is answered, and each line is written."""
    watching = Watching()
    entries = [entry(str(number), None) for number in range(100)]
    await recorded(Recorder(CheckCounters(), logs, Broken(), watching), logs, *entries)

    assert len(ids_in(records_of(path))) == len(watching.seen) == 100
    assert "checks could not be shown, by a bug" in caplog.text

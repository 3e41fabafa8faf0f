"""Recorded checks under another policy: what would change, for whom, and what nobody can know.

The log is the server's own: what it decides under the old policy, as its encoder writes it.
"""

import base64
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.certificate import PeerCertificate
from extauthz.cli import main
from extauthz.decision import undecided
from extauthz.demo.authority import Credential, Validity, authority, key_usage, name, user
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.observe.record import Entry, LineEncoder, certificate_line
from extauthz.policy import Policy
from extauthz.policyfile.loader import load
from extauthz.redaction import Redacted, Redaction
from extauthz.rehearsal import NO_CERTIFICATE, Facts
from extauthz.report.source import Selection, opened
from extauthz.report.terminal import console
from extauthz.report.what_if import what_if
from extauthz.report.what_if_model import Change, Changed, Unknown, WhatIf
from extauthz.report.what_if_text import show
from extauthz.snapshot import Snapshot
from tests.ports import free_port

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
BEGIN = TODAY - 4 * DAY
"""When the logs of these tests begin: at midnight, as exemptions end."""
LONG = Validity(BEGIN - 30 * DAY, TODAY + 300 * DAY)

ACME = authority(name("Acme CA", "Acme"), validity=Validity(BEGIN - 90 * DAY, TODAY + 900 * DAY))
OTHER = authority(name("Other CA"), validity=Validity(BEGIN - 90 * DAY, TODAY + 900 * DAY))
RENEWED = authority(name("New CA", "Acme"), validity=Validity(BEGIN - 90 * DAY, TODAY + 900 * DAY))
MIDDLE = ACME.issue(
    name("Middle CA", "Acme"),
    (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (key_usage("key_cert_sign", "crl_sign"), True),
    ),
    validity=Validity(BEGIN - 30 * DAY, BEGIN + 3 * DAY),
)


def peer(credential: Credential, *chain: Credential) -> PeerCertificate:
    read = PeerCertificate.read(credential.der, [each.der for each in chain])
    assert isinstance(read, PeerCertificate)
    return read


P384 = ec.generate_private_key(ec.SECP384R1())
ALICE = peer(user(ACME, "Alice", "alice@acme.example", validity=LONG))
BOB = peer(user(ACME, "Bob", "bob@acme.example", validity=LONG))
STRONG = peer(user(ACME, "Bob", "bob@acme.example", validity=LONG, key=P384))
ENDING = peer(
    user(ACME, "Alice", "alice@acme.example", validity=Validity(BEGIN - DAY, BEGIN + DAY * 1.5))
)
BEGINNING = peer(
    user(ACME, "Alice", "alice@acme.example", validity=Validity(BEGIN + DAY, BEGIN + 3 * DAY))
)
FORMER = peer(user(ACME, "Alice", "old@acme.example", validity=LONG))
BELOW_MIDDLE = peer(user(MIDDLE, "Bob", "bob@acme.example", validity=LONG), MIDDLE)
_STRANGER = user(OTHER, "Alice", "alice@acme.example", validity=LONG)
STRANGER, STRANGER_DER = peer(_STRANGER), _STRANGER.der
OF_RENEWED = peer(user(RENEWED, "Alice", "alice@acme.example", validity=LONG))
PEERS: dict[str, PeerCertificate | Finding] = {
    "none": NO_CERTIFICATE,
    "alice": ALICE,
    "strong": STRONG,
    "ending": ENDING,
    "beginning": BEGINNING,
    "former": FORMER,
    "below middle": BELOW_MIDDLE,
    "stranger": STRANGER,
    "of the renewed CA": OF_RENEWED,
}

EVERYTHING = Selection()
ACCOUNTS = "{alice: alice@acme.example, bob: bob@acme.example}"


def text(**settings: str) -> str:
    """A policy of one subscription, whose settings are YAML."""
    given = {
        "hosts": "[acme.example.com]", "signing_certificates": "[acme.pem]", "accounts": ACCOUNTS,
    } | settings  # fmt: skip
    lines = [f"    {key}: {value}" for key, value in given.items()]
    return "\n".join(["subscriptions:", "  acme:", *lines, ""])


def policy(directory: Path, written: str) -> Policy:
    for stem, credential in (("acme", ACME), ("other", OTHER), ("renewed", RENEWED)):
        (directory / f"{stem}.pem").write_text(credential.pem)
    path = directory / "policy.yaml"
    path.write_text(written)
    loaded = load(path, datetime.now(UTC))
    assert loaded.policy is not None, loaded.problems
    return loaded.policy


@dataclass(frozen=True)
class Asked:
    """A check, and when it was."""

    facts: Facts
    time: datetime = BEGIN + DAY / 2


def alice(peer: PeerCertificate | Finding = ALICE, **facts: str) -> Asked:
    asked = Facts("acme.example.com", (Login("alice", "basic"),), peer, user_agent="curl/8")
    return Asked(replace(asked, **facts))  # type: ignore[arg-type]  # texts all


def recorded(
    old: Policy, checks: Iterable[Asked], redaction: Redaction | None = None
) -> Iterator[bytes]:
    """The log of a server that had the old policy. The certificates come last, as they may."""
    encoder, seen = LineEncoder(), dict[bytes, PeerCertificate]()
    for number, asked in enumerate(checks):
        facts = replace(asked.facts, request_id=f"id-{number}")
        request = facts.under(old)
        decision = Snapshot(old, 1).check(request, asked.time)
        entry = Entry(decision, request, facts.request_id, 1, asked.time, 0.0, redaction)
        yield encoder.line(entry)
        if isinstance(facts.peer, PeerCertificate):
            seen[facts.peer.identity] = facts.peer
    if redaction is None or not redaction.hides_people:
        for each in seen.values():
            yield certificate_line(each, BEGIN)


def replayed(
    directory: Path, lines: Iterable[bytes], new: Policy, selection: Selection = EVERYTHING
) -> WhatIf:
    log = directory / "decisions.jsonl"
    log.write_bytes(b"".join(lines))
    with opened([str(log)], selection, threads=1) as source:
        return what_if(source, new, "new.yaml")


def changed(result: WhatIf) -> dict[Change, int]:
    return {total.change: total.checks for total in result.totals if total.checks}


def unknown(result: WhatIf) -> dict[Unknown, int]:
    return {each.why: each.checks for each in result.not_replayed}


def only(result: WhatIf) -> Changed:
    [change] = result.changes
    return change


EXEMPT = f"[{{name: ci, reason: old, until: {TODAY + 30 * DAY:%Y-%m-%d}, logins: [alice]}}]"
QUESTIONS = [
    pytest.param(
        text(mode="audit"), text(), [alice(), alice(NO_CERTIFICATE)],
        {Change.REFUSED: 1}, [Reason.CERTIFICATE_MISSING],
        id="audit becomes enforce: whoever fails already breaks",
    ),
    pytest.param(
        text(), text(require="{key_types: [p-384]}"), [alice(), alice(STRANGER)],
        {Change.REFUSED: 1, Change.OTHER_REASONS: 1}, [Reason.REQUIREMENT_NOT_MET],
        id="stronger keys are required: who has none breaks",
    ),
    pytest.param(
        text(mode="audit"), text(mode="audit", require="{key_types: [p-384]}"), [alice()],
        {Change.FAILING: 1}, [Reason.REQUIREMENT_NOT_MET],
        id="stronger keys are required in audit: who would break is told before",
    ),
    pytest.param(
        text(exempt=EXEMPT), text(), [alice(NO_CERTIFICATE), alice()],
        {Change.REFUSED: 1}, [Reason.CERTIFICATE_MISSING],
        id="an exemption is taken out: who needs it breaks",
    ),
    pytest.param(
        text(), text(signing_certificates="[acme.pem, renewed.pem]"),
        [alice(), alice(OF_RENEWED)],
        {Change.ADMITTED: 1}, [],
        id="a CA is added: its users pass",
    ),
    pytest.param(
        text(), text(signing_certificates="[renewed.pem]"), [alice(), alice(OF_RENEWED)],
        {Change.REFUSED: 1, Change.ADMITTED: 1}, [Reason.ISSUER_MISMATCH],
        id="a CA is replaced: those with certificates of the old one break",
    ),
    pytest.param(
        text(mode="audit"), text(mode="audit", signing_certificates="[acme.pem, renewed.pem]"),
        [alice(OF_RENEWED)], {Change.MENDED: 1}, [],
        id="a CA is added in audit: its users fail no more",
    ),
    pytest.param(
        text(), text(hosts="[elsewhere.example.com]"), [alice()],
        {Change.REFUSED: 1}, [Reason.SUBSCRIPTION_UNKNOWN],
        id="a host is taken out: it is nobody's",
    ),
    pytest.param(
        text(), text(mode="off"), [alice(), alice(NO_CERTIFICATE)],
        {Change.ADMITTED: 1}, [],
        id="everything is turned off: who was refused passes",
    ),
    pytest.param(
        text(), text(accounts="{bob: bob@acme.example}"), [alice()],
        {Change.REFUSED: 1}, [Reason.ACCOUNT_UNKNOWN],
        id="an account is taken out: its user breaks",
    ),
    pytest.param(
        text(login="[basic, {form: {paths: [/login], field: user}}]"),
        text(login="[client_certificate]"),
        [Asked(Facts("acme.example.com", (Login("bob", "form"),), ALICE, "POST", "/login"))],
        {Change.ADMITTED: 1}, [],
        id="a login that the new policy does not read does not count",
    ),
    pytest.param(
        text(login="[{form: {paths: [/login], field: user}}]"),
        text(login="[{form: {paths: [/signin], field: user}}]"),
        [Asked(Facts("acme.example.com", (Login("bob", "form"),), ALICE, "POST", "/login"))],
        {Change.ADMITTED: 1}, [],
        id="nor does one that was sent to a path where the new policy reads none",
    ),
    pytest.param(
        text(), text(certificate_required_for="{logins: [bob]}"),
        [alice(NO_CERTIFICATE), alice()],
        {Change.ADMITTED: 1}, [],
        id="certificates are demanded of few: the others pass",
    ),
    pytest.param(
        text(), text(), [alice(), alice(NO_CERTIFICATE), alice(ENDING), alice(STRANGER)], {}, [],
        id="the same policy changes nothing",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "checks", "changes", "found"), QUESTIONS)
def test_says_who_breaks_and_who_is_let_in(
    old: str,
    new: str,
    checks: list[Asked],
    changes: dict[Change, int],
    found: list[Reason],
    tmp_path: Path,
) -> None:
    """A platform engineer's questions, each with its answer."""
    result = replayed(tmp_path, recorded(policy(tmp_path, old), checks), policy(tmp_path, new))
    assert changed(result) == changes
    assert result.replayed == result.checks == len(checks)
    breaking = [each for each in result.changes if each.change in {Change.REFUSED, Change.FAILING}]
    assert [reason for each in breaking for reason in each.after] == found


def test_says_it_in_a_sentence(tmp_path: Path) -> None:
    """What one wants to know first, with the number of callers."""
    old = policy(tmp_path, text())
    bob = Asked(Facts("acme.example.com", (Login("bob", "basic"),), BOB))
    last = replace(alice(OF_RENEWED), time=BEGIN + DAY)
    lines = recorded(old, [alice(), alice(), bob, last])
    new = policy(tmp_path, text(signing_certificates="[renewed.pem]"))
    assert replayed(tmp_path, lines, new).verdict == (
        "3 of 4 checks would be refused that pass today, by 2 callers (1 at the last check);"
        " 1 would pass that is refused today, by 1 caller"
    )


def test_what_cannot_be_decided_anew_is_said_first(tmp_path: Path) -> None:
    """That nothing would change is no answer where nobody knows."""
    old, same = policy(tmp_path, text()), policy(tmp_path, text())
    lost = _without_certificates(recorded(old, [alice(), alice(NO_CERTIFICATE)]))

    def verdict(lines: Iterable[bytes], new: Policy = same) -> str:
        return replayed(tmp_path, lines, new).verdict

    assert verdict(lost[:1]) == "1 of 1 check cannot be decided anew"
    assert verdict(lost[:1] * 2) == "2 of 2 checks cannot be decided anew"
    assert verdict(lost) == (
        "1 of 2 checks cannot be decided anew. Nothing would change for the rest"
    )
    audit = policy(tmp_path, text(mode="audit"))
    assert verdict([*lost, lost[1]], audit) == (
        "1 of 3 checks cannot be decided anew. Of the rest, none would be refused that passes"
        " today; 2 would pass that are refused today, by 1 caller"
    )
    assert verdict(lost[1:]) == "nothing would change for 1 check"
    assert verdict([]) == "nothing would change for 0 checks"


def test_one_check_is_told_as_one(tmp_path: Path) -> None:
    """Whatever becomes of it."""
    strict, audit = text(), text(mode="audit")
    exempt = text(mode="audit", exempt=EXEMPT)
    none = "none of 1 check would be refused that passes today; "

    def verdict(before: str, after: str) -> str:
        lines = recorded(policy(tmp_path, before), [alice(NO_CERTIFICATE)])
        return replayed(tmp_path, lines, policy(tmp_path, after)).verdict

    assert verdict(audit, strict) == (
        "1 of 1 check would be refused that passes today, by 1 caller;"
        " 0 would pass that are refused today"
    )
    assert verdict(strict, audit) == f"{none}1 would pass that is refused today, by 1 caller"
    assert verdict(audit, exempt) == (
        f"{none}0 would pass that are refused today."
        " 1 that is let pass would fail no more, by 1 caller"
    )


def test_a_change_has_all_that_finds_the_integration(tmp_path: Path) -> None:
    """Who, by what, when, how often, what was compared, and examples."""
    checks = [replace(alice(NO_CERTIFICATE), time=BEGIN + n * DAY / 8) for n in range(5)]
    lines = recorded(policy(tmp_path, text(exempt=EXEMPT)), checks)
    change = only(replayed(tmp_path, lines, policy(tmp_path, text())))
    assert (change.caller.name, change.caller.kind, change.user_agent) == (
        "alice", "integration", "curl/8",
    )  # fmt: skip
    assert (change.first_seen, change.last_seen) == (BEGIN, BEGIN + DAY / 2)
    assert (change.checks, change.exemption, change.goes_on) == (5, "ci", True)
    assert change.request_ids == ("id-4", "id-3", "id-2")
    assert change.detail == "the client presented no certificate"
    assert (change.before, change.after) == ((), (Reason.CERTIFICATE_MISSING,))


def test_who_was_mended_since_is_told_from_who_goes_on_so(tmp_path: Path) -> None:
    """A caller whose last check passes either way will not break."""
    first = alice(NO_CERTIFICATE)
    last = replace(alice(), time=first.time + DAY)
    old = policy(tmp_path, text(mode="audit"))
    result = replayed(tmp_path, recorded(old, [first, last]), policy(tmp_path, text()))
    assert not only(result).goes_on
    [refused] = [total for total in result.totals if total.change is Change.REFUSED]
    assert (refused.callers, refused.going_on) == (1, 0)


def test_who_makes_up_a_name_is_nobody_here_too(tmp_path: Path) -> None:
    """As in the report itself: see `callers`."""
    nobody, known = Login("nobody", "basic"), Login("alice", "basic")
    checks = [
        Asked(Facts("acme.example.com", (login,), peer))
        for login, peer in ((nobody, STRANGER), (nobody, BOB), (known, OF_RENEWED))
    ]
    result = replayed(
        tmp_path, recorded(policy(tmp_path, text(mode="audit")), checks), policy(tmp_path, text())
    )
    callers = sorted((each.caller.name, each.caller.is_known) for each in result.changes)
    assert callers == [("alice", True), ("nobody", False), ("nobody", True)]


# What cannot be known.

KEY = b"0123456789abcdef"


def _redaction(*fields: Redacted) -> Redaction:
    return Redaction(frozenset(fields), KEY)


@pytest.mark.parametrize(
    ("fields", "new"),
    [
        pytest.param([Redacted.EMAIL], text(), id="certificates are left out"),
        pytest.param([Redacted.LOGIN], text(), id="logins are hidden"),
    ],
)
def test_what_redaction_hides_is_not_guessed(
    fields: list[Redacted], new: str, tmp_path: Path
) -> None:
    """No certificate and no login is there to decide on."""
    lines = recorded(policy(tmp_path, text()), [alice()], _redaction(*fields))
    result = replayed(tmp_path, lines, policy(tmp_path, new))
    assert unknown(result) == {Unknown.REDACTED: 1}
    assert (changed(result), result.replayed) == ({}, 0)


def test_a_hidden_address_matters_where_exemptions_go_by_it(tmp_path: Path) -> None:
    """And nowhere else."""
    old, redaction = policy(tmp_path, text()), _redaction(Redacted.CLIENT)
    lines = [*recorded(old, [alice(client="192.0.2.7")], redaction)]
    by_address = f"[{{reason: x, until: {TODAY + DAY:%Y-%m-%d}, from: [192.0.2.0/24]}}]"
    result = replayed(tmp_path, lines, policy(tmp_path, text(exempt=by_address)))
    assert unknown(result) == {Unknown.REDACTED: 1}
    assert unknown(replayed(tmp_path, lines, policy(tmp_path, text(exempt=EXEMPT)))) == {}


def _without_certificates(lines: Iterable[bytes]) -> list[bytes]:
    return [line for line in lines if b'"record":"check"' in line]


HOSTILE: dict[str, list[str] | None] = {
    "absent": None,
    "no base64": ["!"],
    "other octets": [base64.b64encode(b"no certificate").decode()],
    "empty": [""],
    "another certificate": [base64.b64encode(STRANGER_DER).decode()],
    "huge": ["A" * 1_000_000],
    "beyond ASCII": ["\ud83d\ude00"],
    "very many": ["QQ=="] * 10_000,
}


def test_a_certificate_that_is_not_what_its_record_says_is_none(tmp_path: Path) -> None:
    """Whatever stands there, nothing is decided by it, and nothing fails."""
    [line] = _without_certificates(recorded(policy(tmp_path, text()), [alice()]))
    lines: list[bytes] = []
    for number, (what, der) in enumerate(HOSTILE.items()):
        fingerprint = f"{number:064x}"
        lines.append(line.replace(ALICE.facts.fingerprint.encode(), fingerprint.encode()))
        lines[-1] = lines[-1].replace(b'"id-0"', orjson.dumps(what))
        record = {
            "schema": 1, "record": "certificate", "time": BEGIN.isoformat(), "id": fingerprint,
        }  # fmt: skip
        if der is not None:
            lines.append(json.dumps(record | {"der": der}).encode() + b"\n")
    result = replayed(tmp_path, lines, policy(tmp_path, text()))
    assert unknown(result) == {Unknown.CERTIFICATE: len(HOSTILE)}


@pytest.mark.parametrize(
    "member",
    [{"host": None}, {"certificate": {"sha256": 1}}, {"certificate": None}],
    ids=["no host", "certificate of other members", "neither certificate nor problem"],
)
def test_a_record_without_its_request_is_not_guessed(
    member: dict[str, object], tmp_path: Path
) -> None:
    """One that the server could not read has none; a damaged line may have anything."""
    [line, *certificates] = recorded(policy(tmp_path, text()), [alice()])
    broken = orjson.dumps(orjson.loads(line) | member) + b"\n"
    result = replayed(tmp_path, [broken, *certificates], policy(tmp_path, text()))
    assert result.checks == 1
    assert set(unknown(result)) <= {Unknown.UNREADABLE, Unknown.CERTIFICATE}
    assert result.replayed == 0


def test_a_request_that_could_not_be_read_is_counted_and_left(tmp_path: Path) -> None:
    """Nothing is known of it but that it was refused."""
    finding = Finding(Reason.REQUEST_MALFORMED, "no question of Envoy's")
    entry = Entry(undecided(finding), None, "id", 1, BEGIN, 0.0)
    result = replayed(tmp_path, [LineEncoder().line(entry)], policy(tmp_path, text()))
    assert unknown(result) == {Unknown.UNREADABLE: 1}


@pytest.mark.parametrize(
    ("session", "expected"),
    [({"session": "{cookie: SID}"}, {Unknown.SESSION: 1}), ({}, {})],
    ids=["sessions stay", "sessions are given up"],
)
def test_what_was_found_against_a_session_is_not_replayed(
    session: dict[str, str], expected: dict[Unknown, int], tmp_path: Path
) -> None:
    """Unless the new policy has no sessions, and so nothing against them."""
    [line, *certificates] = recorded(policy(tmp_path, text()), [alice()])
    members = orjson.loads(line) | {
        "decision": "deny", "allowed": False, "reasons": ["session_account_mismatch"],
        "details": [None],
    }  # fmt: skip
    lines = [orjson.dumps(members) + b"\n", *certificates]
    result = replayed(tmp_path, lines, policy(tmp_path, text(**session)))
    assert unknown(result) == expected
    assert changed(result) == ({} if expected else {Change.ADMITTED: 1})


def test_a_path_that_is_cut_matters_where_exemptions_go_by_paths(tmp_path: Path) -> None:
    """What stood behind its end may be what the exemption names, or not."""
    asked = alice(NO_CERTIFICATE, path="/hooks/" + "a" * 3000)
    lines = [*recorded(policy(tmp_path, text()), [asked])]
    by_path = f"[{{reason: x, until: {TODAY + DAY:%Y-%m-%d}, paths: [/hooks/*]}}]"
    result = replayed(tmp_path, lines, policy(tmp_path, text(exempt=by_path)))
    assert unknown(result) == {Unknown.CUT: 1}
    assert unknown(replayed(tmp_path, lines, policy(tmp_path, text()))) == {}


def test_a_login_that_could_not_be_read_still_cannot(tmp_path: Path) -> None:
    """And the notes say that this is taken for granted."""
    unreadable = Finding(Reason.LOGIN_MALFORMED, "the Basic credentials have no colon")
    asked = Asked(Facts("acme.example.com", (unreadable,), ALICE))
    lines = [*recorded(policy(tmp_path, text()), [asked])]
    result = replayed(tmp_path, lines, policy(tmp_path, text(require="{key_types: [p-384]}")))
    assert set(only(result).after) == {Reason.LOGIN_MALFORMED, Reason.REQUIREMENT_NOT_MET}
    assert any("1 check has a login that could not be read" in note for note in result.notes)
    result = replayed(tmp_path, lines, policy(tmp_path, text(login="[client_certificate]")))
    assert changed(result) == {Change.ADMITTED: 1}


# What is of today.


def _crl(
    issuer: Credential, revoked: Sequence[int] = (), *, last: datetime, next_: datetime
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(last)
        .next_update(next_)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(last)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_list_of_today_counts_for_all_checks(tmp_path: Path) -> None:
    """It is not one of the future for checks that are older; who it revokes is refused."""
    bob = Asked(Facts("acme.example.com", (Login("bob", "basic"),), BOB))
    lines = [*recorded(policy(tmp_path, text()), [alice(), bob])]
    now = datetime.now(UTC)
    serial = BOB.parsed.serial_number
    (tmp_path / "acme.crl").write_bytes(
        _crl(ACME, [serial], last=now - timedelta(hours=1), next_=now + DAY)
    )
    result = replayed(tmp_path, lines, policy(tmp_path, text(revocation="{crl: [acme.crl]}")))
    assert (only(result).caller.name, only(result).after) == ("bob", (Reason.CERTIFICATE_REVOKED,))
    assert any(note.startswith("Of today: CRLs.") for note in result.notes)


def test_a_list_that_became_stale_meanwhile_is_held_against_later_checks(tmp_path: Path) -> None:
    """Each check is decided as of its own time."""
    checks = [replace(alice(), time=BEGIN + n * DAY) for n in range(4)]
    lines = [*recorded(policy(tmp_path, text()), checks)]
    ended = _crl(ACME, last=BEGIN - DAY, next_=BEGIN + DAY * 1.5)
    (tmp_path / "acme.crl").write_bytes(ended)
    result = replayed(tmp_path, lines, policy(tmp_path, text(revocation="{crl: [acme.crl]}")))
    assert only(result).after == (Reason.REVOCATION_UNKNOWN,)
    assert (only(result).checks, only(result).first_seen) == (2, BEGIN + 2 * DAY)


def test_a_list_or_a_directory_that_is_not_to_be_had_from_here_is_not_held_against_anybody(
    tmp_path: Path,
) -> None:
    """The server may well have it: what becomes of these checks is not known."""
    lines = [*recorded(policy(tmp_path, text()), [alice()])]
    nowhere = f"http://127.0.0.1:{free_port()}/"
    for settings_ in (
        {"revocation": f"{{crl: ['{nowhere}']}}"},
        {"revocation": f"{{ocsp: {{responder: '{nowhere}'}}}}"},
        {"accounts": f"{{http: {{url: '{nowhere}'}}}}"},
    ):
        result = replayed(tmp_path, lines, policy(tmp_path, text(**settings_)))
        assert unknown(result) == {Unknown.NO_ANSWER: 1}, settings_


def test_accounts_in_a_file_are_asked(tmp_path: Path) -> None:
    """The directories of the new policy are those that the server would ask."""
    lines = [*recorded(policy(tmp_path, text()), [alice(), alice(STRANGER)])]
    (tmp_path / "accounts.csv").write_text("login,email\nbob,bob@acme.example\n")
    new = policy(tmp_path, text(accounts="{file: accounts.csv}"))
    result = replayed(tmp_path, lines, new)
    assert changed(result) == {Change.REFUSED: 1}
    assert only(result).after == (Reason.ACCOUNT_UNKNOWN,)


def test_a_host_that_was_nobodys_had_no_login_read(tmp_path: Path) -> None:
    """Which the notes say, since the check is decided by its certificate alone."""
    asked = Asked(Facts("new.example.com", (Login("bob", "basic"),), ALICE))
    lines = [*recorded(policy(tmp_path, text()), [asked])]
    result = replayed(tmp_path, lines, policy(tmp_path, text(hosts="[new.example.com]")))
    assert changed(result) == {Change.ADMITTED: 1}
    assert only(result).recorded_subscription is None
    assert (
        "1 check was of a host that was nobody's: no login was read, so it is decided by the"
        " certificate alone."
    ) in result.notes
    result = replayed(tmp_path, lines * 2, policy(tmp_path, text(hosts="[new.example.com]")))
    assert (
        "2 checks were of hosts that were nobody's: no login was read, so they are decided by the"
        " certificate alone."
    ) in result.notes


def test_only_selected_checks_are_decided_anew(tmp_path: Path) -> None:
    """The report's own choice of time and subscription holds here."""
    checks = [replace(alice(NO_CERTIFICATE), time=BEGIN + n * DAY) for n in range(4)]
    lines = recorded(policy(tmp_path, text(mode="audit")), checks)
    selection = Selection("acme", BEGIN + DAY, BEGIN + 3 * DAY)
    result = replayed(tmp_path, lines, policy(tmp_path, text()), selection)
    assert (result.checks, changed(result)) == (2, {Change.REFUSED: 2})


def test_an_empty_log_changes_nothing(tmp_path: Path) -> None:
    """And is no reason to fail."""
    result = replayed(tmp_path, [], policy(tmp_path, text()))
    assert (result.checks, result.changes, result.not_replayed) == (0, (), ())


# Grouping is only a shortcut.

EDGES = [
    BEGIN, BEGIN + DAY, BEGIN + DAY * 1.5, BEGIN + 2 * DAY, BEGIN + 3 * DAY,
]  # fmt: skip
MOMENTS = st.builds(
    lambda edge, by: edge + timedelta(microseconds=by),
    st.sampled_from(EDGES),
    st.sampled_from([-7_200_000_000, -2, -1, 0, 1, 2, 3_600_000_000]),
)
LOGINS = st.lists(
    st.builds(
        Login,
        st.sampled_from(["alice", "alice", "bob", "eve"]),
        st.sampled_from(["basic", "basic", "form"]),
    ),
    max_size=2,
).map(tuple)
HOSTS = [*["acme.example.com"] * 3, "ACME.example.com:443", "b.acme.example", "x.example"]
USERS = st.builds(Facts, st.sampled_from(HOSTS), LOGINS, st.sampled_from([*PEERS.values()]))
REQUESTS = st.fixed_dictionaries({
    "method": st.sampled_from(["GET", "POST"]),
    "path": st.sampled_from(["/", "/hooks/a", "/hooks/%61", "/hooks", "/exact", "/login"]),
    "client": st.sampled_from(["", "192.0.2.1", "198.51.100.1"]),
    "user_agent": st.sampled_from(["curl/8.1", "curl/8.2", "Mozilla/5.0 (X11) Gecko/1"]),
})  # fmt: skip


@st.composite
def asked_by_few(draw: st.DrawFn) -> list[Asked]:
    """Checks of a few users, so that they come in groups."""
    users = st.sampled_from(draw(st.lists(USERS, min_size=2, max_size=5)))
    checks = st.builds(lambda facts, more: replace(facts, **more), users, REQUESTS)
    return draw(st.lists(st.builds(Asked, checks, MOMENTS), min_size=20, max_size=40))


@st.composite
def exemptions(draw: st.DrawFn) -> str:
    conditions = draw(
        st.lists(
            st.sampled_from([
                "logins: [alice]", "paths: [/hooks/*], methods: [POST]", "paths: [/exact]",
                "from: [192.0.2.0/24]",
            ]),
            min_size=1, max_size=2, unique_by=lambda written: written.partition(":")[0],
        )
    )  # fmt: skip
    until = BEGIN + draw(st.integers(-1, 3)) * DAY
    return f"{{reason: x, until: {until:%Y-%m-%d}, {', '.join(conditions)}}}"


def _accounts(draw: st.DrawFn) -> str:
    day = f"{BEGIN + draw(st.integers(0, 3)) * DAY:%Y-%m-%d}"
    shared = draw(st.sampled_from(["", f", former: {{alice@acme.example: {day}}}"]))
    disabled = draw(st.sampled_from(["false", "false", "true"]))
    return (
        f"{{alice: {{email: alice@acme.example, former: {{old@acme.example: {day}}}}},"
        f" bob: {{email: bob@acme.example{shared}, disabled: {disabled}}}}}"
    )


@st.composite
def policies(draw: st.DrawFn) -> str:
    given_: dict[str, str] = {
        "hosts": draw(
            st.sampled_from([*['[acme.example.com, "*.acme.example"]'] * 4, "[x.example]"])
        ),
        "signing_certificates": draw(
            st.sampled_from(["[acme.pem]", "[acme.pem, renewed.pem]", "[renewed.pem]"])
        ),
        "accounts": _accounts(draw),
        "max_intermediates": draw(st.sampled_from(["0", "1"])),
        "mode": draw(st.sampled_from(["enforce", "enforce", "audit", "off"])),
        "verify_email": draw(st.sampled_from(["true", "true", "false"])),
    }
    sources = [
        "[basic]", "[client_certificate, basic]", "[{form: {paths: [/login], field: u}}, basic]",
        "[client_certificate]",
    ]  # fmt: skip
    given_["login"] = draw(st.sampled_from(sources))
    if given_["verify_email"] == "false":
        given_["login"] = "[basic]"
    if draw(st.booleans()):
        given_["exempt"] = f"[{', '.join(draw(st.lists(exemptions(), min_size=1, max_size=3)))}]"
    if draw(st.booleans()):
        given_["require"] = "{key_types: [p-384]}"
    return text(**given_)


def one_by_one(old: Policy, new: Policy, checks: list[Asked]) -> Counter[tuple[object, ...]]:
    """Each check decided by itself, by a server that has seen nothing before."""
    found: Counter[tuple[object, ...]] = Counter()
    for asked in checks:
        was = Snapshot(old, 1).check(asked.facts.under(old), asked.time)
        # What the old policy did not read is in no record.
        read = replace(asked.facts, logins=asked.facts.under(old).logins)
        now = Snapshot(new, 1).check(read.under(new), asked.time)
        before, after = ({each.reason for each in d.findings} for d in (was, now))
        change = None
        if was.allowed != now.allowed:
            change = Change.REFUSED if was.allowed else Change.ADMITTED
        elif bool(before) != bool(after):
            change = Change.FAILING if after else Change.MENDED
        elif before != after:
            change = Change.OTHER_REASONS
        if change is not None:
            target = None if now.subscription is None else now.subscription.name
            found[change, target, tuple(sorted(before)), tuple(sorted(after))] += 1
    return found


# Each example replays a log, which takes the engine a quarter of a second: `--hypothesis-seed` with
# other numbers looks further.
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(old=policies(), new=policies(), checks=asked_by_few())
def test_deciding_in_groups_is_deciding_one_by_one(old: str, new: str, checks: list[Asked]) -> None:
    """Whatever ends between the checks of a group: certificates, exemptions, former names."""
    with tempfile.TemporaryDirectory() as name_:
        directory = Path(name_)
        before, after = policy(directory, old), policy(directory, new)
        result = replayed(directory, recorded(before, checks), after)
        expected = one_by_one(before, after, checks)
    grouped: Counter[tuple[object, ...]] = Counter()
    for each in result.changes:
        grouped[each.change, each.subscription, each.before, each.after] += each.checks
    assert grouped == expected
    assert changed(result) == {
        change: count
        for change in Change
        if (count := sum(n for key, n in expected.items() if key[0] is change))
    }
    assert result.not_replayed == ()


def test_what_is_the_same_at_both_ends_may_differ_between_them(tmp_path: Path) -> None:
    """The certificate is alice's, then that of bob who is disabled, and then nobody's."""
    first, second = (f"{{old@acme.example: {BEGIN + n * DAY:%Y-%m-%d}}}" for n in (0, 1))
    accounts = (
        f"{{alice: {{email: alice@acme.example, former: {first}}},"
        f" bob: {{email: bob@acme.example, disabled: true, former: {second}}}}}"
    )
    checks = [Asked(Facts("acme.example.com", (), FORMER), BEGIN + n * DAY / 2) for n in range(6)]
    lines = recorded(policy(tmp_path, text(verify_email="false")), checks)
    new = policy(tmp_path, text(verify_email="false", accounts=accounts))
    change = only(replayed(tmp_path, lines, new))
    assert (change.checks, change.after) == (2, (Reason.ACCOUNT_DISABLED,))
    assert (change.first_seen, change.last_seen) == (BEGIN + DAY, BEGIN + DAY * 1.5)


def test_what_held_later_does_not_hold_before(tmp_path: Path) -> None:
    """The certificate is two accounts' until one of them has another address."""
    accounts = (
        "{alice: {email: alice@acme.example}, bob: {email: bob@acme.example,"
        f" former: {{alice@acme.example: {BEGIN:%Y-%m-%d}}}}}}}"
    )
    by_path = f"[{{reason: x, until: {TODAY + DAY:%Y-%m-%d}, paths: [/hooks/*]}}]"
    checks = [
        replace(alice(path=path), time=moment)
        for path in ("/", "/hooks/a", "/hooks/b")
        for moment in (BEGIN, BEGIN + 2 * DAY)
    ]
    lines = recorded(policy(tmp_path, text()), checks)
    new = text(accounts=accounts, login="[client_certificate]", exempt=by_path)
    change = only(replayed(tmp_path, lines, policy(tmp_path, new)))
    assert (change.checks, change.after) == (3, (Reason.LOGIN_CONFLICT,))
    assert change.last_seen == BEGIN


# How it is shown.


def shown(result: WhatIf) -> str:
    out = io.StringIO()
    show(result, console(out))
    return out.getvalue()


def test_the_terminal_answers_who_breaks_and_what_mends_it(tmp_path: Path) -> None:
    """With the request id by which `explain` finds it."""
    lines = recorded(policy(tmp_path, text(exempt=EXEMPT)), [alice(NO_CERTIFICATE)])
    printed = shown(replayed(tmp_path, lines, policy(tmp_path, text())))
    for expected in (
        "What if another policy were in force?",
        "Policy: new.yaml",
        "1 of 1 check would be refused that passes",
        "Pass today, and would be refused: 1 check, 1 caller",
        "certificate_missing",
        "Install the user's certificate",
        "passed by the exemption ci",
        "extauthz explain id-0 --log FILE",
    ):
        assert expected in printed


def test_other_peoples_text_steers_no_terminal(tmp_path: Path) -> None:
    """Neither by escapes nor as markup."""
    asked = alice(NO_CERTIFICATE, user_agent="\x1b[2J[bold red]x[/]")
    lines = recorded(policy(tmp_path, text(mode="audit")), [asked])
    printed = shown(replayed(tmp_path, lines, policy(tmp_path, text())))
    assert "\x1b" not in printed
    assert "\\x1b[2J[bold red]x[/]" in printed


def test_a_request_id_is_harmless_in_the_command_that_is_to_be_copied(tmp_path: Path) -> None:
    """A client may have chosen it."""
    lines = [*recorded(policy(tmp_path, text(mode="audit")), [alice(NO_CERTIFICATE)])]
    evil = [line.replace(b'"id-0"', b'"x; reboot"') for line in lines]
    printed = shown(replayed(tmp_path, evil, policy(tmp_path, text())))
    assert "extauthz explain 'x; reboot' --log FILE" in printed


def test_the_command_to_be_copied_names_the_log(tmp_path: Path) -> None:
    """And only what is more than one is told in the plural."""
    lines = recorded(policy(tmp_path, text(mode="audit")), [alice(NO_CERTIFICATE)])
    result = replace(replayed(tmp_path, lines, policy(tmp_path, text())), left_out=1)
    out = io.StringIO()
    show(result, console(out), ["/var/log/ext authz"])
    assert "extauthz explain id-0 --log '/var/log/ext authz'" in out.getvalue()
    assert "Changes of 1 more check are counted, not listed." in out.getvalue()


def test_long_sentences_are_shown_whole(tmp_path: Path) -> None:
    """No number is behind an ellipsis."""
    result = replayed(tmp_path, [], policy(tmp_path, text()))
    long = replace(
        result, policy="p" * 300, verdict="v " * 200 + "end", notes=("n " * 200 + "end",)
    )
    printed = shown(long).replace("\n", "")
    assert "p" * 300 in printed
    assert printed.count("end") == 2
    assert "…" not in printed


def test_the_command_merges_it_into_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `what_if` of --json, with every field of the values."""
    old = policy(tmp_path, text(mode="audit"))
    log, new = tmp_path / "decisions.jsonl", tmp_path / "policy.yaml"
    log.write_bytes(b"".join(recorded(old, [alice(NO_CERTIFICATE)])))
    new.write_text(text())
    main(["report", str(log), "--what-if", str(new), "--json"])
    result = json.loads(capsys.readouterr().out)["what_if"]
    assert result["checks"] == 1
    assert result["changes"][0]["change"] == "refused"
    assert result["changes"][0]["last_seen"] == (BEGIN + DAY / 2).isoformat().replace("+00:00", "Z")


def test_a_policy_with_mistakes_is_told_as_validate_tells_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the line and the column; nothing is decided by it."""
    log, new = tmp_path / "decisions.jsonl", tmp_path / "policy.yaml"
    log.write_bytes(b"")
    new.write_text("subscriptions: {acme: {hosts: 7}}\n")
    assert main(["validate", str(new)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert main(["report", str(log), "--what-if", str(new)]) != 0
    assert capsys.readouterr().err.splitlines()[0] == told[0]

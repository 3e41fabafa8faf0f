"""Whose a check is, what a way in is, and who would break: by records that hold one thing each."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from extauthz.findings import Reason
from extauthz.records.user_agent import CallerKind
from extauthz.report.engine import Wanted, report
from extauthz.report.model import Caller, Readiness, SubscriptionReport
from extauthz.report.source import opened
from tests.report.records import CHROME, check, line

Members: TypeAlias = dict[str, object]

PERSON, INTEGRATION = CallerKind.PERSON, CallerKind.INTEGRATION
NOBODY: Members = {"login": None, "accounts": []}
CURL: Members = {"user_agent": "curl/8.5.0"}
DENIED: Members = {
    "decision": "deny", "reasons": ["certificate_missing"], "details": ["none"],
    "certificate_problem": "certificate_missing",
}  # fmt: skip
UNKNOWN: Members = DENIED | {
    "reasons": ["certificate_missing", "account_unknown"],
    "details": ["none", "no"],
}

STRANGE: Members = DENIED | {
    "reasons": ["issuer_mismatch", "account_unknown"], "details": ["self-signed", "no"],
    "certificate_problem": None,
}  # fmt: skip
SIGNED: Members = {"signing_certificate": {"label": "ca.pem", "sha256": "c" * 64}}


def certificate(letter: str, *names: str, subject: str = "", end: str = "2027-01-01") -> Members:
    return {"certificate": {
        "sha256": letter * 64, "sent": None, "serial": "1", "subject": subject, "issuer": "CN=CA",
        "not_before": "2026-01-01T00:00:00Z", "not_after": f"{end}T00:00:00Z", "names": names,
    }}  # fmt: skip


def said(tmp_path: Path, *records: Members) -> SubscriptionReport:
    """The report on records, a day after each other unless they say when."""
    (only,) = each_said(tmp_path, [records])
    return only


def each_said(tmp_path: Path, cases: Iterable[Sequence[Members]]) -> list[SubscriptionReport]:
    """The reports on several, each as a subscription of its own: the engine is started once."""
    path = tmp_path / "log"
    lines = [
        line(check(**({"time": f"2026-11-{day:02}T10:00:00Z", "subscription": f"{n:03}"} | record)))
        for n, records in enumerate(cases)
        for day, record in enumerate(records, 1)
    ]
    path.write_bytes(b"".join(lines))
    with opened([str(path)]) as source:
        return [*report(source, Wanted(datetime(2026, 11, 24, tzinfo=UTC))).subscriptions]


NAMES: dict[str, tuple[list[Members], str, bool]] = {
    "login": ([DENIED], "alice", True),
    "account": ([DENIED | {"accounts": ["Alice"]}], "Alice", True),
    "login of several accounts": ([DENIED | {"accounts": ["a", "b"]}], "alice", True),
    "certificate's first name": (
        [DENIED | NOBODY | certificate("a", "a@x.example", "b@x.example")],
        "a@x.example",
        True,
    ),
    "subject": ([DENIED | NOBODY | certificate("a", subject="CN=a")], "CN=a", True),
    "fingerprint": ([DENIED | NOBODY | certificate("a")], "a" * 64, True),
    "login without a letter": (
        [DENIED | NOBODY | {"login": "", "accounts": [""]}],
        f"192.0.2.1, {CHROME}",
        False,
    ),
    "nobody": ([DENIED | NOBODY], f"192.0.2.1, {CHROME}", False),
    "nobody from nowhere": (
        [DENIED | NOBODY | {"user_agent": None, "client": None}],
        "unknown address, no user agent",
        False,
    ),
    "made-up login": ([UNKNOWN | {"accounts": [], "login": "admin"}], "admin", False),
    "unknown login and the company's certificate": (
        [UNKNOWN | SIGNED | {"accounts": [], "login": "typo"} | certificate("a", "a@x.example")],
        "typo",
        True,
    ),
    "unknown account by the company's certificate": (
        [UNKNOWN | SIGNED | NOBODY | certificate("a", "a@x.example")],
        "a@x.example",
        True,
    ),
    "made-up login and certificate": (
        [STRANGE | {"accounts": [], "login": "@SUM(A1)"} | certificate("a", "a@x.example")],
        "@SUM(A1)",
        False,
    ),
    "made-up certificate": (
        [STRANGE | NOBODY | certificate("a", "ceo1@acme.example", subject="CN=ceo1")],
        f"192.0.2.1, {CHROME}",
        False,
    ),
    "an account's login and a stranger's certificate": (
        [STRANGE | {"reasons": ["issuer_mismatch"]} | certificate("a", "a@x.example")],
        "alice",
        True,
    ),
}


def test_name_of_a_caller(tmp_path: Path) -> None:
    """The account or login, else the certificate, else address and user agent."""
    told = each_said(tmp_path, [records for records, *_ in NAMES.values()])
    for of, (what, (_, name, is_known)) in zip(told, NAMES.items(), strict=True):
        (refused,) = of.refused
        assert (refused.caller.name, refused.caller.is_known) == (name, is_known), what


def test_nobody_who_is_nobody_keeps_a_subscription_from_being_ready(tmp_path: Path) -> None:
    """Anybody can sign a certificate for any name, and claim any login with it."""
    strange = [
        STRANGE
        | {"accounts": [], "login": f"login{n}"}
        | certificate("abc"[n], f"ceo{n}@x.example")
        for n in range(3)
    ]
    passes: Members = {"client": "192.0.2.99", "time": "2026-11-20T10:00:00Z"}
    of = said(tmp_path, *strange, STRANGE | NOBODY | certificate("d", "x@x.example"), passes)
    assert (of.breaking_people, of.breaking_integrations, of.breaking_unnamed) == (0, 0, 4)
    assert of.readiness is Readiness.READY


def test_pages_after_the_login_are_whose_login_it_was(tmp_path: Path) -> None:
    """A browser without a certificate says its login at the login page alone."""
    of = said(tmp_path, DENIED, DENIED | NOBODY, DENIED | NOBODY)
    assert [(each.caller.name, each.checks) for each in of.refused] == [("alice", 3)]
    assert (of.people, of.unnamed) == (1, 0)


def test_behind_one_address_nobody_is_taken_for_another(tmp_path: Path) -> None:
    """Neither where two log in from there, nor where the only one has a certificate by now."""
    two = said(tmp_path, DENIED, DENIED | {"login": "bob", "accounts": ["bob"]}, DENIED | NOBODY)
    assert (two.breaking_people, two.breaking_unnamed) == (2, 1)
    one = said(tmp_path, certificate("a", "alice@x.example"), DENIED | NOBODY)
    assert (one.breaking_people, one.breaking_unnamed) == (0, 1)
    other = said(tmp_path, DENIED, DENIED | NOBODY | {"client": "192.0.2.9"})
    assert (other.breaking_people, other.breaking_unnamed) == (1, 1)


def test_certificate_is_whose_login_came_with_it(tmp_path: Path) -> None:
    """Where the account is not looked up, the login page tells whose certificate it is."""
    own = certificate("a", "alice@x.example")
    of = said(tmp_path, own, DENIED | NOBODY | own)
    assert [each.caller.name for each in of.refused] == ["alice"]


def test_script_of_a_person_is_an_integration_of_that_name(tmp_path: Path) -> None:
    """Each counts once, and the one that breaks is told by its user agent."""
    of = said(tmp_path, certificate("a", "alice@x.example"), DENIED | CURL)
    assert (of.people, of.integrations) == (1, 1)
    assert (of.breaking_people, of.breaking_integrations) == (0, 1)
    assert [(each.caller, each.user_agent) for each in of.refused] == [
        (Caller("alice", INTEGRATION, is_known=True), "curl/8.5.0")
    ]


UPGRADES = [
        (CHROME, CHROME.replace("140.0.0.0", "141.0.1.2"), True),
        ("curl/8.5.0", "curl/8.14.1-DEV", True),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1 (KHTML)",
         "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 (KHTML)", True),
        ("acme sync v1.2", "acme sync v2", True),
        ("curl/8.5.0", "wget/8.5.0", False),
        ("job-1", "job-2", False),
        ("k8s", "k9s", False),
]  # fmt: skip


def test_upgrade_is_no_second_way_in(tmp_path: Path) -> None:
    """Version numbers do not tell two clients apart: the last check of either counts for both."""
    cases: list[list[Members]] = [
        [DENIED | {"user_agent": one}, {"user_agent": other}] for one, other, _ in UPGRADES
    ]
    for of, (one, _, are_one) in zip(each_said(tmp_path, cases), UPGRADES, strict=True):
        assert bool(of.refused) is not are_one, one


LASTS: dict[str, tuple[list[Members], bool]] = {
    "failed at last": ([{}, DENIED], True),
    "mended": ([DENIED, {}], False),
    "exempted": ([DENIED, {"exempt": "hooks"}], False),
    "enforced": ([DENIED | {"mode": "enforce", "allowed": False}], True),
    "at one instant": (
        [{"time": "2026-11-01T10:00:00Z"}, DENIED | {"time": "2026-11-01T10:00:00Z"}],
        True,
    ),
    "at one instant, too": (
        [DENIED | {"time": "2026-11-01T10:00:00Z"}, {"time": "2026-11-01T10:00:00Z"}],
        True,
    ),
    "lines out of order": (
        [DENIED | {"time": "2026-11-05T10:00:00Z"}, {"time": "2026-11-01T10:00:00Z"}],
        True,
    ),
}


def test_last_check_of_a_way_in_counts(tmp_path: Path) -> None:
    """Who was mended since does not break. In doubt, who failed does."""
    told = each_said(tmp_path, [records for records, _ in LASTS.values()])
    for of, (what, (_, breaks)) in zip(told, LASTS.items(), strict=True):
        assert bool(of.breaking_people) is breaks, what
        assert of.readiness is (Readiness.NOT_READY if breaks else Readiness.READY), what


def test_refused_are_told_with_all_that_finds_them(tmp_path: Path) -> None:
    """Reasons and detail of the last check; addresses by how often."""
    of = said(
        tmp_path,
        {"client": "192.0.2.5"},
        {"client": "192.0.2.5"},
        {"client": "192.0.2.5"},
        DENIED | {"client": "192.0.2.7"},
        DENIED | {"client": "192.0.2.9"},
        DENIED | {
            "client": "192.0.2.9", "request_id": "last", "details": ["two", "one"],
            "reasons": ["email_mismatch", "certificate_expired"],
        },
        {**CURL},
    )  # fmt: skip
    (refused,) = of.refused
    assert refused.reasons == (Reason.EMAIL_MISMATCH, Reason.CERTIFICATE_EXPIRED)
    assert (refused.detail, refused.request_id, refused.checks) == ("two", "last", 3)
    assert refused.clients == ("192.0.2.9", "192.0.2.7")
    assert (refused.first_seen.day, refused.last_seen.day) == (4, 6)
    assert [(each.reason, each.checks) for each in of.reasons] == [
        (Reason.CERTIFICATE_MISSING, 2), (Reason.CERTIFICATE_EXPIRED, 1),
        (Reason.EMAIL_MISMATCH, 1),
    ]  # fmt: skip


def test_requirement_that_fails_twice_is_one_reason(tmp_path: Path) -> None:
    """A check counts once for each reason."""
    twice = DENIED | {"reasons": ["requirement_not_met"] * 2, "details": ["a", "b"]}
    of = said(tmp_path, twice)
    assert of.refused[0].reasons == (Reason.REQUIREMENT_NOT_MET,)
    assert of.reasons[0].checks == 1


@pytest.mark.parametrize(
    ("times", "more", "readiness"),
    [
        (["01T10:00", "01T10:59"], {}, Readiness.READY),
        (["01T10:00", "01T11:00"], {}, Readiness.NOT_READY),
        (["01T10:00", "09T11:00"], {"mode": "enforce", "allowed": False}, Readiness.READY),
        (["01T10:00", "09T11:00"], {"user_agent": "scan/1"}, Readiness.NOT_READY),
    ],
    ids=["passes by", "stays", "is refused already", "script that stays"],
)
def test_who_has_no_name_counts_when_it_stays(
    times: list[str], more: Members, readiness: Readiness, tmp_path: Path
) -> None:
    """A scanner that passes by keeps nobody from enforcing; a user without a name does."""
    unnamed = [DENIED | NOBODY | {"time": f"2026-11-{each}:00Z"} | more for each in times]
    good = certificate("a", "alice@x.example") | {"client": "192.0.2.99"}
    of = said(tmp_path, *unnamed, good)
    assert of.readiness is readiness
    assert (of.breaking_people, of.breaking_integrations, of.breaking_unnamed) == (0, 0, 1)


def test_of_many_scanners_the_busiest_are_listed(tmp_path: Path) -> None:
    """All are counted; a thousand are told."""
    path = tmp_path / "log"
    lines = [
        line(check(**(DENIED | NOBODY | {"client": f"10.0.{n // 250}.{n % 250}"})))
        for n in [*range(1500), 1499]
    ]
    path.write_bytes(b"".join(lines))
    with opened([str(path)]) as source:
        (of,) = report(source, Wanted(datetime(2026, 11, 24, tzinfo=UTC))).subscriptions
    assert (of.unnamed, of.breaking_unnamed) == (1500, 1500)
    assert (len(of.refused), of.unlisted) == (1000, 500)
    assert of.refused[0].clients == ("10.0.5.249",)


EXPIRING: dict[str, tuple[list[Members], list[str]]] = {
    "within": ([certificate("a", "x", end="2026-12-23")], ["alice"]),
    "later": ([certificate("a", "x", end="2026-12-24")], []),
    "expired and unseen": ([certificate("a", "x", end="2026-11-20")], ["alice"]),
    "replaced": ([certificate("a", "x", end="2026-12-01"), certificate("b", "x")], []),
    "the older one at last": (
        [certificate("b", "x"), certificate("a", "x", end="2026-12-01")],
        ["alice"],
    ),
    "replaced elsewhere": (
        [certificate("a", "x", end="2026-12-01"), certificate("b", "x") | CURL],
        ["alice"],
    ),
    "refused anyway": ([DENIED | certificate("a", "x", end="2026-12-01")], []),
}


def test_certificates_in_use_that_expire(tmp_path: Path) -> None:
    """Those with which a way in passed at last, and that end within thirty days."""
    told = each_said(tmp_path, [records for records, _ in EXPIRING.values()])
    for of, (what, (_, whose)) in zip(told, EXPIRING.items(), strict=True):
        assert [name for each in of.expiring for name in each.callers] == whose, what


def test_end_of_a_certificate_is_that_of_utc(tmp_path: Path) -> None:
    """An offset is no other day."""
    own = certificate("a", "x")
    own["certificate"] = {**own["certificate"], "not_after": "2026-12-24T00:30:00+05:30"}  # type: ignore[dict-item]
    (expiring,) = said(tmp_path, own).expiring
    assert expiring.not_after == datetime(2026, 12, 23, 19, tzinfo=UTC)


def test_signing_certificate_is_in_use_by_whom_it_let_in_at_last(tmp_path: Path) -> None:
    """The old one can go when nobody is left, however often it was used."""

    def signed(label: str) -> Members:
        return {"signing_certificate": {"label": label, "sha256": label * 8}}

    of = said(
        tmp_path, signed("old"), signed("old"), signed("old") | {"accounts": ["bob"]},
        signed("new"),
        signed("new") | {"accounts": ["bob"]}, signed("old") | {"accounts": ["bob"]} | CURL,
    )  # fmt: skip
    assert [(each.label, each.checks, each.callers, each.names) for each in of.signing] == [
        ("old", 4, 1, ("bob",)),
        ("new", 2, 2, ("bob", "alice")),
    ]


def test_mode_off_says_nothing(tmp_path: Path) -> None:
    """What was not checked does not pass, nor by an exemption."""
    odd = said(tmp_path, {"mode": "off", "exempt": "hooks"}, {})
    assert (odd.checks, odd.exempt, odd.exemptions) == (1, 0, ())
    of = said(tmp_path, {"mode": "off"}, {"mode": "off"})
    assert (of.checks, of.unchecked, of.people, of.readiness) == (0, 2, 0, Readiness.NO_DATA)
    both = said(tmp_path, {"mode": "off"}, {}, DENIED)
    assert (both.checks, both.passed, both.unchecked, both.modes) == (2, 1, 1, ("off", "audit"))


def test_periods_are_hours_for_a_few_days_and_days_for_more(tmp_path: Path) -> None:
    """Without gaps; one line from another age does not make a million of them."""
    short = said(tmp_path, {}, {"time": "2026-11-03T12:30:00Z"})
    assert len(short.periods) == 51
    assert [(each.passed, each.failed) for each in short.periods[:2]] == [(1, 0), (0, 0)]
    long = said(tmp_path, {}, DENIED | {"time": "2026-11-06T12:30:00Z"})
    assert [(each.passed, each.failed) for each in long.periods] == [
        (1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 1),
    ]  # fmt: skip
    assert len(said(tmp_path, {}, {"time": "1970-01-01T00:00:00Z"}).periods) == 2

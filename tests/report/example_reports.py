"""Reports to be shown: of an ordinary month, of nothing, and of people who mean harm."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from extauthz.findings import Reason
from extauthz.records.user_agent import CallerKind
from extauthz.remedies import REMEDIES
from extauthz.report.model import (
    Caller,
    Completeness,
    ExemptionUse,
    Expiring,
    Period,
    Readiness,
    ReasonCount,
    Refused,
    Report,
    SigningUse,
    SubscriptionReport,
)
from extauthz.report.what_if_model import (
    MEANINGS,
    Change,
    Changed,
    NotReplayed,
    ReasonTotal,
    SubscriptionChange,
    Total,
    Unknown,
    WhatIf,
)

__all__ = [
    "BEGIN",
    "END",
    "HOSTILE",
    "changed",
    "empty",
    "many",
    "month",
    "ordinary",
    "refused",
]

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
BY_PEOPLE = (Reason.EMAIL_MISMATCH, Reason.ISSUER_MISMATCH)
KNOWN = ("bob", "deploy@acme.example", "ci-builder", "dora.the.long@research.acme.example")
UNKNOWN = "198.51.100.7, Googlebot/2.1 (+http://www.google.com/bot.html)"
HOSTILE = (
    "<script>document.title='run'</script>",
    "</style></svg></td></table><img src=x onerror=alert(1)>",
    "\"><a href='javascript:alert(1)' onclick=alert(1) x='",
    "{{ 7 * 7 }}{% raw %}&lt;b&gt;&amp;",
    "alice\u202egnp.exe\u2066\u200f",
    "W" * 2_000,
    "zoë 🦊👩‍👩‍👧 日本語の名前",
    "nul\0\r\n\x1b[31m\x7f\ud800\ufffe",
    "",
)
"""Names that somebody might write into a certificate, a login or a user agent."""


def refused(name: str, number: int = 0, *, known: bool = True, is_refused: bool = False) -> Refused:
    person = number % 3 == 0
    kind = CallerKind.PERSON if person else CallerKind.INTEGRATION
    return Refused(
        caller=Caller(name, kind, known),
        reasons=BY_PEOPLE if person else (Reason.CERTIFICATE_MISSING,),
        detail="certificate: alice@old.example, account: alice@acme.example" if person else None,
        checks=12 + number * 371,
        first_seen=BEGIN + timedelta(days=1, minutes=number * 17),
        last_seen=END - timedelta(hours=number),
        user_agent=BROWSER if person else "nightly-sync/2.1",
        clients=("192.0.2.14", "2001:db8::5"),
        request_id=f"9f3c1e52-0c1b-4e0b-9a51-{number:012d}",
        is_refused=is_refused,
    )  # fmt: skip


def month(name: str | None = "acme", *, days: int = 31) -> SubscriptionReport:
    """An ordinary month in audit, in which some come without a certificate."""
    periods = tuple(
        Period(
            BEGIN + timedelta(days=day),
            passed=1_200 + 90 * (day * 7 % 11) - 700 * (day % 7 in {2, 3}),
            failed=(day * 13 % 17) + 9,
            exempt=40 + day % 5,
        )
        for day in range(days)
    )
    passed, failed = sum(p.passed for p in periods), sum(p.failed for p in periods)
    counts = (
        (Reason.CERTIFICATE_MISSING, 0.7),
        (Reason.EMAIL_MISMATCH, 0.2),
        (Reason.ISSUER_MISMATCH, 0.1),
    )
    return SubscriptionReport(
        name=name,
        modes=("off", "audit"),
        checks=passed + failed,
        passed=passed,
        exempt=sum(p.exempt for p in periods),
        people=412,
        integrations=17,
        breaking_people=2,
        breaking_integrations=3,
        readiness=Readiness.NOT_READY,
        verdict="3 integrations and 2 people would break; "
        f"{passed * 100 / max(1, passed + failed):.1f} % of {passed + failed:,} checks pass",
        unnamed=31,
        breaking_unnamed=1,
        unlisted=7,
        first_seen=BEGIN + timedelta(minutes=4),
        last_seen=END,
        periods=periods,
        reasons=tuple(
            ReasonCount(reason, int(failed * part), 3, BEGIN, END, REMEDIES[reason].remedy)
            for reason, part in counts
        ),
        refused=(
            *(refused(caller, number) for number, caller in enumerate(KNOWN)),
            refused(UNKNOWN, len(KNOWN), known=False),
        ),
        signing=(
            SigningUse("CN=Acme Users CA 2024,O=Acme", "ab" * 32, passed - 900, 395,
                       ("alice", "bob", "carol", "dave", "erin"), END),
            SigningUse("CN=Acme Users CA 2019,O=Acme", "3c" * 32, 900, 2, ("old-erp", "frank"),
                       END - timedelta(days=3)),
        ),
        expiring=(
            Expiring("CN=frank,O=Acme", "5e" * 32, END + timedelta(days=2), ("frank",), END),
            Expiring("CN=old-erp,O=Acme", "6f" * 32, END + timedelta(days=26), ("old-erp",), END),
        ),
        exemptions=(
            ExemptionUse("login nagios", "no certificate before the new release", date(2026, 3, 31),
                         1_302, ("nagios",), END),
            ExemptionUse("address 10.0.0.0/8", None, None, 0, (), None),
        ),
    )  # fmt: skip


def ready(name: str) -> SubscriptionReport:
    return replace(
        month(name),
        modes=("enforce",),
        passed=38_211,
        checks=38_211,
        breaking_people=0,
        breaking_integrations=0,
        unnamed=0,
        breaking_unnamed=0,
        unlisted=0,
        readiness=Readiness.READY,
        verdict="nobody would break; 100 % of 38,211 checks pass",
        reasons=(),
        refused=(),
        expiring=(),
        exemptions=(),
    )


def unused(name: str | None) -> SubscriptionReport:
    return SubscriptionReport(
        name=name, modes=(), checks=0, passed=0, exempt=0, people=0, integrations=0,
        breaking_people=0, breaking_integrations=0, readiness=Readiness.NO_DATA,
        verdict="nobody came", first_seen=None, last_seen=None, periods=(), reasons=(), refused=(),
        signing=(), expiring=(), exemptions=(),
    )  # fmt: skip


def nobodys() -> SubscriptionReport:
    """Hosts of no subscription."""
    return replace(
        unused(None),
        checks=3,
        unnamed=1,
        breaking_unnamed=1,
        verdict="3 checks of hosts that belong to no subscription: refused",
        periods=(Period(BEGIN, 0, 3, 0),),
        reasons=(ReasonCount(Reason.SUBSCRIPTION_UNKNOWN, 3, 1, BEGIN, END, "Add the host."),),
        refused=(refused("192.0.2.9", 1, known=False, is_refused=True),),
    )


def ordinary(*subscriptions: SubscriptionReport, unreadable: int = 0, dropped: int = 0) -> Report:
    return Report(
        made_at=END + timedelta(hours=9),
        since=BEGIN,
        until=END,
        expiring_within_days=30,
        completeness=Completeness(3, 41_350, unreadable, dropped),
        subscriptions=subscriptions or (month(),),
    )


def many() -> Report:
    """Several subscriptions, and records with gaps."""
    return ordinary(
        ready("beta"), month("acme"), unused("gamma"), nobodys(), unreadable=12, dropped=3_481
    )


def empty() -> Report:
    nothing = Completeness(0, 0, 0, 0)
    return replace(ordinary(), since=None, until=None, subscriptions=(), completeness=nothing)


def written(texts: Sequence[str] = HOSTILE) -> Report:
    """Each text that others can write is one of these."""
    subscriptions, names = [], tuple(texts)
    for text in texts:
        plain = month(text, days=3)
        subscriptions.append(replace(
            plain,
            modes=(text,),
            verdict=text,
            refused=tuple(
                replace(each, caller=replace(each.caller, name=name), detail=text, user_agent=text,
                        clients=(text, text), request_id=text)
                for each, name in zip(plain.refused * 3, texts, strict=False)
            ),
            signing=tuple(
                replace(each, label=text, sha256=text, names=names) for each in plain.signing
            ),
            expiring=tuple(
                replace(each, subject=text, sha256=text, callers=names) for each in plain.expiring
            ),
            exemptions=tuple(
                replace(each, name=text, reason=text, callers=names) for each in plain.exemptions
            ),
        ))  # fmt: skip
    told = ordinary(*subscriptions, unreadable=1)
    return replace(told, completeness=replace(told.completeness, damaged=names))


def changed(text: str = "new-policy.yaml") -> WhatIf:
    """What another policy would change."""
    caller = Caller(text, CallerKind.INTEGRATION, is_known=True)
    totals = tuple(Total(change, 412, 3, 2) for change in Change)
    meaning = MEANINGS[Unknown.REDACTED]
    return WhatIf(
        policy=text,
        checks=41_338,
        replayed=41_300,
        verdict="412 of 41,338 checks would be refused that pass today, by 3 callers",
        totals=totals,
        subscriptions=(SubscriptionChange(text, "enforce", 41_338, 41_300, totals),),
        reasons=tuple(
            ReasonTotal(change, text, Reason.WEAK_KEY, 412, 3, REMEDIES[Reason.WEAK_KEY].remedy)
            for change in Change
        ),
        changes=tuple(
            Changed(
                change, text, text, caller, text, (), (Reason.WEAK_KEY,), text, text, 400,
                BEGIN, END, change is Change.REFUSED, (text,),
            )
            for change in Change
        ),
        left_out=12,
        not_replayed=(
            NotReplayed(
                Unknown.REDACTED, 38, 4, BEGIN, END, (text,), meaning.meaning, meaning.remedy
            ),
        ),
        notes=(text,),
    )  # fmt: skip

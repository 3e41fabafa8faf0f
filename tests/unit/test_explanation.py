"""An explanation says of every decision what was checked, what is wrong, and what mends it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.accounts import Account, Accounts
from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import Credential, Validity, authority, name, user
from extauthz.email import EmailAddress
from extauthz.exemption import Exemption, RequiredFor
from extauthz.explanation import Explanation, Outcome, Step, explain, rehearsed
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.observe.record import Entry, LineEncoder
from extauthz.policy import Mode, Policy, Subscription
from extauthz.records.line import CheckRecord, parse
from extauthz.redaction import Redacted, Redaction
from extauthz.rehearsal import NO_CERTIFICATE
from extauthz.remedies import REMEDIES, Check
from extauthz.revocation import CrlSource, Revocation
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import asked

NOW = datetime.now(UTC)
CA = authority(name("Acme CA"), validity=Validity.days(-100, 3650))
OTHER = authority(name("Other CA"))
CREDENTIALS = {
    "alice": user(CA, "alice", "alice@acme.example"),
    "expired": user(CA, "alice", "alice@acme.example", validity=Validity.days(-30, -2)),
    "nameless": user(CA, "alice"),
    "foreign": user(OTHER, "alice", "alice@acme.example"),
}
ACME = Subscription(
    "acme",
    ("acme.example.com",),
    TrustAnchors([SigningCertificate.read(CA.der, "acme-ca.pem")]),
    Accounts(
        Account(login, (address,))
        for login, text in (("alice", "alice@acme.example"), ("bob", "bob@acme.example"))
        if (address := EmailAddress.parse(text)) is not None
    ),
)
IS_OUT = "`certificate_required_for` leaves this user out"
EXEMPT = Exemption("build", "a build server", NOW + timedelta(days=9), logins=frozenset({"ci"}))
NOBODY_SAYS = Revocation(crls=(CrlSource("/nowhere/acme.crl"),))
P, F, T, N = Outcome.PASSED, Outcome.FAILED, Outcome.TOLERATED, Outcome.NOT_MADE


def recorded(
    subscription: Subscription,
    credential: Credential | None,
    login: str | None = "alice",
    host: str = "acme.example.com",
    redaction: Redaction | None = None,
) -> CheckRecord:
    """The record of a request on which the server's engine decided."""
    policy = Policy([subscription], redaction)
    peer: PeerCertificate | Finding = NO_CERTIFICATE
    if credential is not None:
        peer = PeerCertificate.read(credential.der)
    logins = () if login is None else (Login(login, "basic"),)
    request = asked(policy, host, peer, *logins)
    decision = Snapshot(policy, 1).check(request, NOW)
    record = parse(LineEncoder().line(Entry(decision, request, "id", 1, NOW, 0, redaction)))
    assert isinstance(record, CheckRecord)
    return record


@pytest.mark.parametrize(
    ("subscription", "credential", "login", "outcomes"),
    [
        pytest.param(ACME, "alice", "alice", [P, P, P, P, P, P, N, P, P], id="everything is right"),
        pytest.param(ACME, "alice", None, [P, P, P, P, P, P, N, P, P], id="no login is claimed"),
        pytest.param(ACME, "expired", "alice", [P, P, F, P, P, P, N, P, F], id="it has expired"),
        pytest.param(ACME, "alice", "bob", [P, P, P, F, P, P, N, P, F], id="it is another's"),
        pytest.param(ACME, "nameless", "bob", [P, P, P, F, P, P, N, P, F], id="it has no address"),
        pytest.param(ACME, "foreign", "alice", [P, P, P, P, F, P, N, P, F], id="of another CA"),
        pytest.param(ACME, None, "alice", [P, F, N, N, N, N, N, P, F], id="there is none"),
        pytest.param(ACME, None, "eve", [P, F, N, F, N, N, N, P, F], id="none, and no account"),
        pytest.param(
            replace(ACME, exemptions=(EXEMPT,)), None, "ci", [P, T, N, T, N, N, N, P, T],
            id="none, and exempt",
        ),
        pytest.param(
            replace(ACME, mode=Mode.AUDIT), None, "alice", [P, F, N, N, N, N, N, P, T],
            id="none, in audit",
        ),
        pytest.param(
            replace(ACME, mode=Mode.OFF), "alice", "alice", [P, N, N, N, N, N, N, N, N],
            id="nothing is checked",
        ),
        pytest.param(
            replace(ACME, verify_email=False), "alice", "bob", [P, P, P, N, P, P, N, P, P],
            id="names are not compared",
        ),
        pytest.param(
            replace(ACME, revocation=NOBODY_SAYS), "alice", "alice", [P, P, P, P, P, P, F, P, F],
            id="nobody says whether it is revoked",
        ),
        pytest.param(
            replace(ACME, revocation=replace(NOBODY_SAYS, allow_unknown=True)), "alice", "alice",
            [P, P, P, P, P, P, T, P, T], id="nobody says, and that is tolerated",
        ),
        pytest.param(
            replace(ACME, hosts=("acme.example.org",)), "alice", "alice",
            [F, N, N, N, N, N, N, N, F], id="the host is nobody's",
        ),
    ],
)  # fmt: skip
def test_each_check_has_its_outcome(
    subscription: Subscription,
    credential: str | None,
    login: str | None,
    outcomes: list[Outcome],
) -> None:
    """In order: the request, the six checks, the session, and what the policy makes of it."""
    chosen = None if credential is None else CREDENTIALS[credential]
    explanation = explain(recorded(subscription, chosen, login))

    assert [step.outcome for step in explanation.steps] == outcomes


def test_what_was_compared_stands_beside_each_check() -> None:
    """Enough for the support desk to see it without opening the certificate."""
    facts = {
        step.title: " | ".join((*step.compared, *(fault.detail or "" for fault in step.faults)))
        for step in explain(recorded(ACME, CREDENTIALS["alice"], "bob")).steps
    }

    assert "'acme.example.com'" in facts["The request is one for a subscription"]
    assert "subject 'CN=alice'" in facts["1. A certificate is present"]
    assert "valid from" in facts["2. It is within its validity period"]
    account = facts["3. It is the account's"]
    assert "claims the login 'bob' (basic)" in account
    assert "names in the certificate: 'alice@acme.example'" in account
    assert "the account has 'bob@acme.example'" in account
    issuer = facts["4. Its issuer is a signing certificate of the subscription"]
    assert "issuer 'CN=Acme CA' | signing certificate 'acme-ca.pem'" in issuer


@pytest.mark.parametrize(
    ("subscription", "login", "verdict"),
    [
        (ACME, "alice", "Refused: no certificate was presented. The client gets"),
        (ACME, "eve", "Refused: no certificate was presented; there is no such account."),
        (replace(ACME, mode=Mode.AUDIT), "alice",
         "The request passes, because its mode is `audit`. In `enforce` it would be refused: no"),
        (replace(ACME, required_for=RequiredFor(frozenset({"bob"}))), "alice",
         f"The request passes, because {IS_OUT}. If a certificate were demanded, it"),
        (replace(ACME, required_for=RequiredFor(frozenset({"alice"}))), "alice", "Refused: no"),
        (replace(ACME, mode=Mode.OFF), "alice", "The request passes: `mode: off`"),
        (replace(ACME, exemptions=(EXEMPT,)), "ci", "The request passes by the exemption 'build'"),
        (replace(ACME, hosts=("acme.example.org",)), "alice",
         "Refused: the host belongs to no subscription. The client gets 403"),
    ],
    ids=[
        "refused", "for two reasons", "audit", "left out", "not left out", "off", "exempt",
        "the host is nobody's",
    ],
)  # fmt: skip
def test_verdict_is_one_sentence_for_whoever_asks(
    subscription: Subscription, login: str, verdict: str
) -> None:
    """What was found, and what the client gets."""
    assert explain(recorded(subscription, None, login)).verdict.startswith(verdict)


@pytest.mark.parametrize(
    ("subscription", "line"),
    [
        (ACME, "mode enforce: whoever fails a check is refused"),
        (replace(ACME, mode=Mode.AUDIT),
         "mode audit: what is found is recorded, and everybody passes"),
        (replace(ACME, required_for=RequiredFor(frozenset({"bob"}))),
         f"mode enforce, but {IS_OUT}: what is found is recorded, and the request passes"),
    ],
    ids=["enforce", "audit", "left out"],
)  # fmt: skip
def test_mode_is_the_subscriptions_own(subscription: Subscription, line: str) -> None:
    """Who is left out is not told that the subscription is in audit."""
    *_, conclusion = explain(recorded(subscription, None)).steps
    assert conclusion.compared[0] == line


def test_what_a_log_hides_is_said_to_be_hidden() -> None:
    """A redacted record names nobody, and still says which check failed."""
    redaction = Redaction(frozenset(Redacted), b"k" * 16)
    record = recorded(ACME, CREDENTIALS["alice"], "bob", redaction=redaction)
    explanation = explain(record)
    account = explanation.steps[3]

    assert account.outcome is F
    assert account.faults[0].reason is Reason.EMAIL_MISMATCH
    assert account.faults[0].detail is None
    assert "hidden in this log: client, email, login" in account.compared
    assert "alice" not in repr(explanation.steps)
    assert "bob" not in repr(explanation.steps)


def test_rehearsal_does_not_claim_to_know_sessions() -> None:
    """They are known to a server that runs."""
    record = recorded(ACME, CREDENTIALS["alice"])

    assert explain(record).steps[7].outcome is P
    assert rehearsed(record).steps[7].outcome is N
    assert rehearsed(record).steps[:7] == explain(record).steps[:7]


TEXT = st.text(max_size=20)
SOME = st.none() | TEXT
TIME = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
REASONS = st.lists(st.sampled_from([reason.value for reason in Reason]), max_size=5)
RECORDS = st.fixed_dictionaries({
    "schema": st.just(1), "record": st.just("check"), "time": TIME, "request_id": SOME,
    "host": SOME, "method": SOME, "path": SOME, "client": SOME, "user_agent": SOME,
    "login": SOME, "login_source": SOME, "login_problem": SOME,
    "other_logins": st.lists(st.fixed_dictionaries({"login": TEXT, "source": TEXT}), max_size=2),
    "policy_generation": st.integers(0, 9), "duration_us": st.integers(0, 9),
    "redacted": st.lists(st.sampled_from(["email", "login", "client"]), max_size=3),
    "subscription": SOME, "mode": st.none() | st.sampled_from([mode.value for mode in Mode]),
    "subscription_mode": st.none() | st.sampled_from([mode.value for mode in Mode]),
    "decision": st.sampled_from(["allow", "deny"]), "allowed": st.booleans(),
    "reasons": REASONS, "details": st.lists(SOME, max_size=5),
    "tolerated": REASONS, "tolerated_details": st.lists(SOME, max_size=5),
    "exempt": SOME, "accounts": st.lists(TEXT, max_size=3),
    "not_asked": st.lists(st.sampled_from(["email", "revocation"]), max_size=2),
    "signing_certificate": st.none() | st.fixed_dictionaries({"label": TEXT, "sha256": TEXT}),
    "certificate": st.none() | st.fixed_dictionaries({
        "sha256": TEXT, "sent": SOME, "serial": TEXT, "subject": TEXT, "issuer": TEXT,
        "not_before": TIME, "not_after": TIME, "names": st.lists(TEXT, max_size=3),
    }),
    "certificate_problem": st.sampled_from([None, "certificate_missing", "certificate_malformed"]),
})  # fmt: skip


def steps_of(explanation: Explanation) -> dict[Check, Step]:
    return dict(zip(Check, explanation.steps, strict=False))


@given(RECORDS)
def test_any_record_is_explained(members: dict[str, object]) -> None:
    """Each reason is a fault of the one check that it belongs to, and no outcome denies it."""
    record = parse(orjson.dumps(members))
    assert isinstance(record, CheckRecord)
    explanation = explain(record)
    steps = steps_of(explanation)

    assert len(explanation.steps) == len(Check) + 1
    found = [fault.reason for step in explanation.steps for fault in step.faults]
    assert Counter(found) == Counter([*record.reasons, *record.tolerated])
    for check, step in steps.items():
        assert all(REMEDIES[fault.reason].check is check for fault in step.faults)
        failed = any(REMEDIES[reason].check is check for reason in record.reasons)
        assert (step.outcome is F) == failed
        assert (step.outcome in {P, N}) == (not step.faults)
    *_, conclusion = explanation.steps
    assert (conclusion.outcome is F) == (not record.allowed)
    assert explanation.verdict.startswith("Refused" if not record.allowed else "The request passes")


@given(RECORDS)
def test_no_check_is_said_to_pass_that_was_not_made(members: dict[str, object]) -> None:
    """Not asked for, switched off, or nothing to make it on: none of these is a pass."""
    record = parse(orjson.dumps(members))
    assert isinstance(record, CheckRecord)
    steps = steps_of(explain(record))
    needs_certificate = (Check.VALID, Check.ACCOUNT, Check.ISSUER, Check.FITNESS, Check.REVOCATION)
    not_made = {
        *(needs_certificate if record.certificate is None else ()),
        *((Check.ACCOUNT,) if "email" in record.not_asked else ()),
        *((Check.REVOCATION,) if "revocation" in record.not_asked else ()),
    }
    if record.subscription is None or record.mode is Mode.OFF:
        not_made = set(Check) - {Check.REQUEST}

    assert all(steps[check].outcome is not P for check in not_made)

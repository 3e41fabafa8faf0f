"""The rules of revocation, with lists and answers at hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding

from extauthz.accounts import Accounts
from extauthz.certificate import PeerCertificate
from extauthz.crl import Crl
from extauthz.decision import Decision
from extauthz.demo.authority import Credential, authority, key_usage, name, user
from extauthz.findings import Reason
from extauthz.fingerprint import fingerprints
from extauthz.inquiry import Answered, Inquiry, NotAnswered, OcspPolicy
from extauthz.ocsp import Answer, CertStatus
from extauthz.policy import Policy, Subscription
from extauthz.revocation import CLOCK_TOLERANCE, Blocked, CrlSource, Revocation, Scope
from extauthz.snapshot import Snapshot
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import asked, decided
from tests.revocation.made import HOUR, NOW, ca, crl, scope

ROOT = authority(name("Root"))
CA_EXTENSIONS = (
    (x509.BasicConstraints(ca=True, path_length=None), True),
    (key_usage("key_cert_sign", "crl_sign"), True),
)
SUB = ROOT.issue(name("Sub"), CA_EXTENSIONS)
ALICE = user(SUB, "Alice", "alice@acme.example")
A, S = ALICE.certificate.serial_number, SUB.certificate.serial_number
SOURCE, OTHER_SOURCE = CrlSource("one"), CrlSource("two")
OCSP = OcspPolicy("http://ocsp.example/")
REVOKED, UNKNOWN = {Reason.CERTIFICATE_REVOKED}, {Reason.REVOCATION_UNKNOWN}


@dataclass
class Known:
    """Evidence that a test puts together."""

    lists: list[tuple[Credential, bytes]] = field(default_factory=list)
    answers: dict[int, Answered | NotAnswered] = field(default_factory=dict)
    """By serial number."""
    asked: list[Inquiry] = field(default_factory=list)

    def crls(self, source: CrlSource, issuer: bytes) -> Sequence[Crl]:
        if source != SOURCE:
            return ()
        return [Crl.read(octets) for by, octets in self.lists if ca(by).identity == issuer]

    def answered(self, inquiry: Inquiry) -> Answered | NotAnswered | None:
        self.asked.append(inquiry)
        return self.answers.get(inquiry.question.serial)


def said(status: CertStatus, *, delegate: int | None = None, ends: timedelta = HOUR) -> Answered:
    answer = Answer(status, NOW if status is CertStatus.REVOKED else None, None, NOW, None,
                    delegate, None)  # fmt: skip
    return Answered(answer, NOW + ends)


def inquiries(decision: Decision) -> list[Inquiry]:
    """What could still be asked of responders."""
    return [each for each in decision.unanswered if isinstance(each, Inquiry)]


def check(
    revocation: Revocation, known: Known, *, peer: bytes = ALICE.der, shift: timedelta = HOUR * 0
) -> Decision:
    trust = TrustAnchors([SigningCertificate.read(ROOT.der)], [ca(SUB)], max_intermediates=1)
    subscription = Subscription(
        "s", (), trust, Accounts(), verify_email=False, revocation=revocation
    )
    read = PeerCertificate.read(peer)
    assert isinstance(read, PeerCertificate)
    return decided(subscription, (), trust.verify(read), NOW + shift, known)


def reasons(revocation: Revocation, known: Known, shift: timedelta = HOUR * 0) -> set[Reason]:
    return {finding.reason for finding in check(revocation, known, shift=shift).findings}


def stale(entries: Sequence[int] = ()) -> bytes:
    return crl(SUB, entries, this_update=NOW - 3 * HOUR, next_update=NOW - 2 * HOUR)


BY_LIST = Revocation(crls=(SOURCE,))
BY_BOTH = Revocation(crls=(SOURCE,), ocsp=OCSP)
BY_OCSP = Revocation(ocsp=OCSP)
CHAIN = replace(BY_LIST, scope=Scope.CHAIN)
GOOD, GONE, WHO = CertStatus.GOOD, CertStatus.REVOKED, CertStatus.UNKNOWN
USERS, CAS = scope(only_contains_user_certs=True), scope(only_contains_ca_certs=True)
DELTA = (x509.DeltaCRLIndicator(1), True)

ROWS: dict[str, tuple[Revocation, Known, set[Reason]]] = {
    "not on the list": (BY_LIST, Known([(SUB, crl(SUB, [1]))]), set()),
    "on the list": (BY_LIST, Known([(SUB, crl(SUB, [A]))]), REVOKED),
    "no list": (BY_LIST, Known(), UNKNOWN),
    "list of another CA alone": (BY_LIST, Known([(ROOT, crl(ROOT))]), UNKNOWN),
    "that serial number of another CA": (
        BY_LIST, Known([(ROOT, crl(ROOT, [A])), (SUB, crl(SUB))]), set()),
    "another subscription's source": (
        Revocation(crls=(OTHER_SOURCE,)), Known([(SUB, crl(SUB))]), UNKNOWN),
    "stale list": (BY_LIST, Known([(SUB, stale())]), UNKNOWN),
    "on a stale list": (BY_LIST, Known([(SUB, stale([A]))]), REVOKED),
    "list of the future": (
        BY_LIST, Known([(SUB, crl(SUB, this_update=NOW + HOUR, next_update=NOW + 2 * HOUR))]),
        UNKNOWN),
    "list of CAs alone": (BY_LIST, Known([(SUB, crl(SUB, [], CAS))]), UNKNOWN),
    "list of users": (BY_LIST, Known([(SUB, crl(SUB, [], USERS))]), set()),
    "on the delta": (BY_LIST, Known([(SUB, crl(SUB)), (SUB, crl(SUB, [A], DELTA))]), REVOKED),
    "delta alone": (BY_LIST, Known([(SUB, crl(SUB, [], DELTA))]), UNKNOWN),
    "CA revoked, leaf in scope": (
        BY_LIST, Known([(SUB, crl(SUB)), (ROOT, crl(ROOT, [S]))]), set()),
    "CA revoked, chain in scope": (
        CHAIN, Known([(SUB, crl(SUB)), (ROOT, crl(ROOT, [S]))]), REVOKED),
    "no list of the root, chain in scope": (CHAIN, Known([(SUB, crl(SUB))]), UNKNOWN),
    "list of users at the root, chain in scope": (
        CHAIN, Known([(SUB, crl(SUB)), (ROOT, crl(ROOT, [], USERS))]), UNKNOWN),
    "chain good": (CHAIN, Known([(SUB, crl(SUB)), (ROOT, crl(ROOT, [], CAS))]), set()),
    "answer good": (BY_OCSP, Known([], {A: said(GOOD)}), set()),
    "answer revoked": (BY_OCSP, Known([], {A: said(GONE)}), REVOKED),
    "answer unknown": (BY_OCSP, Known([], {A: said(WHO)}), UNKNOWN),
    "answer that has ended": (BY_OCSP, Known([], {A: said(GOOD, ends=-HOUR)}), UNKNOWN),
    "no answer": (BY_OCSP, Known([], {A: NotAnswered("dead", NOW + HOUR)}), UNKNOWN),
    "not asked yet": (BY_OCSP, Known(), UNKNOWN),
    "no answer, list good": (
        BY_BOTH, Known([(SUB, crl(SUB))], {A: NotAnswered("dead", NOW + HOUR)}), set()),
    "no answer, list stale": (
        BY_BOTH, Known([(SUB, stale())], {A: NotAnswered("dead", NOW + HOUR)}), UNKNOWN),
    "answer good, list stale": (
        BY_BOTH, Known([(SUB, stale())], {A: said(GOOD)}), set()),
    "answer good, on the list": (BY_BOTH, Known([(SUB, crl(SUB, [A]))], {A: said(GOOD)}), REVOKED),
    "answer revoked, list good": (BY_BOTH, Known([(SUB, crl(SUB))], {A: said(GONE)}), REVOKED),
    "answer unknown, list good": (BY_BOTH, Known([(SUB, crl(SUB))], {A: said(WHO)}), UNKNOWN),
    "delegate on the list": (
        BY_BOTH, Known([(SUB, stale([77]))], {A: said(GOOD, delegate=77)}), UNKNOWN),
    "delegate blocked": (
        replace(BY_OCSP, blocked=Blocked(serials=frozenset([77]))),
        Known([], {A: said(GOOD, delegate=77)}), UNKNOWN),
    "blocked by fingerprint": (
        Revocation(blocked=Blocked(frozenset([ALICE.certificate.fingerprint(hashes.SHA256()).hex()]
                                             ))), Known(), REVOKED),
    "blocked by serial number": (
        Revocation(blocked=Blocked(serials=frozenset([A]))), Known(), REVOKED),
    "CA blocked": (Revocation(blocked=Blocked(serials=frozenset([S]))), Known(), REVOKED),
    "somebody else blocked": (
        Revocation(blocked=Blocked(frozenset(["00" * 32]), frozenset([1]))), Known(), set()),
}  # fmt: skip


@pytest.mark.parametrize(("revocation", "known", "expected"), ROWS.values(), ids=ROWS)
def test_revocation_is_judged_by_what_is_known(
    revocation: Revocation, known: Known, expected: set[Reason]
) -> None:
    assert reasons(revocation, known) == expected


@pytest.mark.parametrize("row", ROWS)
def test_allowing_the_unknown_lets_no_revoked_one_pass(row: str) -> None:
    """`if_unknown: allow`: what is unknown passes and is told; what is revoked does not."""
    revocation, known, expected = ROWS[row]
    decision = check(replace(revocation, allow_unknown=True), known)
    assert {finding.reason for finding in decision.findings} == expected - UNKNOWN
    if expected == UNKNOWN:
        assert {finding.reason for finding in decision.tolerated} == UNKNOWN


def test_list_ends_with_its_next_update_and_the_stated_tolerance() -> None:
    """Keycloak 35983: a list was used for years after its nextUpdate. To the moment."""
    known = Known([(SUB, crl(SUB, next_update=NOW + HOUR))])
    assert reasons(BY_LIST, known, shift=HOUR + CLOCK_TOLERANCE) == set()
    over = HOUR + CLOCK_TOLERANCE + timedelta(microseconds=1)
    assert reasons(BY_LIST, known, shift=over) == UNKNOWN


def test_answer_is_asked_for_where_it_could_still_count() -> None:
    assert [each.question.serial for each in inquiries(check(BY_OCSP, Known()))] == [A]
    known = Known([(SUB, crl(SUB))])
    assert [each.question.serial for each in inquiries(check(BY_BOTH, known))] == [A]
    assert check(BY_BOTH, Known([(SUB, crl(SUB, [A]))])).unanswered == ()
    assert check(BY_OCSP, Known([], {A: NotAnswered("dead", NOW + HOUR)})).unanswered == ()


def test_certificate_that_names_no_responder_is_unknown_where_nobody_else_is_named() -> None:
    revocation = Revocation(ocsp=OcspPolicy(None, frozenset(["ocsp.acme.example"])))
    decision = check(revocation, Known())
    assert inquiries(decision) == []
    assert {finding.reason for finding in decision.findings} == UNKNOWN


def test_blocked_fingerprint_holds_for_the_twin_of_the_signature() -> None:
    """(r, n - s) verifies like (r, s): whoever holds the certificate can give it another hash."""
    certificate = ALICE.certificate
    r, s = decode_dss_signature(certificate.signature)
    other = encode_dss_signature(r, ec.SECP256R1().group_order - s)
    tail = len(certificate.signature) + 3
    body = ALICE.der[4:-tail] + bytes([3, len(other) + 1, 0]) + other
    twin = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    own = certificate.fingerprint(hashes.SHA256()).hex()
    blocked = Revocation(blocked=Blocked(frozenset([own])))

    assert check(Revocation(), Known(), peer=twin).findings == ()
    assert {f.reason for f in check(blocked, Known(), peer=twin).findings} == REVOKED
    assert own in fingerprints(x509.load_der_x509_certificate(twin), SUB.certificate)


def test_revoked_intermediate_leaves_another_path() -> None:
    """A cross-signed CA: one path is revoked, the other one holds."""
    other_root = authority(name("Root 2"))
    cross = Credential(other_root.issue(name("Sub"), CA_EXTENSIONS, key=SUB.key).certificate,
                       SUB.key)  # fmt: skip
    anchors = [SigningCertificate.read(each.der) for each in (ROOT, other_root)]
    trust = TrustAnchors(anchors, [ca(SUB), ca(cross)], max_intermediates=1)
    known = Known([
        (SUB, crl(SUB)), (ROOT, crl(ROOT, [S])), (other_root, crl(other_root)),
    ])  # fmt: skip
    read = PeerCertificate.read(ALICE.certificate.public_bytes(Encoding.DER))
    assert isinstance(read, PeerCertificate)
    subscription = Subscription("s", (), trust, Accounts(), verify_email=False, revocation=CHAIN)
    decision = decided(subscription, (), trust.verify(read), NOW, known)
    assert decision.findings == ()
    assert decision.path is not None
    assert decision.path.signing_certificate.facts.subject == "CN=Root 2"


def test_kept_verdict_ends_with_what_it_rests_on() -> None:
    """Pomerium keeps a verdict without an end; what the snapshot keeps here is none.

    The same request is refused as soon as a list says so, or is stale, or a certificate has ended.
    """
    trust = TrustAnchors([SigningCertificate.read(ROOT.der)], [ca(SUB)], max_intermediates=1)
    subscription = Subscription(
        "s", ("s.example",), trust, Accounts(), verify_email=False, revocation=BY_LIST
    )
    known = Known([(SUB, crl(SUB))])
    snapshot = Snapshot(Policy([subscription]), 1, known)
    peer = PeerCertificate.read(ALICE.der)
    assert isinstance(peer, PeerCertificate)
    request = asked(snapshot.policy, "s.example", peer)

    def reasons_at(shift: timedelta) -> set[Reason]:
        return {finding.reason for finding in snapshot.check(request, NOW + shift).findings}

    first = snapshot.check(request, NOW)
    assert first.findings == ()
    assert snapshot.check(request, NOW) is first
    known.lists = [(SUB, crl(SUB, [A], number=2))]
    assert reasons_at(HOUR * 0) == REVOKED
    known.lists = [(SUB, crl(SUB, number=3))]
    assert snapshot.check(request, NOW) is first
    assert reasons_at(25 * HOUR) == UNKNOWN
    assert reasons_at(timedelta(days=31)) == {*UNKNOWN, Reason.CERTIFICATE_EXPIRED}

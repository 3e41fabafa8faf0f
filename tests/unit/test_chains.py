"""Chains as companies have them, and as nobody should: which path is found, and why none is."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from extauthz import paths
from extauthz.accounts import Accounts
from extauthz.ca import CaCertificate, UnusableError
from extauthz.certificate import PeerCertificate
from extauthz.decision import Decision
from extauthz.demo.authority import (
    Credential,
    Extension,
    Validity,
    authority,
    key_usage,
    name,
    new_key,
    user,
)
from extauthz.findings import Reason
from extauthz.policy import Subscription
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import decided

NOW = datetime.now(UTC)


def ca(
    issuer: Credential, subject: str, *extensions: Extension, key: object = None,
    validity: Validity | None = None, path_length: int | None = None,
) -> Credential:  # fmt: skip
    """An intermediate CA with the usual extensions and these."""
    own = new_key() if key is None else key
    usual: list[Extension] = [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (key_usage("key_cert_sign", "crl_sign"), True),
        (x509.SubjectKeyIdentifier.from_public_key(own.public_key()), False),  # type: ignore[attr-defined]
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False),
    ]
    return issuer.issue(
        name(subject), [*usual, *extensions], key=own, validity=validity  # type: ignore[arg-type]
    )  # fmt: skip


def check(
    leaf: Credential,
    anchors: Sequence[Credential],
    *,
    sent: Sequence[Credential | bytes] = (),
    given: Sequence[Credential] = (),
    most: int = 1,
    now: datetime = NOW,
) -> Decision:
    trust = TrustAnchors(
        [
            SigningCertificate.read(each.der, str(each.certificate.serial_number))
            for each in anchors
        ],
        [CaCertificate.read(each.der) for each in given],
        most,
    )
    chain = [each if isinstance(each, bytes) else each.der for each in sent]
    peer = PeerCertificate.read(leaf.der, chain)
    assert isinstance(peer, PeerCertificate), peer
    subscription = Subscription("s", (), trust, Accounts(), verify_email=False)
    return decided(subscription, (), trust.verify(peer), now)


ROOT, ROOT_2 = authority(name("Root")), authority(name("Root 2"))
SUB = ca(ROOT, "Sub")
SUB_SUB = ca(SUB, "Sub sub")
ALICE, BOB = user(SUB, "Alice", "alice@acme.example"), user(SUB_SUB, "Bob", "bob@acme.example")
CROSS = ca(ROOT_2, "Sub", key=SUB.key)
STRANGERS = [authority(name(f"Stranger {number}")) for number in range(3)]
EXPIRED, FUTURE = Validity.days(-9, -1), Validity.days(1, 9)
OLD_SUB = ca(ROOT, "Sub", key=SUB.key, validity=EXPIRED)
RENEWED = authority(name("Root"), key=ROOT.key)
NEW_KEY_ROOT = authority(name("Root"))
OLD_WITH_NEW = ca(NEW_KEY_ROOT, "Root", key=ROOT.key)
OTHER_SUB = ca(ROOT, "Sub")
WEAK_SUB = ca(ROOT, "Weak", key=rsa.generate_private_key(65537, 1024))
SERVER_SUB = ca(ROOT, "Servers", (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False))
NO_CA = user(ROOT, "No CA")
LEAF_OF_LEAF = user(NO_CA, "Mallory", "alice@acme.example")
LOOP_A_KEY, LOOP_B_KEY = new_key(), new_key()
LOOP_A = ca(Credential(ROOT.certificate, LOOP_B_KEY), "A", key=LOOP_A_KEY)

PASSING: dict[str, Callable[[], Decision]] = {
    "intermediate from the client": lambda: check(ALICE, [ROOT], sent=[SUB]),
    "intermediate from the policy": lambda: check(ALICE, [ROOT], given=[SUB]),
    "with strangers in between": lambda: check(
        ALICE, [ROOT], sent=[STRANGERS[0], SUB, STRANGERS[1], BOB, STRANGERS[2]]),
    "in any order": lambda: check(BOB, [ROOT], sent=[ROOT, SUB, SUB_SUB], most=2),
    "half from the client, half from the policy": lambda: check(
        BOB, [ROOT], sent=[SUB_SUB], given=[SUB], most=2),
    "what nobody can read among it": lambda: check(ALICE, [ROOT], sent=[b"garbage", SUB]),
    "the same one many times": lambda: check(ALICE, [ROOT], sent=[SUB] * 50),
    "an intermediate as signing certificate": lambda: check(ALICE, [SUB], most=0),
    "an intermediate as signing certificate, root sent": lambda: check(
        ALICE, [SUB], sent=[SUB, ROOT]),
    "cross-signed, by the first": lambda: check(ALICE, [ROOT], sent=[CROSS, SUB]),
    "cross-signed, by the second": lambda: check(ALICE, [ROOT_2], sent=[SUB, CROSS]),
    "expired intermediate beside the renewed one": lambda: check(
        ALICE, [ROOT], sent=[OLD_SUB, SUB]),
    "expired intermediate, and the CA cross-signed": lambda: check(
        ALICE, [ROOT, ROOT_2], sent=[OLD_SUB, CROSS]),
    "same name, other key, beside it": lambda: check(ALICE, [ROOT], sent=[OTHER_SUB, SUB]),
    "renewed root with the same key": lambda: check(ALICE, [RENEWED], sent=[SUB]),
    "key rollover: old with new": lambda: check(
        ALICE, [NEW_KEY_ROOT], sent=[SUB, OLD_WITH_NEW], most=2),
    "two roots, one name": lambda: check(ALICE, [NEW_KEY_ROOT, ROOT], sent=[SUB]),
}  # fmt: skip


@pytest.mark.parametrize("decision", PASSING.values(), ids=PASSING)
def test_path_is_found(decision: Callable[[], Decision]) -> None:
    assert decision().findings == ()


REFUSED: dict[str, tuple[Callable[[], Decision], Reason, str]] = {
    "direct issuer is demanded": (
        lambda: check(ALICE, [ROOT], sent=[SUB], most=0),
        Reason.ISSUER_MISMATCH, "issued by 'CN=Sub'; the subscription's"),
    "nobody sent the intermediate": (
        lambda: check(ALICE, [ROOT]), Reason.CHAIN_INCOMPLETE, "the issuer 'CN=Sub' is missing"),
    "the upper intermediate is missing": (
        lambda: check(BOB, [ROOT], sent=[SUB_SUB], most=2),
        Reason.CHAIN_INCOMPLETE, "the issuer 'CN=Sub' of 'CN=Sub sub' is missing"),
    "another root": (
        lambda: check(ALICE, [ROOT_2], sent=[SUB, ROOT], most=2),
        Reason.ISSUER_MISMATCH, "ends at the root 'CN=Root'; the"),
    "too long": (
        lambda: check(BOB, [ROOT], sent=[SUB, SUB_SUB]), Reason.CHAIN_INVALID, "more than 1"),
    "same name, other key": (
        lambda: check(ALICE, [ROOT], sent=[OTHER_SUB]), Reason.SIGNATURE_INVALID,
        "the key of 'CN=Sub' did not make"),
    "root of that name, other key": (
        lambda: check(ALICE, [NEW_KEY_ROOT], sent=[SUB]),
        Reason.SIGNATURE_INVALID, "the key of 'CN=Root' did not make"),
    "expired intermediate": (
        lambda: check(ALICE, [ROOT], sent=[OLD_SUB]),
        Reason.CERTIFICATE_EXPIRED, "the intermediate certificate 'CN=Sub' expired"),
    "intermediate that is not valid yet": (
        lambda: check(ALICE, [ROOT], sent=[ca(ROOT, "Sub", key=SUB.key, validity=FUTURE)]),
        Reason.CERTIFICATE_NOT_YET_VALID, "the intermediate certificate 'CN=Sub'"),
    "weak intermediate": (
        lambda: check(user(WEAK_SUB, "A"), [ROOT], sent=[WEAK_SUB]),
        Reason.CHAIN_INVALID, "1024 bits"),
    "intermediate for servers alone": (
        lambda: check(user(SERVER_SUB, "A"), [ROOT], sent=[SERVER_SUB]),
        Reason.CHAIN_INVALID, "EKU"),
    "issued by a user's certificate": (
        lambda: check(LEAF_OF_LEAF, [ROOT], sent=[NO_CA]), Reason.CHAIN_INVALID, "not a CA"),
    "the victim's certificate in the chain": (
        lambda: check(authority(name("Mallory")), [ROOT], sent=[ALICE, SUB]),
        Reason.ISSUER_MISMATCH, "it is self-signed"),
    "unknown critical extension of an intermediate": (
        lambda: check(user(s := ca(ROOT, "S", (x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)), "A"), [ROOT],
            sent=[s]),
        Reason.CHAIN_INVALID, "1.3.6.1.4.1.99999.1"),
}  # fmt: skip


@pytest.mark.parametrize(("decision", "reason", "detail"), REFUSED.values(), ids=REFUSED)
def test_path_that_is_not_there_is_named_precisely(
    decision: Callable[[], Decision], reason: Reason, detail: str
) -> None:
    found = {finding.reason: finding.detail for finding in decision().findings}
    assert detail in found.get(reason, ""), found


def test_path_lengths_are_kept() -> None:
    """RFC 5280 4.2.1.9, of the signing certificate as of an intermediate."""
    root = authority(name("R"), [(x509.BasicConstraints(ca=True, path_length=0), True)])
    below = ca(root, "S")
    limited = ca(ROOT, "S", path_length=0)
    lower = ca(limited, "T")
    for decision in (
        check(user(below, "A"), [root], sent=[below], most=2),
        check(user(lower, "A"), [ROOT], sent=[limited, lower], most=2),
    ):
        (finding,) = decision.findings
        assert finding.reason is Reason.CHAIN_INVALID
        assert "path length" in finding.detail


def test_expired_signing_certificate_stops_counting_at_once() -> None:
    """Without a reload, on the next request: the kept result has the window of all certificates."""
    short = authority(name("Root"), key=ROOT.key, validity=Validity.days(-1, 1))
    inside, after = Validity.days(0, 0.9).not_after, Validity.days(0, 1.1).not_after
    assert check(ALICE, [short], sent=[SUB], now=inside).findings == ()
    reasons = {f.reason for f in check(ALICE, [short], sent=[SUB], now=after).findings}
    assert reasons == {Reason.CERTIFICATE_EXPIRED}


def test_decision_names_the_signing_certificate_that_counted() -> None:
    """While a CA is replaced, one sees when the old one is no longer used."""
    decision = check(user(ROOT_2, "A"), [ROOT, ROOT_2])
    assert decision.path is not None
    assert decision.path.signing_certificate.label == str(ROOT_2.certificate.serial_number)


def signatures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts signature checks of path building."""
    made: list[int] = []
    original = paths.is_signed_by

    def counted(child: x509.Certificate, issuer: CaCertificate) -> bool:
        made.append(1)
        return original(child, issuer)

    monkeypatch.setattr(paths, "is_signed_by", counted)
    return made


def test_thousands_of_candidates_cost_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """One name, another key each: signatures are checked for so many and no more."""
    key = new_key()
    decoys = [
        ROOT.issue(name("Sub"), [(x509.BasicConstraints(ca=True, path_length=None), True)], key=key)
        for _ in range(500)
    ]
    made = signatures(monkeypatch)
    decision = check(ALICE, [ROOT], sent=decoys, most=8)
    assert {f.reason for f in decision.findings} <= {Reason.CHAIN_INVALID, Reason.SIGNATURE_INVALID}
    assert decision.findings
    assert len(made) <= paths.MAX_SIGNATURES


def test_loops_and_full_meshes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every CA signed by every other one: the ways through them are more than anybody counts."""
    keys = {f"Mesh {number}": new_key() for number in range(6)}
    nobody = new_key()
    mesh = [
        ca(Credential(authority(name(above), key=keys[above]).certificate, keys[above]), below,
           key=keys[below])
        for above in keys for below in keys if above != below
    ]  # fmt: skip
    leaf = user(Credential(authority(name("Mesh 0"), key=keys["Mesh 0"]).certificate,
                           keys["Mesh 0"]), "A")  # fmt: skip
    made = signatures(monkeypatch)
    decision = check(leaf, [authority(name("Root"), key=nobody)], sent=mesh, most=8)
    assert decision.findings
    assert len(made) <= paths.MAX_SIGNATURES


@pytest.mark.parametrize("constraint", ["permitted", "excluded"])
def test_signing_certificate_that_can_never_work_is_told(constraint: str) -> None:
    """DirectoryName constraints cannot be processed: nobody below them would ever pass."""
    subtrees = [x509.DirectoryName(name("X"))]
    given = x509.NameConstraints(
        subtrees if constraint == "permitted" else None,
        subtrees if constraint == "excluded" else None,
    )
    root = authority(name("R"), [
        (x509.BasicConstraints(ca=True, path_length=None), True), (given, True)])  # fmt: skip
    with pytest.raises(UnusableError, match="directoryName"):
        SigningCertificate.read(root.der)

"""What a certificate costs that was never seen: parsed, its path built, verified, decided."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from big_list import big_list
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from extauthz.accounts import Accounts
from extauthz.ca import CaCertificate
from extauthz.certificate import PeerCertificate
from extauthz.crl import Crl
from extauthz.decision import Claims, decide
from extauthz.demo.authority import Credential, authority, key_usage, name
from extauthz.evidence.source import Source
from extauthz.policy import Subscription
from extauthz.revocation import CrlSource, Revocation
from extauthz.trust import SigningCertificate, TrustAnchors

CERTIFICATES = 60
SOURCE = CrlSource("bench")
Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KINDS: dict[str, Callable[[], Key]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-4096": lambda: rsa.generate_private_key(65537, 4096),
}


class OneList:
    """A list that is known."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def crls(self, _: CrlSource, issuer: bytes) -> tuple[Crl, ...]:
        return self.source.by_issuer.get(issuer, ())

    def answered(self, _: object) -> None:
        return None


def chains() -> None:
    """By kind of key and by number of intermediates; the baseline is P-256 without any."""
    print("First sight of a certificate, ms CPU, by the number of intermediates")
    print(f"{'':24}{'0':>10}{'1':>10}{'2':>10}")
    for kind, new_key in KINDS.items():
        keys = [new_key() for _ in range(4)]
        cells = [f"{first_sight(keys, above) * 1e3:10.3f}" for above in range(3)]
        print(f"{kind:>24}{''.join(cells)}")
    print()


def lists() -> None:
    """P-256 without intermediates, by the entries of the CRL that is consulted."""
    print("First sight of a P-256 certificate, by the entries of the CRL that is looked up")
    keys = [KINDS["P-256"]() for _ in range(2)]
    without = first_sight(keys, 0)
    print(f"{'no revocation':>24}{without * 1e3:10.3f} ms CPU")
    for entries in (0, 10_000, 1_000_000):
        took = first_sight(keys, 0, entries)
        print(f"{entries:>16,} entries{took * 1e3:10.3f} ms CPU, {took / without:.2f} times that")
    print()


def first_sight(keys: list[Key], above: int, entries: int | None = None) -> float:
    """Seconds of CPU for one certificate; the median of several."""
    root = authority(name("Root"), key=keys[0])
    issuers = [root]
    for number in range(above):
        extensions = (
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (key_usage("key_cert_sign"), True),
        )
        issuers.append(issuers[-1].issue(name(f"Sub {number}"), extensions, key=keys[number + 1]))
    trust = TrustAnchors([SigningCertificate.read(root.der)], max_intermediates=above)
    revocation = None
    source = Source(SOURCE, frozenset([CaCertificate.read(root.der)]))
    if entries is not None:
        source.accept([Crl.read(big_list(root, entries))])
        revocation = Revocation(crls=(SOURCE,))
    evidence = OneList(source)
    subscription = Subscription(
        "s", (), trust, Accounts(), verify_email=False, revocation=revocation
    )
    chain = [issuer.der for issuer in issuers[1:]]
    leaves = [leaf(issuers[-1], keys[-1]).der for _ in range(CERTIFICATES)]
    now = datetime.now(UTC)
    took = []
    for der in leaves:
        began = time.process_time()
        peer = PeerCertificate.read(der, chain)
        assert isinstance(peer, PeerCertificate)
        decision = decide(subscription, Claims(), trust.verify(peer), now, evidence)
        took.append(time.process_time() - began)
        assert not decision.findings, decision.findings
    return statistics.median(took)


def leaf(issuer: Credential, key: object) -> Credential:
    extensions = (
        (x509.SubjectAlternativeName([x509.RFC822Name("alice@s0.example")]), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    )
    return issuer.issue(name("Alice"), extensions, key=key)  # type: ignore[arg-type]


def hostile() -> None:
    """The dearest chain that a client can send, against an honest one."""
    root, key = authority(name("Root")), ec.generate_private_key(ec.SECP256R1())
    ca = (x509.BasicConstraints(ca=True, path_length=None), True)
    decoys = [root.issue(name("Sub"), [ca], key=key).der for _ in range(500)]
    sub = root.issue(name("Sub"), [ca])
    trust = TrustAnchors([SigningCertificate.read(root.der)], max_intermediates=8)
    costs = []
    for chain in ([sub.der], decoys):
        peer = PeerCertificate.read(leaf(sub, key).der, chain)
        assert isinstance(peer, PeerCertificate)
        began = time.process_time()
        trust.verify(peer)
        costs.append(time.process_time() - began)
    print(
        f"500 CAs of one name and the wrong key: {costs[1] * 1e3:.1f} ms CPU,"
        f" {costs[1] / costs[0]:.0f} times an honest chain\n"
    )

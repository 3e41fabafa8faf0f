"""NIST's Public Key Interoperability Test Suite: 224 paths, with what RFC 5280 says of each.

`pkits.tsv` is the table of the PKITS document: the certificates and CRLs of each test, and the
expected result. No path that is invalid may pass. A path that is valid and refused all the same
is listed here with the reason that is given, so that no other one can join them unnoticed.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cryptography_vectors
import pytest

from extauthz.accounts import Accounts
from extauthz.ca import CaCertificate, UnusableError
from extauthz.certificate import PeerCertificate
from extauthz.crl import Crl, CrlError
from extauthz.evidence.source import Source
from extauthz.findings import Finding, Reason
from extauthz.inquiry import Answered, Inquiry, NotAnswered
from extauthz.policy import Subscription
from extauthz.revocation import CrlSource, Revocation, Scope
from extauthz.trust import SigningCertificate, TrustAnchors
from tests.asking import decided

DATA = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
SOURCE = CrlSource("PKITS")

POLICY_EXTENSIONS = (
    "4.9.1 4.9.2 4.9.4 4.9.6 4.10.1 4.10.3 4.10.5 4.10.6 4.10.9 4.10.11 4.10.12 4.10.13 4.10.14"
    " 4.11.2 4.11.7 4.12.2 4.12.7"
)
NAME_CONSTRAINTS = (
    "4.13.1 4.13.4 4.13.5 4.13.6 4.13.11 4.13.14 4.13.18 4.13.19 4.13.27 4.13.34 4.13.36"
)
PARTIAL_LISTS = (
    "4.14.1 4.14.4 4.14.5 4.14.7 4.14.18 4.14.19 4.14.22 4.14.24 4.14.25 4.14.28 4.14.29 4.14.30"
    " 4.14.33"
)
STRICTER: dict[str, Reason] = {
    # DSA is not accepted, over SHA-1 least of all.
    "4.1.4": Reason.CHAIN_INCOMPLETE,
    "4.1.5": Reason.CERTIFICATE_MALFORMED,
    # A GeneralizedTime before 2050 (RFC 5280 4.1.2.5 demands UTCTime).
    "4.2.4": Reason.CHAIN_INVALID,
    # Names of issuer and subject are compared octet by octet: by case, spaces and string type, too.
    **dict.fromkeys(["4.3.3", "4.3.4", "4.3.5", "4.3.10", "4.3.11"], Reason.CHAIN_INCOMPLETE),
    # A list with a negative serial number is not read.
    "4.4.14": Reason.REVOCATION_UNKNOWN,
    # A list counts for the key that signed the certificate, and for no other key of that name.
    "4.4.19": Reason.CHAIN_INCOMPLETE,
    **dict.fromkeys(["4.5.1", "4.5.3", "4.5.4", "4.5.6"], Reason.REVOCATION_UNKNOWN),
    # The user's certificate is a CA certificate.
    **dict.fromkeys(["4.6.8", "4.6.14", "4.14.13"], Reason.NOT_FOR_CLIENT_AUTH),
    # A self-issued certificate counts for a path length.
    **dict.fromkeys(["4.6.15", "4.6.17", "4.12.9"], Reason.CHAIN_INVALID),
    # Critical policyConstraints, policyMappings and inhibitAnyPolicy are not processed.
    **dict.fromkeys(POLICY_EXTENSIONS.split(), Reason.CHAIN_INVALID),
    # The table lacks a CA of this one's path; it maps policies besides.
    "4.11.4": Reason.CHAIN_INCOMPLETE,
    # Name constraints on directoryName and uniformResourceIdentifier are not processed.
    **dict.fromkeys(NAME_CONSTRAINTS.split(), Reason.CHAIN_INVALID),
    # Lists of one distribution point, of some reasons, and indirect ones are not read.
    **dict.fromkeys(PARTIAL_LISTS.split(), Reason.REVOCATION_UNKNOWN),
    # A delta adds revocations and never lifts one.
    "4.15.5": Reason.CERTIFICATE_REVOKED,
}


@dataclass(frozen=True)
class Row:
    """One test of the document."""

    id: str
    title: str
    expected: str
    end_entity: str
    ca_certificates: str
    crls: str


def rows() -> list[Row]:
    with (Path(__file__).parent / "pkits.tsv").open(newline="") as file:
        return [Row(**row) for row in csv.DictReader(file, delimiter="\t")]


ROWS = rows()
LEFT_OUT = {
    row.id: "the result depends on policy processing, which is not done"
    for row in ROWS
    if row.expected == "by-policy"
}


class Lists:
    """The lists of one test, as they are taken over from a directory."""

    def __init__(self, trust: TrustAnchors, files: Sequence[str]) -> None:
        self._source = Source(SOURCE, frozenset(trust.authorities))
        for file in files:
            try:
                self._source.accept([Crl.read((DATA / "crls" / file).read_bytes())])
            except CrlError:
                continue

    def crls(self, source: CrlSource, issuer: bytes) -> Sequence[Crl]:
        return self._source.by_issuer.get(issuer, ())

    def answered(self, inquiry: Inquiry) -> Answered | NotAnswered | None:
        return None


def authorities(files: Sequence[str]) -> list[CaCertificate]:
    """The CA certificates of a test; what can issue nothing is no CA."""
    found: list[CaCertificate] = []
    for file in files:
        try:
            found.append(CaCertificate.read((DATA / "certs" / file).read_bytes()))
        except UnusableError:
            continue
    return found


def reasons(row: Row) -> set[Reason]:
    root = (DATA / "certs" / "TrustAnchorRootCertificate.crt").read_bytes()
    issuers = authorities(row.ca_certificates.replace(",", " ").split())
    trust = TrustAnchors([SigningCertificate.read(root)], issuers, max_intermediates=8)
    lists = Lists(trust, ["TrustAnchorRootCRL.crl", *row.crls.replace(",", " ").split()])
    revocation = Revocation(scope=Scope.CHAIN, crls=(SOURCE,))
    subscription = Subscription(
        "s", (), trust, Accounts(), verify_email=False, revocation=revocation
    )
    peer = PeerCertificate.read((DATA / "certs" / row.end_entity).read_bytes())
    verified = peer if isinstance(peer, Finding) else trust.verify(peer)
    return {finding.reason for finding in decided(subscription, (), verified, NOW, lists).findings}


@pytest.mark.parametrize("row", [r for r in ROWS if r.expected == "invalid"], ids=lambda r: r.id)
def test_invalid_path_is_refused(row: Row) -> None:
    """No wrongly accepted case at all."""
    assert reasons(row), row.title


@pytest.mark.parametrize("row", [r for r in ROWS if r.expected == "valid"], ids=lambda r: r.id)
def test_valid_path_passes_unless_it_is_listed(row: Row) -> None:
    """What is refused beyond RFC 5280 is refused for the reason that is stated above."""
    found = reasons(row)
    assert STRICTER[row.id] in found if row.id in STRICTER else not found, (row.title, found)


def test_every_case_of_the_document_is_accounted_for() -> None:
    """Of 224 tests, those that are left out need policy processing."""
    assert len(ROWS) == 224
    assert len(LEFT_OUT) == 22
    assert STRICTER.keys() <= {row.id for row in ROWS if row.expected == "valid"}

"""Envoy's certificate header is read exactly as Envoy writes it, and in no other way."""

import hashlib
from contextlib import suppress
from itertools import count
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz import pem
from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import authority, name, user
from extauthz.findings import Finding, Reason
from extauthz.wire import xfcc

CA = authority(name("CA"))
ALICE, BOB = user(CA, "Alice", "alice@acme.example"), user(CA, "Bob", "bob@acme.example")
HASH = hashlib.sha256(ALICE.der).hexdigest()


def url(text: str) -> str:
    return quote(text, safe="")


def header(cert: str | None = ALICE.pem, chain: str | None = ALICE.pem + CA.pem) -> str:
    parts = [f"Hash={HASH}"]
    parts += [] if cert is None else [f'Cert="{url(cert)}"']
    parts += [] if chain is None else [f'Chain="{url(chain)}"']
    return ";".join(parts)


def reason(text: str) -> Reason | None:
    read = xfcc.read(text)
    return read.reason if isinstance(read, Finding) else None


@pytest.mark.parametrize("text", [
    header(), header(chain=None), header(cert=None), header().replace("Hash=", "hash="),
    header() + ";URI=spiffe://a;URI=spiffe://b;DNS=a.example;By=x;By=y",
    'Subject="CN=a\\"b,O=\\\\";' + header(),
    header().replace("%2B", "+"),  # base64's plus is a plus, not a space
    header(chain=ALICE.pem.replace("\n", "\r\n")),
])  # fmt: skip
def test_what_envoy_writes_is_read(text: str) -> None:
    """The peer certificate is the first of the chain; the rest is kept as the chain."""
    read = xfcc.read(text)
    assert isinstance(read, PeerCertificate)
    assert read.facts.fingerprint == HASH
    assert set(read.chain) <= {CA.der}


@pytest.mark.parametrize(("text", "expected"), [
    ("", Reason.CERTIFICATE_MISSING),
    (f"Hash={HASH}", Reason.CERTIFICATE_MISSING),
    ('By=x;Subject=""', Reason.CERTIFICATE_MISSING),
    (header() + "," + header(), Reason.CERTIFICATE_MALFORMED),
    (header() + ";" + header(), Reason.CERTIFICATE_MALFORMED),
    (header() + ";Cert=" + url(ALICE.pem), Reason.CERTIFICATE_MALFORMED),
    (header(cert=BOB.pem), Reason.CERTIFICATE_MALFORMED),
    (header(cert=BOB.pem, chain=None), Reason.CERTIFICATE_MALFORMED),
    (header(chain=BOB.pem + ALICE.pem), Reason.CERTIFICATE_MALFORMED),
    (header(cert=ALICE.pem + BOB.pem), Reason.CERTIFICATE_MALFORMED),
    (header(cert=ALICE.key_pem), Reason.CERTIFICATE_MALFORMED),
    (header(cert=ALICE.pem + ALICE.key_pem), Reason.CERTIFICATE_MALFORMED),
    (header(cert=ALICE.pem + "x"), Reason.CERTIFICATE_MALFORMED),
    (header(cert="x" + ALICE.pem), Reason.CERTIFICATE_MALFORMED),
    (header(cert=ALICE.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
     Reason.CERTIFICATE_MALFORMED),
    (header(cert=""), Reason.CERTIFICATE_MALFORMED),
    (header() + ";", Reason.CERTIFICATE_MALFORMED),
    (";" + header(), Reason.CERTIFICATE_MALFORMED),
    (header() + " ", Reason.CERTIFICATE_MALFORMED),
    (header()[:-1], Reason.CERTIFICATE_MALFORMED),
    ('Cert="' + "\\" * 1001, Reason.CERTIFICATE_MALFORMED),
    ('{"cert": "x"}', Reason.CERTIFICATE_MALFORMED),
    ("[]", Reason.CERTIFICATE_MALFORMED),
    ("Cert=%zz", Reason.CERTIFICATE_MALFORMED),
    ("Cert=%ff", Reason.CERTIFICATE_MALFORMED),
    ("Cert=\udcff", Reason.CERTIFICATE_MALFORMED),
    ("x" * (xfcc.MAX_LENGTH + 1), Reason.CERTIFICATE_MALFORMED),
    (header(chain=ALICE.pem.replace("A", " ", 1)), Reason.CERTIFICATE_MALFORMED),
], ids=count(1))  # fmt: skip
def test_what_envoy_would_not_write_is_refused(text: str, expected: Reason) -> None:
    """Envoy 6038, CVE-2023-2422 (Keycloak): two of anything is a deny, and so is a wrong leaf."""
    assert reason(text) is expected


def test_fields_cannot_be_smuggled_in_a_quoted_subject() -> None:
    """A subject that holds a whole element stays a subject."""
    smuggled = f'Subject="O=x\\";Cert=\\"{url(BOB.pem)}";' + header()
    read = xfcc.read(smuggled)
    assert isinstance(read, PeerCertificate)
    assert read.facts.fingerprint == HASH


@given(st.one_of(
    st.text(max_size=200),
    st.text('";,=\\ CertChainHash%2B', max_size=200),
    st.tuples(st.integers(0, len(header()) - 1), st.characters()).map(
        lambda change: header()[: change[0]] + change[1] + header()[change[0] + 1 :]),
))  # fmt: skip
def test_any_text_is_read_without_error_and_gives_no_certificate_that_is_not_in_it(
    text: str,
) -> None:
    """A changed header is refused, or says the very same certificate."""
    read = xfcc.read(text)
    assert isinstance(read, Finding) or read.facts.fingerprint == HASH


@given(st.text(max_size=300))
def test_any_text_as_pem_is_blocks_or_an_error(text: str) -> None:
    """PEM that is not PEM raises PemError and nothing else."""
    for reader in (pem.certificates_only, pem.in_file):
        with suppress(pem.PemError):
            assert isinstance(reader(text), list)

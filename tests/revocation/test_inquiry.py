"""Which responder is asked about a certificate."""

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from extauthz.certificate import PeerCertificate
from extauthz.demo.authority import authority, name
from extauthz.inquiry import OcspPolicy
from extauthz.trust import Link, SigningCertificate, TrustAnchors

ROOT = authority(name("Root"))


def link(*responders: str) -> Link:
    """The certificate of a user that names these."""
    access = x509.AuthorityInformationAccess(
        [x509.AccessDescription(Access.OCSP, x509.UniformResourceIdentifier(url))
         for url in responders]
    )  # fmt: skip
    peer = PeerCertificate.read(ROOT.issue(name("Alice"), [(access, False)]).der)
    assert isinstance(peer, PeerCertificate)
    trust = TrustAnchors([SigningCertificate.read(ROOT.der)], [], max_intermediates=0)
    return trust.verify(peer).paths[0].links[0]


@pytest.mark.parametrize(("url", "is_asked"), [
    ("http://ocsp.acme.example/", True),
    ("http://ocsp.acme.example/path?query", True),
    ("https://OCSP.acme.example/", True),
    ("http://other.example:8080/", True),
    ("http://other.example/", False),
    ("http://ocsp.acme.example:8080/", False),
    ("http://ocsp.acme.example@evil.example/", False),
    ("http://evil.example/ocsp.acme.example", False),
    ("http://user@ocsp.acme.example/", False),
    ("http://ocsp.acme.example.evil.example/", False),
    ("http://169.254.169.254/", False),
    ("ftp://ocsp.acme.example/", False),
    ("file:///etc/passwd", False),
    ("ldap://ocsp.acme.example/", False),
    ("http://[::1/", False),
    ("http://ocsp.acme.example:99999/", False),
    ("", False),
])  # fmt: skip
def test_responder_of_a_certificate_is_asked_only_where_the_policy_allows_its_host(
    url: str,
    is_asked: bool,  # noqa: FBT001
) -> None:
    """A URL in a certificate must not become a request of ours (GitHub, 2023)."""
    policy = OcspPolicy(None, frozenset(["ocsp.acme.example", "other.example:8080"]))
    inquiry = policy.inquiry(link(url))
    assert (None if inquiry is None else inquiry.responder) == (url if is_asked else None)


def test_first_responder_that_the_policy_allows_is_asked() -> None:
    policy = OcspPolicy(None, frozenset(["b.example", "c.example"]))
    asked = link("http://a.example/", "http://b.example/", "http://c.example/")
    inquiry = policy.inquiry(asked)
    assert inquiry is not None
    assert inquiry.responder == "http://b.example/"
    assert inquiry.question.serial == asked.serial


def test_responder_of_the_policy_goes_before_that_of_the_certificate() -> None:
    policy = OcspPolicy("http://ours.example/", frozenset(["a.example"]))
    inquiry = policy.inquiry(link("http://a.example/"))
    assert inquiry is not None
    assert inquiry.responder == "http://ours.example/"

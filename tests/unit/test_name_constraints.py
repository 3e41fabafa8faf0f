"""Name constraints, wherever the name stands."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from extauthz.demo.authority import (
    Credential,
    authority,
    key_usage,
    name,
    user,
)
from extauthz.findings import Reason
from tests.profiles import BASIC_CA, SMTP_UTF8, UPN, findings, other_name, san


def constrained(
    permitted: list[x509.GeneralName] | None = None, excluded: list[x509.GeneralName] | None = None
) -> Credential:
    constraints = x509.NameConstraints(permitted, excluded)
    return authority(
        name("NC"), [BASIC_CA, (key_usage("key_cert_sign"), True), (constraints, True)]
    )


ACME_ONLY = constrained([x509.RFC822Name("acme.example")])
NOT_BANK = constrained(None, [x509.RFC822Name("bank.example")])
BELOW_ACME = constrained([x509.RFC822Name(".acme.example")])
ALICE_ONLY = constrained([x509.RFC822Name("alice@acme.example")])
SEVERAL = constrained([x509.RFC822Name(n) for n in ("a.example", "b.example", "c.example")])
UNREADABLE = constrained(None, [x509.RFC822Name("ceo@bank.example.")])
URI_ONLY = constrained([x509.UniformResourceIdentifier(".acme.example")])
UPN_ONLY = constrained([other_name(UPN, "acme.example")])


def in_subject(issuer: Credential, email: str) -> Credential:
    return issuer.issue(name("A", email=email))


CONSTRAINED: dict[str, tuple[Credential, Credential, bool]] = {
    "in the subject, permitted": (in_subject(ACME_ONLY, "a@acme.example"), ACME_ONLY, True),
    "in the subject, not permitted": (in_subject(ACME_ONLY, "a@evil.example"), ACME_ONLY, False),
    "in the subject, excluded": (in_subject(NOT_BANK, "ceo@bank.example"), NOT_BANK, False),
    "in the subject, excluded, upper case": (
        in_subject(NOT_BANK, "ceo@BANK.example"), NOT_BANK, False),
    "in the subject, trailing dot": (in_subject(NOT_BANK, "ceo@bank.example."), NOT_BANK, False),
    "in the subject, no address": (in_subject(NOT_BANK, "ceo"), NOT_BANK, False),
    "in the subject, two": (
        NOT_BANK.issue(x509.Name([
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@ok.example"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "ceo@bank.example")])), NOT_BANK, False),
    "in the subject, not permitted, beside one that is": (
        ACME_ONLY.issue(name("A", email="a@evil.example"),
                        [san(x509.RFC822Name("a@acme.example"))]), ACME_ONLY, False),
    "in the subject, host below": (
        in_subject(ACME_ONLY, "a@mail.acme.example"), ACME_ONLY, False),
    "below a domain": (in_subject(BELOW_ACME, "a@mail.acme.example"), BELOW_ACME, True),
    "below a domain, itself": (in_subject(BELOW_ACME, "a@acme.example"), BELOW_ACME, False),
    "one mailbox": (in_subject(ALICE_ONLY, "alice@acme.example"), ALICE_ONLY, True),
    "one mailbox, another": (in_subject(ALICE_ONLY, "bob@acme.example"), ALICE_ONLY, False),
    "first of several": (user(SEVERAL, "A", "x@a.example"), SEVERAL, True),
    "last of several": (in_subject(SEVERAL, "x@c.example"), SEVERAL, True),
    "none of several": (in_subject(SEVERAL, "x@d.example"), SEVERAL, False),
    "rfc822Name, not permitted": (user(ACME_ONLY, "A", "a@evil.example"), ACME_ONLY, False),
    "SmtpUTF8Mailbox, permitted": (
        ACME_ONLY.issue(name("A"), [san(other_name(SMTP_UTF8, "ö@acme.example"))]), ACME_ONLY,
        True),
    "SmtpUTF8Mailbox, not permitted": (
        ACME_ONLY.issue(name("A"), [san(other_name(SMTP_UTF8, "ö@evil.example"))]), ACME_ONLY,
        False),
    "excluded by what cannot be read": (
        in_subject(UNREADABLE, "a@acme.example"), UNREADABLE, False),
    "URI constrained, no URI": (user(URI_ONLY, "A", "a@acme.example"), URI_ONLY, True),
    "URI constrained, a URI": (
        URI_ONLY.issue(name("A"), [san(x509.UniformResourceIdentifier("https://x.acme.example/"))]),
        URI_ONLY, False),
    "UPN constrained, a UPN": (
        UPN_ONLY.issue(name("A"), [san(other_name(UPN, "a@acme.example"))]), UPN_ONLY, False),
    "UPN constrained, no UPN": (user(UPN_ONLY, "A", "a@acme.example"), UPN_ONLY, True),
}  # fmt: skip


@pytest.mark.parametrize(("leaf", "anchor", "passes"), CONSTRAINED.values(), ids=CONSTRAINED)
def test_name_constraints_hold_wherever_the_name_stands(
    leaf: Credential,
    anchor: Credential,
    passes: bool,  # noqa: FBT001
) -> None:
    """RFC 5280 4.2.1.10, RFC 9598 6; Go and Bouncy Castle let the last of these pass."""
    found = {finding.reason for finding in findings(leaf, anchor=anchor)}
    assert found == (set() if passes else {Reason.CHAIN_INVALID})

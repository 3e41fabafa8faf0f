"""What a subscription requires of certificates besides."""

from datetime import timedelta
from types import MappingProxyType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from extauthz.demo.authority import (
    Credential,
    Extension,
    Validity,
    key_usage,
    name,
    user,
)
from extauthz.findings import Reason
from extauthz.requirements import Requirements
from tests.profiles import (
    BASIC_CA,
    CA,
    MARK,
    POLICY,
    findings,
    policies,
    san,
    subject,
)

ALICE = CA.issue(
    subject(ORGANIZATION_NAME="Acme", ORGANIZATIONAL_UNIT_NAME="Sales", COMMON_NAME="Alice"),
    [
        san(x509.RFC822Name("alice@acme.example")), policies(POLICY),
        (x509.UnrecognizedExtension(MARK, b"\x0c\x04acme"), False),
    ],
)  # fmt: skip
PLAIN = CA.issue(name("Plain"))
RSA_3072 = CA.issue(name("R"), key=rsa.generate_private_key(65537, 3072))
ED25519 = CA.issue(name("E"), key=ed25519.Ed25519PrivateKey.generate())
YEAR = CA.issue(name("Y"), validity=Validity.days(-1, 364))
TWO_DOMAINS = user(CA, "Two", "a@acme.example", "a@other.example")
SUBDOMAIN = user(CA, "Sub", "a@mail.acme.example")


def one_of(**given: str) -> Requirements:
    return Requirements(**{key: frozenset([value]) for key, value in given.items()})  # type: ignore[arg-type]


REQUIRED: dict[str, tuple[Credential, Requirements, str | None]] = {
    "organization": (ALICE, one_of(organizations="Acme"), None),
    "organization, another": (ALICE, one_of(organizations="ACME"), "organization: "),
    "organization, none": (PLAIN, one_of(organizations="Acme"), "organization: "),
    "unit": (ALICE, one_of(organizational_units="Sales"), None),
    "unit, another": (ALICE, one_of(organizational_units="IT"), "organizational_unit: "),
    "policy": (ALICE, one_of(certificate_policies=POLICY.dotted_string), None),
    "policy, none": (PLAIN, one_of(certificate_policies=POLICY.dotted_string),
                     "certificate_policies: "),
    "policy, any": (CA.issue(name("A"), [policies(x509.ObjectIdentifier("2.5.29.32.0"))]),
                    one_of(certificate_policies=POLICY.dotted_string), "certificate_policies: "),
    "domain": (ALICE, one_of(email_domains="acme.example"), None),
    "domain, another": (ALICE, one_of(email_domains="other.example"), "email_domains: "),
    "domain, none": (PLAIN, one_of(email_domains="acme.example"), "email_domains: "),
    "domain, one of two": (TWO_DOMAINS, one_of(email_domains="acme.example"), "email_domains: "),
    "domain below": (SUBDOMAIN, one_of(email_domains="acme.example"), "email_domains: "),
    "key P-256": (PLAIN, one_of(key_types="p-256"), None),
    "key P-256, not RSA": (PLAIN, one_of(key_types="rsa"), "key_types: its key is 'p-256'"),
    "key RSA": (RSA_3072, one_of(key_types="rsa"), None),
    "key RSA-3072": (RSA_3072, one_of(key_types="rsa-3072"), None),
    "key RSA-3072, not 4096": (RSA_3072, one_of(key_types="rsa-4096"), "key_types: "),
    "key Ed25519": (ED25519, one_of(key_types="ed25519"), None),
    "lifetime": (YEAR, Requirements(max_lifetime=timedelta(days=365)), None),
    "lifetime, too long": (YEAR, Requirements(max_lifetime=timedelta(days=364)),
                           "max_lifetime_days: it is valid for 365 days"),
    "extension": (ALICE, Requirements(extensions=MappingProxyType(
        {MARK.dotted_string: b"\x0c\x04acme"})), None),
    "extension, whatever it says": (
        ALICE, Requirements(extensions=MappingProxyType({MARK.dotted_string: None})), None),
    "extension, another value": (
        ALICE, Requirements(extensions=MappingProxyType({MARK.dotted_string: b"\x05\x00"})),
        "extensions: its extension 1.3.6.1.4.1.99999.1 is 0c0461636d65"),
    "extension, none": (
        PLAIN, Requirements(extensions=MappingProxyType({MARK.dotted_string: None})),
        "extensions: it has no extension"),
}  # fmt: skip


@pytest.mark.parametrize(("leaf", "requirements", "unmet"), REQUIRED.values(), ids=REQUIRED)
def test_requirement_is_met_or_named(
    leaf: Credential, requirements: Requirements, unmet: str | None
) -> None:
    found = findings(leaf, requirements)
    if unmet is None:
        assert found == []
    else:
        (finding,) = found
        assert finding.reason is Reason.REQUIREMENT_NOT_MET
        assert finding.detail.startswith(unmet)


def test_each_requirement_that_fails_is_a_finding_of_its_own() -> None:
    required = Requirements(
        organizations=frozenset(["X"]), key_types=frozenset(["rsa"]),
        max_lifetime=timedelta(days=1),
    )  # fmt: skip
    assert len(findings(PLAIN, required)) == 3


@pytest.mark.parametrize(
    ("above", "passes"),
    [
        ((policies(POLICY),), True),
        ((policies(x509.ObjectIdentifier("2.5.29.32.0")),), True),
        ((), False),
        ((policies(MARK),), False),
        ((policies(POLICY), (x509.PolicyConstraints(0, None), False)), False),
        (
            (
                policies(POLICY),
                (
                    x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), b"\x30\x00"),
                    False,
                ),
            ),
            False,
        ),
    ],
    ids=["asserted", "any", "none", "another", "constrained", "mapped"],
)
def test_policy_must_be_asserted_all_along_the_path(
    above: tuple[Extension, ...],
    passes: bool,  # noqa: FBT001
) -> None:
    """A sub-CA that may not issue for a policy cannot give it to its users."""
    sub = CA.issue(name("Sub"), [BASIC_CA, (key_usage("key_cert_sign"), True), *above])
    leaf = sub.issue(name("A"), [policies(POLICY)])
    required = one_of(certificate_policies=POLICY.dotted_string)
    assert bool(findings(leaf, required, issuers=(sub,))) is not passes

"""Chains, requirements, identity and revocation as the policy file says them."""

from datetime import timedelta

import pytest

from extauthz.accounts import Accounts
from extauthz.identity import DistinguishedName, IdentityKind, PrincipalName
from extauthz.inquiry import OcspPolicy
from extauthz.ocsp import CertIdHash
from extauthz.policy import Subscription
from extauthz.policyfile.problems import Severity
from extauthz.policyfile.schema import PolicyModel
from extauthz.requirements import KEY_TYPES
from extauthz.revocation import Blocked, CrlSource, Revocation, Scope
from tests.policyfile.conftest import EXPIRED, Workspace, policy

FINGERPRINT = ":".join(["AB"] * 32)


def subscription(workspace: Workspace, text: str) -> Subscription:
    loaded = workspace.load(text)
    assert loaded.policy is not None, loaded.problems
    return loaded.policy.subscriptions["acme"]


def test_everything_about_revocation_is_understood(workspace: Workspace) -> None:
    given = subscription(workspace, policy(more=f"""\
    revocation:
      require: chain
      if_unknown: allow
      crl: [acme.crl, crls/, "https://pki.acme.example/acme.crl"]
      refresh_seconds: 60
      ca_file: widget-ca.pem
      ocsp:
        from_certificate: true
        allowed_hosts: [OCSP.acme.example, "ocsp2.acme.example:8080"]
        cert_id_hash: sha256
        require_nonce: true
        max_age_seconds: 600
      blocked:
        fingerprints: ["{FINGERPRINT}"]
        serials: ["01:A1"]
"""))  # fmt: skip
    ca_file = str(workspace.directory / "widget-ca.pem")
    assert given.revocation == Revocation(
        scope=Scope.CHAIN,
        allow_unknown=True,
        crls=(
            CrlSource(str(workspace.directory / "acme.crl")),
            CrlSource(str(workspace.directory / "crls")),
            CrlSource("https://pki.acme.example/acme.crl", ca_file, timedelta(seconds=60)),
        ),
        ocsp=OcspPolicy(
            None,
            frozenset(["ocsp.acme.example", "ocsp2.acme.example:8080"]),
            CertIdHash.SHA256,
            require_nonce=True,
            max_age=timedelta(seconds=600),
            ca_file=ca_file,
        ),
        blocked=Blocked(frozenset(["ab" * 32]), frozenset([0x1A1])),
    )


def test_defaults_of_revocation_are_the_strict_ones(workspace: Workspace) -> None:
    assert subscription(workspace, policy()).revocation is None
    given = subscription(workspace, policy(more="    revocation: {crl: [acme.crl]}\n")).revocation
    assert given is not None
    assert (given.scope, given.allow_unknown) == (Scope.LEAF, False)


def test_everything_about_chains_and_requirements_is_understood(workspace: Workspace) -> None:
    given = subscription(workspace, policy(certificates="[acme-ca.pem, bundle.pem]", more="""\
    max_intermediates: 2
    intermediates: [widget-ca.pem]
    any_extended_key_usage: true
    require:
      organization: [Acme]
      organizational_unit: [Sales, IT]
      certificate_policies: [1.3.6.1.4.1.99999.2]
      email_domains: [ACME.example, bücher.example]
      key_types: [p-256, rsa-3072]
      max_lifetime_days: 400
      extensions: {1.3.6.1.4.1.99999.1: "0c:04:61:63:6d:65", 1.3.6.1.4.1.99999.3: null}
"""))  # fmt: skip
    assert given.trust.max_intermediates == 2
    assert [ca.facts.subject for ca in given.trust.intermediates] == ["CN=Widget CA"]
    required = given.requirements
    assert required.organizations == {"Acme"}
    assert required.organizational_units == {"Sales", "IT"}
    assert required.certificate_policies == {"1.3.6.1.4.1.99999.2"}
    assert required.email_domains == {"acme.example", "xn--bcher-kva.example"}
    assert required.key_types == {"p-256", "rsa-3072"}
    assert required.max_lifetime == timedelta(days=400)
    assert required.extensions == {
        "1.3.6.1.4.1.99999.1": b"\x0c\x04acme", "1.3.6.1.4.1.99999.3": None,
    }  # fmt: skip
    assert required.any_extended_key_usage


def test_signing_certificate_is_labelled_with_its_file(workspace: Workspace) -> None:
    """Several in one file have numbers; one that is there twice counts once, and is told."""
    loaded = workspace.load(policy(certificates="[widget-ca.pem, bundle.pem]"))
    assert loaded.policy is not None
    given = loaded.policy.subscriptions["acme"].trust.signing_certificates
    assert [(each.label, each.facts.subject) for each in given] == [
        ("widget-ca.pem", "CN=Widget CA"), ("bundle.pem", "CN=Acme CA"),
    ]  # fmt: skip
    (problem,) = loaded.problems
    assert problem.severity is Severity.WARNING
    assert "is there already" in problem.message


@pytest.mark.parametrize(("kind", "written", "expected"), [
    ("upn", "Alice@corp.example", PrincipalName("alice@corp.example")),
    ("subject", "CN=Alice,O=Acme", DistinguishedName.parse("CN=alice,O=ACME")),
])  # fmt: skip
def test_account_is_of_the_kind_that_identity_says(
    workspace: Workspace, kind: str, written: str, expected: object
) -> None:
    given = subscription(
        workspace, policy(accounts=f'{{alice: "{written}"}}', more=f"    identity: {kind}\n")
    )
    assert isinstance(given.accounts, Accounts)
    alice = given.accounts.named("alice")
    assert alice is not None
    assert given.identity is IdentityKind(kind)
    assert alice.identities == (expected,)


OCSP = "    revocation: {ocsp: "
MISTAKES: dict[str, tuple[str, str]] = {
    "account that is no UPN": (
        policy(accounts="{alice: alice}", more="    identity: upn\n"),
        ":5:23: error: 'alice' is not a userPrincipalName; write it like alice@corp.example.com"),
    "account that is no subject": (
        policy(accounts="{alice: alice}", more="    identity: subject\n"),
        (":5:23: error: 'alice' is not a distinguished name; write it as the decision log does:"
        " 'CN=Alice,O=Acme', the most specific part first")),
    "account that is no URI": (
        policy(accounts="{alice: alice}", more="    identity: san_uri\n"),
        ":5:23: error: 'alice' is not a URI; write it like spiffe://acme.example/alice"),
    "identity of another kind": (
        policy(more="    identity: mail\n"),
        ":6:15: error: 'identity' cannot be 'mail'; did you mean 'email'?"),
    "too many intermediates": (
        policy(more="    max_intermediates: 9\n"),
        ":6:24: error: 'max_intermediates' cannot be 9; it should be less than or equal to 8"),
    "intermediates without effect": (
        policy(more="    intermediates: [widget-ca.pem]\n"),
        (":6:5: warning: `intermediates` has no effect: `max_intermediates` is 0; say how many may"
        " stand in a chain, such as `max_intermediates: 1`")),
    "intermediate that is no CA": (
        policy(more="    max_intermediates: 1\n    intermediates: [leaf.pem]\n"),
        (":7:21: error: 'leaf.pem' holds a certificate that cannot issue certificates: it is not a"
        " CA certificate (its basicConstraints do not say CA:TRUE); name certificates of CAs that"
        " issue users' certificates")),
    "intermediate that has expired": (
        policy(more="    max_intermediates: 1\n    intermediates: [expired.pem]\n"),
        (f":7:21: warning: the intermediate certificate 'CN=Old CA' of 'expired.pem' expired at"
        f" {EXPIRED.isoformat()}; remove it, or name the one that replaces it")),
    "misspelt requirement": (
        policy(more="    require: {organisation: [Acme]}\n"),
        ":6:15: error: unknown key 'organisation'; did you mean 'organization'?"),
    "policy that is no OID": (
        policy(more="    require: {certificate_policies: [anyPolicy]}\n"),
        (":6:38: error: 'anyPolicy' is not an object identifier; write it in dotted form, like"
        " 1.3.6.1.4.1.99999.1")),
    "extension that is no OID": (
        policy(more="    require: {extensions: {mark: null}}\n"),
        (":6:28: error: 'mark' is not an object identifier; write it in dotted form, like"
        " 1.3.6.1.4.1.99999.1")),
    "extension that is no DER": (
        policy(more="    require: {extensions: {1.2.3: acme}}\n"),
        (":6:35: error: 'acme' is not hexadecimal; write the DER of the extension's value, like"
        " '0c0461636d65'")),
    "address for a domain": (
        policy(more="    require: {email_domains: [a@acme.example]}\n"),
        (":6:31: error: 'a@acme.example' is not a domain; write the domain alone, like"
        " acme.example")),
    "unknown kind of key": (
        policy(more="    require: {key_types: [p256]}\n"),
        ":6:27: error: the value cannot be 'p256'; did you mean 'p-256'?"),
    "lifetime of nothing": (
        policy(more="    require: {max_lifetime_days: 0}\n"),
        ":6:34: error: 'max_lifetime_days' cannot be 0; it should be greater than or equal to 1"),
    "revocation that says nothing": (
        policy(more="    revocation: {if_unknown: allow}\n"),
        ":6:17: error: `revocation` says nothing; give `crl`, `ocsp` or `blocked`"),
    "misspelt setting of revocation": (
        policy(more="    revocation: {crl: [a], if_unkown: allow}\n"),
        ":6:28: error: unknown key 'if_unkown'; did you mean 'if_unknown'?"),
    "URL of LDAP": (
        policy(more="    revocation: {crl: ['ldap://pki.acme.example/acme']}\n"),
        (":6:24: error: 'ldap://pki.acme.example/acme' is not an http or https URL; write it like"
        " http://pki.acme.example/acme.crl")),
    "URL with a user name": (
        policy(more="    revocation: {crl: ['http://me:secret@pki.example/']}\n"),
        ":6:24: error: a URL with a user name is not supported; leave out `user@`"),
    "URL that is broken": (
        policy(more="    revocation: {crl: ['http://[::1/']}\n"),
        (":6:24: error: 'http://[::1/' is not an http or https URL; write it like"
        " http://pki.acme.example/acme.crl")),
    "no responder": (
        policy(more=OCSP + "{max_age_seconds: 5}}\n"),
        (":6:24: error: either `responder` or `from_certificate: true` must be given; give the URL"
        " of the responder, or let certificates name it")),
    "two responders": (
        policy(more=OCSP + "{responder: 'http://a/', from_certificate: true,"
                           " allowed_hosts: [a]}}\n"),
        (":6:24: error: either `responder` or `from_certificate: true` must be given; give the URL"
        " of the responder, or let certificates name it")),
    "any responder of a certificate": (
        policy(more=OCSP + "{from_certificate: true}}\n"),
        (":6:24: error: `from_certificate` without `allowed_hosts` would ask nobody; list the hosts"
        " of the responders that may be asked")),
    "allowed host with a scheme": (
        policy(more=OCSP + "{from_certificate: true, allowed_hosts: ['http://a/']}}\n"),
        (":6:65: error: 'http://a/' is not a host; write a host or host:port, without scheme and"
        " path")),
    "fingerprint of SHA-1": (
        policy(more="    revocation: {blocked: {fingerprints: [abcd]}}\n"),
        (":6:43: error: 'abcd' is not a SHA-256 fingerprint; write the 64 digits of"
        " `openssl x509 -noout -fingerprint -sha256`")),
    "serial number without quotes": (
        policy(more="    revocation: {blocked: {serials: [1234]}}\n"),
        ":6:38: error: the value should be text; put the value in quotes"),
    "serial number that is none": (
        policy(more="    revocation: {blocked: {serials: [0xff]}}\n"),
        (":6:38: error: '0xff' is not a serial number; write it in hexadecimal, as"
        " `openssl x509 -noout -serial` does")),
    "bundle that is not there": (
        policy(more="    revocation: {crl: ['https://a/'], ca_file: nowhere.pem}\n"),
        (":6:48: error: 'nowhere.pem' cannot be read: No such file or directory; check the path,"
        " and that extauthz may read it")),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_named_with_its_place_and_what_would_be_right(
    workspace: Workspace, text: str, expected: str
) -> None:
    assert workspace.problems(text) == [expected]


def test_choices_of_the_file_are_those_of_the_core() -> None:
    """Written out for the JSON Schema, and the same."""
    properties = PolicyModel.model_json_schema()["$defs"]
    kinds = properties["RequireModel"]["properties"]["key_types"]["items"]["enum"]
    assert tuple(kinds) == KEY_TYPES
    identities = properties["SubscriptionModel"]["properties"]["identity"]["enum"]
    assert identities == list(IdentityKind)
    hashes = properties["OcspModel"]["properties"]["cert_id_hash"]["enum"]
    assert hashes == list(CertIdHash)
    scopes = properties["RevocationModel"]["properties"]["require"]["enum"]
    assert scopes == list(Scope)

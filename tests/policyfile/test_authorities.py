"""The CA certificates that a policy names: what is wrong with their files, and their dates."""

from datetime import UTC, datetime, timedelta

import pytest

from extauthz.policyfile.problems import Severity
from tests.policyfile.conftest import Workspace, policy

PEM_PLACE = ":4:28: error:"
NAME_A_CA = "name the CA certificate that signs the users' certificates"

MISTAKES: dict[str, tuple[str, list[str]]] = {
    "no such file": (
        policy(certificates="[acme.pem]"),
        [
            (f"{PEM_PLACE} 'acme.pem' cannot be read: No such file or directory; check the path,"
            " and that extauthz may read it")
        ],
    ),
    "path through a file": (
        policy(certificates="[acme-ca.pem/x]"),
        [
            (f"{PEM_PLACE} 'acme-ca.pem/x' cannot be read: Not a directory; check the path, and"
            " that extauthz may read it")
        ],
    ),
    "path with a NUL": (
        policy(certificates='["a\\0b"]'),
        [
            (f"{PEM_PLACE} 'a\\x00b' cannot be read: embedded null byte; check the path, and that"
            " extauthz may read it")
        ],
    ),
    "PEM text for a path": (
        policy(certificates='["-----BEGIN PRIVATE KEY-----\\nMIIsecret"]'),
        [
            (f"{PEM_PLACE} a PEM text stands here, and not the name of a file; save it in a file,"
            " and name that one")
        ],
    ),
    "directory": (
        policy(certificates="[.]"),
        [f"{PEM_PLACE} '.' is a directory; name a file"],
    ),
    "endless device": (
        policy(certificates="[/dev/zero]"),
        [f"{PEM_PLACE} '/dev/zero' is not a regular file; name a file"],
    ),
    "huge file": (
        policy(certificates="[huge.pem]"),
        [
            f"{PEM_PLACE} 'huge.pem' is larger than 1048576 octets; check that it is the right file"
        ],
    ),
    "DER": (
        policy(certificates="[der.pem]"),
        [
            (f"{PEM_PLACE} 'der.pem' is not text in UTF-8; if it is DER, `openssl x509 -inform DER"
            " -in FILE` writes it as PEM")
        ],
    ),
    "empty PEM file": (
        policy(certificates="[empty.pem]"),
        [
            f"{PEM_PLACE} 'empty.pem' holds no PEM block; name a PEM file with CA certificates"
        ],
    ),
    "broken base64": (
        policy(certificates="[no-base64.pem]"),
        [
            (f"{PEM_PLACE} 'no-base64.pem' is broken: a PEM block is not base64: Only base64 data"
            " is allowed; write the PEM file again")
        ],
    ),
    "PEM cut off": (
        policy(certificates="[cut-off.pem]"),
        [
            (f"{PEM_PLACE} 'cut-off.pem' is broken: a PEM block begins but does not end, or its"
            " first and last line differ; write the PEM file again")
        ],
    ),
    "private key beside the certificate": (
        policy(certificates="[with-key.pem]"),
        [
            (f"{PEM_PLACE} 'with-key.pem' holds a private key; hand in the certificate alone; a"
            " signing key stays with the CA")
        ],
    ),
    "encrypted private key": (
        policy(certificates="[with-encrypted-key.pem]"),
        [
            (f"{PEM_PLACE} 'with-encrypted-key.pem' holds a private key; hand in the certificate"
            " alone; a signing key stays with the CA")
        ],
    ),
    "private key cut off": (
        policy(certificates="[with-broken-key.pem]"),
        [
            (f"{PEM_PLACE} 'with-broken-key.pem' holds a private key; hand in the certificate"
            " alone; a signing key stays with the CA")
        ],
    ),
    "private key alone": (
        policy(certificates="[key-alone.pem]"),
        [
            (f"{PEM_PLACE} 'key-alone.pem' holds a private key; hand in the certificate alone; a"
            " signing key stays with the CA")
        ],
    ),
    "something else in the PEM file": (
        policy(certificates="[with-crl.pem]"),
        [
            (f"{PEM_PLACE} 'with-crl.pem' holds 'X509 CRL', not a certificate (block 2 of 2); leave"
            " it out: the file is to hold CA certificates alone")
        ],
    ),
    "certificate that is no CA": (
        policy(certificates="[leaf.pem]"),
        [
            (f"{PEM_PLACE} 'leaf.pem' holds a certificate that cannot sign users' certificates: it"
            " is not a CA certificate (its basicConstraints do not say CA:TRUE);"
            f" {NAME_A_CA}")
        ],
    ),
    "CA that may not sign certificates": (
        policy(certificates="[no-signer.pem]"),
        [
            (f"{PEM_PLACE} 'no-signer.pem' holds a certificate that cannot sign users'"
            f" certificates: its key usage lacks keyCertSign; {NAME_A_CA}")
        ],
    ),
    "weak CA": (
        policy(certificates="[weak.pem]"),
        [
            (f"{PEM_PLACE} 'weak.pem' holds a certificate that cannot sign users' certificates: its"
            f" RSA key has 1024 bits, fewer than 2048; {NAME_A_CA}")
        ],
    ),
    "several bad certificates in one file": (
        policy(certificates="[two-bad.pem]"),
        [
            (f"{PEM_PLACE} 'two-bad.pem' holds a certificate that cannot sign users' certificates"
            " (block 1 of 3): it is not a CA certificate (its basicConstraints do not say"
            f" CA:TRUE); {NAME_A_CA}"),
            (f"{PEM_PLACE} 'two-bad.pem' holds a certificate that cannot sign users' certificates"
            " (block 3 of 3): its RSA key has 1024 bits, fewer than 2048;"
            f" {NAME_A_CA}"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_named_with_its_place_and_what_would_be_right(
    workspace: Workspace, text: str, expected: list[str]
) -> None:
    assert workspace.problems(text) == expected


def test_file_that_two_subscriptions_share_is_read_once(workspace: Workspace) -> None:
    """Subscriptions of one company share the parsed certificate."""
    text = policy() + (
        "  other:\n"
        "    hosts: [other.example.com]\n"
        "    signing_certificates: [acme-ca.pem]\n"
        "    verify_email: false\n"
    )
    loaded = workspace.load(text)
    assert loaded.policy is not None
    one, two = loaded.policy.subscriptions.values()
    (first,), (second,) = one.trust.signing_certificates, two.trust.signing_certificates
    assert first is second


class TestDates:
    """Time does not make a file wrong: it warns, and says who is locked out."""

    def test_expired_certificate_beside_a_valid_one_is_a_warning(
        self, workspace: Workspace
    ) -> None:
        """While a CA is being replaced the old one may run out without harm."""
        text = policy(certificates="[acme-ca.pem, expired.pem]")
        assert workspace.problems(text) == [
            (
                ":4:41: warning: the signing certificate 'CN=Old CA' of 'expired.pem' expired at"
                " 2030-06-01T00:00:00+00:00; remove it, or name the one that replaces it"
            )
        ]
        assert workspace.load(text).policy is not None

    @pytest.mark.parametrize(
        ("certificates", "warnings"),
        [
            ("[expired.pem]", ["CN=Old CA"]),
            ("[future.pem]", ["CN=New CA"]),
            ("[expired.pem, future.pem]", ["CN=Old CA", "CN=New CA"]),
        ],
        ids=["expired", "not yet valid", "one of each"],
    )
    def test_subscription_without_a_valid_certificate_lapses_and_loads(
        self, workspace: Workspace, certificates: str, warnings: list[str]
    ) -> None:
        """One customer's forgotten date must not lock out the others."""
        loaded = workspace.load(policy(certificates=certificates))
        assert loaded.policy is not None
        lapsed, *dated = loaded.problems
        assert str(lapsed).removeprefix(str(workspace.path)) == (
            ":4:27: lapsed: no signing certificate is valid today: no user's certificate can pass;"
            " ask the customer for the new one"
        )
        assert all(problem.severity is Severity.WARNING for problem in dated)
        assert [problem.message.split("'")[1] for problem in dated] == warnings

    def test_certificate_that_expires_soon_is_a_warning(self, workspace: Workspace) -> None:
        """The operator hears of the end thirty days ahead."""
        assert workspace.problems(policy(certificates="[soon.pem]")) == [
            (
                ":4:28: warning: the signing certificate 'CN=Soon CA' of 'soon.pem' expires soon,"
                " at 2030-07-01T00:00:00+00:00; name the one that replaces it beside it"
            )
        ]
        earlier = datetime(2030, 7, 1, tzinfo=UTC) - timedelta(days=30)
        assert workspace.problems(policy(certificates="[soon.pem]"), earlier) == []

    def test_certificate_is_valid_through_its_last_second(self, workspace: Workspace) -> None:
        """RFC 5280 4.1.2.5: notAfter is included."""
        end = datetime(2030, 7, 1, tzinfo=UTC)
        at_the_end = workspace.problems(policy(certificates="[soon.pem]"), end)
        assert [problem.split(": ")[1] for problem in at_the_end] == ["warning"]
        after = workspace.problems(policy(certificates="[soon.pem]"), end + timedelta(seconds=1))
        assert [problem.split(": ")[1] for problem in after] == ["lapsed", "warning"]

    def test_hostile_subject_does_not_reach_the_terminal(self, workspace: Workspace) -> None:
        """What a CA wrote into its name is shown escaped, on one line."""
        problems = workspace.problems(policy(certificates="[hostile.pem]"))
        assert "'CN=Evil\\x1b[31m\\nCA\\u202e'" in problems[1]
        assert all(problem.isprintable() for problem in problems)

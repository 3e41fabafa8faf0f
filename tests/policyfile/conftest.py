"""A directory with a policy and the certificates that it names, for tests of all that reads one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from extauthz.demo.authority import Credential, Validity, authority, key_usage, name, user
from extauthz.policyfile.loader import Loaded, load
from extauthz.policyfile.problems import Severity

NOW = datetime(2030, 6, 15, 12, tzinfo=UTC)
"""The time of day in tests that load a policy."""
EXPIRED = datetime(2030, 6, 1, tzinfo=UTC)
"""When the expired signing certificates expired."""


def policy(
    hosts: str = "[acme.example.com]",
    certificates: str = "[acme-ca.pem]",
    accounts: str = "{alice: alice@acme.example}",
    more: str = "",
) -> str:
    """A good policy, or one that is bad where an argument makes it so.

    Hosts stand in line 3, certificates in 4, accounts in 5, and `more` from 6 on.
    """
    return (
        "subscriptions:\n"
        "  acme:\n"
        f"    hosts: {hosts}\n"
        f"    signing_certificates: {certificates}\n"
        f"    accounts: {accounts}\n"
        f"{more}"
    )


@dataclass(frozen=True)
class Workspace:
    """A directory, and the policy file in it."""

    directory: Path

    @property
    def path(self) -> Path:
        return self.directory / "policy.yaml"

    def write(self, text: str | bytes) -> Path:
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.path

    def load(self, text: str | bytes, now: datetime = NOW) -> Loaded:
        return load(self.write(text), now)

    def problems(self, text: str | bytes, now: datetime = NOW) -> list[str]:
        """What is wrong with a policy, a line each, without the name of the file."""
        loaded = self.load(text, now)
        assert (loaded.policy is None) == any(
            problem.severity is Severity.ERROR for problem in loaded.problems
        )
        return [str(problem).removeprefix(str(self.path)) for problem in loaded.problems]


def _validity(first: tuple[int, int, int], last: datetime) -> Validity:
    return Validity(datetime(*first, tzinfo=UTC), last)


@pytest.fixture(scope="session")
def pem_files() -> dict[str, bytes]:
    """The files that stand beside every policy of these tests, by name."""
    usual = _validity((2020, 1, 1), datetime(2040, 1, 1, tzinfo=UTC))
    acme = authority(name("Acme CA"), validity=usual)
    widget = authority(name("Widget CA"), validity=usual)
    expired = authority(name("Old CA"), validity=_validity((2020, 1, 1), EXPIRED))
    soon = authority(
        name("Soon CA"), validity=_validity((2020, 1, 1), datetime(2030, 7, 1, tzinfo=UTC))
    )
    future = authority(
        name("New CA"), validity=_validity((2030, 7, 1), datetime(2040, 1, 1, tzinfo=UTC))
    )
    hostile = authority(name("Evil\x1b[31m\nCA\u202e"), validity=_validity((2020, 1, 1), EXPIRED))
    weak = authority(name("Weak CA"), validity=usual, key=rsa.generate_private_key(65537, 1024))
    leaf = user(acme, "alice", "alice@acme.example", validity=usual)
    no_signer = authority(
        name("CRL CA"),
        [
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (key_usage("crl_sign"), True),
        ],
        validity=usual,
    )
    text: dict[str, str] = {
        "acme-ca.pem": acme.pem,
        "widget-ca.pem": widget.pem,
        "expired.pem": expired.pem,
        "soon.pem": soon.pem,
        "future.pem": future.pem,
        "hostile.pem": hostile.pem,
        "weak.pem": weak.pem,
        "leaf.pem": leaf.pem,
        "no-signer.pem": no_signer.pem,
        "bundle.pem": f"Two CAs of Acme:\n{acme.pem}\nand\n{widget.pem}",
        "expired-and-good.pem": expired.pem + acme.pem,
        "two-bad.pem": leaf.pem + acme.pem + weak.pem,
        "with-key.pem": acme.pem + acme.key_pem,
        "with-encrypted-key.pem": acme.pem + _encrypted_key(weak),
        "with-broken-key.pem": acme.pem + acme.key_pem[:100],
        "key-alone.pem": acme.key_pem,
        "with-crl.pem": acme.pem + acme.pem.replace("CERTIFICATE", "X509 CRL"),
        "crlf.pem": acme.pem.replace("\n", "\r\n"),
        "no-base64.pem": acme.pem.replace("M", "*", 1),
        "no-certificate.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "cut-off.pem": acme.pem[:200],
        "empty.pem": "",
    }  # fmt: skip
    files = {file: content.encode() for file, content in text.items()}
    return files | {"der.pem": acme.der, "huge.pem": b"x" * (1024 * 1024 + 1)}


def _encrypted_key(credential: Credential) -> str:
    """A key in OpenSSL's own form, whose header lines no reader of plain PEM takes."""
    encryption = BestAvailableEncryption(b"secret")
    assert isinstance(credential.key, rsa.RSAPrivateKey)
    return credential.key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encryption
    ).decode()


@pytest.fixture(scope="session")
def make_workspace(
    pem_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Workspace]:
    """Makes a directory of its own, with all the certificates."""

    def make() -> Workspace:
        directory = tmp_path_factory.mktemp("policy")
        for file, content in pem_files.items():
            (directory / file).write_bytes(content)
        return Workspace(directory)

    return make


@pytest.fixture(scope="module")
def workspace(make_workspace: Callable[[], Workspace]) -> Workspace:
    """A directory for a module whose tests write nothing but the policy."""
    return make_workspace()

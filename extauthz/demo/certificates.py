"""Demo certificates: `python -m extauthz.demo.certificates DIRECTORY`.

Makes a company's CA and another company's, a server certificate for Envoy, and users' certificates
of every kind that the tour shows. What is there and still good is left alone. The CAs' private
keys are not written: nobody needs them afterwards.
"""

import argparse
import ipaddress
import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from extauthz.demo.authority import Credential, Validity, authority, key_usage, name, user

__all__ = ["PASSWORD", "main", "make"]

PASSWORD = "extauthz"  # noqa: S105 (of demo certificates, and in the README)
"""Protects the PKCS#12 files: browsers want one that has a password."""

SERVER_NAMES = ("localhost", "*.localhost", "acme.localhost", "globex.localhost")
_LAST_MADE = "alice.p12"
_RENEW_BEFORE = timedelta(days=1)


def make(directory: Path) -> bool:
    """Make the certificates unless good ones are there; say whether any were made.

    Raises OSError where the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if _are_good(directory):
        return False
    # Made aside and moved in one by one, the last one last: a run that is interrupted leaves a
    # directory that the next run sees as unfinished.
    with tempfile.TemporaryDirectory(dir=directory) as aside:
        _make_all(Path(aside))
        made = sorted(Path(aside).iterdir(), key=lambda file: file.name == _LAST_MADE)
        (directory / _LAST_MADE).unlink(missing_ok=True)
        for file in made:
            os.replace(file, directory / file.name)  # noqa: PTH105 (of the two, the atomic one)
    return True


def _make_all(directory: Path) -> None:
    server_ca = authority(name("extauthz demo server CA"))
    _write_public(directory, "server-ca", server_ca)
    _server(server_ca).write(directory, "server")
    acme = authority(name("Acme Signing CA", "Acme"))
    globex = authority(name("Globex Signing CA", "Globex"))
    _write_public(directory, "acme-ca", acme)
    _write_public(directory, "globex-ca", globex)
    alice = "alice@acme.example"
    users = {
        "bob": (acme, user(acme, "Bob", "bob@acme.example")),
        "carol": (globex, user(globex, "Carol", "carol@globex.example")),
        "alice-expired": (acme, user(acme, "Alice", alice, validity=Validity.days(-30, -1))),
        "alice-not-yet-valid": (acme, user(acme, "Alice", alice, validity=Validity.days(30, 60))),
        "alice-wrong-issuer": (globex, user(globex, "Alice", alice)),
        "alice-wrong-email": (acme, user(acme, "Alice", "alice@elsewhere.example")),
        "alice-no-email": (acme, user(acme, "Alice")),
        "alice-self-signed": (None, _self_signed(alice)),
        "alice": (acme, user(acme, "Alice", alice)),
    }
    for stem, (issuer, credential) in users.items():
        credential.write(directory, stem)
        bundle = directory / f"{stem}.p12"
        bundle.touch(mode=0o600)
        bundle.write_bytes(credential.pkcs12(PASSWORD, issuer))


def _server(issuer: Credential) -> Credential:
    addresses = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    names = [*map(x509.DNSName, SERVER_NAMES), *map(x509.IPAddress, addresses)]
    return issuer.issue(
        name("localhost"),
        [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (key_usage("digital_signature"), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName(names), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False),
        ],
    )


def _self_signed(email: str) -> Credential:
    extensions = [(x509.SubjectAlternativeName([x509.RFC822Name(email)]), False)]
    return authority(name("Alice"), extensions, validity=Validity.days(-1, 30))


def _write_public(directory: Path, stem: str, credential: Credential) -> None:
    (directory / f"{stem}.pem").write_text(credential.pem)


def _are_good(directory: Path) -> bool:
    if not (directory / _LAST_MADE).exists():
        return False
    soon = datetime.now(UTC) + _RENEW_BEFORE
    try:
        return all(
            x509.load_pem_x509_certificate((directory / file).read_bytes()).not_valid_after_utc
            > soon
            for file in ("server.pem", "alice.pem", "bob.pem", "carol.pem", "acme-ca.pem")
        )
    except (OSError, ValueError):
        return False


def main() -> int:
    """Make the certificates into the directory of the command line."""
    parser = argparse.ArgumentParser(description="Make extauthz's demo certificates.")
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    directory: Path = parser.parse_args().directory
    try:
        made = make(directory)
    except OSError as error:
        print(f"cannot make certificates in {directory}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{'made' if made else 'kept'} the demo certificates in {directory}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A real CA, run with the openssl command: its lists and its responder are not our own work."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from extauthz.demo.authority import Credential
from extauthz.demo.processes import Program
from tests.ports import LOOPBACK, free_port

CONFIGURATION = """
[ca]
default_ca = own
[own]
dir = {directory}
database = $dir/index.txt
serial = $dir/serial
crlnumber = $dir/crlnumber
new_certs_dir = $dir/issued
certificate = $dir/ca.pem
private_key = $dir/ca-key.pem
default_md = sha256
default_days = 30
policy = any
unique_subject = no
email_in_dn = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = unused
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[user]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
{access}
[responder]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
authorityKeyIdentifier = keyid
[list]
authorityKeyIdentifier = keyid
"""


def openssl(*arguments: str, cwd: Path) -> bytes:
    done = subprocess.run(["openssl", *arguments], cwd=cwd, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class OpensslCa:
    """A CA with the database of `openssl ca` in a directory of its own."""

    def __init__(
        self,
        directory: Path,
        name: str = "Acme CA",
        above: "OpensslCa | None" = None,
        responder_url: str | None = None,
    ) -> None:
        self.directory = directory
        (directory / "issued").mkdir(parents=True)
        (directory / "index.txt").touch()
        (directory / "serial").write_text("1000\n")
        (directory / "crlnumber").write_text("01\n")
        access = "" if responder_url is None else f"authorityInfoAccess = OCSP;URI:{responder_url}"
        (directory / "ca.cnf").write_text(CONFIGURATION.format(directory=directory, access=access))
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        key += ["-keyout", "ca-key.pem", "-subj", f"/CN={name}", "-config", "ca.cnf"]
        if above is None:
            made = ["-x509", "-days", "3650", "-extensions", "authority", "-out", "ca.pem"]
            openssl("req", *key, *made, cwd=directory)
        else:
            openssl("req", "-new", *key, "-out", "ca.csr", cwd=directory)
            request = directory / "ca.csr"
            (directory / "ca.pem").write_text(above.sign(request, "authority"))

    @property
    def pem(self) -> str:
        return (self.directory / "ca.pem").read_text()

    @property
    def credential(self) -> Credential:
        return self._credential(self.directory / "ca.pem", self.directory / "ca-key.pem")

    def sign(self, request: Path, section: str) -> str:
        """The PEM of a certificate for a request, as a section of the configuration has it."""
        arguments = ["-config", "ca.cnf", "-batch", "-notext", "-extensions", section]
        out = request.with_suffix(".pem")
        openssl("ca", *arguments, "-in", str(request), "-out", str(out), cwd=self.directory)
        return out.read_text()

    def issue(
        self, common_name: str, email: str | None = None, section: str = "user"
    ) -> Credential:
        stem = f"{common_name}-{time.monotonic_ns()}"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        key += ["-keyout", f"{stem}-key.pem", "-out", f"{stem}.csr", "-config", "ca.cnf"]
        key += [] if email is None else ["-addext", f"subjectAltName=email:{email}"]
        openssl("req", "-new", *key, "-subj", f"/CN={common_name}", cwd=self.directory)
        self.sign(self.directory / f"{stem}.csr", section)
        return self._credential(self.directory / f"{stem}.pem", self.directory / f"{stem}-key.pem")

    def revoke(self, credential: Credential, reason: str = "keyCompromise") -> None:
        path = self.directory / "revoked.pem"
        path.write_text(credential.pem)
        arguments = ["-config", "ca.cnf", "-revoke", str(path), "-crl_reason", reason]
        openssl("ca", *arguments, cwd=self.directory)

    def crl(self, *, seconds: int = 7 * 86_400, version_1: bool = False) -> bytes:
        """A new list in PEM, with the next number."""
        arguments = ["-config", "ca.cnf", "-gencrl", "-crlsec", str(seconds)]
        arguments += [] if version_1 else ["-crlexts", "list"]
        return openssl("ca", *arguments, cwd=self.directory)

    @contextlib.contextmanager
    def responder(self, signer: Credential | None = None, port: int | None = None) -> Iterator[str]:
        """Run `openssl ocsp`; the CA signs by default. It sees a change one request too late."""
        port = free_port() if port is None else port
        signer = self.credential if signer is None else signer
        signer.write(self.directory, "responder")
        command = ["openssl", "ocsp", "-index", str(self.directory / "index.txt")]
        command += ["-port", str(port), "-CA", str(self.directory / "ca.pem"), "-nmin", "10"]
        command += ["-rsigner", str(self.directory / "responder.pem")]
        command += ["-rkey", str(self.directory / "responder-key.pem")]
        with Program("ocsp", command, self.directory) as program:
            deadline = time.monotonic() + 10
            while b"waiting" not in program.stderr.read_bytes() + program.stdout.read_bytes():
                assert time.monotonic() < deadline, program.last_words()
                time.sleep(0.02)
            yield f"http://{LOOPBACK}:{port}/"

    @staticmethod
    def _credential(certificate: Path, key: Path) -> Credential:
        return Credential(
            x509.load_pem_x509_certificate(certificate.read_bytes()),
            load_pem_private_key(key.read_bytes(), None),  # type: ignore[arg-type]  # an EC key
        )

"""A real slapd of OpenLDAP with a directory of its own: to be killed, hung and brought back.

Its ports and its data stay the same from one start to the next. Entries may have what inetOrgPerson
allows, and the attributes of SCHEMA besides.
"""

import ipaddress
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from extauthz.demo.authority import Credential, Extension, authority, name
from extauthz.demo.processes import Program, wait_until
from tests.ports import free_port

__all__ = ["BIND_DN", "LOOPBACK", "PASSWORD", "PEOPLE", "Slapd", "person", "require_slapd"]

LOOPBACK = "127.0.0.1"
SUFFIX = "dc=acme,dc=example"
PEOPLE = f"ou=people,{SUFFIX}"
BIND_DN = f"cn=admin,{SUFFIX}"
PASSWORD = "correct horse"
STOPS_WITHIN = 5.0
_OID = "1.3.6.1.4.1.4203.666.999"
SCHEMA = f"""\
attributetype ( {_OID}.1 NAME 'exactLogin' EQUALITY octetStringMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( {_OID}.2 NAME 'locked' EQUALITY booleanMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
attributetype ( {_OID}.3 NAME 'userAccountControl' EQUALITY integerMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( {_OID}.4 NAME 'inGroup' EQUALITY distinguishedNameMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
objectclass ( {_OID}.5 NAME 'directoryAccount' AUXILIARY
    MAY ( exactLogin $ locked $ userAccountControl $ inGroup ) )
"""
"""`exactLogin` is compared octet by octet; the others are what directories say of accounts."""
BASE = (
    f"dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Acme\ndc: acme\n",
    f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n",
)
CONFIGURATION = f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
{SCHEMA}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile DIRECTORY/pid
TLSCertificateFile DIRECTORY/server.pem
TLSCertificateKeyFile DIRECTORY/server-key.pem
sizelimit 500
access to * by anonymous read
database mdb
suffix "{SUFFIX}"
directory DIRECTORY/data
maxsize 8589934592
rootdn "{BIND_DN}"
rootpw PASSWORD
index objectClass,uid,mail,exactLogin eq
"""


def require_slapd() -> None:
    """Skip the test that calls this where there is no slapd; fail where CI is set."""
    missing = [] if _program("slapd") is not None else ["slapd"]
    if find_spec("ldap") is None:
        missing += ["gcc", "libldap-dev", "libsasl2-dev", "python3-dev"]
    if missing:
        message = f"install the Debian packages: {' '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def person(login: str, *emails: str, **attributes: str | Iterable[str]) -> str:
    """The LDIF of an entry below PEOPLE, with the login as its uid."""
    lines = [
        f"dn: uid={login},{PEOPLE}",
        "objectClass: inetOrgPerson",
        "objectClass: directoryAccount",
        f"uid: {login}",
        f"cn: {login}",
        f"sn: {login}",
        *(f"mail: {email}" for email in emails),
    ]
    for attribute, given in attributes.items():
        values = [given] if isinstance(given, str) else given
        lines += [f"{attribute}: {value}" for value in values]
    return "\n".join(lines) + "\n"


class Slapd:
    """A slapd on two loopback ports. Leaving the `with` block ends it, hung or not."""

    def __init__(self, directory: Path, *entries: str, certified: str = LOOPBACK) -> None:
        """Make its data of LDIF entries, and a certificate for an address."""
        directory.mkdir(exist_ok=True)
        self.directory = directory
        issuer = authority(name("Directory CA"))
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_text(issuer.pem)
        _certificate(issuer, certified).write(directory, "server")
        self._configuration = directory / "slapd.conf"
        self.set_password(PASSWORD)
        (directory / "data").mkdir()
        self.load((*BASE, *entries))
        port, tls_port = free_port(), free_port()
        self.port = port
        self.tls_port = tls_port
        self.url = f"ldap://{LOOPBACK}:{port}"
        self.tls_url = f"ldaps://{LOOPBACK}:{tls_port}"
        # In the foreground, and silent but for what has to be said.
        command = [
            _program("slapd") or "slapd", "-d", "32768",
            "-f", str(self._configuration), "-h", f"{self.url}/ {self.tls_url}/",
        ]  # fmt: skip
        self._program = Program("slapd", command, directory)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._program.is_running:
            self.resume()
        self._program.stop()

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        self._program.start()
        for port in (self.port, self.tls_port):
            wait_until(self._program, LOOPBACK, port)

    def stop(self) -> None:
        """End it as an operator does."""
        self._program.stop()

    def kill(self) -> None:
        """End it as a crash does."""
        self._program.signal(signal.SIGKILL)
        self._program.stop()

    def pause(self) -> None:
        """Hang it: the kernel goes on accepting connections, and nobody answers on them."""
        self._program.signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOPS_WITHIN
        while not self._is_stopped():
            assert time.monotonic() < deadline, "slapd does not stop"
            time.sleep(0.001)

    def resume(self) -> None:
        self._program.signal(signal.SIGCONT)

    def _is_stopped(self) -> bool:
        """Whether none of its threads works on."""
        states = Path(f"/proc/{self._program.pid}/task").glob("*/stat")
        return all(state.read_text().rpartition(")")[2].split()[0] == "T" for state in states)

    def set_password(self, password: str) -> None:
        """What BIND_DN's password is from the next start on."""
        text = CONFIGURATION.replace("DIRECTORY", str(self.directory))
        self._configuration.write_text(text.replace("PASSWORD", f'"{password}"'))

    def load(self, entries: Iterable[str], *options: str) -> None:
        """Add LDIF entries while it does not run; there may be a million of them.

        `-q` is for those: in a hurry, slapadd does not normalise what it is given.
        """
        command = [_program("slapadd") or "slapadd", *options, "-f", str(self._configuration)]
        ldif = self.directory / "entries.ldif"
        with ldif.open("w") as file:
            file.writelines(f"{entry}\n" for entry in entries)
        subprocess.run([*command, "-l", str(ldif)], check=True, capture_output=True)


def _certificate(issuer: Credential, address: str) -> Credential:
    names = [x509.IPAddress(ipaddress.ip_address(address))]
    extensions: list[Extension] = [
        (x509.SubjectAlternativeName(names), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]
    # The old way to name a host, which must not count.
    return issuer.issue(name(LOOPBACK), extensions)


def _program(program: str) -> str | None:
    """Where Debian puts it, which need not be in a user's PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")

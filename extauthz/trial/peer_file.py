"""A client's certificate from files: PEM or DER, with what the client sends above it.

A private key has no business here. A file that holds one is refused as a whole, whatever else is
in it, and nothing of it is repeated.
"""

from pathlib import Path
from typing import Final

from extauthz import pem
from extauthz.certificate import PeerCertificate
from extauthz.files import FileProblemError, read_octets
from extauthz.findings import Finding
from extauthz.quoting import quoted

__all__ = ["MAX_OCTETS", "certificates", "peer"]

MAX_OCTETS: Final = 1024 * 1024
_CERTIFICATE = "CERTIFICATE"
_KEY_REMEDY = (
    "name a file with the certificate alone (`openssl x509 -in FILE -out cert.pem`), and keep the"
    " key where only its owner reads it"
)


def peer(file: Path, chain: Path | None = None) -> PeerCertificate | Finding:
    """The first certificate of a file, with the others and those of `chain` above it.

    A finding where the server would have one, as for a certificate that cannot be read. Raises
    FileProblemError, with its name, for a file of which that cannot be said.
    """
    ders = _read(file)
    if chain is not None:
        above = _read(chain)
        # A full chain begins with the certificate itself, as Envoy's does.
        ders += above[1:] if above[:1] == ders[:1] else above
    return PeerCertificate.read(ders[0], ders[1:])


def _read(file: Path) -> list[bytes]:
    try:
        return certificates(read_octets(file, MAX_OCTETS))
    except FileProblemError as error:
        raise FileProblemError(f"{quoted(str(file))} {error}", error.remedy) from error


def certificates(content: bytes) -> list[bytes]:
    """The DER of each certificate of a file, at least one. Raises FileProblemError."""
    if b"PRIVATE KEY-----" in content:
        raise FileProblemError("holds a private key", _KEY_REMEDY)
    if content.startswith(b"\x30"):
        return [_der(content)]
    try:
        blocks = pem.in_file(content.decode("utf-8"))
    except UnicodeDecodeError:
        remedy = "name a file with certificates, in PEM or DER"
        raise FileProblemError("is neither PEM nor DER", remedy) from None
    except pem.PemError as error:
        raise FileProblemError(f"is broken: {error}", "write the PEM file again") from error
    if not blocks:
        remedy = "name a file with certificates, in PEM or DER"
        raise FileProblemError("holds no certificate", remedy)
    for block in blocks:
        if block.label != _CERTIFICATE:
            message = f"holds a PEM block {quoted(block.label)}, which is no certificate"
            raise FileProblemError(message, "name a file with certificates alone")
    return [block.der for block in blocks]


def _der(content: bytes) -> bytes:
    """A certificate begins with a sequence in a sequence; what holds a key, with a version."""
    inner = _inside(content)
    if inner.startswith(b"\x02\x01\x03"):
        remedy = "take the certificate out of it: `openssl pkcs12 -in FILE -clcerts -nokeys`"
        raise FileProblemError("is PKCS#12, which holds a private key", remedy)
    # With an algorithm, in a sequence, if it is encrypted (RFC 5958 3).
    if inner.startswith(b"\x02\x01") or (inner[:1] == b"\x30" and _inside(inner)[:1] == b"\x06"):
        raise FileProblemError("holds a private key", _KEY_REMEDY)
    if inner[:1] != b"\x30":
        remedy = "name a file with certificates, in PEM or DER"
        raise FileProblemError("holds no certificate", remedy)
    return content


def _inside(der: bytes) -> bytes:
    """What stands behind the tag and the length at the beginning."""
    length = der[1] if len(der) > 1 else 0
    return der[2 + (length & 0x7F if length & 0x80 else 0) :]

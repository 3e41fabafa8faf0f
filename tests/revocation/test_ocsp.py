"""What a responder is asked."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import ocsp

from extauthz.demo.authority import Credential, authority, name
from extauthz.ocsp import CertIdHash, Question, encode_request
from tests.revocation.made import ca
from tests.revocation.openssl_ca import openssl

ACME = authority(name("Acme CA"))
RSA = authority(name("RSA CA"), key=rsa.generate_private_key(65537, 2048))
SERIAL = 0xA11CE
NONCE = b"n" * 32


@pytest.mark.parametrize("algorithm", CertIdHash)
@pytest.mark.parametrize("issuer", [ACME, RSA], ids=["EC", "RSA"])
def test_request_is_read_by_openssl(
    tmp_path: Path, issuer: Credential, algorithm: CertIdHash
) -> None:
    octets = encode_request(Question(ca(issuer), SERIAL), algorithm, NONCE)
    (tmp_path / "request").write_bytes(octets)
    shown = openssl("ocsp", "-reqin", "request", "-req_text", cwd=tmp_path).decode()
    assert "Serial Number: 0A11CE" in shown
    assert f"Hash Algorithm: {algorithm}" in shown
    (expected,) = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(
            issuer.issue(name("A")).certificate, issuer.certificate, algorithm.algorithm
        )
        .build()
        .issuer_key_hash,
    )
    assert ocsp.load_der_ocsp_request(octets).issuer_key_hash == expected

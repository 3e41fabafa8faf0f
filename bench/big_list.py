"""A CRL of any size, and what it costs: to read, to keep, to look up, and while it is replaced."""

import datetime as dt
import http.client
import os
import pickle
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from logins import forwarded

from extauthz.ca import CaCertificate
from extauthz.crl import Crl
from extauthz.demo.authority import Credential, authority, name, user
from extauthz.demo.processes import Program, wait_until

HOST, CHECK, ADMIN = "127.0.0.1", 19200, 19201
ENTRIES = 1_000_000
ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
KEY_COMPROMISE = bytes.fromhex("300c300a0603551d1504030a0101")


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def big_list(ca: Credential, count: int, number: int = 1) -> bytes:
    """The DER of a list with `count` random serial numbers; a builder would take gigabytes."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    model = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(now)
        .next_update(now + dt.timedelta(days=7))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(5).revocation_date(now).build()
        )
        .sign(ca.key, hashes.SHA256())
        .tbs_certlist_bytes
    )
    date = tlv(0x17, now.strftime("%y%m%d%H%M%SZ").encode())
    of_model = tlv(0x30, tlv(0x30, b"\x02\x01\x05" + date))
    entries = []
    for index in range(count):
        serial = os.urandom(16)
        serial = bytes([serial[0] & 0x7F | 0x40]) + serial[1:]
        entries.append(
            tlv(0x30, b"\x02\x10" + serial + date + (KEY_COMPROMISE if index % 2 else b""))
        )
    # Without one, the sequence must not be there at all (RFC 5280 5.1.2.6).
    listed = tlv(0x30, b"".join(entries)) if entries else b""
    header = 2 if model[1] < 0x80 else 2 + (model[1] & 0x7F)
    signed = tlv(0x30, model[header:].replace(of_model, listed))
    assert isinstance(ca.key, ec.EllipticCurvePrivateKey)
    signature = ca.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return tlv(0x30, signed + ECDSA_WITH_SHA256 + tlv(3, b"\0" + signature))


def cost() -> None:
    """What a large list costs by itself; the library's look-up is the baseline."""
    ca = authority(name("Big CA"))
    octets = big_list(ca, ENTRIES)
    began = time.process_time()
    crl = Crl.read(octets)
    reading = time.process_time() - began
    assert crl.fault_as_issued_by(CaCertificate.read(ca.der)) is None
    began = time.process_time()
    for serial in range(20_000):
        crl.entry(serial << 100 | 1)
    ours = (time.process_time() - began) / 20_000
    library = x509.load_der_x509_crl(octets)
    began = time.process_time()
    for serial in range(20):
        library.get_revoked_certificate_by_serial_number(serial << 100 | 1)
    theirs = (time.process_time() - began) / 20
    print(f"A CRL of {ENTRIES:,} entries, {len(octets) / 1e6:.0f} MB of DER")
    print(f"  read into an index, in a process of its own   {reading:10.1f} s CPU")
    print(
        f"  kept in memory                                {len(pickle.dumps(crl)) / 1e6:10.1f} MB"
    )
    print(f"  look-up of a serial number that is not there  {ours * 1e6:10.1f} µs")
    print(f"  the library's look-up                         {theirs * 1e6:10,.0f} µs\n")


def while_it_reloads() -> None:
    """Checks that come one after another, 2 ms apart, before and while the list is replaced."""
    ca = authority(name("Big CA"))
    alice = user(ca, "Alice", "alice@s0.example")
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as path:
        directory = Path(path)
        (directory / "ca.pem").write_text(ca.pem)
        (directory / "crl").write_bytes(big_list(ca, ENTRIES))
        (directory / "policy.yaml").write_text(
            "subscriptions: {s0: {hosts: [s0.example], signing_certificates: [ca.pem],"
            " accounts: {alice: alice@s0.example}, revocation: {crl: [crl]}}}"
        )
        serve = [sys.executable, "-m", "extauthz", "serve", "--listen", f"{HOST}:{CHECK}"]
        serve += ["--policy", str(directory / "policy.yaml"), "--admin", f"{HOST}:{ADMIN}"]
        serve += ["--state", str(directory / "state")]
        with Program("extauthz", serve, directory) as program:
            wait_until(program, HOST, ADMIN, seconds=60)
            while readings() == 0:
                time.sleep(0.1)
            without = checks(alice, lambda: False, seconds=5)
            (directory / "new").write_bytes(big_list(ca, ENTRIES, number=2))
            before = readings()
            (directory / "new").replace(directory / "crl")
            done = threading.Event()
            waiting = threading.Thread(target=until_read, args=(before, done))
            waiting.start()
            during = checks(alice, done.is_set, seconds=60)
            waiting.join()
            status = Path(f"/proc/{program.pid}/status").read_text()
            resident = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1000  # type: ignore[index]
    print(f"Checks 2 ms apart while that list is replaced, ms{'p50':>8}{'p99':>8}{'longest':>10}")
    for label, took in (("nothing else", without), ("while it is read", during)):
        cut = statistics.quantiles(took, n=100)
        print(
            f"{label:>24}, {len(took):6,} checks{'':8}{cut[49]:8.2f}{cut[98]:8.2f}{max(took):10.1f}"
        )
    print(f"{'':24}  p99 is {quantile(during) / quantile(without):.1f} times that of nothing else")
    print(f"{'':24}  resident memory of the server then: {resident:.0f} MB\n")


def quantile(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98]


def checks(alice: Credential, is_over: Callable[[], bool], seconds: float) -> list[float]:
    """Milliseconds of each check until it is over."""
    headers = {"Host": "s0.example", "x-forwarded-client-cert": forwarded(alice)}
    connection = http.client.HTTPConnection(HOST, CHECK)
    took: list[float] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not is_over():
        began = time.perf_counter()
        connection.request("GET", "/check/", headers=headers)
        answer = connection.getresponse()
        answer.read()
        took.append((time.perf_counter() - began) * 1e3)
        assert answer.status == 200, answer.status
        time.sleep(0.002)
    connection.close()
    return took


def until_read(before: int, done: threading.Event) -> None:
    while readings() == before:
        time.sleep(0.1)
    done.set()


def readings() -> int:
    with urlopen(f"http://{HOST}:{ADMIN}/metrics") as response:
        found = re.search(r'crl_readings_total\{result="new".*\} (\d+)', response.read().decode())
    return 0 if found is None else int(found[1])

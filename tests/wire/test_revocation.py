"""Chains and revocation on the whole path: real Envoy, real CA, real responder."""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.demo.authority import Credential
from tests.ports import LOOPBACK, free_port
from tests.revocation import servers
from tests.revocation.openssl_ca import OpensslCa
from tests.revocation.servers import HttpServer
from tests.wire.envoy_process import PATIENCE
from tests.wire.stack import Answer, Stack, running_stack

POLICY = """
subscriptions:
  chain:
    hosts: [chain.example]
    signing_certificates: [root.pem]
    max_intermediates: 1
    verify_email: false
  listed:
    hosts: [listed.example]
    signing_certificates: [sub.pem]
    verify_email: false
    revocation: {{crl: [crl]}}
  asked:
    hosts: [asked.example]
    signing_certificates: [sub.pem]
    verify_email: false
    revocation: {{ocsp: {{responder: "{ocsp}", max_age_seconds: 1}}}}
  slow:
    hosts: [slow.example]
    signing_certificates: [sub.pem]
    verify_email: false
    revocation: {{ocsp: {{responder: "{slow}"}}, if_unknown: {unknown}}}
  fetched:
    hosts: [fetched.example]
    signing_certificates: [sub.pem]
    verify_email: false
    revocation: {{crl: ["{url}"], refresh_seconds: 1}}
  blocked:
    hosts: [blocked.example]
    signing_certificates: [sub.pem]
    verify_email: false
    revocation: {{blocked: {{serials: ["{blocked}"]}}}}
"""


def policy(
    server: HttpServer, ocsp_port: int, *, unknown: str = "deny", blocked: str = "ff"
) -> str:
    return POLICY.format(
        ocsp=f"http://{LOOPBACK}:{ocsp_port}/", slow=server.url("/hang"), url=server.url("/crl"),
        unknown=unknown, blocked=blocked,
    )  # fmt: skip


class Site:
    """A company with a root, a sub-CA and its lists, and the stack in front of its service."""

    def __init__(self, stack: Stack, sub: OpensslCa, server: HttpServer, ocsp_port: int) -> None:
        self.stack, self.sub, self.server, self.ocsp_port = stack, sub, server, ocsp_port

    def save(self, *, unknown: str = "deny", blocked: str = "ff") -> None:
        text = policy(self.server, self.ocsp_port, unknown=unknown, blocked=blocked)
        self.stack.policy.write_text(text)

    def publish(self) -> None:
        """Put a new list where the policy finds it, by renaming, and where the server has it."""
        made = self.sub.crl()
        new = self.stack.policy.parent / "crl.new"
        new.write_bytes(made)
        new.replace(self.stack.policy.parent / "crl")
        self.server.behaviours["/crl"] = servers.content(made)

    def ask(self, host: str, certificate: Credential, *above: Credential) -> Answer:
        return self.stack.ask(certificate, host=f"{host}.example", above=above)

    def until(self, host: str, certificate: Credential, status: int) -> Answer:
        """Ask until that is the answer."""
        deadline = time.monotonic() + PATIENCE
        while (answer := self.ask(host, certificate)).status != status:
            assert time.monotonic() < deadline, answer
        return answer

    def connection(self, directory: Path, credential: Credential) -> http.client.HTTPSConnection:
        """A connection to Envoy, for any number of requests."""
        credential.write(directory, "client")
        context = ssl.create_default_context(cafile=None)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(directory / "client.pem", directory / "client-key.pem")
        return http.client.HTTPSConnection(LOOPBACK, self.stack.port, context=context)


def status_over(connection: http.client.HTTPSConnection, host: str) -> int:
    connection.request("GET", "/", headers={"Host": f"{host}.example"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    root = OpensslCa(directory / "root", "Root")
    sub = OpensslCa(directory / "sub", "Sub", root)
    signers = {"root": root.credential, "sub": sub.credential}
    (directory / "stack").mkdir()
    with HttpServer() as server:
        server.behaviours["/hang"] = servers.hang(30)
        server.behaviours["/crl"] = servers.content(sub.crl())
        port = free_port()
        with running_stack(directory / "stack", policy(server, port), signers) as stack:
            made = Site(stack, sub, server, port)
            made.publish()
            yield made


@pytest.fixture(scope="module")
def alice(site: Site) -> Credential:
    return site.sub.issue("alice", "alice@acme.example")


def test_chain_that_the_client_sends_leads_to_the_root(site: Site, alice: Credential) -> None:
    assert site.ask("chain", alice, site.sub.credential).status == 200
    refused = site.ask("chain", alice)
    assert (refused.status, refused.reasons) == (403, ["chain_incomplete"])
    assert "'CN=Sub' is missing" in str(refused.decision["details"])


def test_log_and_metrics_name_the_signing_certificate(site: Site, alice: Credential) -> None:
    allowed = site.ask("chain", alice, site.sub.credential)
    signing = allowed.decision["signing_certificate"]
    assert isinstance(signing, dict)
    assert signing["label"] == "root.pem"
    metrics = site.stack.curl_directly(f"http://{LOOPBACK}:{site.stack.admin}/metrics")
    assert 'extauthz_signing_certificate_checks_total{label="root.pem"' in metrics
    assert f'sha256="{signing["sha256"]}",subscription="chain"' in metrics
    assert "extauthz_crl_entries{" in metrics


def test_revoked_user_is_out_on_the_next_request_of_an_open_connection(
    site: Site, tmp_path: Path
) -> None:
    """Cloudflare, 2022: a connection that was there before must not outlive the certificate."""
    mallory = site.sub.issue("mallory")
    connection = site.connection(tmp_path, mallory)
    site.until("listed", mallory, 200)
    assert status_over(connection, "listed") == 200
    socket = connection.sock
    site.sub.revoke(mallory)
    site.publish()
    deadline = time.monotonic() + PATIENCE
    while status_over(connection, "listed") == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert connection.sock is socket
    connection.close()
    refused = site.ask("listed", mallory)
    assert (refused.status, refused.reasons) == (403, ["certificate_revoked"])
    assert "Invalid user credentials" in refused.body


def test_list_of_a_url_follows_the_ca(site: Site, alice: Credential) -> None:
    site.until("fetched", alice, 200)
    eve = site.sub.issue("eve")
    assert site.ask("fetched", eve).status == 200
    site.sub.revoke(eve)
    site.publish()
    answer = site.until("fetched", eve, 403)
    assert answer.reasons == ["certificate_revoked"]


def test_responder_says_good_and_then_revoked(site: Site) -> None:
    trent = site.sub.issue("trent")
    with site.sub.responder(port=site.ocsp_port):
        site.until("asked", trent, 200)
    site.sub.revoke(trent)
    with site.sub.responder(port=site.ocsp_port):
        # Between the two responders there was none, and that may be remembered for seconds.
        deadline = time.monotonic() + PATIENCE
        while site.until("asked", trent, 403).reasons != ["certificate_revoked"]:
            assert time.monotonic() < deadline


def test_dead_responder_leaves_its_subscription_unknown_and_no_other(
    site: Site, alice: Credential
) -> None:
    dead = site.ask("asked", alice)
    assert (dead.status, dead.reasons) == (403, ["revocation_unknown"])
    assert site.ask("listed", alice).status == 200


def test_slow_responder_keeps_no_other_subscription_waiting(
    site: Site, alice: Credential, tmp_path: Path
) -> None:
    """While one check waits for a responder that hangs, another one is asked and answered."""
    came: list[str] = []
    connections = {host: site.connection(tmp_path, alice) for host in ("slow", "listed")}

    def ask(host: str) -> None:
        came.append(f"{host} {status_over(connections[host], host)}")

    # There is less than a second for the other one: it has its connection by then.
    ask("listed")
    slow = threading.Thread(target=ask, args=["slow"])
    slow.start()
    deadline = time.monotonic() + PATIENCE
    while not site.server.count("/hang"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    ask("listed")
    slow.join()
    assert came == ["listed 200", "listed 200", "slow 403"]
    for connection in connections.values():
        connection.close()


def test_unknown_passes_where_the_policy_says_so_and_is_told(site: Site, alice: Credential) -> None:
    site.save(unknown="allow")
    answer = site.until("slow", alice, 200)
    assert answer.reasons == []
    assert "revocation_unknown" in json.dumps(answer.decision["tolerated"])
    metrics = site.stack.curl_directly(f"http://{LOOPBACK}:{site.stack.admin}/metrics")
    assert 'extauthz_tolerated_total{reason="revocation_unknown",subscription="slow"}' in metrics


def test_blocked_certificate_is_out_within_moments_of_saving(site: Site, alice: Credential) -> None:
    assert site.ask("blocked", alice).status == 200
    serial = f"{alice.certificate.serial_number:x}"
    took: list[float] = []
    # The quickest of several, for a machine that is busy.
    while len(took) < 5 and min(took, default=3.0) >= 3:
        site.save(unknown="allow")
        site.until("blocked", alice, 200)
        began = time.monotonic()
        site.save(unknown="allow", blocked=serial)
        answer = site.until("blocked", alice, 403)
        took.append(time.monotonic() - began)
        assert answer.reasons == ["certificate_revoked"]
    assert min(took) < 3
    assert site.ask("listed", alice).status == 200

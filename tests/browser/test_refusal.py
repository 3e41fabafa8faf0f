"""An employee with a browser: Chromium, its certificate store, Envoy, extauthz and the service.

Nobody clicks: a policy of the browser, as companies set it, selects the certificate. It lies in a
directory of the machine, so it takes root to put it there.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Response

from extauthz.demo.authority import Credential
from tests.browser.chromium import Visit, running_chromium, visit
from tests.wire.stack import ACME, ALICE, CAROL, Stack, running_stack

POLICIES = Path("/etc/chromium/policies/managed")
SELECTS = {"AutoSelectCertificateForUrls": ['{"pattern": "*", "filter": {}}']}
"""Present the only certificate there is, to whoever asks for one."""

HELP = """Your certificate comes from IT.
Call +49 30 1234, or write to mailto:it@acme.example?subject=certificate
<script>document.title = "run"</script> https://help.acme.example/certificates."""
POLICY = f"""
subscriptions:
  acme:
    hosts: [acme.example]
    signing_certificates: [acme.pem]
    accounts: {{alice: alice@acme.example}}
    denial: {{help: {json.dumps(HELP)}}}
"""


@pytest.fixture(scope="module", autouse=True)
def managed() -> None:
    """The browser's policy is there. Several test runs may put the same one."""
    path = POLICIES / "extauthz-tests.json"
    if path.exists() and json.loads(path.read_text()) == SELECTS:
        return
    try:
        POLICIES.mkdir(parents=True, exist_ok=True)
        # Another run's Chromium reads every file of the directory, at any time.
        new = POLICIES.with_name(f"extauthz-tests-{os.getpid()}")
        new.write_text(json.dumps(SELECTS))
        new.replace(path)
    except OSError:
        message = f"to select certificates without a click, {path} has to be written"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("browser")
    with running_stack(directory, POLICY, {"acme": ACME}) as stack:
        yield stack


def required(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        message = "install the Debian package: libnss3-tools"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@contextmanager
def browser_of(stack: Stack, home: Path, certificate: Credential | None) -> Iterator[Browser]:
    """A browser in whose store (an NSS database) there is this certificate alone."""
    certutil, pk12util = required("certutil"), required("pk12util")
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    subprocess.run([certutil, "-d", f"sql:{store}", "-N", "--empty-password"], check=True)
    if certificate is not None:
        certificate.write(home, "user")
        export = ["openssl", "pkcs12", "-export", "-passout", "pass:x", "-name", "user"]
        export += ["-in", f"{home}/user.pem", "-inkey", f"{home}/user-key.pem"]
        subprocess.run([*export, "-out", f"{home}/user.p12"], check=True)
        given = [pk12util, "-d", f"sql:{store}", "-i", f"{home}/user.p12", "-W", "x"]
        subprocess.run(given, check=True, capture_output=True)
    to_envoy = f"--host-resolver-rules=MAP * 127.0.0.1:{stack.port}"
    with running_chromium(
        home=home, arguments=("--ignore-certificate-errors", to_envoy)
    ) as browser:
        yield browser


def opened(seen: Visit, url: str) -> Response:
    """Go there, by HTTP/2."""
    response = seen.page.goto(url)
    assert response is not None
    protocol = seen.page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
    assert protocol == "h2"
    return response


def test_user_with_the_own_certificate_notices_nothing(stack: Stack, tmp_path: Path) -> None:
    """The page is the service's own, and so is the one after it."""
    with browser_of(stack, tmp_path, ALICE) as browser, visit(browser) as seen:
        for path in ("/with", "/again"):
            response = opened(seen, f"https://acme.example{path}")
            assert response.status == 200
            assert "hello, I am the service" in seen.page.inner_text("body")
            decision = stack.decision_on(path)
            assert (decision["reasons"], decision["accounts"]) == ([], ["alice"])
            assert "Chrome/" in str(decision["user_agent"])


@pytest.mark.parametrize(("certificate", "reason", "path"), [
    (None, "certificate_missing", "/without"), (CAROL, "issuer_mismatch", "/wrong"),
], ids=["without one", "with one of another CA"])  # fmt: skip
def test_user_who_is_refused_reads_whom_to_ask_and_not_why(
    stack: Stack, tmp_path: Path, certificate: Credential | None, reason: str, path: str
) -> None:
    """The same page whatever is wrong, with the id by which the help desk finds the reason."""
    with browser_of(stack, tmp_path, certificate) as browser, visit(browser) as seen:
        response = opened(seen, f"https://acme.example{path}")
        decision = stack.decision_on(path)
        page = seen.page

        assert response.status == 403
        assert reason in str(decision["reasons"])
        assert page.inner_text("h1") == page.title() == "Invalid user credentials"
        assert page.inner_text("code") == decision["request_id"]
        shown, said = page.inner_text("body"), str(decision["details"])
        assert "Your certificate comes from IT.\nCall +49 30 1234" in shown
        assert reason not in page.content()
        assert not set(re.findall(r"[\w' ]{12,}", said)) & set(re.findall(r"[\w' ]{12,}", shown))
        links = page.locator("a")
        assert [links.nth(each).get_attribute("href") for each in range(links.count())] == [
            "mailto:it@acme.example?subject=certificate", "https://help.acme.example/certificates",
        ]  # fmt: skip


def test_page_of_a_refusal_runs_nothing_and_asks_for_nothing(stack: Stack, tmp_path: Path) -> None:
    """What a subscription writes as help is text; the browser's only other question is the icon."""
    with browser_of(stack, tmp_path, None) as browser, visit(browser, size=(390, 844)) as seen:
        response = opened(seen, "https://acme.example/quiet")
        page = seen.page

        assert page.title() == "Invalid user credentials"
        assert page.locator("script").count() == 0
        assert "default-src 'none'" in (response.header_value("content-security-policy") or "")
        asked = {url.removeprefix("https://acme.example") for url in seen.requests}
        assert asked <= {"/quiet", "/favicon.ico"}
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert [each for each in seen.complaints if "403" not in each] == []

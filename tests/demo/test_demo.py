"""`make demo`, as somebody sees it who has never seen the project."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from extauthz.demo import certificates
from extauthz.demo.processes import is_free
from extauthz.demo.tour import STEPS
from tests.ports import LOOPBACK, free_port, turn

REPOSITORY = Path(__file__).parents[2]
PORTS = (8080, 9000, 9001)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the demonstration reads of the repository; its certificates go here."""
    for part in ("envoy", "demo"):
        shutil.copytree(REPOSITORY / part, tmp_path / part)
    return tmp_path


@contextmanager
def demo(clone: Path, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """A demonstration, which ends with the test, and with it what it has started."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "extauthz.demo", *arguments],
        cwd=clone,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()


@pytest.fixture
def ports() -> Iterator[None]:
    """The ports of a demonstration, which are always the same, are this test's alone.

    Everything that a demonstration started is stopped again.
    """
    with turn():
        for port in PORTS:
            assert is_free(LOOPBACK, port), f"another program uses port {port}"
        yield
        assert all(is_free(LOOPBACK, port) for port in PORTS)


def test_tour_shows_each_step_and_ends_with_a_status(clone: Path, ports: None) -> None:
    """Every step prints the curl line, what came back, and the reason."""
    with demo(clone, "--once", "--port", str(free_port())) as process:
        out, err = process.communicate(timeout=90)

    assert (process.returncode, err) == (0, "")
    assert out.count("$ curl ") == len(STEPS)
    assert f"{len(STEPS)} of {len(STEPS)} steps went as they must" in out
    for reason in {str(reason) for step in STEPS for reason in step.reasons}:
        assert f"decision log: deny: {reason}" in out or f", {reason}" in out


def test_demonstration_stays_up_shows_decisions_and_ends_on_ctrl_c(
    clone: Path, ports: None
) -> None:
    """After the tour the printed lines can be pasted, and what they do is shown."""
    port = free_port()
    with demo(clone, "--port", str(port)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "The decisions, as they happen" in line:
                break
        alice = next(step for step in STEPS if step.certificate == "alice")
        done = subprocess.run(
            ["curl", "--disable", "--silent", "--noproxy", "*", *alice.arguments(port)],
            cwd=clone, check=True, capture_output=True,
        )  # fmt: skip
        assert b"hello, I am the service" in done.stdout
        assert re.search(r"allow .* alice at acme\.localhost", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("busy", [*PORTS, None], ids=lambda port: str(port or "Envoy's"))
def test_busy_port_is_one_clear_sentence(clone: Path, busy: int | None, ports: None) -> None:
    """It names the port, and what to do."""
    port = free_port()
    with (
        socket.create_server((LOOPBACK, busy or port)),
        demo(clone, "--once", "--port", str(port)) as process,
    ):
        out, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert out == ""
    assert err.count("\n") == 1
    assert f"port {busy or port} of {LOOPBACK} is in use" in err


def test_wrong_directory_is_one_clear_sentence(tmp_path: Path) -> None:
    """It says where to run it."""
    with demo(tmp_path, "--once") as process:
        _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err == "demo: run it in the repository's directory: envoy/envoy.yaml is not here\n"


def test_certificates_are_made_once_and_anew_when_they_are_incomplete(tmp_path: Path) -> None:
    """A second run leaves good ones alone; one that was interrupted is done again."""
    assert certificates.make(tmp_path)
    first = (tmp_path / "alice.pem").read_text()
    assert not certificates.make(tmp_path)
    assert (tmp_path / "alice.pem").read_text() == first
    (tmp_path / "alice.p12").unlink()
    assert certificates.make(tmp_path)
    assert (tmp_path / "alice.pem").read_text() != first
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("*-key.pem")} == {0}
    assert not list(tmp_path.glob("*ca-key*"))


def test_pkcs12_files_open_with_the_password_that_is_printed(tmp_path: Path) -> None:
    """A browser can import them."""
    certificates.make(tmp_path)
    done = subprocess.run(
        ["openssl", "pkcs12", "-in", str(tmp_path / "alice.p12"), "-nodes",
         "-passin", f"pass:{certificates.PASSWORD}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.count("BEGIN CERTIFICATE") == 2
    assert "PRIVATE KEY" in done.stdout


def test_make_says_in_one_sentence_that_python_is_missing(tmp_path: Path) -> None:
    """A machine without Python gets no traceback of make."""
    (tmp_path / "Makefile").write_text((REPOSITORY / "Makefile").read_text())
    # Of a `make test` that these tests run under, it inherits nothing.
    environment = {key: value for key, value in os.environ.items() if "MAKE" not in key}
    done = subprocess.run(
        ["make", "PYTHON=", "demo"],
        cwd=tmp_path, check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == (
        "extauthz needs Python 3.11 or later, and none was found: install python3"
    )

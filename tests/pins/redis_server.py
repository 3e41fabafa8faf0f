"""A real Redis of the test's own: with passwords or TLS, full, stopped, killed, started again."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.ports import LOOPBACK, free_port

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
STARTS_WITHIN = 30.0


@dataclass
class RedisServer:
    """A Redis on a port that stays its own when it is started again. It keeps nothing on disk."""

    directory: Path
    settings: tuple[str, ...] = ()
    """More of its command line."""
    scheme: str = "redis"
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        assert PROGRAM is not None
        ports = ["--port", str(self.port)]
        if self.scheme == "rediss":
            ports = ["--port", "0", "--tls-port", str(self.port)]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    PROGRAM, *ports, "--bind", LOOPBACK, "--dir", str(self.directory),
                    "--save", "", "--appendonly", "no", *self.settings,
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError(f"Redis did not start:\n{(self.directory / 'log').read_text()}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def hang(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def run(self, *command: str, password: str | None = None, user: str = "default") -> str:
        """Run a command as the server's owner would; its reply as text."""
        arguments = ["redis-cli", "-h", LOOPBACK, "-p", str(self.port), "--no-auth-warning"]
        if password is not None:
            arguments += ["--user", user, "-a", password]
        if self.scheme == "rediss":
            arguments += ["--tls", "--insecure"]
        done = subprocess.run(
            [*arguments, *command], check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout.strip()

    def clients(self) -> int:
        """How many connections it has, besides the one that asks."""
        return len(self.run("CLIENT", "LIST").splitlines()) - 1

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@contextmanager
def redis_server(directory: Path, *settings: str, scheme: str = "redis") -> Iterator[RedisServer]:
    """A Redis that accepts connections. Skips where there is none, unless in CI."""
    if PROGRAM is None:
        message = "no redis-server: apt-get install redis-server"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    server = RedisServer(directory, settings, scheme)
    try:
        server.start()
        yield server
    finally:
        server.kill()

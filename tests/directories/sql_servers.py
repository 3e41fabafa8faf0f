"""PostgreSQL and MariaDB of Debian, each on a port of its own: started, killed and hung at will."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
from cryptography import x509

from extauthz.demo.authority import Credential, authority, name
from tests.ports import LOOPBACK, free_port

STARTS_WITHIN = 30.0
"""Seconds. It takes about one, with a database to mend after a kill."""
ROOM = 512 * 1024 * 1024
"""Octets. A server takes a tenth of it."""
PASSWORD = "s3cret-of-the-database"
OTHER_NAME = "127.0.0.2"
"""An address at which servers listen too, and that is not in their certificate."""
_GONE, _STOPPED = "XZ", "TXZ"
"""States of threads."""
USER = "extauthz"
DATABASE = "service"

CA = authority(name("Database CA"))


class SqlServer(ABC):
    """A database server with the database `service` and the user `extauthz`, who may read it.

    It offers TLS, with a certificate of `CA` for `localhost` and 127.0.0.1.
    """

    account: str
    """The system's user as whom it runs: neither of them runs as root."""
    without_tls: Sequence[str]
    """Options with which it offers no TLS."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        self.options = list(options)
        """More options of its command line; they count from its next start."""
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"extauthz-{self.account}-", dir=_fast()))
        self._process: subprocess.Popen[bytes] | None = None
        server_certificate().write(self.directory, "server")
        self._give_away(self.directory, *self.directory.iterdir())

    @property
    @abstractmethod
    def url(self) -> str:
        """For `SqlDirectory`: the database, and the user without the password."""

    @abstractmethod
    def initialise(self) -> None:
        """Make the files of an empty server."""

    @abstractmethod
    def create(self) -> None:
        """Make the database and the user."""

    @abstractmethod
    def execute(self, sql: str, database: str = DATABASE) -> str:
        """Run statements as the administrator; what they print. Raises CalledProcessError."""

    @property
    @abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        user, groups = self._identity
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=self._environment,
                process_group=0,
                user=user,
                group=user and self.account,
                extra_groups=groups,
            )
        deadline = time.monotonic() + STARTS_WITHIN
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.CalledProcessError):
                self.execute("SELECT 1", database="")
                return
            time.sleep(0.02)
        raise AssertionError(f"no server:\n{(self.directory / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """Kill it and all its processes, as a machine that fails does; none is left after that."""
        if self._process is None:
            return
        # Hung, it makes no more of them meanwhile.
        self.pause()
        children = _children(self._process.pid)
        self._process.kill()
        self._process.wait()
        self._process = None
        _send(children, signal.SIGKILL, _GONE)

    def pause(self) -> None:
        """Hang it: connections are still taken by the kernel, and nobody answers on them."""
        if self._process is not None:
            # The first process makes the others.
            _send([self._process.pid], signal.SIGSTOP, _STOPPED)
            _send(_children(self._process.pid), signal.SIGSTOP, _STOPPED)

    def resume(self) -> None:
        """Let it go on where it was hung."""
        if self._process is not None:
            _send([self._process.pid, *_children(self._process.pid)], signal.SIGCONT)

    def run(self, command: Sequence[str], text: str | None = None) -> str:
        """Run a program of it as its user; what it printed. Raises CalledProcessError."""
        user, groups = self._identity
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=self.directory,
            env=self._environment,
            user=user,
            group=user and self.account,
            extra_groups=groups,
        ).stdout

    @property
    def _identity(self) -> tuple[str | None, list[str] | None]:
        """The user to become and its groups; nothing, where we may not."""
        return (self.account, []) if os.geteuid() == 0 else (None, None)

    @property
    def _environment(self) -> dict[str, str]:
        """Ours, but for the directory for temporary files, into which that user may not come."""
        return os.environ | {"TMPDIR": str(self.directory)}

    def _give_away(self, *paths: Path) -> None:
        if os.geteuid() == 0:
            for path in paths:
                shutil.chown(path, self.account, self.account)


class PostgreSql(SqlServer):
    """PostgreSQL."""

    account = "postgres"
    without_tls = ("--ssl=off",)

    def __init__(self, programs: Path, options: Sequence[str] = ()) -> None:
        super().__init__(options)
        self._programs = programs

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def command(self) -> list[str]:
        settings = {
            "port": self.port, "listen_addresses": f"{LOOPBACK},{OTHER_NAME}",
            "unix_socket_directories": self.directory, "fsync": "off", "full_page_writes": "off",
            "max_connections": 40, "shared_buffers": "16MB", "autovacuum": "off",
            "dynamic_shared_memory_type": "mmap", "shared_memory_type": "mmap",
            "ssl": "on", "ssl_cert_file": self.directory / "server.pem",
            "ssl_key_file": self.directory / "server-key.pem",
        }  # fmt: skip
        chosen = [f"--{key}={value}" for key, value in settings.items()]
        program = str(self._programs / "postgres")
        return [program, "-D", str(self.directory / "data"), *chosen, *self.options]

    def initialise(self) -> None:
        self.run([
            str(self._programs / "initdb"), "-D", str(self.directory / "data"), "-U", "postgres",
            "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C",
            "--auth-local=trust", "--auth-host=scram-sha-256",
        ])  # fmt: skip

    def create(self) -> None:
        self.execute(f"CREATE DATABASE {DATABASE}", database="")
        self.execute(
            f"CREATE USER {USER} PASSWORD '{PASSWORD}';"
            f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {USER}"
        )

    def execute(self, sql: str, database: str = DATABASE) -> str:
        return self.run(
            [
                str(self._programs / "psql"), "-h", str(self.directory), "-p", str(self.port),
                "-U", "postgres", "-d", database or "postgres", "-v", "ON_ERROR_STOP=1", "-qAtX",
            ],
            f"SET client_encoding = 'UTF8'; {sql}",
        )  # fmt: skip


class MariaDb(SqlServer):
    """MariaDB."""

    account = "mysql"
    without_tls = ("--skip-ssl",)

    @property
    def url(self) -> str:
        return f"mariadb://{USER}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def command(self) -> list[str]:
        directory = self.directory
        return [
            "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={directory / 'data'}",
            f"--socket={directory / 'socket'}", f"--pid-file={directory / 'pid'}",
            f"--port={self.port}", f"--bind-address={LOOPBACK},{OTHER_NAME}", "--skip-name-resolve",
            "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M",
            "--performance-schema=OFF", f"--ssl-cert={directory / 'server.pem'}",
            f"--ssl-key={directory / 'server-key.pem'}", *self.options,
        ]  # fmt: skip

    def initialise(self) -> None:
        self.run([
            "/usr/bin/mariadb-install-db", "--no-defaults",
            f"--datadir={self.directory / 'data'}", "--auth-root-authentication-method=normal",
            "--skip-test-db", "--innodb-flush-method=nosync", "--innodb-log-file-size=4M",
        ])  # fmt: skip

    def create(self) -> None:
        self.execute(
            f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4;"
            f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}';"
            f"GRANT ALL ON {DATABASE}.* TO {USER}",
            database="",
        )

    def execute(self, sql: str, database: str = DATABASE) -> str:
        return self.run(
            [
                "/usr/bin/mariadb", "--no-defaults", f"--socket={self.directory / 'socket'}",
                "--user=root", "--default-character-set=utf8mb4", "--batch",
                "--skip-column-names", *([database] if database else []),
            ],
            sql,
        )  # fmt: skip


@contextmanager
def started_with(server: SqlServer, *options: str) -> Iterator[None]:
    """The server, started with some options more."""
    server.stop()
    server.options.extend(options)
    try:
        server.start()
        yield
    finally:
        server.stop()
        del server.options[len(server.options) - len(options) :]
        server.start()


_Server = TypeVar("_Server", bound=SqlServer)


@contextmanager
def postgresql(options: Sequence[str] = ()) -> Iterator[PostgreSql]:
    """A PostgreSQL that runs. The test is skipped where Debian's package is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        _is_missing("postgresql")
    with _running(PostgreSql(found[-1].parent, options)) as server:
        yield server


@contextmanager
def mariadb(options: Sequence[str] = ()) -> Iterator[MariaDb]:
    """A MariaDB that runs. The test is skipped where Debian's package is not installed."""
    if not Path("/usr/sbin/mariadbd").exists():
        _is_missing("mariadb-server")
    with _running(MariaDb(options)) as server:
        yield server


@contextmanager
def _running(server: _Server) -> Iterator[_Server]:
    try:
        server.initialise()
        server.start()
        server.create()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.directory, ignore_errors=True)


def _fast() -> Path | None:
    """Where files are never written to a disk, when there is room."""
    memory = Path("/dev/shm")
    is_roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    return memory if is_roomy else None


def server_certificate() -> Credential:
    """A certificate of `CA` for a server on loopback."""
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(LOOPBACK))]
    return CA.issue(name("database"), [(x509.SubjectAlternativeName(names), False)])


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(FileNotFoundError):
        return [int(child) for child in path.read_text().split()]
    return []


def _send(pids: Sequence[int], number: signal.Signals, states: str = "") -> None:
    """Send a signal, and wait until every thread is in one of the states, where any are given.

    A thread that has not been told yet works on, and that may take a while on a busy machine.
    """
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    deadline = time.monotonic() + STARTS_WITHIN
    while states and not all(state in states for pid in pids for state in _states(pid)):
        assert time.monotonic() < deadline, f"{number.name} has no effect"
        time.sleep(0.001)


def _states(pid: int) -> Iterator[str]:
    """What each thread of a process does, as proc(5) has it; nothing of those that are gone."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield stat.read_text().rpartition(")")[2].split()[0]


def _is_missing(package: str) -> NoReturn:
    """Skip the test; in CI, where everything is to be tried, fail it."""
    reason = f"a database server is missing: apt-get install {package}"
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)

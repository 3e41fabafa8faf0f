"""The image: what goes to the engine, what it is built from, and as whom it runs.

No engine is needed. The build is carried out by the image's own commands in a directory.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from extauthz import __version__
from extauthz.cli import build_parser
from extauthz.listeners import Tcp

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
LDAP_LOCK = (ROOT / "requirements-ldap.lock").read_text()
UV = f"{Path(sys.executable).with_name('uv')} --no-config"
IN_IMAGE = ("uvloop", "sql", "redis", "report", "otel")
"""Extras that `make lock` pins for the image, besides that of LDAP."""
COMPILER = (
    "/usr/include/ldap.h",
    "/usr/include/sasl/sasl.h",
    f"{sysconfig.get_path('include')}/Python.h",
)
"""What Debian's packages for compiling python-ldap bring."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One `FROM` of the Dockerfile, with what follows it."""

    image: str
    name: str
    steps: tuple[tuple[str, str], ...]

    def all(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        return self.all(instruction)[-1]


def stages() -> list[Stage]:
    found: list[Stage] = []
    for entry in DockerfileParser(str(ROOT / "Dockerfile")).structure:
        instruction, value = str(entry["instruction"]), str(entry["value"])
        if instruction == "FROM":
            image, _, name = value.partition(" AS ")
            found.append(Stage(image, name, ()))
        elif instruction != "COMMENT":
            last = found[-1]
            found[-1] = Stage(last.image, last.name, (*last.steps, (instruction, value)))
    return found


def locked(lock: str = LOCK) -> dict[str, str]:
    """The versions that a lock pins, by name."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ \\]+)", lock, re.MULTILINE))


def locked_here(lock: str) -> set[str]:
    """The names of what a lock pins for this Python and this system."""
    lines = (line.rstrip(" \\") for line in lock.splitlines() if re.match("[a-z0-9]", line))
    pins = [Requirement(line) for line in lines]
    return {pin.name for pin in pins if pin.marker is None or pin.marker.evaluate()}


STAGES = stages()
BUILD = next(stage for stage in STAGES if stage.name == "build")
IMAGE = STAGES[-1]


def variables(stage: Stage) -> dict[str, str]:
    pairs = (pair.partition("=") for value in stage.all("ENV") for pair in shlex.split(value))
    return {name: value for name, _, value in pairs}


def context_copies(stage: Stage) -> list[str]:
    """What the stage's COPY instructions take out of the build context."""
    copies = (shlex.split(value) for value in stage.all("COPY"))
    return [source for copy in copies if not copy[0].startswith("--from=") for source in copy[:-1]]


def ignore_patterns() -> Iterator[tuple[re.Pattern[str], bool]]:
    """The patterns of .dockerignore, and whether each one leaves out (or takes in again)."""
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("!"))
            expression = "".join(wild.get(part, re.escape(part)) for part in parts)
            yield re.compile(expression), not pattern.startswith("!")


def is_sent(path: str) -> bool:
    """Whether the engine is sent this file.

    Of the patterns that match it, or a directory above it, the last one decides.
    """
    parts = path.split("/")
    ways = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    left_out = False
    for pattern, leaves_out in ignore_patterns():
        if any(pattern.fullmatch(way) for way in ways):
            left_out = leaves_out
    return not left_out


class TestBase:
    def test_version(self) -> None:
        """Every image from outside is named by its exact version."""
        names = {stage.name for stage in STAGES}
        outside = [stage.image for stage in STAGES if stage.image not in names]
        assert outside
        for image in outside:
            assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+-slim-[a-z]+", image)

    def test_one_python(self) -> None:
        """The virtual environment is built by the Python that it is run by."""
        assert BUILD.image == IMAGE.image


class TestContext:
    @pytest.mark.parametrize(
        "path",
        [
            ".env",
            ".git/config",
            ".venv/bin/python",
            "certs/acme-ca.pem",
            "certs/alice-key.pem",
            "certs/alice.p12",
            "demo/policy.yaml",
            "envoy/envoy.yaml",
            "extauthz/__pycache__/policy.cpython-313.pyc",
            "extauthz/demo/left-behind.key",
            "extauthz/demo/left-behind.pem",
            "extauthz/left-behind.p12",
            "tests/container/test_dockerfile.py",
        ],
    )
    def test_left_out(self, path: str) -> None:
        """Keys, certificates, history and what nobody builds from stay out of the context."""
        assert not is_sent(path)

    @pytest.mark.parametrize("path", ["extauthz/py.typed", "extauthz/cli/serve.py", "README.md"])
    def test_sent(self, path: str) -> None:
        """What the package consists of is in the context."""
        assert is_sent(path)

    def test_copies(self) -> None:
        """Everything that is copied exists and is in the context."""
        for source in context_copies(BUILD):
            path = ROOT / source
            assert path.exists()
            files = [path] if path.is_file() else list(path.rglob("*.py"))
            assert files
            assert all(is_sent(str(file.relative_to(ROOT))) for file in files)

    def test_narrow(self) -> None:
        """No instruction copies the context whole, and none fetches."""
        assert not {".", "./", "*"} & set(context_copies(BUILD))
        assert not any(stage.all("ADD") for stage in STAGES)


class TestImage:
    def test_content(self) -> None:
        """On top of its base the image has libldap, the virtual environment, a place for CRLs."""
        virtual_environment, state = IMAGE.all("COPY")
        assert virtual_environment == "--from=build /opt/extauthz /opt/extauthz"
        assert state == f"--from=build --chown={IMAGE.last('USER')} /opt/state /var/lib/extauthz"
        assert variables(IMAGE)["STATE_DIRECTORY"] == "/var/lib/extauthz"
        (run,) = IMAGE.all("RUN")
        installed = re.findall(r"--no-install-recommends (.*?) +&&", run)
        assert installed == ["libldap-2.5-0 libsasl2-2"]
        assert variables(IMAGE)["PATH"].startswith("/opt/extauthz/bin:")

    def test_user(self) -> None:
        """It runs as a user by number who is not root, and so does whatever comes after."""
        user, group = IMAGE.last("USER").split(":")
        assert int(user) > 0
        assert int(group) > 0

    def test_stop(self) -> None:
        """It is stopped by the signal that `extauthz serve` stops gracefully on."""
        assert IMAGE.last("STOPSIGNAL") == "SIGTERM"

    def test_no_shell(self) -> None:
        """What runs in it is run without a shell, so that signals arrive."""
        for instruction in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(IMAGE.last(instruction)), list)
        assert re.search(r"CMD \[", IMAGE.last("HEALTHCHECK"))

    def test_command(self) -> None:
        """By default it listens to other containers, and lets none ask until told which may."""
        assert json.loads(IMAGE.last("ENTRYPOINT")) == ["extauthz"]
        options = build_parser().parse_args(json.loads(IMAGE.last("CMD")))
        assert options.listen.host == options.admin.host == "0.0.0.0"
        assert options.allow_from == []

    def test_ports(self) -> None:
        """The ports that the image exposes are those that its command listens on."""
        options = build_parser().parse_args(json.loads(IMAGE.last("CMD")))
        assert isinstance(options.listen, Tcp)
        assert isinstance(options.admin, Tcp)
        exposed = [int(port) for port in IMAGE.last("EXPOSE").split()]
        assert exposed == [options.listen.port, options.admin.port]

    def test_read_only(self) -> None:
        """Python writes no byte code beside the modules."""
        assert variables(IMAGE)["PYTHONDONTWRITEBYTECODE"] == "1"

    def test_labels(self) -> None:
        """It says what it is in the labels that registries show."""
        label = IMAGE.last("LABEL")
        for name in ("title", "description", "version", "licenses"):
            assert f"org.opencontainers.image.{name}=" in label
        assert f'licenses="{PROJECT["project"]["license"]}"' in label


class TestLock:
    @pytest.mark.parametrize(("lock", "files"), [(LOCK, 10), (LDAP_LOCK, 1)], ids=["all", "ldap"])
    def test_hashes(self, lock: str, files: int) -> None:
        """Every requirement has the hashes of its files: of wheels more than one, by platform."""
        entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
        assert len(entries) == len(locked(lock))
        assert all("--hash=sha256:" in entry for entry in entries)
        assert lock.count("--hash=sha256:") > files * len(entries)

    @pytest.mark.parametrize("lock", [LOCK, LDAP_LOCK], ids=["all", "ldap"])
    def test_no_source(self, lock: str) -> None:
        """It says what is installed, not from where."""
        code = [line.partition("#")[0] for line in lock.splitlines()]
        assert not [line for line in code if re.search(r"://|@|--(?!hash=)|^[./-]", line)]

    def test_complete(self) -> None:
        """It satisfies all that the package requires, and every extra that the image has."""
        optional = PROJECT["project"]["optional-dependencies"]
        pinned = locked()
        for text in [
            *PROJECT["project"]["dependencies"],
            *(text for extra in IN_IMAGE for text in optional[extra]),
        ]:
            requirement = Requirement(text)
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])

    def test_ldap(self) -> None:
        """The lock of LDAP satisfies its extra and agrees with the other lock."""
        pinned, pinned_for_ldap = locked(), locked(LDAP_LOCK)
        for text in PROJECT["project"]["optional-dependencies"]["ldap"]:
            requirement = Requirement(text)
            assert requirement.specifier.contains(pinned_for_ldap[requirement.name])
        for package in pinned.keys() & pinned_for_ldap.keys():
            assert pinned[package] == pinned_for_ldap[package]

    def test_sources(self) -> None:
        """Nothing but python-ldap is built from its source."""
        assert variables(BUILD)["PIP_ONLY_BINARY"] == ":all:"
        exceptions = re.findall(r"--no-binary\s+(\S+)", " ".join(BUILD.all("RUN")))
        assert exceptions == ["python-ldap"]

    def test_build_system(self) -> None:
        """The wheel is built by a version that the project asks for, named exactly."""
        pins = dict(re.findall(r" ([a-z0-9-]+)==([0-9.]+)", " ".join(BUILD.all("RUN"))))
        for text in PROJECT["build-system"]["requires"]:
            requirement = Requirement(text)
            assert requirement.specifier.contains(pins[requirement.name])


def require_compiler() -> None:
    """Skip the test that calls this where python-ldap cannot be compiled; fail where CI is set."""
    if shutil.which("gcc") is None or not all(Path(path).exists() for path in COMPILER):
        message = "install the Debian packages: gcc libldap-dev libsasl2-dev python3-dev"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.mark.timeout(600)
class TestBuild:
    """The build stage's own instructions, carried out in a directory."""

    @pytest.fixture(scope="class")
    def environment(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The virtual environment that the build stage makes."""
        require_compiler()
        root = tmp_path_factory.mktemp("image")
        python = root / "usr"
        subprocess.run([sys.executable, "-m", "venv", python], check=True)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }
        environment["PATH"] = f"{python / 'bin'}:{environment['PATH']}"
        environment |= variables(BUILD)
        environment["PIP_NO_CACHE_DIR"] = "0"
        directory = root
        for instruction, value in BUILD.steps:
            if instruction == "WORKDIR":
                directory = root / value.lstrip("/")
                directory.mkdir(parents=True)
            elif instruction == "COPY":
                *sources, target = shlex.split(value)
                for source in sources:
                    self.copy(source, directory / target)
            elif instruction == "RUN" and not value.startswith("apt-get "):
                command = re.sub(r"(?<=\s)/(?=opt/|wheels\b)", f"{root}/", value)
                # It installs the lock as pip does, hashes and all, in a second and not in forty.
                command = command.replace(
                    f"python -m pip --python {root}/opt/extauthz/bin/python install",
                    f"{UV} pip install --python {root}/opt/extauthz/bin/python",
                )
                subprocess.run(command, shell=True, check=True, cwd=directory, env=environment)
        return root / "opt" / "extauthz"

    @staticmethod
    def copy(source: str, target: Path) -> None:
        def ignore(directory: str, names: list[str]) -> set[str]:
            above = Path(directory).relative_to(ROOT)
            return {
                name
                for name in names
                if (Path(directory) / name).is_file() and not is_sent(str(above / name))
            }

        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=ignore)
        else:
            shutil.copy(ROOT / source, target)

    def test_runs(self, environment: Path) -> None:
        """The command is there, and all that it imports."""
        command = [str(environment / "bin" / "extauthz"), "--version"]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert run.stdout == f"extauthz {__version__}\n"

    def test_certificate_maker(self, environment: Path, tmp_path: Path) -> None:
        """The demo certificate maker, which compose runs from the same image, is there too."""
        python = str(environment / "bin" / "python")
        command = [python, "-m", "extauthz.demo.certificates", str(tmp_path)]
        subprocess.run(command, check=True, cwd="/")
        assert (tmp_path / "server.pem").exists()

    def test_exact(self, environment: Path) -> None:
        """What is installed is the locks, the package, no installer and no compiler."""
        listing = (
            "import importlib.metadata as m; print(*{d.name for d in m.distributions()}, sep='\\n')"
        )
        command = [str(environment / "bin" / "python"), "-c", listing]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
        installed = {canonicalize_name(name) for name in run.stdout.split()}
        locks = locked_here(LOCK) | locked_here(LDAP_LOCK) - {"setuptools"}
        assert installed == locks | {"extauthz"}

    @pytest.mark.parametrize(
        "module",
        [
            "_ldap",
            "sqlalchemy",
            "asyncpg",
            "redis",
            "uvloop",
            "duckdb",
            "rich",
            "opentelemetry.sdk",
            "opentelemetry.exporter.otlp.proto.http",
        ],
    )
    def test_extras(self, environment: Path, module: str) -> None:
        """The libraries of each kind of directory are there, and find what they are linked to."""
        command = [str(environment / "bin" / "python"), "-c", f"import {module}"]
        subprocess.run(command, check=True, cwd="/")


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_hadolint() -> None:
    """A linter of Dockerfiles has nothing to say."""
    command = ["hadolint", str(ROOT / "Dockerfile")]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.stdout + run.stderr == ""

"""The compose file: that it is one, that it is hardened, and that its parts agree.

No engine is needed. The commands of its services are run as they stand there, with the paths that
a container would have mapped into a directory, and its addresses onto free ports of loopback.
"""

import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from dockerfile_parse import DockerfileParser

from extauthz.cli import build_parser
from extauthz.cli.serve import STOP_SECONDS
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"certificates"}
LASTING = sorted(SERVICES.keys() - ONE_SHOT)

every_service = pytest.mark.parametrize("service", sorted(SERVICES))
every_lasting_service = pytest.mark.parametrize("service", LASTING)


def networks(service: str) -> set[str]:
    return set(SERVICES[service].get("networks", ()))


def mounts(service: str) -> dict[str, dict[str, Any]]:
    """The volumes of a service, by their path in the container."""
    return {volume["target"]: volume for volume in SERVICES[service].get("volumes", ())}


def option(service: str, name: str) -> str:
    """The value of an option in the command of a service."""
    command: list[str] = SERVICES[service]["command"]
    for argument, following in zip(command, [*command[1:], ""], strict=True):
        if argument == name:
            return following
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
    raise AssertionError(f"{service} has no {name}")


def serve_options() -> Any:
    """The command line of extauthz, as its own parser reads it."""
    return build_parser().parse_args(SERVICES["extauthz"]["command"])


def image_healthcheck() -> list[str]:
    structure = DockerfileParser(str(ROOT / "Dockerfile")).structure
    values = [entry["value"] for entry in structure if entry["instruction"] == "HEALTHCHECK"]
    _, _, command = str(values[-1]).partition("CMD ")
    arguments: list[str] = json.loads(command)
    return arguments


def envoy_configuration() -> dict[str, Any]:
    """Envoy's configuration, from where Envoy is told to look for it."""
    path = Path(option("envoy", "--config-path"))
    source = mounts("envoy")[str(path.parent)]["source"]
    configuration: dict[str, Any] = yaml.safe_load((ROOT / source / path.name).read_text())
    return configuration


def values(tree: Any, key: str) -> Iterator[Any]:
    """Every value under this key, however deep."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(tree, list):
        for item in tree:
            yield from values(item, key)


def addresses(tree: Any) -> set[tuple[str, int]]:
    return {(found["address"], found["port_value"]) for found in values(tree, "socket_address")}


def compose_command() -> list[str] | None:
    """Docker Compose of the second generation, where it is installed."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is not None:
            version = [*command, "version", "--short"]
            run = subprocess.run(version, check=False, capture_output=True, text=True)
            if run.returncode == 0 and not run.stdout.startswith("1."):
                return command
    return None


class TestFile:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())

    def validator(self) -> jsonschema.Draft7Validator:
        checker = jsonschema.Draft7Validator.FORMAT_CHECKER
        return jsonschema.Draft7Validator(self.schema, format_checker=checker)

    def test_valid(self) -> None:
        """It is a compose file by the schema of the Compose Specification."""
        assert not [error.message for error in self.validator().iter_errors(COMPOSE)]

    def test_misspelt(self) -> None:
        """The validator is one: a misspelt setting is an error."""
        misspelt = {"services": {"envoy": SERVICES["envoy"] | {"read-only": True}}}
        assert not self.validator().is_valid(misspelt)

    def test_compose(self) -> None:
        """Docker Compose takes it, and sees the same services."""
        command = compose_command()
        if command is None:
            pytest.skip("Docker Compose 2 is not installed")
        file = str(ROOT / "docker-compose.yml")
        resolve = [*command, "--file", file, "config", "--format", "json"]
        run = subprocess.run(resolve, check=True, capture_output=True, text=True)
        assert not run.stderr
        assert json.loads(run.stdout)["services"].keys() == SERVICES.keys()


class TestHardening:
    def test_published(self) -> None:
        """Envoy alone can be reached from outside, and from this machine alone."""
        published = {name: service.get("ports") for name, service in SERVICES.items()}
        ports = published.pop("envoy")
        assert ports == ["127.0.0.1:8443:8443"]
        assert not any(published.values())

    @every_service
    def test_privileges(self, service: str) -> None:
        """No service can write its root, begin with capabilities or come by more."""
        settings = SERVICES[service]
        assert settings["read_only"] is True
        assert settings["cap_drop"] == ["ALL"]
        assert settings["security_opt"] == ["no-new-privileges:true"]
        loosening = {"privileged", "devices", "pid", "ipc", "userns_mode", "volumes_from"}
        assert not loosening & settings.keys()

    @every_lasting_service
    def test_user(self, service: str) -> None:
        """What stays up runs as a user by number who is not root, without any capability."""
        user, group = SERVICES[service]["user"].split(":")
        assert int(user) > 0
        assert int(group) > 0
        assert "cap_add" not in SERVICES[service]

    def test_users_differ(self) -> None:
        """No two services could read what only the other may."""
        users = [SERVICES[service]["user"] for service in LASTING]
        assert len(set(users)) == len(users)

    def test_certificate_maker(self) -> None:
        """The one that begins as root is told nothing, hears nothing, and ends."""
        maker = SERVICES["certificates"]
        assert maker["cap_add"] == ["CHOWN", "SETGID", "SETUID"]
        assert maker["network_mode"] == "none"
        assert maker["restart"] == "no"

    @every_service
    def test_image(self, service: str) -> None:
        """Every image is built here, or named by its exact version."""
        settings = SERVICES[service]
        if "build" in settings:
            assert settings["pull_policy"] == "build"
            assert (ROOT / settings["build"] / "Dockerfile").is_file()
        else:
            name, _, tag = settings["image"].partition(":")
            assert name
            assert re.fullmatch(r"(distroless-)?v\d+\.\d+\.\d+", tag)

    @every_service
    def test_limits(self, service: str) -> None:
        """Memory, processors, processes and logs are bounded; one processor is enough."""
        settings = SERVICES[service]
        limits = settings["deploy"]["resources"]["limits"]
        assert limits.keys() == {"cpus", "memory", "pids"}
        assert float(limits["cpus"]) <= 1
        assert settings["logging"]["options"].keys() == {"max-size", "max-file"}

    @every_lasting_service
    def test_restart(self, service: str) -> None:
        """What stays up comes back after a crash."""
        assert SERVICES[service]["restart"] == "unless-stopped"

    @every_service
    def test_mounts(self, service: str) -> None:
        """A service gets directories of the repository, and only certs/ can be written, by one.

        extauthz has a volume besides, for the CRLs that it fetches.
        """
        for target, volume in mounts(service).items():
            if (service, target) == ("extauthz", "/var/lib/extauthz"):
                assert (volume["type"], COMPOSE["volumes"][volume["source"]]) == ("volume", {})
                continue
            assert volume["type"] == "bind"
            assert (ROOT / volume["source"]).is_dir()
            may_write = service == "certificates" and target == "/certs"
            assert volume.get("read_only", False) is not may_write

    def test_networks(self) -> None:
        """The world ends at Envoy; what it stands between reach it, and not one another."""
        open_networks = {
            name for name, network in COMPOSE["networks"].items() if not network.get("internal")
        }
        assert [name for name in LASTING if open_networks & networks(name)] == ["envoy"]
        assert networks("extauthz") <= networks("envoy")
        assert networks("service") <= networks("envoy")
        assert not networks("extauthz") & networks("service")

    def test_who_may_ask(self) -> None:
        """Of all addresses, only Envoy's may ask for checks."""
        (allowed,) = serve_options().allow_from
        (network,) = networks("extauthz")
        address = ip_address(SERVICES["envoy"]["networks"][network]["ipv4_address"])
        assert allowed == ip_network(address)
        (pool,) = COMPOSE["networks"][network]["ipam"]["config"]
        assert address in list(ip_network(pool["subnet"]).hosts())[1:]


class TestOrder:
    def test_certificates_first(self) -> None:
        """Whoever mounts certs/ waits until the certificates have been made."""
        for name in LASTING:
            if "/certs" in mounts(name):
                condition = SERVICES[name]["depends_on"]["certificates"]["condition"]
                assert condition == "service_completed_successfully"
        assert "depends_on" not in SERVICES["certificates"]

    def test_envoy_last(self) -> None:
        """Envoy begins when extauthz is healthy, by the image's own measure."""
        assert SERVICES["envoy"]["depends_on"].keys() == SERVICES.keys() - {"envoy"}
        assert SERVICES["envoy"]["depends_on"]["extauthz"]["condition"] == "service_healthy"
        assert image_healthcheck()
        assert "test" not in SERVICES["extauthz"]["healthcheck"]

    def test_stop(self) -> None:
        """Checks that run have the time to finish that extauthz gives them."""
        grace: str = SERVICES["extauthz"]["stop_grace_period"]
        assert float(grace.removesuffix("s")) > STOP_SECONDS


class TestAgreement:
    def test_listens(self) -> None:
        """What is published is the port that Envoy listens on."""
        listeners = envoy_configuration()["static_resources"]["listeners"]
        ports = {listener["address"]["socket_address"]["port_value"] for listener in listeners}
        assert {int(port.split(":")[2]) for port in SERVICES["envoy"]["ports"]} == ports

    def test_clusters(self) -> None:
        """Every address that Envoy connects to is a service here that listens there."""
        options = serve_options()
        there = {
            ("extauthz", options.listen.port),
            ("extauthz", options.admin.port),
            ("service", int(option("service", "--port"))),
        }
        asked = addresses(envoy_configuration()["static_resources"]["clusters"])
        assert asked <= there
        assert {name for name, _ in asked} == {"extauthz", "service"}

    def test_addresses(self) -> None:
        """Extauthz listens where Envoy can reach it."""
        options = serve_options()
        assert options.listen.host == options.admin.host == "0.0.0.0"

    def test_policy(self) -> None:
        """The policy is in a directory that extauthz mounts, and so is all that it names."""
        path = serve_options().policy
        source = mounts("extauthz")[str(path.parent)]["source"]
        policy = yaml.safe_load((ROOT / source / path.name).read_text())
        named = [file for files in values(policy, "signing_certificates") for file in files]
        assert named
        for file in named:
            assert os.path.normpath(path.parent / file).startswith("/certs/")

    def test_certs(self) -> None:
        """Whoever mounts certs/ mounts the directory that the certificates are made in."""
        made_in = SERVICES["certificates"]["command"][-1]
        sources = {mounts(name)[made_in]["source"] for name in SERVICES if name != "service"}
        assert len(sources) == 1

    def test_group_of_the_key(self) -> None:
        """The server's key is given to the group that Envoy runs in."""
        group = SERVICES["certificates"]["entrypoint"][-1]
        assert SERVICES["envoy"]["user"].split(":")[1] == group


@dataclass(frozen=True, slots=True)
class Machine:
    """A directory in which the bind mounts of all services lie side by side."""

    root: Path
    check: int
    admin: int

    def here(self, text: str) -> str:
        """A command's argument, or a file, with what is a container's replaced by what is here."""
        targets = {target for service in SERVICES for target in mounts(service)}
        pattern = "|".join(re.escape(target) for target in sorted(targets))
        text = re.sub(rf"(?<![\w/.])({pattern})(?![\w-])", rf"{self.root}\1", text)
        options = serve_options()
        for port, free in ((options.listen.port, self.check), (options.admin.port, self.admin)):
            text = re.sub(rf"\b{port}\b", str(free), text)
        return text.replace("0.0.0.0", "127.0.0.1")

    def command(self, arguments: list[str]) -> list[str]:
        """A command, run by the Python that runs the tests."""
        program, *rest = arguments
        names = {"python": [sys.executable], "extauthz": [sys.executable, "-m", "extauthz"]}
        names["envoy"] = [str(Path(sys.executable).parent / "envoy")]
        return names[program] + [self.here(argument) for argument in rest]

    def run(self, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(arguments),
            check=False, capture_output=True, text=True, env=environment(), timeout=60,
        )  # fmt: skip

    def is_healthy(self) -> bool:
        return self.run(image_healthcheck()).returncode == 0


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def lay_out(root: Path) -> None:
    """Copy what the services mount, as a fresh clone has it: without certificates."""
    (root / "certs").mkdir()
    for target in ("/demo", "/etc/envoy"):
        (source,) = {mounts(name)[target]["source"] for name in SERVICES if target in mounts(name)}
        shutil.copytree(ROOT / source, root / target.lstrip("/"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The machine after its certificates were made, by the very command."""
    root = tmp_path_factory.mktemp("machine")
    lay_out(root)
    machine = Machine(root, free_port(), free_port())
    made = machine.run(SERVICES["certificates"]["command"])
    assert made.returncode == 0, made.stderr
    return machine


class TestCertificateMaker:
    def test_again(self, machine: Machine) -> None:
        """A second run leaves what is good as it is."""
        before = {path: path.read_bytes() for path in (machine.root / "certs").iterdir()}
        assert machine.run(SERVICES["certificates"]["command"]).returncode == 0
        after = {path: path.read_bytes() for path in (machine.root / "certs").iterdir()}
        assert before == after

    @pytest.mark.parametrize("name", ["server", "alice"])
    def test_keys(self, machine: Machine, name: str) -> None:
        """A private key is its owner's alone."""
        assert (machine.root / "certs" / f"{name}-key.pem").stat().st_mode & 0o777 == 0o600

    def test_failure(self, machine: Machine) -> None:
        """Where certificates cannot be made, nothing that waits for them begins."""
        maker = SERVICES["certificates"]
        *entrypoint, _group = maker["entrypoint"]
        entrypoint[-1] = re.sub(r"os\.(chown|set\w+)\(.*\)", "pass", entrypoint[-1])
        run = machine.run([*entrypoint, "0", sys.executable, "-c", "raise SystemExit(3)"])
        assert run.returncode == 3


OWNER = 54321
"""Somebody who clones the repository, and is neither root nor the first user of the machine."""

PUBLIC = ("acme-ca.pem", "server.pem", "alice.pem")
PRIVATE = ("server-key.pem", "alice-key.pem")


@contextlib.contextmanager
def clone_of(owner: int) -> Iterator[Machine]:
    """A user's machine before any certificate was made; certs/ was left there by root."""
    root = Path(tempfile.mkdtemp(prefix="extauthz-"))
    root.chmod(0o755)
    try:
        lay_out(root)
        for path in (root, *root.rglob("*")):
            os.chown(path, owner, owner)
        os.chown(root / "certs", 0, 0)
        yield Machine(root, 0, 0)
    finally:
        shutil.rmtree(root)


def can_read(user: str, path: Path) -> bool:
    """Whether a service's `user`, and nobody's supplementary groups, can read a file."""
    owner, group = map(int, user.split(":"))
    command = ["head", "--bytes=1", str(path)]
    run = subprocess.run(
        command, check=False, capture_output=True, user=owner, group=group, extra_groups=[]
    )
    return run.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="changing owners takes root")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
class TestOwnership:
    @staticmethod
    def make(machine: Machine, command: list[str]) -> None:
        """Run the certificate maker with no capability but those that it is given."""
        maker = SERVICES["certificates"]
        granted = ",".join(f"+{name.lower()}" for name in maker["cap_add"])
        limit = ["setpriv", f"--bounding-set=-all,{granted}", "--inh-caps=-all", "--no-new-privs"]
        entrypoint = machine.command(maker["entrypoint"])
        subprocess.run([*limit, *entrypoint, *command], check=True, env=environment())

    @pytest.fixture(params=[OWNER, 0], ids=["user", "root"])
    def owner(self, request: pytest.FixtureRequest) -> int:
        return int(request.param)

    @pytest.fixture
    def certs(self, owner: int) -> Iterator[Path]:
        """The directory as the maker leaves it; made twice, as by a second `up`.

        The files are stand-ins with the right modes: the Python that runs the tests may lie where
        only root can run it.
        """
        script = 'cd "$0" && touch {} && (umask 077 && touch {})'
        with clone_of(owner) as machine:
            certs = machine.root / "certs"
            script = script.format(" ".join(PUBLIC), " ".join(PRIVATE))
            for _ in range(2):
                self.make(machine, ["sh", "-c", script, str(certs)])
            yield certs

    def test_yours(self, certs: Path, owner: int) -> None:
        """What it makes belongs to whoever cloned the repository."""
        assert {path.stat().st_uid for path in (certs, *certs.iterdir())} == {owner}
        assert all(can_read(f"{owner}:{owner}", certs / name) for name in PUBLIC + PRIVATE)

    def test_envoys(self, certs: Path) -> None:
        """Envoy can read the server's key, and no user's."""
        envoy = SERVICES["envoy"]["user"]
        assert all(can_read(envoy, certs / name) for name in PUBLIC)
        assert [name for name in PRIVATE if can_read(envoy, certs / name)] == ["server-key.pem"]

    @pytest.mark.parametrize("service", ["extauthz", "service"])
    def test_nobody_elses(self, certs: Path, service: str) -> None:
        """Any other service, and any other user of the machine, can read no key."""
        user = SERVICES[service]["user"]
        assert all(can_read(user, certs / name) for name in PUBLIC)
        assert not [name for name in PRIVATE if can_read(user, certs / name)]

    def test_whole(self) -> None:
        """The maker works within these bounds."""
        with clone_of(0) as machine:
            command = machine.command(SERVICES["certificates"]["command"])
            self.make(machine, command)
            envoy = SERVICES["envoy"]["user"]
            assert can_read(envoy, machine.root / "certs" / "server-key.pem")


class TestServe:
    def test_healthy(self, machine: Machine, tmp_path: Path) -> None:
        """It is healthy by the image's own check while it serves, neither before nor after."""
        assert not machine.is_healthy()
        command = machine.command(["extauthz", *SERVICES["extauthz"]["command"]])
        output = tmp_path / "output"
        with (
            output.open("wb") as file,
            subprocess.Popen(
                command, stdout=file, stderr=file, env=environment(), cwd="/"
            ) as process,
        ):
            try:
                deadline = time.monotonic() + 60
                while not machine.is_healthy():
                    assert process.poll() is None, output.read_text()
                    assert time.monotonic() < deadline, output.read_text()
                    time.sleep(0.1)
            finally:
                process.send_signal(signal.SIGTERM)
            assert process.wait(3 * STOP_SECONDS) == 0
        assert not machine.is_healthy()

    def test_not_ready(self, machine: Machine) -> None:
        """A service that answers, but is not ready, is not healthy."""

        class NotReady(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_error(503)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        with http.server.HTTPServer(("127.0.0.1", machine.admin), NotReady) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                assert not machine.is_healthy()
            finally:
                server.shutdown()
                thread.join()


class TestEnvoy:
    def test_command(self, machine: Machine) -> None:
        """Envoy takes its command line, its configuration, and the certificates that were made."""
        configuration = machine.root / option("envoy", "--config-path").lstrip("/")
        configuration.write_text(machine.here(configuration.read_text()))
        run = machine.run(["envoy", *SERVICES["envoy"]["command"], "--mode", "validate"])
        assert run.returncode == 0, run.stderr

    def test_certificates(self, machine: Machine) -> None:
        """Every file in certs/ that Envoy is told of has been made."""
        named = re.findall(r"/certs/[\w./-]+", json.dumps(envoy_configuration()))
        assert named
        assert all((machine.root / path.lstrip("/")).is_file() for path in named)

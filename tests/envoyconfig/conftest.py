"""Envoy's own opinion of a configuration."""

import subprocess
from collections.abc import Callable

import pytest

from extauthz.demo.envoy import Placement, envoy_command, place
from tests.ports import LOOPBACK
from tests.wire.envoy_process import make_certificates

Validate = Callable[[str], None]


@pytest.fixture(scope="session")
def validate(tmp_path_factory: pytest.TempPathFactory) -> Validate:
    """Fails with what Envoy says of a configuration that it does not take, or warns about."""
    directory = tmp_path_factory.mktemp("validate")
    make_certificates(directory)
    nowhere = (LOOPBACK, 1)
    where = Placement(nowhere, nowhere, nowhere, nowhere, directory)

    def run(text: str) -> None:
        path = directory / "envoy.yaml"
        path.write_text(place(text, where))
        command = [*envoy_command(path), "--mode", "validate"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        said = [line for line in done.stderr.splitlines() if "Deprecated field" not in line]
        assert (done.returncode, said) == (0, [])

    return run

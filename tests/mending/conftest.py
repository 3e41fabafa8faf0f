"""A directory with a policy, whose accounts are mended."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extauthz.accounts import Account
from extauthz.demo.authority import Validity, authority, name
from extauthz.mending.change import Changed, Order, carry_out, look
from extauthz.mending.edit import Request
from extauthz.policyfile.loader import load

HEAD = """\
subscriptions:
  acme:
    hosts: [acme.example.com]
    signing_certificates: [acme-ca.pem]
    accounts:"""
BOSS = {"email": "boss@acme.example", "role": "manager"}


@dataclass(frozen=True)
class Workspace:
    """A directory, and the policy file in it."""

    directory: Path

    @property
    def policy(self) -> Path:
        return self.directory / "policy.yaml"

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The lines of the policy's audit file."""
        return audit_lines(self.policy)

    def write(self, accounts: str, more: str = "") -> Path:
        """Write a policy whose `accounts` are these."""
        self.policy.write_bytes(f"{HEAD}{accounts}{more}".encode())
        return self.policy

    def change(self, request: Request, login: str, acting: str = "boss", **more: Any) -> Changed:
        order = Order(self.policy, "acme", acting, "test", login, **more)
        return carry_out(order, request)

    def accounts(self) -> dict[str, Account]:
        """All accounts, as the manager sees them."""
        seen = look(Order(self.policy, "acme", "boss", "list", None))
        return {account.login: account for account in seen}

    def standing(self) -> tuple[object, ...]:
        """What tells whether the policy file was touched. Reading it may change st_atime."""
        found = self.policy.stat()
        return self.policy.read_bytes(), found.st_ino, found.st_mtime_ns, found.st_ctime_ns

    def problems(self) -> Sequence[object]:
        return load(self.policy, datetime.now(UTC)).problems


def audit_lines(edited: Path) -> list[dict[str, Any]]:
    """The lines of the audit file of an edited one."""
    path = edited.with_name(edited.name + ".audit.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="session")
def ca_pem() -> str:
    return authority(name("Acme CA"), validity=Validity.days(-1, 3650)).pem


@pytest.fixture
def workspace(tmp_path: Path, ca_pem: str) -> Workspace:
    (tmp_path / "acme-ca.pem").write_text(ca_pem)
    return Workspace(tmp_path)

"""What was fetched, kept on disk: a restart without a network goes on with the last good list.

The files are named after the hash of their URL and are believed no more than the network: what is
read from here is verified like what is fetched.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from extauthz.evidence.fetch import Validators

__all__ = ["KeptFile", "state_directory"]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """The place of one URL in a directory: its last good content, and what is arriving."""

    directory: Path
    url: str

    @property
    def content(self) -> Path:
        return self.directory / f"{self._stem}.crl"

    @property
    def arriving(self) -> Path:
        return self.directory / f"{self._stem}.new"

    def validators(self) -> Validators:
        """What the server said of the content; nothing when that is lost or damaged."""
        try:
            said = json.loads(self._said.read_bytes())
        except (OSError, ValueError):
            return Validators()
        if not isinstance(said, dict) or said.get("url") != self.url:
            return Validators()
        return Validators(_header(said.get("etag")), _header(said.get("last_modified")))

    def keep(self, validators: Validators) -> None:
        """Make what arrived the content. Raises OSError where that cannot be."""
        # In this order a crash in between leaves no validators for a content that is not there.
        self._said.unlink(missing_ok=True)
        with self.arriving.open("rb") as file:
            os.fsync(file.fileno())
        self.arriving.replace(self.content)
        said = {
            "url": self.url,
            "etag": validators.etag,
            "last_modified": validators.last_modified,
        }
        self._said.write_text(json.dumps(said))

    @property
    def _stem(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()

    @property
    def _said(self) -> Path:
        return self.directory / f"{self._stem}.json"


def state_directory() -> Path:
    """Where state belongs: systemd's STATE_DIRECTORY, or else what XDG says."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "extauthz"


def _header(value: object) -> str | None:
    """A header value as it may be sent again; whoever can write the file must not add headers."""
    return value if isinstance(value, str) and value.isprintable() and value.isascii() else None

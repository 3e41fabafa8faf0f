"""What was fetched, kept on disk: a restart without a network goes on with the last good list.

The files are named after the hash of their URL and are believed no more than the network: what is
read from here is verified like what is fetched.
"""

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from extauthz.fetch.fetcher import Validators

__all__ = ["KeptFile", "state_directory"]


ABANDONED_SECONDS = 3600.0
"""After what time nobody writes any more to a file that was arriving."""
_NUMBERS = count()


@dataclass(frozen=True, slots=True)
class KeptFile:
    """The place of one URL in a directory: its last good content, and what is arriving."""

    directory: Path
    url: str

    @property
    def content(self) -> Path:
        return self.directory / f"{self._stem}.crl"

    def arriving(self) -> Path:
        """A place for what is fetched, that nobody else writes to: not another process either."""
        return self.directory / f"{self._stem}.{os.getpid()}-{next(_NUMBERS)}.new"

    def make_room(self) -> None:
        """Make the directory, for us alone, and remove what a process left that was killed."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.directory.glob(f"{self._stem}.*.new"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                    left.unlink()

    def validators(self) -> Validators:
        """What the server said of the content; nothing when that is lost or damaged."""
        try:
            said = json.loads(self._said.read_bytes())
            if not isinstance(said, dict) or said.get("sha256") != _digest(self.content):
                return Validators()
        except (OSError, ValueError):
            return Validators()
        return Validators(_header(said.get("etag")), _header(said.get("last_modified")))

    def keep(self, arrived: Path, validators: Validators) -> None:
        """Make what arrived the content. Raises OSError where that cannot be."""
        with arrived.open("rb") as file:
            os.fsync(file.fileno())
        said = {
            "url": self.url,
            "sha256": _digest(arrived),
            "etag": validators.etag,
            "last_modified": validators.last_modified,
        }
        arrived.replace(self.content)
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
    if base := os.environ.get("XDG_STATE_HOME"):
        return Path(base) / "extauthz"
    try:
        return Path.home() / ".local" / "state" / "extauthz"
    except RuntimeError:
        # A user without a home, as many services are.
        return Path("/var/lib/extauthz")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header(value: object) -> str | None:
    """A header value as it may be sent again; whoever can write the file must not add headers."""
    return value if isinstance(value, str) and value.isprintable() and value.isascii() else None

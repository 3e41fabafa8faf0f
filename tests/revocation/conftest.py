"""A server for lists and answers, what reads lists, and patience with a busy machine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from extauthz.evidence import lists as lists_module
from extauthz.evidence import responders as responders_module
from extauthz.evidence.lists import Lists
from extauthz.fetch.fetcher import Fetcher
from tests.revocation.servers import HttpServer


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given up for taking long, unless that is what a test is about."""
    for setting in ("PREPARE_SECONDS", "FETCH_SECONDS", "FIRST_FETCH_SECONDS"):
        monkeypatch.setattr(lists_module, setting, 60.0)
    for setting in ("WAIT_SECONDS", "REQUEST_SECONDS"):
        monkeypatch.setattr(responders_module, setting, 60.0)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


@pytest.fixture
async def lists(tmp_path: Path) -> AsyncIterator[Lists]:
    async with Fetcher() as fetcher:
        made = Lists(fetcher, tmp_path / "state")
        yield made
        await made.close()

"""A server for lists and answers, and what reads lists."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from extauthz.evidence.lists import Lists
from extauthz.fetch import Fetcher
from tests.revocation.servers import HttpServer


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

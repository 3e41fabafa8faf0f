"""A running server, looked at by an operator."""

import http.client
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.admin.traffic import World, make_traffic, make_world
from tests.cli.conftest import Server, UnixConnection, serving

__all__ = ["Serving", "serving"]

Serving = Callable[..., AbstractContextManager[Server]]


@dataclass(frozen=True)
class Answer:
    """Of the admin listener."""

    status: int
    headers: Mapping[str, str]
    body: str


class Operator:
    """Somebody who looks at the admin listener."""

    def __init__(self, where: str) -> None:
        self.where = where

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        body: bytes | str | None = None,
        **headers: str,
    ) -> Answer:
        """One request; underscores in names of fields stand for hyphens."""
        connection: http.client.HTTPConnection
        if self.where.startswith("unix:"):
            connection = UnixConnection(Path(self.where.removeprefix("unix:")))
        else:
            connection = http.client.HTTPConnection(self.where, timeout=60)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body=body, headers=fields)
            response = connection.getresponse()
            text = response.read().decode("utf-8")
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
        finally:
            connection.close()

    def page(self, path: str) -> str:
        """A page that has to be there."""
        answer = self.ask(path)
        assert answer.status == 200, answer.body
        return answer.body


def operator_of(server: Server) -> Operator:
    return Operator(re.sub(r"^0\.0\.0\.0", "127.0.0.1", server.said(r"operators on (\S+)")[1]))


def counts(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Everything that the server counts, once its log is written."""
    waiting = "extauthz_decision_log_waiting_bytes"
    server.eventually(lambda: server.metric(waiting, destination="stdout") == 0)
    found = server.metrics()
    return {name: found[name] for name in found if name[0].startswith("extauthz_")}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def server(world: World, serving: Serving) -> Iterator[Server]:
    """A server that has had its traffic."""
    with serving(world.policy) as server:
        make_traffic(server, world)
        yield server


@pytest.fixture(scope="module")
def operator(server: Server) -> Operator:
    return operator_of(server)

"""Accounts of a service that answers for its own users, over HTTP (docs/accounts.md).

A question is a POST, so that no login stands in an access log; it changes nothing and may be
asked twice. `http_answer` reads what comes back.
"""

import json
import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp

from extauthz.accounts import Account
from extauthz.directory.backend import DirectoryError, UnreachableError, read_secret
from extauthz.directory.http_answer import MAX_OCTETS, is_text, read
from extauthz.fetch.exchange import FetchError
from extauthz.fetch.fetcher import Fetcher
from extauthz.lookup import ByLogin, HttpDirectory, LookupKey, Secret

__all__ = ["HttpBackend", "problem_with", "problems_with"]

# What stands here cannot be read in two ways, by us and by what opens the connection.
_URL = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?",
    re.ASCII,
)
# RFC 6750 2.1: b64token.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


class HttpBackend:
    """Asks the service about one account at a time. See `backend.Backend`."""

    def __init__(self, settings: HttpDirectory, fetcher: Fetcher) -> None:
        self._settings = settings
        self._connections = fetcher.kept_connections()
        self._problem = problem_with(settings)

    async def find(self, key: LookupKey) -> Sequence[Account]:
        """The accounts that the service has for a login or a name. Raises DirectoryError."""
        if self._problem is not None:
            raise DirectoryError(self._problem)
        settings = self._settings
        name, value = (
            ("login", key.login)
            if isinstance(key, ByLogin)
            else (settings.kind.value, str(key.identity))
        )
        if not is_text(value):
            return ()
        try:
            octets = await self._connections.post_json(
                settings.url,
                json.dumps({name: value}).encode("ascii"),
                {} if settings.token is None else {"Authorization": _bearer(settings.token)},
                ca_file=settings.ca_file,
                limit=MAX_OCTETS,
                seconds=settings.timeout.total_seconds(),
            )
        except FetchError as error:
            raise _failure(error) from error
        return read(octets, settings.kind)

    async def close(self) -> None:
        """Give back every connection."""
        await self._connections.close()


def _failure(error: FetchError) -> DirectoryError:
    """A handshake that fails, and whatever else comes back, is of somebody who is there."""
    cause = error.__cause__
    is_silence = isinstance(cause, (TimeoutError, aiohttp.ClientConnectorError))
    if is_silence and not isinstance(cause, aiohttp.ClientSSLError):
        return UnreachableError(str(error))
    return DirectoryError(str(error))


def problem_with(settings: HttpDirectory) -> str | None:
    """The first thing that is wrong with the settings by themselves; None when nothing is."""
    return next((message for _, message in problems_with(settings)), None)


def problems_with(settings: HttpDirectory) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings by themselves, each with the setting's key."""
    try:
        url = urlsplit(settings.url)
        host, port = url.hostname or "", url.port
    except ValueError:
        yield "url", "the URL is not one"
        return
    wrong: list[str] = []
    if url.scheme not in {"http", "https"}:
        wrong.append("the URL begins neither with https:// nor with http://")
    if "@" in url.netloc:
        wrong.append("the URL has a user name in it: give a `token` instead")
    if "#" in settings.url:
        wrong.append("the URL has a fragment, which would not be sent")
    if "?" in settings.url:
        message = "the URL has a query, which would stand in logs: give a `token`, or use the path"
        wrong.append(message)
    if not wrong and (not _URL.fullmatch(settings.url) or port == 0):
        wrong.append("the URL is not one: write it like https://users.acme.example/extauthz")
    if settings.token is not None and url.scheme == "http" and not _is_loopback(host):
        wrong.append("the token would be sent in the clear: use https://")
    for message in wrong:
        yield "url", message


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bearer(secret: Secret) -> str:
    """The Authorization field with the token as it is now. Raises DirectoryError."""
    token = read_secret(secret)
    if not _TOKEN.fullmatch(token):
        where = secret.file if secret.variable is None else secret.variable
        raise DirectoryError(f"what {where} holds cannot be a token (RFC 6750, section 2.1)")
    return f"Bearer {token}"

"""The methods that an exemption can name are those that a check can come with."""

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import HttpRequestParser

from extauthz.policyfile.exemptions import METHODS

REFUSED = (
    "BASELINE-CONTROL", "CHECKIN", "LABEL", "MKREDIRECTREF", "MKWORKSPACE", "ORDERPATCH", "PRI",
    "UNCHECKOUT", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL", "FOO", "get",
)  # fmt: skip
"""The others that IANA has registered, and some that are none."""


def parsed(method: str, loop: asyncio.AbstractEventLoop) -> str:
    """The method of a request, as the server's parser reads it."""
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
    messages, _, _ = parser.feed_data(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return messages[0][0].method


async def test_every_method_can_come() -> None:
    """An exemption for another one would never hold."""
    loop = asyncio.get_running_loop()
    assert {parsed(method, loop) for method in METHODS} == METHODS


@pytest.mark.parametrize("method", REFUSED)
async def test_no_other_method_comes_in(method: str) -> None:
    """The parser knows no more than these."""
    with pytest.raises(BadHttpMessage):
        parsed(method, asyncio.get_running_loop())

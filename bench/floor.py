"""The floor: an aiohttp server that answers 200 to everything, and does nothing else.

`python bench/floor.py PORT`. The same low-level server and event loop as extauthz has, so that
what a check costs is the difference.
"""

import asyncio
import sys

import uvloop
from aiohttp import web

FIELD_OCTETS = 1024 * 1024


async def allow(_request: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


async def main(port: int) -> None:
    server = web.Server(allow, max_line_size=FIELD_OCTETS, max_field_size=FIELD_OCTETS)
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

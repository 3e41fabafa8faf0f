"""The admin listener: its routes, and what every answer of it has in common.

It never shares an address with the check listener: what needs no check on one must not be
reachable on the other. `/healthz`, `/readyz` and `/metrics` are for machines, and open; everything
else is for who `door` lets in. Nothing here changes anything.
"""

import logging
from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from extauthz.admin.access import Rules
from extauthz.admin.door import Door, plain
from extauthz.admin.machines import Machines
from extauthz.admin.observed import Observed
from extauthz.admin.pages import Pages
from extauthz.admin.rendering import STATIC, Renderer
from extauthz.admin.tokens import Token

__all__ = ["MAX_FORM_OCTETS", "admin_application"]

MAX_FORM_OCTETS: Final = 128 * 1024
"""Longest body of a form."""
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # As good as `no-referrer` to everybody else. With that, though, browsers send our own forms
    # with `Origin: null` (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "extauthz",
}

logger = logging.getLogger(__name__)


def admin_application(
    observed: Observed, rules: Rules, token: Token | None = None
) -> web.Application:
    """The admin listener of a server."""
    renderer = Renderer()
    door = Door(rules, token, renderer)

    @web.middleware
    async def at_the_door(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await door(request, handler)

    application = web.Application(
        middlewares=[_plainly, at_the_door],
        client_max_size=MAX_FORM_OCTETS,
        # What somebody compressed is not unpacked: a few octets can become gigabytes.
        handler_args={"auto_decompress": False},
    )
    application.on_response_prepare.append(_add_headers)
    machines, pages = Machines(observed), Pages(observed, renderer, has_token=token is not None)
    add = application.router.add_get
    add("/healthz", machines.healthz)
    add("/readyz", machines.readyz)
    add("/metrics", machines.exposition)
    add("/static/{name}", _static)
    add("/", pages.overview)
    add("/subscriptions/{name}", pages.subscription)
    add("/decisions", pages.decisions)
    add("/decisions/{id}", pages.decision)
    add("/try", pages.form)
    application.router.add_post("/try", pages.try_out)
    add("/login", door.form)
    application.router.add_post("/login", door.log_in)
    application.router.add_post("/logout", door.log_out)
    return application


@web.middleware
async def _plainly(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What is no page is plain text, and no bug says anything about itself."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        allow = {name: error.headers[name] for name in (hdrs.ALLOW,) if name in error.headers}
        return plain(error.status, error.text or f"{error.reason}\n", allow)
    except (web.RequestPayloadError, ConnectionError):
        return plain(400, "The body of the request broke off, or cannot be read.\n")
    except Exception:
        logger.critical("an admin page failed by a bug", exc_info=True)
        return plain(500, "This page failed by a bug of extauthz; its log says more.\n")


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


async def _static(request: web.Request) -> web.Response:
    found = STATIC.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    media_type, octets = found
    return web.Response(body=octets, content_type=media_type, charset="utf-8")

"""The door before the pages: who comes in, logs in and logs out. `access` has the rules."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Final, TypeAlias

from aiohttp import hdrs, web
from multidict import istr

from extauthz.admin.access import Address, Rules, is_from_another_site, same_origin
from extauthz.admin.form import fields_of
from extauthz.admin.rendering import Renderer
from extauthz.admin.tokens import LOGIN_SECONDS, Token
from extauthz.envoyconfig.needs import BODY_LIMIT_HEADER
from extauthz.wire.request import CLIENT_ADDRESS

__all__ = ["Door", "plain"]

COOKIE: Final = "extauthz_admin"
OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""What Envoy's health check and Prometheus ask for."""
MAX_NEXT: Final = 2048
_QUESTION: Final = frozenset({CLIENT_ADDRESS.lower(), BODY_LIMIT_HEADER})
"""Fields that Envoy puts into a check and into nothing else. One that asks here, by mistake, must
not take a page for an allow."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)


class Door:
    """Lets in who may see the pages."""

    def __init__(self, rules: Rules, token: Token | None, renderer: Renderer) -> None:
        self._rules = rules
        self._token = token
        self._renderer = renderer

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through to its page, or say why not."""
        if not _QUESTION.isdisjoint(map(str.lower, request.headers)):
            return plain(403, "Checks are answered on another listener: that of --listen.\n")
        if request.path in OPEN:
            return await handler(request)
        is_post = request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}
        if (is_post and not same_origin(request.headers)) or is_from_another_site(request.headers):
            return plain(403, "This was sent by a page of another site.\n")
        address, token = _address(request), self._token
        # What the login page is made of has no secret in it.
        if token is not None and (request.path == "/login" or request.path.startswith("/static/")):
            return await handler(request)
        shown = _bearer(request)
        is_known = token is not None and (
            token.is_login(request.cookies.get(COOKIE, ""))
            or (shown is not None and token.is_shown(shown, address))
        )
        closed = self._rules.closed_to(
            address, request.headers.getall(hdrs.HOST, []),
            has_token=token is not None, is_known=is_known,
        )  # fmt: skip
        if closed is None:
            return await handler(request)
        if token is None:
            return plain(403, closed.why)
        if shown is not None:
            return self._refused(request, token)
        return await self._ask(request, 401)

    async def form(self, request: web.Request) -> web.StreamResponse:
        """The page to log in."""
        if self._token is None:
            raise web.HTTPNotFound
        return await self._ask(request, 200)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """Take the token, and give the browser what stands for it."""
        token = self._token
        if token is None:
            raise web.HTTPNotFound
        address = _address(request)
        if token.pause(address):
            return self._refused(request, token)
        try:
            fields = fields_of(request.headers.get(hdrs.CONTENT_TYPE, ""), await request.read())
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        if not token.is_shown(fields.get("token", "").strip(), address):
            logger.warning("admin pages: a wrong token from %s", address or "a Unix socket")
            return await self._ask(request, 403, "This is not the token.", fields.get("next", ""))
        response = web.Response(
            status=303, headers={hdrs.LOCATION: _own_path(fields.get("next", ""))}
        )
        # Not `Secure`: whether there is TLS in front of us is nothing that we can know.
        login = token.log_in()
        response.set_cookie(
            COOKIE, login, max_age=LOGIN_SECONDS, httponly=True, samesite="Strict", path="/"
        )
        return response

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """Forget the login."""
        if self._token is not None:
            self._token.log_out(request.cookies.get(COOKIE, ""))
        response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
        return response

    async def _ask(
        self, request: web.Request, status: int, wrong: str = "", next_: str | None = None
    ) -> web.StreamResponse:
        # RFC 9110 15.5.2: with a 401, that is.
        headers = {} if wrong else {hdrs.WWW_AUTHENTICATE: 'Bearer realm="extauthz"'}
        if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
            text = wrong or "These pages ask for a token: Authorization: Bearer TOKEN"
            return plain(status, f"{text}\n", headers)
        if next_ is None:
            next_ = request.query.get("next", "") if request.path == "/login" else request.path_qs
        values = {"wrong": wrong, "next": _own_path(next_)}
        body = await asyncio.to_thread(self._renderer.page, "login.html", values)
        return web.Response(
            status=status, body=body, content_type="text/html", charset="utf-8", headers=headers
        )

    def _refused(self, request: web.Request, token: Token) -> web.StreamResponse:
        pause = token.pause(_address(request))
        if not pause:
            headers = {hdrs.WWW_AUTHENTICATE: 'Bearer realm="extauthz", error="invalid_token"'}
            return plain(401, "This is not the token.\n", headers)
        seconds = int(pause) + 1
        text = f"There were too many wrong tokens: try again in {seconds} seconds.\n"
        return plain(429, text, {hdrs.RETRY_AFTER: str(seconds)})


def plain(status: int, text: str, headers: Mapping[istr, str] | None = None) -> web.Response:
    """An answer that is no page."""
    return web.Response(status=status, text=text, headers=headers)


def _address(request: web.Request) -> Address | None:
    """Where the connection comes from; None for a Unix socket."""
    transport = request.transport
    if transport is None:
        raise web.HTTPForbidden
    peer = transport.get_extra_info("peername")
    if isinstance(peer, tuple):
        # A scope, as in `fe80::1%eth0`, is no part of the address that a network holds.
        return ip_address(peer[0].partition("%")[0])
    # Of a connection that was reset, uvloop knows no address either.
    if transport.get_extra_info("socket").family != socket.AF_UNIX:
        raise web.HTTPForbidden
    return None


def _bearer(request: web.Request) -> str | None:
    """The token that a request shows (RFC 6750 2.1)."""
    fields = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(fields) != 1:
        return None
    scheme, _, token = fields[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _own_path(text: str) -> str:
    """A path of ours to go on to: never another site, whatever a link says."""
    is_path = text.startswith("/") and not text.startswith(("//", "/log"))
    is_plain = text.isascii() and text.isprintable() and not set(' \\"<>') & set(text)
    return text if is_path and is_plain and len(text) <= MAX_NEXT else "/"

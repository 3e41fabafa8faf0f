"""The pages: a request's query in, a view as of now, a rendered page out.

What a page takes is read in the event loop where it could change, and worked out and rendered
beside it (`pacing`).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, ParamSpec, TypeVar
from urllib.parse import urlencode

from aiohttp import hdrs, web

from extauthz.admin import attempt
from extauthz.admin.callers import caller_of
from extauthz.admin.form import fields_of
from extauthz.admin.observed import Observed
from extauthz.admin.overview import overview
from extauthz.admin.pacing import Turns
from extauthz.admin.rendering import Renderer
from extauthz.admin.search import NOBODYS, Outcome, QuestionError, Wanted, search
from extauthz.admin.subscription import page_of
from extauthz.explanation import explain

__all__ = ["Pages"]

PAGE: Final = 50
"""Decisions that one page shows."""
REFRESHES: Final = (5, 30)
"""Seconds after which a page can be had to load itself again."""
MAX_ERRORS: Final = 20
"""Errors of the policy file that the overview shows."""
MAX_DIGITS: Final = 15
MAX_CHOICES: Final = 500
"""Subscriptions and hosts that a form offers."""

P = ParamSpec("P")
T = TypeVar("T")


class Pages:
    """Answers for the pages of one server."""

    def __init__(self, observed: Observed, renderer: Renderer, *, has_token: bool) -> None:
        self._observed = observed
        self._renderer = renderer
        self._has_token = has_token
        self._turns = Turns()
        history = observed.history
        self._run = f"{int(history.began.timestamp() * 1000):x}"
        """Tells the decisions of this process from those before a restart, in their URLs."""

    async def overview(self, request: web.Request) -> web.Response:
        self._observed.recorder.flush()
        asked, page = request.query.get("q", "")[:200], _whole(request.query.get("page", "1"))
        view = await self._made(overview, self._observed, datetime.now(UTC), asked, page or 1)
        live = self._observed.live
        return await self._page(
            "overview.html", request, view=view, asked=asked, live=live,
            errors=[str(error) for error in live.status.errors[:MAX_ERRORS]],
            logs=self._observed.logs.logs, error_count=len(live.status.errors),
        )  # fmt: skip

    async def subscription(self, request: web.Request) -> web.Response:
        self._observed.recorder.flush()
        name, snapshot = request.match_info["name"], self._observed.live.snapshot
        subscription = None if snapshot is None else snapshot.policy.subscriptions.get(name)
        if subscription is None and name != NOBODYS:
            raise web.HTTPNotFound(text="There is no such subscription in the policy in force.\n")
        known, now = self._observed.history.known(), datetime.now(UTC)
        view = await self._made(page_of, self._observed, known, subscription, now)
        return await self._page(
            "subscription.html", request, view=view, subscription=subscription, nobodys=NOBODYS
        )

    async def decisions(self, request: web.Request) -> web.Response:
        self._observed.recorder.flush()
        try:
            wanted = Wanted.of(request.query)
        except QuestionError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        known, before = self._observed.history.known(), _whole(request.query.get("before", ""))
        found = await self._made(search, known.newest_first(), wanted, PAGE, before)
        refresh = _whole(request.query.get("refresh", ""))
        return await self._page(
            "decisions.html", request, wanted=wanted, known=known, found=found, before=before,
            rows=[(self._id(number), each, caller_of(each)) for number, each in found.records],
            refresh=refresh if refresh in REFRESHES and before is None else None,
            refreshes=REFRESHES, outcomes=list(Outcome), nobodys=NOBODYS,
            names=self._names(), now=datetime.now(UTC),
            is_redacted=any(record.redacted for _, record in found.records),
        )  # fmt: skip

    async def decision(self, request: web.Request) -> web.Response:
        self._observed.recorder.flush()
        run, _, number = request.match_info["id"].partition("-")
        wanted = _whole(number)
        if run != self._run or wanted is None:
            return await self._by_request_id(request.match_info["id"])
        kept = self._observed.history.known().numbered(wanted)
        record = None if kept is None else kept.record()
        if record is None:
            raise web.HTTPNotFound(text=_NOT_HERE)
        return await self._page(
            "decision.html", request, explanation=explain(record), record=record,
            caller=caller_of(record),
        )  # fmt: skip

    async def _by_request_id(self, request_id: str) -> web.Response:
        """The way to a decision, or to several, by what Envoy and the log call the request."""
        try:
            wanted = Wanted.of({"request_id": request_id})
        except QuestionError as error:
            raise web.HTTPNotFound(text=_NOT_HERE) from error
        newest_first = self._observed.history.known().newest_first()
        found = await self._made(search, newest_first, wanted, 1)
        if not wanted.request_id or not found.records:
            raise web.HTTPNotFound(text=_NOT_HERE)
        where = f"/decisions/{self._id(found.records[0][0])}"
        if found.before is not None:
            where = f"/decisions?{urlencode(wanted.query())}"
        return web.Response(status=303, headers={hdrs.LOCATION: where})

    async def form(self, request: web.Request) -> web.Response:
        fields = {name: request.query.get(name, "") for name in attempt.PREFILLED}
        return await self._form(request, attempt.Attempt(attempt.EMPTY | fields))

    async def try_out(self, request: web.Request) -> web.Response:
        """Decide on what the form asks. It stays a question: nothing is recorded or changed."""
        snapshot = self._observed.live.snapshot
        if snapshot is None:
            raise web.HTTPServiceUnavailable(text="No policy is in force.\n")
        content_type, body = request.headers.get(hdrs.CONTENT_TYPE, ""), await request.read()
        try:
            given = await self._made(fields_of, content_type, body)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        tried = await self._made(attempt.attempt, given, snapshot.policy, datetime.now(UTC))
        if tried.facts is None or tried.at is None:
            return await self._form(request, tried, status=422)
        explanation = await attempt.outcome(snapshot, self._observed.around, tried.facts, tried.at)
        return await self._form(request, tried, explanation=explanation)

    async def _form(
        self, request: web.Request, tried: attempt.Attempt, *, status: int = 200,
        explanation: object = None,
    ) -> web.Response:  # fmt: skip
        return await self._page(
            "try.html", request, status=status, tried=tried, explanation=explanation,
            hosts=self._hosts(),
        )  # fmt: skip

    def _id(self, number: int) -> str:
        return f"{self._run}-{number}"

    def _names(self) -> list[str]:
        snapshot = self._observed.live.snapshot
        names = [] if snapshot is None else list(snapshot.policy.subscriptions)
        return sorted(names[:MAX_CHOICES])

    def _hosts(self) -> list[str]:
        snapshot = self._observed.live.snapshot
        if snapshot is None:
            return []
        hosts: list[str] = []
        for subscription in snapshot.policy.subscriptions.values():
            hosts += (host for host in subscription.hosts if not host.startswith("*"))
            if len(hosts) >= MAX_CHOICES:
                break
        return hosts[:MAX_CHOICES]

    async def _made(self, make: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        return await self._turns.made(make, *given, **named)

    async def _page(
        self, template: str, request: web.Request, *, status: int = 200, **values: object
    ) -> web.Response:
        common: Mapping[str, object] = {
            "began": self._observed.history.began, "has_token": self._has_token,
            "path": request.path,
        }  # fmt: skip
        body = await self._made(self._renderer.page, template, {**common, **values})
        return web.Response(status=status, body=body, content_type="text/html", charset="utf-8")


_NOT_HERE: Final = """\
This decision is not in memory: it made room for newer ones, or the server was started anew.
The decision log has it: extauthz explain REQUEST_ID --log FILE
"""


def _whole(text: str) -> int | None:
    """A whole number that is not too long to be one of ours."""
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return int(text) if is_number else None

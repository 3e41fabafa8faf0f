"""What machines ask of the admin listener: Envoy's health check, Prometheus.

Whoever reaches the listener may ask, so nothing here quotes the policy: its errors do, and may name
a person.
"""

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from extauthz.admin.observed import Observed
from extauthz.admin.pacing import Turns
from extauthz.policyfile.problems import Problem
from extauthz.quoting import printable

__all__ = ["MAX_READY_ERRORS", "Machines"]

MAX_READY_ERRORS = 20
"""Errors of the last reading whose places `/readyz` lists; `extauthz validate` has them all."""


class Machines:
    """Whether we live, whether we can decide, and how it goes."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._turns = Turns()

    async def healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        live = self._observed.live
        snapshot, status = live.snapshot, live.status
        return web.json_response(
            {
                "ready": snapshot is not None,
                "policy": str(live.path),
                "generation": None if snapshot is None else snapshot.generation,
                "last_reload": {
                    "at": status.at.isoformat(),
                    "successful": not status.errors,
                    "error_count": len(status.errors),
                    "errors": [_where(problem) for problem in status.errors[:MAX_READY_ERRORS]],
                },
            },
            status=503 if snapshot is None else 200,
        )

    async def exposition(self, _request: web.Request) -> web.Response:
        self._observed.recorder.flush()
        # Many subscriptions make it long, and checks must not wait for it, nor for many of them.
        body = await self._turns.made(generate_latest, self._observed.metrics)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})


def _where(problem: Problem) -> str:
    """Where an error is: what it is stands on the overview and on standard error."""
    place = problem.place
    where = problem.file if place is None else f"{problem.file}:{place.line}:{place.column}"
    return printable(str(where))

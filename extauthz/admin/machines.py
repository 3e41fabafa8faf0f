"""What machines ask of the admin listener: Envoy's health check, Prometheus."""

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from extauthz.admin.observed import Observed
from extauthz.admin.pacing import Turns

__all__ = ["MAX_READY_ERRORS", "Machines"]

MAX_READY_ERRORS = 20
"""Errors of the last reading that `/readyz` lists; `extauthz validate` has them all."""


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
                    "errors": [str(problem) for problem in status.errors[:MAX_READY_ERRORS]],
                },
            },
            status=503 if snapshot is None else 200,
        )

    async def exposition(self, _request: web.Request) -> web.Response:
        self._observed.recorder.flush()
        # Many subscriptions make it long, and checks must not wait for it, nor for many of them.
        body = await self._turns.made(generate_latest, self._observed.metrics)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

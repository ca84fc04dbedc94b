"""The doors for machines that watch machines: /health, /ready, /metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from modelport.deployments import Deployment, Deployments
from modelport.errors import ModelportError
from modelport.frontends.http import Hall, guarded
from modelport.metrics import gauge


class HealthFrontend:
    """`/health`: the process answers. `/ready`: it can predict. `/metrics`: Prometheus.

    A service that is not loaded because nobody has asked for it is ready. A model named on the command line whose start
    failed is not, and neither is the server; a service that fails is told, and hurts no other.
    """

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        hall.metrics.registry.register(_Gauges(hall.deployments))

    def add_routes(self, app: web.Application) -> None:
        base = self.hall.settings.base_path
        app.router.add_get(f"{base}/health", self.health)
        app.router.add_get(f"{base}/ready", self.ready)
        app.router.add_get(f"{base}/metrics", guarded(self.metrics, _error))

    async def health(self, request: web.Request) -> web.Response:
        return web.Response(text="Ok")

    async def ready(self, request: web.Request) -> web.Response:
        """Who may know more than yes or no must send a token."""
        ready = all(_state(each)["ready"] for each in self.hall.deployments if each.row is None)
        document: dict[str, Any] = {"ready": ready}
        try:
            document["deployments"] = {each.name: _state(each) for each in self.hall.visible(request)}
        except ModelportError:
            pass
        return web.Response(
            status=200 if ready else 503, body=msgspec.json.encode(document), content_type="application/json"
        )

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        self.hall.check_token(request)
        return web.Response(
            body=generate_latest(self.hall.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


def _state(deployment: Deployment) -> dict[str, Any]:
    counts = deployment.counts()
    if deployment.failure is not None and counts.workers == 0:
        return {"ready": False, "state": "failed", "reason": deployment.failure.message}
    if counts.workers == 0 and deployment.row is None:
        return {"ready": False, "state": "loading"}
    state = "ready" if counts.workers else deployment.state
    return {"ready": True, "state": state, "workers": counts.workers, "busy": counts.busy, "queued": counts.queued}


class _Gauges(Collector):
    """What the executors are doing, read when Prometheus asks."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments

    def collect(self) -> Iterable[Metric]:
        counts = {each.name: each.counts() for each in self._deployments}
        for name, help in (
            ("workers", "Warm worker processes"),
            ("busy", "Workers with a call"),
            ("starting", "Workers that are warming up"),
            ("queued", "Calls that wait for a worker"),
            ("restarts", "Workers replaced since the start"),
        ):
            rows = {deployment: float(getattr(each, name)) for deployment, each in counts.items()}
            yield gauge(f"modelport_worker_{name}" if name != "queued" else "modelport_queued", help, rows)


def _error(error: ModelportError, status: int) -> web.Response:
    return web.json_response({"error": error.kind, "message": error.message}, status=status)

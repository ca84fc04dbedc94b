"""The front end for machines that watch machines: /health, /ready, /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from modelport.deployments.deployments import Deployment, Deployments
from modelport.errors import ModelportError
from modelport.executors import Node
from modelport.http.frontend import GreetingRow, Route
from modelport.http.gateway import Gateway
from modelport.http.json_answers import json_answer
from modelport.http.operations import DescribedFrontend
from modelport.observe.metrics import filled
from modelport.payments import Payments
from modelport.store.values import set_value

# How old an answer of the stores may be.
FRESH_S = 1.0
# What is written to see whether the store can be written.
PROBE = "ready"


class DeploymentReadiness(Struct):
    ready: bool
    state: str
    workers: int | UnsetType = UNSET
    busy: int | UnsetType = UNSET
    queued: int | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class Readiness(Struct):
    """Whether the server can predict; more is for those who send a token"""

    ready: bool
    deployments: dict[str, DeploymentReadiness] | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    buckets: Any = UNSET


class HealthFrontend(DescribedFrontend):
    """`/health`: the process answers. `/ready`: it can predict, and takes what is new. `/metrics`: Prometheus.

    A service that is not loaded because nobody has asked for it is ready. A model named on the command line whose start
    failed is not, and neither is the server. Nor is it while its disk is full or its own store hangs: predictions go on
    then, while jobs, uploads and deployments are refused. A service that fails is told, and hurts no other; so is
    another S3 service that does not answer: many servers may share that one.

    Of the gateway it needs the store and the buckets, to ask whether they answer, and the metrics.
    """

    segments = ("health", "ready", "metrics")
    tag = "health"

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._stores = _Stores(gateway)
        self._now = _Now(gateway)
        gateway.metrics.registry.register(self._now)

    def routes(self) -> Iterable[Route]:
        line, ready = {200: "text/plain"}, {200: Readiness, 503: Readiness}
        return (
            self.route("GET /health", self.health, "health", "The server answers", line),
            self.route("GET /ready", self.ready, "ready", "The server can predict", ready),
            self.route("GET /metrics", self.metrics, "metrics", "Metrics for Prometheus", line, (401,)),
        )

    def greeting(self) -> Iterable[GreetingRow]:
        return [
            GreetingRow("/health", "the server answers", link=True),
            GreetingRow("/ready", "the server can make predictions", link=True),
            GreetingRow("/metrics", "metrics for Prometheus", link=True),
        ]

    async def health(self, request: web.Request) -> web.Response:
        return web.Response(text="Ok")

    async def ready(self, request: web.Request) -> web.Response:
        """Who may know more than yes or no must send a token."""
        reason = await self._stores.reason()
        document = Readiness(not reason and self.gateway.models_ready())
        with contextlib.suppress(ModelportError):
            visible = self.gateway.visible(request)
            document.deployments = {deployment.name: _state(deployment) for deployment in visible}
            document.reason = reason or UNSET
            if self.gateway.bucket_jobs is not None:
                document.buckets = self.gateway.bucket_jobs.health(whole=self.gateway.is_owner(request))
        return json_answer(document, 200 if document.ready else 503, {"Content-Type": "application/json"})

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Of the deployments that the caller may know of; of all, and of those that have gone, to the owner."""
        self.gateway.check_token(request)
        shown: Collector = self.gateway.metrics.registry
        if not self.gateway.is_owner(request):
            shown = _Visible(shown, {deployment.name for deployment in self.gateway.visible(request)})
        self._now.nodes = await self.gateway.deployments.nodes()
        return web.Response(body=generate_latest(shown), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _state(deployment: Deployment) -> DeploymentReadiness:
    counts, failure = deployment.counts(), deployment.failure
    if failure is not None and counts.workers == 0:
        return DeploymentReadiness(False, "failed", reason=failure.message)
    if counts.workers == 0 and deployment.row is None:
        return DeploymentReadiness(False, "loading")
    state = "ready" if counts.workers else deployment.state
    return DeploymentReadiness(deployment.is_ready, state, counts.workers, counts.busy, counts.queued)


class _Stores:
    """Whether what is new would be kept: asked anew at most so often as FRESH_S says, since asking costs a write."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._asking = asyncio.Lock()
        self._fresh_until = 0.0
        self._reason = ""

    async def reason(self) -> str:
        """Why not; empty: it would."""
        async with self._asking:
            if time.monotonic() >= self._fresh_until:
                answers = [self._answer("the store", self._check_store)]
                if self._gateway.bucket_jobs is not None:
                    answers.append(self._answer("the object store", self._gateway.bucket_jobs.objects.check))
                reasons = await asyncio.gather(*answers)
                self._reason = "; ".join(dict.fromkeys(filter(None, reasons)))
                self._fresh_until = time.monotonic() + FRESH_S
            return self._reason

    async def _check_store(self) -> None:
        self._gateway.jobs.check_kept()
        await self._gateway.store.add(set_value, PROBE, "")

    async def _answer(self, name: str, check: Callable[[], Awaitable[Any]]) -> str:
        limit_s = self._gateway.settings.ready_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await check()
        except TimeoutError:
            return f"{name} does not answer within {limit_s:g} s (ready_timeout_s)"
        except ModelportError as error:
            return error.message
        except OSError as error:
            return f"{name} does not answer: {error.strerror or error}"
        return ""


@dataclass(frozen=True)
class _Visible(Collector):
    """What others than the owner may see: rows of these deployments, and those of no deployment and no machine."""

    whole: Collector
    names: Collection[str]

    def collect(self) -> Iterable[Metric]:
        for metric in self.whole.collect():
            metric.samples = [sample for sample in metric.samples if self._shows(sample.labels)]
            yield metric

    def _shows(self, labels: Mapping[str, str]) -> bool:
        return "node" not in labels and labels.get("deployment") in (None, *self.names)


class _Now(Collector):
    """How things stand when Prometheus asks. nodes: the machines of clusters, as they were when last asked."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.nodes: list[Node] = []

    def collect(self) -> Iterable[Metric]:
        yield from self._of_deployments(self._gateway.deployments)
        yield from self._of_nodes()
        if self._gateway.payments is not None:
            yield from self._of_sales(self._gateway.payments)
        counts = self._gateway.jobs.counts().items()
        jobs = {(name, status): number for status, rows in counts for name, number in rows.items()}
        yield filled(Gauge("modelport_jobs", "Jobs that wait or run", labels=["deployment", "status"]), jobs)

    def _of_deployments(self, deployments: Deployments) -> Iterable[Metric]:
        counts = {(deployment.name,): deployment.counts() for deployment in deployments}
        for name, count, help in (
            ("worker_workers", "workers", "Warm worker processes"),
            ("worker_busy", "busy", "Workers with a call"),
            ("worker_starting", "starting", "Workers that are warming up"),
            ("queued", "queued", "Calls that wait for a worker"),
            ("worker_restarts", "restarts", "Workers replaced since the start"),
        ):
            rows = {key: getattr(figures, count) for key, figures in counts.items()}
            yield filled(Gauge(f"modelport_{name}", help, labels=["deployment"]), rows)
        shifts = [(deployment.name, deployment.shift) for deployment in deployments]
        shares = {(name, shift.to): shift.share for name, shift in shifts if shift is not None}
        help = "Calls of a service that a version answers"
        yield filled(Gauge("modelport_shifted_percent", help, labels=["deployment", "version"]), shares)
        workers = Counter((deployment.name, place.node) for deployment in deployments for place in deployment.places())
        help = "Warm worker processes on a machine"
        yield filled(Gauge("modelport_node_workers", help, labels=["deployment", "node"]), workers)

    def _of_nodes(self) -> Iterable[Metric]:
        for name, help in (
            ("cpus", "Processors that a cluster's machine has for workers"),
            ("gpus", "GPUs that a cluster's machine has for workers"),
            ("memory_bytes", "Memory that a cluster's machine has for workers"),
        ):
            sums: Counter[tuple[str, ...]] = Counter()
            for node in self.nodes:  # a machine may have several nodes
                sums[node.name,] += getattr(node, name)
            yield filled(Gauge(f"modelport_node_{name}", help, labels=["node"]), sums)

    def _of_sales(self, payments: Payments) -> Iterable[Metric]:
        """What was earned, over restarts."""
        earnings, labels = payments.earnings.items(), ["deployment", "result"]
        ended = {(name, result): getattr(earned, result) for name, earned in earnings for result in ("paid", "failed")}
        yield filled(CounterMetricFamily("modelport_payments", "Payments ended", labels=labels), ended)
        credits = {(name,): earned.credits for name, earned in earnings}
        yield filled(CounterMetricFamily("modelport_credits", "Credits that were paid", labels=["deployment"]), credits)

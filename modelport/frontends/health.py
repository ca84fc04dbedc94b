"""The front end for machines that watch machines: /health, /ready, /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from modelport.deployments.deployments import Deployment, Deployments
from modelport.errors import ModelportError
from modelport.executors import Node
from modelport.http.frontend import GreetingRow, Route
from modelport.http.gateway import Gateway
from modelport.http.json_answers import json_answer
from modelport.http.operations import DescribedFrontend
from modelport.jobs import Jobs
from modelport.observe.metrics import gauge
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
        gateway.metrics.registry.register(_Gauges(gateway.deployments))
        gateway.metrics.registry.register(_JobGauge(gateway.jobs))
        if gateway.payments is not None:
            gateway.metrics.registry.register(_Sales(gateway.payments))
        self._machines = _Machines(gateway.deployments)
        gateway.metrics.registry.register(self._machines)

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
        names = None
        if not self.gateway.is_owner(request):
            names = {deployment.name for deployment in self.gateway.visible(request)}
        await self._machines.ask()
        figures = generate_latest(_Shown(self.gateway.metrics.registry, names))
        return web.Response(body=figures, headers={"Content-Type": CONTENT_TYPE_LATEST})


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
                reasons = await asyncio.gather(*(self._answer(name, check) for name, check in self._checks().items()))
                self._reason = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
                self._fresh_until = time.monotonic() + FRESH_S
            return self._reason

    def _checks(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        checks: dict[str, Callable[[], Awaitable[Any]]] = {"the store": self._check_store}
        if self._gateway.bucket_jobs is not None:
            checks["the object store"] = self._gateway.bucket_jobs.objects.check
        return checks

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


class _Shown(CollectorRegistry):
    """What of a registry may be shown: rows of these deployments, and what is of none. names: None: all."""

    def __init__(self, whole: CollectorRegistry, names: Collection[str] | None) -> None:
        super().__init__()
        self._whole = whole
        self._names = names

    def collect(self) -> Iterable[Metric]:
        for metric in self._whole.collect():
            if self._names is not None:
                metric.samples = [sample for sample in metric.samples if self._shows(sample.labels)]
            yield metric

    def _shows(self, labels: Mapping[str, str]) -> bool:
        """Machines are the owner's matter."""
        return self._names is None or ("node" not in labels and labels.get("deployment") in (None, *self._names))


class _Gauges(Collector):
    """What the executors are doing, read when Prometheus asks."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments

    def collect(self) -> Iterable[Metric]:
        counts = {deployment.name: deployment.counts() for deployment in self._deployments}
        for name, help in (
            ("workers", "Warm worker processes"),
            ("busy", "Workers with a call"),
            ("starting", "Workers that are warming up"),
            ("queued", "Calls that wait for a worker"),
            ("restarts", "Workers replaced since the start"),
        ):
            rows = {deployment: float(getattr(figures, name)) for deployment, figures in counts.items()}
            yield gauge(f"modelport_worker_{name}" if name != "queued" else "modelport_queued", help, rows)
        shifts = GaugeMetricFamily(
            "modelport_shifted_percent", "Calls of a service that a version answers", labels=["deployment", "version"]
        )
        for deployment in self._deployments:
            if deployment.shift is not None:
                shifts.add_metric([deployment.name, deployment.shift.to], deployment.shift.share)
        yield shifts


class _Sales(Collector):
    """What was earned, over restarts."""

    def __init__(self, payments: Payments) -> None:
        self._payments = payments

    def collect(self) -> Iterable[Metric]:
        payments = CounterMetricFamily("modelport_payments", "Payments ended", labels=["deployment", "result"])
        credits = CounterMetricFamily("modelport_credits", "Credits that were paid", labels=["deployment"])
        for deployment, earned in self._payments.earnings.items():
            payments.add_metric([deployment, "paid"], earned.paid)
            payments.add_metric([deployment, "failed"], earned.failed)
            credits.add_metric([deployment], earned.credits)
        yield payments
        yield credits


class _Machines(Collector):
    """Where the workers are, and what the machines of their clusters have, as they were when last asked."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments
        self._nodes: list[Node] = []

    async def ask(self) -> None:
        self._nodes = await self._deployments.nodes()

    def collect(self) -> Iterable[Metric]:
        workers = GaugeMetricFamily(
            "modelport_node_workers", "Warm worker processes on a machine", labels=["deployment", "node"]
        )
        for deployment in self._deployments:
            for node, number in Counter(place.node for place in deployment.places()).items():
                workers.add_metric([deployment.name, node], number)
        yield workers
        for name, help in (
            ("cpus", "Processors that a cluster's machine has for workers"),
            ("gpus", "GPUs that a cluster's machine has for workers"),
            ("memory_bytes", "Memory that a cluster's machine has for workers"),
        ):
            sums: Counter[str] = Counter()
            for machine in self._nodes:  # a machine may have several nodes
                sums[machine.name] += getattr(machine, name)
            family = GaugeMetricFamily(f"modelport_node_{name}", help, labels=["node"])
            for node, amount in sums.items():
                family.add_metric([node], amount)
            yield family


class _JobGauge(Collector):
    """The jobs that have not ended."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily("modelport_jobs", "Jobs that wait or run", labels=["deployment", "status"])
        for status, rows in self._jobs.counts().items():
            for deployment, number in rows.items():
                family.add_metric([deployment, status], number)
        yield family

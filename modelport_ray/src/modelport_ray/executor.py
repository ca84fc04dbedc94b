"""The executor: places workers on the cluster, gives each one call at a time, and replaces those that are lost."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import asdict, replace
from pathlib import PurePath
from typing import Any

import modelport
from modelport.extending import (
    Call,
    Cancelled,
    Card,
    DeadlineExceeded,
    ExecutorSpec,
    LoadFailed,
    ModelportError,
    Node,
    NotImplementedByModel,
    Outcome,
    Output,
    Place,
    Watcher,
    WorkerPool,
)
from modelport_ray.link import Cluster, Link
from modelport_ray.settings import GPUS, SETTINGS
from modelport_ray.worker import Worker

logger = logging.getLogger(__name__)


class RayExecutor(WorkerPool[Worker]):
    """Its workers are actors on the cluster."""

    settings = SETTINGS

    def __init__(self, spec: ExecutorSpec, output: Output) -> None:
        super().__init__(spec, output)
        self._options = {setting.name: spec.options.get(setting.name, setting.default) for setting in SETTINGS}
        self._shared = bool(self._options["ray_shared_home"])
        self._link: Link | None = None
        self._coming: set[Worker] = set()

    def processes(self) -> list[int]:
        return []  # none on this machine

    def places(self) -> list[Place]:
        return [Place(*worker.place, worker not in self._idle) for worker in self._workers]

    async def nodes(self) -> list[Node]:
        return [] if self._link is None else await self._link.nodes()

    # Life

    async def start(self) -> Card:
        self._link = Link.to(Cluster.of(self._options))
        await self._link.connect()
        self.keep_workers(at_least=1)
        return await self._first_card()

    async def _first_card(self) -> Card:
        """Of the worker that is first to tell it."""
        deadline = asyncio.get_running_loop().time() + self.spec.start_wait_s + self.spec.load_timeout_s
        while True:
            self._changed.clear()
            cards = [worker.card for worker in (*self._coming, *self._workers)]
            for card in cards:
                if card.done() and card.exception() is None:
                    return card.result()
            if self._failure is not None:
                raise self._failure
            changed: asyncio.Future[Any] = asyncio.ensure_future(self._changed.wait())
            left_s = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({changed, *cards}, timeout=max(0, left_s), return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            if left_s <= 0:
                raise LoadFailed(self.why_waiting())

    async def stop(self) -> None:
        await super().stop()
        if (link := self._link) is not None:
            self._link = None
            await link.close()

    # Workers

    def _place(self, **own: Any) -> Worker:
        assert self._link is not None
        value = {
            "version": modelport.__version__,
            "spec": {**asdict(replace(self.spec, options={})), "min_workers": 1, **own},
            "shared": self._shared,
            "resources": self._resources(),
        }
        return Worker(self._link, value, self.spec.name, self._output)

    def _resources(self) -> dict[str, Any]:
        """What Ray is asked for, for each worker."""
        gpus = self.spec.environment.get(GPUS, self._options["ray_gpus"])
        try:
            num_gpus = float(gpus)
        except ValueError:
            raise LoadFailed(f"{GPUS} is {gpus!r}; a number is allowed") from None
        num_cpus = 1.0 if self.spec.cpu is None else self.spec.cpu
        resources: dict[str, Any] = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        if self.spec.memory_bytes is not None:
            resources["memory"] = self.spec.memory_bytes
        if self._options["ray_interpreters"] == "declared" and self.spec.python is not None:
            folder = PurePath(self.spec.python).parent.parent.name
            resources["resources"] = {f"interpreter:{folder}": 0.001}
        return resources

    async def new_worker(self) -> Worker:
        worker = await self._placed()
        logger.info("%s: there is a %s", self.spec.name, worker)
        return worker

    async def _placed(self, **own: Any) -> Worker:
        """own: fields of its spec."""
        if self._stopping or self._link is None:
            raise Cancelled("the server is stopping")
        await self._link.connect()
        worker = self._place(**own)
        self._coming.add(worker)
        self._changed.set()
        try:
            await asyncio.shield(worker.ready)
        except BaseException:
            await worker.end()
            raise
        finally:
            self._coming.discard(worker)
        return worker

    async def end_worker(self, worker: Worker) -> None:
        await worker.end()

    # Calls

    async def run(self, call: Call, watcher: Watcher | None = None) -> Outcome:
        begun = time.monotonic()
        alone = call.method == "train" and not call.only_validate
        if alone and not self._shared:
            text = "trainings on a Ray cluster need a home that all nodes share (ray_shared_home)"
            return Outcome(error=NotImplementedByModel(text))
        outcome = None
        while outcome is None:
            outcome = await self._try(call, watcher, begun, alone=alone)
        if outcome.error is not None and self._stopping:
            outcome.error = Cancelled("the server is stopping")
        return outcome

    async def _try(self, call: Call, watcher: Watcher | None, begun: float, *, alone: bool) -> Outcome | None:
        """None: the worker had ended before it could begin."""
        worker = None
        try:
            left_s = None if call.timeout_s is None else call.timeout_s - (time.monotonic() - begun)
            async with asyncio.timeout(left_s):
                # A training starts a process of its own there.
                worker = await (self._placed(min_workers=0) if alone else self.free_worker())
            waited_s = time.monotonic() - begun
            left_s = None if call.timeout_s is None else max(0.001, call.timeout_s - waited_s)
            outcome = await worker.run(
                replace(call, timeout_s=left_s),
                watcher,
                shared=self._shared,
                limit_bytes=self._options["ray_object_limit_bytes"],
            )
            if outcome is None:
                self.lose(worker)
        except TimeoutError:
            return Outcome(error=DeadlineExceeded(f"no worker was free within the time limit, {call.timeout_s:g} s"))
        except ModelportError as error:
            return Outcome(error=error)
        finally:
            if worker is not None:
                if alone:
                    await worker.end()
                else:
                    self.offer(worker)
        if outcome is not None:
            outcome.timings["queue"] = outcome.timings.get("queue", 0.0) + waited_s
        return outcome

    def why_waiting(self) -> str:
        pending = next((worker.pending for worker in self._coming if worker.pending), "")
        if pending:
            return f"{self.spec.name} waits for a place on the cluster: {pending}"
        return super().why_waiting()

"""The executor: places workers on the cluster, gives each one call at a time, and replaces those that are lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from dataclasses import asdict, replace
from pathlib import PurePath
from typing import Any, cast

import modelport
from modelport.extending import (
    Call,
    Cancelled,
    Card,
    Counts,
    DeadlineExceeded,
    Executor,
    ExecutorSpec,
    LoadFailed,
    ModelportError,
    NotImplementedByModel,
    Outcome,
    Output,
    Starting,
    Watcher,
)
from modelport_ray.link import Link
from modelport_ray.settings import GPUS, SETTINGS
from modelport_ray.worker import Worker

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.5
BACKOFF_LAST_S = 60.0


class RayExecutor(Executor):
    """See the contract of `modelport.extending.Executor`."""

    settings = SETTINGS

    def __init__(self, spec: ExecutorSpec, output: Output) -> None:
        self._spec = spec
        self._output = output
        self._options = {setting.name: spec.options.get(setting.name, setting.default) for setting in SETTINGS}
        self._shared = bool(self._options["ray_shared_home"])
        self._least = spec.workers if spec.min_workers is None else min(spec.min_workers, spec.workers)
        self._link: Link | None = None
        self._slots: set[asyncio.Task[None]] = set()
        self._workers: list[Worker] = []  # ready
        self._idle: list[Worker] = []
        self._coming: set[Worker] = set()
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._restarts = 0
        self._failure: ModelportError | None = None
        self._retry_at = 0.0
        self._stopping = False
        self._retiring: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    def counts(self) -> Counts:
        return Counts(
            workers=len(self._workers),
            busy=len(self._workers) - len(self._idle),
            starting=len(self._coming),
            queued=sum(not waiting.done() for waiting in self._waiting),
            restarts=self._restarts,
            loaded=bool(self._workers),
        )

    def processes(self) -> list[int]:
        return []  # none on this machine

    # Life

    async def start(self) -> Card:
        address = self._options["ray_address"]
        if not address:
            raise LoadFailed("the executor ray needs the setting ray_address: the cluster's head, as host:port")
        self._link = Link.to(address, self._options["ray_token_file"])
        await self._link.connect()
        for _ in range(max(1, self._least)):
            self._add_slot()
        return await self._first_card()

    async def _first_card(self) -> Card:
        """Of the worker that is first to tell it."""
        deadline = asyncio.get_running_loop().time() + self._spec.start_wait_s + self._spec.load_timeout_s
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
                raise LoadFailed(self._why_waiting())

    async def wait_ready(self) -> None:
        while len(self._workers) < self._least:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        self._stopping = True
        if self._retiring is not None:
            self._retiring.cancel()
        slots = list(self._slots)
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)
        self._refuse(Cancelled("the server is stopping"))
        if (link := self._link) is not None:
            self._link = None
            await link.close()

    # Workers

    def _add_slot(self) -> None:
        slot = asyncio.create_task(self._keep_worker())
        self._slots.add(slot)
        slot.add_done_callback(self._slots.discard)

    def _place(self, **own: Any) -> Worker:
        assert self._link is not None
        value = {
            "version": modelport.__version__,
            "spec": {**asdict(replace(self._spec, options={})), "min_workers": 1, **own},
            "shared": self._shared,
            "resources": self._resources(),
        }
        return Worker(self._link, value, self._spec.name, self._output)

    def _resources(self) -> dict[str, Any]:
        """What Ray is asked for, for each worker."""
        gpus = self._spec.environment.get(GPUS, self._options["ray_gpus"])
        try:
            num_gpus = float(gpus)
        except ValueError:
            raise LoadFailed(f"{GPUS} is {gpus!r}; a number is allowed") from None
        num_cpus = 1.0 if self._spec.cpu is None else self._spec.cpu
        resources: dict[str, Any] = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        if self._spec.memory_bytes is not None:
            resources["memory"] = self._spec.memory_bytes
        if self._options["ray_interpreters"] == "declared" and self._spec.python is not None:
            folder = PurePath(self._spec.python).parent.parent.name
            resources["resources"] = {f"interpreter:{folder}": 0.001}
        return resources

    async def _keep_worker(self) -> None:
        """One slot: as long as it is needed, there is a worker or one on its way."""
        backoff_s = 0.0
        while True:
            try:
                useful = await self._one_worker()
            except ModelportError as error:
                backoff_s = min(max(BACKOFF_FIRST_S, 2 * backoff_s), BACKOFF_LAST_S)
                self._failed(error, backoff_s)
            else:
                backoff_s = 0.0 if useful else min(max(BACKOFF_FIRST_S, 2 * backoff_s), BACKOFF_LAST_S)
            if len(self._slots) > self._least and not self._waiting:
                break
            await asyncio.sleep(backoff_s)
        self._slots.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _one_worker(self) -> bool:
        """From its place to its end; whether the next may follow at once. Raises ModelportError if it never began."""
        assert self._link is not None
        await self._link.connect()
        worker = self._place()
        self._coming.add(worker)
        self._changed.set()
        try:
            await asyncio.shield(worker.ready)
            self._coming.discard(worker)
            self._failure = None
            logger.info("%s: a worker is on %s", self._spec.name, worker.place)
            self._workers.append(worker)
            self._offer(worker)
            self._changed.set()
            how = await asyncio.shield(worker.gone)
        finally:
            self._lose(worker)
            await worker.end()
        if not worker.retired:
            self._restarts += 1
            logger.warning("%s: the worker on %s ended (%s); starting another", self._spec.name, worker.place, how)
        return worker.retired or worker.useful

    def _lose(self, worker: Worker) -> None:
        self._coming.discard(worker)
        for workers in (self._workers, self._idle):
            if worker in workers:
                workers.remove(worker)

    def _failed(self, error: ModelportError, backoff_s: float) -> None:
        self._failure = error
        self._retry_at = asyncio.get_running_loop().time() + backoff_s
        self._changed.set()
        logger.error("%s: %s", self._spec.name, error.message)
        if not self._workers:
            self._refuse(error)

    def _refuse(self, error: ModelportError) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error)

    def _offer(self, worker: Worker) -> None:
        """A free worker, to the call that has waited for the longest time."""
        if worker not in self._workers:
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(worker)
                return
        worker.idle_since = asyncio.get_running_loop().time()
        self._idle.append(worker)
        self._watch_idle()

    # Retirement

    def _excess(self) -> int:
        return len(self._slots) - self._least - sum(worker.retired for worker in self._workers)

    def _watch_idle(self) -> None:
        if self._retiring is None and self._idle and self._excess() > 0 and not self._stopping:
            loop = asyncio.get_running_loop()
            due = self._idle[0].idle_since + self._spec.idle_s
            self._retiring = loop.call_at(max(due, loop.time()), self._retire_idle)

    def _retire_idle(self) -> None:
        self._retiring = None
        now = asyncio.get_running_loop().time()
        if self._idle and self._excess() > 0 and self._idle[0].idle_since + self._spec.idle_s <= now:
            self._retire(self._idle.pop(0))
        self._watch_idle()

    def _retire(self, worker: Worker) -> None:
        worker.retired = True
        worker.exchange.cancel()

    async def shrink(self) -> int:
        retired = self._idle[: max(0, self._excess())]
        del self._idle[: len(retired)]
        for worker in retired:
            self._retire(worker)
        if retired:
            await asyncio.wait({worker.gone for worker in retired})
        for worker in retired:
            self._lose(worker)
        return len(retired)

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
                worker = await (self._own_worker() if alone else self._free_worker())
            waited_s = time.monotonic() - begun
            left_s = None if call.timeout_s is None else max(0.001, call.timeout_s - waited_s)
            outcome = await worker.run(
                replace(call, timeout_s=left_s),
                watcher,
                shared=self._shared,
                limit_bytes=self._options["ray_object_limit_bytes"],
            )
            if outcome is None:
                self._lose(worker)
        except TimeoutError:
            return Outcome(error=DeadlineExceeded(f"no worker was free within the time limit, {call.timeout_s:g} s"))
        except ModelportError as error:
            return Outcome(error=error)
        finally:
            if worker is not None:
                if alone:
                    await worker.end()
                else:
                    self._offer(worker)
        if outcome is not None:
            outcome.timings["queue"] = outcome.timings.get("queue", 0.0) + waited_s
        return outcome

    async def _own_worker(self) -> Worker:
        """For a training, which starts a process of its own there."""
        if self._stopping or self._link is None:
            raise Cancelled("the server is stopping")
        await self._link.connect()
        worker = self._place(min_workers=0)
        try:
            await asyncio.shield(worker.ready)
        except BaseException:
            await worker.end()
            raise
        return worker

    async def _free_worker(self) -> Worker:
        """Raises ModelportError where none can be had."""
        if self._idle:
            return self._idle.pop()
        if self._stopping:
            raise Cancelled("the server is stopping")
        loop = asyncio.get_running_loop()
        if not self._workers and self._failure is not None and (self._slots or loop.time() < self._retry_at):
            raise self._failure
        waiting: asyncio.Future[Worker] = loop.create_future()
        self._waiting.append(waiting)
        if len(self._slots) < self._spec.workers and len(self._waiting) > len(self._coming):
            self._add_slot()
        patience = None if self._workers else loop.call_later(self._spec.start_wait_s, self._lose_patience, waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._offer(waiting.result())
            raise
        finally:
            if patience is not None:
                patience.cancel()
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiting)

    def _lose_patience(self, waiting: asyncio.Future[Worker]) -> None:
        if not self._workers and not waiting.done():
            waiting.set_exception(Starting(self._why_waiting(), retry_after_s=5))

    def _why_waiting(self) -> str:
        pending = next((worker.pending for worker in self._coming if worker.pending), "")
        if pending:
            return f"{self._spec.name} waits for a place on the cluster: {pending}"
        return f"{self._spec.name} is still loading; ask again later"

"""A deployment: a module under a name, with its executor, its card and what it has printed."""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from modelport.contract.card import Card
from modelport.contract.prediction import Call, Outcome
from modelport.deployments.loaded import (
    LoadedModel,
    can_stop,
    describes_like,
    executor_spec,
    in_batches,
    resolved,
    starts_like,
    working_folder,
)
from modelport.deployments.tail import Tail
from modelport.errors import DISK_FULL, Cancelled, DeadlineExceeded, LoadFailed, ModelportError, Starting, StorageFull
from modelport.executors import Counts, Executor, Node, Place, Watcher
from modelport.executors.batching import Batching
from modelport.extensions import executor_class
from modelport.intake.removal import remove_tree
from modelport.settings import Settings
from modelport.store.deployments import DeploymentRow
from modelport.tasks import Tasks, to_its_end

logger = logging.getLogger(__name__)

# A kept deployment that does not load is tried again after 1 s, 2 s, 4 s … at most every minute.
BACKOFF_FIRST_S = 1.0
BACKOFF_LAST_S = 60.0

# listener(deployment name, process id, bytes)
Listener = Callable[[str, int, bytes], None]


class Deployment:
    """One module, served under one name.

    Its executor starts with `start`, or when it is first called, by one caller for all. `failure` says why the module
    cannot be used now. One that is kept in the store is tried again, by itself, until it loads.
    """

    def __init__(
        self,
        row: DeploymentRow,
        settings: Settings,
        folder: Path,
        listener: Listener | None = None,
        card: Card | None = None,
    ) -> None:
        """card: as it was when the module was loaded the last time."""
        self.settings = settings
        self._loaded: LoadedModel | None = None
        self._take(row)
        self.printed = Tail(settings.debug_limit_bytes)
        self.card = card
        self.failure: ModelportError | None = None
        self.calls = 0
        self.in_flight = 0  # calls that `Predictions` has admitted
        self.awaiting_end: set[asyncio.Event] = set()  # set when the next one ends
        self.shifted = 0  # in hundredths of a call, that its version is owed
        self.last_used = time.monotonic()
        self.before_load: Callable[[Deployment], Awaitable[None]] | None = None
        self.changed: list[Callable[[Deployment], None]] = []  # called when it has loaded, and when `failure` changes
        self._listener = listener
        self._folder = folder
        self._old: set[LoadedModel] = set()
        self._loading: asyncio.Task[LoadedModel] | None = None
        self._retry_at = 0.0
        self._tasks = Tasks(row.name)
        self._retrying = False
        self._end_reason = ""

    def _take(self, row: DeploymentRow) -> None:
        """What each call asks for is worked out once.

        row: as it is kept; None: named on the command line. token: its own; empty where it has none. workers: most of
        them. price: of its calls, for strangers; None: not sold. batch_size: most calls that one of them works on at
        once. timeout_s: of a prediction; None: no limit. shift: of its calls, to a version; None: it answers all.
        """
        self.spec = resolved(row, self.settings)
        self.name: str = row.name
        self.row: DeploymentRow | None = row if row.kept else None
        self.token: str = row.token
        self.price = row.price
        self.shift = row.shift
        self.title: str = row.title
        self.description: str = row.description
        self.workers: int = self.spec.max_workers or 1
        self.executor_name: str = row.executor or self.settings.executor
        self._take_batches()
        limit_s = self.settings.predict_timeout_s if row.timeout_s is None else row.timeout_s
        self.timeout_s: float | None = limit_s or None

    def _take_batches(self) -> None:
        loaded = self._loaded
        self.can_stop: bool = can_stop(self.executor_name) if loaded is None else loaded.can_stop
        self.batch_size: int = 1 if loaded is None else loaded.batch_size

    @property
    def executor(self) -> Executor | Batching:
        """Raises what the start failed with."""
        if self._loaded is None:
            raise copy.copy(self.failure) if self.failure else Starting(f"{self.name} is not started")
        return self._loaded.executor

    @property
    def in_use(self) -> bool:
        return self._loading is not None or (self._loaded is not None and self._loaded.users > 0)

    def counts(self) -> Counts:
        return Counts() if self._loaded is None else self._loaded.executor.counts()

    @property
    def runs_together(self) -> bool:
        """Whether calls may be at work in one batch now, which share what it prints."""
        all_loaded = filter(None, (*self._old, self._loaded))
        return self.batch_size > 1 and sum(loaded.users for loaded in all_loaded) > 1

    def processes(self) -> list[int]:
        return [pid for loaded in filter(None, (*self._old, self._loaded)) for pid in loaded.executor.processes()]

    # Executors that were written for version 1.0 of the contract may lack these two.

    def places(self) -> list[Place]:
        return getattr(self._loaded and self._loaded.executor, "places", list)()

    async def nodes(self) -> list[Node]:
        return await self.executor.nodes() if hasattr(self._loaded and self._loaded.executor, "nodes") else []

    @property
    def state(self) -> str:
        """cold, loading, ready, busy or failed."""
        counts = self.counts()
        if counts.workers:
            return "busy" if counts.busy else "ready"
        if self.failure is not None:
            return "failed"
        return "loading" if self._loading is not None or counts.starting else "cold"

    @property
    def is_ready(self) -> bool:
        """Whether a call would be answered: a service wakes for it, a module of the command line has to be warm."""
        if self.counts().workers:
            return True
        return self.row is not None and self.failure is None

    # Loading

    async def start(self) -> Card:
        """Load the plugin; workers warm up afterwards. Raises LoadFailed, which `failure` keeps."""
        await self._awake()
        assert self.card is not None
        return self.card

    def load_soon(self) -> None:
        """Load in the background; how that went is seen in `state`."""
        self._tasks.spawn(self._try_load(), cancel=True)

    async def _try_load(self) -> None:
        try:
            await self._awake()
        except ModelportError:
            return  # kept in `failure`, and logged
        if self._may_go:
            await self.unload()

    @property
    def _may_go(self) -> bool:
        """Whether it was only to be looked at: nothing of it stays when nobody calls."""
        keeps = self.settings.keep_template or self.row is None or self.spec.min_workers
        return not keeps and not self.in_use and not self.counts().workers

    async def wait_ready(self) -> None:
        """Until as many workers are warm as stay when nothing is to do. Raises LoadFailed."""
        loaded = await self._awake()
        try:
            await loaded.executor.wait_ready()
        except ModelportError as error:
            self._failed(error)
            raise

    async def wait_card(self) -> Card:
        """The card, as soon as the plugin is described; at once where it is known. Raises LoadFailed or Starting."""
        return self.card or await self.start()

    async def _awake(self, patience_s: float | None = None, *, again: bool = False) -> LoadedModel:
        """The executor that calls go to, started by one for all. Raises LoadFailed, Starting, Cancelled.

        again: whatever failed a moment ago.
        """
        end = time.monotonic() + (self.settings.start_wait_s if patience_s is None else patience_s)
        while self._loaded is None:
            if self._end_reason:
                raise Cancelled(self._end_reason)
            loading = self._loading
            if loading is None:
                if self.failure is not None and not again and time.monotonic() < self._retry_at:
                    raise copy.copy(self.failure)
                loading = self._loading = self._tasks.spawn(self._load(), cancel=True, awaited=True)
            done, _ = await asyncio.wait({loading}, timeout=max(0.0, end - time.monotonic()))
            if not done:
                raise Starting(f"{self.name} is still loading; ask again later", retry_after_s=5)
            if not loading.cancelled() and (error := loading.exception()) is not None:
                raise copy.copy(error)
        return self._loaded

    async def _load(self) -> LoadedModel:
        executor: Executor | Batching | None = None
        task = asyncio.current_task()
        try:
            if self.before_load is not None:
                await self.before_load(self)
            executor = await self._make_executor()
            card = await executor.start()
            if self._end_reason:  # `stop` does not know of it yet
                raise Cancelled(self._end_reason)
            executor = in_batches(executor, card, self.spec, self.settings)
        except BaseException as error:
            if executor is not None:
                await to_its_end(executor.stop())
            failure = error
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                failure = StorageFull(f"{self.name} cannot be loaded: there is no room on the disk")
            elif not isinstance(error, (ModelportError, asyncio.CancelledError)):
                logger.exception("%s could not be loaded", self.name)
                failure = LoadFailed(f"{self.name} could not be loaded: the server failed")
            if isinstance(failure, ModelportError) and self._loading is task:
                self._failed(failure)
            raise failure from error
        finally:
            if self._loading is task:
                self._loading = None
        for warning in card.warnings:
            logger.warning("%s: %s", self.name, warning)
        self.card, self.failure = card, None
        self._loaded = loaded = LoadedModel(executor)
        self._take_batches()
        self._tell()
        return loaded

    def _tell(self) -> None:
        for tell in self.changed:
            tell(self)

    def _set_failure(self, failure: ModelportError | None) -> None:
        before, self.failure = self.failure, failure
        if str(before) != str(failure):
            self._tell()

    def _failed(self, error: ModelportError) -> None:
        self._set_failure(error)
        if self.row is None:
            # Whoever named it on the command line is told, and sees to it.
            self._retry_at = math.inf
        else:
            self._retry_at = max(self._retry_at, time.monotonic() + BACKOFF_FIRST_S)
            logger.error("%s: %s", self.name, error.message)
            if not self._retrying and not self._end_reason:
                self._retrying = True
                self._tasks.spawn(self._keep_trying(), cancel=True)

    async def _keep_trying(self) -> None:
        """Until a worker could be used, or the end."""
        backoff_s = BACKOFF_FIRST_S
        try:
            while self.failure is not None and not self._end_reason:
                self._retry_at = time.monotonic() + backoff_s
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, BACKOFF_LAST_S)
                if self.failure is not None:
                    await self.try_again()
        finally:
            self._retrying = False

    async def try_again(self) -> ModelportError | None:
        """Load, and see whether a worker becomes warm: one can look at a call's arguments then. Returns why not."""
        try:
            in_doubt = self._loaded is not None or self.failure is not None
            loaded = await self._awake(again=True)
            if in_doubt:
                probe = Call("probe", only_validate=True, timeout_s=self.settings.load_timeout_s)
                await self._run_in(loaded, probe, None)
        except ModelportError as error:
            logger.debug("%s: still %s", self.name, error.message)
        return self.failure

    # Calls

    def run(self, call: Call, watcher: Watcher | None = None) -> Awaitable[Outcome]:
        """As `Executor.run`: what goes wrong comes back in the outcome. A cold deployment wakes."""
        if call.method == "predict" and not call.only_validate:
            self.calls += 1
        self.last_used = time.monotonic()
        loaded = self._loaded
        return self._run_cold(call, watcher) if loaded is None else self._run_in(loaded, call, watcher)

    async def _run_cold(self, call: Call, watcher: Watcher | None) -> Outcome:
        try:
            loaded, call = await self._wake_for(call)
        except ModelportError as error:
            return Outcome(error=error, timings={"queue": time.monotonic() - self.last_used})
        return await self._run_in(loaded, call, watcher)

    async def _run_in(self, loaded: LoadedModel, call: Call, watcher: Watcher | None) -> Outcome:
        loaded.users += 1
        try:
            outcome = await loaded.executor.run(call, watcher)
        finally:
            loaded.users -= 1
            if loaded.unused is not None:
                loaded.note_end()
            self.last_used = time.monotonic()
        if self._end_reason and isinstance(outcome.error, Cancelled):
            outcome.error = Cancelled(self._end_reason)
        elif loaded is self._loaded and isinstance(outcome.error, LoadFailed):
            self._failed(outcome.error)
        elif self.failure is not None and loaded is self._loaded and (outcome.error is None or outcome.worker):
            self._set_failure(None)  # the model may have refused the call, but it was there to do so
        return outcome

    async def _wake_for(self, call: Call) -> tuple[LoadedModel, Call]:
        """The wait counts as the call's time, but for a training, whose limit is for its work."""
        limit_s = call.timeout_s if call.method != "train" else None
        started = time.monotonic()
        try:
            loaded = await self._awake(min(limit_s or math.inf, self.settings.start_wait_s))
        except Starting:
            if limit_s and limit_s <= time.monotonic() - started:
                raise DeadlineExceeded(f"the model was still loading after {limit_s:g} s, the time limit") from None
            raise
        if limit_s:
            call = replace(call, timeout_s=max(limit_s - (time.monotonic() - started), 0.001))
        return loaded, call

    # Ending

    def change(self, row: DeploymentRow) -> None:
        """Be another from now on: running calls end where they are, new ones find the new processes."""
        before = self.spec
        self._take(row)
        if starts_like(before, self.spec):
            return
        if not describes_like(before, self.spec):
            self.card = None
        self._set_failure(None)
        self._retry_at = 0.0
        loaded, self._loaded = self._loaded, None
        loading, self._loading = self._loading, None
        if loading is not None:
            loading.cancel()
        if loaded is not None:
            self._tasks.spawn(self._end_loaded(loaded, at_once=False), cancel=True)

    async def unload(self) -> bool:
        """End every process, to be started again by the next call. Whether it could be: nobody was using it."""
        loaded = self._loaded
        if loaded is None or self.in_use:
            return False
        self._loaded = None
        await self._end_loaded(loaded, at_once=True)
        return True

    async def shrink(self) -> int:
        """End the workers that are idle and need not stay. Returns how many."""
        return 0 if self._loaded is None else await self._loaded.executor.shrink()

    async def _end_loaded(self, loaded: LoadedModel, *, at_once: bool) -> None:
        self._old.add(loaded)
        try:
            await loaded.end(at_once=at_once)
        finally:
            self._old.discard(loaded)

    async def stop(self, reason: str = "the server is stopping") -> None:
        """End every process, for good. Calls that still run end with Cancelled."""
        self._end_reason = reason
        all_loaded = [*self._old, *([self._loaded] if self._loaded is not None else [])]
        self._loaded = None
        ending = [loaded.end(at_once=True) for loaded in all_loaded]
        await asyncio.gather(self._tasks.end(), *ending, return_exceptions=True)
        self.printed.close()

    async def remove_folder(self) -> None:
        for folder in (self._folder, working_folder(self.spec, self.settings)):
            if folder is not None:
                await asyncio.to_thread(remove_tree, folder)

    async def _make_executor(self) -> Executor:
        cls: type[Executor] = executor_class(self.executor_name)
        spec = await asyncio.to_thread(executor_spec, self.spec, self.settings, self._folder, cls)
        return cls(spec, self._note)

    def _note(self, pid: int, chunk: bytes) -> None:
        self.printed.add(chunk, pid)
        if self._listener is not None:
            self._listener(self.name, pid, chunk)

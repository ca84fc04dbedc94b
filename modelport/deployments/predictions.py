"""The one road of a prediction: admission, a worker, the record, the end.

Every front end comes through here, whatever its protocol. It decides whether and when a call runs; it knows no URL, no
status code and no process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from modelport.contract.prediction import Call, Outcome
from modelport.deployments.deployments import Deployment
from modelport.errors import Cancelled, DeadlineExceeded, Overloaded
from modelport.executors import Keeper, Relay, Watcher
from modelport.intake.scratch import RunFolder, Scratch
from modelport.observe.metrics import Metrics
from modelport.settings import Settings

logger = logging.getLogger(__name__)

# When the queue is full, this is how long a client is asked to stay away: long enough to let something end.
RETRY_AFTER_S = 1.0


class Predictions:
    """Admits calls, passes them to their deployment's executor, and accounts for how they end."""

    def __init__(self, settings: Settings, run_folder: RunFolder, metrics: Metrics) -> None:
        self._settings = settings
        # A folder for one call; whoever takes it removes it when the answer is sent.
        self.scratch: Callable[[], Scratch] = run_folder.scratch
        self._run_folder = run_folder
        self._metrics = metrics
        self.in_flight = 0  # of all deployments together
        self._answering = 0
        self._draining = False
        self._unstoppable: set[asyncio.Task[Outcome]] = set()
        self._none_left = asyncio.Event()  # while draining

    def check_room(self, deployment: Deployment) -> None:
        """Refuse before a long upload what would be refused after it. Raises Overloaded, Cancelled."""
        if self._draining:
            raise Cancelled("the server is stopping")
        limit = deployment.workers + self._settings.queue_limit
        if deployment.in_flight >= limit:
            self._metrics.count(deployment.name, Overloaded.kind)
            raise Overloaded(
                f"{deployment.name} is busy: {limit} predictions are running or waiting, which is its limit",
                retry_after_s=RETRY_AFTER_S,
            )

    async def run(
        self, deployment: Deployment, call: Call, watcher: Watcher | None = None, *, to_its_end: bool = False
    ) -> Outcome:
        """Run a prediction now or soon. Raises Overloaded, Cancelled; all else is in the outcome.

        When this is cancelled, the work has stopped before CancelledError goes on; where the executor cannot stop it,
        it goes on with its place and its files.
        to_its_end: wait for it, even so.
        """
        if not (deployment.can_stop or to_its_end):
            return await self._run_unstoppable(deployment, call, watcher)
        name = deployment.name
        if self._draining or deployment.in_flight >= deployment.workers + self._settings.queue_limit:
            self.check_room(deployment)
        if call.timeout_s is None:
            call.timeout_s = deployment.timeout_s
        deployment.in_flight += 1
        self.in_flight += 1
        try:
            outcome = await deployment.run(call, watcher)
        except asyncio.CancelledError:
            self._metrics.count(name, Cancelled.kind)
            raise
        finally:
            deployment.in_flight -= 1
            self.in_flight -= 1
            if self._draining:
                self._note_end()
            while deployment.awaiting_end:
                deployment.awaiting_end.pop().set()
        self._metrics.ended(name, outcome, call.method)
        if outcome.error is not None and outcome.error.detail:
            logger.info("%s: call %s failed: %s\n%s", name, call.id, outcome.error.message, outcome.error.detail)
        return outcome

    async def _run_unstoppable(self, deployment: Deployment, call: Call, watcher: Watcher | None) -> Outcome:
        """The outcome, or DeadlineExceeded when it is time; the place is kept until the work has ended."""
        limit_s = deployment.timeout_s if call.timeout_s is None else call.timeout_s
        cut = None
        if watcher is not None:
            cut = _Keepers([watcher]) if isinstance(watcher, Keeper) else Relay([watcher])
        work = asyncio.create_task(self.run(deployment, call, cut, to_its_end=True))
        self._unstoppable.add(work)
        work.add_done_callback(self._forget_work)
        self._run_folder.keep(call.scratch, work)
        try:
            done, _ = await asyncio.wait({work}, timeout=limit_s)
            if done:
                return work.result()
            logger.warning("%s: call %s is late, and goes on: its executor cannot stop it", deployment.name, call.id)
            return Outcome(error=DeadlineExceeded(f"the prediction took longer than {limit_s:g} s, the time limit"))
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            if cut is not None:
                cut.watchers = ()  # its caller has been answered
            if call.stream:
                work.cancel()  # a generator can be closed at its next value

    def _forget_work(self, work: asyncio.Task[Outcome]) -> None:
        self._unstoppable.discard(work)
        if not work.cancelled():
            work.exception()  # seen here: its caller may have gone

    def places(self, deployment: Deployment) -> int:
        """How many more calls the workers could begin now; less than none where calls wait."""
        return deployment.workers * deployment.batch_size - deployment.in_flight

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """An answer is on its way to its client; a large one takes a while, and `drain` waits for it, too."""
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            self._note_end()

    def _note_end(self) -> None:
        if not self.in_flight and not self._answering:
            self._none_left.set()

    async def drain(self, grace_s: float) -> None:
        """Admit nothing more and wait, for a while, until nothing runs and every answer is sent."""
        self._draining = True
        try:
            async with asyncio.timeout(grace_s):
                while self.in_flight or self._answering:  # one that has just ended may go on to its answer
                    self._none_left.clear()
                    await self._none_left.wait()
        except TimeoutError:
            unfinished = self.in_flight + self._answering
            logger.warning("%d predictions still ran after %g s and are stopped", unfinished, grace_s)


class _Keepers(Relay):
    """Also of what is kept with a job."""

    watchers: Sequence[Keeper]

    def metrics(self, values: Mapping[str, float]) -> None:
        for watcher in self.watchers:
            watcher.metrics(values)

    def artifact(self, path: str, name: str) -> None:
        for watcher in self.watchers:
            watcher.artifact(path, name)

"""The line of a deployment: its jobs that wait, begun one after the other as synchronous calls leave workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace

from modelport.contract.prediction import BOTH, Call, Outcome, Status
from modelport.deployments.deployments import Deployment
from modelport.errors import Cancelled, ModelFailed, ModelportError, NotFound, StorageFull
from modelport.intake.scratch import Scratch
from modelport.jobs.attempt import PAUSE_FIRST_S, PAUSE_LAST_S, RunningJob, Verdict, ending, keep
from modelport.jobs.state import JobState
from modelport.store.failures import STORE_TROUBLE
from modelport.store.job_states import claim_jobs, end_running, note, requeue
from modelport.store.jobs import JobRow
from modelport.tasks import wait_event

logger = logging.getLogger(__name__)

# How far running jobs are is written so often: what a crash may lose of it.
PROGRESS_S = 5.0


class Queue:
    """The jobs of one deployment and method.

    A job is claimed, in the store, before a worker gets it. One is begun only while there is a worker for it: those
    who wait for their answer never wait behind the queue.
    """

    def __init__(self, deployment: str, method: str, state: JobState) -> None:
        self.running: dict[str, RunningJob] = {}
        self._deployment = deployment
        self._method = method
        self._state = state
        self._settings = state.settings
        self._deployments = state.deployments
        self._predictions = state.predictions
        self.reserved = 0  # for jobs that are just being written
        self._occupied = 0  # claimed, or about to be, and not yet left
        self._calls = 0  # of these, in `predictions`
        self._more = False
        self._news = asyncio.Event()
        self._dispatching: asyncio.Task[None] | None = None
        self._saving: asyncio.TimerHandle | None = None
        self._paused: dict[str, float] = {}  # until when, by source; "": all
        self._pauses_s: dict[str, float] = {}
        self._closed = False
        self._stopping = asyncio.Event()
        self._alone = asyncio.Lock()

    def wake(self) -> None:
        """Something waits, or may begin now."""
        self._more = True
        self._news.set()
        if self._dispatching is None and self._served:
            self._dispatching = self._state.tasks.spawn(self._dispatch())

    def reserve(self, source: str) -> bool:
        """Whether a job that has just come may begin at once. It has a place until `begin` or `give_back`."""
        if self._dispatching is not None or self._waiting or not self._served:
            return False
        if self._paused.get(source, 0.0) > time.monotonic() or self._capacity() <= 0:
            return False
        self._occupied += 1
        self.reserved += 1
        return True

    def give_back(self) -> None:
        self._occupied -= 1
        self.reserved -= 1
        self.wake()

    def begin(self, row: JobRow) -> None:
        """Run what has been claimed, and whose place has been taken."""
        run = self.running[row.job.id] = RunningJob(row, self._state, self._save_progress_soon)
        if self._stopping.is_set():
            run.stop("stop")
        run.task = self._state.tasks.spawn(self._run(run))
        run.task.add_done_callback(lambda task: run.news.set())

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True
        self._news.set()

    async def stop(self, why: str = "stop") -> None:
        """End what runs, wait for its end, and begin nothing more."""
        self.close()
        self._stopping.set()
        for run in self.running.values():
            run.stop(why)
        tasks = self._dispatching, *(run.task for run in self.running.values())
        if waiting := [task for task in tasks if task is not None]:
            await asyncio.wait(waiting)
            await self.stop(why)  # what was being claimed meanwhile
        if self._saving is not None:
            self._saving.cancel()

    # Places

    @property
    def _served(self) -> bool:
        """False for a module of the command line that is not loaded yet: if it cannot be loaded the server ends, and
        that must not count as an attempt."""
        deployment = self._deployments.by_name.get(self._deployment)
        return not self._closed and deployment is not None and bool(deployment.row or deployment.card)

    @property
    def _waiting(self) -> int:
        return self._state.waiting.get((self._deployment, self._method), 0)

    def _capacity(self) -> int:
        """How many more may begin now."""
        if self._paused.get("", 0.0) > time.monotonic():
            return 0
        if self._method == "train":
            return self._settings.max_trainings - self._occupied
        versions = self._versions()
        most = sum((self._settings.job_workers or version.workers) * version.batch_size for version in versions)
        # Those that are occupied and not yet, or no longer, among the calls will be, or have just been.
        left = sum(map(self._predictions.places, versions)) - (self._occupied - self._calls)
        return min(most - self._occupied, left)

    def _versions(self) -> list[Deployment]:
        """Which ones run the jobs of this queue. One whose version has no worker free waits for it, begun."""
        deployment = self._deployments.get(self._deployment)
        version = None if deployment.shift is None else self._deployments.by_name.get(deployment.shift.to)
        return [deployment] if version is None else [deployment, version]

    def _pause(self, source: str, least_s: float) -> None:
        """Begin nothing of this source ("": of any) for a while, longer each time until something has begun."""
        pause_s = max(least_s, min(2 * self._pauses_s.get(source, PAUSE_FIRST_S / 2), PAUSE_LAST_S))
        self._pauses_s[source] = pause_s
        self._paused[source] = time.monotonic() + pause_s

    # Claiming

    async def _dispatch(self) -> None:
        """Until nothing waits any more."""
        try:
            while await self._wait_turn():
                self._more = False
                if not await self._claim() and not self._more and not await self._wait_source():
                    break
        except Cancelled:
            pass  # the store is closed
        finally:
            self._dispatching = None

    async def _wait_turn(self) -> bool:
        """Until one that waits may begin; False: there is none."""
        while self._served and (self._waiting or self._more):
            if self._capacity() > 0:
                return True
            self._news.clear()
            pause_s = self._paused.get("", 0.0) - time.monotonic()
            if self._method != "train":
                for version in self._versions():
                    version.awaiting_end.add(self._news)
            await wait_event(self._news, pause_s if pause_s > 0 else None)
        return False

    async def _wait_source(self) -> bool:
        """Until a source that had to wait need not any more; False: there is none."""
        now = time.monotonic()
        self._paused = {source: end for source, end in self._paused.items() if end > now}
        if not self._paused:
            return False
        self._news.clear()
        await wait_event(self._news, min(self._paused.values()) - now)
        return True

    async def _claim(self) -> bool:
        """Begin what may begin. Whether there was anything. Raises Cancelled."""
        number = self._capacity()
        self._occupied += number
        now = time.monotonic()
        without = [source for source, end in self._paused.items() if source and end > now]
        line = self._deployment, self._method
        rows: list[JobRow] = []
        try:
            rows = await self._state.store.write(claim_jobs, *line, number, self._state.lease, time.time(), without)
        except STORE_TROUBLE as error:
            logger.warning("%s: no job can be begun: %s", self._deployment, error.message)
            self._pause("", PAUSE_FIRST_S)
            self._more = True
        finally:
            self._occupied -= number - len(rows)
        self._state.claimed(rows)
        for row in rows:
            self.begin(row)
        return bool(rows)

    # One attempt

    async def _run(self, run: RunningJob) -> None:
        try:
            async with self._predictions.scratch() as scratch:
                run.work = asyncio.create_task(self._work(run, scratch))
                if run.stopped:
                    run.work.cancel()
                await asyncio.wait({run.work})
                await self._settle(run, None if run.work.cancelled() else run.work.result())
        except Cancelled:
            pass  # the store is closed; the next server finds the job as one that was interrupted
        finally:
            if self.running.get(run.row.job.id) is run:  # else it has been claimed again already
                del self.running[run.row.job.id]
            self._leave(run)

    def _leave(self, run: RunningJob) -> None:
        """Another may take its place."""
        if not run.left:
            run.left = True
            self._occupied -= 1
            self._news.set()

    async def _work(self, run: RunningJob, scratch: Scratch) -> Outcome:
        if self._deployment not in self._deployments:
            return Outcome(error=Cancelled(f"{self._deployment} has been undeployed"))
        name = run.row.job.runs_on
        if name not in self._deployments:
            return Outcome(error=NotFound(f"the version that this job was accepted for has been undeployed: {name}"))
        deployment = self._deployments.get(name)
        try:
            call = await self._make_call(run.row, scratch)
            run.prepared = True
            if isinstance(call, Outcome):
                run.printed(call.log)
                return call
            call.attempt = run.attempt.attempt
            # The model's loading does not count as the job's time.
            await deployment.start()
            return await self._call(run, deployment, call)
        except ModelportError as error:
            return Outcome(error=error)
        except OSError as error:
            return Outcome(error=StorageFull(f"the job cannot be prepared: {error.strerror or error}"))
        except Exception:
            logger.exception("job %s of %s", run.row.job.id, self._deployment)
            return Outcome(error=ModelportError("the server failed; its log says why"))

    async def _make_call(self, row: JobRow, scratch: Scratch) -> Call | Outcome:
        job = row.job
        if (prepare := self._state.prepare.get(job.source)) is not None:
            return await prepare(job, scratch)
        files = []
        if job.files:
            files = await self._state.in_thread(self._state.folders.lend, job.id, job.files, scratch.path)
        return Call(
            id=scratch.id,
            method=job.method,
            arguments=row.arguments,
            files=files,
            accept=job.accept,
            scratch=scratch.folder,
            text=row.text,
            timeout_s=job.timeout_s,
        )

    async def _call(self, run: RunningJob, deployment: Deployment, call: Call) -> Outcome:
        if self._method == "train":
            run.begun = True
            call.timeout_s = self._settings.train_timeout_s or None
            return await deployment.run(call, run)
        while self._predictions.places(deployment) <= 0:
            news = asyncio.Event()
            deployment.awaiting_end.add(news)
            await news.wait()
        if self._settings.job_values_bytes:
            call.stream = BOTH
        batches = deployment.batch_size > 1
        # After a lost worker it runs without others, and must not stand behind others that do so, too.
        async with self._alone if batches and call.attempt > 1 else contextlib.nullcontext():
            run.begun = True
            self._calls += 1
            try:
                return await self._predictions.run(deployment, call, run, to_its_end=batches)
            finally:
                self._calls -= 1

    # Its end

    async def _settle(self, run: RunningJob, outcome: Outcome | None) -> None:
        """Write what has become of it. While the store takes nothing, it stays in memory and is tried again."""
        verdict = run.verdict(outcome, self._settings.job_attempts)
        await run.artifacts.wait_taken()
        self._apply(run, verdict)
        backoff_s = PAUSE_FIRST_S / 2
        while True:
            try:
                return await self._end(run, outcome, verdict)
            except STORE_TROUBLE as error:
                logger.warning("job %s: its end cannot be written: %s", run.row.job.id, error.message)
                run.cannot_end(error)
            except Cancelled:
                raise
            except ModelFailed as error:  # its answer has gone
                outcome, verdict = None, Verdict(Status.FAILED, error)
                continue
            except Exception:
                logger.exception("job %s of %s", run.row.job.id, self._deployment)
                if outcome is None:
                    return None
                # Whatever it was, it would be the same the next time.
                outcome, verdict = None, Verdict(Status.FAILED, ModelportError("the server failed; its log says why"))
                continue
            if self._stopping.is_set():
                return None
            if run.left:  # it needs its place still
                run.left = False
                self._occupied += 1
            backoff_s = min(2 * backoff_s, PAUSE_LAST_S)
            await wait_event(self._stopping, backoff_s)

    async def _end(self, run: RunningJob, outcome: Outcome | None, verdict: Verdict) -> None:
        if verdict.status is Status.SUCCEEDED and outcome is not None and run.kept is None:
            run.kept = await keep(run, outcome, self._state)
        # From here on another may be claimed: one commit has both.
        self._leave(run)
        if verdict.status is None:
            await self._requeue(run, verdict)
        else:
            await self._close(run, outcome, verdict)

    async def _requeue(self, run: RunningJob, verdict: Verdict) -> None:
        job, log = run.row.job, run.log
        if await self._state.store.write(requeue, run.attempt, verdict.losses, log):
            waits = replace(job, status=Status.QUEUED, fraction=None, message="", log_bytes=len(log))
            self._state.requeued(replace(waits, losses=job.losses + verdict.losses))
            self.wake()

    async def _close(self, run: RunningJob, outcome: Outcome | None, verdict: Verdict) -> None:
        state, row = self._state, run.row
        end = ending(run, outcome, verdict, state.clock.now())
        if await state.store.write(end_running, run.attempt, end, row.deliver):
            state.closed(end.job, waited=False, deliver=row.deliver, added_bytes=end.added_bytes)
        elif end.added_bytes:
            await state.in_thread(state.folders.remove, row.job.id)  # the job has been deleted meanwhile

    def _apply(self, run: RunningJob, verdict: Verdict) -> None:
        """What an attempt says of the next ones."""
        source = run.row.job.source
        if verdict.not_now:
            # Where a source's calls cannot be made, that holds up no other.
            self._pause(source if source in self._state.prepare and not run.prepared else "", verdict.pause_s)
        elif verdict.pause_s:
            self._paused[""] = time.monotonic() + verdict.pause_s
        elif run.begun:
            self._pauses_s.clear()

    # Notes of how far they are

    def _save_progress_soon(self) -> None:
        if self._saving is None:
            self._saving = asyncio.get_running_loop().call_later(PROGRESS_S, self._save_progress)

    def _save_progress(self) -> None:
        self._saving = None
        changed = [run.so_far() for run in self.running.values() if not run.noted]
        if changed:
            self._state.tasks.spawn(self._state.store.write(note, changed))

"""An executor: threads of the server's own process. A call is quick to start, and nothing can stop it."""

import asyncio
import contextlib
import os
import queue
import threading
import time

from modelport.extending import (
    Cancelled,
    Counts,
    Executor,
    InvokeOptions,
    LoadFailed,
    Outcome,
    Setting,
    invoke,
    load_plugin,
)


class Job:
    """A call, and the future of its outcome."""

    def __init__(self, call, watcher):
        self.call = call
        self.watcher = watcher
        self.left = False
        self.loop = asyncio.get_running_loop()
        self.answer = self.loop.create_future()
        self.since = time.monotonic()

    def finish(self, outcome):
        if not self.answer.done():
            self.answer.set_result(outcome)

    def tell(self, body):
        """In the thread: hand over a value of a generator, and wait until another one is wanted, if ever."""
        try:
            return asyncio.run_coroutine_threadsafe(self.pass_on(body), self.loop).result()
        except RuntimeError:
            return False  # the server has ended meanwhile

    async def pass_on(self, body):
        room = None if self.watcher is None or self.left else self.watcher.value(body)
        if room is not None:
            await room
        return not self.left


class ThreadExecutor(Executor):
    can_stop = False
    settings = (Setting("threads_most", 8, "maximum number of threads of a deployment", minimum=1),)

    def __init__(self, spec, output):
        self.spec = spec
        self.number = min(spec.workers, spec.options.get("threads_most", 8))
        self.options = InvokeOptions(
            name=spec.name, inline_limit_bytes=spec.inline_limit_bytes, nan=spec.nan, home=spec.home, alone=False
        )
        self.plugin = None
        self.threads = []
        self.jobs = set()
        self.waiting = {}  # jobs that no thread has taken; whoever pops one has it
        self.busy = set()
        self.turns = queue.SimpleQueue()

    async def start(self):
        self.plugin = await asyncio.to_thread(load_plugin, self.spec.module)
        card = await asyncio.to_thread(self.plugin.describe)
        self.warming = asyncio.create_task(self.warm())
        return card

    async def warm(self):
        """What went wrong, or None."""
        if self.spec.warm:
            try:
                await asyncio.to_thread(self.plugin.warm)
            except Exception as error:
                return LoadFailed(f"warm() failed: {error}")
        for _ in range(self.number):
            # A daemon does not keep the server from ending.
            self.threads.append(threading.Thread(target=self.work, daemon=True))
            self.threads[-1].start()
        return None

    async def wait_ready(self):
        if (failure := await asyncio.shield(self.warming)) is not None:
            raise failure

    def work(self):
        """In a thread: one call after the other."""
        while (key := self.turns.get()) is not None:
            job = self.waiting.pop(key, None)
            if job is None:
                continue  # cancelled before its turn
            self.busy.add(key)
            queue_s = time.monotonic() - job.since
            outcome = invoke(self.plugin, job.call, self.options, tell=job.tell)
            outcome.timings["queue"] = queue_s
            outcome.worker = os.getpid()
            self.busy.discard(key)
            with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                job.loop.call_soon_threadsafe(job.finish, outcome)

    async def run(self, call, watcher=None):
        job, key = Job(call, watcher), object()
        if (failure := await asyncio.shield(self.warming)) is not None:
            return Outcome(error=failure)
        self.jobs.add(job)
        self.waiting[key] = job
        self.turns.put(key)
        try:
            return await self.answer_of(job, key)
        finally:
            self.jobs.discard(job)

    async def answer_of(self, job, key):
        """A caller that cancels waits until a call that has begun ends."""
        cancelled = False
        while not job.answer.done():
            try:
                await asyncio.shield(job.answer)
            except asyncio.CancelledError:
                cancelled = job.left = True
                if self.waiting.pop(key, None) is not None:
                    break  # it had not begun
        if cancelled:
            raise asyncio.CancelledError
        return job.answer.result()

    async def shrink(self):
        return 0

    async def stop(self):
        """What still computes is left alone: its caller is told, and its answer goes nowhere."""
        for _ in self.threads:
            self.turns.put(None)
        self.threads = []
        for job in list(self.jobs):
            job.finish(Outcome(error=Cancelled("the executor has stopped")))

    def counts(self):
        return Counts(
            workers=len(self.threads), busy=len(self.busy), queued=len(self.waiting), loaded=self.plugin is not None
        )

    def processes(self):
        return []

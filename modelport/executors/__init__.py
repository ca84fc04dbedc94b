"""The executor contract: whoever owns workers keeps to this, and the rest of the server knows nothing else of them.

A new executor is one file and one entry point in the group `modelport.executors`, in any package. The conformance suite
`modelport.testing.executors` holds for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from modelport.contract.card import Card
from modelport.contract.prediction import Call, Outcome
from modelport.settings import Setting

# output(process id, bytes): what a process of the deployment wrote to stdout or stderr.
Output = Callable[[int, bytes], None]


class Watcher(Protocol):
    """Told what a call says while it runs, and nothing after its outcome.

    Called in the event loop's thread, in the order in which things arrive: returns at once, raises nothing. What was
    printed and what was reported come by different ways, so which came first is not known.
    """

    def progress(self, fraction: float | None, message: str) -> None:
        """How far the plugin says to be, from 0 to 1."""

    def printed(self, chunk: bytes) -> None:
        """What the call has printed since the last time, cut anywhere; all of it, where the outcome has its end."""

    def value(self, body: bytes) -> asyncio.Future[None] | None:
        """The next value of a generator, as JSON, where `call.stream` asks for it; all of them, before the outcome.

        None: it takes more. Otherwise the executor has its model wait until the future is done.
        """


@runtime_checkable
class Keeper(Watcher, Protocol):
    """The watcher of a job, which also keeps what the model reports and gives away. Since 1.1."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """What `modelport.progress` was told beside the fraction."""

    def artifact(self, path: str, name: str) -> None:
        """What the model gave to `modelport.artifact`: a copy in the call's scratch folder, which becomes yours."""


class Relay:
    """A watcher that tells others, as long as there are any."""

    def __init__(self, watchers: Sequence[Watcher] = ()) -> None:
        self.watchers = watchers

    def progress(self, fraction: float | None, message: str) -> None:
        for watcher in self.watchers:
            watcher.progress(fraction, message)

    def printed(self, chunk: bytes) -> None:
        for watcher in self.watchers:
            watcher.printed(chunk)

    def value(self, body: bytes) -> asyncio.Future[None] | None:
        waits = [watcher.value(body) for watcher in self.watchers]
        return next((wait for wait in waits if wait is not None), None)


@dataclass(frozen=True)
class ExecutorSpec:
    """What an executor needs to know of a deployment.

    module: entry-point name, package.module[:attribute], or the path of a folder or file.
    python: interpreter of the child; None: the gateway's own.
    folder: a folder of this deployment's own, for sockets, temporary files and the like.
    work: workers run in folders of their own in this one, which stay; "": in the server's working folder.
    home: the server's; what lies there is no answer of the model's, but for a call's own files.
    workers: most processes for predictions; each holds the model once and takes one call at a time.
    min_workers: so many stay when nothing is to do; None: all of them. The others start when calls wait, and end when
        they have been idle for `idle_s`.
    keep_template: keep the process that has imported the plugin when no worker is left; waking one is then a fork.
    start_method: auto, fork, spawn; once: as auto, for a single worker: where it cannot be forked, the process that has
        imported the plugin becomes that worker.
    spare_worker: where workers cannot be forked, one more process imports the plugin and waits to become the next
        worker: when one has been killed, because its client has left, nobody waits for the import again.
    cpu: so many processors the deployment asks for, for each worker; None: it does not say.
    memory_bytes: a worker may allocate so much (RLIMIT_DATA); None: no limit.
    job_artifacts_bytes: files that a job gives to `modelport.artifact` are copied up to so many bytes together.
    """

    module: str
    name: str
    folder: str
    work: str = ""
    home: str = ""
    python: str | None = None
    workers: int = 1
    cpu: float | None = None
    min_workers: int | None = None
    idle_s: float = 300.0
    keep_template: bool = True
    spare_worker: bool = False
    memory_bytes: int | None = None
    warm: bool = True
    start_method: str = "auto"
    queue_ahead: int = 0  # so many calls are sent to a busy worker of a fast model, for it to go on at once
    queue_ahead_below_s: float = 0.0  # … which usually takes less than this
    train_in_pool: bool = False
    load_timeout_s: float = 600.0  # for the import, and again for warm()
    start_wait_s: float = 600.0  # a call waits so long for the first worker, then it is told `Starting`
    log_tail_bytes: int = 64 << 10
    inline_limit_bytes: int = 1 << 20
    job_artifacts_bytes: int = 1 << 30
    nan: str = "null"  # null, error: what becomes of a number in a JSON answer that is none
    message_limit_bytes: int = 256 << 10
    card_limit_bytes: int = 1 << 20
    child_timeout_s: float = 10.0
    stream_close_s: float = 1.0  # a generator that nobody wants more of has so long to end; then its worker is killed
    debug: bool = False  # the model's loggers write DEBUG lines, too
    environment: dict[str, str] = field(default_factory=dict)  # added to the gateway's own, which has no secrets then
    options: Mapping[str, Any] = field(default_factory=dict)  # values of the settings that the executor declares


@dataclass
class Counts:
    """What an executor is doing now."""

    workers: int = 0  # alive and warm
    busy: int = 0
    starting: int = 0
    queued: int = 0
    restarts: int = 0  # since the start
    loaded: bool = False  # a process with the plugin lives, be it only the template


@dataclass(frozen=True)
class Place:
    """Where a worker is that is ready for calls"""

    node: str  # the machine's name or address
    pid: int  # there
    busy: bool


@dataclass(frozen=True)
class Node:
    """A machine that an executor may run workers on, and what it has for them in all"""

    id: str
    name: str
    cpus: float
    gpus: float
    memory_bytes: int


class Executor(Protocol):
    """Owns what runs the calls of one deployment: processes, threads, or machines elsewhere.

    can_stop: it ends the work of a call that is cancelled or late, as killing a process does and nothing does to a
        thread. Where it cannot, `run` still returns only when the work has ended. The server then answers callers in
        time by itself, and keeps the call's place and its files until `run` returns.
    settings: its own; each name begins with the executor's. `spec.options` has their values.
    """

    can_stop: ClassVar[bool] = True
    settings: ClassVar[tuple[Setting, ...]] = ()

    def __init__(self, spec: ExecutorSpec, output: Output) -> None: ...

    async def start(self) -> Card:
        """Load the plugin and start the workers; returns as soon as the plugin is described.

        Raises LoadFailed; then `stop` is called. Workers may still be warming up when it returns. Calls come at once,
        and wait for them.
        """

    async def wait_ready(self) -> None:
        """Until the workers that stay are warm, for a server that is to be ready at once. Raises LoadFailed."""

    async def run(self, call: Call, watcher: Watcher | None = None) -> Outcome:
        """Run one call on a worker, waiting for a free one.

        Everything that can go wrong comes back as `Outcome.error`; nothing is raised but CancelledError. When this
        returns or raises, the work has ended: nothing of it still computes, writes to the call's files or holds a
        worker. So cancelled means stopped; an executor that cannot stop waits for the end before it raises. The same
        holds for `call.timeout_s`. `watcher` has been told all by then, and is told nothing more.
        """

    async def shrink(self) -> int:
        """End the workers that are idle and not needed by `min_workers`, now. Returns how many."""

    async def stop(self) -> None:
        """End every process, now. Calls still running end with Cancelled, also where their work cannot be stopped."""

    def counts(self) -> Counts: ...

    def processes(self) -> list[int]:
        """Those on this machine that this executor has started: with their descendants they are the deployment's."""

    def places(self) -> list[Place]:
        """Where its workers are. Since 1.1."""
        return []

    async def nodes(self) -> list[Node]:
        """The machines of its cluster as they are known, soon; none, if it runs all on this one. Since 1.1."""
        return []

"""What a deployment is made of: its specification, and an executor with the calls that are in it."""

from __future__ import annotations

import asyncio
import functools
import math
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stevedore.driver import DriverManager

from modelport.errors import LoadFailed
from modelport.executors import Executor, ExecutorSpec
from modelport.settings import Settings

if TYPE_CHECKING:
    from modelport.store.deployments import DeploymentRow

EXECUTORS = "modelport.executors"

# The kernel keeps ten messages of a socket.
QUEUE_AHEAD_LIMIT = 9

# Numeric libraries start as many threads as the machine has cores, whatever share of it a model is meant to have.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


@functools.cache
def executor_class(name: str) -> Any:
    """The executor registered under `name`. Raises LoadFailed."""
    try:
        return DriverManager(EXECUTORS, name, invoke_on_load=False).driver
    except Exception as error:
        raise LoadFailed(f"there is no executor {name!r} in the entry-point group {EXECUTORS}") from error


@dataclass(frozen=True)
class DeploymentSpec:
    """What is deployed, and how; None takes the server's setting.

    workers: most of them. min_workers: so many stay when nothing is to do; None: all.
    timeout_s: of a prediction; 0: none.
    cpu: so many cores are its share; numeric libraries are told by their usual variables.
    row: as it is kept in the store; None: named on the command line, and not kept.
    """

    name: str
    module: str
    python: str | None = None
    workers: int | None = None
    min_workers: int | None = None
    idle_s: float | None = None
    timeout_s: float | None = None
    memory_bytes: int | None = None
    cpu: float | None = None
    environment: dict[str, str] | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    row: DeploymentRow | None = None

    def starts_like(self, other: DeploymentSpec) -> bool:
        """Whether their processes are the same, so that those of one may serve for the other."""
        return self._processes() == other._processes()

    def describes_like(self, other: DeploymentSpec) -> bool:
        """Whether the card of one is that of the other."""
        return (self.module, self.python, self.environment) == (other.module, other.python, other.environment)

    def _processes(self) -> DeploymentSpec:
        return replace(self, name="", token="", row=None, timeout_s=None)


class LoadedModel:
    """A started executor, and how many calls are in it."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.users = 0
        self.unused: asyncio.Future[None] | None = None  # for who waits until it has no user

    def leave(self) -> None:
        self.users -= 1
        if not self.users and self.unused is not None and not self.unused.done():
            self.unused.set_result(None)

    async def end(self, *, at_once: bool) -> None:
        if self.users and not at_once:
            self.unused = asyncio.get_running_loop().create_future()
            await self.unused
        await self.executor.stop()


def working_folder(spec: DeploymentSpec, settings: Settings) -> Path | None:
    """Where the workers of a service run. A module named on a command line runs where that was typed: None."""
    return None if spec.row is None else settings.home_path / "work" / spec.name


def temporary_folder(folder: Path, working: Path) -> Path:
    """For TMPDIR: on the file system of the working folder if there is one, since models move files from here there.

    What a model leaves in a deployment's own folder goes with the deployment.
    """
    own = folder / "tmp"
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    usual = Path(tempfile.gettempdir())
    device = working.stat().st_dev
    return usual if own.stat().st_dev != device == usual.stat().st_dev else own


def executor_spec(spec: DeploymentSpec, settings: Settings, folder: Path) -> ExecutorSpec:
    """For the executor of a deployment, with a folder for its temporary files: call it in a thread."""
    working = working_folder(spec, settings)
    if working is not None:
        working.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = temporary_folder(folder, working or Path.cwd())
    threads = {} if spec.cpu is None else dict.fromkeys(THREAD_VARIABLES, str(max(1, math.floor(spec.cpu))))
    return ExecutorSpec(
        module=spec.module,
        name=spec.name,
        folder=str(folder),
        work=str(working or ""),
        home=str(settings.home_path),
        python=spec.python or settings.python or None,
        workers=spec.workers or settings.workers,
        min_workers=spec.min_workers,
        idle_s=settings.idle_s if spec.idle_s is None else spec.idle_s,
        keep_template=settings.keep_template,
        spare_worker=settings.spare_worker,
        memory_bytes=spec.memory_bytes,
        warm=settings.warm,
        start_method=settings.start_method,
        train_in_pool=settings.train_in_pool,
        load_timeout_s=settings.load_timeout_s,
        start_wait_s=settings.start_wait_s,
        log_tail_bytes=settings.log_tail_bytes,
        inline_limit_bytes=settings.inline_limit_bytes,
        nan=(spec.environment or {}).get("MODELPORT_NAN", settings.nan),
        queue_ahead=min(settings.queue_ahead, QUEUE_AHEAD_LIMIT),
        queue_ahead_below_s=settings.queue_ahead_below_s,
        message_limit_bytes=settings.message_limit_bytes,
        card_limit_bytes=settings.card_limit_bytes,
        child_timeout_s=settings.child_timeout_s,
        debug=settings.debug,
        environment={"TMPDIR": str(temporary), **threads, **(spec.environment or {})},
    )

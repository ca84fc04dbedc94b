"""What a deployment is made of: its row, with what the settings add, and an executor with the calls that are in it."""

from __future__ import annotations

import asyncio
import math
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

from modelport.contract.card import Card
from modelport.deployments.validation import OWN_SETTINGS
from modelport.errors import LoadFailed
from modelport.executors import Executor, ExecutorSpec
from modelport.executors.batching import BatchExecutor, Batching, knows_batches
from modelport.extensions import executor_class
from modelport.settings import Settings, checked
from modelport.store.deployments import DeploymentRow
from modelport.tasks import to_its_end

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


def resolved(row: DeploymentRow, settings: Settings) -> DeploymentRow:
    """With the numbers of workers that the settings give: of one from the command line, all stay (None)."""
    if not row.kept:
        return replace(row, max_workers=row.max_workers or settings.workers)
    least = settings.min_workers if row.min_workers is None else row.min_workers
    most = max(least, settings.max_workers) if row.max_workers is None else row.max_workers
    return replace(row, max_workers=most, min_workers=min(least, most))


def describes_like(one: DeploymentRow, other: DeploymentRow) -> bool:
    """Whether the card of one is that of the other."""
    first, second = ((row.module, row.python, row.executor, row.variables) for row in (one, other))
    return first == second


def starts_like(one: DeploymentRow, other: DeploymentRow) -> bool:
    """Whether their processes are the same, so that those of one may serve for the other."""
    first, second = ((row.min_workers, row.max_workers, row.idle_s, row.memory_bytes, row.cpu) for row in (one, other))
    return first == second and describes_like(one, other)


class LoadedModel:
    """A started executor, and how many calls are in it.

    can_stop: it ends the work of a single call. batch_size: most calls that a worker works on at once.
    """

    def __init__(self, executor: Executor | Batching) -> None:
        self.executor = executor
        self.can_stop: bool = getattr(executor, "can_stop", True)
        self.batch_size: int = executor.size if isinstance(executor, Batching) else 1
        self.users = 0
        self.unused: asyncio.Future[None] | None = None  # for who waits until it has no user

    def note_end(self) -> None:
        """A call has ended after `end` was asked for."""
        if not self.users and self.unused is not None and not self.unused.done():
            self.unused.set_result(None)

    async def end(self, *, at_once: bool) -> None:
        if self.users and not at_once:
            self.unused = asyncio.get_running_loop().create_future()
            await self.unused
        await to_its_end(self.executor.stop())


def working_folder(spec: DeploymentRow, settings: Settings) -> Path | None:
    """Where the workers of a service run. A module named on a command line runs where that was typed: None."""
    return None if not spec.kept else settings.home_path / "work" / spec.name


def temporary_folder(folder: Path, working: Path) -> Path:
    """For TMPDIR: on the file system of the working folder if there is one, since models move files from here there.

    What a model leaves in a deployment's own folder goes with the deployment.
    """
    own = folder / "tmp"
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    usual = Path(tempfile.gettempdir())
    device = working.stat().st_dev
    return usual if own.stat().st_dev != device == usual.stat().st_dev else own


# What an executor is told of the settings as they are.
_SETTINGS = {field.name for field in fields(ExecutorSpec)} & {field.name for field in fields(Settings)}


def executor_spec(spec: DeploymentRow, settings: Settings, folder: Path, cls: type[Executor]) -> ExecutorSpec:
    """For an executor of the class `cls`, with a folder for temporary files: call it in a thread."""
    working = working_folder(spec, settings)
    if working is not None:
        working.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = temporary_folder(folder, working or Path.cwd())
    threads = {} if spec.cpu is None else dict.fromkeys(THREAD_VARIABLES, str(max(1, math.floor(spec.cpu))))
    own: dict[str, Any] = {
        "name": spec.name,
        "module": spec.module,
        "folder": str(folder),
        "work": str(working or ""),
        "home": str(settings.home_path),
        "python": spec.python or settings.python or None,
        "workers": spec.max_workers,
        "cpu": spec.cpu,
        "min_workers": spec.min_workers,
        "idle_s": settings.idle_s if spec.idle_s is None else spec.idle_s,
        "memory_bytes": spec.memory_bytes,
        "nan": _own_value("nan", spec, settings),
        "queue_ahead": min(settings.queue_ahead, QUEUE_AHEAD_LIMIT),
        "options": {setting.name: settings.value(setting) for setting in getattr(cls, "settings", ())},
        "environment": {"TMPDIR": str(temporary), **threads, **spec.variables},
    }
    return ExecutorSpec(**{name: getattr(settings, name) for name in _SETTINGS} | own)


def in_batches(executor: Executor, card: Card, spec: DeploymentRow, settings: Settings) -> Executor | Batching:
    """The executor, with batches formed in front of it where the plugin takes some. Raises BadSetting."""
    if not card.batch_size or not knows_batches(type(executor)):
        return executor
    size = _own_value("batch_size", spec, settings) or card.batch_size
    if size == 1:
        return executor
    wait_s = _own_value("batch_wait_s", spec, settings)
    return Batching(
        cast(BatchExecutor, executor), workers=spec.max_workers or 1, size=size, same=card.batch_same, wait_s=wait_s
    )


def _own_value(name: str, spec: DeploymentRow, settings: Settings) -> Any:
    """Of a setting that a service may have in its environment."""
    setting = OWN_SETTINGS[name]
    if setting.environment not in spec.variables:
        return settings.value(setting)
    return checked(setting, spec.variables[setting.environment], f"{setting.environment} of {spec.name}")


def can_stop(executor: str) -> bool:
    """Whether it ends the work of a call. One that cannot be loaded runs none."""
    try:
        return bool(getattr(executor_class(executor), "can_stop", True))
    except LoadFailed:
        return True

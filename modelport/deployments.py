"""Deployments: a module under a name, with its executor, its card and what it has printed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stevedore.driver import DriverManager

from modelport.card import Card
from modelport.errors import Conflict, LoadFailed, ModelportError, NotFound, Starting
from modelport.executors import Counts, Executor, ExecutorSpec
from modelport.settings import Settings

logger = logging.getLogger(__name__)

EXECUTORS = "modelport.executors"

# listener(deployment name, process id, bytes)
Listener = Callable[[str, int, bytes], None]


def executor_class(name: str) -> Any:
    """The executor registered under `name`. Raises LoadFailed."""
    try:
        return DriverManager(EXECUTORS, name, invoke_on_load=False).driver
    except Exception as error:
        raise LoadFailed(f"there is no executor {name!r} in the entry-point group {EXECUTORS}") from error


@dataclass(frozen=True)
class DeploymentSpec:
    """What is deployed, and how; None takes the server's setting."""

    name: str
    module: str
    python: str | None = None
    workers: int | None = None
    environment: dict[str, str] | None = None


class Tail:
    """The last bytes of a stream, by whole chunks."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size > self._limit and self._chunks:
            self._size -= len(self._chunks.popleft())

    def text(self) -> str:
        return b"".join(self._chunks).decode(errors="replace")


class Deployment:
    """One module, served under one name.

    It is loading, then ready (`card` is there; workers may still be warming), or failed (`failure` says why).
    """

    def __init__(
        self, spec: DeploymentSpec, settings: Settings, folder: Path, listener: Listener | None = None
    ) -> None:
        self.spec = spec
        self.settings = settings
        self.printed = Tail(settings.debug_limit_bytes)
        self.card: Card | None = None
        self.failure: ModelportError | None = None
        self._listener = listener
        self._folder = folder
        self._executor: Executor | None = None
        self._loaded = asyncio.Event()  # described, or failed

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def executor(self) -> Executor:
        """Raises what the start failed with."""
        if self._executor is None:
            raise self.failure or Starting(f"{self.name} is not started")
        return self._executor

    @property
    def workers(self) -> int:
        return self.spec.workers or self.settings.workers

    def counts(self) -> Counts:
        return Counts() if self._executor is None else self._executor.counts()

    async def start(self) -> Card:
        """Load the plugin; workers warm up afterwards. Raises LoadFailed, which `failure` keeps."""
        try:
            self._executor = executor_class(self.settings.executor)(self._executor_spec(), self._printed)
            self.card = await self._executor.start()
        except ModelportError as error:
            self.failure = error
            raise
        finally:
            self._loaded.set()
        for warning in self.card.warnings:
            logger.warning("%s: %s", self.name, warning)
        return self.card

    async def wait_ready(self) -> None:
        """Until every worker is warm. Raises LoadFailed."""
        await self._loaded.wait()
        try:
            await self.executor.wait_ready()
        except ModelportError as error:
            self.failure = error
            raise

    async def wait_card(self) -> Card:
        """The card, as soon as the plugin is described. Raises LoadFailed or Starting."""
        if self.card is None:
            try:
                async with asyncio.timeout(self.settings.start_wait_s):
                    await self._loaded.wait()
            except TimeoutError:
                raise Starting(f"{self.name} is still loading; ask again later", retry_after_s=5) from None
            if self.card is None:
                raise self.failure or LoadFailed(f"{self.name} did not load")
        return self.card

    async def stop(self) -> None:
        if self._executor is not None:
            await self._executor.stop()

    def _executor_spec(self) -> ExecutorSpec:
        settings = self.settings
        temporary = self._folder / "tmp"
        temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ExecutorSpec(
            module=self.spec.module,
            name=self.name,
            folder=str(self._folder),
            python=self.spec.python or settings.python or None,
            workers=self.workers,
            warm=settings.warm,
            start_method=settings.start_method,
            train_in_pool=settings.train_in_pool,
            load_timeout_s=settings.load_timeout_s,
            start_wait_s=settings.start_wait_s,
            log_tail_bytes=settings.log_tail_bytes,
            inline_limit_bytes=settings.inline_limit_bytes,
            debug=settings.debug,
            # What a model leaves in the temporary folder goes with the deployment.
            environment={"TMPDIR": str(temporary), **(self.spec.environment or {})},
        )

    def _printed(self, pid: int, chunk: bytes) -> None:
        self.printed.add(chunk)
        if self._listener is not None:
            self._listener(self.name, pid, chunk)


class Deployments:
    """All deployments of this server, by name."""

    def __init__(self, settings: Settings, folder: Path, listener: Listener | None = None) -> None:
        self._settings = settings
        self._folder = folder
        self._listener = listener
        self._by_name: dict[str, Deployment] = {}

    def add(self, spec: DeploymentSpec) -> Deployment:
        """A new deployment, not yet started. Raises Conflict."""
        if spec.name in self._by_name:
            raise Conflict(f"there is already a deployment called {spec.name}")
        folder = self._folder / f"{len(self._by_name)}"
        deployment = Deployment(spec, self._settings, folder, self._listener)
        self._by_name[spec.name] = deployment
        return deployment

    def get(self, name: str) -> Deployment:
        """Raises NotFound."""
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound(f"there is no model called {name}") from None

    def __iter__(self) -> Iterator[Deployment]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    async def stop(self) -> None:
        await asyncio.gather(*(each.stop() for each in self))

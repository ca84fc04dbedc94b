"""The memory budget: over it, the least recently used idle services give theirs back first."""

from __future__ import annotations

import asyncio
import logging

from modelport.deployments.deployments import Deployment, Deployments
from modelport.deployments.memory import MemoryMeter
from modelport.settings import Settings
from modelport.tasks import Tasks, wait_event

logger = logging.getLogger(__name__)

LOOK_S = 3.0


class Budget:
    """Looks at the models' memory every few seconds and before each cold start, if there is a budget."""

    def __init__(self, settings: Settings, deployments: Deployments) -> None:
        self._limit_bytes = settings.memory_budget_bytes
        self._deployments = deployments
        self._meter = MemoryMeter()
        self._tasks = Tasks("budget")
        self._asked = asyncio.Event()
        self._turn = asyncio.Lock()
        self._warned = False

    def start(self) -> None:
        if self._limit_bytes:
            self._tasks.spawn(self._watch(), cancel=True)

    async def stop(self) -> None:
        await self._tasks.end()

    def look(self) -> None:
        """Soon, for something has grown."""
        self._asked.set()

    async def make_room(self, deployment: Deployment) -> None:
        """Before `deployment` starts, which it does in any case."""
        if self._limit_bytes:
            await self._try(deployment)

    async def _watch(self) -> None:
        while True:
            self._asked.clear()
            await wait_event(self._asked, LOOK_S)
            await self._try(None)

    async def _try(self, starting: Deployment | None) -> None:
        try:
            await self._keep(starting)
        except Exception:
            logger.exception("the models' memory could not be looked at")

    async def _keep(self, starting: Deployment | None) -> None:
        async with self._turn:
            used = await self._used()
            for deployment in self._idle(starting):
                if used <= self._limit_bytes:
                    break
                if await deployment.shrink():
                    used = await self._used()
                if used > self._limit_bytes and not deployment.spec.min_workers and await deployment.unload():
                    used = await self._used()
                    logger.info(
                        "%s: unloaded, because the models use more memory than memory_budget_bytes", deployment.name
                    )
            self._report(used)

    def _idle(self, starting: Deployment | None) -> list[Deployment]:
        """Services that nobody uses, the one used the longest time ago first."""
        idle = [
            deployment
            for deployment in self._deployments
            if deployment.row and not deployment.in_use and deployment is not starting
        ]
        return sorted(idle, key=lambda deployment: deployment.last_used)

    async def _used(self) -> int:
        processes = [pid for deployment in self._deployments for pid in deployment.processes()]
        memory = await asyncio.to_thread(self._meter.measure, processes)
        return sum(memory.get(pid, 0) for pid in processes)

    def _report(self, used: int) -> None:
        over = used > self._limit_bytes
        if over and not self._warned:
            logger.warning(
                "the models use %d MiB, more than memory_budget_bytes (%d MiB), and none of them is idle",
                used >> 20,
                self._limit_bytes >> 20,
            )
        self._warned = over

"""All lines of a server, and those among the jobs that have none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from modelport.contract.job import Job
from modelport.deployments.deployments import Deployment, Deployments
from modelport.deployments.predictions import Predictions
from modelport.jobs.attempt import Run
from modelport.jobs.queue import Prepare, Queue
from modelport.jobs.state import JobState
from modelport.store.jobs import METHODS


class Queues:
    """A line for each deployment and method that has had a job. `start` begins with what waits."""

    def __init__(
        self, ledger: JobState, deployments: Deployments, predictions: Predictions, prepare: Mapping[str, Prepare]
    ) -> None:
        self.started = False
        self._ledger = ledger
        self._deployments = deployments
        self._predictions = predictions
        self._prepare = prepare
        self._lines: dict[tuple[str, str], Queue] = {}

    def of(self, deployment: str, method: str) -> Queue:
        line = self._lines.get((deployment, method))
        if line is None:
            line = Queue(deployment, method, self._ledger, self._deployments, self._predictions, self._prepare)
            self._lines[deployment, method] = line
        return line

    def run_of(self, job_id: str) -> Run | None:
        for line in self._lines.values():
            if (run := line.running.get(job_id)) is not None:
                return run
        return None

    def live(self, job: Job) -> Job:
        """With what is known of a running job since it was written."""
        line = self._lines.get((job.deployment, job.method))
        run = None if line is None else line.running.get(job.id)
        return job if run is None else run.live(job)

    @property
    def running(self) -> dict[str, int]:
        """How many run, by deployment; with those that may be in the store as running and are about to begin."""
        found: dict[str, int] = {}
        for (deployment, _), line in self._lines.items():
            found[deployment] = found.get(deployment, 0) + len(line.running) + line.reserved
        return found

    def start(self) -> None:
        self.started = True
        self._deployments.added.append(self._wake)
        for deployment in self._deployments:
            self._wake(deployment)

    def _wake(self, deployment: Deployment) -> None:
        for method in METHODS:
            if (deployment.name, method) in self._ledger.waiting:
                self.of(deployment.name, method).wake()

    def unserved(self) -> list[str]:
        """Deployments that jobs wait for, and that this server does not have."""
        return sorted({name for name, _ in self._ledger.waiting if not self._is_served(name)})

    def _is_served(self, name: str) -> bool:
        if name not in self._deployments:
            return False
        deployment = self._deployments.get(name)
        # Nobody will try again to load what is named on the command line.
        return deployment.row is not None or deployment.card is not None or deployment.failure is None

    def close(self) -> None:
        for line in self._lines.values():
            line.close()

    async def stop(self) -> None:
        await asyncio.gather(*(line.stop() for line in self._lines.values()))

    async def forget(self, deployment: str) -> None:
        for method in METHODS:
            if (line := self._lines.pop((deployment, method), None)) is not None:
                await line.stop()

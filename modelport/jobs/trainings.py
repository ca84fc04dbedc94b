"""Trainings: jobs that run a plugin's `train`; started, listed, watched, cancelled.

A training is validated before it is accepted, then waits for its turn (`max_trainings` of one deployment run at once)
and runs in a process of its own. Ended ones stay until `kept_trainings` newer ones of their deployment have ended.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from modelport.contract.job import Job
from modelport.contract.prediction import UNFINISHED, Call, Status
from modelport.deployments.deployments import Deployment
from modelport.errors import Conflict, NotFound, Overloaded
from modelport.intake.scratch import Scratch
from modelport.jobs import Jobs
from modelport.settings import Settings

# When too many trainings wait, a client is asked to stay away so long; trainings take minutes.
RETRY_AFTER_S = 60.0


@dataclass(frozen=True)
class Training:
    """A job of method train. result: JSON of what `train` returned, once it has succeeded.

    In `job.arguments`, which are as the plugin's fields understood them, a file is shown as [name, content type, the
    client's file name].
    """

    job: Job
    result: bytes | None = None


class Trainings:
    """The trainings among the jobs, by deployment, in the order of their start."""

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        self._settings = settings
        self._jobs = jobs
        self._accepting = asyncio.Lock()
        jobs.state.ends.append(self._ended)

    async def start(
        self, deployment: Deployment, call: Call, scratch: Scratch, *, source: str = "deepaas", owner: str = ""
    ) -> Training:
        """Accept a training; from here on its scratch folder is ours.

        Raises InvalidArguments before anything is started, and whatever else hinders the start.
        """
        try:
            await self._check_room(deployment)
            limit_s = deployment.timeout_s or self._settings.load_timeout_s
            checked = await deployment.run(replace(call, only_validate=True, timeout_s=limit_s))
            if checked.error is not None:
                raise checked.error
            shown = json.loads(checked.body)
            async with self._accepting:  # many may have been looked at meanwhile
                await self._check_room(deployment)
                job, _ = await self._jobs.submit(deployment, call, source=source, owner=owner, shown=shown)
        finally:
            await scratch.remove()
        return Training(job)

    async def _check_room(self, deployment: Deployment) -> None:
        """Raises Overloaded, StorageFull, Cancelled."""
        self._jobs.check_room()
        limit = self._settings.max_trainings + self._settings.queue_limit
        if await self._jobs.count([deployment.name], statuses=UNFINISHED, method="train") >= limit:
            raise Overloaded(
                f"{limit} trainings of {deployment.name} are running or waiting, which is its limit",
                retry_after_s=RETRY_AFTER_S,
            )

    async def list(self, deployment: str) -> builtins.list[Training]:
        trainings = []
        for training in await self._keep(deployment):
            with contextlib.suppress(NotFound):  # forgotten meanwhile
                # Lists of jobs leave out arguments that are very large.
                trainings.append(
                    await self._with_result(training if training.arguments else await self._jobs.get(training.id))
                )
        return trainings

    async def get(self, deployment: str, uuid: str) -> Training:
        """Raises NotFound."""
        return await self._with_result(await self._get(deployment, uuid))

    async def _get(self, deployment: str, uuid: str) -> Job:
        with contextlib.suppress(NotFound):
            job = await self._jobs.get(uuid)
            if (job.deployment, job.method) == (deployment, "train"):
                return job
        raise NotFound(f"there is no training {uuid[:64]}")

    async def cancel(self, deployment: str, uuid: str) -> Training:
        """End a training, wait until its processes are gone, and forget it. Raises NotFound."""
        job = await self._get(deployment, uuid)
        if not job.status.final:
            with contextlib.suppress(Conflict):  # it ended by itself just now
                await self._jobs.cancel(uuid)
        training = await self.get(deployment, uuid)
        await self._forget(uuid)
        return training

    async def _with_result(self, job: Job) -> Training:
        if job.status is not Status.SUCCEEDED:
            return Training(job)
        outcome = await self._jobs.outcome(job)
        if outcome.path is None:
            return Training(job, outcome.body)
        try:
            return Training(job, await asyncio.to_thread(Path(outcome.path).read_bytes))
        except FileNotFoundError as error:
            raise NotFound(f"the result of the training {job.id} has gone") from error

    # Forgetting

    def _ended(self, job: Job, deliver: tuple[str, ...]) -> None:
        if job.method == "train":
            self._jobs.state.tasks.spawn(self._keep(job.deployment))

    async def _keep(self, deployment: str) -> builtins.list[Job]:
        """All that there are, the oldest first, once those that are too many are forgotten."""
        jobs = [job async for page in self._jobs.pages(deployment, method="train") for job in page][::-1]
        ended = [job for job in jobs if job.status.final]
        too_many = {job.id for job in ended[: max(0, len(ended) - self._settings.kept_trainings)]}
        for uuid in too_many:
            await self._forget(uuid)
        return [job for job in jobs if job.id not in too_many]

    async def _forget(self, uuid: str) -> None:
        """One that has ended; somebody else may do so at the same time."""
        with contextlib.suppress(NotFound, Conflict):
            await self._jobs.delete(uuid)

"""Trainings: runs of a plugin's `train`, started, listed, watched, cancelled.

A training is validated before it is accepted, then waits for its turn (`max_trainings` of one deployment run at once)
and runs in a process of its own. Ended ones stay in the list until `kept_trainings` newer ones have ended.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from modelport.deployments import Deployment
from modelport.errors import Cancelled, ModelportError, NotFound, Overloaded
from modelport.prediction import Call, Outcome, Status
from modelport.scratch import Scratch
from modelport.settings import Settings

logger = logging.getLogger(__name__)

# When too many trainings wait, a client is asked to stay away so long; trainings take minutes.
RETRY_AFTER_S = 60.0


@dataclass
class Training:
    """One run of `train`.

    arguments: JSON object of the arguments as the plugin's fields understood them; a file is shown as
        [name, content type, the client's file name].
    result: JSON of what `train` returned, once it has succeeded.
    started, finished: local time without a zone, for people, as deepaas gives it.
    """

    uuid: str
    deployment: str
    arguments: bytes
    started: datetime
    status: Status = Status.QUEUED
    finished: datetime | None = None
    result: bytes | None = None
    error: ModelportError | None = None
    fraction: float | None = None
    message: str = ""
    log: bytes = b""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def duration_s(self) -> float:
        return ((self.finished or datetime.now()) - self.started).total_seconds()


class Trainings:
    """Every training that this server knows of, by deployment, in the order of their start."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_deployment: dict[str, dict[str, Training]] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._stopping = False

    async def start(self, deployment: Deployment, call: Call, scratch: Scratch) -> Training:
        """Accept a training; from here on its scratch folder is ours.

        Raises InvalidArguments before anything is started, and whatever else hinders the start.
        """
        try:
            self._check_room(deployment.name)
            checked = await deployment.run(replace(call, only_validate=True))
            if checked.error is not None:
                raise checked.error
            self._check_room(deployment.name)  # again: many may have been looked at meanwhile
        except BaseException:
            await scratch.remove()
            raise
        training = Training(uuid.uuid4().hex, deployment.name, checked.body, datetime.now())
        self._by_deployment.setdefault(deployment.name, {})[training.uuid] = training
        training.task = asyncio.create_task(self._run(deployment, training, call, scratch))
        await asyncio.sleep(0)  # a task that is cancelled before its first step would not clean up
        return training

    def _check_room(self, deployment: str) -> None:
        """Raises Overloaded, Cancelled."""
        if self._stopping:
            raise Cancelled("the server is stopping")
        limit = self._settings.max_trainings + self._settings.queue_limit
        if sum(not each.status.final for each in self.list(deployment)) >= limit:
            raise Overloaded(
                f"{limit} trainings of {deployment} are running or waiting, which is its limit",
                retry_after_s=RETRY_AFTER_S,
            )

    def list(self, deployment: str) -> list[Training]:
        return list(self._by_deployment.get(deployment, {}).values())

    def get(self, deployment: str, uuid: str) -> Training:
        """Raises NotFound."""
        try:
            return self._by_deployment[deployment][uuid]
        except KeyError:
            raise NotFound(f"there is no training {uuid[:64]}") from None

    async def cancel(self, deployment: str, uuid: str) -> Training:
        """End a training, wait until its processes are gone, and forget it. Raises NotFound."""
        training = self.get(deployment, uuid)
        del self._by_deployment[deployment][uuid]
        await self._end(training)
        return training

    async def forget(self, deployment: str) -> None:
        """The deployment has gone: end its trainings, and forget them all."""
        gone = self._by_deployment.pop(deployment, {})
        await asyncio.gather(*(self._end(each) for each in gone.values()))
        self._turns.pop(deployment, None)

    async def stop(self) -> None:
        self._stopping = True
        everyone = [each for trainings in self._by_deployment.values() for each in trainings.values()]
        await asyncio.gather(*(self._end(each) for each in everyone))

    async def _end(self, training: Training) -> None:
        if training.task is not None and not training.task.done():
            training.task.cancel()
            await asyncio.wait({training.task})

    async def _run(self, deployment: Deployment, training: Training, call: Call, scratch: Scratch) -> None:
        turns = self._turns.setdefault(deployment.name, asyncio.Semaphore(self._settings.max_trainings))
        call = replace(call, timeout_s=self._settings.train_timeout_s or None)
        try:
            async with scratch, turns:
                training.status = Status.RUNNING
                outcome = await deployment.run(call, self._watch(training))
                training.log = outcome.log
                if outcome.error is None:
                    training.result = await _json_of(outcome)
                self._finish(training, outcome.error)
        except asyncio.CancelledError:
            self._finish(training, Cancelled("the training was cancelled"))
            raise
        except ModelportError as error:
            self._finish(training, error)
        except Exception as error:
            logger.exception("training %s of %s", training.uuid, deployment.name)
            self._finish(training, ModelportError(f"the server failed: {error}"))

    def _finish(self, training: Training, error: ModelportError | None) -> None:
        training.finished = datetime.now()
        training.error = error
        if error is None:
            training.status = Status.SUCCEEDED
        else:
            training.status = Status.CANCELLED if isinstance(error, Cancelled) else Status.FAILED
            logger.info("training %s of %s: %s", training.uuid, training.deployment, error.message)
        self._forget_oldest(training.deployment)

    def _forget_oldest(self, deployment: str) -> None:
        trainings = self._by_deployment.get(deployment, {})
        ended = [each.uuid for each in trainings.values() if each.status.final]
        for each in ended[: -self._settings.kept_trainings]:
            del trainings[each]

    @staticmethod
    def _watch(training: Training) -> Callable[[float | None, str], None]:
        def report(fraction: float | None, message: str) -> None:
            training.fraction, training.message = fraction, message

        return report


async def _json_of(outcome: Outcome) -> bytes:
    """What `train` returned: it stays in memory, as the list of trainings shows it."""
    if outcome.path is not None:
        return await asyncio.to_thread(Path(outcome.path).read_bytes)
    return outcome.body

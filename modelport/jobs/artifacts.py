"""Files that the model of a job gives away while it runs: taken into the job's folder one after the other."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Callable

from modelport.contract.job import JobArtifact
from modelport.errors import ModelportError, TooLarge
from modelport.jobs.files import room
from modelport.jobs.state import JobState
from modelport.store.job_states import Attempt, keep_artifacts
from modelport.store.jobs import JobRow

UNKNOWN = "application/octet-stream"
# A model that gives files away faster than they can be stored, such as one a step, would fill the memory.
PENDING_LIMIT = 1000


class Artifacts:
    """Those of one attempt, and what earlier ones have left. kept: by name. say: prints a line to the job's log."""

    def __init__(self, row: JobRow, attempt: Attempt, state: JobState, say: Callable[[bytes], None]) -> None:
        self.kept = {artifact.name: artifact for artifact in row.job.artifacts}
        self._job = row.job
        self._attempt = attempt
        self._state = state
        self._say = say
        self._turn = asyncio.Lock()
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def all(self) -> tuple[JobArtifact, ...]:
        return tuple(self.kept.values())

    def take(self, path: str, name: str) -> None:
        """path: of a file in the call's scratch folder, which becomes ours."""
        if len(self._tasks) >= PENDING_LIMIT:
            self._refuse(name, f"{PENDING_LIMIT} others are still being stored")
            return
        self._count += 1
        stored = f"artifact-{self._attempt.attempt}-{self._count}"
        task = self._state.tasks.spawn(self._take(path, name, stored))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, name: str, why: str) -> None:
        self._say(f"modelport: the artifact {name} is not kept: {why}\n".encode())

    async def wait_taken(self) -> None:
        """Until all that was given is durable, or refused."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _take(self, path: str, name: str, stored: str) -> None:
        async with self._turn:
            try:
                await self._keep(path, name, stored)
            except ModelportError as error:
                self._refuse(name, error.message)

    async def _keep(self, path: str, name: str, stored: str) -> None:
        """Raises TooLarge, StorageFull, ModelFailed, and what the store raises."""
        state, folders, job_id = self._state, self._state.folders, self._job.id
        old = self.kept.get(name)
        try:
            if old is None and len(self.kept) >= state.settings.job_artifacts:
                limit = state.settings.job_artifacts
                raise TooLarge(f"a job has at most {limit} of them (setting job_artifacts)")
            size = await state.in_thread(folders.keep, job_id, stored, path, "the artifact")
            artifact = JobArtifact(name, stored, mimetypes.guess_type(name)[0] or UNKNOWN, size)
            kept, added = {**self.kept, name: artifact}, room(size) - (room(old.size_bytes) if old else 0)
            if sum(artifact.size_bytes for artifact in kept.values()) > state.settings.job_artifacts_bytes:
                limit = state.settings.job_artifacts_bytes
                raise TooLarge(f"those of a job have at most {limit} bytes together (setting job_artifacts_bytes)")
            written = await state.store.write(keep_artifacts, self._attempt, tuple(kept.values()), added)
        except BaseException:
            await state.in_thread(folders.drop, job_id, stored, path)
            raise
        if not written:  # it is not this attempt's any more
            await state.in_thread(folders.remove_file, job_id, stored)
            return
        self.kept = kept
        state.bytes += added
        if old is not None:
            await state.in_thread(folders.remove_file, job_id, old.stored)
        state.tell(self._job, "artifact", artifact)

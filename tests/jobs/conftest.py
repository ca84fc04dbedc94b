"""Jobs in a real server with real workers, asked for as the doors ask."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelport.contract.job import Job
from modelport.contract.prediction import Call, InputFile, Outcome, Status
from modelport.deployments.deployments import Deployment
from modelport.jobs import Jobs
from tests.conftest import OpenHouse
from tests.house import PATIENCE_S, House, wait_until

SOURCE = Path(__file__).with_name("plugin.py").read_text()


@dataclass
class Desk:
    """The jobs of an open house."""

    house: House
    folder: Path

    @property
    def jobs(self) -> Jobs:
        assert self.house.server.gateway is not None
        return self.house.server.gateway.jobs

    def deployment(self, name: str = "x") -> Deployment:
        return self.house.server.deployments.get(name)

    def make_call(self, files: Mapping[str, bytes] | None = None, method: str = "predict", **arguments: Any) -> Call:
        """Arguments, and files as a door leaves them in the call's scratch folder."""
        scratch = self.house.server.predictions.scratch()
        call = Call(scratch.id, method=method, arguments=arguments, scratch=scratch.folder)
        for name, content in (files or {}).items():
            path = scratch.make() / f"{name}.in"
            path.write_bytes(content)
            call.files.append(InputFile(name, str(path), name, "text/plain", f"{name}.txt"))
        return call

    async def take(self, call: Call, **options: Any) -> tuple[Job, bool]:
        options = {"source": "test", **options}
        try:
            return await self.jobs.submit(self.deployment(options.pop("name", "x")), call, **options)
        finally:
            shutil.rmtree(call.scratch, ignore_errors=True)  # as a door does when it has answered

    async def submit(self, options: Mapping[str, Any] | None = None, **arguments: Any) -> Job:
        """options: for `Jobs.submit`."""
        return (await self.take(self.make_call(**arguments), **(options or {})))[0]

    async def ended(self, job: Job) -> Job:
        job = await self.jobs.wait(job.id, PATIENCE_S)
        assert job.status.final, job
        return job

    async def outcome(self, job: Job) -> Outcome:
        return await self.jobs.outcome(await self.ended(job))

    async def text(self, job: Job) -> str:
        """The answer of one that succeeds."""
        outcome = await self.outcome(job)
        assert outcome.error is None, outcome
        return outcome.body.decode() if outcome.path is None else Path(outcome.path).read_text()

    async def reach(self, job: Job, status: Status) -> Job:
        """Until a job has this status."""
        while (job := await self.jobs.get(job.id)).status is not status:
            assert not job.status.final, job
            await asyncio.sleep(0.005)
        return job

    async def begun(self, trace: Path) -> int:
        """The process that works on a job with this trace, once there is one."""
        await wait_until(lambda: trace.exists() and trace.read_text().endswith("\n"))
        return int(trace.read_text().split()[-1])

    def folders(self) -> list[str]:
        """The ids of jobs that have files on the disk."""
        root = self.house.home / "jobs"
        return sorted(path.name for path in root.iterdir()) if root.exists() else []


OpenDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def desk(house: OpenHouse, tmp_path: Path) -> OpenDesk:
    """`await desk(workers=2, …)`: the jobs of a running server with the plugin as x, its workers forked."""

    async def opened(sources: str | Mapping[str, str] = SOURCE, **settings: Any) -> Desk:
        return Desk(await house(sources, **{"start_method": "fork", **settings}), tmp_path)

    return opened

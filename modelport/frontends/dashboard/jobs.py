"""Jobs: their list, the page of one, and two beside each other."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from markupsafe import Markup

from modelport.contract.job import Job
from modelport.contract.prediction import Status
from modelport.errors import InvalidArguments, NotFound
from modelport.frontends.dashboard.filters import when
from modelport.frontends.dashboard.rendering import Section, digest
from modelport.frontends.dashboard.runs import input_files, summary
from modelport.http.job_documents import JobDocument, JobDocuments
from modelport.http.json_answers import encoded

SHOWN = 50
UNFINISHED = "unfinished"
STATES = {
    "": "all",
    UNFINISHED: "not ended",
    **{status.value: status.value for status in Status},
}
# What may help, by the kind of an error.
HELP = {
    "worker_lost": "The model's process ended by itself, often for lack of memory. Give the deployment more of it, or "
    "fewer workers at once, and run the job again.",
    "deadline_exceeded": "The call exceeded its time limit. Raise the limit of the service, or send less at once.",
    "invalid_arguments": "Correct the arguments named here, and send it again.",
    "model_failed": "The model's own code failed; the log says where.",
    "load_failed": "The module does not load; the service's log says why.",
    "interrupted": "The server was stopped meanwhile, and trainings are not begun again by themselves. Run it again.",
    "storage_full": "The disk is full. Delete files and jobs that nobody needs, and run it again.",
    "not_found": "Its input file was deleted. Upload it again.",
    "bucket_unavailable": "The object store is not responding. Run the job again when it does.",
}


@dataclass(frozen=True)
class JobFilter:
    """What a list shows; as the address has it. method: empty for all."""

    deployment: str = ""
    state: str = ""
    method: str = ""
    after: str = ""
    sort: str = ""

    @classmethod
    def of(cls, request: web.Request, names: Collection[str], method: str = "") -> JobFilter:
        """What cannot be meant is left out. names: of the deployments."""
        query = request.query
        state, deployment = query.get("state", ""), query.get("deployment", "")
        return cls(
            deployment if deployment in names else "",
            state if state in STATES else "",
            method,
            query.get("after", "")[:64],
            query.get("sort", "")[:200],
        )

    @property
    def statuses(self) -> tuple[Status, ...]:
        if self.state == UNFINISHED:
            return tuple(status for status in Status if not status.final)
        return (Status(self.state),) if self.state else ()

    @property
    def clearable(self) -> bool:
        """Whether any of it may have ended."""
        return not self.statuses or any(status.final for status in self.statuses)

    @property
    def empty(self) -> bool:
        return not (self.deployment or self.state)

    def query(self, **changes: str) -> str:
        """Without what is empty, so that it can be kept and sent to others."""
        values = {"deployment": self.deployment, "state": self.state, "after": self.after, "sort": self.sort, **changes}
        query = urlencode({name: value for name, value in values.items() if value})
        return f"?{query}" if query else ""


class JobPages(Section):
    """`/ui/jobs`, `/ui/jobs/<id>`, `/ui/compare`."""

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """The page; for htmx the list alone, and nothing where it has not changed since `seen`."""
        names = sorted(deployment.name for deployment in self._gateway.deployments)
        filters = JobFilter.of(request, names)
        chosen = [filters.deployment] if filters.deployment else names
        try:
            jobs, after = await self._gateway.jobs.list(
                chosen, statuses=filters.statuses, before=filters.after, limit=SHOWN
            )
            total = await self._gateway.jobs.count(chosen, statuses=filters.statuses)
        except InvalidArguments:
            raise NotFound("this position in the list does not exist") from None
        documents = JobDocuments.of(self._gateway, request)
        rows = [(row := documents.row(job), summary(job, row.arguments)) for job in jobs]
        here = self._pages.url(request, "jobs")
        values: dict[str, Any] = {
            "rows": [self._row(request, row, what) for row, what in rows],
            "total": total,
            "wanted": filters,
            "names": names,
            "states": STATES,
            "here": here + filters.query(),
            "next": here + filters.query(after=after) if after else "",
            "newest": here + filters.query(after="") if filters.after else "",
        }
        headers = {} if "seen" in request.query else {"HX-Replace-Url": str(values["here"])}
        seen, headers = digest(rows, total, after), {"Vary": "HX-Request", **headers}
        return self._pages.fresh(request, "jobs.html", "_jobs.html", seen, headers, **values)

    def _row(self, request: web.Request, row: JobDocument, what: str) -> Markup:
        """what: one knows it by."""
        age = when(row.created)
        key = (encoded(row), what, age)
        return self._pages.piece(request, "_job_row.html", key, row=row, what=what, age=age)

    # One

    async def job(self, request: web.Request) -> web.StreamResponse:
        """For htmx only what changes while it runs."""
        job = await self._gateway.jobs.get(request.match_info["id"], position=True)
        facts = JobDocuments.of(self._gateway, request).row(job)
        if "HX-Request" in request.headers:
            return self._pages.page(request, "_job.html", facts=facts, job=job)
        files = input_files(job, self._gateway.root(request))
        named = {file.argument for file in job.files}
        told = {
            "id": job.id,
            "deployment": job.deployment,
            "method": job.method,
            "status": facts.status,
            "files": files,
            "artifacts": msgspec.to_builtins(facts.artifacts),
        }
        return self._pages.page(
            request,
            "job.html",
            facts=facts,
            job=job,
            help=HELP.get(facts.error.kind, "") if facts.error is not None else "",
            given={name: value for name, value in facts.arguments.items() if name not in named},
            files=files,
            data={**told, "files": files, "size_bytes": facts.result and facts.result.size_bytes},
            callable=job.deployment in self._gateway.deployments,
            trained_by=await self._training_of(job),
        )

    async def _training_of(self, job: Job) -> str:
        """The id of the training whose model a prediction used; empty where none is known."""
        if job.method == "train" or not job.arguments:
            return ""
        async for jobs in self._gateway.jobs.pages(job.deployment, method="train", statuses=[Status.SUCCEEDED]):
            for training in jobs:
                if training.use and training.use.items() <= job.arguments.items():
                    return training.id
        return ""

    # Two

    async def compare(self, request: web.Request) -> web.StreamResponse:
        """What two runs were given; the page's script shows how their results differ."""
        runs = [await self._compared(request, request.query.get(name, "")) for name in ("one", "other")]
        names = dict.fromkeys(name for run in runs for name in run["inputs"])
        pairs = [(name, [run["inputs"].get(name) for run in runs]) for name in names]
        inputs = [(name, values, values[0] != values[1]) for name, values in pairs]
        data = [run["told"] for run in runs]
        return self._pages.page(request, "compare.html", runs=runs, inputs=inputs, data=data)

    async def _compared(self, request: web.Request, id: str) -> dict[str, Any]:
        job = await self._gateway.jobs.get(id)
        facts, files = JobDocuments.of(self._gateway, request).row(job), input_files(job, self._gateway.root(request))
        told = {
            "id": job.id,
            "succeeded": facts.status is Status.SUCCEEDED,
            "size_bytes": facts.result.size_bytes if facts.result else 0,
            "error": facts.error.message if facts.error else "",
            "picture": next((file["url"] for file in files if file["type"].startswith("image/")), ""),
        }
        named: dict[str, list[str]] = {}
        for file in files:
            named.setdefault(file["argument"] or "file", []).append(file["name"])
        inputs = {**facts.arguments, **{name: ", ".join(names) for name, names in named.items()}}
        return {"facts": facts, "told": told, "inputs": inputs}

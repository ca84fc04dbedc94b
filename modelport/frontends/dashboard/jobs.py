"""Jobs: their list, the page of one, and two beside each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from markupsafe import Markup

from modelport.contract.job import Job
from modelport.contract.prediction import UNFINISHED, Status
from modelport.errors import InvalidArguments, NotFound
from modelport.frontends.dashboard.filters import when
from modelport.frontends.dashboard.rendering import Section, digest
from modelport.frontends.dashboard.runs import input_files, summary
from modelport.http.gateway import Gateway
from modelport.http.job_documents import JobDocument, JobDocuments
from modelport.http.json_answers import encoded

SHOWN = 50
OPEN = "unfinished"
STATES = {"": "all", OPEN: "not ended", **{status.value: status.value for status in Status}}
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
    """What a list shows; as the address has it."""

    deployment: str = ""
    state: str = ""
    after: str = ""
    sort: str = ""

    @classmethod
    def of(cls, request: web.Request, names: Collection[str]) -> JobFilter:
        """What cannot be meant is left out. names: of the deployments."""
        query = request.query
        state, deployment = query.get("state", ""), query.get("deployment", "")
        return cls(
            deployment if deployment in names else "",
            state if state in STATES else "",
            query.get("after", "")[:64],
            query.get("sort", "")[:200],
        )

    @property
    def statuses(self) -> tuple[Status, ...]:
        if self.state == OPEN:
            return UNFINISHED
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
        query = urlencode({name: value for name, value in {**vars(self), **changes}.items() if value})
        return f"?{query}" if query else ""


async def listed(
    gateway: Gateway, request: web.Request, limit: int, method: str = "", *, paged: bool = True
) -> tuple[Sequence[Job], str, dict[str, Any]]:
    """(the jobs that the address asks for, where the next page begins, what the page says of them). Raises NotFound."""
    names = sorted(deployment.name for deployment in gateway.deployments)
    filters = JobFilter.of(request, names)
    before = filters.after if paged else ""
    chosen, statuses = [filters.deployment] if filters.deployment else names, filters.statuses
    try:
        jobs, after = await gateway.jobs.list(chosen, statuses=statuses, method=method, before=before, limit=limit)
    except InvalidArguments:
        raise NotFound("this position in the list does not exist") from None
    total = await gateway.jobs.count(chosen, statuses=statuses, method=method)
    return jobs, after, {"total": total, "filters": filters, "names": names, "states": STATES}


class JobPages(Section):
    """`/ui/jobs`, `/ui/jobs/<id>`, `/ui/compare`."""

    async def overview(self, request: web.Request) -> web.StreamResponse:
        jobs, after, values = await listed(self._gateway, request, SHOWN)
        documents, filters = JobDocuments.of(self._gateway, request), values["filters"]
        rows = [(row := documents.row(job), summary(job, row.arguments)) for job in jobs]
        here, seen = self._pages.url(request, "jobs"), digest(rows, values["total"], after)
        values |= {
            "rows": [self._row(request, row, what) for row, what in rows],
            "here": here + filters.query(),
            "next": here + filters.query(after=after) if after else "",
            "newest": here + filters.query(after="") if filters.after else "",
        }
        return self._pages.fresh(request, "jobs.html", "_jobs.html", seen, values["here"], **values)

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
        told = {name: getattr(facts, name) for name in ("id", "deployment", "method", "status")}
        told |= {"files": files, "artifacts": msgspec.to_builtins(facts.artifacts)}
        return self._pages.page(
            request,
            "job.html",
            facts=facts,
            job=job,
            help=HELP.get(facts.error.kind, "") if facts.error is not None else "",
            arguments={name: value for name, value in facts.arguments.items() if name not in named},
            files=files,
            data={**told, "size_bytes": facts.result and facts.result.size_bytes},
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
        one, other = [run["inputs"] for run in runs]
        inputs = [(name, (one.get(name), other.get(name)), one.get(name) != other.get(name)) for name in one | other]
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
        inputs = facts.arguments | ({"file": job.origin["key"]} if job.origin.get("key") else {})
        return {"facts": facts, "told": told, "inputs": inputs}

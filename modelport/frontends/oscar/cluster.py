"""The rest of /system: the cluster, what was called, and what other clusters have and this one has not."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from modelport.contract.prediction import Status
from modelport.errors import Forbidden
from modelport.frontends.oscar import documents as oscar_documents
from modelport.frontends.oscar.services import Calls, Handler
from modelport.http.access import Caller
from modelport.http.json_answers import json_answer

GROUPS = ("service", "user", "country")


class ClusterCalls(Calls):
    """The handlers of /system but for services, logs and buckets."""

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return (
            ("GET", "/info", self.info),
            ("GET", "/config", self.config),
            ("GET", "/status", self.status),
            ("GET", "/volumes", self.volumes),
            ("GET", "/quotas/user", self.quota),
            ("GET", "/quotas/user/{id}", self.quota),
            ("GET", "/metrics", self.metrics),
            ("GET", "/metrics/breakdown", self.breakdown),
            ("GET", "/metrics/{name}", self.service_metrics),
        )

    # The cluster

    async def info(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return json_answer(oscar_documents.info())

    async def config(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        minio = await self._providers.of_caller(request, caller)
        return json_answer(oscar_documents.config(minio, self._access.accounts.groups))

    async def status(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        accounts, gateway = self._access.accounts, self._gateway
        names = [deployment.name for deployment in gateway.deployments] if caller.administrator else []
        document = oscar_documents.status(
            gateway.deployments,
            caller.administrator,
            self._journal.started,
            accounts.issuers,
            accounts.groups,
            waiting=await gateway.jobs.count(names, statuses=(Status.QUEUED,)),
            buckets=len(gateway.bucket_jobs.bucket_keys.bucket_names()) if gateway.bucket_jobs is not None else 0,
        )
        return json_answer(document)

    # Metrics

    async def metrics(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        self._administrator(caller)
        return json_answer(oscar_documents.metrics(self._journal, len(self._gateway.deployments), await self._jobs()))

    async def breakdown(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        self._administrator(caller)
        group_by = request.query.get("group_by", "service")
        if group_by not in GROUPS:
            text = f'{{"error": "group_by is one of {", ".join(GROUPS)}"}}'
            return web.Response(status=400, text=text, content_type="application/json")
        return json_answer(oscar_documents.breakdown(self._journal, group_by, await self._jobs()))

    async def service_metrics(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        row = self._access.row(caller, request.match_info["name"])
        jobs = await self._gateway.jobs.count([row.name])
        metric = request.query.get("metric", "")
        return json_answer(oscar_documents.service_metrics(self._journal, row.name, metric, jobs))

    async def _jobs(self) -> dict[str, int]:
        """How many each service has, its trainings included."""
        return {
            deployment.name: await self._gateway.jobs.count([deployment.name])
            for deployment in tuple(self._gateway.deployments)
        }

    @staticmethod
    def _administrator(caller: Caller) -> None:
        if not caller.administrator:
            raise Forbidden("only the administrator may see the metrics of all services")

    # What other clusters have

    async def volumes(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return json_answer([])

    async def quota(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Nobody has a quota."""
        user = request.match_info.get("id") or caller.name
        if user != caller.name and not caller.administrator:
            raise Forbidden("only the administrator may see the quotas of others")
        return json_answer({"user_id": user, "cluster_queue": "", "resources": {}})

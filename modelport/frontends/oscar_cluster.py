"""The rest of /system: the cluster, the logs of calls, and what other clusters have and this one has not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from modelport.errors import InvalidRequest, NotFound, NotImplementedByModel
from modelport.frontends import oscar_documents
from modelport.frontends.http import Hall
from modelport.frontends.oscar_access import Access, Caller, Forbidden
from modelport.frontends.oscar_documents import json_response
from modelport.frontends.oscar_journal import PAGE, SUCCEEDED, Entry, Journal
from modelport.frontends.oscar_services import Handler

GROUPS = ("service", "user", "country")
# What Go reads as true.
TRUE = ("1", "t", "T", "TRUE", "true", "True")


class ClusterCalls:
    """The handlers of /system but for services."""

    def __init__(self, hall: Hall, access: Access, journal: Journal) -> None:
        self._hall = hall
        self._access = access
        self._journal = journal

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return (
            ("GET", "/info", self.info),
            ("GET", "/config", self.config),
            ("GET", "/status", self.status),
            ("GET", "/logs", self.requests),
            ("GET", "/logs/{name}", self.calls),
            ("DELETE", "/logs/{name}", self.remove_calls),
            ("GET", "/logs/{name}/{job}", self.call),
            ("DELETE", "/logs/{name}/{job}", self.remove_call),
            ("GET", "/buckets", self.buckets),
            ("POST", "/buckets", self.no_buckets),
            ("PUT", "/buckets", self.no_buckets),
            ("GET", "/volumes", self.volumes),
            ("GET", "/quotas/user", self.quota),
            ("GET", "/quotas/user/{id}", self.quota),
            ("GET", "/metrics", self.metrics),
            ("GET", "/metrics/breakdown", self.breakdown),
            ("GET", "/metrics/{name}", self.service_metrics),
        )

    # The cluster

    async def info(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return json_response(oscar_documents.info())

    async def config(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return json_response(oscar_documents.config(self._hall.base_url(request), self._access.accounts.groups))

    async def status(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        accounts = self._access.accounts
        document = oscar_documents.status(
            self._hall.deployments, caller.administrator, self._journal.started, accounts.issuers, accounts.groups
        )
        return json_response(document)

    # Logs

    async def requests(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        if not caller.administrator:
            raise Forbidden("only the administrator may see the log of all requests")
        return json_response({"logs": list(self._journal.requests)})

    async def calls(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        name, user = self._service(request, caller)
        text = request.query.get("page", "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 10):
            raise InvalidRequest("page is what the last page called next_page")
        start = int(text or 0)
        found = list(self._journal.list(name, user))
        document: dict[str, Any] = {"jobs": {each.name: each.document() for each in found[start : start + PAGE]}}
        if len(found) > start + PAGE:
            document |= {"next_page": str(start + PAGE), "remaining_jobs": len(found) - start - PAGE}
        return json_response(document)

    async def remove_calls(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        name, user = self._service(request, caller)
        everything = request.query.get("all", "") in TRUE
        for each in list(self._journal.list(name, user)):
            if each.status == SUCCEEDED or everything:
                self._journal.remove(name, each.name)
        return web.Response(status=204)

    async def call(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return web.Response(text=self._entry(request, caller)[1].log)

    async def remove_call(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        name, entry = self._entry(request, caller)
        self._journal.remove(name, entry.name)
        return web.Response(status=204)

    def _service(self, request: web.Request, caller: Caller) -> tuple[str, str | None]:
        """(the service, whose calls the caller may see: None: all). Raises NotFound, Forbidden."""
        row = self._access.row(caller, request.match_info["name"])
        return row.name, None if caller.administrator or row.owner == caller.user else caller.user

    def _entry(self, request: web.Request, caller: Caller) -> tuple[str, Entry]:
        name, user = self._service(request, caller)
        entry = self._journal.get(name, request.match_info["job"], user)
        if entry is None:
            raise NotFound("there is no such job, or no longer")
        return name, entry

    # Metrics

    async def metrics(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        self._administrator(caller)
        return json_response(oscar_documents.metrics(self._journal, len(self._hall.deployments)))

    async def breakdown(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        self._administrator(caller)
        group_by = request.query.get("group_by", "service")
        if group_by not in GROUPS:
            text = f'{{"error": "group_by is one of {", ".join(GROUPS)}"}}'
            return web.Response(status=400, text=text, content_type="application/json")
        return json_response(oscar_documents.breakdown(self._journal, group_by))

    async def service_metrics(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        row = self._access.row(caller, request.match_info["name"])
        return json_response(oscar_documents.service_metrics(self._journal, row.name, request.query.get("metric", "")))

    @staticmethod
    def _administrator(caller: Caller) -> None:
        if not caller.administrator:
            raise Forbidden("only the administrator may see the metrics of all services")

    # What comes later, or never

    async def buckets(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return json_response([])

    async def no_buckets(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        raise NotImplementedByModel("buckets are not served yet")

    async def volumes(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return json_response([])

    async def quota(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Nobody has a quota."""
        user = request.match_info.get("id") or caller.name
        if user != caller.name and not caller.administrator:
            raise Forbidden("only the administrator may see the quotas of others")
        return json_response({"user_id": user, "cluster_queue": "", "resources": {}})

"""The rest of /system: the cluster, what was called, and what other clusters have and this one has not."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from aiohttp import web

import modelport
from modelport.contract.prediction import Status
from modelport.errors import Forbidden
from modelport.frontends.oscar.definition import NAMESPACE
from modelport.frontends.oscar.journal import stamp
from modelport.frontends.oscar.services import Calls, Handler
from modelport.http.access import Caller
from modelport.http.json_answers import json_answer

# The version whose calls these are. The dashboard shows all its pages from v4.1.0 on.
VERSION = "v4.1.2"
GROUPS = ("service", "user", "country")
# What is counted: calls of /run since the server started, jobs as long as they are kept.
_NOTES = "calls of /run since this server started; all jobs that are kept"
_SOURCES = [{"name": "modelport", "status": "ok", "notes": _NOTES}]


class ClusterCalls(Calls):
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
        about = {
            "version": VERSION,
            "git_commit": f"modelport-{modelport.__version__}",
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            "kubernetes_version": "none",
            "serverless_backend": {"name": "modelport", "version": modelport.__version__},
        }
        return json_answer(about)

    async def config(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """With keys to all that is the caller's: for the administrator all buckets, for an account those of its
        services. A list of groups has one empty text where there are none."""
        access = None
        if self._gateway.bucket_jobs is not None:
            keys = self._gateway.bucket_jobs.bucket_keys
            access = keys.owner_access() if caller.administrator else await keys.account_access(caller.user)
        config = {
            "name": "oscar",
            "namespace": NAMESPACE,
            "services_namespace": NAMESPACE,
            "controller_service_account": "modelport",
            "gpu_available": False,
            "interLink_available": False,
            "serverless_backend": "knative",  # clients take it for: has synchronous calls
            "yunikorn_enable": False,
            "kueue_enable": False,
            "volume_enable": False,
            "minio_quota_enabled": False,
            "oidc_groups": sorted(self._access.accounts.groups) or [""],
        }
        minio = self._provider(request, access)
        return json_answer({"config": config, "minio_provider": minio, "allowed_image_repositories": []})

    async def status(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """What is counted is told to the administrator only."""
        accounts, gateway = self._access.accounts, self._gateway
        shown = list(gateway.deployments) if caller.administrator else []
        counts = [deployment.counts() for deployment in shown]
        states = Counter(deployment.state for deployment in shown)
        running, pending, failed = sum(count.workers for count in counts), states["loading"], states["failed"]
        waiting = await gateway.jobs.count([deployment.name for deployment in shown], statuses=(Status.QUEUED,))
        buckets = gateway.bucket_jobs.bucket_keys.bucket_names() if gateway.bucket_jobs is not None else ()
        oscar = {
            "deployment_name": "oscar",
            "ready": True,
            "deployment": {
                "available_replicas": 1,
                "ready_replicas": 1,
                "replicas": 1,
                "creation_timestamp": stamp(self._journal.started),
                "strategy": "RollingUpdate",
                "labels": {},
            },
            "jobs_count": sum(count.busy for count in counts) + waiting,
            "pods": {
                "total": running + pending + failed,
                "states": {"Pending": pending, "Running": running, "Succeeded": 0, "Failed": failed, "Unknown": 0},
            },
            "oidc": {
                "enabled": accounts.enabled,
                "issuers": list(accounts.issuers) or [""],
                "groups": sorted(accounts.groups) or [""],
            },
        }
        # Objects are not counted: that would be a walk through all buckets at each look.
        minio = {"buckets_count": len(buckets) if caller.administrator else 0, "total_objects": 0}
        return json_answer({"cluster": _cluster(), "oscar": oscar, "minio": minio})

    # Metrics

    async def metrics(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        jobs, journal = await self._jobs(caller), self._journal
        users = sorted({user for callers in journal.users.values() for user in callers if user})
        services = len(self._gateway.deployments)
        totals = {
            "services_count_active": services,
            "services_count_total": max(services, len(journal.totals)),
            "cpu_hours_total": 0.0,
            "gpu_hours_total": 0.0,
            **_counts(sum(journal.totals.values()), sum(jobs.values())),
            "countries_count": 0,
            "countries": [],
            "users_count": len(users),
            "users": users,
        }
        return json_answer({**self._span(), "totals": totals, "sources": _SOURCES})

    async def breakdown(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        jobs = await self._jobs(caller)
        group_by = request.query.get("group_by", "service")
        if group_by not in GROUPS:
            return json_answer({"error": f"group_by is one of {', '.join(GROUPS)}"}, 400)
        names = {*self._journal.totals, *(name for name, count in jobs.items() if count)}
        items = [self._item(name, jobs.get(name, 0)) for name in sorted(names)] if group_by == "service" else []
        return json_answer({**self._span(), "group_by": group_by, "items": items})

    def _item(self, name: str, jobs: int) -> dict[str, Any]:
        users = sorted(user for user in self._journal.users.get(name, ()) if user)
        counts = _counts(self._journal.totals.get(name, 0), jobs)
        executions = {"key": name, "executions_count": counts["requests_count_total"], **counts}
        return {**executions, "unique_users_count": len(users), "users": users, "countries": []}

    async def service_metrics(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        row = self._access.row(caller, request.match_info["name"])
        jobs = await self._gateway.jobs.count([row.name])
        metric = request.query.get("metric", "")
        values = {
            "requests-sync-per-service": self._journal.totals.get(row.name, 0),
            "requests-async-per-service": jobs,
        }
        rows = [
            {"metric": key, "value": value, "unit": "requests", "sources": _SOURCES}
            for key, value in values.items()
            if metric in ("", key)
        ]
        return json_answer({"service_name": row.name, **self._span(), "metrics": rows})

    async def _jobs(self, caller: Caller) -> dict[str, int]:
        """How many each service has, its trainings included. Raises Forbidden."""
        if not caller.administrator:
            raise Forbidden("only the administrator may see the metrics of all services")
        names = [deployment.name for deployment in self._gateway.deployments]
        return {name: await self._gateway.jobs.count([name]) for name in names}

    def _span(self) -> dict[str, str]:
        return {"start": stamp(self._journal.started), "end": stamp(time.time())}

    # What other clusters have

    async def volumes(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return json_answer([])

    async def quota(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Nobody has a quota."""
        user = request.match_info.get("id") or caller.name
        if user != caller.name and not caller.administrator:
            raise Forbidden("only the administrator may see the quotas of others")
        return json_answer({"user_id": user, "cluster_queue": "", "resources": {}})


def _counts(sync: int, jobs: int) -> dict[str, int]:
    return {
        "requests_count_total": sync + jobs,
        "requests_count_sync": sync,
        "requests_count_async": jobs,
        "requests_count_exposed": 0,
    }


def _cluster() -> dict[str, Any]:
    """This machine as a cluster of one node. Cores in thousandths."""
    cores = 1000 * (os.cpu_count() or 1)
    used = min(cores, int(1000 * os.getloadavg()[0]))
    total, free = _memory()
    node = {
        "name": platform.node() or "modelport",
        "cpu": {"capacity_cores": cores, "usage_cores": used},
        "memory": {"capacity_bytes": total, "usage_bytes": total - free},
        "gpu": 0,
        "is_interlink": False,
        "status": "Ready",
        "conditions": [{"type": "Ready", "status": True}],
    }
    cpu = ("total_free_cores", "max_free_on_node_cores", "total_schedulable_cores", "total_schedulable_on_node_cores")
    memory = ("total_free_bytes", "max_free_on_node_bytes", "total_schedulable_bytes", "max_schedulable_on_node_bytes")
    metrics = {
        "cpu": dict.fromkeys(cpu, cores - used),
        "memory": dict.fromkeys(memory, free),
        "gpu": {"total_gpu": 0},
    }
    return {"nodes_count": 1, "metrics": metrics, "nodes": [node]}


def _memory() -> tuple[int, int]:
    """(total, available) bytes of the machine."""
    with open("/proc/meminfo") as file:
        sizes = {name: int(value.split()[0]) << 10 for name, _, value in (line.partition(":") for line in file)}
    return sizes["MemTotal"], sizes.get("MemAvailable", sizes["MemFree"])

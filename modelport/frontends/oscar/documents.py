"""What /system says of the server and its deployments, in the words of an OSCAR cluster."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Mapping
from typing import Any

import modelport
from modelport.deployments.deployments import Deployment
from modelport.frontends.oscar.journal import Journal, stamp

# The version whose calls these are. The dashboard shows all its pages from v4.1.0 on.
VERSION = "v4.1.2"
NAMESPACE = "modelport"

# Ours → (OSCAR's, what it says). A cold service is ready: a call wakes it.
STATES = {
    "cold": ("ready", "no worker is running; the first call starts one"),
    "loading": ("pending", "the module is loading"),
    "ready": ("ready", ""),
    "busy": ("ready", ""),
    "failed": ("failed", ""),
}


def info() -> dict[str, Any]:
    return {
        "version": VERSION,
        "git_commit": f"modelport-{modelport.__version__}",
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "kubernetes_version": "none",
        "serverless_backend": {"name": "modelport", "version": modelport.__version__},
    }


def config(minio: dict[str, Any], groups: list[str]) -> dict[str, Any]:
    """minio: where the caller's objects are. groups: of accounts; a list with one empty text where there are none."""
    return {
        "config": {
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
            "oidc_groups": groups or [""],
        },
        "minio_provider": minio,
        "allowed_image_repositories": [],
    }


def deployment(service: Deployment) -> dict[str, Any]:
    counts = service.counts()
    state, reason = STATES.get(service.state, ("unavailable", ""))
    if state == "failed" and service.failure is not None:
        reason = service.failure.message
    return {
        "service_name": service.name,
        "namespace": NAMESPACE,
        "state": state,
        "reason": reason,
        "last_transition_time": service.row.updated if service.row is not None else "",
        "active_instances": counts.workers,
        "affected_instances": 1 if state == "failed" else 0,
        "resource_kind": "knative_service",
    }


def status(
    deployments: Iterable[Deployment],
    administrator: bool,
    started: float,
    issuers: list[str],
    groups: list[str],
    *,
    waiting: int,
    buckets: int,
) -> dict[str, Any]:
    """What is counted is told to the administrator only. waiting: jobs."""
    shown = list(deployments) if administrator else []
    running = sum(deployment.counts().workers for deployment in shown)
    failed = sum(deployment.state == "failed" for deployment in shown)
    pending = sum(deployment.state == "loading" for deployment in shown)
    busy = sum(deployment.counts().busy for deployment in shown)
    states = {"Pending": pending, "Running": running, "Succeeded": 0, "Failed": failed, "Unknown": 0}
    return {
        "cluster": _cluster(),
        "oscar": {
            "deployment_name": "oscar",
            "ready": True,
            "deployment": {
                "available_replicas": 1,
                "ready_replicas": 1,
                "replicas": 1,
                "creation_timestamp": stamp(started),
                "strategy": "RollingUpdate",
                "labels": {},
            },
            "jobs_count": busy + waiting if administrator else 0,
            "pods": {"total": running + pending + failed, "states": states},
            "oidc": {"enabled": bool(issuers), "issuers": issuers or [""], "groups": groups or [""]},
        },
        # Objects are not counted: that would be a walk through all buckets at each look.
        "minio": {"buckets_count": buckets if administrator else 0, "total_objects": 0},
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
    metrics = {
        "cpu": {
            "total_free_cores": cores - used,
            "max_free_on_node_cores": cores - used,
            "total_schedulable_cores": cores - used,
            "total_schedulable_on_node_cores": cores - used,
        },
        "memory": {
            "total_free_bytes": free,
            "max_free_on_node_bytes": free,
            "total_schedulable_bytes": free,
            "max_schedulable_on_node_bytes": free,
        },
        "gpu": {"total_gpu": 0},
    }
    return {"nodes_count": 1, "metrics": metrics, "nodes": [node]}


def _memory() -> tuple[int, int]:
    """(total, available) bytes of the machine."""
    amounts = {}
    with open("/proc/meminfo") as file:
        for line in file:
            name, _, value = line.partition(":")
            amounts[name] = int(value.split()[0]) << 10
    return amounts.get("MemTotal", 0), amounts.get("MemAvailable", amounts.get("MemFree", 0))


# What was called: calls of /run since the server started, jobs as long as they are kept


def _span(journal: Journal) -> dict[str, str]:
    return {"start": stamp(journal.started), "end": stamp(time.time())}


_NOTES = "calls of /run since this server started; all jobs that are kept"
_SOURCES = [{"name": "modelport", "status": "ok", "notes": _NOTES}]


def metrics(journal: Journal, services: int, jobs: Mapping[str, int]) -> dict[str, Any]:
    """jobs: how many, by service."""
    users = sorted({user for callers in journal.users.values() for user in callers if user})
    return {
        **_span(journal),
        "totals": {
            "services_count_active": services,
            "services_count_total": max(services, len(journal.totals)),
            "cpu_hours_total": 0.0,
            "gpu_hours_total": 0.0,
            **_counts(sum(journal.totals.values()), sum(jobs.values())),
            "countries_count": 0,
            "countries": [],
            "users_count": len(users),
            "users": users,
        },
        "sources": _SOURCES,
    }


def _counts(sync: int, jobs: int) -> dict[str, int]:
    return {
        "requests_count_total": sync + jobs,
        "requests_count_sync": sync,
        "requests_count_async": jobs,
        "requests_count_exposed": 0,
    }


def breakdown(journal: Journal, group_by: str, jobs: Mapping[str, int]) -> dict[str, Any]:
    items = []
    if group_by == "service":
        for name in sorted({*journal.totals, *(name for name, count in jobs.items() if count)}):
            users = sorted(user for user in journal.users.get(name, ()) if user)
            counts = _counts(journal.totals.get(name, 0), jobs.get(name, 0))
            items.append(
                {
                    "key": name,
                    "executions_count": counts["requests_count_total"],
                    **counts,
                    "unique_users_count": len(users),
                    "users": users,
                    "countries": [],
                }
            )
    return {**_span(journal), "group_by": group_by, "items": items}


def service_metrics(journal: Journal, name: str, metric: str, jobs: int) -> dict[str, Any]:
    values = {"requests-sync-per-service": journal.totals.get(name, 0), "requests-async-per-service": jobs}
    rows = [
        {"metric": key, "value": value, "unit": "requests", "sources": _SOURCES}
        for key, value in values.items()
        if metric in ("", key)
    ]
    return {"service_name": name, **_span(journal), "metrics": rows}

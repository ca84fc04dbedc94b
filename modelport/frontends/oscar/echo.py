"""OSCAR service definitions, written: what we keep → the definition that clients expect back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.frontends.oscar.definition import DEFAULT_CPU, DEFAULT_MEMORY, ECHOED
from modelport.store.deployments import DeploymentRow

OWNER = "cluster_admin"
# Where none was sent. OSCAR's dashboard does not save a service whose script is empty.
SCRIPT = """#!/bin/sh
# Not run: modelport calls predict of this deepaas module by itself, in a process that has loaded it already.
"""


def echo(row: DeploymentRow, minio: Mapping[str, Any], bucket: str = "") -> dict[str, Any]:
    """The definition of a deployment as every client expects it: no key is missing, nothing is null.

    minio: the provider called minio.default. bucket: the deployment's; empty: it has none.
    """
    sent = dict(row.definition or {})
    plain = {key: sent.get(key, default) for key, default in ECHOED.items()}
    plain["script"] = plain["script"] or SCRIPT
    owner = row.owner or OWNER
    image = sent.get("image") or row.module.rstrip("/").rpartition("/")[2]
    if row.definition is None:
        plain.update(log_level="CRITICAL", cpu=_cpu_text(row.cpu), memory=_memory_text(row.memory_bytes))
    vo = plain["vo"]
    labels = {"oscar_service": row.name, "owner_name": owner.replace(" ", "_"), "uid": owner, "vo": vo}
    return {
        "name": row.name,
        "image": image,
        **({"module": sent["module"]} if "module" in sent else {}),
        **plain,
        "token": row.token,
        "input": sent.get("input") or _folder(row, bucket, "inputs"),
        "output": sent.get("output") or _folder(row, bucket, "outputs"),
        "environment": {
            "variables": {**({} if row.definition is not None else _papi(row)), **row.environment},
            "secrets": dict.fromkeys(row.secrets, ""),
        },
        "synchronous": sent.get("synchronous")
        or {"min_scale": row.min_workers or 0, "max_scale": row.max_workers or 0},
        "expose": _not_exposed(),
        "labels": {**sent.get("labels", {}), **labels},
        "allowed_users": sent.get("allowed_users") or [],
        "visibility": sent.get("visibility") or "private",
        "owner": owner,
        "namespace": "modelport",
        "storage_providers": {"minio": {"default": dict(minio)}},
    }


def _folder(row: DeploymentRow, bucket: str, folder: str) -> list[dict[str, Any]]:
    """What nobody has defined is what it is."""
    if row.definition is not None or not bucket:
        return []
    return [{"storage_provider": "minio.default", "path": f"{bucket}/{folder}", "suffix": [], "prefix": []}]


def _papi(row: DeploymentRow) -> dict[str, str]:
    """One service without PAPI_CREATED breaks the AI4OS dashboard's list."""
    created = row.created.replace("T", " ").rstrip("Z")
    return {"PAPI_TITLE": row.title, "PAPI_DESCRIPTION": row.description, "PAPI_CREATED": created}


def _not_exposed() -> dict[str, Any]:
    # max_scale 0, or the dashboard hides its button Invoke.
    return {
        "min_scale": 0,
        "max_scale": 0,
        "api_port": [],
        "cpu_threshold": 0,
        "rewrite_target": False,
        "nodePort": [],
        "default_command": False,
        "set_auth": False,
        "auth_type": "",
        "health_path": "",
        "probe_mode": "",
    }


def _memory_text(size: int | None) -> str:
    if size is None:
        return DEFAULT_MEMORY
    return f"{size >> 20}Mi" if size % (1 << 20) == 0 else str(size)


def _cpu_text(cpu: float | None) -> str:
    return DEFAULT_CPU if cpu is None else f"{cpu:g}"

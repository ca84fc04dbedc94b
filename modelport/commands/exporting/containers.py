"""A container in a pod, which Kubernetes and Knative describe in the same words."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.exporting.workload import STATE, USER, Workload, mebibytes, whole

# Of every platform that can run several.
MAX_REPLICAS = click.Option(
    ["--max-replicas"],
    metavar="N",
    type=click.IntRange(1),
    help="kubernetes, knative, oscar: maximum containers.  [default: 1]",
)
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# Outside of the volumes nothing can be written.
VOLUMES = [{"name": "tmp", "emptyDir": {}}, {"name": "state", "emptyDir": {}}]


def secret_name(workload: Workload) -> str:
    return f"{workload.name}-secrets"


def container(workload: Workload) -> dict[str, Any]:
    """With all that both have; ports and probes differ."""
    # Kubernetes takes $(NAME) for one of the other variables.
    variables = {name: value.replace("$(", "$$(") for name, value in workload.environment.items()}
    return {
        "name": "modelport",
        "image": workload.image,
        "args": workload.serve,
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "envFrom": [{"secretRef": {"name": secret_name(workload)}}],
        "resources": _resources(workload),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "state", "mountPath": STATE}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _resources(workload: Workload) -> dict[str, Any]:
    """Memory is not shared: what is asked for is the limit. Idle processors may be used by others."""
    memory = f"{mebibytes(workload.all_memory_bytes)}Mi"
    limits: dict[str, str] = {"memory": memory}
    if workload.gpu:
        limits["nvidia.com/gpu"] = str(workload.gpu)
    return {"requests": {"cpu": whole(workload.all_cpus), "memory": memory}, "limits": limits}

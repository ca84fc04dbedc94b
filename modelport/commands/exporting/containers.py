"""A container in a pod, which Kubernetes and Knative describe in the same words."""

from __future__ import annotations

import math
from typing import Any

import click

from modelport.commands.exporting.workload import DEFAULTS, STATE, USER, Workload, mebibytes

# Of every platform that can run several.
MAX_REPLICAS = click.Option(
    ["--max-replicas"],
    metavar="N",
    type=click.IntRange(1),
    help="kubernetes, knative, oscar: maximum containers.  [default: 1]",
)
STORAGE = "10Gi"
STORAGE_OPTION = click.Option(
    ["--storage"], metavar="SIZE", help=f"kubernetes, ray: size of the volume.  [default: {STORAGE}]"
)
PROBE_S = 5
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
    return {"requests": {"cpu": f"{workload.all_cpus:g}", "memory": memory}, "limits": limits}


def probes() -> dict[str, Any]:
    """Neither path needs a token."""
    ready, health = ({"httpGet": {"path": path, "port": "http"}} for path in ("/ready", "/health"))
    starts = math.ceil(DEFAULTS.load_timeout_s / PROBE_S)
    return {
        "startupProbe": {**ready, "periodSeconds": PROBE_S, "failureThreshold": starts},
        "readinessProbe": {**ready, "periodSeconds": PROBE_S, "timeoutSeconds": PROBE_S},
        # The server answers while its models work, so that no answer means trouble.
        "livenessProbe": {**health, "periodSeconds": 10, "timeoutSeconds": PROBE_S, "failureThreshold": 3},
    }


def service(labels: dict[str, str], ports: dict[str, int]) -> dict[str, Any]:
    outside = {**ports, "http": 80}
    rows = [{"name": name, "port": outside[name], "targetPort": name, "protocol": "TCP"} for name in ports]
    return {"type": "ClusterIP", "selector": labels, "ports": rows}


def volume(size: str | None) -> dict[str, Any]:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size or STORAGE}}}


def claim(workload: Workload) -> dict[str, Any]:
    """The volume of that name, in a pod."""
    return {"name": "state", "persistentVolumeClaim": {"claimName": workload.name}}


def ports(numbers: dict[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in numbers.items()]


def policy(labels: dict[str, str], numbers: dict[str, int] | None = None) -> dict[str, Any]:
    """Into the pods with these labels: to the ports from everywhere, or to all ports from one another."""
    if numbers is None:
        rule: dict[str, Any] = {"from": [{"podSelector": {"matchLabels": labels}}]}
    else:
        rule = {"ports": [{"protocol": "TCP", "port": port} for port in numbers.values()]}
    return {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": [rule]}


def pod(workload: Workload, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    """A template. spec: what is its own."""
    common = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service called `modelport` would set MODELPORT_PORT
        "terminationGracePeriodSeconds": workload.ending_s,
        "securityContext": {**POD_SECURITY, "fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"},
    }
    return {"metadata": {"labels": labels}, "spec": {**common, **spec}}


def document(version: str, kind: str, name: str, labels: dict[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec}

"""Kubernetes: plain manifests with a kustomization, which also makes the Secret."""

from __future__ import annotations

from typing import Any

from modelport.commands.exporting import containers, writing
from modelport.commands.exporting.workload import PORT, S3_PORT, SECRETS_FILE, Export, Workload

ABOUT = "Deployment, Service, Secret, volume, probes, network policy"
OPTIONS = (containers.MAX_REPLICAS, containers.STORAGE_OPTION)
KEEPS = (
    "One replica, which ends before its successor starts: jobs and buckets are on its volume, for one server only.\n"
    "With --max-replicas there can be several, without jobs and buckets."
)
SHARES_NOTHING = "The replicas share nothing: jobs and services that are deployed on one of them end with it."


def export(workload: Workload, storage: str | None = None, max_replicas: int | None = None) -> Export:
    keeps = max_replicas in (None, 1)
    ports = {"http": PORT, "s3": S3_PORT} if keeps else {"http": PORT}
    labels = {"app.kubernetes.io/name": workload.name, "app.kubernetes.io/component": "model-server"}
    specs = {
        "deployment.yaml": ("apps/v1", "Deployment", _deployment(workload, labels, ports, keeps=keeps)),
        "service.yaml": ("v1", "Service", containers.service(labels, ports)),
        **(
            {"pvc.yaml": ("v1", "PersistentVolumeClaim", containers.volume(storage))}
            if keeps
            else _autoscaler(workload.name, max_replicas or 1)
        ),
        "networkpolicy.yaml": ("networking.k8s.io/v1", "NetworkPolicy", containers.policy(labels, ports)),
    }
    files = {"kustomization.yaml": writing.document(_kustomization(workload, list(specs)))}
    for file, (version, kind, spec) in specs.items():
        files[file] = writing.document(containers.document(version, kind, workload.name, labels, spec))
    steps = ("kubectl apply --kustomize .", f"kubectl rollout status deployment/{workload.name}")
    return writing.export(workload, files, KEEPS if keeps else SHARES_NOTHING, steps=steps)


def _kustomization(workload: Workload, resources: list[str]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/instance": workload.name, "app.kubernetes.io/managed-by": "kustomize"}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
        "labels": [{"pairs": labels}],
        "secretGenerator": [{"name": containers.secret_name(workload), "envs": [SECRETS_FILE]}],
    }


def _deployment(workload: Workload, labels: dict[str, str], ports: dict[str, int], *, keeps: bool) -> dict[str, Any]:
    own = {**containers.container(workload), "ports": containers.ports(ports), **containers.probes()}
    claim = containers.claim(workload)
    volumes = [claim if keeps and volume["name"] == "state" else volume for volume in containers.VOLUMES]
    return {
        # With an autoscaler the number is the autoscaler's.
        **({"replicas": 1, "strategy": {"type": "Recreate"}} if keeps else {}),
        "selector": {"matchLabels": labels},
        "template": containers.pod(workload, labels, containers=[own], volumes=volumes),
    }


def _autoscaler(name: str, most: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": 70}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": 1,
        "maxReplicas": most,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return {"hpa.yaml": ("autoscaling/v2", "HorizontalPodAutoscaler", spec)}

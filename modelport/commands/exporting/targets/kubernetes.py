"""Kubernetes: plain manifests with a kustomization, which also makes the Secret."""

from __future__ import annotations

from typing import Any

from modelport.commands.exporting import writing
from modelport.commands.exporting.containers import (
    MAX_REPLICAS,
    POD_SECURITY,
    STORAGE,
    STORAGE_OPTION,
    VOLUMES,
    container,
    probes,
    secret_name,
    service,
    volume,
)
from modelport.commands.exporting.workload import PORT, S3_PORT, SECRETS_FILE, USER, Export, Workload

ABOUT = "Deployment, Service, Secret, volume, probes, network policy"
OPTIONS = (
    MAX_REPLICAS,
    STORAGE_OPTION,
)
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
        "service.yaml": ("v1", "Service", service(labels, ports)),
        **(
            {"pvc.yaml": ("v1", "PersistentVolumeClaim", volume(storage or STORAGE))}
            if keeps
            else _autoscaler(workload.name, max_replicas or 1)
        ),
        "networkpolicy.yaml": ("networking.k8s.io/v1", "NetworkPolicy", _policy(labels, ports)),
    }
    files = {"kustomization.yaml": writing.document(_kustomization(workload, list(specs)))}
    for file, (version, kind, spec) in specs.items():
        metadata = {"name": workload.name, "labels": labels}
        files[file] = writing.document({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
    steps = ("kubectl apply --kustomize .", f"kubectl rollout status deployment/{workload.name}")
    return writing.export(workload, files, KEEPS if keeps else SHARES_NOTHING, steps=steps)


def _kustomization(workload: Workload, resources: list[str]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/instance": workload.name, "app.kubernetes.io/managed-by": "kustomize"}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
        "labels": [{"pairs": labels}],
        "secretGenerator": [{"name": secret_name(workload), "envs": [SECRETS_FILE]}],
    }


def _deployment(workload: Workload, labels: dict[str, str], ports: dict[str, int], *, keeps: bool) -> dict[str, Any]:
    claim = {"name": "state", "persistentVolumeClaim": {"claimName": workload.name}}
    open_ports = [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()]
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service called `modelport` would set MODELPORT_PORT
        "terminationGracePeriodSeconds": workload.ending_s,
        "securityContext": {**POD_SECURITY, "fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"},
        "containers": [{**container(workload), "ports": open_ports, **probes()}],
        "volumes": [claim if keeps and volume["name"] == "state" else volume for volume in VOLUMES],
    }
    return {
        # With an autoscaler the number is the autoscaler's.
        **({"replicas": 1, "strategy": {"type": "Recreate"}} if keeps else {}),
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
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


def _policy(labels: dict[str, str], ports: dict[str, int]) -> dict[str, Any]:
    return {
        "podSelector": {"matchLabels": labels},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": port} for port in ports.values()]}],
    }

"""Kubernetes: plain manifests with a kustomization, which also makes the Secret."""

from __future__ import annotations

import math
from typing import Any

import click

from modelport.commands.exporting import writing
from modelport.commands.exporting.containers import (
    API,
    MAX_REPLICAS,
    POD_SECURITY,
    VOLUMES,
    container,
    probe,
    secret_name,
)
from modelport.commands.exporting.workload import (
    DEFAULTS,
    FILL_TOKEN,
    PORT,
    S3_PORT,
    SECRETS_FILE,
    USER,
    Export,
    Workload,
    secrets_file,
)

ABOUT = "Deployment, Service, Secret, volume, probes, network policy"
OPTIONS = (
    MAX_REPLICAS,
    click.Option(["--storage"], metavar="SIZE", help="kubernetes: size of the volume.  [default: 10Gi]"),
)
STORAGE = "10Gi"
PROBE_S = 5
KEEPS = (
    "One replica, which ends before its successor starts: jobs and buckets are on its volume, for one server only.\n"
    "With --max-replicas there can be several, without jobs and buckets."
)
SHARES_NOTHING = "The replicas share nothing: jobs and services that are deployed on one of them end with it."
S3 = {"name": "s3", "containerPort": S3_PORT, "protocol": "TCP"}


def export(workload: Workload, storage: str | None = None, max_replicas: int | None = None) -> Export:
    steps = (FILL_TOKEN, "kubectl apply --kustomize .", f"kubectl rollout status deployment/{workload.name}")
    keeps = max_replicas in (None, 1)
    manifests = {"deployment.yaml": _deployment(workload, keeps=keeps), "service.yaml": _service(workload, keeps=keeps)}
    if keeps:
        manifests["pvc.yaml"] = _volume(workload, storage or STORAGE)
    else:
        manifests["hpa.yaml"] = _autoscaler(workload, max_replicas or 1)
    manifests["networkpolicy.yaml"] = _policy(workload, keeps=keeps)
    kustomization = writing.header(workload, KEEPS if keeps else SHARES_NOTHING, steps=steps)
    files = {"kustomization.yaml": kustomization + _kustomization(workload, list(manifests))}
    files |= {name: writing.document(manifest) for name, manifest in manifests.items()}
    return Export({**files, SECRETS_FILE: secrets_file(workload)}, steps)


def _kustomization(workload: Workload, resources: list[str]) -> str:
    generator = {"name": secret_name(workload), "envs": [SECRETS_FILE]}
    labels = {"app.kubernetes.io/instance": workload.name, "app.kubernetes.io/managed-by": "kustomize"}
    return writing.document(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": resources,
            "labels": [{"pairs": labels}],
            "secretGenerator": [generator],
        }
    )


def _manifest(workload: Workload, version: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": workload.name, "labels": _labels(workload)},
        **more,
    }


def _labels(workload: Workload) -> dict[str, str]:
    return {"app.kubernetes.io/name": workload.name, "app.kubernetes.io/component": "model-server"}


def _deployment(workload: Workload, *, keeps: bool) -> dict[str, Any]:
    claim = {"name": "state", "persistentVolumeClaim": {"claimName": workload.name}}
    volumes = [claim if keeps and volume["name"] == "state" else volume for volume in VOLUMES]
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service called `modelport` would set MODELPORT_PORT
        "terminationGracePeriodSeconds": workload.ending_s,
        "securityContext": {**POD_SECURITY, "fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"},
        "containers": [{**container(workload), "ports": [API, *([S3] if keeps else [])], **_probes()}],
        "volumes": volumes,
    }
    spec: dict[str, Any] = {
        # With an autoscaler the number is the autoscaler's.
        **({"replicas": 1, "strategy": {"type": "Recreate"}} if keeps else {}),
        "selector": {"matchLabels": _labels(workload)},
        "template": {"metadata": {"labels": _labels(workload)}, "spec": pod},
    }
    return _manifest(workload, "apps/v1", "Deployment", spec=spec)


def _probes() -> dict[str, Any]:
    return {
        "startupProbe": probe(
            "/ready", periodSeconds=PROBE_S, failureThreshold=math.ceil(DEFAULTS.load_timeout_s / PROBE_S)
        ),
        "readinessProbe": probe("/ready", periodSeconds=PROBE_S, timeoutSeconds=PROBE_S),
        # The server answers while its models work, so that no answer means trouble.
        "livenessProbe": probe("/health", periodSeconds=10, timeoutSeconds=PROBE_S, failureThreshold=3),
    }


def _service(workload: Workload, *, keeps: bool) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    if keeps:
        ports.append({"name": "s3", "port": S3_PORT, "targetPort": "s3", "protocol": "TCP"})
    return _manifest(
        workload, "v1", "Service", spec={"type": "ClusterIP", "selector": _labels(workload), "ports": ports}
    )


def _volume(workload: Workload, size: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return _manifest(workload, "v1", "PersistentVolumeClaim", spec=spec)


def _autoscaler(workload: Workload, most: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": 70}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
        "minReplicas": 1,
        "maxReplicas": most,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return _manifest(workload, "autoscaling/v2", "HorizontalPodAutoscaler", spec=spec)


def _policy(workload: Workload, *, keeps: bool) -> dict[str, Any]:
    ports = [PORT, *([S3_PORT] if keeps else [])]
    spec = {
        "podSelector": {"matchLabels": _labels(workload)},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": port} for port in ports]}],
    }
    return _manifest(workload, "networking.k8s.io/v1", "NetworkPolicy", spec=spec)

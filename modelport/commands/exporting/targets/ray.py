"""KubeRay: a Ray cluster on Kubernetes. Its head pod has the server, too, and its other pods run the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelport.commands.exporting import containers, writing
from modelport.commands.exporting.workload import PORT, S3_PORT, SECRETS_FILE, Export, Workload, mebibytes

ABOUT = "a RayCluster (KubeRay): the server on its head, a pod for each worker"
OPTIONS = (containers.STORAGE_OPTION,)
TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105
NOTES = (
    "The image must have bash, modelport-ray and ray[default]; the operator of KubeRay must run in the cluster.\n"
    "For more workers, change MODELPORT_WORKERS, and replicas, minReplicas and maxReplicas of the worker group.\n"
    "Who reaches the ports of Ray can run anything: without a network plugin that enforces policies, only the token "
    "protects them."
)
# Ray itself and its object store, through which files and large answers go.
RAY_BYTES = 1 << 30
SERVER_BYTES = 1 << 30
PORTS = {"http": PORT, "s3": S3_PORT}


def export(workload: Workload, storage: str | None = None) -> Export:
    workload = replace(workload, secrets=(*workload.secrets, TOKEN))
    head, workers = (
        {"app.kubernetes.io/name": workload.name, "app.kubernetes.io/component": component}
        for component in ("model-server", "model-workers")
    )
    both = {"app.kubernetes.io/name": workload.name}
    specs = [
        ("ray.io/v1", "RayCluster", f"ray-{workload.name}", _cluster(workload, head, workers)),
        ("v1", "Service", workload.name, containers.service(head, PORTS)),
        ("v1", "PersistentVolumeClaim", workload.name, containers.volume(storage)),
        ("networking.k8s.io/v1", "NetworkPolicy", workload.name, containers.policy(head, PORTS)),
        ("networking.k8s.io/v1", "NetworkPolicy", f"ray-{workload.name}", containers.policy(both)),
    ]
    documents = [containers.document(version, kind, name, head, spec) for version, kind, name, spec in specs]
    steps = (
        f'sed -i "s/^{TOKEN}=$/{TOKEN}=$(openssl rand -hex 32)/" {SECRETS_FILE}',
        f"kubectl create secret generic {containers.secret_name(workload)} --from-env-file={SECRETS_FILE}",
        "kubectl apply --filename ray.yaml",
    )
    return writing.export(workload, {"ray.yaml": writing.document(*documents)}, NOTES, steps=steps)


def _cluster(workload: Workload, head: dict[str, str], workers: dict[str, str]) -> dict[str, Any]:
    head_ray = _ray(workload, "ray-head", {"cpu": "1"}, 2 * RAY_BYTES)
    worker_ray = _ray(workload, "ray-worker", {"cpu": f"{workload.cpu:g}"}, workload.memory_bytes + RAY_BYTES)
    if workload.gpu:
        worker_ray["resources"]["limits"]["nvidia.com/gpu"] = str(workload.gpu)
    number = workload.max_workers
    return {
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0"},  # the head runs no workers
            "template": _pod(workload, head, [head_ray, _server(workload)], containers.claim(workload)),
        },
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                **dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), number),
                # A worker asks for one of Ray's processors, and the pod is made for one worker.
                "rayStartParams": {"num-cpus": "1"},
                "template": _pod(workload, workers, [worker_ray]),
            }
        ],
    }


def _pod(workload: Workload, labels: dict[str, str], own: list[Any], *volumes: dict[str, Any]) -> dict[str, Any]:
    """What all of its containers need to find the Ray of this pod: /tmp, shared memory, and each other's processes."""
    shared = [{"name": "tmp", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}]
    return containers.pod(workload, labels, shareProcessNamespace=True, containers=own, volumes=[*shared, *volumes])


SHARED = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108
AUTH_MODE = {"name": "RAY_AUTH_MODE", "value": "token"}


def _ray(workload: Workload, name: str, requests: dict[str, str], memory_bytes: int) -> dict[str, Any]:
    """The container in which KubeRay starts Ray, and Ray the model: with its secrets, not the token of callers."""
    own = containers.container(workload)
    secrets = [
        {"name": secret, "valueFrom": {"secretKeyRef": {"name": containers.secret_name(workload), "key": secret}}}
        for secret in workload.secrets
        if secret != "BEARER_TOKEN"  # noqa: S105
    ]
    memory = f"{mebibytes(memory_bytes)}Mi"
    variables = [variable for variable in own["env"] if variable["name"] in workload.variables]
    return {
        "name": name,
        "image": workload.image,
        "env": [*variables, AUTH_MODE, *secrets],
        "resources": {"requests": {**requests, "memory": memory}, "limits": {"memory": memory}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": SHARED,
    }


def _server(workload: Workload) -> dict[str, Any]:
    own = containers.container(workload)
    settings = {"EXECUTOR": "ray", "RAY_ADDRESS": "127.0.0.1:6379", "RAY_GPUS": str(workload.gpu)}
    memory = f"{mebibytes(SERVER_BYTES)}Mi"
    return {
        **own,
        "env": [
            *own["env"],
            AUTH_MODE,
            *({"name": f"MODELPORT_{name}", "value": value} for name, value in settings.items()),
        ],
        "ports": containers.ports(PORTS),
        "resources": {"requests": {"cpu": "1", "memory": memory}, "limits": {"memory": memory}},
        "volumeMounts": [own["volumeMounts"][0], *SHARED],
        **containers.probes(),
    }

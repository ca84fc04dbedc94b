"""Knative Serving: from no replica to several, by the number of calls."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from modelport.commands.exporting import writing
from modelport.commands.exporting.containers import MAX_REPLICAS, POD_SECURITY, VOLUMES, container, secret_name
from modelport.commands.exporting.workload import DEFAULTS, PORT, SECRETS_FILE, Export, Workload

ABOUT = "a Knative Service, which scales to zero"
OPTIONS = (MAX_REPLICAS,)
# What a cluster allows unless its administrator has raised max-revision-timeout-seconds.
TIMEOUT_LIMIT_S = 600


def export(workload: Workload, max_replicas: int | None = None) -> Export:
    secret = f"kubectl create secret generic {secret_name(workload)} --from-env-file={SECRETS_FILE}"
    notes = ["Replicas come and go with the calls, and share nothing: it is for predictions, without jobs and buckets."]
    if not 0 < workload.timeout_s <= TIMEOUT_LIMIT_S:
        notes.append(f"Calls end after {TIMEOUT_LIMIT_S} s: clusters allow no more unless they are set up otherwise.")
        # The server, too, ends what nobody waits for any more.
        workload = replace(workload, timeout_s=TIMEOUT_LIMIT_S)
    annotations = {
        "autoscaling.knative.dev/min-scale": str(min(workload.min_workers, 1)),
        "autoscaling.knative.dev/max-scale": str(max_replicas or 1),
        "serving.knative.dev/progress-deadline": f"{DEFAULTS.load_timeout_s:g}s",
    }
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": workload.name, "labels": {"app.kubernetes.io/name": workload.name}},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": _spec(workload)}},
    }
    steps = (secret, "kubectl apply --filename service.yaml")
    return writing.export(workload, {"service.yaml": writing.document(service)}, *notes, steps=steps)


def _spec(workload: Workload) -> dict[str, Any]:
    api = {"name": "http1", "containerPort": PORT, "protocol": "TCP"}  # Knative's word for HTTP/1.1
    own = {**container(workload), "ports": [api], "readinessProbe": {"httpGet": {"path": "/ready"}}}
    own["env"] = [*own["env"], {"name": "MODELPORT_BUCKETS", "value": "false"}]
    return {
        "containerConcurrency": workload.max_workers,
        "timeoutSeconds": math.ceil(workload.timeout_s),
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": POD_SECURITY,
        "containers": [own],
        "volumes": VOLUMES,
    }

"""Docker Compose: one container on one machine."""

from __future__ import annotations

from typing import Any

from modelport.commands.exporting import writing
from modelport.commands.exporting.workload import PORT, S3_PORT, SECRETS_FILE, STATE, Export, Workload, mebibytes

ABOUT = "one container, by Docker Compose"
OPTIONS = ()
# Images are slim: they have Python, but no curl.
HEALTH = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/ready', timeout=4)"


def export(workload: Workload) -> Export:
    project = {"name": workload.name, "services": {workload.name: _service(workload)}, "volumes": {"state": {}}}
    note = "It answers on this machine only; put a proxy with TLS in front, or change `ports`."
    steps = ("docker compose up --detach --wait",)
    return writing.export(workload, {"compose.yaml": writing.document(project)}, note, steps=steps)


def _service(workload: Workload) -> dict[str, Any]:
    # Compose takes $NAME for one of its own variables.
    environment = {name: value.replace("$", "$$") for name, value in workload.environment.items()}
    return {
        "image": workload.image,
        "command": workload.serve,
        "restart": "unless-stopped",
        "init": True,
        "ports": [f"127.0.0.1:{port}:{port}" for port in (PORT, S3_PORT)],
        "env_file": [SECRETS_FILE],
        "environment": environment,
        "volumes": [f"state:{STATE}"],
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": f"{workload.ending_s}s",
        "healthcheck": {
            "test": ["CMD", "python3", "-c", HEALTH],
            "interval": "30s",
            "timeout": "5s",
            "start_period": "600s",
            "start_interval": "2s",
        },
        "deploy": {"resources": _resources(workload)},
    }


def _resources(workload: Workload) -> dict[str, Any]:
    limits = {"cpus": f"{workload.all_cpus:g}", "memory": f"{mebibytes(workload.all_memory_bytes)}M"}
    if not workload.gpu:
        return {"limits": limits}
    device = {"driver": "nvidia", "count": workload.gpu, "capabilities": ["gpu"]}
    return {"limits": limits, "reservations": {"devices": [device]}}

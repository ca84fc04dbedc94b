"""What operators can set. Nothing heavy is imported here: `--help` of each command reads it."""

from __future__ import annotations

from modelport.settings import Setting

# A deployment may ask for another number than ray_gpus.
GPUS = "MODELPORT_RAY_GPUS"

SETTINGS = (
    Setting("ray_address", "", "the cluster's head as host:port, or local to try it out on this machine"),
    Setting("ray_token_file", "", "file with the cluster's token, if Ray's usual one is not the one"),
    Setting("ray_namespace", "modelport", "the namespace of the workers in the cluster, as Ray's own tools show it"),
    Setting(
        "ray_connect_timeout_s",
        120.0,
        "time limit for connecting to the cluster; Ray takes half a minute to report a wrong token",
        unit="seconds",
        minimum=1,
    ),
    Setting(
        "ray_head_timeout_s",
        60,
        "calls fail when nothing has been heard from the cluster's head for this time",
        unit="seconds",
        minimum=1,
    ),
    Setting(
        "ray_gpus", 0.0, f"GPUs that each worker asks for; a service's variable {GPUS} takes precedence", minimum=0
    ),
    Setting(
        "ray_interpreters",
        "everywhere",
        "a module's Python is on every node (everywhere), or on those with the resource interpreter:<its folder> "
        "(declared)",
        choices=("everywhere", "declared"),
    ),
    Setting(
        "ray_shared_home",
        False,
        "every node sees the server's home and the modules at the same paths: files are not copied, trainings can run",
    ),
    Setting(
        "ray_object_limit_bytes",
        256 << 20,
        "total size of the files of one call where they are copied to a node",
        unit="bytes",
        minimum=0,
    ),
)

"""OSCAR: a service of the serverless platform, by its FDL; or the whole API, exposed."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.exporting import writing
from modelport.commands.exporting.containers import MAX_REPLICAS
from modelport.commands.exporting.workload import PORT, Export, Workload, mebibytes

ABOUT = "an OSCAR service (FDL and script), called over /run and by its bucket"
OPTIONS = (
    MAX_REPLICAS,
    click.Option(["--cluster"], metavar="ID", help="oscar: the cluster's name in oscar-cli.  [default: oscar-cluster]"),
    click.Option(["--exposed"], is_flag=True, help="oscar: expose the whole API; the model stays loaded."),
)
CLUSTER = "oscar-cluster"

EXPOSED = """\
#!/bin/sh
# The container of an exposed service. OSCAR removes the path in front, which links must have.
export MODELPORT_HOME=/tmp/modelport MODELPORT_ROOT_PATH="$OSCAR_SERVICE_BASE_PATH"
exec {serve}
"""

# Standard library of Python 3.6, since the image is the module's own.
SCRIPT = """\
#!/bin/sh
# One call: the JSON body in $INPUT_FILE_PATH becomes options of deepaas-cli, which is in the image with DEEPaaS or
# modelport. Of an object in the bucket (NAME.json) the result is put into $TMP_OUTPUT_DIR as NAME.json, then NAME.log.
exec python3 -c '
import base64, json, os, shutil, subprocess, sys, tempfile

source, outputs = os.environ["INPUT_FILE_PATH"], os.environ["TMP_OUTPUT_DIR"]
folder, options, log, failed = tempfile.mkdtemp(), [], b"", 0
with open(source, "rb") as file:
    body = file.read()
try:
    try:
        values = json.loads(body.decode("utf-8-sig"))
    except ValueError:
        values = json.loads(base64.b64decode(body).decode("utf-8-sig"))
    for number, part in enumerate(values.pop("oscar-files", [])):
        path = os.path.join(folder, "%d.%s" % (number, os.path.basename(part["file_format"])))
        with open(path, "wb") as file:
            file.write(base64.b64decode(part["data"]))
        options.append("--%s=%s" % (part["key"], path))
    for key, value in values.items():
        if value is not None:
            options.append("--%s=%s" % (key, value if isinstance(value, (str, bool)) else json.dumps(value)))
except (ValueError, KeyError, TypeError, AttributeError) as error:
    failed, log = 1, ("error: the input is not a JSON object of arguments: %r\\n" % error).encode()
    sys.stdout.buffer.write(log)

if not failed:
    program = ["deepaas-cli"] if shutil.which("deepaas-cli") else ["modelport", "deepaas-cli"]
    if "help" in values:
        options = ["--help"]
    elif source.endswith(".json"):
        program.append("--deepaas_method_output=" + os.path.join(folder, "result"))
    process = subprocess.Popen(program + ["predict"] + options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in process.stdout:
        log += line
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    failed = process.wait()
if source.endswith(".json"):
    name = os.path.join(outputs, os.path.basename(source)[: -len(".json")])
    if not failed:
        for made in os.listdir(folder):
            if made.startswith("result"):
                shutil.move(os.path.join(folder, made), name + (made[len("result") :] or ".json"))
    with open(name + ".log", "wb") as file:
        file.write(log)
shutil.rmtree(folder)
sys.exit(failed)
'
"""


def export(
    workload: Workload, cluster: str | None = None, exposed: bool = False, max_replicas: int | None = None
) -> Export:
    cluster, name = cluster or CLUSTER, workload.name
    fdl = {"functions": {"oscar": [{cluster: _service(workload, max_replicas, exposed=exposed)}]}}
    notes = [
        f"{cluster} is the name of the cluster in your oscar-cli: `oscar-cli cluster add {cluster} URL USER PASSWORD`."
    ]
    if workload.secrets or exposed:
        notes.append("Fill in the secrets before you apply it, and then keep it out of version control.")
    if not exposed:
        notes.append("OSCAR makes the token that callers send; the second command shows it.")
    steps = (f"oscar-cli apply {name}.yaml", f"oscar-cli service get {name} --cluster {cluster}")
    script = EXPOSED.format(serve=" ".join(workload.serve)) if exposed else SCRIPT
    files = {f"{name}.yaml": writing.document(fdl), f"{name}.sh": script}
    return writing.export(workload, files, *notes, steps=steps, secrets=False)


def _service(workload: Workload, most: int | None, *, exposed: bool) -> dict[str, Any]:
    cpu, memory = workload.cpu, mebibytes(workload.memory_bytes)
    if exposed:
        cpu, memory = workload.all_cpus, mebibytes(workload.all_memory_bytes)
    service: dict[str, Any] = {
        "name": workload.name,
        "image": workload.image if exposed else workload.hub_image or workload.image,
        "cpu": f"{cpu:g}",
        "memory": f"{memory}Mi",
        **({"enable_gpu": True} if workload.gpu else {}),
        "log_level": "CRITICAL",  # below it, the platform's own lines stand in every answer
        "script": f"{workload.name}.sh",
        "environment": _environment(workload, exposed=exposed),
    }
    return service | (_exposed(most or 1) if exposed else _called(workload, most or workload.max_workers))


def _environment(workload: Workload, *, exposed: bool) -> dict[str, Any]:
    own = workload.environment if exposed else {**workload.variables, "DEEPAAS_V2_MODEL": workload.module}
    for name in ("MODELPORT_HOME", "XDG_CACHE_HOME"):  # there is no volume
        own.pop(name, None)
    secrets = workload.secret_names if exposed else workload.secrets
    return {"variables": own, **({"secrets": dict.fromkeys(secrets, "")} if secrets else {})}


def _called(workload: Workload, most: int) -> dict[str, Any]:
    """The bucket is the service's own: a path without its name would be shared with others."""
    scale = {"min_scale": workload.min_workers, "max_scale": most}
    return {
        "synchronous": scale,
        "input": [{"storage_provider": "minio.default", "path": f"{workload.name}/inputs"}],
        "output": [{"storage_provider": "minio.default", "path": f"{workload.name}/outputs"}],
    }


def _exposed(most: int) -> dict[str, Any]:
    return {
        "expose": {
            "min_scale": 1,
            "max_scale": most,
            "api_port": PORT,
            "cpu_threshold": 80,
            "rewrite_target": True,
            "set_auth": False,  # Basic would take the header in which callers send the token
            "default_command": False,
            "health_path": "/health",
        }
    }

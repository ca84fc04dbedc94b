"""What is written for each platform is what the platform's own programs and schemas accept, and says what it should."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelport.commands.export import TARGETS, loaded
from modelport.commands.exporting.workload import PORT, SECRETS_FILE, Export, Workload
from tests.exporting.conftest import ODD_VALUES, PLAIN, WORKLOADS, every_workload
from tests.house import PATIENCE_S
from tests.nginx import PLACES, self_signed

every_target = pytest.mark.parametrize("target", TARGETS)


def exports(target: str, workload: Workload) -> Iterator[Export]:
    """By each combination of the target's options."""
    values: dict[str, tuple[Any, ...]] = {
        "max_replicas": (None, 5),
        "exposed": (False, True),
        "storage": (None, "20Gi"),
        "host": (None, "a.example.org"),
        "cluster": (None, "mine"),
    }
    names = [str(option.name) for option in loaded(target).OPTIONS]
    for chosen in itertools.product(*(values[name] for name in names)):
        yield loaded(target).export(workload, **dict(zip(names, chosen, strict=True)))


def written(export: Export, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, text in export.files.items():
        (folder / name).write_text(text)
    return folder


def checked(*command: str | Path, cwd: Path | None = None) -> str:
    """What it prints, of both streams."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def program(name: str, package: str) -> str:
    path = shutil.which(name, path=PLACES)
    if path is None:
        pytest.skip(f"there is no {name} (Debian's package {package})")
    return path


@every_target
def test_a_target_is_one_file_of_one_shape(target: str) -> None:
    module = loaded(target)
    assert module.ABOUT and "\n" not in module.ABOUT
    for option in module.OPTIONS:
        assert not option.is_eager and option.name
        others = [loaded(name) for name in TARGETS if option not in loaded(name).OPTIONS]
        assert option.name not in [one.name for other in others for one in other.OPTIONS]


@every_target
@every_workload
def test_files_are_valid_yaml_complete_and_the_same_each_time(target: str, workload: Workload) -> None:
    for first, second in zip(exports(target, workload), exports(target, workload), strict=True):
        assert first == second
        assert first.steps
        main, *_ = first.files.values()
        assert main.startswith(f"# Written by `{workload.command}`.") and all(
            f"#     {step}\n" in main for step in first.steps
        )
        assert all(
            f"{name}=\n" in first.files[SECRETS_FILE] for name in workload.secrets if SECRETS_FILE in first.files
        )
        for name, text in first.files.items():
            assert text.endswith("\n") and "\r" not in text
            if name.endswith(".yaml"):
                assert all(isinstance(document, dict) for document in yaml.safe_load_all(text))


def variables(target: str, text: str) -> Mapping[str, str]:
    document = next(yaml.safe_load_all(text))
    if target == "compose":
        [service] = document["services"].values()
        return {name: value.replace("$$", "$") for name, value in service["environment"].items()}
    if target == "oscar":
        [[service]] = [entry.values() for entry in document["functions"]["oscar"]]
        values: Mapping[str, str] = service["environment"]["variables"]
        return values
    if target == "ray":
        [document] = [group["template"] for group in document["spec"]["workerGroupSpecs"]]
    else:
        document = document["spec"]["template"]
    [container] = document["spec"]["containers"]
    return {entry["name"]: entry["value"].replace("$$(", "$(") for entry in container["env"] if "value" in entry}


@pytest.mark.parametrize(
    ("target", "file"),
    [
        ("compose", "compose.yaml"),
        ("kubernetes", "deployment.yaml"),
        ("knative", "service.yaml"),
        ("oscar", "odd.yaml"),
        ("ray", "ray.yaml"),
    ],
)
def test_a_variable_keeps_its_value_whatever_it_looks_like(target: str, file: str) -> None:
    for export in exports(target, WORKLOADS["odd"]):
        assert {**variables(target, export.files[file]), **ODD_VALUES} == variables(target, export.files[file])


@pytest.mark.slow
def test_kubernetes_schemas_accept_each_manifest(validators: Path, tmp_path: Path) -> None:
    """Strictly: no member is unknown."""
    manifests = []
    for workload in WORKLOADS.values():
        for number, export in enumerate(exports("kubernetes", workload)):
            folder = written(export, tmp_path / f"{workload.name}-{number}")
            manifests += [folder / name for name in export.files if name not in ("kustomization.yaml", SECRETS_FILE)]
        for number, export in enumerate(exports("knative", workload)):
            pod = tmp_path / f"{workload.name}-{number}-pod.yaml"
            pod.write_text(as_pod(export.files["service.yaml"]))
            manifests.append(pod)
    kinds = {document["kind"] for path in manifests for document in yaml.safe_load_all(path.read_text())}
    assert kinds == {
        "Deployment",
        "Service",
        "PersistentVolumeClaim",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "Pod",
    }
    said = checked(validators / "kubernetes-validate", "--strict", "--quiet", *manifests)
    assert "warning" not in said.lower(), said


def as_pod(text: str) -> str:
    """A Knative Service's pod, of which Kubernetes has a schema; the rest is a few members that are checked here."""
    service = yaml.safe_load(text)
    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    template = service["spec"]["template"]
    assert all(isinstance(value, str) for value in template["metadata"]["annotations"].values())
    spec = template["spec"]
    assert 0 < spec.pop("timeoutSeconds") <= 600
    assert spec.pop("containerConcurrency") >= 1
    [container] = spec["containers"]
    [port] = container["ports"]
    assert port["name"] in ("http1", "h2c")
    container["readinessProbe"]["httpGet"]["port"] = port["containerPort"]  # which Knative fills in
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec})


@pytest.mark.slow
def test_kubernetes_schemas_accept_what_is_in_a_ray_cluster(validators: Path, tmp_path: Path) -> None:
    manifests = []
    for name in ("gpu", "secrets", "odd"):
        manifests.append(tmp_path / f"{name}.yaml")
        export = loaded("ray").export(WORKLOADS[name])
        manifests[-1].write_text(yaml.safe_dump_all(ray_parts(export.files["ray.yaml"])))
    said = checked(validators / "kubernetes-validate", "--strict", "--quiet", *manifests)
    assert "warning" not in said.lower(), said


def ray_parts(text: str) -> list[dict[str, Any]]:
    """What Kubernetes has schemas of: all but the RayCluster, and its pods."""
    cluster, *others = yaml.safe_load_all(text)
    head, [group] = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"]
    pods = [{"apiVersion": "v1", "kind": "Pod", **part["template"]} for part in (head, group)]
    for number, pod in enumerate(pods):
        pod["metadata"]["name"] = f"pod-{number}"
    return [*others, *pods]


@pytest.mark.slow
@every_workload
def test_ray_reads_the_cluster_that_is_meant(workload: Workload) -> None:
    """By its own reader, that of its autoscaler."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr as read

    for export in exports("ray", workload):
        cluster = next(yaml.safe_load_all(export.files["ray.yaml"]))
        assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
        # What the API server would add, or its defaults.
        cluster["metadata"]["namespace"] = "default"
        types = read(cluster)["available_node_types"]
        assert types["headgroup"]["resources"]["CPU"] == 0
        workers = types["workers"]
        assert (workers["min_workers"], workers["max_workers"]) == (workload.max_workers, workload.max_workers)
        assert workers["resources"]["CPU"] == 1 and workers["resources"].get("GPU", 0) == workload.gpu
        assert workers["resources"]["memory"] > workload.memory_bytes


def test_workers_on_ray_have_the_models_secrets_and_not_the_callers_token() -> None:
    cluster = next(yaml.safe_load_all(loaded("ray").export(WORKLOADS["secrets"]).files["ray.yaml"]))
    [worker] = cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    secrets = [entry["valueFrom"]["secretKeyRef"]["key"] for entry in worker["env"] if "valueFrom" in entry]
    assert secrets == ["API_TOKEN", "RAY_AUTH_TOKEN"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["secrets", "odd", "numeric"])
def test_kustomize_builds_what_is_applied(name: str, tmp_path: Path) -> None:
    workload = WORKLOADS[name]
    kubectl = program("kubectl", "kubernetes-client")
    for number, export in enumerate(exports("kubernetes", workload)):
        folder = written(export, tmp_path / str(number))
        (folder / SECRETS_FILE).write_text(export.files[SECRETS_FILE].replace("=\n", "=filled-in\n"))
        documents = list(yaml.safe_load_all(checked(kubectl, "kustomize", folder)))
        by_kind = {document["kind"]: document for document in documents}
        assert len(documents) == len(by_kind) == 5
        [container] = by_kind["Deployment"]["spec"]["template"]["spec"]["containers"]
        secret = by_kind["Secret"]
        assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
        assert set(secret["data"]) == set(workload.secret_names)


@pytest.mark.slow
def test_docker_compose_reads_what_is_meant(validators: Path, tmp_path: Path) -> None:
    for workload in WORKLOADS.values():
        [export] = exports("compose", workload)
        folder = written(export, tmp_path / workload.name)
        read = json.loads(checked(validators / "docker-compose", "config", "--format", "json", cwd=folder))
        [service] = read["services"].values()
        environment = {name: value.replace("$$", "$") for name, value in service["environment"].items()}
        assert {**environment, **workload.environment} == environment
        assert set(workload.secret_names) <= set(environment)
        assert service["image"] == workload.image
        assert int(service["deploy"]["resources"]["limits"]["memory"]) >= workload.all_memory_bytes


@every_workload
def test_systemd_accepts_the_unit(workload: Workload, tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    [name, *_], folder = (export := next(exports("systemd", workload))).files, tmp_path / "units"
    written(export, folder)
    assert checked(analyze, "verify", "--man=no", folder / name) == ""


def test_a_unit_whose_token_is_empty_does_not_start() -> None:
    unit = loaded("systemd").export(PLAIN).files["digits.service"]
    [check] = re.findall(r"^ExecStartPre=(.*)$", unit, re.M)
    command = shlex.split(check.replace("$$", "$"))  # as systemd reads it
    for token, status in (("", 1), ("abc def", 0)):
        done = subprocess.run(command, env={"BEARER_TOKEN": token}, capture_output=True, text=True, check=False)
        assert (done.returncode, "/etc/modelport/digits.env" in done.stdout) == (status, bool(status))


@every_workload
def test_nginx_accepts_the_configuration(workload: Workload, tmp_path: Path) -> None:
    nginx = program("nginx", "nginx-light")
    certificate = self_signed(tmp_path)
    for number, export in enumerate(exports("systemd", workload)):
        text = re.sub(r"/etc/letsencrypt/live/\S+/\w+\.pem", str(certificate), export.files["nginx.conf"])
        assert text.count(str(certificate)) == 2
        # Only root may listen on these.
        text = text.replace("listen 80;", f"listen {PORT + 1};").replace("]:80;", f"]:{PORT + 1};")
        text = text.replace("443 ssl", f"{PORT + 2} ssl")
        folder = tmp_path / str(number)
        folder.mkdir()
        main = folder / "nginx.conf"
        main.write_text(f"pid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n")
        said = checked(nginx, "-t", "-e", "stderr", "-c", main)
        assert "warn" not in said, said


def test_memory_and_processors_are_those_of_all_workers_and_the_server() -> None:
    [export] = exports("compose", WORKLOADS["several"])
    [service] = yaml.safe_load(export.files["compose.yaml"])["services"].values()
    limits = service["deploy"]["resources"]["limits"]
    assert limits == {"cpus": "8", "memory": "8448M"}


def test_only_replicas_that_keep_nothing_can_be_several() -> None:
    one, several = (loaded("kubernetes").export(PLAIN, max_replicas=number) for number in (1, 5))
    kept = yaml.safe_load(one.files["deployment.yaml"])["spec"]
    assert (kept["replicas"], kept["strategy"]) == (1, {"type": "Recreate"})
    assert "hpa.yaml" not in one.files and "pvc.yaml" not in several.files
    scaled = yaml.safe_load(several.files["deployment.yaml"])["spec"]
    assert "replicas" not in scaled
    assert all("persistentVolumeClaim" not in volume for volume in scaled["template"]["spec"]["volumes"])
    assert yaml.safe_load(several.files["hpa.yaml"])["spec"]["maxReplicas"] == 5

"""Service definitions, read and echoed (contract, sections 2 and 10)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.deployments.quantity import quantity
from modelport.errors import InvalidRequest
from modelport.frontends.oscar.definition import ECHOED, SCRIPT, candidates, echo, parse
from modelport.store.deployments import DeploymentRow

LEAST = {"name": "svc", "image": "repo/my_model:latest", "script": "deepaas-cli predict"}
WHERE = {
    "endpoint": "http://host:9000",
    "verify": True,
    "access_key": "hidden",
    "secret_key": "hidden",
    "region": "us-east-1",
}


def read(**more: Any) -> Any:
    return parse({**LEAST, **more})


def refusal(body: bytes) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse(json.loads(body))
    return caught.value.message


def test_keys_match_without_regard_to_case_and_unknown_ones_are_ignored() -> None:
    body = {"NAME": "svc", "Image": "x", "SCRIPT": "", "Environment": {"Variables": {"A": "1"}, "SECRETS": {"B": "2"}}}
    found = parse({**body, "image_rules": [], "valid": True, "limitsMemory": "x"})
    assert (found.name, found.variables, found.secrets) == ("svc", {"A": "1"}, {"B": "2"})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"image": "x", "script": ""}', "name is missing"),
        (b'{"name": "svc", "script": ""}', "image is missing"),
        (b'{"name": "svc", "image": "x"}', "script is missing"),
        (json.dumps({**LEAST, "name": "a" * 40}).encode(), "at most 39"),
        (json.dumps({**LEAST, "name": "Svc"}).encode(), "lower-case"),
        (json.dumps({**LEAST, "name": "a/../b"}).encode(), "lower-case"),
        (json.dumps({**LEAST, "name": 5}).encode(), "name is a number; text is expected"),
        (json.dumps({**LEAST, "memory": "lots"}).encode(), "memory is 'lots'"),
        (json.dumps({**LEAST, "cpu": "many"}).encode(), "cpu is 'many'"),
        (json.dumps({**LEAST, "cpu": "1e999"}).encode(), "cpu is"),
        (json.dumps({**LEAST, "alpine": "no"}).encode(), "alpine is text; true or false is expected"),
        (json.dumps({**LEAST, "visibility": "secret"}).encode(), "visibility is 'secret'"),
        (json.dumps({**LEAST, "allowed_users": "me"}).encode(), "allowed_users is text"),
        (json.dumps({**LEAST, "environment": {"variables": {"A": 1}}}).encode(), "environment.variables.A is a number"),
        (json.dumps({**LEAST, "environment": {"variables": {"A=B": "1"}}}).encode(), "'A=B'"),
        (json.dumps({**LEAST, "synchronous": {"min_scale": 3, "max_scale": 2}}).encode(), "min_scale is 3"),
        (json.dumps({**LEAST, "synchronous": {"min_scale": -1}}).encode(), "min_scale is -1"),
        (json.dumps({**LEAST, "input": [{"storage_provider": "s3.a", "path": "x"}]}).encode(), "'s3.a' is not supp"),
        (json.dumps({**LEAST, "input": [{"storage_provider": "minio", "path": " / "}]}).encode(), "path is empty"),
        (json.dumps({**LEAST, "output": [{"storage_provider": "ftp", "path": "x"}]}).encode(), "'ftp' is not supp"),
    ],
)
def test_what_cannot_be_served_says_why(body: bytes, reason: str) -> None:
    message = refusal(body)
    assert message.startswith("The service specification is not valid: ")
    assert reason in message


@pytest.mark.parametrize(
    ("text", "number"),
    [("256Mi", 256 << 20), ("1Gi", 1 << 30), ("1.5G", 1.5e9), ("500m", 0.5), ("0.2", 0.2), ("2", 2), ("1e3", 1000)],
)
def test_kubernetes_quantities(text: str, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "Mi", "1 Mo", "1MBi", "-1", "1e9999", "NaN", "0x10", "١"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match=r"\A"):
        quantity(text)


def test_memory_cpu_and_scale_are_applied() -> None:
    found = read(memory="512Mi", cpu="500m", synchronous={"min_scale": 1, "max_scale": 4})
    assert (found.memory_bytes, found.cpu, found.min_workers, found.max_workers) == (512 << 20, 0.5, 1, 4)
    found = read(cpu=2, memory=1048576)
    assert (found.cpu, found.memory_bytes) == (2.0, 1048576)
    assert (read().memory_bytes, read().cpu, read().min_workers, read().max_workers) == (None, None, None, None)


@pytest.mark.parametrize(
    ("image", "names"),
    [
        ("my_model", ["my_model", "my-model"]),
        ("ai4oshub/my_model:latest", ["my_model", "my-model"]),
        ("docker.io:5000/ai4oshub/my-model", ["my-model", "my_model"]),
        ("ghcr.io/a/b/yolo@sha256:abc", ["yolo"]),
        ("x:1.0@sha256:abc", ["x"]),
        ("", []),
    ],
)
def test_the_module_is_the_last_part_of_the_images_path_without_its_tag(image: str, names: list[str]) -> None:
    assert candidates(image) == names


def test_what_has_no_meaning_here_is_told() -> None:
    found = read(
        enable_gpu=True,
        interlink_node_name="node",
        script="echo hello",
        expose={"max_scale": 1, "api_port": [80]},
        output=[{"storage_provider": "onedata.x", "path": "a/b"}],
        replicas=[{"type": "oscar"}],
    )
    told = "; ".join(found.warnings)
    for each in ("enable_gpu", "interlink_node_name", "script", "expose", "onedata.x", "replicas"):
        assert each in told
    assert read(enable_gpu=False, annotations={}, clusters={"a": {}}, total_memory="0", alpine=False).warnings == []


def test_paths_that_are_not_those_of_the_services_bucket_are_told() -> None:
    def told(**more: Any) -> list[str]:
        return list(read(**more).warnings)

    papi = [{"storage_provider": "minio.default", "path": "svc/inputs"}]
    assert told(input=papi, output=[{"storage_provider": "minio", "path": "outputs/"}]) == []
    assert told(input=[{"path": "svc/in"}]) == ["input svc/in: nothing is read or written there, but in svc/inputs"]
    assert told(output=[{"path": "x/outputs"}]) == [
        "output x/outputs: nothing is read or written there, but in svc/outputs"
    ]
    assert told(output=[{"path": "svc/outputs", "suffix": ["png"]}]) == [
        "output svc/outputs: suffix is kept, but not applied"
    ]
    (only,) = told(input=[{"storage_provider": "minio.other", "path": "svc/inputs"}])
    assert "only minio.default is served" in only


# The echo


def kept(definition: Any, **more: Any) -> DeploymentRow:
    found = parse(definition)
    return DeploymentRow(
        name=found.name,
        module="my_model",
        token="t" * 64,
        environment=found.variables,
        secrets=found.secrets,
        definition=found.plain,
        created="2026-06-11T10:50:46Z",
        **more,
    )


def nulls(document: Any, path: str = "") -> list[str]:
    if document is None:
        return [path]
    members = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [null for key, value in members for null in nulls(value, f"{path}/{key}")]


def test_a_definition_comes_back_with_all_that_clients_need() -> None:
    papi = {
        **LEAST,
        "cluster_id": "cluster",
        "cpu": "2",
        "memory": "3000Mi",
        "vo": "vo.example.eu",
        "allowed_users": [" me@egi.eu ", ""],
        "log_level": "critical",
        "alpine": False,
        "script": "one\r\ntwo\rthree",
        "environment": {
            "Variables": {"PAPI_TITLE": "T", "PAPI_CREATED": "2024-09-30 12:09:19"},
            "secrets": {"KEY": "s"},
        },
        "input": [{"storage_provider": "minio.default", "path": "/svc/inputs/"}],
        "output": [{"storage_provider": "minio", "path": "outputs"}],
        "labels": {"mine": "yes"},
    }
    found = echo(kept(papi), WHERE)
    assert nulls(found) == []
    assert found["environment"] == {
        "variables": {"PAPI_TITLE": "T", "PAPI_CREATED": "2024-09-30 12:09:19"},
        "secrets": {"KEY": ""},
    }
    assert found["storage_providers"] == {"minio": {"default": WHERE}}
    assert found["script"] == "one\ntwo\nthree"
    assert (found["log_level"], found["owner"], found["visibility"]) == ("CRITICAL", "cluster_admin", "private")
    assert (found["cpu"], found["memory"], found["cluster_id"], found["vo"]) == (
        "2",
        "3000Mi",
        "cluster",
        "vo.example.eu",
    )
    assert found["allowed_users"] == ["me@egi.eu"]
    assert found["labels"] == {
        "mine": "yes",
        "oscar_service": "svc",
        "owner_name": "cluster_admin",
        "uid": "cluster_admin",
        "vo": "vo.example.eu",
    }
    assert (found["expose"]["max_scale"], found["expose"]["api_port"]) == (0, [])
    assert found["token"] == "t" * 64
    assert [(each["storage_provider"], each["path"]) for each in found["input"] + found["output"]] == [
        ("minio.default", "svc/inputs"),
        ("minio.default", "svc/outputs"),
    ]
    assert found["bucket_list"] == []
    assert found["volume_status"] == {"enabled": False}


def test_defaults_are_those_of_the_platform() -> None:
    found = echo(kept(LEAST), WHERE)
    assert (found["memory"], found["cpu"], found["log_level"]) == ("256Mi", "0.2", "INFO")
    assert found["synchronous"] == {"min_scale": 0, "max_scale": 0}


def test_the_whole_echo_may_be_sent_back() -> None:
    first = echo(kept(LEAST), WHERE)
    # As the dashboard sends it, with its own fields.
    sent = {
        **first,
        "image_rules": [],
        "valid": True,
        "clusters": {"id": {}},
        "rescheduler_threshold": "",
        "total_memory": "0",
    }
    assert echo(kept(sent), WHERE) == {**first, "clusters": {"id": {}}, "total_memory": "0"}


def test_a_deployment_of_the_command_line_has_a_definition_too() -> None:
    row = DeploymentRow(
        name="digits",
        module="/srv/my_model",
        title="Digits",
        memory_bytes=1 << 30,
        cpu=2.0,
        created="2026-06-11T10:50:46Z",
    )
    found = echo(row, WHERE)
    assert nulls(found) == []
    assert (found["image"], found["memory"], found["cpu"], found["script"]) == ("my_model", "1024Mi", "2", SCRIPT)
    # One service without PAPI_CREATED breaks the AI4OS dashboard's list.
    assert found["environment"]["variables"] == {
        "PAPI_TITLE": "Digits",
        "PAPI_DESCRIPTION": "",
        "PAPI_CREATED": "2026-06-11 10:50:46",
    }


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = [*ECHOED, "image", "module", "labels", "allowed_users", "visibility", "synchronous", "input", "output", "expose"]
KEYS += ["environment", "token", "kserve", "federation", "owner", "storage_providers"]


@given(st.dictionaries(st.sampled_from(KEYS), ANY, max_size=4))
@settings(max_examples=200)
def test_whatever_is_sent_is_echoed_whole_or_refused_with_a_sentence(more: dict[str, Any]) -> None:
    try:
        row = kept({**LEAST, **more})
    except InvalidRequest as error:
        assert error.message.startswith("The service specification is not valid: ")
        return
    found = echo(row, WHERE)
    assert nulls(found) == []
    assert json.loads(msgspec.json.encode(found)) == json.loads(json.dumps(found))


def test_what_nobody_has_defined_has_the_folders_of_its_bucket() -> None:
    row = DeploymentRow(name="svc", module="my_model", token="t" * 64)
    found = echo(row, WHERE, "svc-2")
    assert [each["path"] for each in found["input"] + found["output"]] == ["svc-2/inputs", "svc-2/outputs"]
    assert (echo(row, WHERE)["input"], echo(kept(LEAST), WHERE, "svc")["input"]) == ([], [])

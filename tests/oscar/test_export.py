"""What `modelport export --to oscar` writes: a server makes the same service of it, and its script does what OSCAR's
modules do."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelport.commands.exporting.targets import oscar as target
from tests.cli.conftest import Cli
from tests.exporting.conftest import ODD_VALUES, PLAIN
from tests.house import PATIENCE_S, wait_until_now
from tests.oscar.conftest import DATA, OWNER, Oscar
from tests.oscar.test_clients import client

PAGE = DATA / "digits_page.png"
BODY = {"oscar-files": [{"key": "files", "file_format": "png", "data": base64.b64encode(PAGE.read_bytes()).decode()}]}
SAME = ("module", "cpu", "memory_bytes", "min_workers", "max_workers", "environment", "secrets")


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="package")
async def test_a_deployment_comes_back_from_its_fdl(oscar: Oscar, tmp_path: Path) -> None:
    environment = {**ODD_VALUES, "SOME_PASSWORD": "hunter2", "DATABASE": "postgres://me:hunter2@db/x"}
    options = {
        "cpu": 0.5,
        "memory": "1500Mi",
        "max_workers": 2,
        "secrets": {"SALT": "hunter2"},
        "environment": environment,
    }
    headers = {"Authorization": OWNER}
    answer = await oscar.house.post(
        "/deployments", json={"name": "to-go", "module": "my_model", **options}, headers=headers
    )
    assert answer.status == 201, answer.text
    before = answer.json()
    answered = await oscar.run("to-go", BODY, token=before["token"])

    def exported_and_created() -> None:
        done = Cli(tmp_path)(
            "export", "to-go", "--to", "oscar", "--cluster", "cluster", "-o", "fdl", "--home", str(oscar.house.home)
        )
        assert done.status == 0, done.err
        for text in (path.read_text() for path in (tmp_path / "fdl").iterdir()):
            assert "hunter2" not in text and before["token"] not in text
        found = client(oscar)
        assert found.remove_service("to-go").status_code == 204
        assert found.create_service(str(tmp_path / "fdl" / "to-go.yaml")).status_code == 201
        assert found.run_service("to-go", input=json.dumps(BODY), timeout=PATIENCE_S).text == answered.text
        (tmp_path / "page.json").write_text(json.dumps(BODY))
        storage = found.create_storage_client("to-go")
        storage.upload_file("minio.default", str(tmp_path / "page.json"), "to-go/inputs")
        wait_until_now(lambda: {"outputs/page.json", "outputs/page.log"} <= keys(storage))

    await asyncio.to_thread(exported_and_created)
    after = (await oscar.house.get("/deployments/to-go", headers=headers)).json()
    hidden = {"SOME_PASSWORD", "DATABASE"}
    shown = {key: value for key, value in environment.items() if key not in hidden}
    expected = {
        **{key: before[key] for key in SAME},
        "min_workers": after["min_workers"],  # 0 there is the server's setting here
        "environment": {**shown, "DEEPAAS_V2_MODEL": "my_model"},
        "secrets": sorted({*hidden, "SALT"}),
    }
    assert {key: after[key] for key in SAME} == expected
    assert (await oscar.system("DELETE", "/services/to-go")).status == 204


def keys(storage: Any) -> set[str]:
    return {
        entry["Key"] for entry in storage.list_files_from_path("minio.default", "to-go/outputs").get("Contents", [])
    }


# The script, run as OSCAR's supervisor runs it

DEEPAAS = Path(sys.executable).with_name("deepaas-cli")
Call = Callable[..., tuple[str, dict[str, bytes]]]


@pytest.fixture(params=["modelport", pytest.param("deepaas", marks=pytest.mark.thorough)])
def call(request: pytest.FixtureRequest, tmp_path: Path) -> Call:
    """`call(name of the input, body)`: the output and the files that are made, in an image with either of the two."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    name = "modelport" if request.param == "modelport" else "deepaas-cli"
    (programs / name).symlink_to(Path(sys.executable).with_name(name))
    script = tmp_path / "script.sh"
    script.write_text(target.export(PLAIN).files["digits.sh"])

    def run(name: str, body: bytes, **variables: str) -> tuple[str, dict[str, bytes]]:
        outputs = tmp_path / f"outputs of {name}"
        outputs.mkdir()
        (tmp_path / name).write_bytes(body)
        environ = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "DEEPAAS_V2_MODEL": "my_model",
            "INPUT_FILE_PATH": str(tmp_path / name),
            "TMP_OUTPUT_DIR": str(outputs),
            **variables,
        }
        done = subprocess.run(
            ["/bin/sh", str(script)],
            env=environ,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
        )
        return done.stdout.decode(), {path.name: path.read_bytes() for path in outputs.iterdir()}

    return run


@pytest.mark.slow
def test_the_script_answers_a_call(call: Call) -> None:
    body = json.dumps({**BODY, "confidence": 0.3, "classes": None}).encode()
    said, files = call("event-file", base64.b64encode(body))
    assert "return: [{'name': 'eight'" in said and not files


@pytest.mark.slow
def test_the_script_writes_the_results_of_an_object(call: Call) -> None:
    said, files = call("a page.v2.json", json.dumps(BODY).encode())
    assert set(files) == {"a page.v2.json", "a page.v2.log"}
    assert json.loads(files["a page.v2.json"])[0]["name"] == "eight"
    assert files["a page.v2.log"].decode() == said


@pytest.mark.slow
def test_the_script_tells_what_is_wrong_and_leaves_no_result(call: Call) -> None:
    help, _ = call("event-file", b'{"help": ""}')
    assert "--files FILES" in help
    refused, files = call("one.json", json.dumps({**BODY, "confidence": "many"}).encode())
    assert "--confidence" in refused and set(files) == {"one.log"}
    nonsense, files = call("two.json", b"[1, 2]")
    assert nonsense.startswith("error: the input is not a JSON object") and files == {"two.log": nonsense.encode()}

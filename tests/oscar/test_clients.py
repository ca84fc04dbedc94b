"""The clients that exist: oscar-python, scripts as tutorials have them, curl, and what the dashboard sends."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.house import wait_until_now
from tests.oscar.conftest import DATA, PASSWORD, Oscar, definition, returned

pytestmark = pytest.mark.asyncio(loop_scope="package")

PAGE = DATA / "digits_page.png"
FILES = {"demo_image": "digit.png", "demo_audio": "tone.wav", "demo_video": "bounce.avi"}


def with_file() -> dict[str, Any]:
    data = base64.b64encode(PAGE.read_bytes()).decode()
    return {"oscar-files": [{"key": "files", "file_format": "png", "data": data}]}


# oscar-python


def client(oscar: Oscar) -> Any:
    from oscar_python.client import Client  # type: ignore[import-untyped]

    options = {
        "cluster_id": "cluster",
        "endpoint": oscar.house.url,
        "user": "oscar",
        "password": PASSWORD,
        "ssl": "True",
    }
    return Client(options=options)


async def test_oscar_python_from_info_to_delete(oscar: Oscar, tmp_path: Path) -> None:
    def all_of_it() -> None:
        found = client(oscar)
        assert found.health_check().text == "Ok"
        assert found.get_cluster_info().json()["version"].startswith("v4.")
        assert found.get_cluster_config().json()["config"]["name"] == "oscar"
        assert found.get_cluster_status().json()["cluster"]["nodes_count"] == 1

        assert found.create_service(definition("by-python", image="ai4oshub/my_model")).status_code == 201
        with pytest.raises(ValueError, match="already present"):
            found.create_service(definition("by-python"))
        assert "by-python" in [each["name"] for each in found.list_services().json()]
        assert found.get_service("by-python").json()["script"].startswith("#!/bin/sh")

        help_text = found.run_service("by-python", input='{"help": ""}').text
        assert "--files FILES" in help_text
        body = {
            "oscar-files": [
                {"key": "files", "file_format": "png", "data": base64.b64encode(PAGE.read_bytes()).decode()}
            ]
        }
        answer = found.run_service("by-python", input=json.dumps(body), timeout=60)
        assert "return: [{'name'" in answer.text
        (tmp_path / "input.json").write_text(json.dumps(body))
        output = tmp_path / "output.dat"
        found.run_service("by-python", input=str(tmp_path / "input.json"), output=str(output))
        assert output.stat().st_size
        assert found.run_service("by-python", input={"help": ""}).text == help_text  # a form under the JSON type
        token = found.get_service("by-python").json()["token"]
        assert found.run_service("by-python", input='{"help": ""}', token=token).text == help_text

        changed = definition("by-python", image="ai4oshub/my_model", memory="2Gi")
        assert found.update_service("by-python", changed).status_code == 204
        assert found.get_service("by-python").json()["memory"] == "2Gi"
        assert found.get_service("by-python").json()["token"] == token

        assert found.get_deployment_status("by-python").json()["service_name"] == "by-python"
        assert found.get_deployment_logs("by-python").status_code == 200
        jobs = found.list_jobs("by-python").json()["jobs"]
        assert len(jobs) == 5
        job = next(iter(jobs))
        assert found.get_job_logs("by-python", job).status_code == 200
        assert found.remove_job("by-python", job).status_code == 204
        assert found.remove_all_jobs("by-python").status_code == 204
        assert found.list_jobs("by-python").json()["jobs"] == {}
        assert found.get_system_logs().json()["logs"]
        assert found.get_metrics_summary().json()["totals"]["requests_count_total"] >= 5
        assert found.list_volumes().json() == []

        assert found.remove_service("by-python").status_code == 204
        with pytest.raises(Exception, match="404"):
            found.get_service("by-python")

    await asyncio.to_thread(all_of_it)


async def test_oscar_python_with_jobs_and_files(oscar: Oscar, tmp_path: Path) -> None:
    def all_of_it() -> None:
        found = client(oscar)
        papi = definition("by-files", image="ai4oshub/my_model")
        papi["input"] = [{"storage_provider": "minio.default", "path": "by-files/inputs"}]
        papi["output"] = [{"storage_provider": "minio.default", "path": "by-files/outputs"}]
        assert found.create_service(papi).status_code == 201
        body = json.dumps(with_file())

        assert found.run_service("by-files", input=body, async_call=True).status_code == 201

        def states() -> list[str]:
            return [each["status"] for each in found.list_jobs("by-files").json()["jobs"].values()]

        wait_until_now(lambda: states() == ["Succeeded"])
        (job,) = found.list_jobs("by-files").json()["jobs"]
        assert "return: [{'name'" in found.get_job_logs("by-files", job).text
        assert found.remove_job("by-files", job).status_code == 204
        assert states() == []

        for storage in (found.create_storage_client("by-files"), found.create_storage_client()):
            for name in ("one", "two"):
                (tmp_path / f"{name}.json").write_text(body)
                storage.upload_file("minio.default", str(tmp_path / f"{name}.json"), "by-files/inputs")
            wait_for(storage, "outputs/one.log", "outputs/two.log")
            assert {"outputs/one.json", "outputs/two.json"} <= keys(storage, "by-files/outputs")
            storage.download_file("minio.default", str(tmp_path), "by-files/outputs/one.json")
            assert json.loads((tmp_path / "one.json").read_text())[0]["name"]

        assert "by-files" in [each["bucket_name"] for each in found.list_buckets().json()]
        objects = [each["object_name"] for each in found.get_bucket("by-files").json()["objects"]]
        assert {"inputs/one.json", "outputs/one.json", "outputs/one.log"} <= set(objects)
        url = found.presign_bucket("by-files", "outputs/one.json").json()["url"]
        assert requests.get(url, timeout=30).json()[0]["name"]
        assert found.create_bucket("free").status_code == 201
        assert found.get_bucket("free").json()["objects"] == []
        with pytest.raises(requests.HTTPError, match="400"):
            found.update_bucket("free", "public")
        assert found.delete_bucket("free").status_code == 204
        with pytest.raises(requests.HTTPError, match="403"):
            found.update_bucket("by-files", "public")
        with pytest.raises(requests.HTTPError, match="403"):
            found.delete_bucket("by-files")
        assert found.remove_all_jobs("by-files").status_code == 204
        assert found.remove_service("by-files").status_code == 204
        assert found.delete_bucket("by-files").status_code == 204

    await asyncio.to_thread(all_of_it)


def wait_for(storage: Any, *wanted: str) -> None:
    wait_until_now(lambda: set(wanted) <= keys(storage, "by-files/outputs"))


def keys(storage: Any, path: str) -> set[str]:
    return {each["Key"] for each in storage.list_files_from_path("minio.default", path).get("Contents", [])}


async def test_oscar_python_from_an_fdl_file(oscar: Oscar, tmp_path: Path) -> None:
    (tmp_path / "script.sh").write_text("#!/bin/sh\ndeepaas-cli predict\n")
    fdl = tmp_path / "service.yaml"
    fdl.write_text(
        """
functions:
  oscar:
  - cluster:
      name: by-file
      cpu: 1.0
      memory: 1Gi
      image: ai4oshub/plugin
      script: script.sh
      log_level: CRITICAL
      environment:
        Variables:
          COLOUR: red
"""
    )

    def both() -> None:
        found = client(oscar)
        assert found.create_service(str(fdl)).status_code == 201
        service = found.get_service("by-file").json()
        assert (service["cpu"], service["environment"]["variables"]) == ("1.0", {"COLOUR": "red"})
        assert service["script"] == "#!/bin/sh\ndeepaas-cli predict\n"
        fdl.write_text(fdl.read_text().replace("red", "blue"))
        assert found.update_service("by-file", str(fdl)).status_code == 204
        answer = found.run_service("by-file", input='{"mode": "environment", "text": "COLOUR"}')
        assert answer.text == "return: blue\n"
        assert found.remove_service("by-file").status_code == 204

    await asyncio.to_thread(both)


async def test_the_anonymous_client(oscar: Oscar) -> None:
    from oscar_python.client_anon import AnonymousClient  # type: ignore[import-untyped]

    token = await oscar.token("svc")
    anonymous_client = AnonymousClient({"cluster_id": "cluster", "endpoint": oscar.house.url, "ssl": "True"})
    answer = await asyncio.to_thread(anonymous_client.run_service, "svc", input='{"number": 5}', token=token)
    assert ast.literal_eval(answer.text.partition("return: ")[2])["number"] == 5


# Scripts as tutorials have them: only endpoint and token are ours


HELP = """
import requests
call = requests.post(ENDPOINT, headers={"Authorization": f"Bearer {TOKEN}"}, json={"help": ""})
if call.status_code == 200:
    print(call.text)
else:
    print(call)
"""

IMAGE = """
import base64, json, sys, requests
with open(FILE, "rb") as file:
    encoded = base64.b64encode(file.read()).decode("utf-8")
data = json.dumps({"oscar-files": [{"key": "files", "file_format": "png", "data": encoded}], "confidence": 0.9})
headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
call = requests.post(ENDPOINT, headers=headers, data=data)
print(call.text if call.status_code == 200 else call)
"""

WITH_URLLIB = """
import json, urllib.request
data = {
    "demo_str": "text", "demo_str_choice": "choice1", "demo_int": 7, "demo_int_range": 20, "demo_float": 1.5,
    "demo_bool": False, "demo_dict": '{"c": "d"}', "demo_list_of_floats": "[1.2, -1.8]", "oscar-files": FILES,
}
request = urllib.request.Request(
    ENDPOINT, data=json.dumps(data).encode(), headers={"Authorization": f"Bearer {TOKEN}"}, method="POST"
)
with urllib.request.urlopen(request) as answer:
    print(answer.read().decode())
"""


async def script(text: str, oscar: Oscar, name: str, **more: Any) -> str:
    known = {"ENDPOINT": f"{oscar.house.url}/run/{name}", "TOKEN": await oscar.token(name), **more}
    text = "".join(f"{key} = {value!r}\n" for key, value in known.items()) + text

    def run() -> str:
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return await asyncio.to_thread(run)


async def test_the_help_script(oscar: Oscar) -> None:
    for name, option in (("digits", "--files FILES"), ("demo", "--demo_list_of_floats DEMO_LIST_OF_FLOATS")):
        printed = await script(HELP, oscar, name)
        assert printed.startswith("usage: ")
        assert f"  {option}\n" in printed


async def test_the_script_with_an_image(oscar: Oscar) -> None:
    printed = await script(IMAGE, oscar, "digits", FILE=str(PAGE))
    digits = ast.literal_eval(printed.partition("return: ")[2].strip())
    assert len(digits) > 10
    assert min(digit["confidence"] for digit in digits) >= 0.9


def demo_files() -> list[dict[str, str]]:
    return [
        {
            "key": key,
            "file_format": name.partition(".")[2],
            "data": base64.b64encode((DATA / name).read_bytes()).decode(),
        }
        for key, name in FILES.items()
    ]


async def test_the_demo_application_with_all_its_inputs(oscar: Oscar) -> None:
    printed = await script(WITH_URLLIB, oscar, "demo", FILES=demo_files())
    (line,) = [line for line in printed.splitlines() if line.startswith("return: ")]
    found = ast.literal_eval(line.removeprefix("return: "))
    assert (found["demo_str"], found["demo_str_choice"], found["demo_int"]) == ("text", "choice1", 7)
    assert (found["demo_int_range"], found["demo_float"], found["demo_bool"]) == (20, 1.5, False)
    assert (found["demo_dict"], found["demo_list_of_floats"]) == ({"c": "d"}, [1.2, -1.8])
    for key, name in FILES.items():
        assert base64.b64decode(found[key]) == (DATA / name).read_bytes()
    assert len(found["labels"]) == len(found["probabilities"]) == 5


async def test_the_demo_application_refuses_what_is_out_of_range(oscar: Oscar) -> None:
    answer = await oscar.run("demo", {"demo_int_range": 101, "demo_str_choice": "choice3"})
    assert answer.status == 422
    assert "demo_int_range" in answer.text
    assert "demo_str_choice" in answer.text


# curl


async def curl(oscar: Oscar, name: str, *arguments: str) -> bytes:
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *arguments]
    command += ["--header", f"Authorization: Bearer {await oscar.token(name)}", f"{oscar.house.url}/run/{name}"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    return bytes(done.stdout)


async def test_curl(oscar: Oscar, tmp_path: Path) -> None:
    body = {
        "oscar-files": [{"key": "files", "file_format": "png", "data": base64.b64encode(PAGE.read_bytes()).decode()}]
    }
    (tmp_path / "input.json").write_text(json.dumps(body))
    (tmp_path / "input.b64").write_bytes(base64.encodebytes(json.dumps(body).encode()))
    # curl's --data says application/x-www-form-urlencoded, whatever it sends.
    assert (await curl(oscar, "digits", "--data", '{"help": ""}')).startswith(b"usage: ")
    for arguments in (
        ("--data", f"@{tmp_path}/input.json"),
        ("--data-binary", f"@{tmp_path}/input.b64"),
        ("--header", "Content-Type: application/json", "--data", f"@{tmp_path}/input.json"),
        ("--header", "Content-Type: image/png", "--data-binary", f"@{PAGE}"),
        ("--form", f"files=@{PAGE}", "--form", "confidence=0.5"),
    ):
        assert (await curl(oscar, "digits", *arguments)).startswith(b"return: [{'name'"), arguments
    answer = await curl(oscar, "digits", "--header", "Accept: image/png", "--form", f"files=@{PAGE}")
    assert answer.startswith(b"\x89PNG\r\n")


# The dashboard


async def test_invoke_as_the_dashboard_does_it(oscar: Oscar) -> None:
    """Base64 of the chosen file as the body, under the type of a form; the answer must not be JSON."""
    body = {
        "oscar-files": [{"key": "files", "file_format": "png", "data": base64.b64encode(PAGE.read_bytes()).decode()}]
    }
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json, text/plain, */*",
        "Origin": "https://dashboard.example",
    }
    answer = await oscar.run("digits", base64.b64encode(json.dumps(body).encode()), headers=headers)
    assert returned(answer).startswith("[{'name'")
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_the_dashboards_table_finds_all_it_needs(oscar: Oscar) -> None:
    for row in (await oscar.system("GET", "/services")).json():
        for key in ("name", "image", "owner", "cpu", "memory", "visibility", "token", "script"):
            assert isinstance(row[key], str), key
        assert isinstance(row["labels"], dict)
        assert row["expose"]["max_scale"] == 0

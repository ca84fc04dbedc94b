"""/system/services (contract, section 11)."""

from __future__ import annotations

import pytest

from tests.oscar.conftest import DEMO_APP, OpenOscar, Oscar, definition, returned

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_create_show_list_update_delete(oscar: Oscar) -> None:
    answer = await oscar.create("life", vo="first", environment={"Variables": {"A": "1"}, "Secrets": {"S": "secret"}})
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (201, b"", "0")
    assert "Content-Type" not in answer.headers
    shown = await oscar.system("GET", "/services/life")
    assert (shown.status, shown.type) == (200, "application/json; charset=utf-8")
    document = shown.json()
    assert (document["vo"], document["environment"]) == ("first", {"variables": {"A": "1"}, "secrets": {"S": ""}})
    token = document["token"]
    assert len(token) == 64
    assert set(token) <= set("0123456789abcdef")
    assert document in (await oscar.system("GET", "/services")).json()
    assert returned(await oscar.run("life", {"mode": "environment", "text": "S"}, token=token)) == "secret"

    changed = {**document, "vo": "second", "environment": {"variables": {"A": "2"}, "secrets": {"S": ""}}}
    answer = await oscar.system("PUT", "/services", json=changed)
    assert (answer.status, answer.body) == (204, b"")
    document = (await oscar.system("GET", "/services/life")).json()
    assert (document["vo"], document["token"]) == ("second", token)
    assert returned(await oscar.run("life", {"mode": "environment", "text": "A"}, token=token)) == "2"
    assert returned(await oscar.run("life", {"mode": "environment", "text": "S"}, token=token)) == "secret"

    answer = await oscar.system("DELETE", "/services/life")
    assert (answer.status, answer.body) == (204, b"")
    for method, path in (("GET", "/services/life"), ("DELETE", "/services/life"), ("GET", "/logs/life")):
        answer = await oscar.system(method, path)
        assert (answer.status, answer.body) == (404, b"")
    assert (await oscar.run("life", {}, token=token)).status == 401


async def test_a_taken_name_is_409_with_a_sentence(oscar: Oscar) -> None:
    answer = await oscar.create("svc")
    assert (answer.status, answer.text) == (409, "A service with the provided name already exists: svc")
    assert (await oscar.create("plugin")).status == 409


async def test_update_of_what_is_not_there_is_404(oscar: Oscar) -> None:
    answer = await oscar.system("PUT", "/services", json=definition("nobody"))
    assert (answer.status, answer.body) == (404, b"")


async def test_what_cannot_be_served_is_400_in_one_line(oscar: Oscar) -> None:
    for more, reason in (
        ({"image": "ai4oshub/yolo:latest"}, "does not name an installed module; installed are: "),
        ({"module": "/no/such/module.py"}, "there is no module at /no/such/module.py"),
        ({"memory": "1"}, "memory"),
        ({"cpu": ["1"]}, "cpu"),
    ):
        answer = await oscar.create("bad", **more)
        assert (answer.status, answer.type) == (400, "text/plain; charset=utf-8"), more
        assert answer.text.startswith("The service specification is not valid: ")
        assert reason in answer.text
        assert "\n" not in answer.text
    assert "my_model" in (await oscar.create("bad", image="yolo")).text
    assert (await oscar.create("run")).status == 400
    assert (await oscar.system("POST", "/services", data=b"{")).status == 400


async def test_the_image_names_the_module(oscar: Oscar) -> None:
    for number, image in enumerate(("my_model", "ai4oshub/my-model:latest", "ghcr.io/x/my_model@sha256:00")):
        assert (await oscar.create(f"image-{number}", image=image)).status == 201
        assert oscar.house.server.deployments.get(f"image-{number}").spec.module in ("my_model", "my-model")
        assert (await oscar.system("GET", f"/services/image-{number}")).json()["image"] == image
        assert (await oscar.system("DELETE", f"/services/image-{number}")).status == 204


async def test_a_path_that_the_owner_gave_can_be_named_by_others_then(oscar: Oscar) -> None:
    await oscar.deployed("same-demo", image="ai4oshub/demo")
    assert oscar.house.server.deployments.get("same-demo").spec.module == DEMO_APP
    assert (await oscar.system("DELETE", "/services/same-demo")).status == 204


async def test_what_is_ignored_is_told_in_a_header(oscar: Oscar) -> None:
    answer = await oscar.create("told", enable_gpu=True, script="echo hello")
    assert (answer.status, answer.body) == (201, b"")
    assert "enable_gpu: a GPU is not reserved" in answer.headers["X-Modelport-Warnings"]
    assert "script: kept, but not run" in answer.headers["X-Modelport-Warnings"]
    await oscar.system("DELETE", "/services/told")
    answer = await oscar.create("told")
    assert "X-Modelport-Warnings" not in answer.headers
    await oscar.system("DELETE", "/services/told")


async def test_memory_cpu_and_scale_reach_the_workers(oscar: Oscar) -> None:
    token = await oscar.deployed("small", memory="700Mi", cpu="3", synchronous={"min_scale": 1, "max_scale": 2})
    spec = oscar.house.server.deployments.get("small").spec
    assert (spec.memory_bytes, spec.cpu, spec.min_workers, spec.max_workers) == (700 << 20, 3.0, 1, 2)
    answer = await oscar.run("small", {"mode": "environment", "text": "OMP_NUM_THREADS"}, token=token)
    assert returned(answer) == "3"
    await oscar.system("DELETE", "/services/small")


async def test_what_is_served_from_the_command_line_is_listed_but_not_changed(oscar: Oscar) -> None:
    document = (await oscar.system("GET", "/services/plugin")).json()
    assert document["token"] == oscar.house.server.gateway.owner.token  # type: ignore[union-attr]
    assert (await oscar.system("DELETE", "/services/plugin")).status == 403
    assert (await oscar.system("PUT", "/services", json=definition("plugin"))).status == 403
    assert returned(await oscar.run("plugin", {}, token=document["token"]))


async def test_services_survive_a_restart(oscar_with: OpenOscar, tmp_path: object) -> None:
    first = await oscar_with(home=str(tmp_path) + "/kept")
    token = await first.deployed("kept", vo="mine")
    before = (await first.system("GET", "/services/kept")).json()
    await first.house.server.stop(0)
    second = await oscar_with(home=str(tmp_path) + "/kept")
    after = (await second.system("GET", "/services/kept")).json()
    before.pop("storage_providers"), after.pop("storage_providers")
    assert after == before
    assert returned(await second.run("kept", {}, token=token))


async def test_the_state_of_a_deployment(oscar: Oscar) -> None:
    await oscar.run("svc", {})
    document = (await oscar.system("GET", "/services/svc/deployment")).json()
    assert (document["service_name"], document["state"], document["resource_kind"]) == (
        "svc",
        "ready",
        "knative_service",
    )
    assert document["active_instances"] >= 1
    assert document["last_transition_time"].endswith("Z")
    assert (await oscar.system("GET", "/services/nobody/deployment")).status == 404
    listed = (await oscar.system("GET", "/services?include=deployment")).json()
    assert {each["deployment"]["service_name"] for each in listed} >= {"svc", "digits"}
    assert "deployment" not in (await oscar.system("GET", "/services")).json()[0]


async def test_the_log_of_a_deployment(oscar: Oscar) -> None:
    await oscar.run("svc", {"mode": "print"})
    document = (await oscar.system("GET", "/services/svc/deployment/logs?tailLines=1000")).json()
    assert document["available"] is True
    assert {"message": "on stdout"} in document["entries"]
    assert len((await oscar.system("GET", "/services/svc/deployment/logs?tailLines=1")).json()["entries"]) == 1
    assert (await oscar.system("GET", "/services/svc/deployment/logs?tailLines=x")).status == 400


async def test_what_only_exposed_services_have(oscar: Oscar) -> None:
    for verb in ("start", "stop", "restart"):
        answer = await oscar.system("POST", f"/services/svc/{verb}")
        assert (answer.status, answer.text) == (400, 'service "svc" is not exposed')

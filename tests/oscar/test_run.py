"""POST /run/<name>: answers, failures and who may call (contract, sections 3 and 4)."""

from __future__ import annotations

import ast
import base64
import json
from typing import Any

import pytest

from tests.oscar.conftest import DATA, OWNER, OpenOscar, Oscar, returned

pytestmark = pytest.mark.asyncio(loop_scope="package")

PAGE = (DATA / "digits_page.png").read_bytes()
ECHO: dict[str, Any] = {"text": None, "number": 1, "floats": [0.5], "options": {}, "flag": False}


def png(key: str = "files") -> dict[str, Any]:
    return {"oscar-files": [{"key": key, "file_format": "png", "data": base64.b64encode(PAGE).decode()}]}


# Text, for those who ask for nothing


async def test_the_answer_is_the_log_and_the_python_text_of_the_value(oscar: Oscar) -> None:
    answer = await oscar.run("svc", {"number": 5, "mode": "print"})
    assert (answer.status, answer.type) == (200, "text/plain; charset=utf-8")
    *log, last, end = answer.text.split("\n")
    assert sorted(log) == ["on stderr", "on stdout"]
    assert last == f"return: { ({**ECHO, 'number': 5})!r}"
    assert end == ""
    assert float(answer.headers["X-Duration-Seconds"]) > 0
    assert "X-Modelport-Status" not in answer.headers


async def test_text_comes_whatever_the_content_type_of_the_request(oscar: Oscar) -> None:
    for content_type in ("application/json", "application/x-www-form-urlencoded", "text/plain", "image/png"):
        answer = await oscar.run("svc", b'{"number": 3}', headers={"Content-Type": content_type})
        assert answer.type == "text/plain; charset=utf-8"
        assert ast.literal_eval(returned(answer))["number"] == 3


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/json, text/plain, */*",  # axios, and so the dashboard
        "text/plain",
        "text/*;q=0.5, application/json;q=0.4",
        "application/json;q=0, */*",
    ],
)
async def test_nobody_gets_json_who_does_not_ask_for_it_first(oscar: Oscar, accept: str) -> None:
    answer = await oscar.run("svc", {}, headers={"Accept": accept})
    assert ast.literal_eval(returned(answer)) == ECHO


async def test_a_browser_gets_text(oscar: Oscar) -> None:
    accept = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
    assert returned(await oscar.run("digits", png(), headers={"Accept": accept})).startswith("[{'name': ")


async def test_a_value_that_is_a_file_comes_as_base64_on_one_line(oscar: Oscar) -> None:
    answer = await oscar.run("digits", {"accept": "image/png", **png()})
    assert (answer.status, answer.type) == (200, "text/plain; charset=utf-8")
    assert answer.headers["X-Modelport-Media-Type"] == "image/png"
    assert answer.text.endswith("\n")
    assert base64.b64decode(answer.text.strip(), validate=True).startswith(b"\x89PNG\r\n")
    assert answer.text.count("\n") == 1


# The pure answer, for those who ask for it


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Accept": "application/json"}, ""),
        ({"Accept": "application/json, */*;q=0.1"}, ""),
        ({"Accept": "application/*"}, ""),
        ({}, "?format=json"),
        ({}, "?format=application/json"),
        ({"Accept": "text/plain"}, "?format=json"),
    ],
)
async def test_real_json_on_request(oscar: Oscar, headers: dict[str, str], query: str) -> None:
    answer = await oscar.run("svc", {"floats": [1, 2]}, headers=headers, query=query)
    assert (answer.status, answer.type) == (200, "application/json")
    assert answer.json() == {**ECHO, "floats": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("media_type", "start"), [("image/png", b"\x89PNG\r\n"), ("application/pdf", b"%PDF-"), ("application/json", b"[{")]
)
async def test_each_media_type_of_the_model_on_request(oscar: Oscar, media_type: str, start: bytes) -> None:
    for headers, query in (({"Accept": media_type}, ""), ({}, f"?format={media_type}")):
        answer = await oscar.run("digits", png(), headers=headers, query=query)
        assert (answer.status, answer.type) == (200, media_type)
        assert answer.body.startswith(start)
    short = media_type.partition("/")[2]
    assert (await oscar.run("digits", png(), query=f"?format={short}")).type == media_type


async def test_format_text_wins_over_the_header(oscar: Oscar) -> None:
    answer = await oscar.run("svc", {}, headers={"Accept": "application/json"}, query="?format=text")
    assert returned(answer)


async def test_a_type_that_the_model_does_not_give_is_406(oscar: Oscar) -> None:
    for headers, query in (({"Accept": "audio/wav"}, ""), ({}, "?format=audio/wav"), ({}, "?format=nonsense")):
        answer = await oscar.run("digits", png(), headers=headers, query=query)
        assert (answer.status, answer.headers["X-Modelport-Status"]) == (406, "406")
    answer = await oscar.run("svc", {}, headers={"Accept": "image/png"})
    assert answer.status == 406
    assert "application/json" in answer.text


# Help


async def test_help_is_that_of_the_command_line(oscar: Oscar) -> None:
    for body in ({"help": ""}, {"help": "anything", "number": 3}, {"help": None}):
        answer = await oscar.run("svc", body)
        assert (answer.status, answer.type) == (200, "text/plain; charset=utf-8")
        assert answer.text.startswith("usage: deepaas-cli predict [-h]")
        assert "\n\noptions:\n  -h, --help\n          show this help message and exit\n" in answer.text
        assert "  --number NUMBER\n          Type: int\n          Default: 1\n" in answer.text
        assert '  --floats FLOATS\n          Type: list, enclosed as string: "[...]"\n' in answer.text
        assert "return: " not in answer.text


async def test_help_names_what_is_required(oscar: Oscar) -> None:
    text = (await oscar.run("digits", {"help": ""})).text
    assert "  --files FILES\n          One image with handwritten digits" in text
    assert "          Type: str (filepath)\n          *Required*\n" in text


async def test_help_wakes_no_worker(oscar_with: OpenOscar) -> None:
    opened = await oscar_with()
    token = await opened.deployed("cold")
    await opened.house.server.deployments.get("cold").wait_card()
    assert (await opened.run("cold", {"help": ""}, token=token)).status == 200
    assert opened.house.workers("cold") == []


# Failures


async def test_a_failure_carries_reason_and_log_and_no_return_line(oscar: Oscar) -> None:
    answer = await oscar.run("svc", {"mode": "raise"})
    assert (answer.status, answer.headers["X-Modelport-Status"]) == (500, "500")
    assert answer.type == "text/plain; charset=utf-8"
    assert answer.text.startswith("error 500 (model_failed): RuntimeError: the weights are gone\n")
    assert "before the end\n" in answer.text
    assert "return:" not in answer.text
    assert float(answer.headers["X-Duration-Seconds"]) > 0


async def test_a_value_that_the_model_refuses_is_422_and_says_which(oscar: Oscar) -> None:
    answer = await oscar.run("svc", {"number": 11})
    assert (answer.status, answer.headers["X-Modelport-Status"]) == (422, "422")
    assert "number: Must be greater than or equal to 0 and less than or equal to 10" in answer.text


async def test_a_worker_that_dies_is_500(oscar: Oscar) -> None:
    answer = await oscar.run("svc", {"mode": "die"})
    assert answer.status == 500
    assert "worker_lost" in answer.text
    assert (await oscar.run("svc", {})).status == 200


async def test_who_asks_for_json_gets_errors_in_json(oscar: Oscar) -> None:
    answer = await oscar.run("svc", {"number": "x"}, headers={"Accept": "application/json"})
    assert (answer.status, answer.type) == (422, "application/json")
    assert answer.json()["error"] == "invalid_arguments"
    assert answer.json()["fields"] == {"number": ["Not a valid integer."]}


async def test_a_call_over_its_time_is_504(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(predict_timeout_s=0.5)
    token = await opened.deployed("slow")
    answer = await opened.run("slow", {"seconds": 30}, token=token)
    assert (answer.status, answer.headers["X-Modelport-Status"]) == (504, "504")
    assert "time limit" in answer.text


async def test_run_ok_status_gives_the_platforms_200_and_the_truth_in_a_header(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(run_ok_status=True)
    token = await opened.deployed("old")
    for body, status in (({"number": 11}, "422"), ({"mode": "raise"}, "500"), (b"[1]", "400")):
        answer = await opened.run("old", body, token=token)
        assert (answer.status, answer.headers["X-Modelport-Status"]) == (200, status)
        assert answer.text.startswith(f"error {status} ")
        assert "return:" not in answer.text
    assert (await opened.run("old", {}, token="no")).status == 401
    answer = await opened.run("old", {"number": 11}, token=token, headers={"Accept": "application/json"})
    assert answer.status == 422


async def test_a_service_that_is_still_loading_is_502_with_retry_after(oscar_with: OpenOscar) -> None:
    loading = "import time\ntime.sleep(1.5)\nfrom marshmallow import fields\n"
    body = "def get_predict_args():\n    return {}\ndef predict(**arguments):\n    return 1\n"
    opened = await oscar_with(body, start_wait_s=5)
    slow = opened.house.folder / "slow.py"
    slow.write_text(loading + body)
    token = await opened.deployed("slow", module=str(slow))
    object.__setattr__(opened.house.server.settings, "start_wait_s", 0.05)
    answer = await opened.run("slow", {}, token=token)
    assert (answer.status, answer.headers["X-Modelport-Status"]) == (502, "502")
    assert int(answer.headers["Retry-After"]) > 0
    assert "still loading" in answer.text


async def test_a_service_that_cannot_load_is_no_502(oscar_with: OpenOscar) -> None:
    opened = await oscar_with()
    broken = opened.house.folder / "broken.py"
    broken.write_text("raise ImportError('no such library')")
    token = await opened.deployed("broken", module=str(broken))
    answer = await opened.run("broken", {}, token=token)
    assert answer.status == 500
    assert "no such library" in answer.text
    state = (await opened.system("GET", "/services/broken/deployment")).json()
    assert state["state"] == "failed"
    assert "no such library" in state["reason"]


async def test_a_full_queue_is_503_with_retry_after(oscar_with: OpenOscar) -> None:
    import asyncio

    opened = await oscar_with(queue_limit=0)
    token = await opened.deployed("busy")
    first = asyncio.create_task(opened.run("busy", {"seconds": 30}, token=token))
    await opened.house.wait_running(1, "busy")
    answer = await opened.run("busy", {}, token=token)
    assert (answer.status, answer.headers["X-Modelport-Status"]) == (503, "503")
    assert int(answer.headers["Retry-After"]) > 0
    first.cancel()


# Who may call


async def test_401_before_anything_else(oscar: Oscar) -> None:
    token = await oscar.token("svc")
    for header in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer short",
        f"Bearer {'0' * 64}",
        f"Bearer {token[:-1]}",
        f"Bearer {token}0",
        f"Token {token}",
        "Bearer a.b.c",
        OWNER,
        "Bearer \udcff",
    ):
        headers = {} if header is None else {"Authorization": header}
        try:
            answer = await oscar.house.post("/run/svc", data=b"not JSON at all {", headers=headers)
        except UnicodeEncodeError:
            continue
        assert (answer.status, answer.body) == (401, b""), header


async def test_the_token_of_another_service_is_401_and_so_is_a_service_that_is_not_there(oscar: Oscar) -> None:
    token = await oscar.token("digits")
    assert (await oscar.run("svc", {}, token=token)).status == 401
    assert (await oscar.run("nobody", {}, token=token)).status == 401
    assert (await oscar.run("nobody", {}, token="")).status == 401


async def test_404_only_for_the_owner_who_may_know(oscar: Oscar) -> None:
    owner = oscar.house.server.gateway.owner.token  # type: ignore[union-attr]
    assert (await oscar.run("nobody", {}, token=owner)).status == 404
    assert (await oscar.run("svc", {}, token=owner)).status == 200


async def test_only_post(oscar: Oscar) -> None:
    headers = {"Authorization": f"Bearer {await oscar.token('svc')}"}
    for method in ("GET", "PUT", "DELETE"):
        answer = await oscar.house.ask(method, "/run/svc", headers=headers)
        assert (answer.status, answer.text) == (404, "404 page not found")


async def test_final_slashes_and_queries_do_not_matter(oscar: Oscar) -> None:
    headers = {"Authorization": f"Bearer {await oscar.token('svc')}"}
    answer = await oscar.house.post("/run/svc/?x=1", data=json.dumps({"number": 2}), headers=headers)
    assert ast.literal_eval(returned(answer))["number"] == 2


async def test_a_switched_off_endpoint_says_so_in_what_the_client_reads(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(predict_endpoint=False)
    plain = await opened.house.post("/run/plugin", json={})
    asked = await opened.house.post("/run/plugin", json={}, headers={"Accept": "application/json"})
    assert (plain.status, asked.status) == (403, 403)  # 402 is for payments
    assert "switched off" in plain.text
    assert "switched off" in json.dumps(asked.json())

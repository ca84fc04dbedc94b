"""Defects of deepaas that the folder's own server shows mended; those that need a server of their own are next door."""

from __future__ import annotations

import io

import aiohttp
import pytest

from tests.house import PATIENCE_S, House

pytestmark = pytest.mark.asyncio(loop_scope="package")

TRAINER = "/v2/models/trainer/train/"


def upload(name: str, *contents: bytes) -> aiohttp.FormData:
    form_data = aiohttp.FormData()
    for content in contents:
        form_data.add_field(name, io.BytesIO(content), filename="a.txt")
    return form_data


async def test_d02_an_http_exception_with_a_reason_is_answered_and_so_is_the_next(server: House) -> None:
    for _ in range(2):
        answer = await server.predict({"mode": "bad_request", "text": "no"}, "failing")
        assert (answer.status, answer.reason, answer.text) == (400, "no", "400: no")
    # So is an exception that cannot be unpickled.
    assert [(await server.predict({"mode": "own"}, "failing")).status for _ in range(2)] == [500, 500]
    assert (await server.predict(None, "failing")).status == 200


@pytest.mark.parametrize("death", ["os_exit", "sys_exit", "interrupted", "killed"])
async def test_d03_a_worker_that_dies_is_answered_and_replaced(server: House, death: str) -> None:
    for _ in range(2):
        assert (await server.predict({"mode": death}, "failing")).status == 500
    assert (await server.predict(None, "failing")).status == 200


async def test_d05_cancelling_answers_with_the_cancelled_record(server: House) -> None:
    uuid = (await server.post(TRAINER, params={"mode": "sleep"})).json()["uuid"]
    answer = await server.ask("DELETE", TRAINER + uuid)
    assert (answer.status, answer.json()["status"]) == (200, "cancelled")
    assert (await server.get(TRAINER + uuid)).status == 404


async def test_d06_cancelling_a_queued_training_is_answered(server: House) -> None:
    first, second = [(await server.post(TRAINER, params={"mode": "sleep"})).json()["uuid"] for _ in range(2)]
    answer = await server.ask("DELETE", TRAINER + second)
    assert (answer.status, answer.json()["status"]) == (200, "cancelled")
    assert (await server.get(TRAINER + first)).json()["status"] == "running"
    await server.ask("DELETE", TRAINER + first)


async def test_d12_the_accept_header_is_negotiated_and_no_wildcard_reaches_the_plugin(server: House) -> None:
    for header in ("application/json, audio/wav", "*/*", "text/html, */*;q=0.1", "Application/JSON"):
        answer = await server.predict(None, "typed", headers={"Accept": header})
        assert (answer.status, answer.json()["predictions"]) == (200, "application/json")


async def test_d13_a_list_of_files_is_a_list(server: House) -> None:
    answer = await server.predict(name="files", data=upload("several", b"a", b"b"))
    assert [each["content"] for each in answer.json()["predictions"]["several"]] == ["a", "b"]


async def test_d15_a_file_argument_of_train_arrives(server: House) -> None:
    path = "/v2/models/files/train/"
    uuid = (await server.post(path, data=upload("one", b"content"))).json()["uuid"]
    await server.gateway.jobs.wait(uuid, PATIENCE_S)
    row = (await server.get(path + uuid)).json()
    assert (row["status"], row["result"]["output"]["content"]) == ("done", "content")


async def test_d18_a_500_says_what_happened(server: House) -> None:
    answer = await server.predict({"mode": "value_error"}, "failing")
    assert (answer.status, answer.text) == (500, "500: ValueError: what happened")


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", ""])
async def test_d19_an_empty_file_input_is_an_absent_argument(server: House, kind: str) -> None:
    head = 'Content-Disposition: form-data; name="one"; filename=""\r\n' + (f"Content-Type: {kind}\r\n" if kind else "")
    body = f"--b\r\n{head}\r\n\r\n--b--\r\n".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await server.predict({"mode": "types"}, "files", data=body, headers=headers)
    assert answer.json() == {"status": "OK", "predictions": {}}


async def test_d21_a_form_without_a_boundary_is_400(server: House) -> None:
    answer = await server.predict(name="files", data=b"x", headers={"Content-Type": "multipart/form-data"})
    assert answer.status == 400

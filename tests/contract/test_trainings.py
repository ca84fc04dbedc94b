"""The life of a training (contract, 2.7)."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.house import PATIENCE_S, House, alive, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="package")

TRAINER = "/v2/models/trainer/train/"
JSON = "application/json; charset=utf-8"
DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+"


async def start(server: House, path: str = TRAINER, **query: str) -> Any:
    answer = await server.post(path, params=query)
    assert (answer.status, answer.type) == (200, JSON), answer.text
    return answer.json()


async def look(server: House, uuid: str, path: str = TRAINER) -> Any:
    answer = await server.get(path + uuid)
    assert (answer.status, answer.type) == (200, JSON), answer.text
    return answer.json()


async def wait_ended(server: House, uuid: str, path: str = TRAINER) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while (row := await look(server, uuid, path))["status"] == "running":
            await asyncio.sleep(0.02)
    return row


async def listed(server: House, path: str = TRAINER) -> list[str]:
    answer = await server.get(path)
    assert (answer.status, answer.type) == (200, JSON)
    return [each["uuid"] for each in answer.json()]


async def forget_all(server: House, path: str = TRAINER) -> None:
    for each in await listed(server, path):
        await server.ask("DELETE", path + each)


async def test_a_training_answers_at_once_and_tells_its_arguments(server: House) -> None:
    row = await start(server, mode="sleep", seconds="30", when="2026-01-31", unknown="x")
    assert list(row) == ["date", "args", "uuid", "status"]
    assert re.fullmatch(DATE, row["date"])
    assert abs((datetime.now() - datetime.fromisoformat(row["date"])).total_seconds()) < PATIENCE_S
    assert row["args"] == {"mode": "sleep", "seconds": 30.0, "gate": "", "when": "2026-01-31"}
    assert re.fullmatch("[0-9a-f]{32}", row["uuid"])
    assert row["status"] == "running"
    assert await look(server, row["uuid"]) == row
    await forget_all(server)


async def test_a_training_that_ends_tells_its_result(server: House) -> None:
    row = await start(server)
    ended = await wait_ended(server, row["uuid"])
    assert {name: ended[name] for name in ("date", "args", "uuid")} == {
        name: row[name] for name in ("date", "args", "uuid")
    }
    assert ended["status"] == "done"
    assert list(ended["result"]) == ["output", "finish_date", "duration"]
    assert ended["result"]["output"] == {"accuracy": 0.5}
    assert re.fullmatch(DATE, ended["result"]["finish_date"])
    assert re.fullmatch(r"0:00:\d\d\.\d+", ended["result"]["duration"])


async def test_a_training_that_fails_tells_why(server: House) -> None:
    ended = await wait_ended(server, (await start(server, mode="fail"))["uuid"])
    assert (ended["status"], ended["message"], ended["error"]) == ("error", "it diverged", "RuntimeError")
    assert "result" not in ended


async def test_refused_arguments_are_422_and_no_training(server: House) -> None:
    before = await listed(server)
    answer = await server.post(TRAINER, params={"seconds": "x", "when": "y"})
    assert (answer.status, answer.json()) == (
        422,
        {"seconds": ["Not a valid number."], "when": ["Not a valid date."]},
    )
    assert await listed(server) == before


async def test_the_list_is_a_bare_array_in_the_order_of_the_start(server: House) -> None:
    await forget_all(server)
    assert (await server.get(TRAINER)).body == b"[]"
    uuids = [(await start(server))["uuid"] for _ in range(3)]
    for uuid in uuids:
        await wait_ended(server, uuid)
    assert await listed(server) == uuids
    rows = (await server.get(TRAINER)).json()
    assert rows[1] == await look(server, uuids[1])


async def test_an_ended_training_is_forgotten_by_delete(server: House) -> None:
    row = await wait_ended(server, (await start(server))["uuid"])
    answer = await server.ask("DELETE", TRAINER + row["uuid"])
    assert (answer.status, answer.type, answer.json()) == (200, JSON, row)
    for method in ("GET", "DELETE"):
        assert (await server.ask(method, TRAINER + row["uuid"])).status == 404
    assert row["uuid"] not in await listed(server)


async def test_the_unknown_is_404(server: House) -> None:
    for method in ("GET", "DELETE"):
        assert (await server.ask(method, TRAINER + "0" * 32)).status == 404
        assert (await server.ask(method, TRAINER + "%00%0d%0a")).status == 404
    assert (await server.get(TRAINER + "0" * 32 + "/")).status == 404


async def test_a_training_of_another_model_is_unknown(server: House) -> None:
    row = await start(server)
    assert (await server.get(f"/v2/models/files/train/{row['uuid']}")).status == 404
    assert (await server.ask("DELETE", f"/v2/models/files/train/{row['uuid']}")).status == 404
    await wait_ended(server, row["uuid"])


async def test_a_running_training_is_cancelled_with_its_processes(server: House, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    row = await start(server, mode="child", gate=str(gate))
    await wait_until(gate.exists)
    child = int(gate.read_text())
    answer = await server.ask("DELETE", TRAINER + row["uuid"])
    assert answer.status == 200
    assert answer.json() == {**row, "status": "cancelled"}
    await wait_until(lambda: not alive(child))
    assert (await server.get(TRAINER + row["uuid"])).status == 404


async def test_trainings_run_one_after_the_other_and_a_waiting_one_can_be_cancelled(
    server: House, tmp_path: Path
) -> None:
    gates = [tmp_path / "0", tmp_path / "1", tmp_path / "2"]
    rows = [await start(server, mode="wait", gate=str(gate)) for gate in gates]
    assert [row["status"] for row in rows] == ["running"] * 3
    gates[2].touch()
    answer = await server.ask("DELETE", TRAINER + rows[1]["uuid"])
    assert (answer.status, answer.json()["status"]) == (200, "cancelled")
    assert (await look(server, rows[2]["uuid"]))["status"] == "running"  # the first holds the only turn
    gates[0].touch()
    assert (await wait_ended(server, rows[0]["uuid"]))["status"] == "done"
    assert (await wait_ended(server, rows[2]["uuid"]))["status"] == "done"


async def test_a_training_cancelled_at_once_leaves_nothing(server: House) -> None:
    for _ in range(5):
        row = await start(server)
        answer = await server.ask("DELETE", TRAINER + row["uuid"])
        assert answer.json()["status"] in ("cancelled", "done")
    await wait_until(lambda: server.scratch() == [])


async def test_a_file_argument_is_shown_as_its_name_type_and_the_clients_name(server: House) -> None:
    path = "/v2/models/files/train/"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'Content-Disposition: form-data; name="one"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nabc'
    body = b"--b\r\n" + part + b"\r\n--b--\r\n"
    answer = await server.post(path, data=body, headers=headers)
    assert answer.json()["args"] == {"one": ["one", "text/plain", "a.txt"]}
    ended = await wait_ended(server, answer.json()["uuid"], path)
    assert ended["result"]["output"]["content"] == "abc"
    await wait_until(lambda: server.scratch() == [])

"""Values of a generator that runs as a job: as they come, and again for who comes again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.conftest import OpenHouse
from tests.house import House

SOURCE = Path(__file__).with_name("plugin.py").read_text()
LATER = {"Prefer": "respond-async"}


async def submit(house: House, **arguments: Any) -> str:
    answer = await house.post("/x", json=arguments, headers=LATER)
    assert answer.status == 202
    return f"/jobs/{answer.json()['id']}"


async def follow(house: House, path: str, last: str = "") -> list[dict[str, Any]]:
    """All events: id, event and data each."""
    answer = await house.get(f"{path}/events", headers={"Last-Event-ID": last} if last else {})
    found = []
    for block in answer.text.removesuffix("\n\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        if "data" in lines:
            found.append({**lines, "data": json.loads(lines["data"])})
    assert found[-1]["event"] == "state"
    return found


def values_of(events: list[dict[str, Any]]) -> list[tuple[int, Any]]:
    """(index, value) each."""
    return [(event["data"]["index"], event["data"]["value"]) for event in events if event["event"] == "value"]


async def test_a_job_tells_its_values_as_they_come_and_keeps_its_list(house: OpenHouse, tmp_path: Path) -> None:
    opened, gate = await house(SOURCE), tmp_path / "gate"
    path = await submit(opened, gate=str(gate))
    async with opened.session.get(f"{opened.url}{path}/events") as response:
        while b'"index":0' not in await response.content.readuntil(b"\n\n"):
            pass
        gate.touch()
        rest = await response.read()
    assert b'"index":1' in rest and b'"index":2' in rest and b'"status":"succeeded"' in rest
    listed = (await opened.get("/x")).json()["result"]
    result = await opened.get(f"{path}/result")
    assert result.body == json.dumps(listed, ensure_ascii=False).encode()
    assert values_of(await follow(opened, path)) == list(enumerate(listed))
    assert b"event: value" not in (await opened.get(f"{path}/events?values=0")).body


async def test_a_client_that_comes_again_gets_what_it_has_not_had(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    path = await submit(opened, number=100)
    await opened.gateway.jobs.wait(path.rpartition("/")[2], 30)
    events = await follow(opened, path)
    assert [index for index, _ in values_of(events)] == list(range(100))
    last = next(event["id"] for event in events if event["event"] == "value" and event["data"]["index"] == 41)
    again = await follow(opened, path, last)
    assert [index for index, _ in values_of(again)] == list(range(42, 100))
    assert int(again[0]["id"].partition(".")[0]) == int(last.partition(".")[0]) + 1


async def test_what_is_not_kept_any_more_is_admitted(house: OpenHouse) -> None:
    opened = await house(SOURCE, job_values_bytes=4096)
    path = await submit(opened, number=1000)
    await opened.gateway.jobs.wait(path.rpartition("/")[2], 30)
    events = await follow(opened, path)
    missed = next(event["data"]["events"] for event in events if event["event"] == "missed")
    values = values_of(events)
    assert 0 < len(values) < 100 and missed + len(values) == 1000 and values[-1][0] == 999
    assert len((await opened.get(f"{path}/result")).json()) == 1000


async def test_the_values_of_a_job_that_fails_are_there(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    path = await submit(opened, mode="raise")
    await opened.gateway.jobs.wait(path.rpartition("/")[2], 30)
    events = await follow(opened, path)
    assert [index for index, _ in values_of(events)] == [0, 1, 2]
    assert events[-1]["data"]["error"]["message"] == "ValueError: the film is torn"


async def test_a_second_attempt_tells_its_values_anew(house: OpenHouse, tmp_path: Path) -> None:
    opened, gate = await house(SOURCE), tmp_path / "gate"
    path = await submit(opened, gate=str(gate))
    async with opened.session.get(f"{opened.url}{path}/events") as response:
        while b'"index":0' not in await response.content.readuntil(b"\n\n"):
            pass
        os.kill(opened.workers()[0], signal.SIGKILL)
        while b'"attempt":2,"index":0' not in await response.content.readuntil(b"\n\n"):
            pass
        gate.touch()
        assert b'"attempt":2,"index":2' in await response.read()
    last = "9.1.1"  # of the first attempt
    assert [index for index, _ in values_of(await follow(opened, path, last))] == [0, 1, 2]


async def test_a_value_that_is_too_large_to_be_kept_is_in_the_result(house: OpenHouse) -> None:
    opened = await house(SOURCE, inline_limit_bytes=1000)
    path = await submit(opened, number=2, size=2000)
    await opened.gateway.jobs.wait(path.rpartition("/")[2], 30)
    events = await follow(opened, path)
    assert [event["data"] for event in events if event["event"] == "missed"] == [{"events": 1}] * 2
    assert (await opened.get(f"{path}/result")).json() == ["x" * 2000] * 2


async def test_values_are_not_among_the_events_of_all_jobs(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    async with opened.session.get(f"{opened.url}/events") as response:
        await response.content.readuntil(b"\n\n")
        await submit(opened)
        said = b""
        while b'"status":"succeeded"' not in said:
            said += await response.content.readuntil(b"\n\n")
    assert b"event: value" not in said


async def test_without_room_for_them_nothing_is_told(house: OpenHouse) -> None:
    opened = await house(SOURCE, job_values_bytes=0)
    path = await submit(opened)
    await opened.gateway.jobs.wait(path.rpartition("/")[2], 30)
    assert {event["event"] for event in await follow(opened, path)} == {"state"}
    assert len((await opened.get(f"{path}/result")).json()) == 3


async def test_a_job_whose_generator_gives_bytes_has_them_joined(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    path = await submit(opened, mode="bytes")
    await opened.gateway.jobs.wait(path.rpartition("/")[2], 30)
    assert (await opened.get(f"{path}/result")).body == b"onetwo"
    assert values_of(await follow(opened, path)) == []


async def test_a_job_that_never_ends_is_cancelled(house: OpenHouse, tmp_path: Path) -> None:
    opened, trace = await house(SOURCE), tmp_path / "trace"
    path = await submit(opened, mode="endless", trace=str(trace))
    async with opened.session.get(f"{opened.url}{path}/events") as response:
        while b"event: value" not in await response.content.readuntil(b"\n\n"):
            pass
        assert (await opened.post(f"{path}/cancel")).json()["status"] == "cancelled"
        assert b'"status":"cancelled"' in await response.read()
    assert trace.read_text().endswith("closed\n")

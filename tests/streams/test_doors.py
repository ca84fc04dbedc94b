"""Values as they come, at every front end that streams: the same values by each, and the same words where they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from modelport.contract.prediction import Call
from modelport.http.streaming import open_stream
from tests.house import SOON_S, House, open_house, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = Path(__file__).with_name("plugin.py").read_text()
ACCEPTING = """
from marshmallow import fields, validate
def get_predict_args():
    types = validate.OneOf({types})
    return {{"accept": fields.Str(load_default="application/json", metadata={{"location": "headers"}}, validate=types)}}
def predict(accept):
    return iter([accept, 2]) if accept == "application/json" else accept
"""
EVENTS, LINES = "text/event-stream", "application/x-ndjson"
DOORS = ["/x", "/v2/models/x/predict/", "/run/x"]
FORMS = [EVENTS, LINES, "application/jsonl"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    sources = {
        "x": SOURCE,
        "typed": ACCEPTING.format(types=["application/json", "text/plain"]),
        "own": ACCEPTING.format(types=[EVENTS, "application/json"]),
        "image": ACCEPTING.format(types=["image/png"]),
    }
    async with open_house(tmp_path_factory.mktemp("streams"), sources, workers=2) as house:
        yield house


def sent(arguments: dict[str, Any], path: str) -> dict[str, Any]:
    """As each front end reads arguments."""
    return {"params": arguments} if path.startswith("/v2") else {"json": arguments}


async def ask(house: House, path: str, accept: str, **arguments: Any) -> Any:
    return await house.post(path, headers={"Accept": accept}, **sent(arguments, path))


def events_of(body: bytes) -> list[tuple[str, Any]]:
    """(event, data) each."""
    assert body.endswith(b"\n\n")
    found = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if lines:
            found.append((lines.get("event", "message"), json.loads(lines["data"])))
    return found


def told(body: bytes, form: str) -> tuple[list[Any], Any]:
    """The values, and the failure where there is one."""
    if form == EVENTS:
        *values, last = events_of(body)
        assert all(event == "message" for event, _ in values)
        assert last[0] == "failed" or last == ("end", {"values": len(values)})
        return [value for _, value in values], last[1] if last[0] == "failed" else None
    lines = [json.loads(line) for line in body.splitlines()]
    assert not body or body.endswith(b"\n")
    if lines and isinstance(lines[-1], dict) and "error" in lines[-1]:
        return lines[:-1], lines[-1]["error"]
    return lines, None


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("form", FORMS)
async def test_every_front_end_streams_what_its_list_has(opened: House, path: str, form: str) -> None:
    answer = await ask(opened, path, form)
    assert (answer.status, answer.type) == (200, f"{form}; charset=utf-8")
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-cache", "no")
    listed = await ask(opened, "/x", "application/json")
    assert told(answer.body, form) == (listed.json()["result"], None)


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", f"application/json, {EVENTS}", f"{EVENTS};q=0"])
async def test_without_the_wish_the_list_is_what_it_was(opened: House, accept: str) -> None:
    answer = await ask(opened, "/x", accept)
    row = b'{"index": %d, "\xc3\xa9": [1.5, null]}'
    assert answer.body == b'{"result": [' + b", ".join(row % index for index in range(3)) + b"]}"


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("form", FORMS)
async def test_the_first_value_is_there_while_the_second_is_made(
    opened: House, tmp_path: Path, path: str, form: str
) -> None:
    arguments, gate = {"gate": str(tmp_path / "gate")}, tmp_path / "gate"
    async with opened.session.post(
        f"{opened.url}{path}", headers={"Accept": form}, **sent(arguments, path)
    ) as response:
        first = await response.content.readuntil(b"\n\n" if form == EVENTS else b"\n")
        assert b'"index": 0' in first
        gate.touch()
        assert b'"index": 2' in await response.read()


@pytest.mark.parametrize("form", [EVENTS, LINES])
@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("raise", "model_failed", "ValueError: the film is torn"),
        ("unsayable", "model_failed", "answer[3] is a type, which JSON cannot express"),
        ("die", "worker_lost", "the worker process ended during the call"),
    ],
)
async def test_what_goes_wrong_in_the_middle_is_the_last_event(
    opened: House, form: str, mode: str, kind: str, words: str
) -> None:
    answer = await ask(opened, "/x", form, mode=mode)
    values, failure = told(answer.body, form)
    assert (answer.status, len(values)) == (200, 3)
    assert failure["kind"] == kind and words in failure["message"]


@pytest.mark.parametrize(("path", "status"), list(zip(DOORS, (500, 500, 500), strict=True)))
async def test_what_goes_wrong_before_the_first_value_is_answered_as_ever(
    opened: House, path: str, status: int
) -> None:
    answer = await ask(opened, path, EVENTS, mode="refuse")
    assert answer.status == status and EVENTS not in answer.type and "no such breed" in answer.text
    refused = await ask(opened, path, EVENTS, number="many")
    assert refused.status in (400, 422) and EVENTS not in refused.type


@pytest.mark.parametrize("form", [EVENTS, LINES])
async def test_a_generator_without_values_ends_at_once(opened: House, form: str) -> None:
    assert told((await ask(opened, "/x", form, number=0)).body, form) == ([], None)


@pytest.mark.parametrize("form", [EVENTS, LINES])
async def test_an_answer_that_is_not_a_generators_is_one_value(opened: House, form: str) -> None:
    assert told((await ask(opened, "/x", form, mode="plain")).body, form) == ([{"not": "a generator"}], None)
    large = await ask(opened, "/x", form, mode="large", size=3 << 20)
    assert told(large.body, form) == (["x" * (3 << 20)], None)


@pytest.mark.parametrize("size", [0, 1 << 20])
@pytest.mark.parametrize("form", [EVENTS, LINES])
async def test_a_file_of_json_that_is_laid_out_in_lines_is_one_value(opened: House, form: str, size: int) -> None:
    answer = await ask(opened, "/x", form, mode="laid out", size=size)
    assert told(answer.body, form) == ([{"not": "a generator"}], None)


@pytest.mark.parametrize("mode", ["image", "bytes"])
@pytest.mark.parametrize("path", DOORS)
async def test_bytes_are_refused(opened: House, path: str, mode: str) -> None:
    answer = await ask(opened, path, EVENTS, mode=mode)
    assert answer.status == 406 and "cannot be sent as a stream" in answer.text
    assert (await ask(opened, "/x", "*/*", mode="bytes")).body == b"onetwo"


async def test_a_model_with_accept_is_asked_for_json(opened: House) -> None:
    assert told((await ask(opened, "/typed", EVENTS)).body, EVENTS) == (["application/json", 2], None)
    assert (await ask(opened, "/image", EVENTS)).status == 406


async def test_a_model_that_answers_in_that_type_itself_does_so(opened: House) -> None:
    assert (await ask(opened, "/own", EVENTS)).body == EVENTS.encode()


async def test_a_browser_that_comes_again_after_the_end_is_told_to_stay_away(opened: House) -> None:
    answer = await opened.get("/x", headers={"Accept": EVENTS, "Last-Event-ID": "3"})
    assert (answer.status, answer.body) == (204, b"")


async def test_silence_is_filled_with_what_clients_pass_over(
    opened: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(opened.server.settings), "heartbeat_s", 0.01)
    for form, beat in ((EVENTS, b"\n:\n\n"), (LINES, b"\n  ")):
        gate = tmp_path / form.replace("/", "-")
        async with opened.session.post(
            f"{opened.url}/x", headers={"Accept": form}, json={"gate": str(gate)}
        ) as response:
            said = b""
            while beat not in said:
                said += await response.content.readany()
            gate.touch()
            said += await response.read()
        assert len(told(said, form)[0]) == 3


async def test_a_client_of_http_1_0_reads_until_the_end(opened: House) -> None:
    said = await opened.raw(b"GET /x HTTP/1.0\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n")
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower() and len(body.splitlines()) == 3


@pytest.mark.parametrize("form", [EVENTS, LINES])
async def test_values_of_a_megabyte_pass(opened: House, form: str) -> None:
    size = (1 << 20) - 2  # with its quotation marks, inline_limit_bytes
    values, failure = told((await ask(opened, "/x", form, number=5, size=size)).body, form)
    assert failure is None and [len(value) for value in values] == [size] * 5


async def test_a_larger_value_is_refused_with_the_setting_that_limits_it(opened: House) -> None:
    answer = await ask(opened, "/x", EVENTS, number=1, size=1 << 20)
    assert answer.status == 500 and "inline_limit_bytes" in answer.text


# Clients that leave, and other ends


async def begun(house: House, **arguments: Any) -> aiohttp.ClientResponse:
    """The answer to a call, whose first value has come."""
    response = await house.session.post(f"{house.url}/x", json=arguments, headers={"Accept": EVENTS})
    assert (await response.content.readuntil(b"\n\n")).startswith(b"id: 1\n")
    return response


async def test_a_client_that_leaves_has_the_generator_closed_and_the_worker_stays(
    opened: House, tmp_path: Path
) -> None:
    trace, before = tmp_path / "trace", sorted(opened.workers())
    response = await begun(opened, mode="endless", trace=str(trace))
    response.close()
    await opened.wait_running(0)
    assert trace.read_text().endswith("closed\n")
    assert sorted(opened.workers()) == before
    assert told((await ask(opened, "/x", LINES)).body, LINES)[1] is None


async def test_a_generator_that_does_not_end_when_it_is_closed_is_killed(opened: House) -> None:
    before = opened.workers()
    response = await begun(opened, mode="stubborn", number=10**9)
    response.close()
    await wait_until(lambda: opened.counts().workers == 2 and opened.workers() != before)
    assert told((await ask(opened, "/x", LINES)).body, LINES)[1] is None


async def test_many_leave_and_large_calls_come_between(opened: House) -> None:
    large = "x" * (200 << 10)

    async def leave(number: int) -> None:
        response = await begun(opened, mode="count", number=1 + number % 40)
        response.close()

    for number in range(40):
        await leave(number)
        answer = await opened.post("/x", json={"mode": "plain", "trace": "", "gate": large})
        assert answer.json() == {"result": {"not": "a generator"}}


async def test_a_worker_that_is_killed_in_the_middle_ends_the_stream(opened: House) -> None:
    response = await begun(opened, mode="endless")
    for pid in opened.workers():
        os.kill(pid, signal.SIGKILL)
    values, failure = told(b"id: 1\ndata: 0\n\n" + await response.read(), EVENTS)
    assert values and failure["kind"] == "worker_lost"
    await opened.wait_workers(2)


async def test_a_deadline_ends_the_stream(tmp_path: Path) -> None:
    async with open_house(tmp_path, SOURCE, predict_timeout_s=1) as house:
        answer = await ask(house, "/x", LINES, mode="endless", gate=str(tmp_path / "never"))
        values, failure = told(answer.body, LINES)
        assert len(values) == 1 and failure["kind"] == "deadline_exceeded"


async def test_a_server_that_stops_waits_for_values_on_their_way(tmp_path: Path) -> None:
    async with open_house(tmp_path, SOURCE) as house:
        predictions = house.gateway.predictions
        async with predictions.scratch() as scratch:
            call = Call(scratch.id, arguments={}, scratch=scratch.folder)
            async with open_stream(house.gateway, house.gateway.deployments.get("x"), call) as values:
                assert len([value async for value in values]) == 3
                drain = asyncio.create_task(predictions.drain(30))
                done, _ = await asyncio.wait({drain}, timeout=0.05)
                assert not done
        await asyncio.wait_for(drain, SOON_S)


async def test_a_server_that_stops_ends_the_stream_with_a_word(tmp_path: Path) -> None:
    async with open_house(tmp_path, SOURCE) as house:
        response = await begun(house, mode="endless", gate=str(tmp_path / "never"))
        stopping = asyncio.create_task(house.server.stop(0))
        assert events_of(await response.read())[-1] == (
            "failed",
            {"kind": "cancelled", "message": "the server is stopping"},
        )
        await stopping

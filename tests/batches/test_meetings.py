"""Where a plugin's own files, `accept`, prints and progress meet in one batch."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp

from modelport.contract.prediction import Call, Outcome
from modelport.testing.bench import Heard
from tests.batches.conftest import SOURCE, OpenQueue
from tests.batches.test_calls import told
from tests.conftest import OpenHouse
from tests.house import House, wait_until

ACCEPT = """
import tempfile, time, os
from marshmallow import fields, validate
TYPES = ["application/json", "text/plain", "image/png"]
def get_predict_args():
    return {
        "accept": fields.Str(load_default=TYPES[0], validate=validate.OneOf(TYPES), metadata={"location": "headers"}),
        "value": fields.Str(load_default=""),
        "path": fields.Str(load_default=""),
    }
def predict(**arguments): return predict_batch([arguments])[0]
def predict_batch(calls):
    for call in calls:
        while call["path"] and not os.path.exists(call["path"]):
            time.sleep(0.005)
    if calls[0]["accept"] == "text/plain":
        return [as_file(calls, call) for call in calls]
    if calls[0]["accept"] == "image/png":
        return [b"\\x89PNG\\r\\n\\x1a\\n" + call["value"].encode() for call in calls]
    return [{"value": call["value"], "by": len(calls)} for call in calls]
def as_file(calls, call):
    if call["value"].startswith("echo "):
        return call["value"][5:]
    if call["value"] == "another's":
        return files[0]
    with tempfile.NamedTemporaryFile("w", delete=False, suffix=".txt") as file:
        file.write("%s of %d" % (call["value"], len(calls)))
    files.append(file.name)
    return file.name
files = []
"""


async def together(house: House, calls: list[Call], watchers: list[Heard | None]) -> list[Outcome]:
    deployment = house.server.deployments.get("x")
    first = house.server.predictions.scratch()
    gate = house.folder / "gate"
    held = Call(first.id, arguments={"mode": "wait", "path": str(gate)}, scratch=first.folder)
    tasks = [asyncio.create_task(house.server.predictions.run(deployment, held))]
    await house.wait_running(1)
    for call, watcher in zip(calls, watchers, strict=True):
        tasks.append(asyncio.create_task(house.server.predictions.run(deployment, call, watcher)))
        await house.wait_queued(len(tasks) - 1)
    gate.touch()
    return (await asyncio.gather(*tasks))[1:]


def make_call(house: House, **arguments: object) -> Call:
    scratch = house.server.predictions.scratch()
    return Call(scratch.id, arguments=dict(arguments), scratch=scratch.folder)


async def test_each_call_has_what_the_batch_prints_and_hears_how_far_it_is(house: OpenHouse) -> None:
    opened = await house(SOURCE, workers=1)
    calls = [make_call(opened, value=number) for number in range(2)]
    heard = [Heard(), Heard()]
    outcomes = await together(opened, calls, [*heard])
    for outcome, watcher in zip(outcomes, heard, strict=True):
        assert outcome.log == watcher.text == b"[batch of 2]\n0 1\n"
        assert watcher.told == [(0.5, "with 2")]
        assert outcome.batch == 2
        assert {"queue", "validate", "predict", "encode"} <= set(outcome.timings)
    # The first has waited longer, and what the model does takes as long for both.
    first, second = (outcome.timings for outcome in outcomes)
    assert first["queue"] > second["queue"] and first["predict"] == second["predict"]


async def test_a_call_that_runs_by_itself_has_no_mark(house: OpenHouse) -> None:
    opened = await house(SOURCE, workers=1)
    watcher = Heard()
    call = make_call(opened, value="alone")
    outcome = await opened.server.predictions.run(opened.server.deployments.get("x"), call, watcher)
    assert (outcome.log, watcher.text, outcome.batch) == (b"alone\n", b"alone\n", 1)


async def test_the_text_of_an_answer_is_that_of_its_value(house: OpenHouse) -> None:
    opened = await house(SOURCE, workers=1)
    call = make_call(opened, value=True)
    call.text = True
    outcome = await opened.server.predictions.run(opened.server.deployments.get("x"), call)
    assert outcome.text == "{'value': True, 'by': 1}"


async def test_only_to_look_at_arguments_runs_nothing(house: OpenHouse) -> None:
    opened = await house(SOURCE, workers=1)
    call = make_call(opened, value="seen")
    call.only_validate = True
    outcome = await opened.server.predictions.run(opened.server.deployments.get("x"), call)
    assert json.loads(outcome.body)["value"] == "seen" and outcome.batch == 0


async def test_each_call_has_its_own_files(line: OpenQueue) -> None:
    opened = await line()
    held = await opened.hold()
    tasks = []
    for number in range(3):
        form = aiohttp.FormData()
        form.add_field("file", f"content {number}".encode(), filename="same.txt")
        tasks.append(opened.start("read", data=form))
        await opened.house.wait_queued(number + 1)
    opened.release()
    assert [told(await task) for task in tasks] == [(f"content {number}", 3) for number in range(3)]
    await held


async def test_the_files_of_a_client_that_leaves_stay_as_long_as_the_batch(line: OpenQueue) -> None:
    opened = await line()
    held = await opened.hold()
    second = opened.gate.with_name("second")
    (waiting,) = await opened.wait("wait", path=second)
    form = aiohttp.FormData()
    form.add_field("file", b"content", filename="same.txt")
    leaving = opened.start("read", data=form)
    await opened.house.wait_queued(2)
    opened.release()
    await held
    await opened.house.wait_queued(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    second.touch()
    # Had its file gone, reading it would have failed, and the batch with it.
    assert told(await waiting) == ("0", 2)
    await wait_until(lambda: not opened.house.scratch())


async def test_what_a_batch_leaves_in_its_temporary_folder_goes_with_it(line: OpenQueue) -> None:
    opened = await line()
    answers = await opened.together("temporary", "temporary")
    folders = {told(answer)[0] for answer in answers}
    assert len(folders) == 1 and not Path(str(folders.pop())).exists()
    await wait_until(lambda: not opened.house.scratch())


async def ask(opened: House, gate: Path, *asked: tuple[str, str]) -> list[tuple[str, str]]:
    """(accept, value) → (media type, body), of calls that wait together."""
    held = asyncio.create_task(opened.post("/x", params={"path": str(gate)}))
    await opened.wait_running(1)
    tasks = []
    for accept, value in asked:
        tasks.append(asyncio.create_task(opened.post("/x", params={"value": value}, headers={"Accept": accept})))
        await opened.wait_queued(len(tasks))
    gate.touch()
    answers = await asyncio.gather(*tasks)
    assert (await held).status == 200
    return [(answer.type.partition(";")[0], answer.body.decode(errors="replace")) for answer in answers]


async def test_calls_that_ask_for_different_types_run_in_different_batches(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(ACCEPT, workers=1)
    json_type, text, png = "application/json", "text/plain", "image/png"
    answers = await ask(
        opened, tmp_path / "gate", (json_type, "a"), (text, "b"), (png, "c"), (json_type, "d"), (text, "e")
    )
    assert [json.loads(answers[place][1])["result"] for place in (0, 3)] == [
        {"value": "a", "by": 2},
        {"value": "d", "by": 2},
    ]
    assert [answers[place] for place in (1, 4)] == [(text, "b of 2"), (text, "e of 2")]
    assert answers[2][0] == png and answers[2][1].endswith("c")


async def test_a_client_that_names_anothers_file_of_the_batch_gets_it_not(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(ACCEPT, workers=1)
    scratch = opened.server.predictions.scratch()
    # The name of a scratch folder can be guessed by nobody; here it is known.
    prefix = scratch.folder[: -len("00000000")]
    number = int(scratch.id[-8:], 16)
    guesses = [f"echo {prefix}{number + more:08x}/batch" for more in range(1, 9)]
    answers = await ask(
        opened, tmp_path / "gate", ("text/plain", "secret"), *(("text/plain", guess) for guess in guesses)
    )
    assert answers[0] == ("text/plain", "secret of 9")
    assert [body for _, body in answers[1:]] == [guess[5:] for guess in guesses]

"""Trainings: accepted, waiting for their turn, ended, forgotten, and found again by the next server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelport.contract.prediction import Call, InputFile, Status
from modelport.errors import Cancelled, Interrupted, InvalidArguments, NotFound, Overloaded
from modelport.jobs.trainings import Training
from tests.conftest import OpenHouse
from tests.house import PATIENCE_S, House, Spawned, open_house, spawned_house, wait_until

SOURCE = """
import os, time
import modelport
from marshmallow import fields
from tqdm import tqdm
def get_train_args():
    return {
        "gate": fields.Str(load_default=""),
        "n": fields.Int(),
        "mode": fields.Str(load_default=""),
        "file": fields.Raw(metadata={"type": "file", "location": "form"}),
    }
def train(gate, mode, file=None, **k):
    print("training begins", flush=True)
    if mode == "bar":
        with tqdm(total=4, desc="epochs") as bar:
            bar.update(1)
            bar.refresh()
            wait(gate)
            bar.update(3)
        return "done"
    if mode == "count":
        bar = tqdm(desc="rows")
        bar.update(7)
        bar.refresh()
        wait(gate)
        return "done"
    modelport.progress(0.5, "half way")
    wait(gate)
    if mode == "fail":
        raise ValueError("diverged")
    if mode == "large":
        return "x" * 3_000_000
    if mode == "die":
        os._exit(3)
    if file is not None:
        return open(file.filename).read()
    return {"accuracy": 0.5}
def wait(gate):
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
"""


async def start(house: House, files: dict[str, str] | None = None, **arguments: Any) -> Training:
    """files: content by argument."""
    scratch = house.server.predictions.scratch()
    scratch.make()
    uploads = []
    for name, content in (files or {}).items():
        (scratch.path / name).write_text(content)
        uploads.append(InputFile(name, str(scratch.path / name), name, "text/plain", f"{name}.txt"))
    call = Call(scratch.id, method="train", arguments=arguments, files=uploads, scratch=str(scratch.path))
    return await house.gateway.trainings.start(house.server.deployments.get("x"), call, scratch)


async def look(house: House, training: Training) -> Training:
    return await house.gateway.trainings.get("x", training.job.id)


async def until(house: House, training: Training, condition: Callable[[Training], bool]) -> Training:
    async with asyncio.timeout(PATIENCE_S):
        while not condition(now := await look(house, training)):
            await asyncio.sleep(0.01)
    return now


async def ended(house: House, training: Training) -> Training:
    job = await house.gateway.jobs.wait(training.job.id, PATIENCE_S)
    assert job.status.final
    return await look(house, training)


async def ids(house: House) -> list[str]:
    return [each.job.id for each in await house.gateway.trainings.list("x")]


async def test_a_training_runs_tells_its_progress_and_succeeds(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = tmp_path / "gate"
    training = await start(opened, gate=str(gate), n="3")
    assert training.job.arguments == {"gate": str(gate), "n": 3, "mode": ""}
    running = await until(opened, training, lambda now: now.job.fraction == 0.5)
    assert (running.job.status, running.job.message, running.result) == (Status.RUNNING, "half way", None)
    gate.touch()
    done = await ended(opened, training)
    assert (done.job.status, done.job.error, done.result) == (Status.SUCCEEDED, None, b'{"accuracy": 0.5}')
    assert done.job.finished is not None and done.job.finished > done.job.created
    assert await opened.gateway.jobs.log(training.job.id) == b"training begins\n"
    await wait_until(lambda: opened.scratch() == [])


@pytest.mark.parametrize(("mode", "told"), [("fail", "ValueError: diverged"), ("die", "exit status 3")])
async def test_a_training_that_fails_says_why_and_is_not_run_again(house: OpenHouse, mode: str, told: str) -> None:
    opened = await house(SOURCE)
    training = await ended(opened, await start(opened, mode=mode))
    assert (training.job.status, training.job.attempt) == (Status.FAILED, 1)
    assert training.job.error is not None and told in training.job.error.message
    assert (await opened.gateway.jobs.log(training.job.id)).startswith(b"training begins\n")
    await wait_until(lambda: opened.scratch() == [])


async def test_a_large_result_is_kept_in_a_file(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    training = await ended(opened, await start(opened, mode="large"))
    assert training.result == b'"' + b"x" * 3_000_000 + b'"'
    assert (await opened.gateway.trainings.list("x"))[0] == training


async def test_its_files_are_kept_until_its_turn_and_shown_by_name(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = tmp_path / "gate"
    first = await start(opened, gate=str(gate))
    second = await start(opened, {"file": "content"})
    assert second.job.arguments["file"] == ["file", "text/plain", "file.txt"]
    await until(opened, first, lambda now: now.job.status is Status.RUNNING)
    gate.touch()
    assert (await ended(opened, second)).result == b'"content"'
    await opened.gateway.trainings.cancel("x", second.job.id)
    assert list((opened.home / "jobs").iterdir()) == []


async def test_arguments_however_large_are_shown_in_the_list(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    training = await ended(opened, await start(opened, mode="y" * 200_000))
    assert await opened.gateway.trainings.list("x") == [training]
    assert training.job.arguments["mode"] == "y" * 200_000


async def test_refused_arguments_start_nothing_and_leave_nothing(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    with pytest.raises(InvalidArguments):
        await start(opened, {"file": "content"}, n="x")
    assert await opened.gateway.trainings.list("x") == []
    await wait_until(lambda: opened.scratch() == [])


async def test_they_take_turns_in_order(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, max_trainings=2)
    gate = tmp_path / "gate"
    three = [await start(opened, gate=str(gate)) for _ in range(3)]
    for each in three[:2]:
        await until(opened, each, lambda now: now.job.fraction == 0.5)
    assert (await look(opened, three[2])).job.status is Status.QUEUED
    gate.touch()
    for each in three:
        assert (await ended(opened, each)).job.status is Status.SUCCEEDED
    assert await ids(opened) == [each.job.id for each in three]


async def test_more_than_may_run_or_wait_are_refused(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, queue_limit=1)
    gate = tmp_path / "gate"
    two = [await start(opened, gate=str(gate)) for _ in range(2)]
    with pytest.raises(Overloaded):
        await start(opened)
    gate.touch()
    for each in two:
        await ended(opened, each)
    await start(opened)
    await wait_until(lambda: opened.scratch() == [])


async def test_of_many_at_once_no_more_are_taken_than_may_run_or_wait(house: OpenHouse) -> None:
    opened = await house(SOURCE, queue_limit=3)
    answers = await asyncio.gather(*(start(opened, gate="/never") for _ in range(10)), return_exceptions=True)
    assert [isinstance(answer, Training) for answer in answers].count(True) == 4
    assert {type(answer) for answer in answers} == {Training, Overloaded}


async def test_cancelled_means_stopped_and_forgotten(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    trainings = opened.gateway.trainings
    running, waiting = await start(opened, gate="/never"), await start(opened, {"file": "x"}, gate="/never")
    await until(opened, running, lambda now: now.job.fraction == 0.5)
    for training in (waiting, running, await start(opened, gate="/never")):
        cancelled = (await trainings.cancel("x", training.job.id)).job
        assert cancelled.status is Status.CANCELLED and isinstance(cancelled.error, Cancelled)
        for ask in (trainings.get, trainings.cancel):
            with pytest.raises(NotFound):
                await ask("x", training.job.id)
    await wait_until(lambda: opened.scratch() == [])
    assert list((opened.home / "jobs").iterdir()) == []
    assert await trainings.list("x") == []


async def test_a_training_is_one_of_its_model_and_no_prediction_is_one(house: OpenHouse) -> None:
    predicting = "def get_predict_args(): return {}\ndef predict(): return 1\n"
    opened = await house({"x": SOURCE + predicting, "y": SOURCE})
    training = await ended(opened, await start(opened))
    deployment = opened.server.deployments.get("x")
    prediction, _ = await opened.gateway.jobs.submit(deployment, Call("p"), source="plain")
    await opened.gateway.jobs.wait(prediction.id, PATIENCE_S)
    for deployment_name, uuid in (("y", training.job.id), ("x", prediction.id), ("x", "../../x"), ("x", "0" * 32)):
        for ask in (opened.gateway.trainings.get, opened.gateway.trainings.cancel):
            with pytest.raises(NotFound):
                await ask(deployment_name, uuid)
    assert await ids(opened) == [training.job.id]
    assert await opened.gateway.trainings.list("y") == []


async def test_the_oldest_ended_ones_are_forgotten_but_none_that_runs(house: OpenHouse) -> None:
    opened = await house(SOURCE, kept_trainings=2, max_trainings=2)
    running = await start(opened, gate="/never")
    others = [await ended(opened, await start(opened)) for _ in range(4)]
    kept = [running.job.id, *(each.job.id for each in others[-2:])]
    assert await ids(opened) == kept
    with pytest.raises(NotFound):
        await look(opened, others[0])


async def test_the_oldest_are_forgotten_though_nobody_asks(house: OpenHouse) -> None:
    opened = await house(SOURCE, kept_trainings=1)
    three = [await ended(opened, await start(opened)) for _ in range(3)]
    async with asyncio.timeout(PATIENCE_S):
        while await opened.gateway.jobs.count(["x"]) > 1:
            await asyncio.sleep(0.01)
    assert (await look(opened, three[-1])).job.id == three[-1].job.id


# Live progress, as clients of DEEPaaS see it


async def train(house: House, **query: str) -> str:
    answer = await house.post("/v2/models/x/train/", params=query)
    assert answer.status == 200, answer.text
    return str(answer.json()["uuid"])


async def document(house: House, uuid: str) -> dict[str, Any]:
    answer = await house.get(f"/v2/models/x/train/{uuid}")
    assert answer.status == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("mode", "fraction", "message"), [("bar", 0.25, "epochs 1/4 ["), ("count", None, "rows 7it [")]
)
async def test_a_progress_bar_of_tqdm_is_the_progress_of_its_training(
    house: OpenHouse, tmp_path: Path, mode: str, fraction: float | None, message: str
) -> None:
    opened = await house(SOURCE)
    gate = tmp_path / "gate"
    uuid = await train(opened, mode=mode, gate=str(gate))
    async with asyncio.timeout(PATIENCE_S):
        while message not in (row := await document(opened, uuid)).get("progress", {}).get("message", ""):
            await asyncio.sleep(0.01)
    assert (row["status"], row["progress"].get("fraction")) == ("running", fraction)
    gate.touch()
    await opened.gateway.jobs.wait(uuid, PATIENCE_S)
    done = await document(opened, uuid)
    assert (done["status"], done["result"]["output"], "progress" in done) == ("done", "done", False)
    log = (await opened.gateway.jobs.log(uuid)).decode()
    assert log.startswith("training begins\n") and log.count("%|") <= 1


# Another server on the same home


async def test_the_next_server_finds_them(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with open_house(tmp_path, SOURCE) as first:
        done = await ended(first, await start(first, {"file": "content"}, n=3))
        large = await ended(first, await start(first, mode="large"))
        failed = await ended(first, await start(first, mode="fail"))
        running = await start(first, gate="/never")
        waiting = await start(first, gate=str(gate))
        await until(first, running, lambda now: now.job.fraction == 0.5)
        before = [await document(first, each.job.id) for each in (done, large, failed)]
    async with open_house(tmp_path, SOURCE) as second:
        assert await ids(second) == [each.job.id for each in (done, large, failed, running, waiting)]
        assert [await document(second, each.job.id) for each in (done, large, failed)] == before
        assert await second.gateway.jobs.log(failed.job.id) == await second.gateway.jobs.log(failed.job.id) != b""
        interrupted = await document(second, running.job.id)
        assert (interrupted["status"], interrupted["message"]) == (
            "error",
            "the server ended while this training ran",
        )
        gate.touch()
        assert (await ended(second, waiting)).job.status is Status.SUCCEEDED
        await second.gateway.trainings.cancel("x", done.job.id)
    async with open_house(tmp_path, SOURCE) as third:
        assert await ids(third) == [each.job.id for each in (large, failed, running, waiting)]


async def test_the_end_of_the_server_interrupts_them_and_takes_no_more(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    running = await start(opened, gate="/never")
    await asyncio.wait_for(opened.gateway.jobs.stop(), 10)
    job = (await look(opened, running)).job
    assert job.status is Status.FAILED and isinstance(job.error, Interrupted)
    with pytest.raises(Cancelled):
        await start(opened)


async def ask(spawned: Spawned, method: str, path: str) -> Any:
    url = f"{spawned.url}/v2/models/x/train/{path}"
    async with aiohttp.ClientSession() as session, session.request(method, url) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def until_row(spawned: Spawned, uuid: str, condition: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not condition(row := await ask(spawned, "GET", uuid)):
            await asyncio.sleep(0.01)
    return row


@pytest.mark.slow
async def test_a_training_whose_server_is_killed_has_been_interrupted_and_what_it_said_is_kept(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with spawned_house(tmp_path, SOURCE) as first:
        done = await ask(first, "POST", "?n=3")
        done = await until_row(first, done["uuid"], lambda row: row["status"] == "done")
        running = (await ask(first, "POST", "?gate=/never"))["uuid"]
        waiting = (await ask(first, "POST", f"?gate={gate}"))["uuid"]
        await until_row(first, running, lambda row: row.get("progress", {}).get("fraction") == 0.5)
        log = await noted(first, running)
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
    with spawned_house(tmp_path, SOURCE) as second:
        rows = await ask(second, "GET", "")
        assert [each["uuid"] for each in rows] == [done["uuid"], running, waiting]
        assert rows[0] == done
        assert (rows[1]["status"], rows[1]["message"]) == ("error", "the server ended while this training ran")
        assert datetime.fromisoformat(rows[1]["date"]) < datetime.now()
        assert await noted(second, running) == log == b"training begins\n"
        gate.touch()
        await until_row(second, waiting, lambda row: row["status"] == "done")


async def noted(spawned: Spawned, uuid: str) -> bytes:
    """What the store has of a job's log; it is written every few seconds."""
    import sqlite3

    def read() -> bytes:
        with closing(sqlite3.connect(f"file:{spawned.home / 'store.sqlite'}?mode=ro", uri=True)) as connection:
            sql = "SELECT log FROM job_bodies JOIN jobs USING (number) WHERE id = ?"
            found = connection.execute(sql, (uuid,)).fetchone()
        return found[0] if found else b""

    return bytes(await wait_until(read))

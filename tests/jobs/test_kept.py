"""What a job keeps beside its answer: metrics as curves, and files that its model gives away."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from modelport.contract.job import Job
from modelport.contract.prediction import Status
from modelport.deployments import deployment, loaded
from modelport.executors.local import LocalExecutor
from modelport.jobs import artifacts
from modelport.jobs.curves import Curves, Rows, of_result
from tests.conftest import OpenHouse
from tests.house import wait_until
from tests.jobs.conftest import Desk, OpenDesk

SOURCE = """
import json, os, pathlib, time
import modelport
from marshmallow import fields
os.chdir(os.path.dirname(__file__))
def get_predict_args():
    return {name: fields.Str(load_default="") for name in ("mode", "gate", "trace")}
def get_train_args():
    return get_predict_args()
def wait(gate):
    while gate and not os.path.exists(gate):
        time.sleep(0.005)
def predict(mode, gate, trace):
    for epoch in range(1, 4):
        metrics = {"epoch": epoch, "loss": 1 / epoch, "lost": float("nan")}
        modelport.progress(epoch / 4, f"epoch {epoch}", metrics=metrics)
    if mode == "print":
        print("not {json}", json.dumps({"loss": 9}))
        for step in range(3):
            print(json.dumps({"step": step, "accuracy": 0.5 + step / 10, "name": "x", "fine": True, "huge": 10 ** 400}))
        print("{" * 20_000, flush=True)
    if mode == "empty":
        pathlib.Path("empty").touch()
        modelport.artifact("empty")
        return
    for name, content in (("plot.png", b"first"), ("../we\\nights .bin", b"weights"), ("plot.png", b"the second")):
        path = pathlib.Path("kept")
        path.write_bytes(content)
        modelport.artifact(path, name)
        path.unlink()
    if mode == "large":
        pathlib.Path("large").write_bytes(b"x" * 2000)
        modelport.artifact("large")
    if mode == "each epoch":
        for epoch in range(5):
            pathlib.Path("checkpoint").write_bytes(b"%d" % epoch * 600)
            modelport.artifact("checkpoint")
    if mode == "many":
        for number in range(6):
            pathlib.Path(f"file-{number}").write_text(str(number))
            modelport.artifact(f"file-{number}")
    if mode == "missing":
        modelport.artifact("nothing")
    if mode == "folder":
        modelport.artifact(".")
    wait(gate)
    if mode == "die once" and not os.path.exists(trace):
        pathlib.Path(trace).touch()
        os._exit(3)
    if mode == "fail":
        raise ValueError("diverged")
    return {"accuracy": 0.75, "loss": 5, "per_class": [1, 2], "use": {"model": "third"}}
train = predict
"""


async def curves_of(desk: Desk, job: Job) -> Any:
    """As a client gets them."""
    return json.loads(json.dumps(await desk.jobs.curves(job.id)))


def contents(desk: Desk, job: Job) -> dict[str, bytes]:
    return {artifact.name: desk.jobs.path(job, artifact).read_bytes() for artifact in job.artifacts}


KEPT = {"plot.png": b"the second", "weights .bin": b"weights"}


async def test_a_job_keeps_metrics_and_files(desk: OpenDesk, tmp_path: Path) -> None:
    opened = await desk(SOURCE)
    gate = tmp_path / "gate"
    job = await opened.submit(gate=str(gate))
    running = await opened.reach(job, Status.RUNNING)
    while len(running.artifacts) < 2 or opened.jobs.path(running, running.artifacts[0]).read_bytes() == b"first":
        await asyncio.sleep(0.005)
        running = await opened.jobs.get(job.id)
    assert running.metrics == {"epoch": 3, "loss": 1 / 3}
    gate.touch()
    ended = await opened.ended(job)
    assert ended.metrics == running.metrics and ended.use == {}
    assert contents(opened, ended) == KEPT
    assert [(artifact.media_type, artifact.size_bytes) for artifact in ended.artifacts] == [
        ("image/png", 10),
        ("application/octet-stream", 7),
    ]
    curves = await curves_of(opened, job)
    assert curves == {"step": "epoch", "metrics": {"loss": [[1, 1], [2, 0.5], [3, 1 / 3]]}}
    # What was replaced has gone, and nothing stays when the job goes.
    folder = opened.house.home / "jobs" / job.id
    assert len(list(folder.iterdir())) == 2
    await opened.jobs.delete(job.id)
    await wait_until(lambda: opened.folders() == [])
    await wait_until(lambda: opened.house.scratch() == [])


class Patient(LocalExecutor):
    """Whose calls have to come to their end."""

    can_stop = False


async def test_a_job_of_an_executor_that_cannot_stop_keeps_the_same(
    desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (deployment, loaded):
        monkeypatch.setattr(module, "executor_class", lambda name: Patient)
    opened = await desk(SOURCE)
    ended = await opened.ended(await opened.submit())
    assert ended.metrics == {"epoch": 3, "loss": 1 / 3}
    assert contents(opened, ended) == KEPT


async def test_files_that_come_faster_than_they_can_be_stored_do_not_pile_up(
    desk: OpenDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "PENDING_LIMIT", 3)
    opened = await desk(SOURCE)
    gate = tmp_path / "gate"
    job = await opened.reach(await opened.submit({}, gate=str(gate)), Status.RUNNING)
    run = opened.jobs._queues.run_of(job.id)
    assert run is not None
    await run.artifacts.wait_taken()
    for number in range(100):
        run.artifact(str(tmp_path / "nothing"), f"{number}")
    assert len(run.artifacts._tasks) <= 3
    gate.touch()
    await opened.ended(job)
    assert (await opened.jobs.log(job.id)).count(b"3 others are still being stored") >= 97


async def test_a_kept_file_is_sent_to_be_saved_and_runs_nothing(desk: OpenDesk) -> None:
    opened = await desk(SOURCE)
    job = await opened.ended(await opened.submit())
    document = (await opened.house.get(f"/jobs/{job.id}")).json()
    assert [link["name"] for link in document["artifacts"]] == [*KEPT]
    for link in document["artifacts"]:
        answer = await opened.house.get(link["url"])
        assert (answer.status, answer.body) == (200, KEPT[link["name"]])
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{link["name"]}"'
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for name in ("nothing", "..%2Fplot.png", "artifact-1-1"):
        assert (await opened.house.get(f"/jobs/{job.id}/artifacts/{name}")).status == 404


async def test_what_a_training_prints_and_gives_back_are_metrics_too(desk: OpenDesk) -> None:
    opened = await desk(SOURCE)
    job = await opened.ended(await opened.submit(method="train", mode="print"))
    assert job.metrics == {"epoch": 3, "loss": 1 / 3, "step": 2, "accuracy": 0.7}
    assert job.use == {"model": "third"}
    curves = await curves_of(opened, job)
    assert curves["step"] == "epoch" and curves["metrics"]["accuracy"] == [[0, 0.5], [1, 0.6], [2, 0.7]]


@pytest.mark.parametrize("mode", ["fail", "missing", "folder"])
async def test_a_job_that_fails_keeps_what_it_has_given(desk: OpenDesk, mode: str) -> None:
    opened = await desk(SOURCE)
    job = await opened.ended(await opened.submit(mode=mode))
    assert job.status is Status.FAILED and contents(opened, job) == KEPT
    assert job.metrics["epoch"] == 3


@pytest.mark.parametrize(
    ("mode", "settings", "names", "why"),
    [
        ("large", {"job_artifacts_bytes": 1000}, [*KEPT], b"large has 2000 bytes and is not kept"),
        ("many", {"job_artifacts": 4}, [*KEPT, "file-0", "file-1"], b"a job has at most 4 of them"),
        ("", {"job_artifacts_bytes": 0}, [], b""),
    ],
)
async def test_what_is_too_large_or_too_many_is_left_out_and_the_log_says_so(
    desk: OpenDesk, mode: str, settings: dict[str, int], names: list[str], why: bytes
) -> None:
    opened = await desk(SOURCE, **settings)
    job = await opened.ended(await opened.submit(mode=mode))
    assert job.status is Status.SUCCEEDED
    assert [artifact.name for artifact in job.artifacts] == names
    assert why in await opened.jobs.log(job.id)


async def test_a_file_that_is_replaced_does_not_count(desk: OpenDesk) -> None:
    opened = await desk(SOURCE, job_artifacts_bytes=1000)
    job = await opened.ended(await opened.submit(mode="each epoch"))
    assert contents(opened, job) == {**KEPT, "checkpoint": b"4" * 600}


async def test_what_is_refused_takes_no_room_while_the_job_runs(desk: OpenDesk, tmp_path: Path) -> None:
    opened = await desk(SOURCE, job_artifacts=4)
    gate = tmp_path / "gate"
    job = await opened.submit(mode="many", gate=str(gate))
    while b"file-5 is not kept" not in await opened.jobs.log(job.id):
        await asyncio.sleep(0.005)
    (scratch,) = opened.house.scratch()
    assert not any(scratch.iterdir())
    gate.touch()
    await opened.ended(job)


async def test_an_empty_file_goes_with_its_job(desk: OpenDesk) -> None:
    opened = await desk(SOURCE)
    job = await opened.ended(await opened.submit(mode="empty"))
    assert contents(opened, job) == {"empty": b""}
    await opened.jobs.delete(job.id)
    await wait_until(lambda: opened.folders() == [])


async def test_another_attempt_takes_the_place_of_the_files_of_the_first(desk: OpenDesk, tmp_path: Path) -> None:
    opened = await desk(SOURCE)
    job = await opened.ended(await opened.submit(mode="die once", trace=str(tmp_path / "trace")))
    assert (job.status, job.attempt) == (Status.SUCCEEDED, 2)
    assert contents(opened, job) == KEPT
    assert {artifact.stored.split("-")[1] for artifact in job.artifacts} == {"2"}
    assert len((await curves_of(opened, job))["metrics"]["loss"]) == 3


async def test_running_again_begins_without_them(desk: OpenDesk, tmp_path: Path) -> None:
    opened = await desk(SOURCE)
    gate = tmp_path / "gate"
    gate.touch()
    job = await opened.ended(await opened.submit(gate=str(gate)))
    gate.unlink()
    again = await opened.jobs.again(job.id)
    assert (again.metrics, again.artifacts) == ({}, ())
    gate.touch()
    assert contents(opened, await opened.ended(again)) == KEPT


async def test_a_call_that_is_no_job_keeps_nothing(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    assert (await opened.ask("POST", "/x", json={})).status == 200
    await wait_until(lambda: opened.scratch() == [])


def test_a_long_curve_keeps_its_shape_and_its_last_point() -> None:
    for limit in (10, 11):
        curves = Curves(limit)
        for step in range(1000):
            curves.add({"step": step, "loss": -step})
            points = curves.document()["metrics"]["loss"]
            assert points[0] == (0, 0) and points[-1] == (step, -step)
            assert len(points) <= limit + 1
        gaps = {later[0] - earlier[0] for earlier, later in pairwise(points[:-1])}
        assert len(gaps) == 1


def test_points_without_a_step_are_counted_and_names_are_limited() -> None:
    curves = Curves(100)
    curves.add({"loss": 3})
    curves.add({f"metric {number}": number for number in range(100)})
    curves.add({"loss": 2})
    document = curves.document()
    assert document["step"] == "" and document["metrics"]["loss"] == [(1, 3), (3, 2)]
    assert len(document["metrics"]) == 50


def test_rows_are_read_however_they_are_cut() -> None:
    text = b'begun\n{"loss": 1, "name": "x"}\n{"loss": \n[1]\n{"loss": 2}\r\n{"a": null}\n'
    for size in range(1, len(text)):
        rows = Rows()
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert [row for piece in pieces for row in rows.feed(piece)] == [{"loss": 1}, {"loss": 2}], size


# Within a row's length, and deeper than anything is read.
DEEP = b'{"a":' + b"[" * 9000


def test_a_deep_row_is_none() -> None:
    assert list(Rows().feed(DEEP + b'\n{"loss": 1}\n')) == [{"loss": 1}]


@pytest.mark.parametrize("result", [DEEP, b"", b"[1]", b"null", b'"x"', b'{"use": "x"}', b'{"a": NaN}', b"{"])
def test_a_result_that_says_nothing_of_itself(result: bytes) -> None:
    assert of_result(result) == ({}, {})

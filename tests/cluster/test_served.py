"""Whole servers whose workers are on a cluster."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelport.client import Client
from modelport.objectstore.keys import FOLDER_FILE
from tests.buckets.conftest import PLUGIN, Elsewhere, elsewhere
from tests.cluster.conftest import MODULE, PATIENCE_S, marked, new_cluster
from tests.environments import environment
from tests.house import House, Spawned, launched, listening, open_house, spawned_house, wait_until

__all__ = ["elsewhere"]

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.thorough]


async def predicted(house: House) -> Any:
    page = (ROOT / "data" / "digits_page.png").read_bytes()
    answer = await house.post("/v2/models/x/predict/", data={"files": io.BytesIO(page)})
    assert answer.status == 200, answer.text
    return answer.json()


async def test_my_model_answers_as_on_one_machine(cluster: Any, tmp_path: Path, fitted_home: Path) -> None:
    plugin = "from my_model import get_metadata, get_predict_args, predict\n"
    answers = []
    for executor, options in (("local", {}), ("ray", {"ray_address": cluster.address})):
        async with open_house(tmp_path / executor, plugin, executor=executor, extensions=options) as house:
            answers.append(await predicted(house))
    assert answers[0] == answers[1]


async def test_the_demo_application_answers_as_on_one_machine(cluster: Any, tmp_path: Path) -> None:
    plugin = (ROOT / "examples" / "demo_app" / "demo_app" / "__init__.py").read_text()
    answers = []
    for executor, options in (("local", {}), ("ray", {"ray_address": cluster.address})):
        async with open_house(tmp_path / executor, plugin, executor=executor, extensions=options) as house:
            samples = {"demo_image": "digit.png", "demo_audio": "tone.wav", "demo_video": "bounce.avi"}
            files = {name: io.BytesIO((ROOT / "data" / file).read_bytes()) for name, file in samples.items()}
            answer = await house.post("/v2/models/x/predict/", data={"demo_int": "7", **files})
            assert answer.status == 200, answer.text
            answers.append(answer.json())
            for chance in ("labels", "probabilities"):
                del answers[-1][chance]
    assert answers[0] == answers[1] and answers[0]["demo_int"] == 7 and len(answers[0]["demo_video"]) > 1000


async def test_a_module_for_python_3_8_answers_as_on_one_machine(cluster: Any, tmp_path: Path) -> None:
    python = str(environment("3.8", ["marshmallow==3.14.1", "webargs==5.5.3"]))
    page = (ROOT / "data" / "digits_page.png").read_bytes()
    answers = []
    for executor, options in (("local", {}), ("ray", {"ray_address": cluster.address})):
        settings: dict[str, Any] = {"executor": executor, "extensions": options, "python": python}
        async with open_house(tmp_path / executor, MODULE.read_text(), **settings) as house:
            answer = await house.post("/x", json={"number": 5})
            assert answer.status == 200, answer.text
            place = answer.json()["result"]
            size = await house.post("/x", data={"mode": "size", "file": io.BytesIO(page)})
            refused = await house.post("/x", json={"number": "five"})
            answers.append([place["python"], place["number"], size.json()["result"], refused.status, refused.json()])
    assert answers[0] == answers[1] and answers[0][:3] == [[3, 8], 5, len(page)]


async def test_two_gateways_share_a_cluster_and_an_external_s3(
    cluster: Any, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    number, gate = 30, tmp_path / "gate"
    settings: dict[str, Any] = {"executor": "ray", "extensions": {"ray_address": cluster.address}, "bucket_list_s": 0.2}
    settings |= {
        **elsewhere.settings,
        "workers": 1,
        "token": "secret",
        "job_limit": number - number // 3,
    }  # neither can hold them all
    with (
        spawned_house(tmp_path / "1", PLUGIN, **settings) as one,
        spawned_house(tmp_path / "2", PLUGIN, **settings) as other,
        ThreadPoolExecutor(1) as thread,
    ):
        client = elsewhere.client()
        [bucket] = await wait_until(lambda: thread.submit(client.list_buckets).result()["Buckets"])
        for name in range(number):
            body = json.dumps({"mode": "wait", "words": [str(gate)], "number": name}).encode()
            client.put_object(Bucket=bucket["Name"], Key=f"inputs/{name}.json", Body=body)
        async with aiohttp.ClientSession() as session:

            async def begun(url: str) -> int:
                async with session.get(f"{url}/deployments/x", headers={"Authorization": "Bearer secret"}) as answer:
                    return int((await answer.json())["busy"])

            async with asyncio.timeout(3 * PATIENCE_S):
                while not all([await begun(server.url) for server in (one, other)]):
                    await asyncio.sleep(0.1)

        def outputs() -> list[str]:
            objects = client.list_objects_v2(Bucket=bucket["Name"], Prefix="outputs/").get("Contents", [])
            return [item["Key"] for item in objects if not item["Key"].endswith(("/", FOLDER_FILE))]

        async def wait_outputs(least: int) -> None:
            async with asyncio.timeout(3 * PATIENCE_S):
                while len(outputs()) < least:
                    await asyncio.sleep(0.2)

        gate.touch()
        await wait_outputs(10)
        other.process.kill()  # the first one takes over what it has begun
        await wait_outputs(2 * number)  # an answer and a log of each
        with spawned_house(tmp_path / "2", PLUGIN, **settings) as again:
            await wait_until(lambda: thread.submit(ended_jobs, again).result())
        assert len(outputs()) == len(set(outputs())) == 2 * number
        for name in range(number):
            [key] = [key for key in outputs() if key.startswith(f"outputs/{name}.") and not key.endswith(".log")]
            assert json.loads(client.get_object(Bucket=bucket["Name"], Key=key)["Body"].read())["number"] == name
        # A home, with its jobs and its own buckets, belongs to one of them.
        with launched(tmp_path / "3", PLUGIN, **{**settings, "home": str(one.home)}) as third:
            assert not listening(third)
            assert "is in use by another server" in third.log.read_text()


def ended_jobs(server: Spawned) -> bool:
    """Whether this server has jobs, and all have ended well."""
    with Client(server.url, "secret") as client:
        states = [job["status"] for job in client.jobs(limit=1000)]
    return bool(states) and all(state == "succeeded" for state in states)


async def test_no_job_is_lost_while_a_node_goes_and_another_comes(tmp_path: Path) -> None:
    other = new_cluster(2)
    try:
        source, options = MODULE.read_text(), {"ray_address": other.address}
        async with open_house(tmp_path, source, executor="ray", workers=2, extensions=options) as house:
            trace = tmp_path / "trace"
            jobs = []
            for number in range(500):
                begun = await house.post("/x/async", json={"number": number, "path": str(trace)})
                assert begun.status == 202, begun.text
                jobs.append(begun.json()["job_id"])
                if number == 100:
                    other.remove_node(next(iter(other.worker_nodes)), False)
                if number == 200:
                    other.add_node(num_cpus=1)
            states: dict[str, str] = {}
            async with asyncio.timeout(5 * PATIENCE_S):
                while len(states) < len(jobs):
                    for job in jobs:
                        if job not in states:
                            row = (await house.get(f"/jobs/{job}")).json()
                            if row["status"] in ("succeeded", "failed", "cancelled"):
                                states[job] = row["status"]
                    await asyncio.sleep(0.1)
            assert set(states.values()) == {"succeeded"}
            for number, job in enumerate(jobs):
                assert (await house.get(f"/jobs/{job}/result")).json()["number"] == number
    finally:
        other.shutdown()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_process_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    mark = secrets.token_hex(8)
    monkeypatch.setenv("CLUSTER_TEST", mark)
    other = new_cluster(1)
    try:
        before = marked(mark)
        settings: dict[str, Any] = {"executor": "ray", "extensions": {"ray_address": other.address}, "grace_s": 0.5}
        with spawned_house(tmp_path, MODULE.read_text(), workers=1, **settings) as server:
            trace = tmp_path / "trace"
            call = {"mode": "sleep", "number": 600, "path": str(trace)}
            async with aiohttp.ClientSession() as session:
                asking = asyncio.ensure_future(session.post(f"{server.url}/x", json=call))
                await wait_until(trace.exists, PATIENCE_S)
                assert [line for line in marked(mark) if is_ours(line, before)]
                server.signal(number)
                await asyncio.gather(asking, return_exceptions=True)
                await server.wait(PATIENCE_S)
            # Ray keeps processes of its own that wait for work.
            await wait_until(lambda: not [line for line in marked(mark) if is_ours(line, before)], PATIENCE_S)
    finally:
        other.shutdown()
    await wait_until(lambda: not marked(mark), PATIENCE_S)


def is_ours(line: str, before: list[str]) -> bool:
    return line not in before and "ray::IDLE" not in line

"""What a cluster adds to the contract: files that travel, what is lost, and places that are not there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from modelport_ray.link import Cluster as ClusterLink
from modelport_ray.settings import SETTINGS
from ray._raylet import GcsClient  # type: ignore[attr-defined]

import modelport
from modelport.extending import (
    DeadlineExceeded,
    LoadFailed,
    NotImplementedByModel,
    TooLarge,
    WorkerLost,
)
from modelport_ray import worker as worker_module
from tests.cluster.conftest import HEALTH, PATIENCE_S, Bench, OpenBench, new_cluster
from tests.docs.test_cluster import PAGE
from tests.environments import environment
from tests.house import SOON_S, alive, descendants

# A cluster takes seconds to start, and so does each worker on it: the default run tries three things of it.
pytestmark = pytest.mark.slow


async def place(bench: Bench) -> dict[str, Any]:
    outcome = await bench.run()
    assert outcome.error is None, outcome.error
    answer: dict[str, Any] = json.loads(outcome.body)
    return answer


def driver_of(bench: Bench) -> int:
    link = bench.executor._link
    assert link is not None and link._process is not None
    return link._process.pid


# Files


async def test_files_and_answers_of_all_sizes_travel(bench: OpenBench, tmp_path: Path) -> None:
    opened = await bench(ray_object_limit_bytes=20 << 20)
    for size in (0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 20 << 20):
        file = tmp_path / "file"
        with file.open("wb") as content:
            content.truncate(size)
        outcome = await opened.run("size", file=file)
        assert (outcome.error, outcome.body) == (None, str(size).encode())
    os.truncate(tmp_path / "file", (20 << 20) + 1)
    outcome = await opened.run("size", file=tmp_path / "file")
    assert type(outcome.error) is TooLarge and "ray_object_limit_bytes is 20971520" in outcome.error.message

    outcome = await opened.run("large", number=20 << 20)
    assert outcome.path is not None and os.path.getsize(outcome.path) == (20 << 20) + 2
    with open(outcome.path, "rb") as answer:
        assert answer.read() == b'"' + b"x" * (20 << 20) + b'"'


@pytest.mark.thorough
async def test_64_megabytes_travel_there_and_back(bench: OpenBench, tmp_path: Path) -> None:
    opened = await bench()
    with (tmp_path / "file").open("wb") as content:
        content.truncate(64 << 20)
    assert (await opened.run("size", file=tmp_path / "file")).body == str(64 << 20).encode()
    outcome = await opened.run("large", number=64 << 20)
    assert outcome.path is not None and os.path.getsize(outcome.path) == (64 << 20) + 2


@pytest.mark.thorough
async def test_a_cancelled_call_has_ended_and_the_next_is_answered(bench: OpenBench, tmp_path: Path) -> None:
    opened = await bench()
    before = await place(opened)
    trace = tmp_path / "trace"
    call = asyncio.create_task(opened.run("sleep", number=600, path=str(trace)))
    await opened.wait(trace.exists)  # the model is at it
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not alive(before["pid"])
    assert (await place(opened))["worker"] == before["worker"]  # the actor stays


@pytest.mark.thorough
async def test_with_a_shared_home_files_stay_where_they_are_and_trainings_run(bench: OpenBench, tmp_path: Path) -> None:
    opened = await bench(ray_shared_home=True, ray_object_limit_bytes=10)
    (tmp_path / "file").write_bytes(bytes(100))
    assert (await opened.run("size", file=tmp_path / "file")).body == b"100"
    outcome = await opened.run("large", number=2 << 20)
    assert outcome.path is not None and Path(outcome.path).parent.name.startswith("call-")
    training = asyncio.create_task(opened.run(method="train"))
    assert (await opened.run()).error is None
    assert (await training).body == b'"trained"'


@pytest.mark.thorough
async def test_trainings_need_a_shared_home(bench: OpenBench) -> None:
    opened = await bench()
    outcome = await opened.run(method="train")
    assert type(outcome.error) is NotImplementedByModel and "ray_shared_home" in outcome.error.message


# What a call says


@pytest.mark.thorough
async def test_lines_and_progress_come_in_order(bench: OpenBench) -> None:
    class Watcher:
        text, told = b"", [-1.0]

        def progress(self, fraction: float | None, message: str) -> None:
            assert fraction is not None
            self.told.append(fraction)

        def printed(self, chunk: bytes) -> None:
            self.text += chunk

        def value(self, body: bytes) -> None:
            raise AssertionError

    watcher = Watcher()
    opened = await bench()
    outcome = await opened.run("chatter", number=2000, watcher=watcher)
    assert outcome.error is None
    assert watcher.text.decode().split("\n") == [*(f"line {number}" for number in range(2000)), ""]
    assert watcher.told == sorted(watcher.told) and len(watcher.told) > 1


@pytest.mark.thorough
async def test_a_module_runs_under_its_own_interpreter_where_ray_is_not(bench: OpenBench) -> None:
    opened = await bench(python=str(environment("3.8", ["marshmallow==3.14.1", "webargs==5.5.3"])))
    assert (await place(opened))["python"] == [3, 8]


@pytest.mark.thorough
async def test_the_clusters_token_is_not_the_models(bench: OpenBench) -> None:
    opened = await bench()
    assert (await opened.run("environment")).body == b"[]"


@pytest.mark.thorough
async def test_what_is_cancelled_before_its_first_step_ends_too(bench: OpenBench) -> None:
    opened = await bench()
    link = opened.executor._link
    assert link is not None
    exchange = link.begin("nodes", {})
    exchange.cancel()  # the driver reads both at once
    async with asyncio.timeout(SOON_S):
        kinds = [kind async for kind, _ in exchange.items()]
    assert kinds[-1] == "end"


# Losses


async def test_a_lost_worker_and_a_lost_actor_are_told_and_replaced(bench: OpenBench) -> None:
    opened = await bench()
    before = await place(opened)
    outcome = await opened.run("kill")
    assert type(outcome.error) is WorkerLost and "signal 9" in outcome.error.message
    assert (await place(opened))["pid"] != before["pid"]

    [name] = {place.node for place in opened.executor.places()}
    nodes = [node for node in await opened.executor.nodes() if node.cpus]
    assert [(node.name, node.cpus) for node in nodes] == [(name, 1.0)] * 2  # both on this machine
    [worker] = opened.executor.places()
    call = asyncio.create_task(opened.run("sleep", number=600))
    await opened.wait(lambda: opened.executor.counts().busy == 1)
    os.kill(worker.pid, signal.SIGKILL)
    outcome = await asyncio.wait_for(call, PATIENCE_S)
    assert type(outcome.error) is WorkerLost and outcome.error.message == "the worker was lost: its process has died"
    assert (await place(opened))["worker"] != before["worker"]
    assert opened.executor.counts().restarts == 1


@pytest.mark.thorough
async def test_the_loss_of_the_driver_is_a_lost_worker_and_the_next_call_is_answered(bench: OpenBench) -> None:
    opened = await bench()
    call = asyncio.create_task(opened.run("sleep", number=600))
    await opened.wait(lambda: opened.executor.counts().busy == 1)
    os.kill(driver_of(opened), signal.SIGKILL)
    outcome = await asyncio.wait_for(call, PATIENCE_S)
    assert type(outcome.error) is WorkerLost
    assert (await place(opened))["number"] == 0


@pytest.mark.thorough
async def test_a_driver_that_hangs_keeps_neither_a_call_nor_the_server_from_ending(
    bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "SILENT_S", 1.0)
    opened = await bench()
    call = asyncio.create_task(opened.run("sleep", number=600))
    await opened.wait(lambda: opened.executor.counts().busy == 1)
    driver = driver_of(opened)
    os.kill(driver, signal.SIGSTOP)
    call.cancel()
    await asyncio.wait({call}, timeout=PATIENCE_S)
    assert call.cancelled() and not alive(driver)
    assert (await place(opened))["number"] == 0
    os.kill(driver_of(opened), signal.SIGSTOP)
    await asyncio.wait_for(opened.executor.stop(), PATIENCE_S)


@pytest.mark.thorough
async def test_a_late_call_is_stopped_also_where_its_node_is_not_heard(bench: OpenBench) -> None:
    opened = await bench()
    outcome = await opened.run("sleep", number=600, timeout_s=0.5)
    assert type(outcome.error) is DeadlineExceeded
    [worker] = opened.executor.places()
    os.kill(worker.pid, signal.SIGSTOP)
    outcome = await asyncio.wait_for(opened.run("sleep", number=600, timeout_s=0.5), PATIENCE_S)
    assert type(outcome.error) is DeadlineExceeded
    assert (await place(opened))["number"] == 0


@pytest.mark.thorough
async def test_a_lost_node_is_told_and_another_takes_its_place(tmp_path: Path, bench: OpenBench) -> None:
    other = new_cluster(1)
    try:
        opened = await bench(ray_address=other.address)
        call = asyncio.create_task(opened.run("sleep", number=600))
        await opened.wait(lambda: opened.executor.counts().busy == 1)
        [node] = other.worker_nodes
        other.remove_node(node, False)
        outcome = await asyncio.wait_for(call, PATIENCE_S)
        assert type(outcome.error) is WorkerLost
        waiting = asyncio.create_task(opened.run())
        other.add_node(num_cpus=1)
        outcome = await asyncio.wait_for(waiting, PATIENCE_S)
        assert outcome.error is None, outcome.error
        await opened.executor.stop()
    finally:
        other.shutdown()


HEALTH_S = (
    HEALTH["health_check_failure_threshold"]
    * (HEALTH["health_check_period_ms"] + HEALTH["health_check_timeout_ms"])
    // 1000
)
HEALTH_TEXT = "`health_check_failure_threshold` × (`health_check_period_ms` + `health_check_timeout_ms`)"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("lost", "row", "within", "within_s"),
    [
        ("model", "the model's process", "1 s", 1),
        ("actor", "the worker's actor", "1 s", 1),
        ("node", "a machine", f"{HEALTH_TEXT} + 2 s", HEALTH_S + 2),
        ("silent node", "a machine", f"{HEALTH_TEXT} + 2 s", HEALTH_S + 2),
        ("head", "the head's process", "`ray_head_timeout_s` + 2 s", 5),
    ],
)
async def test_a_call_whose_worker_is_lost_is_answered_within_the_time_that_the_page_states(
    bench: OpenBench, lost: str, row: str, within: str, within_s: int
) -> None:
    [line] = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {row} |")]
    assert line.endswith(f"| {within} |")
    other = new_cluster(1)
    try:
        opened = await bench(ray_address=other.address, ray_head_timeout_s=3)
        before, [worker], [node] = await place(opened), opened.executor.places(), other.worker_nodes
        raylet = node.all_processes["raylet"][0].process.pid
        call = asyncio.create_task(opened.run("sleep", number=600))
        await opened.wait(lambda: opened.executor.counts().busy == 1)
        if lost == "head":
            other.head_node.kill_gcs_server()
        else:
            pid = {"model": before["worker"], "actor": worker.pid}.get(lost, raylet)
            os.kill(pid, signal.SIGSTOP if lost == "silent node" else signal.SIGKILL)
        # The machine that the tests run on may be busy.
        outcome = await asyncio.wait_for(call, within_s + SOON_S)
        assert type(outcome.error) is WorkerLost
        if lost == "silent node":
            os.kill(raylet, signal.SIGCONT)
        await opened.executor.stop()
    finally:
        other.shutdown()


async def test_nothing_is_left_on_the_cluster_when_the_gateway_is_killed(cluster: Any, tmp_path: Path) -> None:
    source = Path(__file__).with_name("gateway.py")
    gateway = subprocess.Popen(
        [sys.executable, str(source), cluster.address, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert gateway.stdout is not None
    with gateway.stdout:
        place = json.loads(await asyncio.to_thread(gateway.stdout.readline))
    driver = descendants(gateway.pid)
    gateway.kill()
    gateway.wait()
    async with asyncio.timeout(PATIENCE_S):
        while any(alive(pid) for pid in (place["pid"], place["worker"], *driver)):
            await asyncio.sleep(0.05)


# Places


@pytest.mark.thorough
async def test_what_is_missing_for_a_place_is_told(bench: OpenBench) -> None:
    with pytest.raises(LoadFailed, match=r"waits for a place on the cluster: no node of the cluster has 1 CPU, 1 GPU"):
        await bench(ray_gpus=1.0, start_wait_s=2.0, load_timeout_s=1.0)
    python = str(environment("3.8", ["marshmallow==3.14.1", "webargs==5.5.3"]))
    with pytest.raises(LoadFailed, match=r"has 1 CPU, interpreter:"):
        await bench(python=python, ray_interpreters="declared", start_wait_s=2.0, load_timeout_s=1.0)


@pytest.mark.thorough
async def test_a_node_that_declares_the_interpreter_is_taken(bench: OpenBench, cluster: Any) -> None:
    python = environment("3.8", ["marshmallow==3.14.1", "webargs==5.5.3"])
    node = cluster.add_node(num_cpus=1, resources={f"interpreter:{python.parent.parent.name}": 1000})
    try:
        opened = await bench(python=str(python), ray_interpreters="declared", environment={"MODELPORT_RAY_GPUS": "0"})
        assert (await place(opened))["python"] == [3, 8]
        await opened.executor.stop()
    finally:
        cluster.remove_node(node)


@pytest.mark.thorough
async def test_what_is_no_number_of_gpus_is_told(bench: OpenBench) -> None:
    with pytest.raises(LoadFailed, match="MODELPORT_RAY_GPUS is 'two'; a number is allowed"):
        await bench(environment={"MODELPORT_RAY_GPUS": "two"})
    with pytest.raises(LoadFailed, match=r"num_gpus|GPU"):
        await bench(environment={"MODELPORT_RAY_GPUS": "1.5"})


@pytest.mark.thorough
async def test_a_full_cluster_is_told_to_those_who_wait(bench: OpenBench) -> None:
    first = await bench(workers=2)
    await first.executor.wait_ready()
    second = bench(min_workers=0, start_wait_s=3.0, load_timeout_s=1.0)
    with pytest.raises(LoadFailed, match="every node that has 1 CPU is in use"):
        await second


@pytest.mark.parametrize("python", ["/nowhere/bin/python"])
@pytest.mark.thorough
async def test_an_interpreter_that_is_not_there_is_told(bench: OpenBench, python: str) -> None:
    with pytest.raises(LoadFailed, match=r"there is no /nowhere/bin/python on the node [\d.]+"):
        await bench(python=python)


@pytest.mark.thorough
async def test_another_version_of_modelport_is_told(bench: OpenBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelport, "__version__", "0.0.7")
    with pytest.raises(LoadFailed, match=r"has modelport \d.*, the server 0\.0\.7; install the same"):
        await bench()


@pytest.mark.thorough
async def test_another_version_of_ray_is_told(bench: OpenBench) -> None:
    other = new_cluster(1)
    try:
        client = GcsClient(address=other.address)
        kept = json.loads(client.internal_kv_get(b"CLUSTER_METADATA", b"cluster"))
        newer = json.dumps({**kept, "ray_version": "2.7.18"}).encode()
        client.internal_kv_put(b"CLUSTER_METADATA", newer, True, b"cluster")
        versions = rf"Version mismatch: .*Ray: 2\.7\.18.* This process .*Ray: {ray.__version__}"
        with pytest.raises(LoadFailed, match=versions):
            await bench(ray_address=other.address)
    finally:
        other.shutdown()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ray_address": ""}, "needs the setting ray_address: the cluster's head, as host:port"),
        ({"ray_address": "10.0.0.1"}, "ray_address is '10.0.0.1'; give the cluster's head as host:port, or local"),
        ({"ray_address": "ray://10.0.0.1:10001"}, "give the cluster's head as host:port, or local"),
        ({"ray_token_file": "/nowhere"}, "ray_token_file is '/nowhere', which is not a file that the server can read"),
        ({"ray_namespace": " "}, "ray_namespace is empty; give any name"),
    ],
)
def test_a_setting_that_cannot_be_right_is_told(options: dict[str, Any], told: str) -> None:
    right = {setting.name: setting.default for setting in SETTINGS} | {"ray_address": "10.0.0.1:6379"}
    ClusterLink.of(right)
    with pytest.raises(LoadFailed, match=re.escape(told)):
        ClusterLink.of({**right, **options})


@pytest.mark.thorough
async def test_an_address_where_no_cluster_is_told(bench: OpenBench) -> None:
    told = r"no connection to the Ray cluster 127\.0\.0\.1:1 .*: no answer within 2 s \(ray_connect_timeout_s\)"
    with pytest.raises(LoadFailed, match=told):
        await bench(ray_address="127.0.0.1:1", ray_connect_timeout_s=2.0)


@pytest.mark.thorough  # a wrong token takes Ray twenty seconds to tell
async def test_the_clusters_token_opens_it_and_a_wrong_one_is_told(bench: OpenBench, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        free_port = free.getsockname()[1]
    for name, content in (("token", "a" * 64), ("wrong", "b" * 64)):
        (tmp_path / name).write_text(content)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    options = ["--head", f"--port={free_port}", "--num-cpus=1", "--include-dashboard=false", "--block"]
    program = str(Path(sys.executable).with_name("ray"))
    head = subprocess.Popen(
        [program, "start", *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not listens(free_port):
                await asyncio.sleep(0.1)
        address = f"127.0.0.1:{free_port}"
        opened = await bench(ray_address=address, ray_token_file=str(tmp_path / "token"))
        assert (await opened.run("environment")).body == b"[]"
        with pytest.raises(LoadFailed, match=r"the cluster's token is missing or wrong \(ray_token_file\)"):
            await bench(ray_address=address, ray_token_file=str(tmp_path / "wrong"))
    finally:
        head.terminate()
        head.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.thorough
async def test_a_lost_head_ends_no_gateway(bench: OpenBench) -> None:
    other = new_cluster(1)
    try:
        opened = await bench(ray_address=other.address, ray_head_timeout_s=3, ray_connect_timeout_s=PATIENCE_S)
        driver = driver_of(opened)
        other.head_node.kill_gcs_server()
        assert (await opened.run()).error is None  # what runs goes on
        async with asyncio.timeout(3 * PATIENCE_S):
            while alive(driver):
                await asyncio.sleep(0.5)
        outcome = await asyncio.wait_for(opened.run(timeout_s=PATIENCE_S), 3 * PATIENCE_S)
        assert isinstance(outcome.error, LoadFailed | DeadlineExceeded | WorkerLost)
        await opened.executor.stop()
    finally:
        other.shutdown()


@pytest.mark.thorough
async def test_workers_come_when_calls_wait_and_go_when_they_are_idle(bench: OpenBench) -> None:
    opened = await bench(workers=2, min_workers=0, idle_s=0.3)
    calls = [asyncio.create_task(opened.run("sleep", number=600)) for _ in range(2)]
    await opened.wait(lambda: opened.executor.counts().busy == 2)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    await opened.wait(lambda: opened.executor.counts().workers == 0)
    assert (await place(opened))["number"] == 0
    assert opened.executor.counts().restarts == 0

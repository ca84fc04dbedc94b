"""Objects that are put into a deployment's bucket, and what comes of them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from modelport.contract.prediction import Status
from modelport.errors import Conflict, NotFound, Overloaded
from modelport.store.deployments import DeploymentRow
from modelport.store.writer import Write, Writer
from tests.buckets.conftest import PLUGIN, Bucket
from tests.conftest import OpenHouse
from tests.house import House, open_house, wait_until

ANSWER = {"number": 1, "flag": False, "words": [], "table": {}, "file": None}


async def opened(house: OpenHouse, source: str = PLUGIN, **settings: Any) -> Bucket:
    return Bucket(await house(source, s3_port=0, **settings))


def image(data: bytes = b"12345") -> dict[str, Any]:
    return {"key": "file", "file_format": "png", "data": base64.b64encode(data).decode()}


async def test_arguments_give_a_result_and_a_log(house: OpenHouse) -> None:
    bucket = await opened(house)
    job = await bucket.put("inputs/x.json", {"number": 7})
    assert job is not None and job.source == "bucket"
    log = await bucket.wait_log("x")
    assert await bucket.keys() == ["outputs/x.json", "outputs/x.log"]
    assert await bucket.get("outputs/x.json") == json.dumps(ANSWER | {"number": 7}).encode()
    first, second, third = log.splitlines()
    assert first == "working on 7"
    assert second == f"return: {ANSWER | {'number': 7}}"
    assert third.startswith("saved: outputs/x.json (application/json, ")
    assert await bucket.keys("inputs/") == ["inputs/x.json"]
    head = await bucket.objects.head(bucket.name, "outputs/x.json")
    assert head.content_type == "application/json"
    assert head.metadata["modelport-source-key"] == "inputs/x.json"
    source = await bucket.objects.head(bucket.name, "inputs/x.json")
    assert head.metadata["modelport-source-etag"] == source.etag


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (
            {"words": ["a", "b"], "table": {"c": 1}, "flag": True},
            {"words": ["a", "b"], "table": {"c": 1}, "flag": True},
        ),
        ({"flag": "true", "number": "5"}, {"flag": True, "number": 5}),
        ({"number": None, "flag": None}, {}),
        (
            {"oscar-files": [image()]},
            {"file": {"name": "file.png", "type": "image/png", "size": 5, "ending": ".png"}},
        ),
        (
            {"file": "data:image/png;base64,MTIzNDU="},
            {"file": {"name": "file.png", "type": "image/png", "size": 5, "ending": ".png"}},
        ),
    ],
)
async def test_arguments_are_read_as_on_the_inference_endpoint(
    house: OpenHouse, given: dict[str, Any], answer: dict[str, Any]
) -> None:
    bucket = await opened(house)
    await bucket.put("inputs/x.json", given)
    await bucket.wait_log("x")
    assert json.loads(await bucket.get("outputs/x.json")) == ANSWER | answer


@pytest.mark.parametrize(
    ("key", "data", "type", "ending"),
    [
        ("bear.jpg", b"12345", "image/jpeg", ".jpg"),
        ("sound.wav", b"12345", "audio/x-wav", ".wav"),
        ("a b/Bär 1.PNG", b"12345", "image/png", ".PNG"),
        ("noext", b"\x89PNG\r\n\x1a\n", "image/png", ".png"),
        ("noext", b"RIFF1234WAVE", "audio/x-wav", ".wav"),
        ("noext", b"12345", "application/octet-stream", ""),
        ("empty", b"", "application/octet-stream", ""),
        ("odd.extension that is none", b"12345", "application/octet-stream", ""),
    ],
)
async def test_any_other_file_is_the_file_argument(
    house: OpenHouse, key: str, data: bytes, type: str, ending: str
) -> None:
    bucket = await opened(house)
    await bucket.put(f"inputs/{key}", data)
    [name] = await bucket.wait_keys(1, ".json")
    file = json.loads(await bucket.get(name))["file"]
    assert file == {"name": key.rpartition("/")[2], "type": type, "size": len(data), "ending": ending}


FAILURES: list[tuple[str, bytes | str | dict[str, Any], str]] = [
    ("broken.json", '{"number": ', "failed (invalid_json): "),
    ("list.json", "[1, 2]", "failed (invalid_request): "),
    ("unknown.json", {"nope": 1}, "failed (invalid_arguments): nope: Unknown argument"),
    ("wrong.json", {"number": "many"}, "failed (invalid_arguments): "),
    ("raises.json", {"mode": "raise", "number": 5}, "failed (model_failed): ValueError: it went wrong\n"),
    ("dies.json", {"mode": "die"}, "failed (worker_lost): "),
    ("slow.json", {"mode": "wait", "words": ["/never"]}, "failed (deadline_exceeded): "),
    ("large.png", b"x" * 5001, "failed (too_large): inputs/large.png has 5001 bytes; at most 5000 "),
]


async def test_a_failure_is_a_log_that_says_so_first_and_the_rest_goes_on(house: OpenHouse) -> None:
    bucket = await opened(house, workers=2, predict_timeout_s=1, bucket_object_bytes=5000, job_attempts=1)
    await asyncio.gather(*(bucket.put(f"inputs/{key}", data) for key, data, _ in FAILURES))
    await bucket.put("inputs/good.json", {})
    await bucket.wait_keys(len(FAILURES) + 1)
    for key, _, beginning in FAILURES:
        log = await bucket.text(f"outputs/{key.rpartition('.')[0]}.log")
        assert log.startswith(beginning), (key, log)
        assert "return:" not in log
    assert [each for each in await bucket.keys() if each.endswith(".json")] == ["outputs/good.json"]
    assert "working on 5" in await bucket.text("outputs/raises.log")


async def test_a_file_for_a_model_without_file_arguments_is_told(house: OpenHouse) -> None:
    bucket = await opened(house, "def get_predict_args(): return {}\ndef predict(): return 1")
    await bucket.put("inputs/bear.jpg", b"123")
    log = await bucket.wait_log("bear")
    assert log == ("failed (unsupported_media): bear.jpg is a file, and this model takes none; send a JSON object\n")


async def test_the_help_is_a_log(house: OpenHouse) -> None:
    bucket = await opened(house)
    await bucket.put("inputs/x.json", {"help": ""})
    log = await bucket.wait_log("x")
    assert log.startswith("usage: deepaas-cli predict") and "--number NUMBER" in log
    assert await bucket.keys() == ["outputs/x.log"]


async def test_of_progress_bars_the_last_state_is_in_the_log(house: OpenHouse) -> None:
    bucket = await opened(house)
    await bucket.put("inputs/x.json", {"mode": "bar"})
    lines = (await bucket.wait_log("x")).splitlines()
    assert [line for line in lines if "it/s" in line] == ["100%|##########| 100/100 [00:00<00:00, 9.00it/s]"]


async def test_a_binary_answer_has_its_own_extension(house: OpenHouse) -> None:
    bucket = await opened(house)
    await bucket.put("inputs/x.json", {"accept": "image/png", "number": 2})
    log = await bucket.wait_log("x")
    assert await bucket.keys() == ["outputs/x.log", "outputs/x.png"]
    assert await bucket.get("outputs/x.png") == b"binarybinary"
    assert "saved: outputs/x.png (image/png, 12 bytes)" in log
    await bucket.put("inputs/x.json", {"accept": "application/zip"})
    await bucket.wait_log("x")
    assert await bucket.keys() == ["outputs/x.log", "outputs/x.zip"]
    await bucket.put("inputs/x.json", {"mode": "raise"})
    await bucket.wait_log("x")
    assert await bucket.keys() == ["outputs/x.log"]


async def test_a_large_answer_is_the_value_and_its_log_is_short(house: OpenHouse) -> None:
    bucket = await opened(house)
    await bucket.put("inputs/x.json", {"mode": "large", "number": 20 << 20})
    log = await bucket.wait_log("x")
    assert await bucket.get("outputs/x.json") == b'{"text": "' + b"x" * (20 << 20) + b'"}'
    assert len(log) < 1000 and "saved: outputs/x.json" in log


async def test_who_sees_the_log_sees_the_result(house: OpenHouse) -> None:
    """As the tutorial's script does: one list, in which it looks for the log, and then for the result."""
    bucket = await opened(house, workers=2)
    await asyncio.gather(*(bucket.put(f"inputs/{number}.json", {"number": number}) for number in range(30)))
    seen = 0
    while seen < 30:
        keys = set(await bucket.keys())
        logs = {key for key in keys if key.endswith(".log")}
        assert {log.replace(".log", ".json") for log in logs} <= keys
        seen = len(logs)


async def test_put_again_it_runs_again_and_nothing_old_is_seen(house: OpenHouse) -> None:
    bucket = await opened(house)
    for number in range(3):
        await bucket.put("inputs/x.json", {"number": number})
        keys = await bucket.keys()
        log = await bucket.wait_log("x")
        assert f"working on {number}\n" in log, keys
        assert json.loads(await bucket.get("outputs/x.json"))["number"] == number


async def test_the_very_same_object_put_again_runs_again(house: OpenHouse, tmp_path: Path) -> None:
    bucket = await opened(house)
    gate = tmp_path / "gate"
    gate.touch()
    first = await bucket.put("inputs/x.json", {"mode": "wait", "words": [str(gate)]})
    await bucket.wait_log("x")
    gate.unlink()
    second = await bucket.put("inputs/x.json", {"mode": "wait", "words": [str(gate)]})
    assert first is not None and second is not None and first.id != second.id
    assert await bucket.keys() == []
    gate.touch()
    await bucket.wait_log("x")


async def test_put_again_while_it_runs_only_the_newer_result_is_seen(house: OpenHouse, tmp_path: Path) -> None:
    bucket = await opened(house)
    old = await bucket.put("inputs/x.json", {"mode": "wait", "words": [str(tmp_path / "never")], "number": 1})
    assert old is not None
    await wait_running(bucket, old.id)
    await bucket.put("inputs/x.json", {"number": 2})
    assert (await bucket.jobs.get(old.id)).status is Status.CANCELLED
    log = await bucket.wait_log("x")
    assert "working on 2\n" in log
    await wait_delivered(bucket, old.id)
    assert json.loads(await bucket.get("outputs/x.json"))["number"] == 2


async def wait_running(bucket: Bucket, job_id: str) -> None:
    async def runs() -> bool:
        return (await bucket.jobs.get(job_id)).status is Status.RUNNING

    await bucket.wait_for(runs)


async def wait_delivered(bucket: Bucket, job_id: str) -> None:
    async def none_left() -> bool:
        return not await bucket.deliveries.pending(job_id)

    await bucket.wait_for(none_left)


async def test_uploads_of_one_key_at_once_end_in_the_last(house: OpenHouse) -> None:
    bucket = await opened(house, workers=2)
    await asyncio.gather(*(bucket.put("inputs/x.json", {"number": number}) for number in range(10)))
    last = json.loads(await bucket.get("inputs/x.json"))["number"]

    async def settled() -> bool:
        try:
            return bool(json.loads(await bucket.get("outputs/x.json"))["number"] == last)
        except NotFound:
            return False

    await bucket.wait_for(settled)
    jobs, _ = await bucket.jobs.list(["x"], limit=100)
    assert sum(not job.status.final for job in jobs) == 0
    assert f"working on {last}\n" in await bucket.wait_log("x")


async def test_inputs_that_share_a_stem_do_not_share_outputs(house: OpenHouse) -> None:
    bucket = await opened(house)
    for key, data in (("a.json", b"{}"), ("a.png", b"123"), ("a", b"1234"), ("d/a.json", b"{}"), ("a b.json", b"{}")):
        await bucket.put(f"inputs/{key}", data)
    logs = await bucket.wait_keys(5)
    assert len(logs) == 5 and {"outputs/a.log", "outputs/a.png.log", "outputs/d/a.log", "outputs/a b.log"} < set(logs)
    assert json.loads(await bucket.get("outputs/a.png.json"))["file"]["size"] == 3
    [own] = set(logs) - {"outputs/a.log", "outputs/a.png.log", "outputs/d/a.log", "outputs/a b.log"}
    assert json.loads(await bucket.get(own.replace(".log", ".json")))["file"]["size"] == 4


async def test_an_input_that_is_removed_gives_its_stem_back(house: OpenHouse) -> None:
    bucket = await opened(house)
    await bucket.put("inputs/a.json", {})
    await bucket.wait_log("a")
    await bucket.remove("inputs/a.json")
    assert await bucket.has("outputs/a.json")
    await bucket.put("inputs/a.png", b"123")
    await bucket.wait_log("a")
    assert json.loads(await bucket.get("outputs/a.json"))["file"]["size"] == 3


async def test_an_input_removed_while_its_job_waits_has_a_log(house: OpenHouse, tmp_path: Path) -> None:
    bucket = await opened(house)
    gate = tmp_path / "gate"
    await bucket.put("inputs/first.json", {"mode": "wait", "words": [str(gate)]})
    await bucket.put("inputs/second.json", {})
    await bucket.remove("inputs/second.json")
    gate.touch()
    log = await bucket.wait_log("second")
    assert log == "failed (not_found): inputs/second.json was deleted before its turn came\n"


@pytest.mark.parametrize("key", ["inputs/", "inputs/folder/", "outputs/x.json", "x.json", ".modelport/x"])
async def test_other_keys_start_nothing(house: OpenHouse, key: str) -> None:
    bucket = await opened(house)
    await bucket.bucket_jobs.begin_upload(bucket.name, key)
    assert await bucket.bucket_jobs.arrived(bucket.name, key, "", 0) is None
    assert await bucket.bucket_jobs.arrived("no-bucket", "inputs/x.json", "", 0) is None
    assert await bucket.jobs.count(["x"]) == 0


async def test_a_cancelled_job_has_a_log_that_says_so(house: OpenHouse) -> None:
    bucket = await opened(house)
    job = await bucket.put("inputs/x.json", {"mode": "wait", "words": ["/never"]})
    assert job is not None
    await wait_running(bucket, job.id)
    await bucket.jobs.cancel(job.id)
    assert (await bucket.wait_log("x")).startswith("failed (cancelled): the job was cancelled\n")
    again = await bucket.jobs.again(job.id)
    assert again.origin["key"] == "inputs/x.json"


async def test_more_than_may_wait_is_refused_before_the_upload(house: OpenHouse) -> None:
    bucket = await opened(house, job_limit=2)
    for number in range(3):
        await bucket.put(f"inputs/{number}.json", {"mode": "wait", "words": ["/never"]})
    with pytest.raises(Overloaded):
        await bucket.put("inputs/3.json", {})
    assert not await bucket.has("inputs/3.json")


async def test_a_restart_runs_nothing_again_and_takes_up_what_was_laid_down(tmp_path: Path) -> None:
    folder = tmp_path / "buckets" / "x-bucket" / "inputs"
    shared = {"home": str(tmp_path / "home"), "bucket_folder": str(tmp_path / "buckets"), "s3_port": 0}
    async with open_house(tmp_path, PLUGIN, **shared) as first:
        bucket = Bucket(first)
        for name in ("a", "b", "gone"):
            job = await bucket.put(f"inputs/{name}.json", {})
            assert job is not None
            await bucket.wait_done(job)
    (folder / "by hand").mkdir()
    (folder / "by hand" / "c.json").write_text("{}")
    (folder / "by hand" / ".hidden").write_text("{}")
    (folder / "b.json").write_text('{"number": 2}')
    (folder / "gone.json").unlink()
    async with open_house(tmp_path, PLUGIN, **shared) as second:
        bucket = Bucket(second)
        await bucket.wait_log("by hand/c")
        await bucket.wait_log("by hand/.hidden")

        async def again() -> bool:
            return await bucket.has("outputs/b.json") and b'"number": 2' in await bucket.get("outputs/b.json")

        await bucket.wait_for(again)
        await wait_until(lambda: bucket.bucket_jobs.passes(bucket.name) > 0)
        assert await bucket.jobs.count(["x"]) == 6
        await bucket.put("inputs/gone.png", b"123")
        await bucket.wait_for(lambda: bucket.has("outputs/gone.json"))
        assert '"size": 3' in await bucket.text("outputs/gone.json")


async def test_a_store_that_was_lost_makes_nothing_run_again(tmp_path: Path) -> None:
    shared = {"bucket_folder": str(tmp_path / "buckets"), "s3_port": 0}
    async with open_house(tmp_path, PLUGIN, home=str(tmp_path / "home"), **shared) as first:
        bucket = Bucket(first)
        await bucket.put("inputs/a.json", {})
        await bucket.put("inputs/a.png", b"123")
        await bucket.wait_keys(2)
    async with open_house(tmp_path, PLUGIN, home=str(tmp_path / "another home"), **shared) as second:
        bucket = Bucket(second)
        await wait_until(lambda: bucket.bucket_jobs.passes(bucket.name) > 0)
        assert await bucket.jobs.count(["x"]) == 0
        await bucket.put("inputs/a.json", {"number": 5})
        assert "working on 5" in await bucket.wait_log("a")


async def test_an_object_takes_at_most_four_commits(
    house: OpenHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = await opened(house)
    first = await bucket.put("inputs/first.json", {})
    assert first is not None
    await bucket.wait_done(first)
    groups: list[int] = []
    commit = Writer._commit

    def counted(self: Writer, group: Sequence[Write]) -> None:
        groups.append(len(group))
        commit(self, group)

    monkeypatch.setattr(Writer, "_commit", counted)
    gate = tmp_path / "gate"
    job = await bucket.put("inputs/x.json", {"mode": "wait", "words": [str(gate)]})
    assert len(groups) == 1, "one before an upload is acknowledged"
    gate.touch()
    assert job is not None
    await bucket.wait_done(job)
    assert sum(groups) <= 4


async def test_a_result_that_is_a_file_takes_no_room_of_its_own(house: OpenHouse) -> None:
    bucket = await opened(house)
    job = await bucket.put("inputs/x.json", {"mode": "large", "number": 3_000_000})
    assert job is not None
    await bucket.wait_done(job)
    job = await bucket.jobs.get(job.id)
    outcome = await bucket.jobs.outcome(job)
    assert outcome.path is not None and bucket.bucket_jobs.tree is not None
    assert os.path.samefile(outcome.path, bucket.bucket_jobs.tree.folder / bucket.name / "outputs/x.json")
    await bucket.put("inputs/x.json", {"mode": "large", "number": 5})
    await bucket.wait_log("x")
    assert Path(outcome.path).stat().st_size > 3_000_000  # what is put in a result's place is another file


async def test_keys_reach_their_own_bucket_and_can_be_changed(house: OpenHouse) -> None:
    opened_house = await house({"x": PLUGIN, "my_model": PLUGIN}, s3_port=0)
    bucket = Bucket(opened_house, "my_model")
    bucket_jobs = bucket.bucket_jobs
    access = bucket_jobs.bucket_keys.access("my_model")
    assert access is not None
    assert (access.bucket, access.region) == ("my-model", "us-east-1")
    assert access.endpoint.startswith("http://127.0.0.1:")
    assert access.access_key.startswith("my-model-") and access.secret_key not in repr(access)
    assert bucket_jobs.bucket_keys.secret_of(access.access_key) == (access.secret_key, frozenset({"my-model"}))
    owner = bucket_jobs.bucket_keys.owner_access()
    assert bucket_jobs.bucket_keys.secret_of(owner.access_key) == (owner.secret_key, None)
    assert bucket_jobs.bucket_keys.secret_of("nobody") is None and bucket_jobs.bucket_keys.secret_of("") is None
    changed = await bucket_jobs.bucket_keys.rotate("my_model")
    assert changed == bucket_jobs.bucket_keys.access("my_model") and changed.access_key != access.access_key
    assert bucket_jobs.bucket_keys.secret_of(access.access_key) is None
    with pytest.raises(NotFound):
        await bucket_jobs.bucket_keys.rotate("nothing")
    assert bucket_jobs.bucket_keys.bucket_names() == ["my-model", "x-bucket"]
    assert bucket_jobs.bucket_keys.deployment_of("my-model") == "my_model"
    assert bucket_jobs.bucket_keys.deployment_of("nothing") is None
    with pytest.raises(Conflict):
        await bucket_jobs.remove_bucket("my-model")


async def test_a_service_has_its_bucket_at_once_and_leaves_it_behind(house: OpenHouse) -> None:
    opened_house = await house({}, s3_port=0)
    first = await deploy(opened_house)
    bucket = Bucket(opened_house, "words")
    access = bucket.bucket_jobs.bucket_keys.access("words")
    assert first.name == "words" and access is not None
    await bucket.put("inputs/a.json", {})
    await bucket.wait_log("a")
    gate = opened_house.folder / "gate"
    await bucket.put("inputs/b.json", {"mode": "wait", "words": [str(gate)]})
    await services(opened_house).undeploy("words")
    assert bucket.bucket_jobs.bucket_keys.access("words") is None
    assert bucket.bucket_jobs.bucket_keys.secret_of(access.access_key) is None
    assert bucket.bucket_jobs.bucket_keys.bucket_names() == ["words"]
    assert bucket.bucket_jobs.bucket_keys.deployment_of("words") is None
    assert await bucket.has("outputs/a.json")
    assert await bucket.put("inputs/c.json", {}) is None
    gate.touch()
    await deploy(opened_house)
    again = bucket.bucket_jobs.bucket_keys.access("words")
    assert again is not None and again.bucket == "words" and again.access_key != access.access_key
    await bucket.wait_keys(3)  # what had no outputs is taken up
    await services(opened_house).undeploy("words")
    await deploy(opened_house, owner="somebody else")
    other = bucket.bucket_jobs.bucket_keys.access("words")
    assert other is not None and other.bucket == "words-2"
    await bucket.bucket_jobs.remove_bucket("words")
    assert bucket.bucket_jobs.bucket_keys.bucket_names() == ["words-2"]
    assert not (opened_house.home / "buckets" / "words").exists()


async def test_an_account_s_keys_reach_the_buckets_of_its_services(house: OpenHouse) -> None:
    opened_house = await house({}, s3_port=0)
    user = "0123@example.eu"
    await deploy(opened_house, owner=user)
    await deploy(opened_house, name="others")
    assert opened_house.server.gateway is not None and opened_house.server.gateway.bucket_jobs is not None
    bucket_jobs = opened_house.server.gateway.bucket_jobs
    access = await bucket_jobs.bucket_keys.account_access(user)
    assert access == await bucket_jobs.bucket_keys.account_access(user)
    assert access.access_key == user
    assert bucket_jobs.bucket_keys.secret_of(user) == (access.secret_key, frozenset({"words"}))
    odd = await bucket_jobs.bucket_keys.account_access("oscar")
    assert odd.access_key != "oscar"
    assert bucket_jobs.bucket_keys.secret_of(odd.access_key) == (odd.secret_key, frozenset())


def services(house: House) -> Any:
    assert house.server.gateway is not None
    return house.server.gateway.services


async def deploy(house: House, name: str = "words", owner: str = "") -> Any:
    path = house.folder / "words.py"
    path.write_text(PLUGIN)
    return await services(house).deploy(DeploymentRow(name, str(path), owner=owner))


async def test_what_arrives_while_the_bucket_is_gone_through_keeps_its_outputs(tmp_path: Path) -> None:
    inputs = tmp_path / "home" / "buckets" / "x-bucket" / "inputs"
    inputs.mkdir(parents=True)
    for number in range(20):
        (inputs / f"laid {number}.json").write_text("{}")
    async with open_house(tmp_path, PLUGIN, s3_port=0, workers=2) as opened_house:
        bucket = Bucket(opened_house)
        await asyncio.gather(*(bucket.put(f"inputs/put {number}.json", {}) for number in range(20)))
        seen: set[str] = set()
        while not bucket.bucket_jobs.passes(bucket.name) or len(seen) < 80:
            keys = set(await bucket.keys())
            assert seen <= keys
            seen = keys

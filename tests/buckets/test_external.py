"""Buckets on an S3 service of somebody else's: found by listing or told by events, lost by no outage."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelport.errors import NotFound
from tests.buckets.conftest import PLUGIN, Bucket, Elsewhere
from tests.house import House, open_house

LIST_S = 0.2
INPUT = b'{"number": 3}'


@contextlib.asynccontextmanager
async def serving(elsewhere: Elsewhere, folder: Path, **settings: Any) -> AsyncIterator[tuple[House, Bucket]]:
    options = {"bucket_list_s": LIST_S, "bucket_timeout_s": 3.0, "workers": 2, **elsewhere.settings, **settings}
    async with open_house(folder, PLUGIN, **options) as house:
        yield house, Bucket(house)


async def put(elsewhere: Elsewhere, bucket: str, **objects: bytes) -> None:
    """As somebody else's client does."""
    client = elsewhere.client()

    def work() -> None:
        for name, data in objects.items():
            client.put_object(Bucket=bucket, Key=f"inputs/{name}.json", Body=data)

    await asyncio.to_thread(work)


async def wait_bucket(bucket: Bucket) -> None:
    """Until the server has made it."""

    async def there() -> bool:
        return bucket.bucket_jobs.passes(bucket.name) > 0

    await bucket.wait_for(there)


async def test_objects_are_found_and_run_once(elsewhere: Elsewhere, tmp_path: Path) -> None:
    async with serving(elsewhere, tmp_path) as (_, bucket):
        await wait_bucket(bucket)
        await put(elsewhere, bucket.name, a=INPUT, b=b"{")
        await bucket.wait_keys(2)
        assert await bucket.keys() == ["outputs/a.json", "outputs/a.log", "outputs/b.log"]
        assert json.loads(await bucket.get("outputs/a.json"))["number"] == 3
        await passes(bucket, 3)
        assert await bucket.jobs.count(["x"]) == 2


async def passes(bucket: Bucket, number: int) -> None:
    """Until the bucket has been gone through so often again."""
    end = bucket.bucket_jobs.passes(bucket.name) + number

    async def enough() -> bool:
        return bucket.bucket_jobs.passes(bucket.name) >= end

    await bucket.wait_for(enough)


async def test_an_object_that_is_put_again_runs_again(elsewhere: Elsewhere, tmp_path: Path) -> None:
    async with serving(elsewhere, tmp_path) as (_, bucket):
        await wait_bucket(bucket)
        await put(elsewhere, bucket.name, a=INPUT)
        await bucket.wait_log("a")
        await put(elsewhere, bucket.name, a=b'{"number": 44}')

        async def again() -> bool:
            with contextlib.suppress(NotFound):  # the stale result goes before the job begins
                return b"44" in await bucket.get("outputs/a.json")
            return False

        await bucket.wait_for(again)
        assert await bucket.jobs.count(["x"]) == 2


async def test_an_event_is_quicker_than_the_list_and_counts_once(elsewhere: Elsewhere, tmp_path: Path) -> None:
    async with serving(elsewhere, tmp_path, bucket_list_s=3600) as (_, bucket):
        await wait_bucket(bucket)
        await put(elsewhere, bucket.name, a=INPUT)
        job = await bucket.bucket_jobs.arrived(bucket.name, "inputs/a.json", "whatever", 0)
        assert job is not None
        assert await bucket.bucket_jobs.arrived(bucket.name, "inputs/a.json", "whatever", 0) is None
        assert await bucket.bucket_jobs.arrived(bucket.name, "inputs/never.json", "", 0) is None
        await bucket.wait_log("a")
        assert await bucket.jobs.count(["x"]) == 1


async def test_a_restart_runs_nothing_again_also_where_our_own_store_is_lost(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    async with serving(elsewhere, tmp_path, home=str(tmp_path / "first")) as (_, bucket):
        await wait_bucket(bucket)
        await put(elsewhere, bucket.name, a=INPUT, b=b"{")
        await bucket.wait_keys(2)
    for home, count in (("first", 2), ("second", 0)):
        async with serving(elsewhere, tmp_path, home=str(tmp_path / home)) as (_, bucket):
            await wait_bucket(bucket)
            assert await bucket.jobs.count(["x"]) == count


async def test_a_log_of_another_content_does_not_count(elsewhere: Elsewhere, tmp_path: Path) -> None:
    async with serving(elsewhere, tmp_path, home=str(tmp_path / "first")) as (_, bucket):
        await wait_bucket(bucket)
        await put(elsewhere, bucket.name, a=INPUT)
        await bucket.wait_log("a")
    await put(elsewhere, "x-bucket", a=b'{"number": 44}')
    async with serving(elsewhere, tmp_path, home=str(tmp_path / "second")) as (_, bucket):
        await bucket.wait_for(lambda: is_number(bucket, "a", 44))


async def is_number(bucket: Bucket, stem: str, number: int) -> bool:
    key = f"outputs/{stem}.json"
    return await bucket.has(key) and json.loads(await bucket.get(key))["number"] == number


@pytest.mark.parametrize(("number", "outage_s"), [(60, 3), (500, 30)])
@pytest.mark.thorough
async def test_an_outage_in_the_middle_loses_nothing(
    elsewhere: Elsewhere, tmp_path: Path, number: int, outage_s: float
) -> None:
    async with serving(elsewhere, tmp_path) as (house, bucket):
        await wait_bucket(bucket)
        await put(elsewhere, bucket.name, **{str(each): b'{"number": %d}' % each for each in range(number)})
        await bucket.wait_keys(5)
        elsewhere.kill()
        await wait_ready(house, bucket, False)
        assert "cannot be reached" in str((await ready(house))["buckets"])
        await asyncio.sleep(outage_s)
        elsewhere.start()
        logs = await bucket.wait_keys(number, within_s=120 + number / 2)
        assert len(logs) == number, logs
        for each in range(number):
            assert await is_number(bucket, str(each), each)
        await wait_ready(house, bucket, True)
        assert await bucket.jobs.count(["x"]) == number


async def ready(house: House) -> Any:
    return (await house.get("/ready")).json()


async def wait_ready(house: House, bucket: Bucket, expected: bool) -> None:
    async def condition() -> bool:
        return bool((await ready(house))["buckets"]["ready"] is expected)

    await bucket.wait_for(condition, 60)


async def test_wrong_keys_are_seen_and_nothing_else_suffers(elsewhere: Elsewhere, tmp_path: Path) -> None:
    async with serving(elsewhere, tmp_path, bucket_secret_key="wrong-secret") as (house, bucket):
        await wait_ready(house, bucket, False)
        answer = await house.get("/ready")
        assert answer.status == 200
        assert "rejects the server's keys (SignatureDoesNotMatch)" in answer.text and "wrong-secret" not in answer.text
        assert (await house.predict()).status == 200


async def test_a_store_that_is_too_slow_is_seen(elsewhere: Elsewhere, tmp_path: Path) -> None:
    async with serving(elsewhere, tmp_path, bucket_timeout_s=0.5) as (house, bucket):
        await wait_bucket(bucket)
        elsewhere.pause()
        try:
            await wait_ready(house, bucket, False)
            assert "did not answer within 0.5 s" in (await house.get("/ready")).text
        finally:
            elsewhere.go_on()
        await wait_ready(house, bucket, True)


async def test_two_servers_on_one_bucket_give_one_result_an_object(elsewhere: Elsewhere, tmp_path: Path) -> None:
    number = 60
    gate = tmp_path / "gate"
    waiting = {"mode": "wait", "words": [str(gate)]}
    objects = {str(name): json.dumps({**waiting, "number": name}).encode() for name in range(number)}
    # Neither can hold them all, so that both have their part.
    limit = number - number // 3
    async with (
        serving(elsewhere, tmp_path / "1", job_limit=limit) as (_, one),
        serving(elsewhere, tmp_path / "2", job_limit=limit) as (_, other),
    ):
        await wait_bucket(one)
        await wait_bucket(other)
        await put(elsewhere, one.name, **objects)

        async def shared() -> bool:
            return all([await bucket.jobs.count(["x"]) > 0 for bucket in (one, other)])

        await one.wait_for(shared)
        gate.touch()
        await one.wait_keys(number, within_s=120)
        await passes(one, 2)
        await passes(other, 2)
        # One that is run twice has no result for a while.
        await one.wait_for(lambda: whole(one, number), within_s=120)
        counts = [await each.jobs.count(["x"]) for each in (one, other)]
        # Claims are a courtesy: some may run twice, the more the slower the store, but none twice on one server.
        assert number <= sum(counts) < 2 * number and max(counts) <= number, counts


async def test_a_server_claims_no_more_than_it_may_hold(elsewhere: Elsewhere, tmp_path: Path) -> None:
    waiting = json.dumps({"mode": "wait", "words": [str(tmp_path / "gate")]}).encode()
    async with serving(elsewhere, tmp_path, workers=1) as (_, bucket):
        await wait_bucket(bucket)
        await put(elsewhere, bucket.name, **{str(name): waiting for name in range(60)})

        async def full() -> bool:
            return await bucket.jobs.count(["x"]) >= 4 * 1 + 16

        await bucket.wait_for(full)
        assert len(await bucket.keys(".modelport/claims/")) == 20
        (tmp_path / "gate").touch()
        await bucket.wait_keys(60, within_s=120)


async def whole(bucket: Bucket, number: int) -> bool:
    """Whether the outputs are one result and one log for each object, and no more."""
    with contextlib.suppress(NotFound):
        results = [await is_number(bucket, str(name), name) for name in range(number)]
        return all(results) and len(await bucket.keys()) == 2 * number
    return False


async def test_what_a_server_that_has_gone_had_begun_is_taken_over(elsewhere: Elsewhere, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waiting = json.dumps({"mode": "wait", "words": [str(gate)]}).encode()
    async with serving(elsewhere, tmp_path / "1") as (_, one):
        await wait_bucket(one)
        await put(elsewhere, one.name, a=waiting)

        async def begun() -> bool:
            return await one.jobs.count(["x"]) == 1

        await one.wait_for(begun)
    async with serving(elsewhere, tmp_path / "2") as (_, other):
        await wait_bucket(other)
        gate.touch()
        await other.wait_log("a")
        assert await other.jobs.count(["x"]) == 1


async def test_more_objects_than_jobs_may_wait_are_all_run(elsewhere: Elsewhere, tmp_path: Path) -> None:
    async with serving(elsewhere, tmp_path, job_limit=5) as (_, bucket):
        await wait_bucket(bucket)
        await put(elsewhere, bucket.name, **{str(number): INPUT for number in range(40)})
        assert len(await bucket.wait_keys(40, within_s=120)) == 40


async def test_a_key_that_cannot_be_read_has_a_log_and_holds_nothing_up(elsewhere: Elsewhere, tmp_path: Path) -> None:
    async with serving(elsewhere, tmp_path) as (_, bucket):
        await wait_bucket(bucket)
        elsewhere.client().put_object(Bucket=bucket.name, Key="inputs/\x7f.json", Body=INPUT)
        await put(elsewhere, bucket.name, a=INPUT)
        logs = await bucket.wait_keys(2)
        [odd] = set(logs) - {"outputs/a.log"}
        assert odd.startswith("outputs/_-")
        assert (await bucket.text(odd)).startswith("failed (invalid_request): an object of the name ")


@pytest.mark.parametrize("prefix", ["modelport-", ""])
async def test_buckets_have_the_prefix_of_the_settings_and_no_keys_to_give_away(
    elsewhere: Elsewhere, tmp_path: Path, prefix: str
) -> None:
    async with serving(elsewhere, tmp_path, bucket_prefix=prefix) as (_, bucket):
        assert bucket.name == (f"{prefix}x" if prefix else "x-bucket")
        access = bucket.bucket_jobs.bucket_keys.access("x")
        assert access is not None and (access.access_key, access.secret_key) == ("", "")
        assert access.endpoint == elsewhere.url
        assert bucket.bucket_jobs.bucket_keys.owner_access().access_key == "testkey"

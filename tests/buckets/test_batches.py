"""A folder of inputs as one batch: counted, labelled, and each answer read once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from modelport.bucketjobs import BucketJobs, batches
from modelport.bucketjobs.batches import BatchOverview
from modelport.bucketjobs.labels import Said, labels_of
from modelport.contract.prediction import Status
from modelport.objectstore.tree import Tree
from tests.buckets.conftest import Elsewhere
from tests.house import PATIENCE_S, House, open_house, wait_until

# The content says what becomes of it.
MODEL = """
import time
from marshmallow import fields
def get_predict_args(): return {"file": fields.Raw(required=True, metadata={"type": "file", "location": "form"})}
def predict(file):
    label, _, score = open(file.filename).read().partition(" ")
    if label == "fail":
        raise ValueError("<b>that was nothing</b>")
    return {"label": label, "confidence": float(score)}
"""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """For all tests; each has a folder of its own."""
    async with open_house(tmp_path_factory.mktemp("batches"), {"pets": MODEL}) as opened:
        yield opened


def bucket_jobs(house: House) -> BucketJobs:
    found = house.gateway.bucket_jobs
    assert found is not None
    return found


async def put(house: House, folder: str, **files: str) -> None:
    jobs = bucket_jobs(house)
    for name, text in files.items():
        key = f"inputs/{folder}/{name}.txt"
        await jobs.objects.put("pets", key, text.encode())
        found = await jobs.objects.head("pets", key)
        await jobs.arrived("pets", key, found.etag, found.size_bytes)


async def settled(house: House, count: int, folder: str = "day") -> BatchOverview:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            batch = await bucket_jobs(house).batches.look("pets", f"inputs/{folder}/", PATIENCE_S)
            assert not batch.failure
            if batch.settled and len(batch.entries) == count:
                return batch
            await asyncio.sleep(0.01)


async def test_a_batch_is_counted_with_the_labels_of_its_answers(house: House) -> None:
    await put(house, "day", a="cat 0.9", b="cat 0.5", c="dog 0.7", d="fail")
    batch = await settled(house, 4)
    assert (batch.done, batch.failed, batch.waiting, batch.labels) == (3, 1, 0, [("cat", 2), ("dog", 1)])
    first, failed = batch.entries[0], batch.entries[-1]
    assert (first.key, first.result, first.said.confidence) == ("inputs/day/a.txt", "outputs/day/a.json", 0.9)
    assert first.job_id and first.duration_s is not None and batch.slowest in batch.entries
    assert (failed.status, failed.result, failed.log) == (Status.FAILED, "", "outputs/day/d.log")
    assert "that was nothing" in failed.error
    await put(house, "day/night", e="cat 0.9")
    assert (await settled(house, 5)).done == 4
    assert (await settled(house, 1, "day/night")).done == 1
    assert not (await settled(house, 0, "another day")).entries


async def test_without_their_jobs_the_outputs_say_what_has_become_of_the_files(house: House) -> None:
    await put(house, "gone", a="cat 0.9", b="fail")
    for entry in (await settled(house, 2, "gone")).entries:
        await house.gateway.jobs.delete(entry.job_id)
    batch = await settled(house, 2, "gone")
    async with asyncio.timeout(PATIENCE_S):
        while batch.entries[0].job_id or batch.entries[1].job_id:
            batch = await settled(house, 2, "gone")
    done, failed = batch.entries
    assert (done.status, done.job_id, done.said.labels) == (Status.SUCCEEDED, "", (("cat", 1),))
    assert (failed.status, failed.job_id, failed.result) == (Status.FAILED, "", "")
    assert "that was nothing" in failed.error
    answers = [
        (entry.status.value, body) async for entry, body in bucket_jobs(house).batches.answers("pets", "inputs/gone/")
    ]
    assert answers == [("succeeded", b'{"label": "cat", "confidence": 0.9}'), ("failed", None)]


async def test_each_answer_is_read_once_and_again_when_it_has_changed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    read_small = Tree.read_small

    async def counted(self: Tree, bucket: str, keys: Sequence[str], limit_bytes: int) -> dict[str, bytes]:
        reads.update(keys)
        return await read_small(self, bucket, keys, limit_bytes)

    threads = set()

    def labelled(answer: bytes) -> Said:
        threads.add(threading.get_ident())
        return labels_of(answer)

    monkeypatch.setattr(Tree, "read_small", counted)
    monkeypatch.setattr(batches, "labels_of", labelled)
    monkeypatch.setattr(batches, "LEAST_PAUSE_S", 0.0)
    monkeypatch.setattr(batches, "PAUSE_SHARE", 0)
    names = [f"f{number:03}" for number in range(100)]
    await put(house, "read", **dict.fromkeys(names, "cat 0.9"))
    await settled(house, 100, "read")
    for _ in range(5):
        await settled(house, 100, "read")
    assert reads == {f"outputs/read/{name}.json": 1 for name in names}
    await bucket_jobs(house).objects.put("pets", "outputs/read/f007.json", b'{"label": "lion", "confidence": 0.9}')
    assert ("lion", 1) in (await settled(house, 100, "read")).labels
    assert reads["outputs/read/f007.json"] == 2 and reads.total() == 101
    assert threads and threading.get_ident() not in threads


async def test_an_answer_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"pets": MODEL}, batch_result_bytes=50) as house:
        await put(house, "day", a="cat 0.9", b=f"{'dog' * 30} 0.9")
        batch = await settled(house, 2)
        assert (batch.done, batch.labels) == (2, [("cat", 1)])
        answers = [
            (entry.result, body is None) async for entry, body in bucket_jobs(house).batches.answers("pets", "inputs/")
        ]
        assert answers == [("outputs/day/a.json", False), ("outputs/day/b.json", True)]


async def test_files_beyond_the_limit_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"pets": MODEL}, batch_files=2) as house:
        await put(house, "day", a="cat 0.9", b="cat 0.9", c="cat 0.9")
        assert (await settled(house, 2)).more
        assert len([entry async for entry, _ in bucket_jobs(house).batches.answers("pets", "inputs/")]) == 3


@pytest.mark.slow
async def test_a_batch_in_another_s_store_is_the_same(tmp_path: Path, elsewhere: Elsewhere) -> None:
    async with open_house(tmp_path, {"pets": MODEL}, **elsewhere.settings, bucket_list_s=0.1) as house:
        await wait_until(lambda: bucket_jobs(house).passes("pets"))  # the bucket has been made
        await put(house, "day", a="cat 0.9", b="fail")
        batch = await settled(house, 2)
        assert (batch.done, batch.failed, batch.labels) == (1, 1, [("cat", 1)])

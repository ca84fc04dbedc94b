"""The store is killed, or its disk fails, at every step of what changes objects."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from modelport.errors import NotFound
from modelport.objectstore.keys import FOLDER_FILE, TEMPORARY
from modelport.objectstore.parts import Uploads
from modelport.objectstore.tree import Tree
from tests.faults.jobs import SEED
from tests.faults.test_jobs_kill_points import strace, why_not
from tests.s3.steps import BUCKET, CONTENTS, STEPS, key_of

# Some of the steps each time, others in another run.
POINTS = 10
CALLS = ("fsync", "rename,renameat,renameat2", "fsetxattr", "unlink,unlinkat", "mkdir,mkdirat", "write", "link,linkat")


async def look(tree: Tree) -> dict[str, Any]:
    """The objects there are: their step and whether they are new, each of them whole and with its own record."""
    found: dict[str, Any] = {}
    for step in STEPS:
        try:
            async with tree.read(BUCKET, key_of(step), limit_bytes=1 << 30) as (info, chunks):
                data = b"".join([chunk async for chunk in chunks])
        except NotFound:
            continue
        found[step] = {b"old": "old", CONTENTS.get(step): "new"}[data]
        assert info.etag == hashlib.md5(data).hexdigest()
        assert info.content_type == ("x/old" if found[step] == "old" else f"x/{step}")
    return found


async def check(root: Path, said: str) -> None:
    """After a new start: what was acknowledged is there, what was not is as before or as wanted, and that is all."""
    tree = Tree(root)
    await tree.start()
    uploads = Uploads(tree, 3600)
    await uploads.load()
    for upload in list(uploads.under_way.values()):
        await uploads.forget(upload)
    await tree.in_thread(lambda: None)
    assert tree._sweeping is not None
    await tree._sweeping
    done = re.findall(r"^done (\w+)", said, re.M)
    found = await look(tree)
    for step in STEPS:
        if step == "delete":
            assert step not in found or (step not in done and found[step] == "old")
        elif step in done:
            assert found[step] == "new", (step, said)
        else:
            assert found.get(step) in ("old", "new", None if step != "put" else "old"), (step, said)
    await tree.close()
    left = [path for path in root.rglob("*") if path.name.startswith((TEMPORARY, "."))]
    assert {path.name for path in left} <= {FOLDER_FILE, ".modelport"}
    assert not list((root / ".modelport/uploads").iterdir())


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := why_not():
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("crashes") / "buckets"
    asyncio.run(fill(root))
    root.with_name("answer").write_bytes(CONTENTS["link"])
    return root


async def fill(root: Path) -> None:
    tree = Tree(root)
    await tree.start()
    await tree.make_bucket(BUCKET)
    for key in ("outputs/put", "outputs/stream", "outputs/delete", "outputs/delete in a folder/x"):
        await tree.put_bytes(BUCKET, key, b"old", {"content-type": "x/old"})
    await tree.close()


def run(before: Path, folder: Path, *options: str) -> tuple[Path, subprocess.CompletedProcess[str]]:
    root = folder / "buckets"
    folder.mkdir()
    subprocess.run(["cp", "-a", before, root], check=True)
    shutil.copy(before.with_name("answer"), folder)
    command = [*strace(folder / "trace", "-qq", *options), sys.executable, "-m", "tests.s3.steps", str(root)]
    return root, subprocess.run(command, capture_output=True, text=True)


def count(before: Path, folder: Path, calls: str) -> int:
    """How many such calls all of it takes, of the thread that makes most."""
    _, process = run(before, folder, "-e", f"trace={calls}")
    assert process.stdout.split()[-1] == "delete", process.stderr
    counter = Counter(line.split()[0] for line in (folder / "trace").read_text().splitlines() if "(" in line)
    return max(counter.values(), default=0)


def points(number: int) -> list[int]:
    seed = int(os.environ.get(SEED) or random.randrange(1 << 32))
    print(f"{SEED}={seed}")
    return random.Random(seed).sample(range(1, number + 1), min(number, POINTS))


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("calls", CALLS)
async def test_a_store_that_dies_at_any_step_has_each_object_as_before_or_as_wanted(
    before: Path, tmp_path: Path, calls: str
) -> None:
    number = count(before, tmp_path / "count", calls)
    assert number
    killed = 0
    for when in points(number):
        inject = f"inject={calls}:signal=KILL:when={when}"
        root, process = run(before, tmp_path / f"{when}", "-e", f"trace={calls}", "-e", inject)
        killed += process.returncode == -signal.SIGKILL
        await check(root, process.stdout)
    assert killed


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("calls", CALLS)
async def test_a_disk_that_fails_at_any_step_is_an_answer(before: Path, tmp_path: Path, calls: str, error: str) -> None:
    if calls == "write" and error == "EIO":
        pytest.skip("what it says is written, too")
    number = count(before, tmp_path / "count", calls)
    refused = 0
    for when in points(number):
        inject = f"inject={calls}:error={error}:when={when}"
        root, process = run(before, tmp_path / f"{when}", "-e", f"trace={calls}", "-e", inject)
        stopped = "Traceback" in process.stderr  # before the first step
        refused += stopped + process.stdout.count("refused")
        if not stopped:
            assert len(re.findall("^(done|refused)", process.stdout, re.M)) == len(STEPS), process.stdout
        await check(root, process.stdout)
    # What is left of a temporary file is swept up later, and what is no attribute of a file is a file of its own.
    assert refused or calls in ("unlink,unlinkat", "fsetxattr")

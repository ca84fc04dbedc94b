"""Objects as files: what people do to a folder, and what is kept beside the bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelport.errors import BucketUnavailable, Conflict, InvalidRequest, ModelportError, NotFound, StorageFull
from modelport.objectstore import NewObject
from modelport.objectstore.disk import Disk
from modelport.objectstore.records import ATTRIBUTE
from modelport.objectstore.tree import Tree
from tests.house import wait_until

HEADERS = {"content-type": "x/y", "x-amz-meta-note": "ü", "x-amz-checksum-crc32": "AAAA"}


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@contextlib.asynccontextmanager
async def tree_of(folder: Path) -> AsyncIterator[Tree]:
    tree = Tree(folder)
    await tree.start()
    await tree.make_bucket("b")
    try:
        yield tree
    finally:
        await tree.close()


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[Tree]:
    async with tree_of(tmp_path / "buckets") as tree:
        yield tree


async def content(tree: Tree, key: str) -> bytes:
    async with tree.read("b", key, limit_bytes=1 << 30) as (_, chunks):
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("kept", [True, False])
async def test_a_copy_of_the_folder_has_what_its_attributes_say(tree: Tree, tmp_path: Path, kept: bool) -> None:
    await tree.put_bytes("b", "outputs/a.png", b"content", HEADERS)
    copy = ["cp", "-a"] if kept else ["cp", "-r"]
    subprocess.run([*copy, tree.folder, tmp_path / "copy"], check=True)
    async with tree_of(tmp_path / "copy") as other:
        head = await other.head("b", "outputs/a.png")
        assert (head.etag, head.size_bytes) == (md5(b"content"), 7)
        assert dict(head.headers) == (HEADERS if kept else {"content-type": "image/png"})


async def test_a_copy_that_cannot_begin_leaves_nothing_open(tree: Tree) -> None:
    await tree.put_bytes("b", "large", bytes(1 << 20), {})
    async with tree.open("b", "large") as source:
        before = len(os.listdir("/proc/self/fd"))
        await tree.put_bytes("b", "file", b"", {})
        for _ in range(5):
            with pytest.raises(ModelportError):
                await tree.put_copy("b", "file/below", source, {})
        assert len(os.listdir("/proc/self/fd")) <= before


async def test_what_somebody_changes_by_hand_is_seen(tree: Tree) -> None:
    await tree.put_bytes("b", "inputs/a", b"content", HEADERS)
    path = tree.folder / "b/inputs/a"
    path.write_bytes(b"another content")
    for _ in range(2):
        page, _ = await tree.page("b", "inputs/a")
        assert [(info.key, info.etag, info.size_bytes) for info in page] == [("inputs/a", md5(b"another content"), 15)]
        head = await tree.head("b", "inputs/a")
        assert (head.etag, head.content_type, head.metadata) == (md5(b"another content"), "x/y", {"note": "ü"})
        assert "x-amz-checksum-crc32" not in head.headers
    path.rename(path.with_name("moved"))
    assert (await tree.head("b", "inputs/moved")).content_type == "x/y"
    with pytest.raises(NotFound):
        await tree.head("b", "inputs/a")
    os.setxattr(path.with_name("moved"), ATTRIBUTE, b"[nonsense")
    assert (await tree.head("b", "inputs/moved")).etag == md5(b"another content")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount one")
async def test_a_file_system_without_attributes_has_records_beside(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "ramfs", "ramfs", folder], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        async with tree_of(folder) as tree:
            await tree.put_bytes("b", "inputs/a", b"content", HEADERS)
        async with tree_of(folder) as tree:
            assert dict((await tree.head("b", "inputs/a")).headers) == HEADERS
            page, _ = await tree.page("b", "inputs/a")
            assert page[0].etag == md5(b"content")
            await tree.delete("b", ["inputs/a"])
            await tree.put_bytes("b", "inputs/a", b"content", {})
            assert dict((await tree.head("b", "inputs/a")).headers) == {"content-type": "application/octet-stream"}
            await tree.delete("b", ["inputs/a"])
            assert not [path for path in (folder / ".modelport/records").rglob("*") if path.is_file()]
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_pipe_or_a_link_is_no_object(tree: Tree) -> None:
    os.mkfifo(tree.folder / "b/inputs/pipe")
    (tree.folder / "b/inputs/link").symlink_to("/etc/passwd")
    for key in ("inputs/pipe", "inputs/link"):
        with pytest.raises(NotFound):
            await asyncio.wait_for(tree.head("b", key), 5)
    page, _ = await tree.page("b", "inputs/")
    assert [info.key for info in page] == ["inputs/"]


async def test_a_job_s_copy_is_its_own(tree: Tree, tmp_path: Path) -> None:
    await tree.put_bytes("b", "inputs/a", b"content", {})
    fetch = await tree.fetch("b", "inputs/a", tmp_path / "copy", limit_bytes=7)
    assert fetch.etag == md5(b"content")
    (tmp_path / "copy").write_bytes(b"changed")
    assert await content(tree, "inputs/a") == b"content"


async def test_a_file_becomes_an_object_by_a_link(tree: Tree, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    answer.write_bytes(b"answer")
    answer.chmod(0o400)
    await tree.put_all("b", [NewObject("outputs/x", answer, "x/y", {"m": "1"}), NewObject("outputs/l", b"log")])
    assert os.path.samefile(answer, tree.folder / "b/outputs/x")
    answer.unlink()
    head = await tree.head("b", "outputs/x")
    assert (await content(tree, "outputs/x"), head.etag, head.metadata) == (b"answer", md5(b"answer"), {"m": "1"})


async def test_a_bucket_that_somebody_has_removed_comes_back_with_an_upload(tree: Tree) -> None:
    subprocess.run(["rm", "-r", tree.folder / "b"], check=True)
    with pytest.raises(BucketUnavailable, match="does not have the bucket"):
        await tree.put("b", "inputs/a", b"x")
    assert "b" in tree.failures
    await tree.check_way("b", "inputs/a")
    await tree.put("b", "inputs/a", b"x")
    assert not tree.failures


async def test_folders_come_and_go_with_objects(tree: Tree) -> None:
    async def around(number: int) -> None:
        for _ in range(30):
            await tree.put("b", f"inputs/deep/down/{number}", b"x")
            await tree.delete("b", [f"inputs/deep/down/{number}"])

    await asyncio.gather(*map(around, range(8)))
    assert sorted(path.name for path in (tree.folder / "b/inputs").iterdir()) == [".modelport_folder"]
    await tree.put("b", "inputs/deep", b"x")
    with pytest.raises(Conflict):
        await tree.put("b", "inputs/deep/down/1", b"x")
    assert sorted(path.name for path in (tree.folder / "b/inputs").iterdir()) == [".modelport_folder", "deep"]


async def test_what_cannot_be_is_refused(tree: Tree) -> None:
    for key in ("a//b", "../x", "", ".modelport_temp_x"):
        with pytest.raises(InvalidRequest):
            await tree.put("b", key, b"x")
        with pytest.raises(NotFound):
            await tree.head("b", key)
    with pytest.raises(InvalidRequest, match="token"):
        await tree.page("b", "", "no token")


async def test_a_disk_that_is_full_is_said_and_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        async with tree_of(folder) as tree:
            with pytest.raises(StorageFull):
                await tree.put("b", "inputs/a", bytes(5 << 20))
            assert "b" in tree.failures
            await tree.put("b", "inputs/a", b"x")
            assert not tree.failures
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_what_nobody_waits_for_any_more_is_undone_in_a_thread(tmp_path: Path) -> None:
    disk, begun, go_on = Disk(tmp_path, 30), threading.Event(), threading.Event()
    undone_by: list[threading.Thread] = []

    def make() -> str:
        begun.set()
        go_on.wait()
        return "made"

    making = asyncio.create_task(disk.run(make, lambda _: undone_by.append(threading.current_thread())))
    await asyncio.to_thread(begun.wait)
    making.cancel()
    asyncio.get_running_loop().call_soon(go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await making
    await wait_until(lambda: undone_by)
    assert undone_by != [threading.main_thread()]
    await disk.close()

"""Clients as people use them: boto3 with its defaults, the rclone client, obstore."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import boto3
import obstore
import pytest
from obstore.store import S3Store

from tests.rclone import find_rclone
from tests.s3.conftest import Buckets, OpenBuckets, in_thread


class RcloneClient:
    """The command, told of our endpoint as its documentation says."""

    def __init__(self, buckets: Buckets, folder: Path, **config: str) -> None:
        config = {
            "type": "s3",
            "provider": "Rclone",
            "endpoint": buckets.url,
            "access_key_id": "digits-key",
            "secret_access_key": "digits-secret",
            **config,
        }
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RCLONE_CONFIG": os.devnull,
            **{f"RCLONE_CONFIG_OURS_{name.upper()}": value for name, value in config.items()},
        }

    async def __call__(self, *arguments: str) -> str:
        done = await in_thread(
            subprocess.run,
            [str(find_rclone()), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def make_tree(folder: Path) -> Path:
    for name, size in {
        "a.json": 10,
        "empty": 0,
        "with blank/ü.png": 5000,
        "deep/er/still/x+y%20&.bin": 300_000,
        "large.bin": 12_000_000,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.shake_256(name.encode()).digest(size))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["Rclone", "Other"])
async def test_the_rclone_client(buckets: OpenBuckets, tmp_path: Path, provider: str) -> None:
    open_ = await buckets()
    run = RcloneClient(open_, tmp_path, provider=provider)
    source = make_tree(tmp_path / "source")
    await run("copy", str(source), "ours:digits/inputs", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M")
    assert sorted((await run("lsf", "-R", "--files-only", "ours:digits/inputs")).splitlines()) == sorted(tree(source))
    await run("check", str(source), "ours:digits/inputs", "--download")
    told = len(open_.told.bucket_jobs)
    assert told == 5
    await run("sync", str(source), "ours:digits/inputs")
    assert len(open_.told.bucket_jobs) == told  # nothing had changed
    (source / "a.json").write_bytes(b"changed")
    (source / "empty").unlink()
    await run("sync", str(source), "ours:digits/inputs")
    assert [job[1] for job in open_.told.bucket_jobs[told:]] == ["inputs/a.json"]
    assert ("digits", "inputs/empty") in open_.told.gone
    target = tmp_path / "target"
    await run("copy", "ours:digits/inputs", str(target))
    assert tree(target) == tree(source)
    await run("moveto", "ours:digits/inputs/a.json", "ours:digits/outputs/b.json")
    assert (await run("cat", "ours:digits/outputs/b.json")) == "changed"
    await run("deletefile", "ours:digits/outputs/b.json")
    await run("mkdir", "ours:digits")
    assert (await run("lsd", "ours:")).split()[-1] == "digits"
    assert "inputs" in await run("lsd", "ours:digits")


async def test_a_file_of_the_rclone_client_keeps_its_time(buckets: OpenBuckets, tmp_path: Path) -> None:
    run = RcloneClient(await buckets(), tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"x")
    os.utime(source / "a", (1_600_000_000, 1_600_000_000))
    await run("copy", str(source), "ours:digits/inputs")
    assert "2020-09-13" in await run("lsl", "ours:digits/inputs")


@pytest.mark.slow
async def test_obstore(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    store = S3Store(
        "digits",
        endpoint=open_.url,
        access_key_id="digits-key",
        secret_access_key="digits-secret",
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    body = hashlib.shake_256(b"obstore").digest(12_000_000)
    await obstore.put_async(store, "inputs/small ü+.json", b"{}", attributes={"Content-Type": "application/json"})
    await obstore.put_async(store, "inputs/large", body, use_multipart=True, chunk_size=5 << 20)
    result = await obstore.get_async(store, "inputs/large")
    assert bytes(await result.bytes_async()) == body
    assert result.meta["e_tag"] == f'"{hashlib.md5(body).hexdigest()}"'
    part = await obstore.get_range_async(store, "inputs/large", start=100, length=50)
    assert bytes(part) == body[100:150]
    found = await obstore.list(store, "inputs/").collect_async()
    # The marker of the folder has lost its slash: obstore does so.
    assert [(each["path"], each["size"]) for each in found] == [
        *(("inputs", 0), ("inputs/large", 12_000_000), ("inputs/small ü+.json", 2))
    ]
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        await obstore.put_async(store, "inputs/large", b"x", mode="create")
    await obstore.copy_async(store, "inputs/small ü+.json", "outputs/copy")
    await obstore.delete_async(store, ["inputs/large", "inputs/small ü+.json"])
    with pytest.raises(FileNotFoundError):
        await obstore.head_async(store, "inputs/large")
    assert open_.files() == ["outputs/copy"]


async def test_boto3_as_the_tutorial_has_it(buckets: OpenBuckets, tmp_path: Path) -> None:
    """Its client, with nothing set but the five variables: an empty region, no addressing style."""
    open_ = await buckets()

    def script() -> list[Any]:
        s3 = boto3.client(
            "s3",
            endpoint_url=open_.url,
            region_name="",
            aws_access_key_id="digits-key",
            aws_secret_access_key="digits-secret",
        )
        source = tmp_path / "input.json"
        source.write_text('{"x": 1}')
        s3.upload_file(str(source), "digits", "inputs/run.json")
        seen = [each["Key"] for each in s3.list_objects_v2(Bucket="digits")["Contents"]]
        s3.download_file("digits", "inputs/run.json", str(tmp_path / "output.json"))
        s3.delete_object(Bucket="digits", Key="inputs/run.json")
        try:
            s3.head_object(Bucket="digits", Key="inputs/run.json")
        except s3.exceptions.ClientError as error:
            seen.append(error.response["Error"]["Code"])
        return seen

    assert await in_thread(script) == ["inputs/", "inputs/run.json", "outputs/", "404"]
    assert (tmp_path / "output.json").read_text() == '{"x": 1}'

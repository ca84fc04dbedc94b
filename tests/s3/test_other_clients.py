"""Other clients, each in an environment beside ours, since their packages want other versions: aws-cli 1, s3cmd,
minio-py, s3fs and pyarrow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import environment
from tests.s3.conftest import Buckets, OpenBuckets, in_thread
from tests.s3.test_clients import make_tree, tree

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
PACKAGES = {"aws": "awscli>=1.40,<2", "s3cmd": "s3cmd", "minio": "minio", "s3fs": "s3fs", "pyarrow": "pyarrow"}


class Client:
    """A program or a script of one of them, with our keys in its environment."""

    def __init__(self, buckets: Buckets, folder: Path, name: str) -> None:
        self.python = environment(PYTHON, [PACKAGES[name]])
        self.folder = folder
        self._environ = {
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "URL": buckets.url,
            "HOST": f"127.0.0.1:{buckets.port}",
            "AWS_ENDPOINT_URL": buckets.url,
            "AWS_ACCESS_KEY_ID": "digits-key",
            "AWS_SECRET_ACCESS_KEY": "digits-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONWARNINGS": "ignore",
        }

    async def run(self, *command: str | Path) -> str:
        ended = await in_thread(
            subprocess.run,
            [str(self.python.parent / command[0]), *map(str, command[1:])],
            env=self._environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return str(ended.stdout)

    async def script(self, text: str) -> str:
        return await self.run("python", "-c", text)


async def test_aws_cli(buckets: OpenBuckets, tmp_path: Path) -> None:
    client = Client(await buckets(), tmp_path, "aws")
    source, target = make_tree(tmp_path / "source"), tmp_path / "target"
    aws = "aws", "--endpoint-url", client._environ["URL"]
    await client.run(*aws, "s3", "cp", "--recursive", source, "s3://digits/inputs")
    assert "inputs/" in await client.run(*aws, "s3", "ls", "s3://digits")
    assert await client.run(*aws, "s3", "sync", source, "s3://digits/inputs") == ""
    await client.run(*aws, "s3", "cp", "s3://digits/inputs/large.bin", "s3://digits/outputs/copy.bin")
    await client.run(*aws, "s3", "mv", "s3://digits/outputs/copy.bin", "s3://digits/outputs/moved.bin")
    await client.run(*aws, "s3", "sync", "s3://digits/inputs", target)
    assert tree(target) == tree(source)
    await client.run(*aws, "s3api", "get-object-tagging", "--bucket", "digits", "--key", "outputs/moved.bin")
    await client.run(*aws, "s3api", "get-bucket-versioning", "--bucket", "digits")
    await client.run(*aws, "s3", "rm", "--recursive", "s3://digits/outputs")
    assert "moved" not in await client.run(*aws, "s3", "ls", "s3://digits/outputs/")


async def test_s3cmd(buckets: OpenBuckets, tmp_path: Path) -> None:
    client = Client(await buckets(), tmp_path, "s3cmd")
    source, target = make_tree(tmp_path / "source"), tmp_path / "target"
    host = client._environ["HOST"]
    keys = "--access_key=digits-key", "--secret_key=digits-secret"
    s3cmd = "s3cmd", "--no-ssl", f"--host={host}", f"--host-bucket={host}", *keys, "--multipart-chunk-size-mb=5"
    await client.run(*s3cmd, "put", "--recursive", f"{source}/", "s3://digits/inputs/")
    assert "a.json" in await client.run(*s3cmd, "ls", "--recursive", "s3://digits/inputs/")
    assert "upload:" not in await client.run(*s3cmd, "sync", f"{source}/", "s3://digits/inputs/")
    assert "MD5" in await client.run(*s3cmd, "info", "s3://digits/inputs/a.json")
    await client.run(*s3cmd, "cp", "s3://digits/inputs/a.json", "s3://digits/outputs/b.json")
    target.mkdir()
    await client.run(*s3cmd, "get", "--recursive", "s3://digits/inputs/", f"{target}/")
    assert {**tree(target)} == tree(source)
    await client.run(*s3cmd, "del", "s3://digits/outputs/b.json")


async def test_minio(buckets: OpenBuckets, tmp_path: Path) -> None:
    client = Client(await buckets(), tmp_path, "minio")
    await client.script("""
import io, os
from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
client = Minio(endpoint=os.environ["HOST"], access_key="digits-key", secret_key="digits-secret", secure=False)
assert client.bucket_exists(bucket_name="digits")
large = os.urandom(12_000_000)
put = dict(bucket_name="digits", object_name="inputs/large ü+", data=io.BytesIO(large), metadata={"note": "x"})
client.put_object(**put, length=-1, part_size=5 << 20)
client.put_object(bucket_name="digits", object_name="inputs/a", data=io.BytesIO(b"small"), length=5)
about = dict(bucket_name="digits", object_name="inputs/large ü+")
assert client.stat_object(**about).size == len(large)
assert client.get_object(**about).read() == large
assert client.get_object(**about, offset=5, length=10).read() == large[5:15]
names = [item.object_name for item in client.list_objects(bucket_name="digits", prefix="inputs/", recursive=True)]
assert names == ["inputs/", "inputs/a", "inputs/large ü+"], names
source = CopySource(bucket_name="digits", object_name="inputs/a")
client.copy_object(bucket_name="digits", object_name="outputs/b", source=source)
assert not list(client.get_object_tags(bucket_name="digits", object_name="outputs/b") or [])
client.get_bucket_versioning(bucket_name="digits")
objects = [DeleteObject(name) for name in ("inputs/a", "outputs/b")]
assert list(client.remove_objects(bucket_name="digits", delete_object_list=objects)) == []
client.remove_object(**about)
""")


async def test_s3fs(buckets: OpenBuckets, tmp_path: Path) -> None:
    client = Client(await buckets(), tmp_path, "s3fs")
    await client.script("""
import os, s3fs
fs = s3fs.S3FileSystem(key="digits-key", secret="digits-secret", endpoint_url=os.environ["URL"])
assert sorted(fs.ls("digits")) == ["digits/inputs", "digits/outputs"]
large = os.urandom(12_000_000)
with fs.open("digits/inputs/large ü", "wb", block_size=5 << 20) as file:
    file.write(large)
fs.pipe("digits/inputs/a/b.txt", b"small")
assert fs.cat("digits/inputs/a/b.txt") == b"small"
with fs.open("digits/inputs/large ü", "rb", block_size=1 << 20) as file:
    file.seek(100)
    assert file.read(50) == large[100:150]
assert fs.info("digits/inputs/large ü")["size"] == len(large)
assert fs.find("digits/inputs/a") == ["digits/inputs/a/b.txt"]
fs.cp("digits/inputs/large ü", "digits/outputs/copy")
assert fs.cat("digits/outputs/copy") == large
fs.mv("digits/outputs/copy", "digits/outputs/moved")
assert not fs.exists("digits/outputs/copy")
fs.rm("digits/inputs/a", recursive=True)
assert not fs.exists("digits/inputs/a/b.txt")
assert fs.getxattr("digits/outputs/moved", "none") is None
""")


async def test_pyarrow(buckets: OpenBuckets, tmp_path: Path) -> None:
    client = Client(await buckets(), tmp_path, "pyarrow")
    await client.script("""
import os
import pyarrow as pa, pyarrow.parquet as pq
from pyarrow import fs
s3 = fs.S3FileSystem(access_key="digits-key", secret_key="digits-secret", region="us-east-1", scheme="http",
                     endpoint_override=os.environ["HOST"])
table = pa.table({"number": list(range(100_000)), "text": [str(each) for each in range(100_000)]})
pq.write_table(table, "digits/outputs/a/table.parquet", filesystem=s3)
assert pq.read_table("digits/outputs/a/table.parquet", filesystem=s3).equals(table)
large = os.urandom(12_000_000)
with s3.open_output_stream("digits/outputs/large") as file:
    file.write(large)
with s3.open_input_file("digits/outputs/large") as file:
    assert file.size() == len(large) and file.read_at(10, 1000) == large[1000:1010]
s3.create_dir("digits/outputs/new/folder")
found = s3.get_file_info(fs.FileSelector("digits/outputs", recursive=True))
assert {each.path for each in found if each.is_file} == {"digits/outputs/a/table.parquet", "digits/outputs/large"}
s3.copy_file("digits/outputs/large", "digits/outputs/copy")
s3.move("digits/outputs/copy", "digits/outputs/moved")
s3.delete_dir("digits/outputs/a")
s3.delete_file("digits/outputs/moved")
left = sorted(each.path for each in s3.get_file_info(fs.FileSelector("digits/outputs")))
assert left == ["digits/outputs/large", "digits/outputs/new"], left
""")

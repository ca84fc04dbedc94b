"""The S3 door before a real folder. What follows from uploads is written down instead of done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import boto3
import pytest
from botocore.config import Config

from modelport.bucketjobs import BucketJobs
from modelport.frontends.s3.server import S3Server
from modelport.identity.guesses import Guesses
from modelport.objectstore.tree import Tree
from modelport.settings import Settings

REGION = "us-east-1"

T = TypeVar("T")


@dataclass
class Told:
    """Stands for modelport.bucketjobs where only the door is looked at: keys and buckets, and what it was told.

    refuse: raised by `begin_upload`, which checks the way in `tree` as the real one does; fail: by `arrived`.
    """

    secrets: dict[str, tuple[str, frozenset[str] | None]]
    buckets: list[str]
    begun: list[tuple[str, str]] = field(default_factory=list)
    bucket_jobs: list[tuple[str, str, str, int]] = field(default_factory=list)
    principals: list[tuple[str, str]] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)
    endpoint: str = ""
    tree: Tree | None = None
    refuse: Exception | None = None
    fail: Exception | None = None

    @property
    def bucket_keys(self) -> Told:
        return self

    def secret_of(self, access_key: str) -> tuple[str, frozenset[str] | None] | None:
        return self.secrets.get(access_key)

    def bucket_names(self) -> list[str]:
        return self.buckets

    def set_endpoint(self, url: str) -> None:
        self.endpoint = url

    async def begin_upload(self, bucket: str, key: str) -> None:
        self.begun.append((bucket, key))
        if self.refuse is not None:
            raise self.refuse
        if self.tree is not None:
            await self.tree.check_way(bucket, key)

    async def arrived(
        self,
        bucket: str,
        key: str,
        etag: str,
        size_bytes: int,
        *,
        principal: str = "",
        address: str = "",
        event_time: str = "",
    ) -> None:
        if self.fail is not None:
            raise self.fail
        self.bucket_jobs.append((bucket, key, etag, size_bytes))
        self.principals.append((principal, address))

    async def deleted(self, bucket: str, key: str) -> None:
        self.gone.append((bucket, key))


@dataclass
class Buckets:
    """A door, open."""

    told: Told
    folder: Path
    settings: Settings
    tree: Tree = field(init=False)
    server: S3Server = field(init=False)

    async def restart(self) -> Buckets:
        """The store and its door are others, over the same folder."""
        await self.server.stop()
        await self.tree.close()
        await self.open()
        return self

    async def open(self) -> None:
        self.tree = Tree(self.folder, self.settings.least_room_bytes)
        await self.tree.start()
        self.told.tree = self.tree
        for bucket in self.told.buckets:
            await self.tree.make_bucket(bucket)
        self.server = S3Server(self.settings, cast(BucketJobs, self.told), self.tree, Guesses(self.settings))
        await self.server.start()

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def port(self) -> int:
        return self.server.port

    def client(self, key: str = "digits-key", secret: str = "digits-secret", **options: Any) -> Any:
        """boto3, as a script has it. It blocks: `await in_thread(…)`."""
        config = {"retries": {"max_attempts": 0}, "s3": {"addressing_style": "path"}, **options.pop("config", {})}
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name=options.pop("region_name", REGION),
            config=Config(**config),
            **options,
        )

    def files(self, bucket: str = "digits") -> list[str]:
        """What lies in the bucket's folder, without markers."""
        rglob = (self.folder / bucket).rglob("*")
        return sorted(
            str(path.relative_to(self.folder / bucket))
            for path in rglob
            if path.is_file() and path.name != ".modelport_folder"
        )


# Not the loop's own threads: the door needs them, while clients wait for it in these.
_THREADS = ThreadPoolExecutor(32)


async def in_thread(call: Callable[..., T], *arguments: Any, **more: Any) -> T:
    """A client that blocks."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, partial(call, *arguments, **more))


OpenBuckets = Callable[..., Awaitable[Buckets]]


@contextlib.asynccontextmanager
async def open_buckets(folder: Path, **settings: Any) -> AsyncIterator[Buckets]:
    """Buckets digits and faces; a key for each, and "oscar" for both."""
    told = Told(
        secrets={
            "digits-key": ("digits-secret", frozenset({"digits"})),
            "faces/of@people.eu": ("faces-secret", frozenset({"faces"})),
            "oscar": ("owner-secret", None),
        },
        buckets=["digits", "faces"],
    )
    options = {"s3_port": 0, "home": str(folder / "home"), "guess_delay_s": 0.0, **settings}
    opened = Buckets(told, folder / "buckets", Settings(**options))
    try:
        await opened.open()
        yield opened
    finally:
        await opened.server.stop()
        await opened.tree.close()


@pytest.fixture
async def buckets(tmp_path: Path) -> AsyncIterator[OpenBuckets]:
    """`await buckets(cors_origins="", …)`: an open door with these settings; closed after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_another(**settings: Any) -> Buckets:
            return await stack.enter_async_context(open_buckets(tmp_path, **settings))

        yield open_another

"""Uploads in parts: each is a folder, `.modelport/uploads/<id>/`, and each part a file in it.

They outlive a server that is killed or started anew. After a power cut they are forgotten, and the client begins again:
so parts need no sync of their own, only the object that is made of them.

Everything that blocks is called in the tree's threads.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelport.objectstore import ObjectInfo
from modelport.objectstore.files import NewFile
from modelport.objectstore.tree import Tree

FOLDER = ".modelport/uploads"
ABOUT = "upload.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Part:
    """etag: without quotation marks. modified: seconds since 1970."""

    etag: str
    size: int
    modified: float


@dataclass
class Upload:
    """An upload that is under way. begun: seconds since 1970. used: on the monotonic clock, by its client.

    stored: the object, where it is there, and only what follows from it could not be done yet.
    """

    id: str
    bucket: str
    key: str
    headers: Mapping[str, str]
    begun: float
    used: float = field(default_factory=time.monotonic)
    parts: dict[int, Part] = field(default_factory=dict)
    stored: ObjectInfo | None = None


class Uploads:
    """All uploads in parts, by id, which nobody can guess."""

    def __init__(self, tree: Tree, kept_s: float) -> None:
        """kept_s: an upload that its client does not continue is removed after this time."""
        self._tree = tree
        self._kept_s = kept_s
        self._folder = tree.folder / FOLDER
        self.under_way: dict[str, Upload] = {}

    async def load(self) -> None:
        """Those of earlier servers, since the machine was started. Raises OSError."""
        self.under_way = await self._tree.in_thread(self._load)

    def _load(self) -> dict[str, Upload]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        uploads = {}
        for folder in self._folder.iterdir():
            try:
                boot, bucket, key, headers, begun = json.loads((folder / ABOUT).read_bytes())
            except (OSError, ValueError):
                boot = None
            if boot != _BOOT.read_text() or time.time() - folder.stat().st_mtime > self._kept_s:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            uploads[folder.name] = Upload(folder.name, bucket, key, headers, begun, parts=_parts(folder))
        return uploads

    async def begin(self, bucket: str, key: str, headers: Mapping[str, str]) -> Upload:
        """Raises OSError."""
        upload = Upload(secrets.token_hex(16), bucket, key, headers, time.time())
        await self._tree.in_thread(self._begin, upload)
        self.under_way[upload.id] = upload
        return upload

    def _begin(self, upload: Upload) -> None:
        folder = self._folder / upload.id
        folder.mkdir(mode=0o700)
        about = [_BOOT.read_text(), upload.bucket, upload.key, dict(upload.headers), upload.begun]
        (folder / ABOUT).write_text(json.dumps(about))

    async def forget_old(self) -> None:
        limit = time.monotonic() - self._kept_s
        for upload in [upload for upload in self.under_way.values() if upload.used < limit]:
            await self.forget(upload)

    async def forget(self, upload: Upload) -> None:
        """With its parts; it may have been forgotten already."""
        self.under_way.pop(upload.id, None)
        await self._tree.in_thread(shutil.rmtree, self._folder / upload.id, ignore_errors=True)

    async def put(self, upload: Upload, number: int, pieces: AsyncIterator[bytes]) -> Part:
        """A part, or a new content of it. Raises what `Tree.receive` and `pieces` raise."""
        place = f"{FOLDER}/{upload.id}/part"
        async with self._tree.receive(upload.bucket, upload.key, pieces, place) as file:
            part = Part(file.etag, file.size, time.time())
            earlier = upload.parts.get(number)
            await self._tree.in_thread(file.place, _name(number, part.etag))
            upload.parts[number], upload.used = part, time.monotonic()
            if earlier is not None and earlier.etag != part.etag:
                await self._tree.in_thread((self._folder / upload.id / _name(number, earlier.etag)).unlink)
        return part

    async def join(self, upload: Upload, numbers: Sequence[int]) -> ObjectInfo:
        """The object that these parts make. Raises what `Tree.put` raises."""
        names = [_name(number, upload.parts[number].etag) for number in numbers]

        def fill(file: NewFile) -> None:
            for name in names:
                with open(self._folder / upload.id / name, "rb", buffering=0) as part:
                    file.copy(part.fileno())

        upload.stored = await self._tree.put_filled(upload.bucket, upload.key, upload.headers, fill)
        return upload.stored


def _name(number: int, etag: str) -> str:
    return f"{number}.{etag}"


def _parts(folder: Path) -> dict[int, Part]:
    """By number; of two contents of one part the last."""
    parts = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.stat().st_mtime_ns):
        number, _, etag = entry.name.partition(".")
        with contextlib.suppress(ValueError):
            stat = entry.stat()
            parts[int(number)] = Part(etag, stat.st_size, stat.st_mtime)
    return parts

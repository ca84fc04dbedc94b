"""Where the objects lie: in a folder of this machine, or elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import time
from collections.abc import Sequence
from pathlib import Path

from modelport.buckets.folders import sync
from modelport.buckets.rclone import Rclone, RcloneMissing
from modelport.errors import StorageFull
from modelport.settings import Settings

# Less room than this on the buckets' disk counts as none: an upload has headers and folders, too.
LEAST_ROOM_BYTES = 1 << 20
# So seldom it is looked for where there was some.
ROOM_SEEN_S = 1.0


class Room:
    """Whether there is any on the disk; where there was a moment ago, who writes finds out."""

    def __init__(self) -> None:
        self._seen: dict[Path, float] = {}  # when there was, on the monotonic clock

    async def check(self, folder: Path) -> None:
        """Raises StorageFull."""
        now = time.monotonic()
        if now - self._seen.get(folder, float("-inf")) > ROOM_SEEN_S:
            await asyncio.to_thread(_check_room, folder)
            self._seen[folder] = now


def _check_room(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        found = os.statvfs(folder)
        if found.f_bavail * found.f_frsize < LEAST_ROOM_BYTES:
            raise StorageFull("there is no room for more objects")


async def open_store(settings: Settings, run_folder: Path) -> Rclone | None:
    """The server's own object store; None where the settings name another. Raises RcloneMissing, OSError."""
    if importlib.util.find_spec("obstore") is None:
        raise RcloneMissing("buckets need obstore (pip install 'modelport[buckets]')")
    if settings.bucket_endpoint:
        return None
    rclone = Rclone(_folder(settings), run_folder)
    await rclone.start()
    return rclone


def _folder(settings: Settings) -> Path:
    return Path(settings.bucket_folder).expanduser() if settings.bucket_folder else settings.home_path / "buckets"


def sync_all(folder: Path, keys: Sequence[str]) -> None:
    """These objects of a bucket outlive a power cut. Blocks: call it in a thread. Raises OSError."""
    for key in keys:
        with contextlib.suppress(FileNotFoundError):  # removed by somebody
            sync(folder, key)

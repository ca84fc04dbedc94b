"""Where the objects lie: in a folder of this machine, or elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from modelport.objectstore.folders import sync
from modelport.objectstore.rclone import Rclone, RcloneMissing
from modelport.settings import Settings


async def open_store(settings: Settings, run_folder: Path) -> Rclone | None:
    """The server's own object store; None where the settings name another. Raises RcloneMissing, OSError."""
    if importlib.util.find_spec("obstore") is None:
        raise RcloneMissing("buckets need obstore (pip install 'modelport[buckets]')")
    if settings.bucket_endpoint:
        return None
    rclone = Rclone(_folder(settings), run_folder, settings.child_timeout_s)
    await rclone.start()
    return rclone


def _folder(settings: Settings) -> Path:
    return Path(settings.bucket_folder).expanduser() if settings.bucket_folder else settings.home_path / "buckets"


def sync_all(folder: Path, keys: Sequence[str]) -> None:
    """These objects of a bucket outlive a power cut. Blocks: call it in a thread. Raises OSError."""
    for key in keys:
        with contextlib.suppress(FileNotFoundError):  # removed by somebody
            sync(folder, key)

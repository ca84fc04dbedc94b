"""From an object under inputs/ to a call: a JSON file of arguments, or any other file, which is an argument itself."""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path, PurePosixPath

from modelport.bucketjobs.fetched import Fetched
from modelport.contract.card import Card
from modelport.contract.job import Job
from modelport.contract.prediction import Call, Outcome
from modelport.deployments.deployments import Deployments
from modelport.describe.helptext import help_text
from modelport.errors import NotFound
from modelport.intake.calls import make_call
from modelport.intake.given import (
    SUFFIX,
    Given,
    Upload,
    asks_for_help,
    new_file,
    read_json,
    settle,
    sole_file_argument,
    with_suffix,
)
from modelport.intake.scratch import Scratch
from modelport.objectstore import ObjectInfo, ObjectStore
from modelport.objectstore.names import is_arguments
from modelport.settings import Settings

PROG = "deepaas-cli predict"
UNKNOWN = "application/octet-stream"

# How files begin that come without an extension; what is in bytes 8 to 11 of those that begin with RIFF.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tiff"),
    (b"MM\0*", ".tiff"),
    (b"%PDF-", ".pdf"),
    (b"PK\x03\x04", ".zip"),
    (b"\x1f\x8b", ".gz"),
    (b"OggS", ".ogg"),
    (b"fLaC", ".flac"),
    (b"ID3", ".mp3"),
    (b"\x1aE\xdf\xa3", ".mkv"),
    (b"\x93NUMPY", ".npy"),
    (b"\x89HDF\r\n", ".h5"),
)
_RIFF = {b"WAVE": ".wav", b"AVI ": ".avi", b"WEBP": ".webp"}
HEAD_BYTES = 16


class Inputs:
    """Makes the call of a job whose turn has come."""

    def __init__(self, settings: Settings, deployments: Deployments, objects: ObjectStore, fetched: Fetched) -> None:
        self._settings = settings
        self._deployments = deployments
        self._objects = objects
        self._fetched = fetched

    async def prepare(self, job: Job, scratch: Scratch) -> Call | Outcome:
        """The call; or the help, where that is what the object asks for.

        Whatever the object holds by now is read: if it is another than has been told of, it will be told of, too.
        Raises what is wrong with it, and BucketUnavailable or StorageFull for "not now".
        """
        bucket, key = job.origin["bucket"], job.origin["key"]
        card = await self._deployments.get(job.deployment).wait_card()
        try:
            found, given = await self._read(bucket, key, card, scratch)
        except NotFound as error:
            raise NotFound(f"{key} was deleted before its turn came") from error
        self._fetched.note(job.id, found)
        if asks_for_help(given, card):
            text = await asyncio.to_thread(help_text, card, prog=PROG)
            return Outcome(media_type="text/plain; charset=utf-8", log=text.encode())
        values, files = await settle(card, given, scratch)
        return make_call(card, "predict", values, files, scratch, text=True)

    async def _read(self, bucket: str, key: str, card: Card, scratch: Scratch) -> tuple[ObjectInfo, Given]:
        limit_bytes = self._settings.bucket_object_bytes
        if is_arguments(key):
            async with self._objects.read(bucket, key, limit_bytes=limit_bytes) as (found, chunks):
                return found, await read_json(chunks, self._settings, card, scratch)
        name = PurePosixPath(key).name
        argument = sole_file_argument(card, name)
        path = new_file(scratch, "")
        found = await self._objects.fetch(bucket, key, Path(path), limit_bytes=limit_bytes)
        suffix, content_type = await asyncio.to_thread(_kind, name, path, found.content_type)
        return found, Given({}, [Upload(argument.name, with_suffix(path, suffix), content_type, name)])


def _kind(name: str, path: str, told: str) -> tuple[str, str]:
    """(extension for the path, content type) by the name, or else by how the file begins, or else as it was put."""
    suffix = PurePosixPath(name).suffix
    if not SUFFIX.fullmatch(suffix):
        with open(path, "rb") as file:
            suffix = _begins_as(file.read(HEAD_BYTES))
    guessed = mimetypes.guess_type(f"x{suffix}")[0]
    return suffix, guessed or (told if told not in ("", UNKNOWN) else UNKNOWN)


def _begins_as(head: bytes) -> str:
    """The extension; empty where nothing is known of it."""
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        return ".mp4"
    return next((suffix for magic, suffix in _MAGIC if head.startswith(magic)), "")

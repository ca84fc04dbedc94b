"""From an object under inputs/ to a call: a JSON file of arguments, or any other file, which is an argument itself."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator

from modelport.bucketjobs.fetched import Fetched
from modelport.contract.card import Card
from modelport.contract.job import Job
from modelport.contract.magic import kind_of
from modelport.contract.prediction import Call, Outcome
from modelport.deployments.deployments import Deployments
from modelport.describe.helptext import help_text
from modelport.errors import NotFound
from modelport.intake.calls import make_call
from modelport.intake.given import Given, Upload, asks_for_help, read_json, settle, sole_file_argument
from modelport.intake.scratch import Scratch, Writer, new_path
from modelport.intake.texts import ending, file_name
from modelport.objectstore import ObjectInfo, ObjectStore
from modelport.objectstore.names import is_arguments
from modelport.settings import Settings

PROG = "deepaas-cli predict"
UNKNOWN = "application/octet-stream"


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
            async with self._objects.read(bucket, key, limit_bytes=self._settings.bucket_object_bytes) as (
                found,
                chunks,
            ):
                self._fetched.note(job.id, found)
                if is_arguments(key):
                    given = await read_json(chunks, self._settings, card, scratch)
                else:
                    given = await _read_file(found, chunks, card, scratch)
        except NotFound as error:
            raise NotFound(f"{key} was deleted before its turn came") from error
        if asks_for_help(given, card):
            text = await asyncio.to_thread(help_text, card, prog=PROG)
            return Outcome(media_type="text/plain; charset=utf-8", log=text.encode())
        values, files = await settle(card, given, scratch)
        return make_call(card, "predict", values, files, scratch, text=True)


async def _read_file(found: ObjectInfo, chunks: AsyncIterator[bytes], card: Card, scratch: Scratch) -> Given:
    name = file_name(found.key)
    argument = sole_file_argument(card, name)
    head = await anext(chunks, b"")
    suffix, content_type = _kind(name, head, found.content_type)
    path = new_path(scratch, suffix)
    async with Writer(path) as writer:
        await writer.write(head)
        async for chunk in chunks:
            await writer.write(chunk)
    return Given({}, [Upload(argument.name, str(path), content_type, name)])


def _kind(name: str, head: bytes, told: str) -> tuple[str, str]:
    """(extension for the path, content type) by the name, or else by how the file begins, or else as it was put."""
    suffix, known = ending(name), kind_of(head)
    if not suffix and known:
        suffix = known[1]
    guessed = mimetypes.guess_type(f"x{suffix}")[0]
    return suffix, guessed or (told if told not in ("", UNKNOWN) else UNKNOWN)

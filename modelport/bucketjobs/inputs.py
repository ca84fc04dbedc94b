"""From an object under inputs/ to a call: a JSON file of arguments, or any other file, which is an argument itself."""

from __future__ import annotations

import asyncio
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from modelport.contract.card import Card
from modelport.contract.job import Job
from modelport.contract.magic import HEAD_BYTES, kind_of
from modelport.contract.prediction import Call, Outcome
from modelport.deployments.deployments import Deployments
from modelport.describe.helptext import help_text
from modelport.errors import NotFound
from modelport.intake.calls import make_call
from modelport.intake.received import ReceivedArguments, Upload, asks_for_help, read_json, settle, sole_file_argument
from modelport.intake.scratch import Scratch, new_path
from modelport.intake.texts import ending, file_name
from modelport.objectstore import ObjectInfo, ObjectStore
from modelport.objectstore.names import is_arguments
from modelport.settings import Settings

PROG = "deepaas-cli predict"
UNKNOWN = "application/octet-stream"
# Jobs that are deleted before their outputs are put stay in it, until so many others have come.
FETCHED_LIMIT = 10_000


# Which content of its object a job has read, until its outputs are put. In memory only: where it is lost, the content
# that was told when the object arrived counts.
Fetched = dict[str, ObjectInfo]


@dataclass(frozen=True)
class Inputs:
    """Makes the call of a job whose turn has come."""

    settings: Settings
    deployments: Deployments
    objects: ObjectStore
    fetched: Fetched

    async def prepare(self, job: Job, scratch: Scratch) -> Call | Outcome:
        """The call; or the help, where that is what the object asks for.

        Whatever the object holds by now is read: if it is another than has been told of, it will be told of, too.
        Raises what is wrong with it, and BucketUnavailable or StorageFull for "not now".
        """
        bucket, key = job.origin["bucket"], job.origin["key"]
        card = await self.deployments.get(job.runs_on).wait_card()
        try:
            info, arguments = await self._read(bucket, key, card, scratch)
        except NotFound as error:
            raise NotFound(f"{key} was deleted before its turn came") from error
        self.fetched.pop(job.id, None)
        self.fetched[job.id] = info
        while len(self.fetched) > FETCHED_LIMIT:
            del self.fetched[next(iter(self.fetched))]
        if asks_for_help(arguments, card):
            text = await asyncio.to_thread(help_text, card, prog=PROG)
            return Outcome(media_type="text/plain; charset=utf-8", log=text.encode())
        values, files = await settle(card, arguments, scratch)
        return make_call(card, "predict", values, files, scratch, text=True)

    async def _read(self, bucket: str, key: str, card: Card, scratch: Scratch) -> tuple[ObjectInfo, ReceivedArguments]:
        limit_bytes = self.settings.bucket_object_bytes
        if is_arguments(key):
            async with self.objects.read(bucket, key, limit_bytes=limit_bytes) as (info, chunks):
                return info, await read_json(chunks, self.settings, card, scratch)
        name = file_name(key)
        argument = sole_file_argument(card, name)
        path = new_path(scratch)
        info = await self.objects.fetch(bucket, key, path, limit_bytes=limit_bytes)
        path, content_type = await asyncio.to_thread(_named, path, name, info.content_type)
        return info, ReceivedArguments({}, [Upload(argument.name, str(path), content_type, name)])


def _named(path: Path, name: str, told: str) -> tuple[Path, str]:
    """The path with an ending, and the content type: by the name, or else by how the file begins, or else as put."""
    suffix = ending(name)
    if not suffix:
        with open(path, "rb") as file:
            known = kind_of(file.read(HEAD_BYTES))
        suffix = known[1] if known else ""
    guessed = mimetypes.guess_type(f"x{suffix}")[0]
    return path.rename(f"{path}{suffix}"), guessed or (told if told not in ("", UNKNOWN) else UNKNOWN)

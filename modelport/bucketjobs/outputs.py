"""From the end of a job to objects under outputs/: first the result, last the log, so that who polls for the log finds
everything there."""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from sqlite3 import Connection

from modelport.bucketjobs.claims import Claims
from modelport.bucketjobs.inputs import Fetched
from modelport.bucketjobs.marks import RESULT, about, content
from modelport.contract.job import Job
from modelport.contract.prediction import Outcome
from modelport.errors import InvalidRequest, ModelportError, NotFound
from modelport.intake.texts import ending
from modelport.jobs import Jobs
from modelport.jobs.deliveries import GiveUp
from modelport.objectstore import Locks, NewObject, ObjectInfo, ObjectStore
from modelport.objectstore.names import LOG, output
from modelport.observe.logtext import log_text
from modelport.store import Store
from modelport.store.deliveries import delete_delivery
from modelport.store.jobs import number_of
from modelport.store.objects import ArrivalRow, finish_arrival, get_arrival, note_result

logger = logging.getLogger(__name__)

# Of jobs, and of the deliveries that their ends make.
SOURCE = "bucket"
TEXT = "text/plain; charset=utf-8"
JSON_ENDING = ".json"
# A longer value is only in its own object.
RETURN_CHARACTERS = 64 << 10


@dataclass(frozen=True)
class Outputs:
    """Puts what has become of jobs into their buckets.

    claims: None: no other server works on these buckets. delivered: told of the bucket afterwards.
    """

    store: Store
    jobs: Jobs
    objects: ObjectStore
    locks: Locks
    fetched: Fetched
    claims: Claims | None
    delivered: Callable[[str], None]

    async def deliver(self, job: Job) -> bool:
        """Of a job that has ended. Nothing is put where a later job has the object, or the object has another content
        by now. Raises what the store or the bucket raises, for another attempt."""
        bucket, key = job.origin["bucket"], job.origin["key"]
        async with self.locks.of(bucket, key):
            row = await self.store.read(get_arrival, bucket, key)
            current = row is not None and row.job_id <= job.id
            if row is not None and current:
                await self._put_current(job, row)
        self.fetched.pop(job.id, None)
        self.delivered(bucket)
        return current

    async def _put_current(self, job: Job, row: ArrivalRow) -> None:
        bucket, key = row.bucket, row.key
        fetched = self.fetched.get(job.id)
        source = fetched or ObjectInfo(key, row.size_bytes, job.origin["etag"], job.origin["modified"])
        if await self._is_current(bucket, source):
            try:
                await self._put(job, row, source)
            except InvalidRequest as error:
                raise GiveUp(error.message) from error
        await self.store.write(_finish, content(bucket, source, job_id=job.id), number_of(job.id))
        if self.claims is not None:
            await self.claims.release(bucket, key)

    async def _is_current(self, bucket: str, source: ObjectInfo) -> bool:
        """Whether no other server can have a newer content of the object."""
        if self.claims is None:
            return True
        try:
            return (await self.objects.head(bucket, source.key)).etag == source.etag
        except (NotFound, InvalidRequest):
            # Deleted: what it led to is there all the same. Or never to be had under its name, as the log says.
            return True

    async def _put(self, job: Job, row: ArrivalRow, source: ObjectInfo) -> None:
        outcome = await self.jobs.outcome(job)
        marks = about(source)
        bucket, objects, result = row.bucket, [], ""
        if outcome.error is not None:
            await self.objects.delete(bucket, [key for key in stale_outputs(row) if not key.endswith(LOG)])
            text = failure_log(outcome.error, outcome)
        else:
            result = await self._result_key(row, outcome)
            if result:
                body = Path(outcome.path) if outcome.path else outcome.body
                objects.append(NewObject(result, body, outcome.media_type, marks))
            text = success_log(outcome, result, job.result.size_bytes if job.result else 0)
            marks = {**marks, RESULT: PurePosixPath(result).suffix}
        objects.append(NewObject(output(row.stem, LOG), text, TEXT, marks))
        await self.objects.put_all(bucket, objects)

    async def _result_key(self, row: ArrivalRow, outcome: Outcome) -> str:
        """Empty where there is no result. What an earlier run has left under another ending goes."""
        if not outcome.path and not outcome.body and not outcome.timings:
            return ""  # nothing was run: it is the help
        ending = result_ending(outcome)
        known = row.result or JSON_ENDING
        if ending != known:
            await self.objects.delete(row.bucket, [output(row.stem, known)])
            await self.store.write(note_result, row.bucket, row.key, ending)
        return output(row.stem, ending)


def _finish(connection: Connection, /, row: ArrivalRow, number: int) -> None:
    finish_arrival(connection, row)
    delete_delivery(connection, number, SOURCE)


def result_ending(outcome: Outcome) -> str:
    """The extension of an answer's object: .json for JSON, else the one that the model gave its file, or the usual."""
    if outcome.is_json:
        return JSON_ENDING
    media_type = outcome.media_type.partition(";")[0].strip()
    own = PurePosixPath(outcome.filename or "").suffix.lower()
    for suffix in (own, mimetypes.guess_extension(media_type) or "", ".bin"):
        if suffix and ending(suffix) == suffix and suffix not in (LOG, JSON_ENDING):
            return suffix
    raise AssertionError("the last one fits")


def stale_outputs(row: ArrivalRow) -> list[str]:
    """Keys under which an earlier run may have left something."""
    endings = dict.fromkeys((LOG, JSON_ENDING, row.result or JSON_ENDING))
    return [output(row.stem, ending) for ending in endings]


# The log of an input: what the model printed, and what has become of it. Never empty.


def success_log(outcome: Outcome, result: str, size_bytes: int) -> bytes:
    """outcome: of a job, whose log is kept without what progress bars overwrote.

    result: the key of the answer's object; empty where there is none, since only the help was asked for.
    """
    text = log_text(outcome.log)
    if not result:
        return text.encode(errors="replace")
    if outcome.text is not None and len(outcome.text) <= RETURN_CHARACTERS:
        text += f"return: {outcome.text}\n"
    text += f"saved: {result} ({outcome.media_type}, {size_bytes} bytes)\n"
    return text.encode(errors="replace")


def failure_log(error: ModelportError, outcome: Outcome) -> bytes:
    """The reason first; without anything that scripts would take for a result."""
    log = log_text(outcome.log)
    text = f"failed ({error.kind}): {error.message}\n" + (f"\nThe log:\n{log}" if log else "")
    return text.replace("return:", "return :").encode(errors="replace")

"""The files of an inputs folder as one batch: what has become of each, and what all their answers say together.

A batch is brought up to date when somebody looks at it, in the background, and is kept in memory. Each answer is read
once, in a thread, and again when its object has changed.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from sqlite3 import Connection
from typing import NamedTuple

from modelport.bucketjobs.labels import NOTHING, Said, labels_of
from modelport.bucketjobs.outputs import JSON_ENDING
from modelport.contract.prediction import Status
from modelport.errors import ModelportError
from modelport.objectstore import ObjectInfo, ObjectStore
from modelport.objectstore.names import INPUTS, LOG, OUTPUTS, output
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.jobs import JobOutline, outline_jobs
from modelport.store.objects import ArrivalRow, arrivals_between
from modelport.tasks import Tasks

# Behind every key of a folder.
LAST = "\U0010ffff"
# Batches that are kept; one of 5,000 files takes about 5 MB, and much more only with many long labels.
KEPT = 4
LABELS_KEPT = 200
# So many answers, each of up to `batch_result_bytes`, are in memory at once. And rows that an export asks for.
READ_AT_ONCE = 16
ROWS_AT_ONCE = 500
# While answers are read, the batch is shown anew so often.
SHOWN_EVERY_S = 0.5
# It is looked through again at most so often, and takes at most a tenth of a thread's time.
LEAST_PAUSE_S = 0.5
PAUSE_SHARE = 10
# Of each input there are two objects; what else lies under outputs/ is left out sooner or later.
OBJECTS_A_FILE = 4
# Files whose outputs cannot have their folder's name: so many of a batch are looked for one by one.
STRAYS = 100
FAILED = "failed ("

TOO_LONG = Said(failure="its log says why")

FAILURES = (Status.FAILED, Status.CANCELLED)
# What was read, as it was then, and what it said; by key.
Known = Mapping[str, tuple[ObjectInfo, Said]]


class Entry(NamedTuple):
    """A file of a batch.

    key: of the input. stem: as of its row. job_id: empty where it has none any more. result, log: keys; empty where
    there is none. settled: its outputs are there. said: of the result, once `read`. source: what has to be read for
    that, or nothing.
    """

    key: str
    stem: str
    size_bytes: int
    status: Status
    settled: bool
    job_id: str
    created: float
    duration_s: float | None
    error: str
    result: str
    result_bytes: int
    log: str
    said: Said = NOTHING
    source: str = ""
    read: bool = True


@dataclass(frozen=True)
class BatchOverview:
    """The files by name. more: there are others, beyond `batch_files`. unread: answers that have not been read yet.

    failure: why it is not up to date. labels: how often the most frequent are in the answers. label_count: of all.
    """

    entries: Sequence[Entry] = ()
    more: bool = False
    unread: int = 0
    failure: str = ""
    done: int = 0
    failed: int = 0
    slowest: Entry | None = None
    labels: Sequence[tuple[str, int]] = ()
    label_count: int = 0

    @property
    def counts(self) -> tuple[int, ...]:
        return len(self.entries), self.done, self.failed, self.unread

    @property
    def waiting(self) -> int:
        return len(self.entries) - self.done - self.failed

    @property
    def settled(self) -> bool:
        return not self.unread and not self.failure and all(entry.settled for entry in self.entries)


class Batches:
    """tasks: the owner's, which ends them."""

    def __init__(self, settings: Settings, store: Store, objects: ObjectStore, tasks: Tasks) -> None:
        self._settings = settings
        self._store = store
        self._objects = objects
        self._tasks = tasks
        self._kept: OrderedDict[tuple[str, str], _Batch] = OrderedDict()

    async def look(self, bucket: str, prefix: str, within_s: float) -> BatchOverview:
        """How it stands, as far as that is known within this time. prefix: a folder below inputs/."""
        kept = self._kept.pop((bucket, prefix), None) or _Batch(
            self._settings, self._store, self._objects, bucket, prefix
        )
        self._kept[bucket, prefix] = kept
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        if kept.due and not self._tasks.closed:
            kept.task = self._tasks.spawn(kept.refresh(), cancel=True)
        if kept.task is not None:
            await asyncio.wait({kept.task}, timeout=within_s)
        return kept.shown

    async def answers(self, bucket: str, prefix: str) -> AsyncIterator[tuple[Entry, bytes | None]]:
        """Every file with its answer; None where that is not JSON, or larger than `batch_result_bytes`."""
        after = prefix
        while entries := await self._store.read(_entries, bucket, after, prefix + LAST, ROWS_AT_ONCE):
            after = entries[-1].key
            for first in range(0, len(entries), READ_AT_ONCE):
                for answer in await self._answers(bucket, entries[first : first + READ_AT_ONCE]):
                    yield answer

    async def _answers(self, bucket: str, entries: Sequence[Entry]) -> Iterable[tuple[Entry, bytes | None]]:
        limit = self._settings.batch_result_bytes
        bodies = await self._objects.read_small(bucket, [entry.result for entry in entries if _is_json(entry)], limit)
        logs = [entry.log for entry in entries if _is_unknown(entry, bodies)]
        told = await self._objects.read_small(bucket, logs, limit) if logs else {}
        return [
            (_with_said(entry, _failure_in(told[entry.log])) if entry.log in told else entry, bodies.get(entry.result))
            for entry in entries
        ]


@dataclass(eq=False)
class _Batch:
    """One that is kept. said: by the key of what was read, as it was then."""

    settings: Settings
    store: Store
    objects: ObjectStore
    bucket: str
    prefix: str
    shown: BatchOverview = BatchOverview(unread=1)
    task: asyncio.Task[None] | None = None
    next_s: float = 0.0
    said: dict[str, tuple[ObjectInfo, Said]] = field(default_factory=dict)

    @property
    def due(self) -> bool:
        return (self.task is None or self.task.done()) and time.monotonic() >= self.next_s

    async def refresh(self) -> None:
        begun = time.monotonic()
        try:
            await self._refresh()
        except ModelportError as error:
            self.shown = replace(self.shown, failure=error.message)
        took_s = time.monotonic() - begun
        self.next_s = time.monotonic() + max(LEAST_PAUSE_S, PAUSE_SHARE * took_s)

    async def _refresh(self) -> None:
        limit = self.settings.batch_files
        entries = await self.store.read(_entries, self.bucket, self.prefix, self.prefix + LAST, limit + 1)
        more, entries = len(entries) > limit, entries[:limit]
        outputs = await self._outputs(entries)
        limit_bytes = self.settings.batch_result_bytes

        async def show() -> float:
            self.shown = await asyncio.to_thread(_batch, entries, outputs, self.said, limit_bytes, more)
            return time.monotonic()

        shown_s = await show()
        unread = [entry.source for entry in self.shown.entries if not entry.read]
        for first in range(0, len(unread), READ_AT_ONCE):
            await self._read(unread[first : first + READ_AT_ONCE], outputs)
            if time.monotonic() - shown_s > SHOWN_EVERY_S:
                shown_s = await show()
        if unread:
            await show()
        self.said = {key: said for key, said in self.said.items() if key in outputs}

    async def _outputs(self, entries: Iterable[Entry]) -> dict[str, ObjectInfo]:
        folder, outputs = OUTPUTS + self.prefix.removeprefix(INPUTS), {}
        async for page in self.objects.pages_unread(self.bucket, folder):
            outputs.update({info.key: info for info in page})
            if len(outputs) > OBJECTS_A_FILE * self.settings.batch_files:
                break
        strays = [entry.stem for entry in entries if not output(entry.stem, "").startswith(folder)]
        for stem in strays[:STRAYS]:
            page, _ = await self.objects.page(self.bucket, output(stem, "."), limit=OBJECTS_A_FILE)
            outputs.update({info.key: info for info in page})
        return outputs

    async def _read(self, keys: Sequence[str], outputs: Mapping[str, ObjectInfo]) -> None:
        bodies = await self.objects.read_small(self.bucket, keys, self.settings.batch_result_bytes)
        said = await asyncio.to_thread(lambda: {key: _said(key, bodies.get(key, b"")) for key in keys})
        self.said.update({key: (outputs[key], said[key]) for key in keys})


def _batch(
    listed: Sequence[Entry],
    outputs: Mapping[str, ObjectInfo],
    said: Known,
    limit_bytes: int,
    more: bool,
) -> BatchOverview:
    entries = [_full(entry, outputs, said, limit_bytes) for entry in listed]
    labels: Counter[str] = Counter()
    for entry in entries:
        for label, count in entry.said.labels:
            labels[label] += count
    return BatchOverview(
        entries,
        more,
        sum(not entry.read for entry in entries),
        done=sum(entry.status is Status.SUCCEEDED for entry in entries),
        failed=sum(entry.status in FAILURES for entry in entries),
        slowest=max(entries, key=lambda entry: entry.duration_s or 0.0, default=None),
        labels=heapq.nsmallest(LABELS_KEPT, labels.items(), key=lambda item: (-item[1], item[0])),
        label_count=len(labels),
    )


def _full(entry: Entry, outputs: Mapping[str, ObjectInfo], said: Known, limit_bytes: int) -> Entry:
    """With what its outputs are, and say."""
    result, log = outputs.get(entry.result), outputs.get(entry.log)
    entry = entry._replace(
        result=entry.result if result else "",
        result_bytes=result.size_bytes if result else 0,
        log=entry.log if log else "",
    )
    source = result if result is not None else None if entry.job_id else log
    if source is None or not source.key.endswith((JSON_ENDING, LOG)):
        return entry
    if source.size_bytes > limit_bytes:
        return entry if source is result else _with_said(entry, TOO_LONG)
    version, known = said.get(source.key, (None, NOTHING))
    entry = entry._replace(source=source.key, read=version == source)
    return _with_said(entry, known)


def _entries(connection: Connection, /, bucket: str, after: str, upto: str, limit: int) -> list[Entry]:
    """Those with `after` < key <= `upto`, by key."""
    rows = arrivals_between(connection, bucket, after, upto, limit).values()
    outlines = outline_jobs(connection, [row.job_id for row in rows if row.job_id])
    return [_entry(row, outlines.get(row.job_id)) for row in rows]


def _entry(row: ArrivalRow, outline: JobOutline | None) -> Entry:
    """As far as the store knows: its outputs may have been deleted. Without a job, it has succeeded until its log says
    otherwise."""
    status = outline.status if outline else Status.SUCCEEDED if row.done else Status.QUEUED
    result = output(row.stem, row.result or JSON_ENDING) if status is Status.SUCCEEDED else ""
    return Entry(
        row.key,
        row.stem,
        row.size_bytes,
        status,
        row.done,
        row.job_id if outline else "",
        outline.created if outline else 0.0,
        outline.duration_s if outline else None,
        outline.error if outline else "",
        result,
        0,
        output(row.stem, LOG) if row.done else "",
    )


def _with_said(entry: Entry, said: Said) -> Entry:
    if said.failure:
        return entry._replace(status=Status.FAILED, error=said.failure, result="", said=said)
    return entry._replace(said=said)


def _is_json(entry: Entry) -> bool:
    return entry.result.endswith(JSON_ENDING)


def _is_unknown(entry: Entry, bodies: Mapping[str, bytes]) -> bool:
    """Whether only its log can tell what has become of it."""
    return not entry.job_id and entry.settled and (not entry.result or (_is_json(entry) and entry.result not in bodies))


def _said(key: str, body: bytes) -> Said:
    return _failure_in(body) if key.endswith(LOG) else labels_of(body)


def _failure_in(log: bytes) -> Said:
    """The first line of the log of a file that failed says why."""
    line = log.partition(b"\n")[0].decode(errors="replace")
    return Said(failure=line.partition("): ")[2] or line) if line.startswith(FAILED) else NOTHING

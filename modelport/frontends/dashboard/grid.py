"""The results of a folder of inputs as a grid: counted, filtered, sorted, a page at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web
from markupsafe import Markup

from modelport.bucketjobs.batches import FAILURES, BatchOverview, Entry
from modelport.contract.prediction import Status
from modelport.errors import ModelportError
from modelport.frontends.dashboard.filters import seconds
from modelport.frontends.dashboard.rendering import PATIENCE_S, Section, digest
from modelport.frontends.dashboard.runs import type_of
from modelport.objectstore.names import INPUTS, OUTPUTS

SHOWN = 60
# So many labels can be chosen from; there may be as many as files.
LABELS_SHOWN = 30
STATES = {"": "all", "done": "done", "failed": "failed", "waiting": "waiting"}
SORTS = {"": "name", "unsure": "lowest confidence", "sure": "highest confidence", "slow": "slowest", "new": "newest"}
# What browsers show. Larger pictures are not shown in the grid.
PICTURES = {f"image/{name}" for name in ("png", "jpeg", "gif", "webp", "avif", "bmp", "svg+xml")}
PICTURE_BYTES = 8_000_000


@dataclass(frozen=True)
class GridQuery:
    """As the address has it. below: only files with a lower confidence; None: all. first: how many come before."""

    prefix: str = INPUTS
    state: str = ""
    below: float | None = None
    label: str = ""
    sort: str = ""
    first: int = 0

    @classmethod
    def of(cls, query: Any) -> GridQuery:
        """What cannot be meant is left out."""
        prefix = query.get("prefix", INPUTS)
        prefix = INPUTS + prefix.removeprefix(OUTPUTS) if prefix.startswith(OUTPUTS) else prefix
        prefix = prefix if prefix.endswith("/") else f"{prefix}/"
        state, sort, first = query.get("state", ""), query.get("sort", ""), query.get("first", "")
        return cls(
            prefix if prefix.startswith(INPUTS) else INPUTS,
            state if state in STATES else "",
            _number(query.get("below", "")),
            query.get("label", ""),
            sort if sort in SORTS else "",
            int(first) if first.isdecimal() and len(first) < 9 else 0,
        )

    @property
    def outputs(self) -> str:
        return OUTPUTS + self.prefix.removeprefix(INPUTS)

    def text(self, **changes: Any) -> str:
        """Without what is empty, so that it can be kept and sent to others."""
        values = {**vars(self), "first": 0, **changes}
        return urlencode({name: value for name, value in values.items() if value or (value == 0 and name == "below")})

    def chosen(self, batch: BatchOverview) -> list[Entry]:
        entries = [entry for entry in batch.entries if self._has(entry)]
        if self.sort in ("unsure", "sure"):
            turn = 1 if self.sort == "unsure" else -1
            entries.sort(key=lambda entry: math.inf if entry.said.confidence is None else turn * entry.said.confidence)
        elif self.sort == "slow":
            entries.sort(key=lambda entry: -(entry.duration_s or -1.0))
        elif self.sort == "new":
            entries.sort(key=lambda entry: -entry.created)
        return entries

    def _has(self, entry: Entry) -> bool:
        if self.state and self.state != state_of(entry):
            return False
        if self.label and not any(label == self.label for label, _ in entry.said.labels):
            return False
        return self.below is None or (entry.said.confidence is not None and entry.said.confidence < self.below)


def state_of(entry: Entry) -> str:
    return "failed" if entry.status in FAILURES else "done" if entry.status is Status.SUCCEEDED else "waiting"


@dataclass(frozen=True)
class Shown:
    """A page of the files that were chosen. opened: the file that is asked for; missing: it is none of them."""

    entries: Sequence[Entry]
    first: int
    count: int
    opened: str
    missing: bool

    @classmethod
    def of(cls, chosen: Sequence[Entry], first: int, opened: str) -> Shown:
        places = (number for number, entry in enumerate(chosen) if opened in (entry.key, entry.result, entry.log))
        place = next(places, -1) if opened else min(first, len(chosen) - 1)
        first = max(0, place) // SHOWN * SHOWN
        return cls(chosen[first : first + SHOWN], first, len(chosen), opened, bool(opened) and place < 0)


class Grid(Section):
    """`/ui/files/<deployment>/results?prefix=inputs/`."""

    async def show(self, request: web.Request) -> web.StreamResponse:
        """For htmx the part that changes. ?open= leads to the page of that input or output, and opens it."""
        name = self._gateway.deployments.get(request.match_info["deployment"]).name
        query = GridQuery.of(request.query)
        batch = await self._batch(request, name, query.prefix)
        shown = Shown.of(query.chosen(batch), query.first, request.query.get("open", ""))
        here = f"{self._pages.url(request, 'files', name)}/results?"
        labels = _labels(batch, query)
        values = {"name": name, "query": query, "batch": batch, "shown": shown, "here": here, "labels": labels}
        values |= {"states": STATES, "sorts": SORTS, "size": SHOWN}
        values["tiles"] = [self._tile(request, name, query.prefix, entry) for entry in shown.entries]
        seen, address = digest(query, shown, batch.counts, batch.failure, labels), here + query.text(first=shown.first)
        return self._pages.fresh(request, "results.html", "_results.html", seen, address, **values)

    async def _batch(self, request: web.Request, name: str, prefix: str) -> BatchOverview:
        try:
            bucket = self._pages.files.enter(request, name)
            return await self._pages.files.bucket_jobs.batches.look(bucket, prefix, PATIENCE_S)
        except ModelportError as error:
            return BatchOverview(failure=error.message)

    def _tile(self, request: web.Request, name: str, prefix: str, entry: Entry) -> Markup:
        files = f"{self._gateway.root(request)}/files/{quote(name, safe='')}/"
        job = self._pages.url(request, "jobs", entry.job_id) if entry.job_id else ""
        drawable = _is_picture(entry.key, entry.size_bytes)
        picture = entry.result if _is_picture(entry.result, entry.result_bytes) else entry.key if drawable else ""
        title = entry.key.removeprefix(prefix)
        told = {
            "keys": [key for key in (entry.key, entry.result, entry.log) if key],
            "name": title,
            "status": entry.status.value,
            "final": entry.settled,
            "says": _says(entry),
            "error": entry.error,
            "job": job,
            "input": files + quote(entry.key),
            "inputType": type_of(entry.key),
            "drawable": drawable,
            "result": files + quote(entry.result) if entry.result else "",
            "resultType": type_of(entry.result),
            "resultBytes": entry.result_bytes,
            "boxed": picture == entry.key and entry.result.endswith(".json"),
            "log": files + quote(entry.log) if entry.log else "",
        }
        values = {"entry": entry, "state": state_of(entry), "title": title, "told": told, "job": job}
        values |= {
            "picture": files + quote(picture) if picture else "",
            "ending": _ending_of(entry.result or entry.key),
        }
        return self._pages.piece(request, "_tile.html", (name, prefix, entry), **values)


def _labels(batch: BatchOverview, query: GridQuery) -> list[tuple[str, int]]:
    shown = list(batch.labels[:LABELS_SHOWN])
    return shown + [item for item in batch.labels[LABELS_SHOWN:] if item[0] == query.label]


def _says(entry: Entry) -> str:
    labels = [label if count == 1 else f"{label} × {count}" for label, count in entry.said.labels]
    sure = [] if entry.said.confidence is None else [f"confidence {entry.said.confidence:.2f}"]
    took = [] if entry.duration_s is None else [seconds(entry.duration_s)]
    return " · ".join([*([", ".join(labels)] if labels else []), *sure, *took])


def _ending_of(key: str) -> str:
    return PurePosixPath(key).suffix.lstrip(".").upper()[:8] or "file"


def _is_picture(key: str, size_bytes: int) -> bool:
    return bool(key) and type_of(key) in PICTURES and size_bytes <= PICTURE_BYTES


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

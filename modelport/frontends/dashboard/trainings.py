"""Trainings as a board: what each was given beside what came of it, and the curves of some in one chart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from markupsafe import Markup

from modelport.frontends.dashboard.filters import when
from modelport.frontends.dashboard.jobs import JobFilter, listed
from modelport.frontends.dashboard.rendering import Section, digest
from modelport.http.job_documents import JobDocument, JobDocuments
from modelport.http.json_answers import encoded

# The newest; as many as are kept of one service by default, twice.
SHOWN = 200
# A table with more columns is read by nobody.
COLUMNS = 12


@dataclass(frozen=True)
class Column:
    """key: in the address, to sort by it. value: of a row; None where it has none. kind: fixed, argument or metric."""

    key: str
    label: str
    value: Callable[[JobDocument], Any]
    kind: str = "fixed"


FIXED = (
    Column("training", "Training", lambda row: row.created),
    Column("service", "Service", lambda row: row.deployment),
    Column("state", "State", lambda row: row.status.value),
)
DURATION = Column("duration", "Duration", lambda row: row.duration_s)


class TrainingPages(Section):
    """`/ui/trainings`."""

    async def board(self, request: web.Request) -> web.StreamResponse:
        jobs, _, values = await listed(self._gateway, request, SHOWN, "train", paged=False)
        documents, filters = JobDocuments.of(self._gateway, request), values["filters"]
        rows = [documents.row(job) for job in jobs]
        differing, same = settings_of(rows)
        metrics = [_column("metric", name) for name in _names(row.metrics for row in rows)[:COLUMNS]]
        columns = [*FIXED, *differing, *metrics, DURATION]
        if filters.deployment or len({row.deployment for row in rows}) < 2:
            columns.remove(FIXED[1])
        here = self._pages.url(request, "trainings")
        values |= {
            "rows": [self._row(request, row, columns) for row in ordered(rows, columns, filters.sort)],
            "heads": [(column, *_turned(column, filters, here)) for column in columns],
            "same": same,
            "here": here + filters.query(after=""),
        }
        seen = digest(rows, values["total"], filters)
        return self._pages.fresh(request, "trainings.html", "_trainings.html", seen, values["here"], **values)

    def _row(self, request: web.Request, row: JobDocument, columns: list[Column]) -> Markup:
        age = when(row.created)
        key = (encoded(row), tuple(column.key for column in columns), age)
        cells = [(column, column.value(row)) for column in columns]
        return self._pages.piece(request, "_training_row.html", key, row=row, cells=cells, age=age)


def settings_of(rows: list[JobDocument]) -> tuple[list[Column], dict[str, Any]]:
    """Columns for the arguments that differ, and the others, which are the same in all rows that there are."""
    names = _names(row.arguments for row in rows)
    texts = {name: {encoded(row.arguments.get(name)) for row in rows} for name in names}
    differing = [name for name in names if len(texts[name]) > 1]
    same = {name: rows[0].arguments[name] for name in names if name not in differing}
    return [_column("argument", name) for name in differing[:COLUMNS]], same


def _column(kind: str, name: str) -> Column:
    """Of an argument or a metric."""
    return Column(f"{kind}.{name}", name, lambda row: getattr(row, f"{kind}s").get(name), kind)


def _names(mappings: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def ordered(rows: list[JobDocument], columns: list[Column], sort: str) -> list[JobDocument]:
    """As the address asks; what has no value comes last, either way. Else the newest first."""
    column = next((column for column in columns if column.key == sort.removeprefix("-")), None)
    if column is None:
        return rows
    known = [row for row in rows if column.value(row) is not None]
    unknown = [row for row in rows if column.value(row) is None]
    return sorted(known, key=lambda row: _rank(column.value(row)), reverse=sort.startswith("-")) + unknown


def _rank(value: Any) -> tuple[bool, float, str]:
    if isinstance(value, (int, float)):
        return False, float(value), ""
    return True, 0.0, value if isinstance(value, str) else encoded(value).decode()


def _turned(column: Column, filters: JobFilter, here: str) -> tuple[str, str]:
    """(the address that sorts by it, how it is sorted now). Metrics and times begin with the highest."""
    up, down = column.key, f"-{column.key}"
    now = {up: "ascending", down: "descending"}.get(filters.sort, "")
    first, second = (up, down) if column.kind == "argument" or column.key in ("service", "state") else (down, up)
    return here + filters.query(sort=second if filters.sort == first else first), now

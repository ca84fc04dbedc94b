"""Jobs while they change: a table that is drawn again on a terminal, else a line for each change."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelport.client import AsyncClient
from modelport.client.jobs import Document
from modelport.client.where import Unreachable
from modelport.commands.following import job_text
from modelport.commands.shell.output import say, say_json

if TYPE_CHECKING:
    from rich.table import Table

# Without a terminal, a line for each tenth of what a job says to have done.
STEPS = 10


@dataclass
class Board:
    """The jobs that are watched: the newest `limit` of a deployment, or of all, and in one of `statuses`, if any."""

    deployment: str
    statuses: Sequence[str]
    limit: int
    jobs: dict[str, Document] = field(default_factory=dict)

    def take(self, job: Document) -> None:
        """A job that is new, or has changed."""
        self.jobs.pop(job["id"], None)
        if not self.statuses or job["status"] in self.statuses:
            self.jobs[job["id"]] = job
        while len(self.jobs) > self.limit:
            del self.jobs[min(self.jobs)]

    def hear(self, kind: str, document: Document) -> Document | None:
        """The job that an event is about, as it is now; None where it is none of ours."""
        if kind == "state":
            self.take(document)
            return self.jobs.get(document["id"])
        job = self.jobs.get(document.get("job", "")) if kind == "progress" else None
        if job is not None:
            job["progress"] = {"fraction": document["fraction"], "message": document["message"]}
        return job

    def newest_first(self) -> list[Document]:
        """Ids are in the order in which jobs were accepted."""
        return [self.jobs[job] for job in sorted(self.jobs, reverse=True)]


# Shows a job that has changed.
View = Callable[[Document], None]


async def watch(server: AsyncClient, board: Board, view: View) -> None:
    """For ever, also over restarts of the server. Raises what will not pass."""
    while True:
        await server.patiently(lambda: _watch(server, board, view))


async def _watch(server: AsyncClient, board: Board, view: View) -> None:
    """Until the stream of events ends. It is open before the list is read: nothing falls in between."""
    async with server.events(board.deployment) as events:
        for row in await server.jobs(board.deployment, board.statuses, board.limit):
            board.take(row)
        for row in reversed(board.newest_first()):
            view(row)
        with contextlib.suppress(Unreachable):  # it has worked until now: patience begins anew
            async for kind, document in events:
                if (job := board.hear(kind, document)) is not None:
                    view(job)


@contextlib.contextmanager
def view(board: Board, *, as_json: bool) -> Iterator[View]:
    """A document for each change, one a line; on a terminal a table, else a line for each change."""
    if as_json:
        yield say_json
    elif sys.stdout.isatty():
        from rich.live import Live

        # Drawn again a few times a second, for the times in it.
        with Live(get_renderable=lambda: _table(board), refresh_per_second=4, vertical_overflow="ellipsis"):
            yield lambda job: None
    else:
        yield _Lines()


class _Lines:
    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int]] = {}

    def __call__(self, job: Document) -> None:
        fraction = (job.get("progress") or {}).get("fraction") or 0.0
        now = (job["status"], int(fraction * STEPS))
        if self._last.get(job["id"]) != now:
            self._last[job["id"]] = now
            say(job_text.line(job))


def _table(board: Board) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in job_text.HEAD:
        table.add_column(heading, no_wrap=heading != job_text.HEAD[-1])
    for job in board.newest_first():
        cells = [Text(cell) for cell in job_text.row(job)]
        cells[job_text.HEAD.index("STATUS")].stylize(job_text.COLOURS[job["status"]])
        table.add_row(*cells)
    return table

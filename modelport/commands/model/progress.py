"""How far a training is, on stderr: a bar on a terminal, else lines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from modelport.contract.visible import visible

if TYPE_CHECKING:
    from rich import progress as rich_progress

# Without a terminal, a line for each tenth and each new message.
STEP = 0.1


@contextlib.contextmanager
def shown(title: str) -> Iterator[Bar | _Lines]:
    """What shows progress: a `Progress` callback, whose `end` comes before the answer is printed."""
    progress = Bar(title) if sys.stderr.isatty() else _Lines(title)
    try:
        yield progress
    finally:
        progress.end()


class _Lines:
    def __init__(self, title: str) -> None:
        self._title = title
        self._last: tuple[int, str] | None = None

    def __call__(self, fraction: float | None, message: str) -> None:
        now = (int((fraction or 0) / STEP), message)
        if now != self._last:
            self._last = now
            percent = "" if fraction is None else f" {fraction:.0%}"
            click.echo(visible(f"{self._title}:{percent} {message}".rstrip()), err=True)

    def end(self) -> None:
        pass


class Bar:
    """On stderr. rich puts lines that the model prints meanwhile above the bar, as long as they pass through
    `sys.stderr`. total: what is whole, where that is known. counted: so many of so many, and the time that is left."""

    def __init__(self, title: str, total: float | None = None, *, counted: bool = False) -> None:
        from rich import progress
        from rich.console import Console

        known = (progress.MofNCompleteColumn(), progress.TimeElapsedColumn(), progress.TimeRemainingColumn())
        self._bar: rich_progress.Progress = progress.Progress(
            progress.TextColumn("{task.fields[title]}"),
            progress.BarColumn(),
            *(known if counted else (progress.TaskProgressColumn(), progress.TimeElapsedColumn())),
            progress.TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=total, title=_plain(title))
        self._bar.start()

    def __call__(self, fraction: float | None, message: str) -> None:
        self._bar.update(self._task, total=None if fraction is None else 1.0)
        self.show(fraction or 0.0, message)

    def show(self, completed: float, message: str) -> None:
        self._bar.update(self._task, completed=completed, description=_plain(visible(message)))

    def say(self, line: str) -> None:
        """Above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        self._bar.stop()


def _plain(text: str) -> str:
    """The model's words are text, not rich's markup."""
    return text.replace("[", r"\[")

"""What a person, or a program, is told of a batch: a bar on a terminal, else lines; what failed; and the sum."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from modelport.commands.batching.batch_inputs import Input
from modelport.commands.model.progress import Bar
from modelport.commands.shell.output import say, tell
from modelport.contract.visible import visible

if TYPE_CHECKING:
    from modelport.errors import ModelportError

# Without a terminal, a line for each tenth.
STEPS = 10


class BatchReport(contextlib.AbstractContextManager["BatchReport"]):
    """Counts, and tells on stderr. folder: of the results, as the user named it."""

    def __init__(self, name: str, total: int, folder: str) -> None:
        self._name, self._total, self._folder = name, total, folder
        self._before = self._succeeded = self.failed = 0
        self._outstanding: set[str] = set()
        self._tenth = 0
        self._told_waiting = False
        self._bar = Bar(f"batch {name}", total, counted=True) if sys.stderr.isatty() else None

    # What happens

    def skipped(self) -> None:
        """An input has its result from an earlier run."""
        self._before += 1
        self._step()

    def accepted(self, input: Input) -> None:
        self._outstanding.add(input.path)
        self._told_waiting = False
        self._step()

    def ended(self, input: Input, failure: str) -> None:
        """failure: why there is no result; empty: there is one."""
        self._outstanding.discard(input.path)
        self._told_waiting = False
        if failure:
            self.failed += 1
            self._say(f"{input.name}: {failure}")
        else:
            self._succeeded += 1
        self._step()

    def waiting(self, error: ModelportError) -> None:
        """Once for each time that the server is away."""
        if not self._told_waiting:
            self._told_waiting = True
            self._say(f"waiting: {error.message}")

    def _say(self, line: str) -> None:
        line = line.encode(errors="replace").decode()
        self._bar.say(visible(line)) if self._bar is not None else say(line, err=True)

    def _step(self) -> None:
        done = self._before + self._succeeded + self.failed
        if self._bar is not None:
            parts = [f"{self.failed} failed"] if self.failed else []
            parts += [f"{len(self._outstanding)} at the server"] if self._outstanding else []
            self._bar.show(done, ", ".join(parts))
        elif (tenth := done * STEPS // self._total) != self._tenth:
            self._tenth = tenth
            self._say(f"{self._name}: {done} of {self._total}{self._failures()}")

    def _failures(self) -> str:
        return f", {self.failed} failed" if self.failed else ""

    # The end

    def __exit__(self, kind: type[BaseException] | None, *reason: object) -> None:
        if self._bar is not None:
            self._bar.end()
        if kind is not None:
            counts = self._document()
            accepted = f"{counts['accepted']} accepted (they go on at the server)"
            done = f"{counts['succeeded']} of {self._total} done{self._failures()}"
            say(
                f"stopped: {done}, {accepted}, {counts['left']} not sent. The same command goes on from here.", err=True
            )

    def _document(self) -> dict[str, Any]:
        succeeded, accepted = self._before + self._succeeded, len(self._outstanding)
        return {
            "files": self._total,
            "succeeded": succeeded,
            "before": self._before,
            "failed": self.failed,
            "accepted": accepted,
            "left": self._total - succeeded - self.failed - accepted,
            "output": self._folder,
        }

    def sum_up(self, *, as_json: bool) -> None:
        """At the end of all, on stdout."""
        counts = self._document()
        before = f" ({self._before} of them in an earlier run)" if self._before else ""
        text = f"{counts['succeeded']} of {self._total} done{before}{self._failures()}: {self._folder}"
        tell(counts, text, as_json=as_json)

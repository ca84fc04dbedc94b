"""What a person, or a program, is told of a batch: a bar on a terminal, else lines; what failed; and the sum."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from modelport.commands.batching.batch_inputs import Input
from modelport.commands.model.progress import Bar
from modelport.commands.shell.output import say
from modelport.contract.visible import visible, visible_json

if TYPE_CHECKING:
    from modelport.errors import ModelportError

# Without a terminal, a line for each tenth.
STEPS = 10


class BatchReport:
    """Counts, and tells on stderr. folder: of the results, as the user named it."""

    def __init__(self, name: str, total: int, folder: str) -> None:
        self._name = name
        self._total = total
        self._folder = folder
        self._before = self._succeeded = self._failed = 0
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
            self._failed += 1
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
        line = visible(line.encode(errors="replace").decode())
        if self._bar is not None:
            self._bar.say(line)
        else:
            say(line, err=True)

    @property
    def _done(self) -> int:
        return self._before + self._succeeded + self._failed

    def _step(self) -> None:
        if self._bar is not None:
            parts = [f"{self._failed} failed"] if self._failed else []
            parts += [f"{len(self._outstanding)} at the server"] if self._outstanding else []
            self._bar.show(self._done, ", ".join(parts))
        elif (tenth := self._done * STEPS // self._total) != self._tenth:
            self._tenth = tenth
            self._say(f"{self._name}: {self._done} of {self._total}{self._failures}")

    @property
    def _failures(self) -> str:
        return f", {self._failed} failed" if self._failed else ""

    # The end

    @property
    def failed(self) -> bool:
        return self._failed > 0

    def __enter__(self) -> BatchReport:
        return self

    def __exit__(self, kind: type[BaseException] | None, *reason: object) -> None:
        if self._bar is not None:
            self._bar.end()
        if kind is not None:
            self._say_how_to_resume()

    def document(self) -> dict[str, Any]:
        return {
            "files": self._total,
            "succeeded": self._before + self._succeeded,
            "before": self._before,
            "failed": self._failed,
            "accepted": len(self._outstanding),
            "left": self._total - self._done - len(self._outstanding),
            "output": self._folder,
        }

    def sum_up(self, *, as_json: bool) -> None:
        """At the end of all, on stdout."""
        if as_json:
            say(visible_json(json.dumps(self.document(), ensure_ascii=False)))
            return
        before = f" ({self._before} of them in an earlier run)" if self._before else ""
        say(f"{self._before + self._succeeded} of {self._total} done{before}{self._failures}: {self._folder}")

    def _say_how_to_resume(self) -> None:
        """Where the batch was ended before."""
        counts = self.document()
        accepted = f"{counts['accepted']} accepted (they go on at the server)"
        done = f"{counts['succeeded']} of {self._total} done{self._failures}"
        say(f"stopped: {done}, {accepted}, {counts['left']} not sent. The same command goes on from here.", err=True)

"""A rule, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from modelport.checks.metadata import Wrong
from modelport.checks.module import Module, shown
from modelport.describe.documents import one_of

# An error breaks the module or is refused by the hub; a warning most likely surprises somebody; a hint improves it.
ERROR, WARNING, HINT = "error", "warning", "hint"
LEVELS = (ERROR, WARNING, HINT)


class FindingDocument(Struct):
    """What is wrong, where, and what to do"""

    rule: Annotated[str, Meta(description="By which it was found: see `modelport check --rules`")]
    level: Annotated[str, one_of(*LEVELS)]
    file: str | None
    line: Annotated[int | None, Meta(description="From 1")]
    message: str


@dataclass(frozen=True)
class Problem:
    """message: what is wrong, and what to do. line: from 1; 0 where no line is meant."""

    message: str
    file: Path | None = None
    line: int = 0


Check = Callable[[Module], Iterable[str | Wrong | Problem]]
Place = Callable[[Module], Path | None]


@dataclass(frozen=True)
class Rule:
    """text: what holds for a good module. runs: it needs the module to have been run; card: and to have a card.
    file: what it is about, where the problem does not say."""

    id: str
    level: str
    text: str
    check: Check
    runs: bool
    card: bool
    file: Place

    def findings(self, module: Module) -> Iterator[FindingDocument]:
        for wrong in self.check(module) if module.trial.card is not None or not self.card else ():
            if not isinstance(wrong, Problem):
                message, line = (wrong, 0) if isinstance(wrong, str) else wrong
                wrong = Problem(message, self.file(module), line)
            file = None if wrong.file is None else shown(wrong.file)
            yield FindingDocument(self.id, self.level, file, wrong.line or None, wrong.message)


def rule(
    id: str, level: str, text: str, *, runs: bool = False, card: bool = False, file: Place = lambda module: None
) -> Callable[[Check], Rule]:
    """A decorator that makes a rule of a function."""
    return lambda check: Rule(id, level, text, check, runs or card, card, file)

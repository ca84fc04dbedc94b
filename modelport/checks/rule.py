"""A rule, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelport.checks.metadata import Wrong

if TYPE_CHECKING:
    from modelport.checks.module import Module

# An error breaks the module or is refused by the hub; a warning most likely surprises somebody; a hint improves it.
ERROR, WARNING, HINT = "error", "warning", "hint"
LEVELS = (ERROR, WARNING, HINT)


@dataclass(frozen=True)
class Problem:
    """message: what is wrong, and what to do. line: from 1; 0 where no line is meant."""

    message: str
    file: Path | None = None
    line: int = 0


Check = Callable[["Module"], Iterable[str | Wrong | Problem]]
Place = Callable[["Module"], Path | None]


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

    def problems(self, module: Module) -> Iterator[Problem]:
        for wrong in self.check(module) if module.trial.card is not None or not self.card else ():
            if isinstance(wrong, Problem):
                yield wrong
            else:
                message, line = (wrong, 0) if isinstance(wrong, str) else wrong
                yield Problem(message, self.file(module), line)


@dataclass(frozen=True)
class Finding:
    rule: Rule
    problem: Problem


def rule(
    id: str, level: str, text: str, *, runs: bool = False, card: bool = False, file: Place = lambda module: None
) -> Callable[[Check], Rule]:
    """A decorator that makes a rule of a function."""
    return lambda check: Rule(id, level, text, check, runs or card, card, file)

"""A rule, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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


Check = Callable[["Module"], Iterator[Problem]]


@dataclass(frozen=True)
class Rule:
    """text: what holds for a good module. runs: it needs the module to have been run."""

    id: str
    level: str
    text: str
    check: Check
    runs: bool = False


@dataclass(frozen=True)
class Finding:
    rule: Rule
    problem: Problem


def rule(id: str, level: str, text: str, *, runs: bool = False) -> Callable[[Check], Rule]:
    """A decorator that makes a rule of a function."""
    return lambda check: Rule(id, level, text, check, runs)

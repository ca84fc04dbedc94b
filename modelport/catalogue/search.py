"""Which modules a person is looking for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from modelport.catalogue import Module

# The names of the filters in a query, and where their values are.
FIELDS = {
    "library": "libraries",
    "task": "tasks",
    "category": "categories",
    "data_type": "data_types",
    "tag": "tags",
}
SORTS = ("name", "date")


@dataclass(frozen=True)
class Query:
    """text: every word of it must be found. chosen: by filter, the values of which one must be there."""

    text: str = ""
    chosen: Mapping[str, frozenset[str]] = field(default_factory=dict)
    sort: str = "name"

    @classmethod
    def read(cls, pairs: Iterable[tuple[str, str]]) -> Query:
        """As an address says it: q, the filters' names, each as often as need be, and sort; others are left alone."""
        values = list(pairs)
        chosen = {name: frozenset(value for key, value in values if key == name and value) for name in FIELDS}
        last = dict(values)
        return cls(last.get("q", ""), chosen, "date" if last.get("sort") == "date" else "name")

    @property
    def empty(self) -> bool:
        return not self.text.strip() and not any(self.chosen.values())


@dataclass(frozen=True)
class Choice:
    """A value of a filter. count: how many results it would have, as the rest of the query is."""

    value: str
    count: int
    chosen: bool


def select(modules: Iterable[Module], query: Query) -> list[Module]:
    """Those that fit, sorted."""
    fitting = [module for module in modules if _has_words(module, query.text) and _fits(module, query)]
    fitting.sort(key=lambda module: (module.title.casefold(), module.name))
    if query.sort == "date":
        fitting.sort(key=lambda module: module.about.updated or module.about.created, reverse=True)
    return fitting


def choices(modules: Sequence[Module], query: Query) -> dict[str, list[Choice]]:
    """By filter, its values: all that there are, the most frequent first."""
    named = [module for module in modules if _has_words(module, query.text)]
    by_filter = {}
    for name, attribute in FIELDS.items():
        counts = {value: 0 for module in modules for value in getattr(module.about, attribute)}
        for module in named:
            if _fits(module, query, but=name):
                for value in getattr(module.about, attribute):
                    counts[value] += 1
        chosen = query.chosen.get(name, frozenset())
        # What is asked for and is not there must be seen, too, or nobody could take it back.
        for value in chosen:
            counts.setdefault(value, 0)
        ordered = sorted(counts, key=lambda value: (-counts[value], value.casefold()))
        by_filter[name] = [Choice(value, counts[value], value in chosen) for value in ordered]
    return by_filter


def _fits(module: Module, query: Query, but: str = "") -> bool:
    """One of each filter's values: OR within a filter, AND between them."""
    return all(
        not chosen.isdisjoint(getattr(module.about, FIELDS[name]))
        for name, chosen in query.chosen.items()
        if chosen and name != but
    )


def _has_words(module: Module, text: str) -> bool:
    words = text.casefold().split()
    if not words:
        return True
    about = module.about
    lists = (about.tags, about.categories, about.tasks, about.libraries, about.data_types)
    parts = (module.name, module.title, about.summary, about.description, *(text for some in lists for text in some))
    heap = "\n".join(parts).casefold()
    return all(word in heap for word in words)

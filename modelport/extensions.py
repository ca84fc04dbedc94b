"""What installed packages add by entry points: front ends and executors. Each is loaded when it is first asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from modelport.errors import LoadFailed

FRONTENDS = "modelport.frontends"
EXECUTORS = "modelport.executors"
# By the name of a front end or executor whose class takes long to import: its settings, as a tuple.
SETTINGS = "modelport.settings"
WORDS = {FRONTENDS: "front end", EXECUTORS: "executor", SETTINGS: "settings of"}
OWN = "modelport"


@functools.cache
def registered(group: str) -> dict[str, EntryPoint]:
    """By name, in order. Raises LoadFailed where two packages have one of the same name."""
    points: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (package_of(point) != OWN, point.name)):
        other = points.setdefault(point.name, point)
        if other != point:
            raise LoadFailed(
                f"two packages have the {WORDS[group]} {point.name}: {package_of(other)} and {package_of(point)}. "
                "Uninstall one of them"
            )
    return points


@functools.cache
def load(group: str, name: str) -> Any:
    """The class that is registered under `name`. Raises LoadFailed."""
    points = registered(group)
    if name not in points:
        raise LoadFailed(f"there is no {WORDS[group]} {name!r}; installed are {', '.join(points)} (group {group})")
    try:
        return points[name].load()
    except Exception as error:
        package, reason = package_of(points[name]), f"{type(error).__name__}: {error}"
        raise LoadFailed(
            f"the {WORDS[group]} {name} cannot be loaded from {points[name].value}, of the package {package}: {reason}"
        ) from error


def executor_class(name: str) -> Any:
    """Raises LoadFailed."""
    return load(EXECUTORS, name)


def settings_of_others() -> Iterator[tuple[str, Any]]:
    """(name, settings) of what other packages add. What cannot be loaded is left out: whoever uses it is told."""
    for group in (FRONTENDS, EXECUTORS):
        for name in [name for name, point in registered(group).items() if package_of(point) != OWN]:
            try:
                if name in registered(SETTINGS):
                    yield name, load(SETTINGS, name)
                else:
                    yield name, getattr(load(group, name), "settings", ())
            except LoadFailed:
                continue


def package_of(point: EntryPoint) -> str:
    return "" if point.dist is None else point.dist.name

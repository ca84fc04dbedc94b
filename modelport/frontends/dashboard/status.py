"""How the server is: workers, queue, memory, calls of the last minutes, buckets, settings."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

import modelport
from modelport.deployments.memory import machine_memory_bytes
from modelport.frontends.dashboard.filters import seconds, size
from modelport.frontends.dashboard.rendering import PATIENCE_S, Pages, Section, digest
from modelport.observe.recent_calls import SLOT_S, Slot
from modelport.settings import table

WIDTH, HEIGHT = 360, 90


@dataclass(frozen=True)
class Chart:
    """Lines over the last minutes. lines: (name, points of an SVG's polyline, its last value as text)."""

    title: str
    highest: str
    lines: list[tuple[str, list[str], str]]
    said: str


class Status(Section):
    """`/ui/status`."""

    def __init__(self, pages: Pages) -> None:
        super().__init__(pages)
        self._began = time.monotonic()

    async def page(self, request: web.Request) -> web.StreamResponse:
        gateway = self._gateway
        bucket_jobs = gateway.bucket_jobs
        counts = gateway.jobs.counts()
        served = {
            status: sum(number for name, number in numbers.items() if name in gateway.deployments)
            for status, numbers in counts.items()
        }
        used = await gateway.gauge.of({"": [os.getpid()]}, PATIENCE_S)
        values: dict[str, Any] = {
            "up_s": time.monotonic() - self._began,
            "deployments": await self._pages.deployments(request),
            "nodes": await gateway.deployments.nodes(),
            "on_node": Counter(place.node for deployment in gateway.deployments for place in deployment.places()),
            "most": {deployment.name: deployment.workers for deployment in gateway.deployments},
            "memory": {"used": used[""] or None, "machine": machine_memory_bytes()},
            "jobs": served,
            "unserved": sum(counts["queued"].values()) - served["queued"],
            "disk": await asyncio.to_thread(shutil.disk_usage, gateway.settings.home_path),
            "buckets": None if bucket_jobs is None else bucket_jobs.health(),
            "bucket_url": bucket_jobs and gateway.store_url(request, bucket_jobs.bucket_keys.owner_access().endpoint),
            "charts": charts(gateway.metrics.recent.last()),
        }
        seen = _seen(values)
        if "HX-Request" not in request.headers:
            values |= {"versions": versions(), "settings": self._settings()}
        return self._pages.fresh(request, "status.html", "_status.html", seen, **values)

    def _settings(self) -> list[dict[str, Any]]:
        """All, in the order of their table; of secrets only whether they are set."""
        settings = self._gateway.settings
        return [
            {
                "name": setting.name,
                "section": setting.section,
                "value": _shown(settings.value(setting), secret=setting.secret),
                "unit": setting.unit,
                "help": setting.help,
                "changed": settings.value(setting) != setting.default,
            }
            for setting in table()
        ]


def _seen(values: dict[str, Any]) -> str:
    """As it is read: some bytes more or less are no news."""
    sizes = [size(count) for count in (values["memory"]["used"], values["disk"].free)]
    rows = [msgspec.structs.replace(row, used_bytes=size(row.used_bytes)) for row in values["deployments"]]
    known = [values[name] for name in ("jobs", "unserved", "buckets", "charts", "nodes", "on_node")]
    return digest(seconds(values["up_s"]), sizes, rows, *known)


def versions() -> dict[str, str]:
    return {
        "modelport": modelport.__version__,
        "Python": platform.python_version(),
        "aiohttp": aiohttp.__version__,
        "System": f"{platform.system()} {platform.release()}",
        "CPUs": str(os.cpu_count() or 1),
    }


def _shown(value: Any, *, secret: bool) -> str:
    if secret:
        return "set" if value else "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


# Charts


def charts(slots: Sequence[Slot]) -> list[Chart]:
    median = [slot.percentile_s(0.5) for slot in slots]
    slowest = [slot.percentile_s(0.95) for slot in slots]
    total, bad = sum(slot.calls for slot in slots), sum(slot.failed for slot in slots)
    minutes = len(slots) * SLOT_S // 60
    return [
        _chart(
            "Calls a minute",
            {"ended": _a_minute([slot.calls for slot in slots]), "failed": _a_minute([slot.failed for slot in slots])},
            "{:.0f}".format,
            f"{total} call{'' if total == 1 else 's'} in {minutes} minutes, {bad} of them failed",
        ),
        _chart(
            "Time of a call",
            {"half within": median, "95 % within": slowest},
            seconds,
            f"the times of calls in the last {minutes} minutes",
        ),
    ]


def _a_minute(counts: Sequence[int]) -> list[float | None]:
    """At each slot the sum of the last minute, so that the highest is no more than the total."""
    slots = 60 // SLOT_S
    return [sum(counts[max(0, end - slots) : end]) for end in range(1, len(counts) + 1)]


def _chart(title: str, lines: dict[str, list[float | None]], text: Callable[[float], str], said: str) -> Chart:
    highest = max((value for values in lines.values() for value in values if value is not None), default=0.0)
    drawn = [(name, _polylines(values, highest), _last(values, text)) for name, values in lines.items()]
    return Chart(title, text(highest) if highest else "", drawn, said)


def _last(values: list[float | None], text: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return text(known[-1]) if known else "–"


def _polylines(values: list[float | None], highest: float) -> list[str]:
    """Points of lines, broken where nothing is known; one alone is a short line."""
    parts: list[list[tuple[float, float]]] = [[]]
    step = WIDTH / max(1, len(values) - 1)
    for number, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append((number * step, HEIGHT - (value / highest if highest else 0) * (HEIGHT - 4) - 2))
    lines = [line if len(line) > 1 else [*line, (line[0][0] + step / 2, line[0][1])] for line in parts if line]
    return [" ".join(f"{x:.1f},{y:.1f}" for x, y in line) for line in lines]
